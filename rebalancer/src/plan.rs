//! The planner: from what is where and what is wanted to another placement, and from one placement to
//! another as the fewest moves. Pure and deterministic; it measures nothing and moves nothing.

mod balance;
pub mod goal;
pub mod plan_document;
pub mod sizes;

pub use goal::{Goal, Measure};
pub use plan_document::{PlannedMove, RebalancePlan};
pub use sizes::{GroupSizes, Piece, Weight};

use shardline_model::{
    id::ShardId,
    key::{Key, KeyType},
    placement::{ListMap, Placement, RangeUnit, SLOTS, SlotMap, Units, UnitsError, compare_keys},
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Units of one placement that go from one shard to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// What goes.
    pub units: Units,
    /// Its owner now.
    pub from: ShardId,
    /// Its owner afterwards.
    pub to: ShardId,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The function changes: that is a full redistribution.
    #[error("the placements have different sharding functions; a full redistribution is needed")]
    FunctionChanges,
    /// Keys that have an owner now would have none.
    #[error("keys of shard {from} would have no owner")]
    OwnerLost {
        /// Their owner now.
        from: ShardId,
    },
    /// There is no shard to move to.
    #[error("there is no shard to hold the data")]
    NoShards,
    /// Units that are none of the placement.
    #[error("these units are not of the table's placement: {0}")]
    Units(#[from] UnitsError),
    /// The goal is one of another sharding function.
    #[error("{wanted} is possible for tables sharded by {function} only")]
    OtherFunction {
        /// What was wanted.
        wanted: &'static str,
        /// For which function it is.
        function: &'static str,
    },
    /// The key has no owner.
    #[error("no shard owns that key")]
    NoOwner,
    /// The lowest interval has none below it.
    #[error("there is no interval below that one")]
    NothingBelow,
}

/// The moves that lead from one placement to another: every key whose owner changes is in
/// exactly one move, no other key is in any. `types` are the group's key types.
///
/// # Errors
/// When the function changes, or keys would lose their owner.
pub fn moves(from: &Placement, to: &Placement, types: &[KeyType]) -> Result<Vec<Move>, PlanError> {
    match (from, to) {
        (Placement::Hash(from), Placement::Hash(to)) => Ok(slot_moves(from, to)),
        (Placement::Range(from), Placement::Range(to)) => interval_moves(from, to, types),
        (Placement::List(from), Placement::List(to)) => value_moves(from, to),
        (Placement::Hash(_) | Placement::Range(_) | Placement::List(_), _) => {
            Err(PlanError::FunctionChanges)
        }
    }
}

/// The slot map that is even over `shards` and moves the fewest slots: shards keep what
/// they have up to their share, and what others have too much of fills the rest. Growing from
/// n to n+1 shards moves one slot in n+1; a shard that is not in `shards` is drained.
///
/// # Errors
/// [`PlanError::NoShards`] without shards.
pub fn even_slots(from: &SlotMap, shards: &BTreeSet<ShardId>) -> Result<SlotMap, PlanError> {
    if shards.is_empty() {
        return Err(PlanError::NoShards);
    }
    let mut owners = from.owners();
    let mut missing = shares(&owners, shards);
    let mut kept: BTreeMap<ShardId, usize> = missing.clone();
    let mut homeless = Vec::new();
    for (slot, owner) in owners.iter().enumerate() {
        match kept.get_mut(owner) {
            Some(room) if *room > 0 => {
                *room -= 1;
                if let Some(missing) = missing.get_mut(owner) {
                    *missing -= 1;
                }
            }
            Some(_) | None => homeless.push(slot),
        }
    }
    let takers = missing.iter().flat_map(|(shard, count)| std::iter::repeat_n(*shard, *count));
    for (slot, shard) in homeless.into_iter().zip(takers) {
        owners[slot] = shard;
    }
    SlotMap::from_owners(&owners).ok_or(PlanError::NoShards)
}

/// How many slots each shard gets. The odd ones go to those that have the most now, so
/// that they need not move.
fn shares(owners: &[ShardId], shards: &BTreeSet<ShardId>) -> BTreeMap<ShardId, usize> {
    let mut have: BTreeMap<ShardId, usize> = shards.iter().map(|shard| (*shard, 0)).collect();
    for owner in owners {
        if let Some(count) = have.get_mut(owner) {
            *count += 1;
        }
    }
    let (share, odd) = (owners.len() / shards.len(), owners.len() % shards.len());
    let mut by_size: Vec<(ShardId, usize)> = have.into_iter().collect();
    by_size.sort_by_key(|(shard, count)| (std::cmp::Reverse(*count), *shard));
    let share_of = |(index, (shard, _)): (usize, &(ShardId, usize))| {
        (*shard, share + usize::from(index < odd))
    };
    by_size.iter().enumerate().map(share_of).collect()
}

fn slot_moves(from: &SlotMap, to: &SlotMap) -> Vec<Move> {
    let mut by_pair: BTreeMap<(ShardId, ShardId), Vec<Range<u16>>> = BTreeMap::new();
    for (slot, (from, to)) in (0..SLOTS).zip(from.owners().into_iter().zip(to.owners())) {
        if from == to {
            continue;
        }
        let runs = by_pair.entry((from, to)).or_default();
        match runs.last_mut() {
            Some(run) if run.end == slot => run.end = slot + 1,
            Some(_) | None => runs.push(slot..slot + 1),
        }
    }
    by_pair
        .into_iter()
        .map(|((from, to), runs)| Move { units: Units::Slots(runs), from, to })
        .collect()
}

/// The order of exclusive upper bounds; MAXVALUE is the last.
fn compare_ends(left: Option<&Key>, right: Option<&Key>, types: &[KeyType]) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => compare_keys(left, right, types),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

fn interval_moves(
    from: &[RangeUnit],
    to: &[RangeUnit],
    types: &[KeyType],
) -> Result<Vec<Move>, PlanError> {
    let mut moves: Vec<Move> = Vec::new();
    let mut start: Option<Key> = None;
    let (mut from, mut to) = (from.iter().peekable(), to.iter().peekable());
    while let Some(old) = from.peek() {
        let Some(new) = to.peek() else { return Err(PlanError::OwnerLost { from: old.shard }) };
        let order = compare_ends(old.less_than.as_ref(), new.less_than.as_ref(), types);
        let end = if order == Ordering::Greater { &new.less_than } else { &old.less_than };
        if old.shard != new.shard {
            push_interval(&mut moves, (start.take(), end.clone()), old.shard, new.shard);
        }
        start.clone_from(end);
        if order != Ordering::Greater {
            from.next();
        }
        if order != Ordering::Less {
            to.next();
        }
    }
    Ok(moves)
}

/// Adds an interval, joined to the last move when it goes on where that ends.
fn push_interval(
    moves: &mut Vec<Move>,
    (start, end): (Option<Key>, Option<Key>),
    from: ShardId,
    to: ShardId,
) {
    if let Some(last) = moves.last_mut()
        && (last.from, last.to) == (from, to)
        && let Units::Interval { end: last_end, .. } = &mut last.units
        && last_end.is_some()
        && *last_end == start
    {
        *last_end = end;
        return;
    }
    moves.push(Move { units: Units::Interval { start, end }, from, to });
}

fn value_moves(from: &ListMap, to: &ListMap) -> Result<Vec<Move>, PlanError> {
    let mut by_pair: BTreeMap<(ShardId, ShardId), Vec<Key>> = BTreeMap::new();
    let listed: BTreeSet<&Key> = from.values.keys().chain(to.values.keys()).collect();
    for key in &listed {
        let old = from.values.get(*key).copied().or(from.default);
        let new = to.values.get(*key).copied().or(to.default);
        if let Some(pair) = changed(old, new)? {
            by_pair.entry(pair).or_default().push((*key).clone());
        }
    }
    let mut moves: Vec<Move> = by_pair
        .into_iter()
        .map(|((from, to), keys)| Move { units: Units::Values(keys), from, to })
        .collect();
    if let Some((from, to)) = changed(from.default, to.default)? {
        let but = listed.into_iter().cloned().collect();
        moves.push(Move { units: Units::OtherValues { but }, from, to });
    }
    Ok(moves)
}

/// The two owners when they differ; keys without an owner have no rows to move.
fn changed(
    old: Option<ShardId>,
    new: Option<ShardId>,
) -> Result<Option<(ShardId, ShardId)>, PlanError> {
    match (old, new) {
        (Some(old), Some(new)) => Ok((old != new).then_some((old, new))),
        (Some(old), None) => Err(PlanError::OwnerLost { from: old }),
        (None, _) => Ok(None),
    }
}

#[cfg(test)]
mod tests;
