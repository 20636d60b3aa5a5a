//! Placements: which shard owns which slots, intervals or values.

mod units;

pub use units::{Units, UnitsError};

use crate::{
    hash,
    id::ShardId,
    key::{Key, KeyPart, KeyType},
};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// How many slots the hash space of a colocation group is cut into.
pub const SLOTS: u16 = 16_384;

/// A hash slot, `0..SLOTS`: `CRC32(canonical key) MOD 16384`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u16);

/// Which shard owns which part of the key space. Every key has exactly one owner, except
/// that a list without DEFAULT and a range without MAXVALUE leave keys without one (the
/// statement is refused as the server refuses a row without partition).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// Slots.
    Hash(SlotMap),
    /// Intervals in ascending order; each reaches up to its bound, exclusive.
    Range(Vec<RangeUnit>),
    /// Value sets.
    List(ListMap),
}

/// The owners of all slots, stored as runs: neighbouring runs have different owners, and
/// the last ends at [`SLOTS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<SlotRun>", into = "Vec<SlotRun>")]
pub struct SlotMap {
    runs: Vec<SlotRun>,
}

/// Slots in a row with one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRun {
    /// The slot after the last one; the run starts where the one before ends.
    pub end: u16,
    /// The owner.
    pub shard: ShardId,
}

/// Why runs are not a slot map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot runs do not ascend to {SLOTS}: run {index} ends at {end}")]
pub struct SlotRunsError {
    /// The first run that is wrong.
    pub index: usize,
    /// Where it ends.
    pub end: u16,
}

/// One interval of a range placement: from the previous unit's bound (inclusive) to its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeUnit {
    /// Exclusive upper bound; None is MAXVALUE.
    pub less_than: Option<Key>,
    /// The owner.
    pub shard: ShardId,
}

/// The owners of a list placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListMap {
    /// Owner of each listed key.
    #[serde(with = "key_pairs")]
    pub values: BTreeMap<Key, ShardId>,
    /// Owner of every other key.
    pub default: Option<ShardId>,
}

/// Hash slots spread evenly: run `i` of `n` is the slots from `i * SLOTS / n`. None without
/// shards; shards beyond the number of slots get none.
pub fn even_hash(shards: &[ShardId]) -> Option<Placement> {
    let count = u64::try_from(shards.len()).ok().filter(|count| *count > 0)?;
    let runs = (1..=count).zip(shards).map(|(index, shard)| {
        let end = index * u64::from(SLOTS) / count;
        SlotRun { end: u16::try_from(end).unwrap_or(SLOTS), shard: *shard }
    });
    let mut map = SlotMap { runs: Vec::new() };
    runs.for_each(|run| map.push(run));
    Some(Placement::Hash(map))
}

impl Placement {
    /// The owner of a key; `types` are the key columns' types. None when the key is in no
    /// unit, or when `key` has not as many parts as there are key columns.
    pub fn owner(&self, key: &[KeyPart], types: &[KeyType]) -> Option<ShardId> {
        if key.is_empty() || key.len() != types.len() {
            return None;
        }
        match self {
            Placement::Hash(map) => Some(map.owner(hash::slot_of(key, types))),
            Placement::Range(units) => {
                let above = |unit: &RangeUnit| match &unit.less_than {
                    Some(bound) => compare_keys(key, bound, types) != Ordering::Less,
                    None => false,
                };
                units.get(units.partition_point(above)).map(|unit| unit.shard)
            }
            Placement::List(map) => map.values.get(key).copied().or(map.default),
        }
    }

    /// The shards that own anything, without repetition.
    pub fn shards(&self) -> BTreeSet<ShardId> {
        match self {
            Placement::Hash(map) => map.runs.iter().map(|run| run.shard).collect(),
            Placement::Range(units) => units.iter().map(|unit| unit.shard).collect(),
            Placement::List(map) => map.values.values().copied().chain(map.default).collect(),
        }
    }

    /// The shards that may own keys whose **first** part lies between two bounds (for
    /// BETWEEN, `<`, `>` on the first key column): no owner of such a key is missing.
    pub fn owners_of_range(
        &self,
        lower: Bound<&KeyPart>,
        upper: Bound<&KeyPart>,
        types: &[KeyType],
    ) -> BTreeSet<ShardId> {
        let Some(first_type) = types.first() else { return self.shards() };
        let interval = Interval { lower, upper, key_type: first_type };
        match self {
            Placement::Hash(_) => self.shards(),
            Placement::Range(units) => {
                let starts =
                    std::iter::once(None).chain(units.iter().map(|unit| unit.less_than.as_ref()));
                let meets = |(unit, start): &(&RangeUnit, Option<&Key>)| {
                    interval.meets_unit(*start, unit.less_than.as_ref(), types.len())
                };
                units.iter().zip(starts).filter(meets).map(|(unit, _)| unit.shard).collect()
            }
            Placement::List(map) => {
                let listed = map
                    .values
                    .iter()
                    .filter(|(key, _)| key.first().is_some_and(|first| interval.contains(first)));
                listed.map(|(_, shard)| *shard).chain(map.default).collect()
            }
        }
    }
}

