//! Which columns a select list or a key list stands for, and whether they hold the whole
//! shard key.

use super::{Builder, KeyTarget};
use crate::{
    bind::BoundColumn,
    conjunct::KeySlot,
    plan::{Refusal, SortColumn},
    planner::scatter::item::{ItemKind, column_at},
};

impl Builder<'_> {
    /// The columns that `*` shows of a table.
    pub(super) fn shown_columns(&self, instance: usize) -> Vec<usize> {
        let table = self.form.facts.instances[instance].table.as_ref();
        let columns = table.map(|table| table.columns.as_slice()).unwrap_or_default();
        (0..columns.len()).filter(|index| !columns[*index].invisible).collect()
    }

    /// The place of a select item among the result's columns; None behind a star that
    /// stands for a join.
    pub(super) fn visible(&self, index: usize) -> Option<usize> {
        let before = self.form.items[..index].iter().map(|item| match &item.kind {
            ItemKind::Star(of) => match of.as_slice() {
                [instance] => Some(self.shown_columns(*instance).len()),
                _ => None,
            },
            _ => Some(1),
        });
        before.sum()
    }

    pub(super) fn distinct_columns(&mut self) -> Result<Vec<SortColumn>, Refusal> {
        let mut columns = Vec::new();
        for index in 0..self.form.items.len() {
            if let ItemKind::Star(instances) = &self.form.items[index].kind {
                for &instance in instances {
                    for column in self.shown_columns(instance) {
                        let target = KeyTarget::Column(BoundColumn { instance, column });
                        columns.extend(self.sort_column(&target, false)?);
                    }
                }
                continue;
            }
            columns.extend(self.sort_column(&KeyTarget::Item(index), false)?);
        }
        Ok(columns)
    }

    pub(super) fn columns_of(&self, targets: &[KeyTarget]) -> Vec<BoundColumn> {
        let column = |target: &KeyTarget| match target {
            KeyTarget::Item(index) => match self.form.items[*index].kind {
                ItemKind::Column(bound) => Some(bound),
                _ => None,
            },
            KeyTarget::Column(bound) => Some(*bound),
            KeyTarget::Expr(expr) => column_at(self.pieces, expr.clone(), &self.form.facts),
            KeyTarget::Nothing => None,
        };
        targets.iter().filter_map(column).collect()
    }

    pub(super) fn item_columns(&self) -> Vec<BoundColumn> {
        let mut columns = Vec::new();
        for item in &self.form.items {
            match &item.kind {
                ItemKind::Column(bound) => columns.push(*bound),
                ItemKind::Star(of) => columns.extend(of.iter().flat_map(|instance| {
                    let instance = *instance;
                    self.shown_columns(instance)
                        .into_iter()
                        .map(move |column| BoundColumn { instance, column })
                })),
                _ => {}
            }
        }
        columns
    }

    /// Whether these columns hold the whole shard key of a table that is not
    /// null-supplied: equal values are then on one shard.
    pub(super) fn covers_key(&self, columns: &[BoundColumn]) -> bool {
        let facts = &self.form.facts;
        let supplied =
            |i: usize| facts.outer_joins.iter().any(|(_, supplied)| supplied.contains(&i));
        let slots: Vec<KeySlot> = columns
            .iter()
            .filter(|bound| !supplied(bound.instance))
            .filter_map(|bound| {
                Some(KeySlot { instance: bound.instance, index: facts.key_index(*bound)? })
            })
            .collect();
        let mut sharded =
            (0..facts.instances.len()).filter_map(|i| Some((i, facts.instances[i].sharding()?)));
        let Some((instance, sharding)) = sharded.next() else { return false };
        (0..sharding.key_columns.len()).all(|index| {
            let wanted = KeySlot { instance, index };
            slots.iter().any(|slot| facts.conjuncts.same_class(*slot, wanted))
        })
    }
}
