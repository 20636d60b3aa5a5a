//! The resolver of one transaction that somebody else left: from a `branch` row that is
//! older than [`SCAN_AGE`] to its decision and its undoing. Pure. Any number of resolvers,
//! and the coordinator itself, may be at it at once: the primary key of `gtx` decides, and
//! settling a branch is idempotent.
//!
//! A resolver tries nothing twice: what it could not finish, the next scan finds again.

use super::{
    outcome::{AbortAnswer, Decision, Reading, Settlement},
    rules::{Rule, Rules},
    xid::Xid,
};
use shardline_model::id::ShardId;
use smallvec::{SmallVec, smallvec};

/// A `branch` row in the state PREPARED that is older, by its own server's clock, is
/// resolved. It is no limit for correctness: a commit that takes longer is aborted.
pub const SCAN_AGE: std::time::Duration = std::time::Duration::from_secs(2);
/// The pause between two scans of a shard.
pub const SCAN_PERIOD: std::time::Duration = std::time::Duration::from_millis(500);
/// How many transactions one scan of a shard takes on.
pub const SCAN_ROWS_MAX: usize = 256;
/// How often a connection that holds the decision uncommitted is killed before the next scan.
const KILLS_MAX: u8 = 3;

/// What a `branch` row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// The transaction.
    pub xid: Xid,
    /// Where its decision is.
    pub anchor: ShardId,
    /// All its branches.
    pub branches: SmallVec<[ShardId; 4]>,
}

/// What the driver is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The abort packet on the anchor -> [`Event::Abort`].
    InsertAborted,
    /// A plain read of the `gtx` row -> [`Event::Read`]. Only where a rule is broken.
    ReadDecision,
    /// Kill the connection that holds the `gtx` row uncommitted (`branch.anchor_thread`, when
    /// its account is the incarnation's, and unless it waits for a replica) -> [`Event::Killed`].
    KillAnchor,
    /// Settle a branch -> [`Event::Settled`].
    Settle(ShardId),
    /// The end.
    Finish(Resolution),
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// First, once.
    Begin,
    /// Answer to [`Command::InsertAborted`].
    Abort(AbortAnswer),
    /// Answer to [`Command::ReadDecision`]; None when the anchor did not answer.
    Read(Option<Reading>),
    /// The connection was killed, or could not be.
    Killed,
    /// Answer to [`Command::Settle`].
    Settled(ShardId, Settlement),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Committed: its locks and branch rows may go ([`super::forget`]).
    Committed,
    /// Aborted, and every branch settled.
    Aborted,
    /// Aborted, and a branch cannot be undone: raise the alarm. The other branches are.
    Stuck(ShardId),
    /// It was finished and forgotten meanwhile; the row that was seen is gone.
    Forgotten,
    /// A shard did not answer: the next scan tries again.
    Later,
}

/// The commands of one step.
pub type Commands = SmallVec<[Command; 4]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Asking { kills: u8 },
    Settling,
    Done,
}

/// The machine. See the file's head.
#[derive(Debug)]
pub struct Resolver {
    seen: Undecided,
    phase: Phase,
    settled: SmallVec<[(ShardId, Settlement); 4]>,
    rules: Rules,
}

impl Resolver {
    /// A resolver that waits for [`Event::Begin`].
    pub fn new(seen: Undecided, rules: Rules) -> Self {
        Self { seen, phase: Phase::Idle, settled: SmallVec::new(), rules }
    }

    /// The transaction.
    pub fn seen(&self) -> &Undecided {
        &self.seen
    }

    /// One step. Events that come too late change nothing.
    pub fn step(&mut self, event: Event) -> Commands {
        match (self.phase, event) {
            (Phase::Idle, Event::Begin) => {
                self.phase = Phase::Asking { kills: 0 };
                if self.rules.keeps(Rule::AbsenceDecidesNothing) {
                    smallvec![Command::InsertAborted]
                } else {
                    smallvec![Command::ReadDecision]
                }
            }
            (Phase::Asking { kills }, Event::Abort(answer)) => self.answered(kills, answer),
            (Phase::Asking { .. }, Event::Read(reading)) => match reading {
                Some(Reading::Row(Decision::Committed)) => self.finish(Resolution::Committed),
                Some(Reading::Row(Decision::Aborted) | Reading::Absent { .. }) => self.settle(),
                None => self.finish(Resolution::Later),
            },
            (Phase::Asking { .. }, Event::Killed) => smallvec![Command::InsertAborted],
            (Phase::Settling, Event::Settled(shard, settlement)) => {
                self.settled.push((shard, settlement));
                self.end_when_settled()
            }
            (
                Phase::Idle | Phase::Asking { .. } | Phase::Settling | Phase::Done,
                Event::Begin
                | Event::Abort(_)
                | Event::Read(_)
                | Event::Killed
                | Event::Settled(..),
            ) => Commands::new(),
        }
    }

