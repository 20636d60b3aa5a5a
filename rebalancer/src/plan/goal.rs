//! What is wanted of a group's placement, and the placement that does it with the least movement.

use super::{
    PlanError, balance, even_slots,
    sizes::{GroupSizes, Piece},
};
use serde::{Deserialize, Serialize};
use shardline_model::{
    hash,
    id::ShardId,
    key::{Key, KeyPart, KeyType},
    placement::{Placement, SLOTS, Units, compare_keys},
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

/// By what shards are to be even.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// By the number of slots; other functions than hash by rows.
    #[default]
    Slots,
    /// By rows.
    Rows,
    /// By bytes.
    Bytes,
    /// By statements.
    Load,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// These shards have equally much, all others nothing.
    Even {
        /// The shards.
        onto: BTreeSet<ShardId>,
        /// Of what.
        by: Measure,
    },
    /// One shard has nothing any more; what the others have stays there.
    Drain {
        /// The one.
        shard: ShardId,
        /// The others that may take something.
        onto: BTreeSet<ShardId>,
    },
    /// These units are on this shard.
    Move {
        /// What.
        units: Units,
        /// Where.
        to: ShardId,
    },
    /// A shard has one key value for itself, as far as the function lets it: of a hash placement its slot,
    /// of a range the interval of this one key, of a list the value.
    Isolate {
        /// The key.
        key: Key,
        /// The shard.
        to: ShardId,
    },
    /// The interval that has the key is cut there; from the key on it is on this shard.
    Split {
        /// The first key of the upper part.
        at: Key,
        /// The upper part's shard.
        to: ShardId,
    },
    /// The interval that has the key goes to the owner of the one below, and is one with it.
    Merge {
        /// A key of the upper one.
        at: Key,
    },
}

impl Goal {
    /// The placement that it leads to.
    ///
    /// # Errors
    /// It is not possible for this placement.
    pub fn placement(&self, sizes: &GroupSizes) -> Result<Placement, PlanError> {
        let mut placement = sizes.placement.clone();
        match self {
            Goal::Even { onto, .. } | Goal::Drain { onto, .. } if onto.is_empty() => {
                return Err(PlanError::NoShards);
            }
            Goal::Even { onto, by } => match (&sizes.placement, by) {
                (Placement::Hash(map), Measure::Slots) => {
                    return Ok(Placement::Hash(even_slots(map, onto)?));
                }
                (Placement::Hash(_) | Placement::Range(_) | Placement::List(_), _) => {
                    let owners = balance::even(&sizes.pieces, onto, |piece| weight(piece, *by));
                    give(&mut placement, sizes, &owners)?;
                }
            },
            Goal::Drain { shard, onto } => {
                let owners = balance::drained(&sizes.pieces, *shard, onto, |piece| {
                    // Even pieces without rows are to be spread.
                    weight(piece, Measure::Slots).max(1)
                });
                give(&mut placement, sizes, &owners)?;
            }
            Goal::Move { units, to } => placement.assign(units, &sizes.key_types, *to)?,
            Goal::Isolate { key, to } => {
                let units = alone(key, sizes)?;
                placement.assign(&units, &sizes.key_types, *to)?;
            }
            Goal::Split { at, to } => {
                let Around { end, .. } = interval(sizes, at, "splitting")?;
                let units = Units::Interval { start: Some(at.clone()), end };
                placement.assign(&units, &sizes.key_types, *to)?;
            }
            Goal::Merge { at } => {
                let Around { start, end, below } = interval(sizes, at, "merging")?;
                let units = Units::Interval { start, end };
                let below = below.ok_or(PlanError::NothingBelow)?;
                placement.assign(&units, &sizes.key_types, below)?;
            }
        }
        Ok(placement)
    }
}

fn weight(piece: &Piece, by: Measure) -> u64 {
    match (by, &piece.units) {
        (Measure::Slots, Units::Slots(runs)) => runs.iter().map(|run| run.len() as u64).sum(),
        (
            Measure::Slots | Measure::Rows,
            Units::Slots(_) | Units::Interval { .. } | Units::Values(_) | Units::OtherValues { .. },
        ) => piece.weight.rows,
        (Measure::Bytes, _) => piece.weight.bytes,
        (Measure::Load, _) => piece.weight.load,
    }
}

