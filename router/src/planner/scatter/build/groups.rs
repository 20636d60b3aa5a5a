//! Groups whose rows are on several shards: what every shard computes of its part of a
//! group, and how the parts are merged.

use super::{Builder, KeyTarget, refuse};
use crate::{
    plan::{
        AggregateColumn, ColumnRef, Grouping, Merge, MergeFunction, OrderKey, Refusal, SortColumn,
    },
    planner::scatter::{
        has_aggregate,
        item::{Aggregate, AggregateFunction, ItemKind, comparison, kind_of},
        weight::Comparison,
    },
    splice::Edit,
};
use std::ops::Range;

impl Builder<'_> {
    /// Groups whose rows are on several shards: partial results are merged.
    pub(super) fn merge_groups(&mut self, keys: &[KeyTarget]) -> Result<Merge, Refusal> {
        let shape = &self.form.shape;
        if shape.having {
            return refuse(
                "HAVING over groups that span several shards is not supported yet",
                "filter the groups in the client, or group by the shard key",
            );
        }
        if shape.distinct {
            return refuse(
                "DISTINCT together with groups that span several shards is not supported yet",
                "leave DISTINCT out, or group by the shard key",
            );
        }
        let one_row = shape.group_by.is_empty();
        let cut = self.cuts_groups();
        let mut grouping = Grouping { keys: Vec::new(), aggregates: Vec::new(), one_row };
        for index in 0..self.form.items.len() {
            if let Some(aggregate) = self.aggregate(index, one_row, cut)? {
                grouping.aggregates.push(aggregate);
            }
        }
        self.in_groups = true;
        for key in keys {
            grouping.keys.extend(self.sort_column(key, false)?);
        }
        let mut merge = Merge::default();
        if !one_row {
            for item in &shape.order_by {
                let target = self.target(item.expr.clone(), true)?;
                if let Some(column) = self.group_order(&target, cut, &mut grouping)? {
                    merge.order_by.push(OrderKey { column, descending: item.descending });
                }
            }
        }
        if shape.order_by.is_empty() {
            for key in keys {
                let column = self.sort_column(key, true)?;
                merge.order_by.extend(column.map(|column| OrderKey { column, descending: false }));
            }
        }
        self.in_groups = false;
        merge.grouping = Some(grouping);
        self.limit(&mut merge)?;
        self.send_all_groups(one_row);
        Ok(merge)
    }

    /// Partial groups must all arrive: neither order nor limit before the merge.
    fn send_all_groups(&mut self, one_row: bool) {
        let shape = &self.form.shape;
        self.remove(shape.order_pieces.clone());
        let limit = shape.limit.as_ref().map(|limit| limit.pieces.clone());
        self.remove(limit.unwrap_or_default());
        let cuts = self.cuts.join(b", ".as_slice());
        if !cuts.is_empty() {
            let (at, word) = match shape.group_by.last() {
                Some(last) => (last.end, b", ".as_slice()),
                None => (shape.filter_end, b"GROUP BY ".as_slice()),
            };
            self.splicer.edits.push(Edit { pieces: at..at, text: [word, &cuts].concat() });
        }
        if !(one_row && cuts.is_empty()) {
            // Servers sort groups unless told otherwise.
            let tail = self.tail();
            self.splicer.edits.push(Edit { pieces: tail..tail, text: b"ORDER BY NULL".to_vec() });
        }
        self.all_rows(None);
    }

    /// The column by which groups are ordered.
    fn group_order(
        &mut self,
        target: &KeyTarget,
        cut: bool,
        grouping: &mut Grouping,
    ) -> Result<Option<SortColumn>, Refusal> {
        let aggregate = match target {
            KeyTarget::Item(index) => match &self.form.items[*index].kind {
                ItemKind::Aggregate(_) => Some(self.form.items[*index].expr.clone()),
                _ => None,
            },
            KeyTarget::Expr(expr) => has_aggregate(self.pieces, expr.clone()).then(|| expr.clone()),
            KeyTarget::Column(_) | KeyTarget::Nothing => None,
        };
        let Some(expr) = aggregate else { return self.sort_column(target, true) };
        let ItemKind::Aggregate(aggregate) = kind_of(self.pieces, expr.clone(), &self.form.facts)
        else {
            return refuse(
                "groups that span several shards are ordered by an expression around aggregates",
                "order by the aggregates themselves, or in the client",
            );
        };
        if comparison(self.pieces, expr.clone(), &self.form.facts) != Comparison::ByType {
            return refuse(
                "groups that span several shards are ordered by MIN or MAX of what may be a string",
                "order them in the client, or group by the shard key",
            );
        }
        if matches!(target, KeyTarget::Item(_)) {
            return self.sort_column(target, true);
        }
        // It is not selected: the shards send it in a hidden column, which is merged too.
        self.in_groups = false;
        let text = match cut && aggregate.counts_values_once() {
            true => self.uncut_text(&aggregate),
            false => self.splicer.text(expr.clone()),
        };
        self.hidden.push(text);
        let column = ColumnRef::Hidden(self.hidden.len() - 1);
        let function = self.merge_function(&aggregate, expr, column, cut)?;
        self.in_groups = true;
        grouping.aggregates.push(AggregateColumn { column, function });
        Ok(Some(SortColumn { value: column, weight: None, pad: None }))
    }

    /// How the select item `index` is merged; None for what any row of a group has.
    fn aggregate(
        &mut self,
        index: usize,
        one_row: bool,
        cut: bool,
    ) -> Result<Option<AggregateColumn>, Refusal> {
        let item = &self.form.items[index];
        let aggregate = match &item.kind {
            ItemKind::Aggregate(aggregate) => aggregate.clone(),
            ItemKind::AroundAggregate => {
                return refuse(
                    "expressions over aggregates, and aggregates other than COUNT, SUM, MIN, MAX and AVG, are not supported yet over groups that span several shards",
                    "select the plain aggregates and compute in the client, or group by the shard key",
                );
            }
            ItemKind::Constant if one_row && cut => {
                return refuse(
                    "a constant beside aggregates of DISTINCT values is not supported yet over several shards",
                    "leave the constant out",
                );
            }
            ItemKind::Constant => return Ok(None),
            _ if one_row => {
                return refuse(
                    "a column beside aggregates without GROUP BY has no defined value over several shards",
                    "add GROUP BY, or leave the column out",
                );
            }
            _ => return Ok(None),
        };
        let Some(visible) = self.visible(index) else {
            return refuse(
                "aggregates behind * are not supported over several shards",
                "name the columns",
            );
        };
        let column = ColumnRef::Visible(visible);
        let function = self.merge_function(&aggregate, item.expr.clone(), column, cut)?;
        if cut && aggregate.counts_values_once() {
            self.replace_item(index, self.uncut_text(&aggregate));
        }
        Ok(Some(AggregateColumn { column, function }))
    }

    /// How the aggregate `expr` comes together in `column`.
    fn merge_function(
        &mut self,
        aggregate: &Aggregate,
        expr: Range<usize>,
        column: ColumnRef,
        cut: bool,
    ) -> Result<MergeFunction, Refusal> {
        if cut && aggregate.counts_values_once() {
            return self.merge_distinct(aggregate);
        }
        Ok(match aggregate.function {
            AggregateFunction::Count => MergeFunction::SumOfCounts,
            AggregateFunction::Sum => MergeFunction::Sum,
            AggregateFunction::Average => {
                let argument = self.splicer.text(aggregate.argument.clone());
                let open = if aggregate.distinct { "(DISTINCT " } else { "(" };
                let call =
                    |name: &str| [name.as_bytes(), open.as_bytes(), &argument, b")"].concat();
                MergeFunction::Average {
                    sum: self.hidden(call("SUM")),
                    count: self.hidden(call("COUNT")),
                }
            }
            AggregateFunction::Min | AggregateFunction::Max => {
                let compare = comparison(self.pieces, expr.clone(), &self.form.facts);
                if cut && compare == Comparison::Number("+0") {
                    return refuse(
                        "MIN and MAX of BIT beside aggregates of DISTINCT values over several shards are not supported",
                        "use MIN(column + 0)",
                    );
                }
                let text = self.splicer.text(expr);
                let by = match self.numbered(&text, &compare) {
                    Some(by) => by,
                    None => self.weighted(column, &text, &compare)?,
                };
                match aggregate.function {
                    AggregateFunction::Min => MergeFunction::Min { by },
                    _ => MergeFunction::Max { by },
                }
            }
        })
    }
}
