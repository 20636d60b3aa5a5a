//! Units: a part of the key space of one placement, which is what moves from shard to
//! shard. What units say of a key does not depend on the placement of the day, so that it stays
//! the same while others of the same group change owners; the same in SQL is
//! [`crate::predicate::units_sql`].

use super::{ListMap, Placement, RangeUnit, SLOTS, SlotMap, compare_keys};
use crate::{
    hash,
    id::ShardId,
    key::{Key, KeyPart, KeyType},
};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeSet, fmt, ops::Range};

/// A part of the key space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Units {
    /// Runs of slots, ascending, not touching.
    Slots(Vec<Range<u16>>),
    /// An interval of a range placement.
    Interval {
        /// First key; None for the smallest.
        start: Option<Key>,
        /// The key after the last; None for MAXVALUE.
        end: Option<Key>,
    },
    /// Values of a list placement, ascending.
    Values(Vec<Key>),
    /// Every value of a list placement but these, which are ascending.
    OtherValues {
        /// What is not in it.
        but: Vec<Key>,
    },
}

/// Why units are none of a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitsError {
    /// Slots of a range placement and the like.
    #[error("they are of another sharding function than the placement")]
    OtherFunction,
    /// No key is in them.
    #[error("they are empty")]
    Empty,
    /// Runs or values are not in their order.
    #[error("their parts do not ascend")]
    Order,
    /// A key has another type or number of columns.
    #[error("a key does not fit the shard-key columns")]
    Key,
}

impl Units {
    /// Whether a key is in them; `types` are the key columns' types.
    pub fn contains(&self, key: &[KeyPart], types: &[KeyType]) -> bool {
        match self {
            Units::Slots(runs) => contains_slot(runs, hash::slot_of(key, types).0),
            Units::Interval { start, end } => {
                let before = |bound: &Key| compare_keys(key, bound, types) == Ordering::Less;
                !start.as_ref().is_some_and(before) && end.as_ref().is_none_or(before)
            }
            Units::Values(keys) => is_among(keys, key),
            Units::OtherValues { but } => !is_among(but, key),
        }
    }

    /// Whether a key is in both. Units of different sharding functions, which one
    /// placement does not have, count as overlapping.
    pub fn overlaps(&self, other: &Units, types: &[KeyType]) -> bool {
        match (self, other) {
            (Units::Slots(left), Units::Slots(right)) => left
                .iter()
                .any(|left| right.iter().any(|run| left.start < run.end && run.start < left.end)),
            (
                Units::Interval { start, end },
                Units::Interval { start: other_start, end: other_end },
            ) => {
                let reaches = |start: &Option<Key>, end: &Option<Key>| match (start, end) {
                    (Some(start), Some(end)) => compare_keys(start, end, types) == Ordering::Less,
                    (None, _) | (_, None) => true,
                };
                reaches(start, other_end) && reaches(other_start, end)
            }
            (Units::Values(left), Units::Values(right)) => {
                left.iter().any(|key| is_among(right, key))
            }
            (Units::Values(keys), Units::OtherValues { but })
            | (Units::OtherValues { but }, Units::Values(keys)) => {
                keys.iter().any(|key| !is_among(but, key))
            }
            // Nobody can list all values of a type.
            (Units::OtherValues { .. }, Units::OtherValues { .. }) => true,
            (
                Units::Slots(_)
                | Units::Interval { .. }
                | Units::Values(_)
                | Units::OtherValues { .. },
                _,
            ) => true,
        }
    }

