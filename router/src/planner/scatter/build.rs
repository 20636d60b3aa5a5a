//! A scatter for one execution: the statement of every shard and the merge.

mod columns;

use crate::{
    bind::BoundColumn,
    conjunct::piece_value,
    lexer::TokenKind,
    parse::{Pieces, locking_clause},
    plan::{
        AggregateColumn, ColumnRef, Grouping, Merge, MergeFunction, OrderKey, Refusal, SortColumn,
    },
    planner::scatter::{
        ScatterForm, has_aggregate,
        item::{
            Aggregate, AggregateFunction, Item, ItemKind, column_at, comparison, kind_of, same,
        },
        weight::{Comparison, Weights, column_comparison},
    },
    route::Values,
    splice::{Edit, Splicer},
};
use std::ops::Range;

/// The text for every shard, and how the results become one.
pub(crate) struct Built {
    pub(crate) sql: Vec<u8>,
    pub(crate) merge: Merge,
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
) -> Result<Built, Refusal> {
    // Insertions are the aliases of select items, which copies of the items must not have.
    let mut splicer = splicer;
    let (aliases, edits) = splicer.edits.into_iter().partition(|edit| edit.pieces.is_empty());
    splicer.edits = edits;
    let hidden = Vec::new();
    let mut builder =
        Builder { form, pieces, values, splicer, aliases, select_limit, hidden, in_groups: false };
    let merge = builder.merge()?;
    Ok(builder.finish(merge))
}