    fn answered(&mut self, kills: u8, answer: AbortAnswer) -> Commands {
        match answer {
            AbortAnswer::Inserted | AbortAnswer::Found(Decision::Aborted) => self.settle(),
            AbortAnswer::Found(Decision::Committed) => self.finish(Resolution::Committed),
            AbortAnswer::Forgotten => self.finish(Resolution::Forgotten),
            AbortAnswer::Waiting if kills < KILLS_MAX => {
                self.phase = Phase::Asking { kills: kills + 1 };
                smallvec![Command::KillAnchor]
            }
            AbortAnswer::Waiting | AbortAnswer::Unreachable => self.finish(Resolution::Later),
        }
    }

    /// All branches, also those without a row: theirs may still be on its way, and the fence
    /// row keeps it out.
    fn settle(&mut self) -> Commands {
        self.phase = Phase::Settling;
        self.seen.branches.iter().map(|shard| Command::Settle(*shard)).collect()
    }

    fn end_when_settled(&mut self) -> Commands {
        let answered = |shard: &ShardId| self.settled.iter().any(|(known, _)| known == shard);
        if !self.seen.branches.iter().all(answered) {
            return Commands::new();
        }
        let with = |wanted| self.settled.iter().find(|(_, settlement)| *settlement == wanted);
        let resolution = match (with(Settlement::Stuck), with(Settlement::Failed)) {
            (Some((shard, _)), _) => Resolution::Stuck(*shard),
            (None, Some(_)) => Resolution::Later,
            (None, None) => Resolution::Aborted,
        };
        self.finish(resolution)
    }

    fn finish(&mut self, resolution: Resolution) -> Commands {
        self.phase = Phase::Done;
        smallvec![Command::Finish(resolution)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::txn::xid::Incarnation;

    fn resolver() -> Resolver {
        let xid = Xid { incarnation: Incarnation(1), counter: 1 };
        let branches = smallvec![ShardId(2), ShardId(3)];
        let mut resolver =
            Resolver::new(Undecided { xid, anchor: ShardId(1), branches }, Rules::default());
        assert_eq!(resolver.step(Event::Begin)[..], [Command::InsertAborted]);
        resolver
    }

    #[test]
    fn an_aborted_one_is_settled_on_every_branch() {
        for answer in [AbortAnswer::Inserted, AbortAnswer::Found(Decision::Aborted)] {
            let mut resolver = resolver();
            let settle = [Command::Settle(ShardId(2)), Command::Settle(ShardId(3))];
            assert_eq!(resolver.step(Event::Abort(answer))[..], settle);
            assert!(resolver.step(Event::Settled(ShardId(3), Settlement::Done)).is_empty());
            let end = resolver.step(Event::Settled(ShardId(2), Settlement::Done));
            assert_eq!(end[..], [Command::Finish(Resolution::Aborted)]);
        }
    }

    #[test]
    fn what_cannot_be_finished_says_so() {
        let cases = [
            (Settlement::Failed, Settlement::Done, Resolution::Later),
            (Settlement::Failed, Settlement::Stuck, Resolution::Stuck(ShardId(3))),
        ];
        for (second, third, expected) in cases {
            let mut resolver = resolver();
            resolver.step(Event::Abort(AbortAnswer::Inserted));
            resolver.step(Event::Settled(ShardId(2), second));
            let end = resolver.step(Event::Settled(ShardId(3), third));
            assert_eq!(end[..], [Command::Finish(expected)]);
        }
    }

    #[test]
    fn the_row_decides_and_a_waiting_one_is_killed_so_often() {
        let ends = [
            (AbortAnswer::Found(Decision::Committed), Resolution::Committed),
            (AbortAnswer::Forgotten, Resolution::Forgotten),
            (AbortAnswer::Unreachable, Resolution::Later),
        ];
        for (answer, resolution) in ends {
            let end = resolver().step(Event::Abort(answer));
            assert_eq!(end[..], [Command::Finish(resolution)]);
        }
        let mut resolver = resolver();
        for _ in 0..KILLS_MAX {
            assert_eq!(
                resolver.step(Event::Abort(AbortAnswer::Waiting))[..],
                [Command::KillAnchor]
            );
            assert_eq!(resolver.step(Event::Killed)[..], [Command::InsertAborted]);
        }
        let end = resolver.step(Event::Abort(AbortAnswer::Waiting));
        assert_eq!(end[..], [Command::Finish(Resolution::Later)]);
    }
}
