//! Whether snapshots of several shards, taken one after the other, show every transaction over
//! several shards whole or not at all (`shardline_read_consistency = atomic`). Pure.
//!
//! Each shard tells, in the snapshot itself, which transactions have a `branch` row there,
//! which have a COMMITTED `gtx` row, and its *marks*: watermarks and the count of forgotten
//! batches. The same is told once more from before any of the snapshots was opened. The
//! argument why nothing that is seen in part gets by is in `docs/decisions/0013`.

use super::xid::Xid;
use shardline_model::id::ShardId;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// Branches of a transaction.
pub type Branches = SmallVec<[ShardId; 4]>;

/// What one shard shows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Branch rows: transactions that have committed here and await their decision, or are
    /// not forgotten yet. Their anchor, and all their branches.
    pub prepared: BTreeMap<Xid, (ShardId, Branches)>,
    /// COMMITTED rows of `gtx`, with the branches.
    pub decided: BTreeMap<Xid, Branches>,
    /// The table `forgotten`: it changes with every batch of rows that is taken away.
    pub marks: BTreeMap<u64, u64>,
}

/// What all shards concerned show.
pub type Picture = BTreeMap<ShardId, Shown>;

/// What snapshots come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Something is seen in part, or that cannot be excluded: open them anew.
    pub torn: bool,
    /// Whole as far as these shards tell, but decided on an anchor that is not among them: the
    /// snapshots are good only if all of these are committed.
    pub ask: Vec<(Xid, ShardId)>,
    /// Shown by a branch and not by their anchor: undecided, torn, or aborted.
    pub doubted: Vec<(Xid, ShardId)>,
}

/// Judges snapshots. `before` was shown after the transactions of `settled` were committed, and
/// before the first snapshot was opened. Those of `undone` are aborted, and it is seen to that none
/// of their rows is read: each is locked where it is shown.
pub fn judge(
    before: &Picture,
    snapshots: &Picture,
    settled: &BTreeSet<Xid>,
    undone: &BTreeSet<Xid>,
) -> Judgement {
    let mut judgement = Judgement::default();
    let marks = |picture: &Picture, shard| picture.get(shard).map(|shown| shown.marks.clone());
    // Rows were taken away meanwhile, and with them what would tell of a transaction.
    judgement.torn = snapshots.keys().any(|shard| marks(before, shard) != marks(snapshots, shard));
    // Committed before the first snapshot was opened: every one shows it.
    let is_old = |xid: &Xid| {
        settled.contains(xid)
            || undone.contains(xid)
            || before.values().any(|shown| shown.decided.contains_key(xid))
    };
    let everywhere = |xid: &Xid, branches: &Branches| {
        let mut here = branches.iter().filter_map(|branch| snapshots.get(branch));
        here.all(|shown| shown.prepared.contains_key(xid))
    };
    for shown in snapshots.values() {
        for (xid, branches) in shown.decided.iter().filter(|(xid, _)| !is_old(xid)) {
            judgement.torn |= !everywhere(xid, branches);
        }
        for (xid, (anchor, branches)) in shown.prepared.iter().filter(|(xid, _)| !is_old(xid)) {
            judgement.torn |= !everywhere(xid, branches);
            match snapshots.get(anchor) {
                Some(at_anchor) if at_anchor.decided.contains_key(xid) => {}
                Some(_) => {
                    judgement.torn = true;
                    judgement.doubted.push((*xid, *anchor));
                }
                None => judgement.ask.push((*xid, *anchor)),
            }
        }
    }
    judgement.ask.sort_unstable();
    judgement.ask.dedup();
    judgement.doubted.sort_unstable();
    judgement.doubted.dedup();
    judgement
}

#[cfg(test)]
#[path = "snapshots_test.rs"]
mod snapshots_test;