    /// Whether they are well formed and of the placement's sharding function.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, placement: &Placement, types: &[KeyType]) -> Result<(), UnitsError> {
        let fits = |key: &Key| {
            key.len() == types.len()
                && types.iter().zip(key).all(|(key_type, part)| key_type.holds(part))
        };
        let ascend = |keys: &[Key]| keys.windows(2).all(|pair| pair[0] < pair[1]);
        match (self, placement) {
            (Units::Slots(runs), Placement::Hash(_)) => check_runs(runs),
            (Units::Interval { start, end }, Placement::Range(_)) => {
                if !start.iter().chain(end).all(fits) {
                    return Err(UnitsError::Key);
                }
                match (start, end) {
                    (Some(start), Some(end)) => match compare_keys(start, end, types) {
                        Ordering::Less => Ok(()),
                        Ordering::Equal => Err(UnitsError::Empty),
                        Ordering::Greater => Err(UnitsError::Order),
                    },
                    (None, _) | (_, None) => Ok(()),
                }
            }
            (Units::Values(keys), Placement::List(_)) if keys.is_empty() => Err(UnitsError::Empty),
            (Units::Values(keys) | Units::OtherValues { but: keys }, Placement::List(_)) => {
                match (keys.iter().all(fits), ascend(keys)) {
                    (false, _) => Err(UnitsError::Key),
                    (true, false) => Err(UnitsError::Order),
                    (true, true) => Ok(()),
                }
            }
            (
                Units::Slots(_)
                | Units::Interval { .. }
                | Units::Values(_)
                | Units::OtherValues { .. },
                Placement::Hash(_) | Placement::Range(_) | Placement::List(_),
            ) => Err(UnitsError::OtherFunction),
        }
    }
}

fn check_runs(runs: &[Range<u16>]) -> Result<(), UnitsError> {
    if runs.is_empty() || runs.iter().any(Range::is_empty) {
        return Err(UnitsError::Empty);
    }
    let in_order = runs.windows(2).all(|pair| pair[0].end < pair[1].start);
    if !in_order || runs.last().is_some_and(|run| run.end > SLOTS) {
        return Err(UnitsError::Order);
    }
    Ok(())
}

fn contains_slot(runs: &[Range<u16>], slot: u16) -> bool {
    let index = runs.partition_point(|run| run.end <= slot);
    runs.get(index).is_some_and(|run| run.start <= slot)
}

/// Whether ascending keys have this one.
fn is_among(keys: &[Key], key: &[KeyPart]) -> bool {
    keys.binary_search_by(|listed| listed.as_slice().cmp(key)).is_ok()
}

/// In short, for messages: the first parts and how many there are.
impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Units::Slots(runs) => {
                let slots: usize = runs.iter().map(ExactSizeIterator::len).sum();
                match runs.as_slice() {
                    [run] => write!(f, "slots {} to {}", run.start, run.end.saturating_sub(1)),
                    _ => write!(f, "{slots} slots in {} runs", runs.len()),
                }
            }
            Units::Interval { start, end } => {
                let bounds = match (start, end) {
                    (None, None) => "from the smallest key to MAXVALUE",
                    (None, Some(_)) => "below a bound",
                    (Some(_), None) => "from a bound to MAXVALUE",
                    (Some(_), Some(_)) => "between two bounds",
                };
                write!(f, "an interval {bounds}")
            }
            Units::Values(keys) => write!(f, "{} listed values", keys.len()),
            Units::OtherValues { but } => write!(f, "all values but {}", but.len()),
        }
    }
}

impl Placement {
    /// Whether every key of the units is owned by `shard`. False for units that are not of
    /// this placement ([`Units::check`]).
    pub fn owns_all(&self, units: &Units, types: &[KeyType], shard: ShardId) -> bool {
        if units.check(self, types).is_err() {
            return false;
        }
        match (self, units) {
            (Placement::Hash(map), Units::Slots(runs)) => {
                let mut start = 0;
                map.runs().iter().all(|owned| {
                    let these = start..owned.end;
                    start = owned.end;
                    owned.shard == shard
                        || !runs.iter().any(|run| run.start < these.end && these.start < run.end)
                })
            }
            (Placement::Range(intervals), Units::Interval { end, .. }) => {
                let mut start = None;
                let mut last = None;
                for interval in intervals {
                    let this = Units::Interval { start, end: interval.less_than.clone() };
                    if interval.shard != shard && this.overlaps(units, types) {
                        return false;
                    }
                    start = interval.less_than.clone();
                    last = Some(&interval.less_than);
                }
                // Above the last bound nobody owns anything.
                match (last, end) {
                    (Some(None), _) => true,
                    (Some(Some(last)), Some(end)) => {
                        compare_keys(end, last, types) != Ordering::Greater
                    }
                    (Some(Some(_)), None) | (None, _) => false,
                }
            }
            (Placement::List(map), Units::Values(keys)) => {
                keys.iter().all(|key| map.values.get(key).copied().or(map.default) == Some(shard))
            }
            (Placement::List(map), Units::OtherValues { but }) => {
                map.default == Some(shard)
                    && map.values.iter().all(|(key, owner)| *owner == shard || is_among(but, key))
            }
            (Placement::Hash(_) | Placement::Range(_) | Placement::List(_), _) => false,
        }
    }

