//! Select items and expressions as far as merging needs to know them: plain columns,
//! plain aggregates, and how their values compare.

use crate::{
    bind::{BoundColumn, Facts},
    lexer::TokenKind,
    parse::{Pieces, piece_of},
    plan::Refusal,
    planner::scatter::{
        has_aggregate,
        weight::{Comparison, column_comparison},
    },
};
use sqlparser::ast::{SelectItem, SelectItemQualifiedWildcardKind};
use std::ops::Range;

/// One item of the select list.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The expression, without its alias.
    pub(crate) expr: Range<usize>,
    pub(crate) alias: Option<String>,
    pub(crate) kind: ItemKind,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ItemKind {
    /// `*` or `t.*`: the table instances that it stands for.
    Star(Vec<usize>),
    /// A column by itself.
    Column(BoundColumn),
    /// An aggregate by itself.
    Aggregate(Aggregate),
    /// An expression around aggregates, or an aggregate that cannot be merged.
    AroundAggregate,
    /// A literal or parameter.
    Constant,
    /// Any other expression.
    Other,
}

/// An aggregate call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aggregate {
    pub(crate) function: AggregateFunction,
    pub(crate) distinct: bool,
    /// What is in the parentheses, without DISTINCT.
    pub(crate) argument: Range<usize>,
}

impl Aggregate {
    /// Whether it would count a value twice that two shards have.
    pub(crate) fn counts_values_once(&self) -> bool {
        use AggregateFunction::{Average, Count, Max, Min, Sum};
        match self.function {
            Count | Sum | Average => self.distinct,
            Min | Max => false,
        }
    }
}

/// The aggregates whose partial results can be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregateFunction {
    Count,
    Sum,
    Min,
    Max,
    Average,
}

impl Item {
    pub(crate) fn of(
        pieces: &Pieces<'_>,
        range: Range<usize>,
        item: &SelectItem,
        facts: &Facts,
    ) -> Result<Self, Refusal> {
        let (alias, kind) = match item {
            SelectItem::Wildcard(_) => {
                let all = (0..facts.instances.len()).collect();
                return Ok(Self { expr: range, alias: None, kind: ItemKind::Star(all) });
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let last = name.0.last().and_then(|part| part.as_ident());
                let named = |i: &usize| {
                    last.is_some_and(|n| facts.instances[*i].name.eq_ignore_ascii_case(&n.value))
                };
                let of = (0..facts.instances.len()).filter(named).collect();
                return Ok(Self { expr: range, alias: None, kind: ItemKind::Star(of) });
            }
            SelectItem::UnnamedExpr(_) => (None, None),
            SelectItem::ExprWithAlias { alias, .. } => (Some(alias), piece_of(&alias.span)),
            SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) => {
                return Err(Refusal::not_supported(
                    "this select item is not understood over several shards",
                    "write it as an expression with one alias",
                ));
            }
        };
        // An alias that is a string has no place in the tree: it is the last piece.
        let kind = kind.or_else(|| {
            let last = range.end.checked_sub(1).filter(|last| *last > range.start)?;
            (alias.is_some() && pieces.is(last, TokenKind::String)).then_some(last)
        });
        let mut expr = range;
        if let Some(at) = kind {
            let as_word = at > expr.start && pieces.is_word(at - 1, "AS");
            expr.end = at - usize::from(as_word);
        }
        let name = alias.and_then(|alias| {
            let Some(at) = kind else { return Some(alias.value.clone()) };
            let name = pieces.identifier(at).map(|name| name.into_owned());
            // An alias may be written as a string.
            name.or_else(|| {
                let text = pieces.text(at);
                let inner = text.get(1..text.len().checked_sub(1)?)?;
                std::str::from_utf8(inner).ok().map(str::to_owned)
            })
        });
        Ok(Self { kind: kind_of(pieces, expr.clone(), facts), expr, alias: name })
    }

    /// The name of its column, when it is an alias or a column's own.
    pub(crate) fn name(&self, facts: &Facts) -> Option<String> {
        match (&self.alias, &self.kind) {
            (Some(alias), _) => Some(alias.clone()),
            (None, ItemKind::Column(bound)) => facts.definition(*bound).map(|c| c.name.clone()),
            (None, _) => None,
        }
    }
}

