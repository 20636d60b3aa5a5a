//! The parts of an INSERT's text: table, column list, rows, tail.

use crate::{
    conjunct::{ValueRef, piece_value},
    lexer::TokenKind,
    parse::Pieces,
    planner::insert::{Layout, Row},
};
use std::ops::Range;

/// What stands before the rows.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) database: Option<String>,
    pub(crate) table: String,
    pub(crate) columns: Option<Vec<String>>,
    /// The piece of the closing parenthesis of the column list.
    list_close: Option<usize>,
    /// VALUES, VALUE, SET, or where the query starts.
    pub(super) body: usize,
    /// INSERT ... SELECT.
    pub(crate) query: bool,
    set_form: bool,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Value(ValueRef),
    Default,
    Expression,
}

const MODIFIERS: &[&str] = &["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "IGNORE"];
const QUERY: &[&str] = &["SELECT", "WITH", "TABLE"];

/// Reads up to the rows; None when it is no INSERT that is known.
pub(crate) fn head(pieces: &Pieces<'_>) -> Option<Head> {
    let mut index = 1;
    while pieces.is_any_word(index, MODIFIERS) {
        index += 1;
    }
    index += usize::from(pieces.is_word(index, "INTO"));
    let mut table = pieces.identifier(index)?.into_owned();
    let mut database = None;
    index += 1;
    if pieces.is(index, TokenKind::Dot) {
        database = Some(std::mem::replace(&mut table, pieces.identifier(index + 1)?.into_owned()));
        index += 2;
    }
    if pieces.is_word(index, "PARTITION") && pieces.is(index + 1, TokenKind::LeftParen) {
        index = pieces.behind_parenthesis(index + 1);
    }
    let mut head = Head {
        database,
        table,
        columns: None,
        list_close: None,
        body: index,
        query: false,
        set_form: false,
    };
    let list = pieces.is(index, TokenKind::LeftParen)
        && !pieces.is_any_word(index + 1, QUERY)
        && !pieces.is(index + 1, TokenKind::LeftParen);
    if list {
        let end = pieces.behind_parenthesis(index);
        let names = pieces.split_commas(index + 1..end - 1);
        // A name may be qualified: its last part is the column's.
        let name = |range: Range<usize>| pieces.identifier(range.end.checked_sub(1)?);
        let names = names.into_iter().map(|range| name(range).map(|n| n.into_owned()));
        head.columns = Some(names.collect::<Option<Vec<_>>>()?);
        head.list_close = Some(end - 1);
        head.body = end;
    }
    if pieces.is_word(head.body, "SET") && head.columns.is_none() {
        head.set_form = true;
        head.columns = Some(set_columns(pieces, head.body + 1)?);
    } else if pieces.is_any_word(head.body, QUERY) || pieces.is(head.body, TokenKind::LeftParen) {
        head.query = true;
    } else if !pieces.is_any_word(head.body, &["VALUES", "VALUE"]) {
        return None;
    }
    Some(head)
}

/// Where the assignments of the SET form end.
fn set_end(pieces: &Pieces<'_>, start: usize) -> usize {
    let mut index = start;
    while index < pieces.len() {
        if pieces.is(index, TokenKind::LeftParen) {
            index = pieces.behind_parenthesis(index);
        } else if pieces.are_words(index, &["ON", "DUPLICATE"])
            || pieces.is_word(index, "RETURNING")
        {
            return index;
        } else {
            index += 1;
        }
    }
    index
}

fn equal_sign(pieces: &Pieces<'_>, mut range: Range<usize>) -> Option<usize> {
    range.find(|i| matches!(pieces.kind(*i), Some(TokenKind::Equal | TokenKind::Assign)))
}

fn set_columns(pieces: &Pieces<'_>, start: usize) -> Option<Vec<String>> {
    let assignments = pieces.split_commas(start..set_end(pieces, start));
    let name = |range: Range<usize>| {
        let equal = equal_sign(pieces, range)?;
        pieces.identifier(equal.checked_sub(1)?).map(|name| name.into_owned())
    };
    assignments.into_iter().map(name).collect()
}

/// Reads the rows.
pub(crate) fn body(pieces: &Pieces<'_>, head: &Head, columns: usize) -> Option<(Layout, Vec<Row>)> {
    let first = head.body + 1;
    let mut rows = Vec::new();
    let mut index = first;
    if head.set_form {
        index = set_end(pieces, first);
        let value = |range: Range<usize>| {
            let equal = equal_sign(pieces, range.clone())?;
            let value = equal + 1..range.end;
            Some((value.clone(), source(pieces, value)))
        };
        let values = pieces.split_commas(first..index).into_iter().map(value);
        rows.push(Row { pieces: first..index, values: values.collect::<Option<_>>()? });
    } else {
        loop {
            if !pieces.is(index, TokenKind::LeftParen) {
                return None;
            }
            let end = pieces.behind_parenthesis(index);
            if !pieces.is(end - 1, TokenKind::RightParen) || end - index < 2 {
                return None;
            }
            let mut values = Vec::with_capacity(columns);
            for value in pieces.split_commas(index + 1..end - 1) {
                values.push((value.clone(), source(pieces, value)));
            }
            rows.push(Row { pieces: index..end, values });
            index = end;
            if !pieces.is(index, TokenKind::Comma) {
                break;
            }
            index += 1;
        }
    }
    let layout = Layout {
        head: 0..first,
        tail: index..pieces.len(),
        list_close: head
            .list_close
            .map(|close| (close, head.columns.as_ref().is_some_and(Vec::is_empty))),
        values_word: head.body,
        set_form: head.set_form,
    };
    Some((layout, rows))
}

/// What a value's pieces are.
fn source(pieces: &Pieces<'_>, range: Range<usize>) -> Source {
    let value = match range.len() {
        1 if pieces.is_word(range.start, "DEFAULT") => return Source::Default,
        1 => piece_value(pieces, range.start, false),
        2 if pieces.is(range.start, TokenKind::Minus) => piece_value(pieces, range.start + 1, true),
        2 if pieces.is(range.start, TokenKind::Plus) => piece_value(pieces, range.start + 1, false),
        2 if pieces.is_any_word(range.start, &["DATE", "TIME", "TIMESTAMP"]) => {
            match piece_value(pieces, range.start + 1, false) {
                Some(ValueRef::Literal { ordinal, .. }) => Some(ValueRef::Temporal { ordinal }),
                _ => None,
            }
        }
        _ => None,
    };
    value.map_or(Source::Expression, Source::Value)
}
