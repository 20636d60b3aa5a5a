//! Evens pieces out over shards by their weight, with little movement: who has too much gives, who has too
//! little takes, and everything else stays.

use super::sizes::Piece;
use shardline_model::id::ShardId;
use std::collections::{BTreeMap, BTreeSet};

/// This part of a share is not worth a move.
const NEAR: u64 = 20;

/// The new owners of the pieces, in their order. Shards that are not among `shards` give everything away.
/// Afterwards nobody is farther from the even share than the heaviest piece weighs.
pub(super) fn even(
    pieces: &[Piece],
    shards: &BTreeSet<ShardId>,
    weigh: impl Fn(&Piece) -> u64,
) -> Vec<ShardId> {
    let mut owners: Vec<ShardId> = pieces.iter().map(|piece| piece.owner).collect();
    let total: u64 = pieces.iter().map(&weigh).sum();
    let share = total / (shards.len() as u64).max(1);
    let mut has = weights(pieces, shards, &weigh);
    let mut homeless = Vec::new();
    if is_even_enough(pieces, &has, share, &weigh) {
        return owners;
    }
    // From the end on, so that what stays of a shard's intervals stays in a row.
    for (place, piece) in pieces.iter().enumerate().rev() {
        let weight = weigh(piece);
        match has.get_mut(&piece.owner) {
            None => homeless.push(place),
            // A piece goes when that brings its owner nearer to the share.
            Some(sum) if sum.saturating_sub(share) > weight / 2 && weight > 0 => {
                *sum -= weight;
                homeless.push(place);
            }
            Some(_) => {}
        }
    }
    settle(pieces, &mut owners, homeless, has, &weigh);
    owners
}

/// Whether nothing is where it may not be, and no shard is so far from the share that moving pays.
fn is_even_enough(
    pieces: &[Piece],
    has: &BTreeMap<ShardId, u64>,
    share: u64,
    weigh: impl Fn(&Piece) -> u64,
) -> bool {
    let heaviest = pieces.iter().map(weigh).max().unwrap_or(0);
    let near = (share / NEAR).max(heaviest.min(share / 4));
    pieces.iter().all(|piece| has.contains_key(&piece.owner))
        && has.values().all(|sum| sum.abs_diff(share) <= near)
}

/// The new owners when one shard gives everything to the others, and nothing else moves.
pub(super) fn drained(
    pieces: &[Piece],
    shard: ShardId,
    others: &BTreeSet<ShardId>,
    weigh: impl Fn(&Piece) -> u64,
) -> Vec<ShardId> {
    let mut owners: Vec<ShardId> = pieces.iter().map(|piece| piece.owner).collect();
    let leaves = |(_, piece): &(usize, &Piece)| piece.owner == shard;
    let homeless = pieces.iter().enumerate().filter(leaves).map(|(place, _)| place).collect();
    let has = weights(pieces, others, &weigh);
    settle(pieces, &mut owners, homeless, has, &weigh);
    owners
}

fn weights(
    pieces: &[Piece],
    shards: &BTreeSet<ShardId>,
    weigh: impl Fn(&Piece) -> u64,
) -> BTreeMap<ShardId, u64> {
    let mut has: BTreeMap<ShardId, u64> = shards.iter().map(|shard| (*shard, 0)).collect();
    for piece in pieces {
        if let Some(sum) = has.get_mut(&piece.owner) {
            *sum += weigh(piece);
        }
    }
    has
}

/// Gives each homeless piece to somebody: in rows, as long as one has less than its share.
fn settle(
    pieces: &[Piece],
    owners: &mut [ShardId],
    mut homeless: Vec<usize>,
    mut has: BTreeMap<ShardId, u64>,
    weigh: impl Fn(&Piece) -> u64,
) {
    homeless.sort_unstable();
    let left: u64 = homeless.iter().map(|place| weigh(&pieces[*place])).sum();
    let level = level(has.values().copied().collect(), left);
    let gave: BTreeSet<ShardId> = homeless.iter().map(|place| pieces[*place].owner).collect();
    let mut taker: Option<ShardId> = None;
    for place in homeless {
        let weight = weigh(&pieces[place]);
        let room = |shard: &ShardId| has.get(shard).is_some_and(|sum| sum + weight / 2 <= level);
        if !taker.as_ref().is_some_and(room) {
            // Among equals one that gives nothing itself.
            let order = |(shard, sum): &(&ShardId, &u64)| (**sum, gave.contains(shard), **shard);
            taker = has.iter().min_by_key(order).map(|(shard, _)| *shard);
        }
        // Where nobody is low enough, it stays with an owner that may keep it.
        let owner = pieces[place].owner;
        if !taker.as_ref().is_some_and(room) && has.get(&owner).is_some_and(|sum| *sum <= level) {
            taker = Some(owner);
        }
        let Some(shard) = taker else { return };
        owners[place] = shard;
        if let Some(sum) = has.get_mut(&shard) {
            *sum += weight;
        }
    }
}

/// How high all would stand that are not higher already, when `left` is poured over them.
fn level(mut sums: Vec<u64>, left: u64) -> u64 {
    sums.sort_unstable();
    let mut poured = left;
    for (below, sum) in sums.iter().enumerate().map(|(at, sum)| (at as u64 + 1, *sum)) {
        let next = sums.get(below as usize).copied().unwrap_or(u64::MAX);
        let room = (next - sum).saturating_mul(below);
        if room >= poured {
            return sum + poured.div_ceil(below);
        }
        poured -= room;
    }
    0
}
