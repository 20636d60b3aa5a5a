//! Values that were seen before: of rows for DISTINCT, of groups for their DISTINCT
//! aggregates.

use super::{
    Budget, MergeError,
    key::{Comparison, Part, key_of, push_identity},
    layout::Layout,
    row::Row,
};
use shardline_router::plan::SortColumn;
use smallvec::SmallVec;
use std::collections::HashSet;

/// What an entry of a map or set takes beside its key, roughly.
pub(crate) const ENTRY_BYTES: usize = 64;

/// Bytes that are equal exactly for values that compare equal. Those of one number or short
/// text need no memory of their own.
pub(crate) type Identity = SmallVec<[u8; 24]>;

/// The rows that DISTINCT has seen.
#[derive(Debug)]
pub(crate) struct Distinct {
    keys: Vec<Comparison>,
    seen: HashSet<Identity>,
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
        self.scratch.clear();
        for part in &key {
            push_identity(&mut self.scratch, row, part);
        }
        insert(&mut self.seen, &self.scratch, budget)
    }
}

fn insert(
    seen: &mut HashSet<Identity>,
    identity: &[u8],
    budget: &mut Budget,
) -> Result<bool, MergeError> {
    if seen.contains(identity) {
        return Ok(false);
    }
    let key = Identity::from_slice(identity);
    budget.keep_row(ENTRY_BYTES + if key.spilled() { identity.len() } else { 0 })?;
    seen.insert(key);
    Ok(true)
}

/// The values that DISTINCT aggregates have counted, of all groups.
#[derive(Debug, Default)]
pub(crate) struct ValueSets {
    sets: Vec<Set>,
    seen: HashSet<Identity>,
    scratch: Vec<u8>,
    new: Vec<bool>,
}

/// The values of one or more aggregates with the same arguments.
#[derive(Debug)]
struct Set {
    columns: Vec<SortColumn>,
    keys: Vec<Comparison>,
}

impl ValueSets {
    /// The number of the set of these columns' values.
    pub(crate) fn of(
        &mut self,
        layout: &Layout,
        columns: &[SortColumn],
    ) -> Result<usize, MergeError> {
        if let Some(number) = self.sets.iter().position(|set| set.columns == columns) {
            return Ok(number);
        }
        let keys = columns.iter().map(|column| Comparison::of_column(layout, column));
        let keys = keys.collect::<Result<_, _>>()?;
        self.sets.push(Set { columns: columns.to_vec(), keys });
        Ok(self.sets.len() - 1)
    }

    /// Which sets of the group at `place` get a new value from `row`. Values of which one is
    /// NULL do not count.
    pub(crate) fn add(
        &mut self,
        layout: &Layout,
        place: usize,
        row: &Row,
        budget: &mut Budget,
    ) -> Result<&[bool], MergeError> {
        self.new.clear();
        for (number, set) in self.sets.iter().enumerate() {
            let key = key_of(&set.keys, layout, row)?;
            if key.iter().any(|part| matches!(part, Part::Null)) {
                self.new.push(false);
                continue;
            }
            self.scratch.clear();
            push_number(&mut self.scratch, place);
            push_number(&mut self.scratch, number);
            for part in &key {
                push_identity(&mut self.scratch, row, part);
            }
            self.new.push(insert(&mut self.seen, &self.scratch, budget)?);
        }
        Ok(&self.new)
    }
}

/// Seven bits a byte, so that small numbers are short and none is the start of another.
fn push_number(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