/// What an expression is.
pub(crate) fn kind_of(pieces: &Pieces<'_>, expr: Range<usize>, facts: &Facts) -> ItemKind {
    if let Some(bound) = column_at(pieces, expr.clone(), facts) {
        return ItemKind::Column(bound);
    }
    if let Some(aggregate) = aggregate_at(pieces, expr.clone()) {
        return ItemKind::Aggregate(aggregate);
    }
    if has_aggregate(pieces, expr.clone()) {
        return ItemKind::AroundAggregate;
    }
    let constant = expr.len() == 1
        && (pieces.kind(expr.start).is_some_and(|k| k.is_literal() || k == TokenKind::Parameter)
            || pieces.is_any_word(expr.start, &["NULL", "TRUE", "FALSE"]));
    if constant { ItemKind::Constant } else { ItemKind::Other }
}

/// The column that these pieces are the name of.
pub(crate) fn column_at(
    pieces: &Pieces<'_>,
    expr: Range<usize>,
    facts: &Facts,
) -> Option<BoundColumn> {
    if !matches!(expr.len(), 1 | 3 | 5) {
        return None;
    }
    let mut parts = Vec::new();
    for (offset, index) in expr.enumerate() {
        if offset % 2 == 0 {
            parts.push(pieces.identifier(index)?);
        } else if !pieces.is(index, TokenKind::Dot) {
            return None;
        }
    }
    let parts: Vec<&str> = parts.iter().map(|part| part.as_ref()).collect();
    facts.column(0, &parts)
}

fn aggregate_at(pieces: &Pieces<'_>, expr: Range<usize>) -> Option<Aggregate> {
    use AggregateFunction::{Average, Count, Max, Min, Sum};
    let names = [("COUNT", Count), ("SUM", Sum), ("MIN", Min), ("MAX", Max), ("AVG", Average)];
    let (_, function) = names.into_iter().find(|(name, _)| pieces.is_word(expr.start, name))?;
    let open = expr.start + 1;
    if !pieces.is(open, TokenKind::LeftParen) || pieces.behind_parenthesis(open) != expr.end {
        return None;
    }
    let quantified = pieces.is_any_word(open + 1, &["DISTINCT", "ALL"]);
    let distinct = pieces.is_word(open + 1, "DISTINCT");
    let argument = open + 1 + usize::from(quantified)..expr.end - 1;
    (!has_aggregate(pieces, argument.clone())).then_some(Aggregate { function, distinct, argument })
}

/// How the values of an expression compare.
pub(crate) fn comparison(pieces: &Pieces<'_>, expr: Range<usize>, facts: &Facts) -> Comparison {
    match kind_of(pieces, expr, facts) {
        ItemKind::Column(bound) => match facts.definition(bound) {
            Some(column) => column_comparison(column),
            None => Comparison::Unknown,
        },
        ItemKind::Aggregate(aggregate) => match aggregate.function {
            AggregateFunction::Count | AggregateFunction::Sum | AggregateFunction::Average => {
                Comparison::ByType
            }
            AggregateFunction::Min | AggregateFunction::Max => {
                match comparison(pieces, aggregate.argument, facts) {
                    // MIN and MAX of an ENUM compare its text.
                    Comparison::Enum => Comparison::Unknown,
                    other => other,
                }
            }
        },
        _ => Comparison::Unknown,
    }
}

/// Whether two expressions are the same: the same column, or the same pieces.
pub(crate) fn same(pieces: &Pieces<'_>, a: Range<usize>, b: Range<usize>, facts: &Facts) -> bool {
    if let (Some(a), Some(b)) =
        (column_at(pieces, a.clone(), facts), column_at(pieces, b.clone(), facts))
    {
        return a == b;
    }
    a.len() == b.len()
        && a.zip(b).all(|(a, b)| {
            pieces.kind(a) == pieces.kind(b)
                && match pieces.kind(a) {
                    Some(TokenKind::Word) => pieces.text(a).eq_ignore_ascii_case(pieces.text(b)),
                    // Two parameters are two values.
                    Some(TokenKind::Parameter) => false,
                    _ => pieces.text(a) == pieces.text(b),
                }
        })
}
