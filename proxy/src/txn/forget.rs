//! An incarnation's own transactions: gives out their names, knows which are undecided, and
//! forgets the committed ones in batches. Pure.
//!
//! A committed transaction's locks and branch rows go first, on all its branches; when all
//! of them have answered, its `gtx` row goes, together with a *watermark*: on this shard
//! nothing of this incarnation below it is undecided. The abort packet is refused below the
//! watermark, so a resolver that slept over all this cannot decide the transaction anew. What
//! is not below the watermark, because an older one is undecided, waits for it.
//!
//! Only the incarnation itself knows its undecided ones, so only it deletes its `gtx` rows
//! while it lives; afterwards `sweep.rs` does. The branch rows of a committed transaction
//! may be deleted by anyone.

use super::{
    lock_key::LockSet,
    rules::{Rule, Rules},
    xid::{Incarnation, Xid},
};
use shardline_model::id::ShardId;
use smallvec::SmallVec;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

/// A batch is started when so many are waiting (measured: 2.6-2.9 times cheaper than one by one).
pub const BATCH_MIN: usize = 50;
/// The most of one batch.
pub const BATCH_MAX: usize = 500;
/// ... or when one has waited so long.
pub const BATCH_AGE: Duration = Duration::from_millis(500);
/// The most that may be undecided at once. Beyond it no distributed commit begins.
pub const UNDECIDED_MAX: usize = 65_536;
/// The most that may wait. What is beyond it keeps its rows until a scan finds them.
pub const WAITING_MAX: usize = 65_536;

/// A committed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its name.
    pub xid: Xid,
    /// Where its `gtx` row is.
    pub anchor: ShardId,
    /// Its branches, and what each had locked.
    pub branches: SmallVec<[(ShardId, LockSet); 2]>,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The forget packet of a branch, in one local transaction -> [`Event::Branches`].
    ForgetBranches {
        /// Where.
        shard: ShardId,
        /// What: the lock rows that still carry the xid, then the branch rows.
        branches: Vec<(Xid, LockSet)>,
    },
    /// The forget packet of an anchor, in one local transaction -> [`Event::Decisions`].
    ForgetDecisions {
        /// Where.
        anchor: ShardId,
        /// Which `gtx` rows, COMMITTED all.
        xids: Vec<Xid>,
        /// The watermark.
        below: u64,
    },
    /// [`Event::Time`] is wanted at this time.
    WakeAt(Instant),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its `gtx` row says COMMITTED.
    Committed(Committed),
    /// Its `gtx` row says ABORTED, or nothing of it was ever committed anywhere.
    Aborted(Xid),
    /// Answer to [`Command::ForgetBranches`]: whether it was done.
    Branches(ShardId, bool),
    /// Answer to [`Command::ForgetDecisions`]: whether it was done.
    Decisions(ShardId, bool),
    /// Time has passed.
    Time,
}

#[derive(Debug)]
enum Flight {
    None,
    Branches { batch: Vec<Committed>, unanswered: BTreeSet<ShardId>, failed: BTreeSet<ShardId> },
    Decisions { batch: Vec<Committed>, unanswered: BTreeSet<ShardId> },
}

/// The machine. See the file's head.
#[derive(Debug)]
pub struct Ledger {
    incarnation: Incarnation,
    next: u64,
    undecided: BTreeSet<u64>,
    waiting: VecDeque<(Instant, Committed)>,
    /// Those that could not be forgotten, and when one batch of them is tried again: a shard that is
    /// away must not be asked without end.
    failed: VecDeque<Committed>,
    again: Option<Instant>,
    /// Those that have no branch any more. Their `gtx` rows wait for the watermark.
    kept: BTreeMap<u64, Committed>,
    flight: Flight,
    rules: Rules,
}

impl Ledger {
    /// The ledger of a new incarnation.
    pub fn new(incarnation: Incarnation, rules: Rules) -> Self {
        Self {
            incarnation,
            next: 1,
            undecided: BTreeSet::new(),
            waiting: VecDeque::new(),
            failed: VecDeque::new(),
            again: None,
            kept: BTreeMap::new(),
            flight: Flight::None,
            rules,
        }
    }

    /// The name of a commit that begins now; None when [`UNDECIDED_MAX`] are undecided. Each
    /// must be ended by [`Event::Committed`] or [`Event::Aborted`]: by its coordinator, or
    /// when that hands over, by the resolver that this process then starts for it.
    pub fn begin(&mut self) -> Option<Xid> {
        if self.undecided.len() >= UNDECIDED_MAX {
            return None;
        }
        let counter = self.next;
        self.next += 1;
        self.undecided.insert(counter);
        Some(Xid { incarnation: self.incarnation, counter })
    }

    /// How many are undecided, and how many committed ones are to be forgotten.
    pub fn sizes(&self) -> (usize, usize) {
        (self.undecided.len(), self.unforgotten())
    }

    /// One step.
    pub fn step(&mut self, now: Instant, event: Event) -> Vec<Command> {
        match event {
            Event::Committed(one) => {
                self.undecided.remove(&one.xid.counter);
                if self.unforgotten() < WAITING_MAX {
                    self.waiting.push_back((now, one));
                }
                self.start(now)
            }
            Event::Aborted(xid) => {
                self.undecided.remove(&xid.counter);
                Vec::new()
            }
            Event::Branches(shard, done) => self.branches_answered(now, shard, done),
            Event::Decisions(shard, done) => self.decisions_answered(now, shard, done),
            Event::Time => self.start(now),
        }
    }

    /// Everything below is decided: what is not in `gtx` any more is forgotten.
    fn watermark(&self) -> u64 {
        if !self.rules.keeps(Rule::WatermarkGuardsForgotten) {
            return 0;
        }
        self.undecided.first().copied().unwrap_or(self.next)
    }