impl Builder<'_> {
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

    /// Groups whose rows are on several shards: partial results are merged.
    fn merge_groups(&mut self, keys: &[KeyTarget]) -> Result<Merge, Refusal> {
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
        let mut grouping = Grouping { keys: Vec::new(), aggregates: Vec::new() };
        for index in 0..self.form.items.len() {
            if let Some(aggregate) = self.aggregate(index, keys.is_empty())? {
                grouping.aggregates.push(aggregate);
            }
        }
        self.in_groups = true;
        for key in keys {
            grouping.keys.extend(self.sort_column(key, false)?);
        }
        let mut merge = Merge::default();
        for item in &self.form.shape.order_by {
            let target = self.target(item.expr.clone(), true)?;
            if keys.is_empty() {
                continue;
            }
            self.check_group_order(&target)?;
            if let Some(column) = self.sort_column(&target, true)? {
                merge.order_by.push(OrderKey { column, descending: item.descending });
            }
        }
        if self.form.shape.order_by.is_empty() {
            for key in keys {
                let column = self.sort_column(key, true)?;
                merge.order_by.extend(column.map(|column| OrderKey { column, descending: false }));
            }
        }
        merge.grouping = Some(grouping);
        self.limit(&mut merge)?;
        // Partial groups must all arrive: neither order nor limit before the merge.
        self.remove(shape.order_pieces.clone());
        self.all_rows(shape.limit.as_ref().map(|limit| limit.pieces.clone()));
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
            let end = self.form.shape.end;
            let tail = (0..end).find(|&index| locking_clause(self.pieces, index) > 0);
            let tail = tail.unwrap_or(end);
            let text = format!("LIMIT {}", u64::MAX).into_bytes();
            self.splicer.edits.push(Edit { pieces: tail..tail, text });
        }
    }

    fn check_group_order(&self, target: &KeyTarget) -> Result<(), Refusal> {
        let (expr, aggregate) = match target {
            KeyTarget::Item(index) => {
                let item = &self.form.items[*index];
                (item.expr.clone(), matches!(item.kind, ItemKind::Aggregate(_)))
            }
            KeyTarget::Expr(expr) if has_aggregate(self.pieces, expr.clone()) => {
                return refuse(
                    "groups that span several shards are ordered by an aggregate that is not selected",
                    "add it to the select list with an alias and order by the alias",
                );
            }
            KeyTarget::Expr(_) | KeyTarget::Column(_) | KeyTarget::Nothing => return Ok(()),
        };
        if aggregate && comparison(self.pieces, expr, &self.form.facts) != Comparison::ByType {
            return refuse(
                "groups that span several shards are ordered by MIN or MAX of what may be a string",
                "order them in the client, or group by the shard key",
            );
        }
        Ok(())
    }

    /// How the select item `index` is merged; None for what any row of a group has.
    fn aggregate(
        &mut self,
        index: usize,
        ungrouped: bool,
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
            ItemKind::Constant => return Ok(None),
            _ if ungrouped => {
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
        let function = self.merge_function(&aggregate, item, column)?;
        Ok(Some(AggregateColumn { column, function }))
    }

    fn merge_function(
        &mut self,
        aggregate: &Aggregate,
        item: &Item,
        column: ColumnRef,
    ) -> Result<MergeFunction, Refusal> {
        let summed = !matches!(aggregate.function, AggregateFunction::Min | AggregateFunction::Max);
        if aggregate.distinct && summed {
            return refuse(
                "COUNT, SUM and AVG of DISTINCT values over groups that span several shards are not supported yet",
                "SELECT DISTINCT the values and count them in the client, or group by the shard key",
            );
        }
        Ok(match aggregate.function {
            AggregateFunction::Count => MergeFunction::SumOfCounts,
            AggregateFunction::Sum => MergeFunction::Sum,
            AggregateFunction::Average => {
                let argument = self.splicer.text(aggregate.argument.clone());
                let call = |name: &str| [name.as_bytes(), b"(", &argument, b")"].concat();
                MergeFunction::Average {
                    sum: self.hidden(call("SUM")),
                    count: self.hidden(call("COUNT")),
                }
            }
            AggregateFunction::Min | AggregateFunction::Max => {
                let compare = comparison(self.pieces, item.expr.clone(), &self.form.facts);
                let text = self.splicer.text(item.expr.clone());
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

    /// What a key of ORDER BY (`order`) or GROUP BY stands for.
    fn target(&self, expr: Range<usize>, order: bool) -> Result<KeyTarget, Refusal> {
        let (pieces, facts) = (self.pieces, &self.form.facts);
        if expr.len() == 1 {
            match pieces.kind(expr.start) {
                Some(TokenKind::Integer) => return self.position(expr.start),
                Some(TokenKind::Parameter) => {
                    return refuse(
                        "a parameter as a key of ORDER BY or GROUP BY is a constant",
                        "write the column's name or its position in the text",
                    );
                }
                _ if pieces.is_word(expr.start, "NULL") => return Ok(KeyTarget::Nothing),
                _ => {}
            }
            if let Some(name) = pieces.identifier(expr.start) {
                let column = column_at(pieces, expr.clone(), facts);
                // In GROUP BY a column hides an alias; in ORDER BY it is the other way round.
                if order || column.is_none() {
                    let named = |item: &Item| {
                        item.name(facts).is_some_and(|n| n.to_lowercase() == name.to_lowercase())
                    };
                    if let Some(index) = self.form.items.iter().position(named) {
                        return Ok(KeyTarget::Item(index));
                    }
                }
            }
        }
        let equal = |item: &Item| {
            !matches!(item.kind, ItemKind::Star(_))
                && same(pieces, item.expr.clone(), expr.clone(), facts)
        };
        if let Some(index) = self.form.items.iter().position(equal) {
            return Ok(KeyTarget::Item(index));
        }
        if let Some(bound) = column_at(pieces, expr.clone(), facts) {
            let starred = |item: &Item| matches!(&item.kind, ItemKind::Star(of) if of.contains(&bound.instance));
            if self.form.items.iter().any(starred) {
                return Ok(KeyTarget::Column(bound));
            }
        }
        self.check_aliases(expr.clone(), order)?;
        Ok(KeyTarget::Expr(expr))
    }

    /// A select list cannot refer to its own aliases, so hidden columns cannot either.
    fn check_aliases(&self, expr: Range<usize>, order: bool) -> Result<(), Refusal> {
        let facts = &self.form.facts;
        let aliased = |index: usize| {
            let qualified = index > 0 && self.pieces.is(index - 1, TokenKind::Dot);
            let called = self.pieces.is(index + 1, TokenKind::LeftParen);
            let name = self.pieces.identifier(index).filter(|_| !qualified && !called)?;
            let named = |item: &&Item| {
                item.alias.as_ref().is_some_and(|a| a.to_lowercase() == name.to_lowercase())
            };
            let item = self.form.items.iter().find(named)?;
            let column = column_at(self.pieces, index..index + 1, facts);
            let same = matches!((column, &item.kind), (Some(a), ItemKind::Column(b)) if a == *b);
            // GROUP BY takes the column, as a hidden column does.
            let hidden = column.is_some() && !order;
            (!same && !hidden).then(|| name.into_owned())
        };
        if let Some(alias) = expr.into_iter().find_map(aliased) {
            return Err(Refusal::not_supported(
                format!(
                    "an ORDER BY or GROUP BY expression uses the alias '{alias}' over several shards"
                ),
                "write the expression that the alias stands for",
            ));
        }
        Ok(())
    }

    fn position(&self, index: usize) -> Result<KeyTarget, Refusal> {
        let text = std::str::from_utf8(self.pieces.text(index)).unwrap_or_default();
        let position = text.parse::<usize>().ok().and_then(|position| position.checked_sub(1));
        let unknown = || {
            Err(Refusal {
                code: 1054,
                reason: format!("Unknown column '{text}' in 'order clause'"),
                hint: "positions count the select list's columns from 1".into(),
            })
        };
        let Some(mut left) = position else { return unknown() };
        for (number, item) in self.form.items.iter().enumerate() {
            match &item.kind {
                ItemKind::Star(of) => {
                    let [instance] = of.as_slice() else {
                        return refuse(
                            "a position behind the * of a join is not supported over several shards",
                            "write the column's name",
                        );
                    };
                    let shown = self.shown_columns(*instance);
                    if let Some(&column) = shown.get(left) {
                        return Ok(KeyTarget::Column(BoundColumn { instance: *instance, column }));
                    }
                    left -= shown.len();
                }
                _ if left == 0 => return Ok(KeyTarget::Item(number)),
                _ => left -= 1,
            }
        }
        unknown()
    }

    /// The columns that `*` shows of a table.
    fn shown_columns(&self, instance: usize) -> Vec<usize> {
        let table = self.form.facts.instances[instance].table.as_ref();
        let columns = table.map(|table| table.columns.as_slice()).unwrap_or_default();
        (0..columns.len()).filter(|index| !columns[*index].invisible).collect()
    }

    /// The place of a select item among the result's columns; None behind a star that
    /// stands for a join.
    fn visible(&self, index: usize) -> Option<usize> {
        let before = self.form.items[..index].iter().map(|item| match &item.kind {
            ItemKind::Star(of) => match of.as_slice() {
                [instance] => Some(self.shown_columns(*instance).len()),
                _ => None,
            },
            _ => Some(1),
        });
        before.sum()
    }

    /// The column by which a target is compared. For `order`, an ENUM goes by its number.
    fn sort_column(
        &mut self,
        target: &KeyTarget,
        order: bool,
    ) -> Result<Option<SortColumn>, Refusal> {
        let (text, compare, shown) = match target {
            KeyTarget::Nothing => return Ok(None),
            KeyTarget::Item(index) => {
                let item = &self.form.items[*index];
                let expr = item.expr.clone();
                if item.kind == ItemKind::Constant {
                    return Ok(None);
                }
                let compare = comparison(self.pieces, expr.clone(), &self.form.facts);
                (self.splicer.text(expr), compare, self.visible(*index))
            }
            KeyTarget::Expr(expr) => {
                if kind_of(self.pieces, expr.clone(), &self.form.facts) == ItemKind::Constant {
                    return Ok(None);
                }
                let compare = comparison(self.pieces, expr.clone(), &self.form.facts);
                (self.splicer.text(expr.clone()), compare, None)
            }
            KeyTarget::Column(bound) => {
                let (text, compare) = self.column_text(*bound);
                (text, compare, None)
            }
        };
        if let Some(number) = self.numbered(&text, &compare) {
            return Ok(Some(number));
        }
        if compare == Comparison::Enum && order {
            let number = self.hidden([b"(", text.as_slice(), b")+0"].concat());
            return Ok(Some(SortColumn { value: number, weight: None, pad: None }));
        }
        let value = match shown {
            Some(index) => ColumnRef::Visible(index),
            None => self.hidden(text.clone()),
        };
        self.weighted(value, &text, &compare).map(Some)
    }

    /// The number that a value is compared by, where its form does not show it.
    fn numbered(&mut self, text: &[u8], compare: &Comparison) -> Option<SortColumn> {
        let Comparison::Number(suffix) = compare else { return None };
        let value = self.hidden([b"(", text, b")", suffix.as_bytes()].concat());
        Some(SortColumn { value, weight: None, pad: None })
    }

    fn column_text(&self, bound: BoundColumn) -> (Vec<u8>, Comparison) {
        let facts = &self.form.facts;
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        let instance = &facts.instances[bound.instance];
        let column = facts.definition(bound).map(|column| column.name.as_str()).unwrap_or_default();
        let text = format!("{}.{}", quoted(&instance.name), quoted(column)).into_bytes();
        let kind = facts.definition(bound).map(column_comparison);
        (text, kind.unwrap_or(Comparison::Unknown))
    }

    /// A value with the hidden weights that it is compared by.
    fn weighted(
        &mut self,
        value: ColumnRef,
        text: &[u8],
        compare: &Comparison,
    ) -> Result<SortColumn, Refusal> {
        let Weights { weight, pad } = Weights::of(text, compare, &self.form.facts)?;
        let weight = weight.map(|weight| self.hidden(weight));
        let pad = pad.map(|pad| self.hidden(pad));
        Ok(SortColumn { value, weight, pad })
    }

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

    fn finish(mut self, mut merge: Merge) -> Built {
        merge.hidden = self.hidden.len();
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
        Built { sql: self.splicer.text(0..self.form.shape.end), merge }
    }
}
