//! GROUP BY over the shards' groups, and DISTINCT.

use super::{
    Budget, MergeError,
    aggregate::{Aggregate, State, identity_of},
    key::{Comparison, key_of},
    layout::Layout,
    row::{Row, encode},
};
use shardline_router::plan::Grouping;
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};

/// What a map entry takes beside its key, roughly.
const ENTRY_BYTES: usize = 64;

/// The groups so far, in the order of their first rows.
#[derive(Debug)]
pub(crate) struct Groups {
    keys: Vec<Comparison>,
    aggregates: Vec<Aggregate>,
    /// Visible columns that are no aggregates.
    plain: Vec<usize>,
    places: HashMap<Box<[u8]>, usize>,
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
        let aggregates = grouping.aggregates.iter().map(|column| Aggregate::new(layout, column));
        let aggregates: Vec<_> = aggregates.collect::<Result<_, _>>()?;
        let is_plain = |column: &usize| !aggregates.iter().any(|filled| filled.column == *column);
        Ok(Groups {
            keys: keys.collect::<Result<_, _>>()?,
            plain: (0..layout.visible).filter(is_plain).collect(),
            aggregates,
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
        identity_of(&mut self.scratch, &row, &key);
        let place = match self.places.get(self.scratch.as_slice()) {
            Some(place) => *place,
            None => {
                let states_bytes = self.aggregates.len() * size_of::<State>();
                budget.keep_row(self.scratch.len() + ENTRY_BYTES + row.memory() + states_bytes)?;
                self.places.insert(self.scratch.as_slice().into(), self.groups.len());
                let states = self.aggregates.iter().map(Aggregate::start).collect();
                self.groups.push(Group { row: row.clone().detached(), states });
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[place];
        for (aggregate, state) in self.aggregates.iter().zip(&mut group.states) {
            budget.keep_bytes(aggregate.add(layout, state, &row)?)?;
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
    pub(crate) fn finish(self, layout: &Layout) -> Result<Vec<Row>, MergeError> {
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

/// The rows that DISTINCT has seen.
#[derive(Debug)]
pub(crate) struct Distinct {
    keys: Vec<Comparison>,
    seen: HashSet<Box<[u8]>>,
    scratch: Vec<u8>,
}

impl Distinct {
    pub(crate) fn new(keys: Vec<Comparison>) -> Self {
        Distinct { keys, seen: HashSet::new(), scratch: Vec::new() }
    }

    /// Whether no equal row came before.
    pub(crate) fn is_new(
        &mut self,
        layout: &Layout,
        row: &Row,
        budget: &mut Budget,
    ) -> Result<bool, MergeError> {
        let key = key_of(&self.keys, layout, row)?;
        identity_of(&mut self.scratch, row, &key);
        if self.seen.contains(self.scratch.as_slice()) {
            return Ok(false);
        }
        budget.keep_row(self.scratch.len() + ENTRY_BYTES)?;
        self.seen.insert(self.scratch.as_slice().into());
        Ok(true)
    }
}
