//! What is left of a dead incarnation, taken away: its tombstones, its committed `gtx` rows,
//! its fence rows. Pure, one attempt; run again later when it ends with
//! [`Swept::NotYet`].
//!
//! A tombstone keeps a late decision out, so it goes only after the incarnation is fenced on
//! *every* shard: then no packet of it can arrive any more. Then no new `branch` row can
//! appear either, so one look at each shard that finds none is final. With the rows goes
//! the watermark to its end, which refuses any resolver that still sleeps.

use super::{
    outcome::ALL,
    rules::{Rule, Rules},
    xid::Incarnation,
};
use shardline_model::id::ShardId;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How long the outcomes of a fenced incarnation can still be asked for.
pub const OUTCOMES_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// What the driver is to do. Each has one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Count the incarnation's `branch` rows in the state PREPARED -> [`Event::Branches`].
    CountBranches(ShardId),
    /// Set the watermark to `below`, delete the incarnation's `gtx` rows and its fence
    /// rows, in one local transaction -> [`Event::Swept`].
    Sweep {
        /// Where.
        shard: ShardId,
        /// [`ALL`].
        below: u64,
    },
    /// The end of this attempt.
    Finish(Swept),
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// First, once.
    Begin,
    /// So many branches there are not settled.
    Branches(ShardId, u64),
    /// It is done there.
    Swept(ShardId),
    /// The shard did not do what was asked.
    Failed(ShardId),
}

/// How the attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Nothing of the incarnation is left but its `dead_incarnation` rows and watermarks.
    Clean,
    /// Too early, or a shard did not answer, or branches are to be resolved first.
    NotYet,
}

/// The machine. See the file's head.
#[derive(Debug)]
pub struct Sweep {
    incarnation: Incarnation,
    shards: BTreeSet<ShardId>,
    unanswered: BTreeSet<ShardId>,
    phase: Phase,
    rules: Rules,
    /// When fencing was complete on every shard.
    fenced: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Counting,
    Sweeping,
    Done,
}

impl Sweep {
    /// An attempt for an incarnation that was fenced everywhere at `fenced` (None: it is not).
    pub fn new(
        incarnation: Incarnation,
        shards: impl IntoIterator<Item = ShardId>,
        fenced: Option<Instant>,
        rules: Rules,
    ) -> Self {
        let shards: BTreeSet<_> = shards.into_iter().collect();
        let unanswered = shards.clone();
        Self { incarnation, shards, unanswered, phase: Phase::Idle, rules, fenced }
    }

    /// Whose rows are swept.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// One step.
    pub fn step(&mut self, now: Instant, event: Event) -> Vec<Command> {
        match (self.phase, event) {
            (Phase::Idle, Event::Begin) => {
                let kept = self.fenced.is_some_and(|at| now >= at + OUTCOMES_KEPT);
                if !kept && self.rules.keeps(Rule::SweepAfterFencing) {
                    return self.finish(Swept::NotYet);
                }
                self.phase = Phase::Counting;
                self.shards.iter().map(|shard| Command::CountBranches(*shard)).collect()
            }
            (Phase::Counting, Event::Branches(shard, 0)) => {
                self.unanswered.remove(&shard);
                if !self.unanswered.is_empty() {
                    return Vec::new();
                }
                self.phase = Phase::Sweeping;
                self.unanswered = self.shards.clone();
                self.shards.iter().map(|&shard| Command::Sweep { shard, below: ALL }).collect()
            }
            (Phase::Sweeping, Event::Swept(shard)) => {
                self.unanswered.remove(&shard);
                if self.unanswered.is_empty() { self.finish(Swept::Clean) } else { Vec::new() }
            }
            (Phase::Counting, Event::Branches(..))
            | (Phase::Counting | Phase::Sweeping, Event::Failed(_)) => self.finish(Swept::NotYet),
            (
                Phase::Idle | Phase::Counting | Phase::Sweeping | Phase::Done,
                Event::Begin | Event::Branches(..) | Event::Swept(_) | Event::Failed(_),
            ) => Vec::new(),
        }
    }

    fn finish(&mut self, swept: Swept) -> Vec<Command> {
        self.phase = Phase::Done;
        vec![Command::Finish(swept)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_after_fencing_the_time_and_a_clean_count_of_every_shard() {
        let (fenced, shards) = (Instant::now(), [ShardId(1), ShardId(2)]);
        let sweep = |fenced| Sweep::new(Incarnation(4), shards, fenced, Rules::default());
        let not_yet = [Command::Finish(Swept::NotYet)];
        let late = fenced + OUTCOMES_KEPT;
        assert_eq!(sweep(None).step(late, Event::Begin), not_yet);
        assert_eq!(sweep(Some(fenced)).step(fenced, Event::Begin), not_yet);
        let mut open = sweep(Some(fenced));
        open.step(late, Event::Begin);
        assert_eq!(open.step(late, Event::Branches(ShardId(2), 1)), not_yet);
        let mut clean = sweep(Some(fenced));
        assert_eq!(clean.step(late, Event::Begin), shards.map(Command::CountBranches));
        assert!(clean.step(late, Event::Branches(ShardId(1), 0)).is_empty());
        let swept = shards.map(|shard| Command::Sweep { shard, below: ALL });
        assert_eq!(clean.step(late, Event::Branches(ShardId(2), 0)), swept);
        assert!(clean.step(late, Event::Swept(ShardId(1))).is_empty());
        let end = clean.step(late, Event::Swept(ShardId(2)));
        assert_eq!(end, [Command::Finish(Swept::Clean)]);
    }
}
