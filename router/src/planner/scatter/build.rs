//! A scatter for one execution: the statement of every shard and the merge.

mod target;

mod groups;

mod distinct;

mod columns;
mod weighed;

use crate::{
    bind::BoundColumn,
    conjunct::piece_value,
    parse::{Pieces, locking_clause},
    plan::{ColumnRef, Merge, OrderKey, Refusal},
    planner::scatter::{ScatterForm, has_aggregate, item::ItemKind},
    route::Values,
    splice::{Edit, Splicer},
};
use std::ops::Range;

/// The text for the shards, and how the results become one.
pub(crate) struct Built<'a> {
    splicer: Splicer<'a>,
    end: usize,
    pub(crate) merge: Merge,
}

impl Built<'_> {
    /// The text, with these edits before others at the same place.
    pub(crate) fn text(&self, more: Vec<Edit>) -> Vec<u8> {
        self.splicer.with(more).text(0..self.end)
    }
}

/// What an ORDER BY or GROUP BY key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyTarget {
    /// A select item by number.
    Item(usize),
    /// A column that a star of the select list stands for.
    Column(BoundColumn),
    /// An expression of its own.
    Expr(Range<usize>),
    /// NULL: no key.
    Nothing,
}

struct Builder<'a> {
    form: &'a ScatterForm,
    pieces: &'a Pieces<'a>,
    values: Values<'a>,
    splicer: Splicer<'a>,
    aliases: Vec<Edit>,
    /// The session's sql_select_limit, which is the LIMIT of statements without one.
    select_limit: Option<u64>,
    hidden: Vec<Vec<u8>>,
    /// Hidden columns stand in groups: each is put into MIN, which is valid under
    /// ONLY_FULL_GROUP_BY and gives a key's own value.
    in_groups: bool,
    /// Keys that the shards group by beside the statement's own.
    cuts: Vec<Vec<u8>>,
    /// Select items that the shards compute otherwise.
    replaced: Vec<Edit>,
}

fn refuse<T>(reason: &str, hint: &str) -> Result<T, Refusal> {
    Err(Refusal::not_supported(reason, hint))
}

/// Builds the scatter of one execution. `splicer` has the session's edits and the
/// parameters' values.
pub(crate) fn build<'a>(
    form: &'a ScatterForm,
    pieces: &'a Pieces<'a>,
    values: Values<'a>,
    splicer: Splicer<'a>,
    select_limit: Option<u64>,
) -> Result<Built<'a>, Refusal> {
    // Insertions are the aliases of select items, which copies of the items must not have.
    let mut splicer = splicer;
    let (aliases, edits) = splicer.edits.into_iter().partition(|edit| edit.pieces.is_empty());
    splicer.edits = edits;
    let mut builder = Builder {
        form,
        pieces,
        values,
        splicer,
        aliases,
        select_limit,
        hidden: Vec::new(),
        in_groups: false,
        cuts: Vec::new(),
        replaced: Vec::new(),
    };
    let merge = builder.merge()?;
    Ok(builder.finish(merge))
}

impl<'a> Builder<'a> {
    fn merge(&mut self) -> Result<Merge, Refusal> {
        let shape = &self.form.shape;
        if shape.rollup {
            return refuse(
                "WITH ROLLUP over several shards is not supported yet",
                "leave ROLLUP out and add the totals yourself",
            );
        }
        let aggregates =
            self.form.items.iter().any(|item| {
                matches!(item.kind, ItemKind::Aggregate(_) | ItemKind::AroundAggregate)
            });
        let order_aggregates =
            shape.order_by.iter().any(|item| has_aggregate(self.pieces, item.expr.clone()));
        let keys = shape.group_by.iter().map(|key| self.target(key.clone(), false));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let grouped = !keys.is_empty();
        let local = grouped && self.covers_key(&self.columns_of(&keys));
        if local || !(grouped || aggregates || order_aggregates || shape.having) {
            self.merge_rows(&keys)
        } else {
            self.merge_groups(&keys)
        }
    }

