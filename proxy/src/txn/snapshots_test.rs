//! Random histories of transactions, and snapshots taken at random times in them: what is judged
//! whole shows every transaction on all shards or on none, and nothing undecided.

use super::*;
use crate::txn::xid::Incarnation;
use proptest::prelude::*;
use std::ops::Range;

const SHARDS: u32 = 4;
/// The end of a history; all snapshots are opened before it.
const END: u32 = 60;

/// One transaction's moments.
#[derive(Clone, Debug)]
struct Life {
    anchor: ShardId,
    /// When each branch commits, and when its rows are taken away again: by forgetting, or by
    /// compensation together with its changes.
    branches: Vec<(ShardId, Range<u32>)>,
    /// When the anchor commits it, and when the row there is forgotten; None when it aborts.
    decided: Option<Range<u32>>,
}

/// When each shard was asked before, and its snapshot opened.
type Times = BTreeMap<ShardId, (u32, u32)>;

impl Life {
    fn branch(&self, shard: ShardId) -> Option<&Range<u32>> {
        self.branches.iter().find(|(branch, _)| *branch == shard).map(|(_, rows)| rows)
    }

    /// Whether the shard's data at a time has its changes; None when it changes nothing there.
    fn shows(&self, shard: ShardId, at: u32) -> Option<bool> {
        if shard == self.anchor {
            return Some(self.decided.as_ref().is_some_and(|decided| at >= decided.start));
        }
        let rows = self.branch(shard)?;
        Some(at >= rows.start && (self.decided.is_some() || at < rows.end))
    }

    fn names(&self) -> Branches {
        self.branches.iter().map(|(shard, _)| *shard).collect()
    }
}

fn xid(at: usize) -> Xid {
    Xid { incarnation: Incarnation(1), counter: at as u64 + 1 }
}

fn life() -> impl Strategy<Value = Life> {
    let gap = || 1..12_u32;
    (
        Just((1..=SHARDS).map(ShardId).collect::<Vec<_>>()).prop_shuffle(),
        2..=SHARDS as usize,
        any::<bool>(),
        1..END,
        prop::collection::vec((0..8_u32, gap(), gap()), SHARDS as usize),
        (gap(), gap()),
    )
        .prop_map(|(shards, count, commits, first, steps, (decide, forget))| {
            let anchor = shards[0];
            let starts = |at: usize| first + steps[at].0;
            let last = (1..count).map(starts).max().unwrap_or(first);
            let decided = last + decide;
            let rows = |at: usize| match commits {
                true => starts(at)..decided + steps[at].1,
                false => starts(at)..starts(at) + steps[at].2,
            };
            let branches: Vec<_> = (1..count).map(|at| (shards[at], rows(at))).collect();
            let gone = branches.iter().map(|(_, rows)| rows.end).max().unwrap_or(decided);
            Life { anchor, branches, decided: commits.then(|| decided..gone + forget) }
        })
}

/// Some shards, asked before one time and opened after it.
fn times() -> impl Strategy<Value = Times> {
    let of_shard = (any::<bool>(), 0..10_u32, 0..25_u32);
    (10..END - 25, prop::collection::vec(of_shard, SHARDS as usize)).prop_map(|(middle, shards)| {
        let asked = (1..).map(ShardId).zip(shards).filter(|(_, (wanted, ..))| *wanted);
        asked.map(|(shard, (_, early, late))| (shard, (middle - early, middle + late))).collect()
    })
}

fn shown(lives: &[Life], shard: ShardId, at: u32) -> Shown {
    let mut shown = Shown::default();
    let mut gone = 0;
    for (number, life) in lives.iter().enumerate() {
        if let Some(rows) = life.branch(shard) {
            if rows.contains(&at) {
                shown.prepared.insert(xid(number), (life.anchor, life.names()));
            }
            // Compensation leaves no mark.
            gone += u64::from(life.decided.is_some() && at >= rows.end);
        }
        if let Some(decided) = life.decided.as_ref().filter(|_| life.anchor == shard) {
            if decided.contains(&at) {
                shown.decided.insert(xid(number), life.names());
            }
            gone += u64::from(at >= decided.end);
        }
    }
    shown.marks.insert(0, gone);
    shown
}