/// Gives the pieces to their new owners.
fn give(
    placement: &mut Placement,
    sizes: &GroupSizes,
    owners: &[ShardId],
) -> Result<(), PlanError> {
    // All slots of one owner at once: each gift rebuilds the map.
    let mut slots: BTreeMap<ShardId, Vec<std::ops::Range<u16>>> = BTreeMap::new();
    for (piece, owner) in sizes.pieces.iter().zip(owners) {
        match &piece.units {
            _ if piece.owner == *owner => {}
            Units::Slots(runs) => slots.entry(*owner).or_default().extend(runs.iter().cloned()),
            Units::Interval { .. } | Units::Values(_) | Units::OtherValues { .. } => {
                placement.assign(&piece.units, &sizes.key_types, *owner)?;
            }
        }
    }
    for (owner, runs) in slots {
        placement.assign(&Units::Slots(joined(runs)), &sizes.key_types, owner)?;
    }
    Ok(())
}

/// Runs in order, those that touch as one.
fn joined(mut runs: Vec<std::ops::Range<u16>>) -> Vec<std::ops::Range<u16>> {
    runs.sort_unstable_by_key(|run| run.start);
    let mut all: Vec<std::ops::Range<u16>> = Vec::new();
    for run in runs {
        match all.last_mut() {
            Some(last) if last.end >= run.start => last.end = last.end.max(run.end),
            Some(_) | None => all.push(run),
        }
    }
    all
}

/// The least units that have the key.
fn alone(key: &Key, sizes: &GroupSizes) -> Result<Units, PlanError> {
    let types = &sizes.key_types;
    match &sizes.placement {
        Placement::Hash(_) => {
            let slot = hash::slot_of(key, types).0;
            Ok(Units::Slots(std::iter::once(slot..(slot + 1).min(SLOTS)).collect()))
        }
        Placement::List(_) => Ok(Units::Values(vec![key.clone()])),
        Placement::Range(_) => {
            let next = types
                .last()
                .zip(key.last())
                .and_then(|(last_type, last)| next(last_type, last))
                .ok_or(PlanError::OtherFunction {
                    wanted: "isolating the largest key, or one of texts, bytes or times,",
                    function: "HASH or LIST",
                })?;
            let mut end = key.clone();
            if let Some(last) = end.last_mut() {
                *last = next;
            }
            Ok(Units::Interval { start: Some(key.clone()), end: Some(end) })
        }
    }
}

/// The value after this one, where a type has such.
fn next(key_type: &KeyType, part: &KeyPart) -> Option<KeyPart> {
    let next = match part {
        KeyPart::Integer(value) => KeyPart::Integer(value.checked_add(1)?),
        KeyPart::Decimal(value) => KeyPart::Decimal(value.checked_add(1)?),
        KeyPart::Text(_) | KeyPart::Bytes(_) | KeyPart::Temporal(_) => return None,
    };
    key_type.holds(&next).then_some(next)
}

/// An interval, and the owner of the one below.
struct Around {
    start: Option<Key>,
    end: Option<Key>,
    below: Option<ShardId>,
}

/// The interval that has a key.
fn interval(sizes: &GroupSizes, key: &Key, wanted: &'static str) -> Result<Around, PlanError> {
    let Placement::Range(intervals) = &sizes.placement else {
        return Err(PlanError::OtherFunction { wanted, function: "RANGE" });
    };
    let (mut start, mut below) = (None, None);
    for one in intervals {
        let ends_above = one
            .less_than
            .as_ref()
            .is_none_or(|end| compare_keys(key, end, &sizes.key_types) == Ordering::Less);
        if ends_above {
            return Ok(Around { start, end: one.less_than.clone(), below });
        }
        start.clone_from(&one.less_than);
        below = Some(one.shard);
    }
    Err(PlanError::NoOwner)
}
