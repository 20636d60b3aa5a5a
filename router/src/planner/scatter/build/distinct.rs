//! COUNT, SUM and AVG of DISTINCT values that several shards have: every shard cuts its
//! groups further by the values, and the merge counts each value once.

use super::{Builder, refuse};
use crate::{
    bind::BoundColumn,
    plan::{ColumnRef, MergeFunction, Refusal, SortColumn},
    planner::scatter::{
        item::{Aggregate, AggregateFunction, ItemKind, column_at, comparison, kind_of},
        weight::{Comparison, Weights, has_fraction, is_number},
    },
    splice::Edit,
    template::alias,
};
use std::ops::Range;

/// Words of expressions that are numbers when their operands are.
const NUMERIC_WORDS: &[&str] = &[
    "NULL", "TRUE", "FALSE", "DIV", "MOD", "ABS", "SIGN", "ROUND", "FLOOR", "CEIL", "CEILING",
    "TRUNCATE", "IF", "IFNULL", "NULLIF", "COALESCE", "CASE", "WHEN", "THEN", "ELSE", "END", "AND",
    "OR", "NOT", "IS", "BETWEEN", "IN",
];

impl Builder<'_> {
    /// Whether an aggregate counts values once of which several shards may have the same.
    pub(super) fn cuts_groups(&self) -> bool {
        let form = self.form;
        let items = form.items.iter().map(|item| item.kind.clone());
        let order = form.shape.order_by.iter();
        let order = order.map(|key| kind_of(self.pieces, key.expr.clone(), &form.facts));
        items.chain(order).any(|kind| match kind {
            ItemKind::Aggregate(aggregate) => {
                aggregate.counts_values_once() && !self.covers_key(&self.arguments(&aggregate))
            }
            _ => false,
        })
    }

    /// The arguments that are columns.
    fn arguments(&self, aggregate: &Aggregate) -> Vec<BoundColumn> {
        let arguments = self.pieces.split_commas(aggregate.argument.clone()).into_iter();
        arguments.filter_map(|a| column_at(self.pieces, a, &self.form.facts)).collect()
    }

    /// What the shards compute instead of the aggregate of DISTINCT values: a column of the
    /// same type, which costs little.
    pub(super) fn uncut_text(&self, aggregate: &Aggregate) -> Vec<u8> {
        let argument = self.splicer.text(aggregate.argument.clone());
        let name = match aggregate.function {
            AggregateFunction::Count => return b"COUNT(*)".to_vec(),
            AggregateFunction::Sum => "SUM(",
            AggregateFunction::Average => "AVG(",
            AggregateFunction::Min => "MIN(",
            AggregateFunction::Max => "MAX(",
        };
        [name.as_bytes(), &argument, b")"].concat()
    }

    /// Another text for a select item, whose column keeps its name.
    pub(super) fn replace_item(&mut self, index: usize, text: Vec<u8>) {
        let item = &self.form.items[index];
        let named = self.aliases.iter().any(|edit| edit.pieces.start == item.expr.end);
        if item.alias.is_none() && !named {
            self.aliases.push(alias(self.pieces, &item.expr));
        }
        self.replaced.push(Edit { pieces: item.expr.clone(), text });
    }

    /// How an aggregate of DISTINCT values is merged from groups that are cut by them.
    pub(super) fn merge_distinct(
        &mut self,
        aggregate: &Aggregate,
    ) -> Result<MergeFunction, Refusal> {
        let mut arguments = self.pieces.split_commas(aggregate.argument.clone());
        if aggregate.function == AggregateFunction::Count {
            let values = arguments.into_iter().map(|argument| self.cut_by(argument));
            return Ok(MergeFunction::CountDistinct { values: values.collect::<Result<_, _>>()? });
        }
        let argument = arguments.pop().unwrap_or_default();
        let value = self.cut_by_number(argument)?;
        Ok(match aggregate.function {
            AggregateFunction::Average => MergeFunction::AverageDistinct { value },
            _ => MergeFunction::SumDistinct { value },
        })
    }

    /// Cuts the shards' groups by an expression.
    fn cut_by(&mut self, expr: Range<usize>) -> Result<SortColumn, Refusal> {
        let text = self.splicer.text(expr.clone());
        let plain = |value| SortColumn { value, weight: None, pad: None };
        if self.is_constant(expr.clone()) {
            return Ok(plain(self.key_column(text, false)));
        }
        self.cut(text.clone());
        let is_column = column_at(self.pieces, expr.clone(), &self.form.facts).is_some();
        let compare = comparison(self.pieces, expr, &self.form.facts);
        let number = |suffix: &str| [b"(", text.as_slice(), b")", suffix.as_bytes()].concat();
        match compare {
            Comparison::ByType => Ok(plain(self.key_column(text, is_column))),
            Comparison::Enum => Ok(plain(self.key_column(number("+0"), is_column))),
            Comparison::Number(suffix) => Ok(plain(self.key_column(number(suffix), is_column))),
            Comparison::Collation(_) | Comparison::Levels { .. } | Comparison::Unknown => {
                let weights = Weights::of(&text, &compare, &self.form.facts)?;
                let weight = weights.weight.map(|weight| self.key_column(weight, is_column));
                let pad = weights.pad.map(|pad| self.key_column(pad, is_column));
                // What is certainly text needs its weight alone.
                let value = match (weight, &compare) {
                    (Some(weight), Comparison::Collation(_) | Comparison::Levels { .. }) => weight,
                    _ => self.key_column(text, is_column),
                };
                Ok(SortColumn { value, weight, pad })
            }
        }
    }

    /// Cuts the shards' groups by the number that an expression is to SUM and AVG.
    fn cut_by_number(&mut self, expr: Range<usize>) -> Result<SortColumn, Refusal> {
        let column = column_at(self.pieces, expr.clone(), &self.form.facts);
        if column.and_then(|column| self.form.facts.definition(column)).is_some_and(is_number) {
            return self.cut_by(expr);
        }
        if !self.is_numeric(expr.clone()) {
            return refuse(
                "SUM and AVG of DISTINCT values over groups that span several shards take columns that are not times, and expressions of numbers",
                "SELECT DISTINCT the values and add them in the client, or group by the shard key",
            );
        }
        let text = self.splicer.text(expr.clone());
        let number = [b"(", text.as_slice(), b")+0"].concat();
        if !self.is_constant(expr) {
            self.cut(number.clone());
        }
        let value = self.key_column(number, false);
        Ok(SortColumn { value, weight: None, pad: None })
    }

    /// Whether an expression is a number whatever its columns hold, or a column whose number
    /// is the same to SUM as to `+`. Servers round times with a fraction to be distinct.
    fn is_numeric(&self, expr: Range<usize>) -> bool {
        let facts = &self.form.facts;
        if let Some(column) = column_at(self.pieces, expr.clone(), facts) {
            return facts.definition(column).is_some_and(|column| !has_fraction(column));
        }
        let mut index = expr.start;
        while index < expr.end {
            let column = [5, 3, 1].into_iter().find_map(|length| {
                let end = index + length;
                let bound = column_at(self.pieces, index..end.min(expr.end), facts);
                bound.filter(|_| end <= expr.end).map(|bound| (end, bound))
            });
            let word = self.pieces.identifier(index).is_some();
            index = match column {
                Some((end, bound)) if facts.definition(bound).is_some_and(is_number) => end,
                Some(_) => return false,
                None if word && !self.pieces.is_any_word(index, NUMERIC_WORDS) => return false,
                None => index + 1,
            };
        }
        true
    }

    fn cut(&mut self, text: Vec<u8>) {
        if !self.cuts.contains(&text) {
            self.cuts.push(text);
        }
    }

    /// A hidden column of what the shards group by. Of a column it is valid as it is; other
    /// expressions are put into MIN.
    fn key_column(&mut self, text: Vec<u8>, is_column: bool) -> ColumnRef {
        self.in_groups = !is_column;
        let column = self.hidden(text);
        self.in_groups = false;
        column
    }

    /// Whether an expression has the same value on every row. (GROUP BY would take a number
    /// for a position.)
    fn is_constant(&self, expr: Range<usize>) -> bool {
        let named = |index: usize| {
            self.pieces.identifier(index).is_some()
                && !self.pieces.is_any_word(index, &["NULL", "TRUE", "FALSE"])
        };
        !expr.into_iter().any(named)
    }
}