/// Whether the snapshots are taken for good.
fn accepted(lives: &[Life], before: &Picture, snapshots: &Picture) -> bool {
    let judgement = judge(before, snapshots, &BTreeSet::new(), &BTreeSet::new());
    // Anchors are asked when all is open.
    let committed = |(xid, _): &(Xid, ShardId)| {
        let life = &lives[xid.counter as usize - 1];
        life.decided.as_ref().is_some_and(|decided| decided.start <= END)
    };
    !judgement.torn && judgement.ask.iter().all(committed)
}

/// The first transaction that is seen in part, or seen and never committed.
fn violation<'a>(lives: &'a [Life], times: &Times) -> Option<&'a Life> {
    lives.iter().find(|life| {
        let seen = times.iter().filter_map(|(shard, (_, at))| life.shows(*shard, *at));
        let seen: BTreeSet<bool> = seen.collect();
        let dirty = life.decided.as_ref().is_none_or(|decided| decided.start > END);
        seen.len() == 2 || (seen.contains(&true) && dirty)
    })
}

fn pictures(lives: &[Life], times: &Times) -> (Picture, Picture) {
    let of = |at: fn(&(u32, u32)) -> u32| -> Picture {
        let shards = times.iter();
        shards.map(|(shard, both)| (*shard, shown(lives, *shard, at(both)))).collect()
    };
    (of(|times| times.0), of(|times| times.1))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn nothing_that_is_seen_in_part_is_accepted(
        lives in prop::collection::vec(life(), 1..4),
        times in times(),
    ) {
        let (before, snapshots) = pictures(&lives, &times);
        if accepted(&lives, &before, &snapshots) {
            prop_assert!(violation(&lives, &times).is_none(), "{:?}", violation(&lives, &times));
        }
    }
}

/// A branch that was forgotten before its shard's snapshot, on shard 1, while shard 2's snapshot is
/// from before the decision: only the marks tell.
#[test]
fn without_marks_a_forgotten_transaction_would_be_seen_in_part() {
    let (anchor, branch) = (ShardId(2), ShardId(1));
    let lives = [Life { anchor, branches: vec![(branch, 12..16)], decided: Some(14..18) }];
    let times = Times::from([(branch, (10, 20)), (anchor, (10, 11))]);
    assert!(violation(&lives, &times).is_some());
    let (mut before, mut snapshots) = pictures(&lives, &times);
    assert!(!accepted(&lives, &before, &snapshots));
    for shown in before.values_mut().chain(snapshots.values_mut()) {
        shown.marks.clear();
    }
    assert!(accepted(&lives, &before, &snapshots));
}

#[test]
fn quiet_shards_are_whole_at_once_and_old_commits_do_not_tear() {
    let (anchor, branch) = (ShardId(2), ShardId(1));
    let lives = [Life { anchor, branches: vec![(branch, 1..40)], decided: Some(2..45) }];
    for shards in [vec![anchor], vec![branch], vec![anchor, branch]] {
        let times: Times = shards.into_iter().map(|shard| (shard, (10, 20))).collect();
        let (before, snapshots) = pictures(&lives, &times);
        assert!(accepted(&lives, &before, &snapshots), "{times:?}");
    }
    // Its branch may be forgotten on one shard and not yet on another.
    let branches = vec![(branch, 1..9), (ShardId(3), 1..40)];
    let lives = [Life { anchor, branches, decided: Some(2..45) }];
    let times = Times::from([(branch, (10, 20)), (ShardId(3), (10, 20))]);
    let (before, snapshots) = pictures(&lives, &times);
    let none = BTreeSet::new();
    assert!(judge(&before, &snapshots, &none, &none).torn);
    assert!(!judge(&before, &snapshots, &BTreeSet::from([xid(0)]), &none).torn);
}

#[test]
fn what_is_aborted_and_not_undone_yet_is_named() {
    let (anchor, branch) = (ShardId(1), ShardId(2));
    let mut stuck = Shown::default();
    stuck.prepared.insert(xid(0), (anchor, Branches::from_slice(&[branch])));
    let snapshots = Picture::from([(anchor, Shown::default()), (branch, stuck)]);
    let none = BTreeSet::new();
    let judgement = judge(&snapshots, &snapshots, &none, &none);
    assert!(judgement.torn && judgement.doubted == [(xid(0), anchor)]);
    let judgement = judge(&snapshots, &snapshots, &none, &BTreeSet::from([xid(0)]));
    assert_eq!(judgement, Judgement::default());
}