/// Values of the first key column between two bounds.
struct Interval<'a> {
    lower: Bound<&'a KeyPart>,
    upper: Bound<&'a KeyPart>,
    key_type: &'a KeyType,
}

impl Interval<'_> {
    fn contains(&self, part: &KeyPart) -> bool {
        let above = match self.lower {
            Bound::Included(lower) => self.key_type.compare(part, lower) != Ordering::Less,
            Bound::Excluded(lower) => self.key_type.compare(part, lower) == Ordering::Greater,
            Bound::Unbounded => true,
        };
        let below = match self.upper {
            Bound::Included(upper) => self.key_type.compare(part, upper) != Ordering::Greater,
            Bound::Excluded(upper) => self.key_type.compare(part, upper) == Ordering::Less,
            Bound::Unbounded => true,
        };
        above && below
    }

    /// Whether a key from `start` (inclusive) to `end` (exclusive) may lie in the interval.
    fn meets_unit(&self, start: Option<&Key>, end: Option<&Key>, columns: usize) -> bool {
        let starts_in_time = match (start.and_then(|key| key.first()), self.upper) {
            (None, _) | (_, Bound::Unbounded) => true,
            (Some(start), Bound::Included(upper)) => {
                self.key_type.compare(start, upper) != Ordering::Greater
            }
            // With more columns the keys of `start`'s own first part lie at or above it too.
            (Some(start), Bound::Excluded(upper)) => {
                self.key_type.compare(start, upper) == Ordering::Less
            }
        };
        let ends_late = match (end.and_then(|key| key.first()), self.lower) {
            (None, _) | (_, Bound::Unbounded) => true,
            (Some(end), Bound::Included(lower) | Bound::Excluded(lower)) => {
                match self.key_type.compare(end, lower) {
                    Ordering::Greater => true,
                    // With one column the bound itself is outside; with more, smaller second
                    // parts under the same first part are inside.
                    Ordering::Equal => columns > 1 && matches!(self.lower, Bound::Included(_)),
                    Ordering::Less => false,
                }
            }
        };
        starts_in_time && ends_late
    }
}

/// The order of two keys: by the first column, then the second, and so on.
pub fn compare_keys(left: &[KeyPart], right: &[KeyPart], types: &[KeyType]) -> Ordering {
    let mut parts = types.iter().zip(left.iter().zip(right));
    parts
        .find_map(|(key_type, (left, right))| match key_type.compare(left, right) {
            Ordering::Equal => None,
            unequal => Some(unequal),
        })
        .unwrap_or(Ordering::Equal)
}

impl SlotMap {
    /// A map from one owner for each slot; None unless there are [`SLOTS`] of them.
    pub fn from_owners(owners: &[ShardId]) -> Option<SlotMap> {
        if owners.len() != usize::from(SLOTS) {
            return None;
        }
        let mut map = SlotMap { runs: Vec::new() };
        for (end, shard) in (1..=SLOTS).zip(owners) {
            map.push(SlotRun { end, shard: *shard });
        }
        Some(map)
    }

    /// The owner of a slot.
    ///
    /// # Panics
    /// When the slot is not below [`SLOTS`].
    pub fn owner(&self, slot: Slot) -> ShardId {
        assert!(slot.0 < SLOTS, "slot {} does not exist", slot.0);
        let index = self.runs.partition_point(|run| run.end <= slot.0);
        self.runs[index].shard
    }

    /// The runs in order.
    pub fn runs(&self) -> &[SlotRun] {
        &self.runs
    }

    /// One owner for each slot; index = slot.
    pub fn owners(&self) -> Vec<ShardId> {
        let mut owners = Vec::with_capacity(usize::from(SLOTS));
        for run in &self.runs {
            owners.resize(usize::from(run.end), run.shard);
        }
        owners
    }

    /// Appends a run, joined to the last when it has the same owner; an empty run is
    /// dropped.
    fn push(&mut self, run: SlotRun) {
        match self.runs.last_mut() {
            Some(last) if last.end >= run.end => {}
            Some(last) if last.shard == run.shard => last.end = run.end,
            None if run.end == 0 => {}
            Some(_) | None => self.runs.push(run),
        }
    }
}

impl TryFrom<Vec<SlotRun>> for SlotMap {
    type Error = SlotRunsError;

    fn try_from(runs: Vec<SlotRun>) -> Result<SlotMap, SlotRunsError> {
        let mut map = SlotMap { runs: Vec::new() };
        let mut start = 0;
        for (index, run) in runs.iter().enumerate() {
            if run.end <= start || run.end > SLOTS {
                return Err(SlotRunsError { index, end: run.end });
            }
            start = run.end;
            map.push(*run);
        }
        if start != SLOTS {
            return Err(SlotRunsError { index: runs.len(), end: start });
        }
        Ok(map)
    }
}

impl From<SlotMap> for Vec<SlotRun> {
    fn from(map: SlotMap) -> Vec<SlotRun> {
        map.runs
    }
}

/// A map with keys that are no strings, as a list of pairs (JSON has only string keys).
mod key_pairs {
    use super::{BTreeMap, Key, ShardId};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        values: &BTreeMap<Key, ShardId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        values.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Key, ShardId>, D::Error> {
        Ok(Vec::<(Key, ShardId)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
