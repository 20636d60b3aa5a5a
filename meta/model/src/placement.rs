//! Placements: which shard owns which slots, intervals or values.

use crate::{id::ShardId, key::Key};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many slots the hash space of a colocation group is cut into.
pub const SLOTS: u16 = 16_384;

/// A hash slot, `0..SLOTS`: `CRC32(canonical key) MOD 16384`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u16);

/// Which shard owns which part of the key space. Total: every key has exactly one
/// owner, except that a list without DEFAULT and a range without MAXVALUE leave keys
/// without one (the statement is refused as the server refuses a row without partition).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// Slots in order; element i is the owner of slot i. Always `SLOTS` long.
    Hash(SlotMap),
    /// Intervals in ascending order; each reaches up to its bound, exclusive.
    Range(Vec<RangeUnit>),
    /// Value sets.
    List(ListMap),
}

/// The owners of all slots, stored as runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotMap {
    /// One owner for each slot; index = slot.
    pub owners: Vec<ShardId>,
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
    pub values: BTreeMap<Key, ShardId>,
    /// Owner of every other key.
    pub default: Option<ShardId>,
}
