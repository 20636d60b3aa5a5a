//! GROUP BY over the shards' groups.

use super::{
    Budget, MergeError,
    aggregate::{Aggregate, State},
    distinct::{ENTRY_BYTES, Identity, ValueSets},
    key::{Comparison, key_of, push_identity},
    layout::Layout,
    row::{Row, encode},
};
use shardline_router::plan::Grouping;
use smallvec::SmallVec;
use std::collections::HashMap;

/// The groups so far, in the order of their first rows.
#[derive(Debug)]
pub(crate) struct Groups {
    keys: Vec<Comparison>,
    aggregates: Vec<Aggregate>,
    /// Visible columns that are no aggregates.
    plain: Vec<usize>,
    sets: ValueSets,
    one_row: bool,
    places: HashMap<Identity, usize>,
    groups: Vec<Group>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Group {
    /// The row that gives what is no aggregate.
    row: Row,
    states: SmallVec<[State; 2]>,
}

impl Groups {
    pub(crate) fn new(layout: &Layout, grouping: &Grouping) -> Result<Self, MergeError> {
        let keys = grouping.keys.iter().map(|key| Comparison::of_column(layout, key));
        let mut sets = ValueSets::default();
        let aggregates = grouping.aggregates.iter();
        let aggregates = aggregates.map(|column| Aggregate::new(layout, column, &mut sets));
        let aggregates: Vec<_> = aggregates.collect::<Result<_, _>>()?;
        let is_plain = |column: &usize| !aggregates.iter().any(|filled| filled.column == *column);
        Ok(Groups {
            keys: keys.collect::<Result<_, _>>()?,
            plain: (0..layout.visible).filter(is_plain).collect(),
            aggregates,
            sets,
            one_row: grouping.one_row,
            places: HashMap::new(),
            groups: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Add a shard's row.
    pub(crate) fn add(
        &mut self,
        layout: &Layout,
        row: Row,
        budget: &mut Budget,
    ) -> Result<(), MergeError> {
        let key = key_of(&self.keys, layout, &row)?;
        self.scratch.clear();
        for part in &key {
            push_identity(&mut self.scratch, &row, part);
        }
        let place = match self.places.get(self.scratch.as_slice()) {
            Some(place) => *place,
            None => {
                let states_bytes = self.aggregates.len() * size_of::<State>();
                budget.keep_row(self.scratch.len() + ENTRY_BYTES + row.memory() + states_bytes)?;
                self.places.insert(Identity::from_slice(&self.scratch), self.groups.len());
                let states = self.aggregates.iter().map(Aggregate::start).collect();
                self.groups.push(Group { row: row.clone().detached(), states });
                self.groups.len() - 1
            }
        };
        let new = self.sets.add(layout, place, &row, budget)?;
        let group = &mut self.groups[place];
        for (aggregate, state) in self.aggregates.iter().zip(&mut group.states) {
            budget.keep_bytes(aggregate.add(layout, state, &row, new)?)?;
        }
        // Without GROUP BY a shard without rows sends NULL for a plain column: any
        // other shard's value is the better one.
        let all_null = |row: &Row| self.plain.iter().all(|column| row.field(*column).is_none());
        if self.keys.is_empty() && all_null(&group.row) && !all_null(&row) {
            group.row = row.detached();
        }
        Ok(())
    }

    /// The whole groups as rows with all columns.
    pub(crate) fn finish(mut self, layout: &Layout) -> Result<Vec<Row>, MergeError> {
        if self.one_row && self.groups.is_empty() {
            let nothing = encode(layout, std::iter::repeat_n(None, layout.columns.len()));
            let states = self.aggregates.iter().map(Aggregate::start).collect();
            self.groups.push(Group { row: Row::parse(nothing, layout)?, states });
        }
        let mut rows = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            let mut filled = Vec::with_capacity(self.aggregates.len());
            for (aggregate, state) in self.aggregates.iter().zip(group.states) {
                filled.push((aggregate.column, aggregate.finish(layout, state)?));
            }
            let values = (0..layout.columns.len()).map(|column| {
                match filled.iter().find(|(aggregate, _)| *aggregate == column) {
                    Some((_, value)) => value.as_deref(),
                    None => group.row.value(column),
                }
            });
            rows.push(Row::parse(encode(layout, values), layout)?);
        }
        Ok(rows)
    }
}
