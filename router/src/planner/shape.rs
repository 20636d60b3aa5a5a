//! The clauses of a SELECT as ranges of pieces, found by their keywords outside
//! parentheses. The tree has the meaning; this has the places.

use crate::{lexer::TokenKind, parse::Pieces, word::Marks};
use std::ops::Range;

/// One ORDER BY key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderItem {
    pub(crate) expr: Range<usize>,
    pub(crate) descending: bool,
}

/// LIMIT: its pieces and the pieces of its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitClause {
    pub(crate) pieces: Range<usize>,
    pub(crate) count: usize,
    pub(crate) offset: Option<usize>,
}

/// Where the clauses of one SELECT are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) distinct: bool,
    pub(crate) items: Vec<Range<usize>>,
    pub(crate) list_end: usize,
    /// What stands behind WHERE.
    pub(crate) condition: Option<Range<usize>>,
    /// Behind FROM and WHERE, where GROUP BY would stand.
    pub(crate) filter_end: usize,
    pub(crate) group_by: Vec<Range<usize>>,
    pub(crate) rollup: bool,
    pub(crate) having: bool,
    pub(crate) order_by: Vec<OrderItem>,
    /// ORDER BY with its keywords.
    pub(crate) order_pieces: Range<usize>,
    pub(crate) limit: Option<LimitClause>,
    pub(crate) into: bool,
    pub(crate) end: usize,
}

/// Words between SELECT and its list.
pub(crate) const QUANTIFIERS: &[&str] = &[
    "ALL",
    "DISTINCT",
    "DISTINCTROW",
    "HIGH_PRIORITY",
    "STRAIGHT_JOIN",
    "SQL_SMALL_RESULT",
    "SQL_BIG_RESULT",
    "SQL_BUFFER_RESULT",
    "SQL_CACHE",
    "SQL_NO_CACHE",
    "SQL_CALC_FOUND_ROWS",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clause {
    Into,
    From,
    Where,
    GroupBy,
    Having,
    Window,
    OrderBy,
    Limit,
    Tail,
}

/// Words that make it another statement than one plain SELECT.
const OTHER_FORMS: &[&str] = &["UNION", "EXCEPT", "INTERSECT", "PROCEDURE", "FETCH"];

/// All words that clauses start with, and those.
pub(crate) const WORDS: &[&[&str]] = &[
    &["FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "INTO", "LOCK", "FOR"],
    OTHER_FORMS,
];

/// The clauses of a statement that starts with SELECT; None when it is not one plain
/// SELECT (UNION, parentheses, PROCEDURE, FETCH).
pub(crate) fn of(pieces: &Pieces<'_>) -> Option<Shape> {
    if !pieces.is_word(0, "SELECT") {
        return None;
    }
    let mut start = 1;
    let mut shape = Shape::default();
    while pieces.is_any_word(start, QUANTIFIERS) {
        shape.distinct |= pieces.is_any_word(start, &["DISTINCT", "DISTINCTROW"]);
        start += 1;
    }
    let mut clauses = Vec::new();
    let mut index = start;
    while index < pieces.len() {
        if pieces.is(index, TokenKind::LeftParen) {
            index = pieces.behind_parenthesis(index);
            continue;
        }
        if !pieces.is_marked(index, Marks::CLAUSE) {
            index += 1;
            continue;
        }
        if pieces.is_any_word(index, OTHER_FORMS) {
            return None;
        }
        if let Some((clause, length)) = clause_at(pieces, index) {
            clauses.push((clause, index, index + length));
            index += length;
        } else {
            index += 1;
        }
    }
    shape.end = pieces.len();
    shape.list_end = clauses.first().map_or(pieces.len(), |(_, start, _)| *start);
    shape.items = pieces.split_commas(start..shape.list_end);
    for (number, &(clause, first, body)) in clauses.iter().enumerate() {
        let end = clauses.get(number + 1).map_or(pieces.len(), |(_, start, _)| *start);
        shape.add(pieces, clause, first, body..end)?;
    }
    Some(shape)
}

fn clause_at(pieces: &Pieces<'_>, index: usize) -> Option<(Clause, usize)> {
    let word = |word: &str| pieces.is_word(index, word);
    if !pieces.is(index, TokenKind::Word) {
        return None;
    }
    if word("FROM") {
        Some((Clause::From, 1))
    } else if word("WHERE") {
        Some((Clause::Where, 1))
    } else if pieces.are_words(index, &["GROUP", "BY"]) {
        Some((Clause::GroupBy, 2))
    } else if word("HAVING") {
        Some((Clause::Having, 1))
    } else if word("WINDOW") && pieces.is_word(index + 2, "AS") {
        Some((Clause::Window, 1))
    } else if pieces.are_words(index, &["ORDER", "BY"]) {
        Some((Clause::OrderBy, 2))
    } else if word("LIMIT") {
        Some((Clause::Limit, 1))
    } else if word("INTO") {
        Some((Clause::Into, 1))
    } else {
        let length = crate::parse::locking_clause(pieces, index);
        (length > 0).then_some((Clause::Tail, length))
    }
}

impl Shape {
    fn add(
        &mut self,
        pieces: &Pieces<'_>,
        clause: Clause,
        first: usize,
        body: Range<usize>,
    ) -> Option<()> {
        match clause {
            Clause::From => self.filter_end = body.end,
            Clause::Where => {
                self.filter_end = body.end;
                self.condition = Some(body);
            }
            Clause::Tail => {}
            Clause::Window => return None,
            Clause::Into => self.into = true,
            Clause::Having => self.having = true,
            Clause::GroupBy => {
                let mut end = body.end;
                if end >= 2 && pieces.are_words(end - 2, &["WITH", "ROLLUP"]) {
                    self.rollup = true;
                    end -= 2;
                }
                self.group_by = pieces.split_commas(body.start..end);
            }
            Clause::OrderBy => {
                self.order_pieces = first..body.end;
                self.order_by = pieces
                    .split_commas(body)
                    .into_iter()
                    .map(|part| {
                        let last = part.end.saturating_sub(1);
                        let descending = pieces.is_word(last, "DESC");
                        let marked = descending || pieces.is_word(last, "ASC");
                        OrderItem { expr: part.start..part.end - usize::from(marked), descending }
                    })
                    .collect();
            }
            Clause::Limit => {
                let (count, offset) = match body.len() {
                    1 => (body.start, None),
                    3 if pieces.is(body.start + 1, TokenKind::Comma) => {
                        (body.start + 2, Some(body.start))
                    }
                    3 if pieces.is_word(body.start + 1, "OFFSET") => {
                        (body.start, Some(body.start + 2))
                    }
                    _ => return None,
                };
                self.limit = Some(LimitClause { pieces: first..body.end, count, offset });
            }
        }
        Some(())
    }
}