    /// Rows or whole groups: nothing of one row is on two shards.
    fn merge_rows(&mut self, group: &[KeyTarget]) -> Result<Merge, Refusal> {
        let shape = &self.form.shape;
        if shape.having && group.is_empty() {
            return refuse("HAVING over several shards is not supported yet", "use WHERE");
        }
        let mut merge = Merge::default();
        if shape.distinct && !self.covers_key(&self.item_columns()) {
            merge.distinct = Some(self.distinct_columns()?);
        }
        for item in &shape.order_by {
            let target = self.target(item.expr.clone(), true)?;
            if shape.distinct && matches!(target, KeyTarget::Expr(_)) {
                return refuse(
                    "SELECT DISTINCT over several shards is ordered by something that is not selected",
                    "add the ORDER BY expression to the select list",
                );
            }
            // A key of the groups has one value in each; anything else has that of the row
            // that is shown.
            self.in_groups = group.contains(&target);
            if let Some(column) = self.sort_column(&target, true)? {
                merge.order_by.push(OrderKey { column, descending: item.descending });
            }
        }
        self.in_groups = false;
        self.limit(&mut merge)?;
        if shape.distinct && !self.hidden.is_empty() {
            // Texts that are equal may have several weights: a shard that counts these as
            // rows of their own must neither cut them off nor be the only one to compare.
            if merge.distinct.is_none() {
                merge.distinct = Some(self.distinct_columns()?);
            }
            self.all_rows(shape.limit.as_ref().map(|limit| limit.pieces.clone()));
        }
        Ok(merge)
    }

    fn remove(&mut self, pieces: Range<usize>) {
        if !pieces.is_empty() {
            self.splicer.edits.retain(|edit| !pieces.contains(&edit.pieces.start));
            self.splicer.edits.push(Edit { pieces, text: Vec::new() });
        }
    }

    /// Makes the shards send all rows: without the LIMIT clause and the session's limit.
    fn all_rows(&mut self, limit: Option<Range<usize>>) {
        self.remove(limit.unwrap_or_default());
        if self.select_limit.is_some() {
            let tail = self.tail();
            let text = format!("LIMIT {}", u64::MAX).into_bytes();
            self.splicer.edits.push(Edit { pieces: tail..tail, text });
        }
    }

    /// The place behind all clauses but FOR UPDATE and the like.
    fn tail(&self) -> usize {
        let end = self.form.shape.end;
        (0..end).find(|&index| locking_clause(self.pieces, index) > 0).unwrap_or(end)
    }

    /// The hidden column of an expression, one for all that need the same.
    fn hidden(&mut self, text: Vec<u8>) -> ColumnRef {
        let text = match self.in_groups {
            true => [b"MIN(", text.as_slice(), b")"].concat(),
            false => text,
        };
        let found = self.hidden.iter().position(|before| *before == text);
        ColumnRef::Hidden(found.unwrap_or_else(|| {
            self.hidden.push(text);
            self.hidden.len() - 1
        }))
    }

    fn limit(&mut self, merge: &mut Merge) -> Result<(), Refusal> {
        let Some(clause) = self.form.shape.limit.clone() else {
            merge.limit = self.select_limit;
            return Ok(());
        };
        let number = |index| {
            let value = piece_value(self.pieces, index, false);
            value.and_then(|value| self.values.count(value)).ok_or_else(|| Refusal {
                code: 1064,
                reason: "LIMIT needs whole numbers that are not negative".into(),
                hint: "give LIMIT and OFFSET integers".into(),
            })
        };
        let limit = number(clause.count)?;
        let offset = clause.offset.map(number).transpose()?.unwrap_or(0);
        merge.limit = Some(limit);
        merge.offset = offset;
        let text = format!("LIMIT {}", limit.saturating_add(offset)).into_bytes();
        self.splicer.edits.push(Edit { pieces: clause.pieces, text });
        Ok(())
    }

    fn finish(mut self, mut merge: Merge) -> Built<'a> {
        merge.hidden = self.hidden.len();
        let replaced = std::mem::take(&mut self.replaced);
        let inside = |edit: &Edit| {
            replaced.iter().any(|outer| {
                outer.pieces.start <= edit.pieces.start && edit.pieces.end <= outer.pieces.end
            })
        };
        self.splicer.edits.retain(|edit| !inside(edit));
        self.splicer.edits.extend(replaced);
        self.splicer.edits.extend(std::mem::take(&mut self.aliases));
        if !self.hidden.is_empty() {
            let mut text = Vec::new();
            for (number, expr) in self.hidden.iter().enumerate() {
                text.extend_from_slice(b", ");
                text.extend_from_slice(expr);
                text.extend_from_slice(format!(" AS `_shardline_{}`", number + 1).as_bytes());
            }
            let at = self.form.shape.list_end;
            self.splicer.edits.push(Edit { pieces: at..at, text });
        }
        Built { splicer: self.splicer, end: self.form.shape.end, merge }
    }
}