    /// Gives all keys of the units to `shard`; every other key stays where it is.
    ///
    /// # Errors
    /// [`Units::check`] fails; the placement is then as it was.
    pub fn assign(
        &mut self,
        units: &Units,
        types: &[KeyType],
        shard: ShardId,
    ) -> Result<(), UnitsError> {
        units.check(self, types)?;
        match (self, units) {
            (Placement::Hash(map), Units::Slots(runs)) => {
                let mut owners = map.owners();
                for run in runs {
                    owners[usize::from(run.start)..usize::from(run.end)].fill(shard);
                }
                if let Some(assigned) = SlotMap::from_owners(&owners) {
                    *map = assigned;
                }
                Ok(())
            }
            (Placement::Range(intervals), Units::Interval { start, end }) => {
                *intervals =
                    assign_interval(intervals, (start.as_ref(), end.as_ref()), types, shard);
                Ok(())
            }
            (Placement::List(map), Units::Values(keys)) => {
                map.values.extend(keys.iter().map(|key| (key.clone(), shard)));
                Ok(())
            }
            (Placement::List(map), Units::OtherValues { but }) => {
                assign_others(map, but, shard);
                Ok(())
            }
            (Placement::Hash(_) | Placement::Range(_) | Placement::List(_), _) => {
                Err(UnitsError::OtherFunction)
            }
        }
    }
}

/// Cuts the intervals at both bounds and gives what lies between to `shard`. A cut whose two
/// sides have one owner is taken out again, so that moving to and fro leaves no cuts behind.
fn assign_interval(
    intervals: &[RangeUnit],
    (start, end): (Option<&Key>, Option<&Key>),
    types: &[KeyType],
    shard: ShardId,
) -> Vec<RangeUnit> {
    let is = |bound: Option<&Key>, key: Option<&Key>| match (bound, key) {
        (Some(bound), Some(key)) => compare_keys(bound, key, types) == Ordering::Equal,
        (None, _) | (_, None) => false,
    };
    let mut cut: Vec<RangeUnit> = Vec::with_capacity(intervals.len() + 2);
    let mut from: Option<Key> = None;
    for interval in intervals {
        for key in [start, end].into_iter().flatten() {
            let above =
                from.as_ref().is_none_or(|from| compare_keys(from, key, types) == Ordering::Less);
            let below = interval
                .less_than
                .as_ref()
                .is_none_or(|bound| compare_keys(key, bound, types) == Ordering::Less);
            if above && below {
                cut.push(RangeUnit { less_than: Some(key.clone()), shard: interval.shard });
                from = Some(key.clone());
            }
        }
        cut.push(interval.clone());
        from.clone_from(&interval.less_than);
    }
    let units = Units::Interval { start: start.cloned(), end: end.cloned() };
    let mut from: Option<Key> = None;
    for interval in &mut cut {
        let this = Units::Interval { start: from, end: interval.less_than.clone() };
        if this.overlaps(&units, types) {
            interval.shard = shard;
        }
        from = interval.less_than.clone();
    }
    let mut joined: Vec<RangeUnit> = Vec::with_capacity(cut.len());
    for interval in cut {
        match joined.last_mut() {
            Some(last)
                if last.shard == interval.shard
                    && (is(last.less_than.as_ref(), start) || is(last.less_than.as_ref(), end)) =>
            {
                last.less_than = interval.less_than;
            }
            Some(_) | None => joined.push(interval),
        }
    }
    joined
}

/// The default changes; what is not of the units and was not listed is listed with its owner.
fn assign_others(map: &mut ListMap, but: &[Key], shard: ShardId) {
    let others: BTreeSet<&Key> = but.iter().collect();
    for (key, owner) in &mut map.values {
        if !others.contains(key) {
            *owner = shard;
        }
    }
    if let Some(default) = map.default {
        for key in but {
            map.values.entry(key.clone()).or_insert(default);
        }
    }
    map.default = Some(shard);
}

#[cfg(test)]
mod tests;