    fn unforgotten(&self) -> usize {
        self.waiting.len() + self.failed.len() + self.kept.len()
    }

    fn start(&mut self, now: Instant) -> Vec<Command> {
        if !matches!(self.flight, Flight::None) {
            return Vec::new();
        }
        let due = self.waiting.front().map(|(since, _)| *since + BATCH_AGE);
        let enough = self.waiting.len() >= BATCH_MIN || due.is_some_and(|due| now >= due);
        let batch: Vec<_> = if enough {
            let count = self.waiting.len().min(BATCH_MAX);
            self.waiting.drain(..count).map(|(_, one)| one).collect()
        } else if self.again.is_some_and(|again| now >= again) {
            let count = self.failed.len().min(BATCH_MAX);
            self.failed.drain(..count).collect()
        } else {
            let below = self.watermark();
            let ripe = self.take_kept(below);
            if !ripe.is_empty() {
                return self.forget_decisions(ripe);
            }
            let later = (!self.kept.is_empty()).then(|| now + BATCH_AGE);
            let wake = [due, self.again, later].into_iter().flatten().min();
            return wake.map(Command::WakeAt).into_iter().collect();
        };
        if self.failed.is_empty() {
            self.again = None;
        }
        if !self.rules.keeps(Rule::ForgetDecisionLast) {
            return self.forget_decisions(batch);
        }
        self.forget_branches(batch)
    }

    /// Those whose `gtx` rows may go, at most a batch.
    fn take_kept(&mut self, below: u64) -> Vec<Committed> {
        let ripe: Vec<_> = self.kept.range(..below).map(|(at, _)| *at).take(BATCH_MAX).collect();
        ripe.into_iter().filter_map(|counter| self.kept.remove(&counter)).collect()
    }

    fn forget_branches(&mut self, batch: Vec<Committed>) -> Vec<Command> {
        let mut by_shard: BTreeMap<ShardId, Vec<(Xid, LockSet)>> = BTreeMap::new();
        for one in &batch {
            for (shard, locks) in &one.branches {
                by_shard.entry(*shard).or_default().push((one.xid, locks.clone()));
            }
        }
        let unanswered = by_shard.keys().copied().collect();
        self.flight = Flight::Branches { batch, unanswered, failed: BTreeSet::new() };
        let command = |(shard, branches)| Command::ForgetBranches { shard, branches };
        by_shard.into_iter().map(command).collect()
    }

    fn forget_decisions(&mut self, batch: Vec<Committed>) -> Vec<Command> {
        let mut by_anchor: BTreeMap<ShardId, Vec<Xid>> = BTreeMap::new();
        for one in &batch {
            by_anchor.entry(one.anchor).or_default().push(one.xid);
        }
        let unanswered = by_anchor.keys().copied().collect();
        self.flight = Flight::Decisions { batch, unanswered };
        let below = self.watermark();
        let command = |(anchor, xids)| Command::ForgetDecisions { anchor, xids, below };
        by_anchor.into_iter().map(command).collect()
    }

    fn branches_answered(&mut self, now: Instant, shard: ShardId, done: bool) -> Vec<Command> {
        let Flight::Branches { batch, unanswered, failed } = &mut self.flight else {
            return Vec::new();
        };
        if unanswered.remove(&shard) && !done {
            failed.insert(shard);
        }
        if !unanswered.is_empty() {
            return Vec::new();
        }
        let (batch, failed) = (std::mem::take(batch), std::mem::take(failed));
        self.flight = Flight::None;
        let again = |one: &Committed| one.branches.iter().any(|(shard, _)| failed.contains(shard));
        let (again, gone): (Vec<_>, Vec<_>) = batch.into_iter().partition(again);
        self.try_again(now, again);
        // Above the watermark a row must stay: nothing else would refuse a late abort.
        let below = self.watermark();
        let guarded = |one: &Committed| {
            one.xid.counter < below || !self.rules.keeps(Rule::WatermarkGuardsForgotten)
        };
        let (mut gone, kept): (Vec<_>, Vec<_>) = gone.into_iter().partition(guarded);
        self.kept.extend(kept.into_iter().map(|one| (one.xid.counter, one)));
        // Under constant load there is no better time for those that have waited.
        gone.extend(self.take_kept(below));
        if gone.is_empty() || !self.rules.keeps(Rule::ForgetDecisionLast) {
            return self.start(now);
        }
        self.forget_decisions(gone)
    }

    fn decisions_answered(&mut self, now: Instant, anchor: ShardId, done: bool) -> Vec<Command> {
        let Flight::Decisions { batch, unanswered } = &mut self.flight else { return Vec::new() };
        let mut again = Vec::new();
        if unanswered.remove(&anchor) && !done {
            // Its branches have nothing left; the packet is idempotent.
            again = batch.extract_if(.., |one| one.anchor == anchor).collect();
        }
        let ended = unanswered.is_empty();
        self.try_again(now, again);
        if !ended {
            return Vec::new();
        }
        match std::mem::replace(&mut self.flight, Flight::None) {
            Flight::Decisions { batch, .. } if !self.rules.keeps(Rule::ForgetDecisionLast) => {
                self.forget_branches(batch)
            }
            Flight::None | Flight::Branches { .. } | Flight::Decisions { .. } => self.start(now),
        }
    }

    fn try_again(&mut self, now: Instant, ones: Vec<Committed>) {
        if ones.is_empty() {
            return;
        }
        self.failed.extend(ones);
        self.again = Some(now + BATCH_AGE);
    }
}

#[cfg(test)]
#[path = "forget_test.rs"]
mod forget_test;
