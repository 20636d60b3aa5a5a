//! The coordinator of one distributed commit, from the client's COMMIT to its answer. Pure:
//! the driver does what the commands say, on the shards, and reports what came of it.
//!
//! ```text
//! Preparing --all prepared, no foreign locks--> Deciding --OK--> committed
//!     | ^-------a foreign lock on the anchor------|  |  \--no answer--> Asking --COMMITTED--> committed
//!     | any failure                                  | refused            | ABORTED, or inserted it
//!     v                                              v                    v
//!  Aborting ------------ABORTED is on the anchor---------------------> Settling --> aborted
//! ```
//!
//! Each participant's foreign locks are looked for by its own packet where that can see what is
//! committed by now; elsewhere from aside, a branch's before it prepares.

use super::{
    commit::{
        Alarm, BranchFate, Command, Commands, DecideFailure, Ending, Event, Holders, Participants,
    },
    outcome::{AbortAnswer, Decision, Outcome, Settlement, Why},
    rules::{Rule, Rules},
    xid::Xid,
};
use shardline_model::id::ShardId;
use smallvec::{SmallVec, smallvec};
use std::time::{Duration, Instant};

/// How long the branches may take to commit, all in all.
pub const PREPARE_PATIENCE: Duration = Duration::from_secs(5);
/// How long the anchor may take to answer the decision before it is asked on another connection.
pub const DECIDE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a branch waits for another transaction's lock on one of its keys.
pub const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// How long the outcome is sought before the client is told that it is unknown.
pub const UNKNOWN_AFTER: Duration = Duration::from_secs(5);
/// How long the client's answer waits for the branches of an aborted transaction to be undone.
pub const SETTLE_PATIENCE: Duration = Duration::from_secs(1);
/// The pause before something is tried again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BranchState {
    Preparing,
    /// Waiting for another transaction's lock; when to ask again, and until when.
    Locked {
        again: Option<Instant>,
        until: Instant,
    },
    Prepared,
    Uncommitted,
    Unknown,
    Settling,
    Settled,
    Unsettled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReaderState {
    Ending,
    Ended,
}

/// A look for foreign locks on the anchor or a reader: under way, or to be repeated at a time, until
/// when; or none was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CheckState {
    Looking { again: Option<Instant>, until: Instant },
    Free,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Preparing {
        until: Instant,
    },
    Deciding {
        until: Instant,
    },
    /// Certainly aborted; the anchor is to learn it.
    Aborting {
        why: Why,
        until: Instant,
        again: Option<Instant>,
    },
    /// The decision was sent and not answered.
    Asking {
        until: Instant,
        again: Option<Instant>,
    },
    /// ABORTED is durable.
    Settling {
        why: Why,
        until: Instant,
    },
    Done,
}

/// The machine. See the file's head.
#[derive(Debug)]
pub struct Coordinator {
    xid: Xid,
    anchor: ShardId,
    branches: SmallVec<[(ShardId, BranchState); 4]>,
    readers: SmallVec<[(ShardId, ReaderState); 4]>,
    checks: SmallVec<[(ShardId, CheckState); 4]>,
    phase: Phase,
    rules: Rules,
}

impl Coordinator {
    /// A coordinator that waits for [`Event::Begin`].
    ///
    /// # Panics
    /// Without a branch, or when a shard takes part twice.
    pub fn new(xid: Xid, participants: Participants, rules: Rules) -> Self {
        let Participants { anchor, branches, readers, checks } = participants;
        assert!(!branches.is_empty(), "one written shard needs no coordinator");
        let mut all: Vec<_> = branches.iter().chain(&readers).chain([&anchor]).collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "a shard takes part twice");
        Self {
            xid,
            anchor,
            branches: branches.into_iter().map(|shard| (shard, BranchState::Preparing)).collect(),
            readers: readers.into_iter().map(|shard| (shard, ReaderState::Ending)).collect(),
            checks: checks.into_iter().map(|shard| (shard, CheckState::Free)).collect(),
            phase: Phase::Idle,
            rules,
        }
    }

    /// The transaction.
    pub fn xid(&self) -> Xid {
        self.xid
    }

    /// Whether [`Command::Finish`] was given.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// One step. Never fails; events that come too late change nothing.
    pub fn step(&mut self, now: Instant, event: Event) -> Commands {
        match event {
            Event::Begin => self.begin(now),
            Event::Checked(shard, holders) => self.checked(now, shard, holders),
            Event::Prepared(shard) => {
                self.turn(shard, BranchState::Preparing, BranchState::Prepared);
                self.decide_if_ready(now)
            }
            Event::PrepareFailed(shard, fate) => self.prepare_failed(now, shard, fate),
            Event::PrepareLocked(shard) => self.prepare_locked(now, shard),
            Event::HoldersAsked(shard, holders) => self.holders_asked(now, shard, holders),
            Event::ReaderEnded(shard, true) => self.reader_ended(now, shard),
            Event::ReaderEnded(shard, false) => self.reader_lost(now, shard),
            Event::Decided => self.decided(),
            Event::DecideLocked => self.decide_locked(now),
            Event::DecideFailed(failure) => self.decide_failed(now, failure),
            Event::Abort(answer) => self.abort_answered(now, answer),
            Event::Killed if self.is_asking() => smallvec![Command::InsertAborted],
            Event::Killed => Commands::new(),
            Event::Settled(shard, settlement) => self.settled(shard, settlement),
            Event::Time => self.time(now),
            Event::Fenced => self.fenced(),
        }
    }

    fn begin(&mut self, now: Instant) -> Commands {
        if self.phase != Phase::Idle {
            return Commands::new();
        }
        let until = now + PREPARE_PATIENCE;
        self.phase = Phase::Preparing { until };
        let mut commands: Commands = smallvec![Command::WakeAt(until)];
        let patience = now + LOCK_PATIENCE;
        let asked: SmallVec<[ShardId; 4]> = self.checks.iter().map(|(shard, _)| *shard).collect();
        for (shard, state) in &mut self.branches {
            if asked.contains(shard) {
                *state = BranchState::Locked { again: None, until: patience };
                commands.push(Command::AskHolders(*shard));
            } else {
                commands.push(Command::Prepare(*shard));
            }
        }
        let branches = &self.branches;
        self.checks.retain(|(shard, _)| branches.iter().all(|(branch, _)| branch != shard));
        for (shard, state) in &mut self.checks {
            *state = CheckState::Looking { again: None, until: patience };
            commands.push(Command::Check(*shard));
        }
        let unchecked = self.readers.iter().filter(|(shard, _)| !asked.contains(shard));
        commands.extend(unchecked.map(|(shard, _)| Command::EndReader(*shard)));
        commands
    }

    /// The row locks are still held, so what was found free stays free.
    fn checked(&mut self, now: Instant, shard: ShardId, holders: Holders) -> Commands {
        let Phase::Preparing { .. } = self.phase else { return Commands::new() };
        let Some((_, state)) = self.checks.iter_mut().find(|(checked, _)| *checked == shard) else {
            return Commands::new();
        };
        let CheckState::Looking { again, until } = state else { return Commands::new() };
        match holders {
            Holders::Free => {
                *state = CheckState::Free;
                let mut commands = Commands::new();
                if self.readers.iter().any(|(reader, _)| *reader == shard) {
                    commands.push(Command::EndReader(shard));
                }
                commands.extend(self.decide_if_ready(now));
                commands
            }
            Holders::Held if now >= *until => self.abort(now, Why::Locked(shard)),
            Holders::Held => {
                *again = Some(now + RETRY_PAUSE);
                self.wake()
            }
        }
    }

    /// Looks again for foreign locks, where it is time.
    fn look_again(&mut self, now: Instant) -> Commands {
        let mut commands = Commands::new();
        let due = |again: &mut Option<Instant>| again.take_if(|again| now >= *again).is_some();
        for (shard, state) in &mut self.branches {
            if let BranchState::Locked { again, .. } = state
                && due(again)
            {
                commands.push(Command::AskHolders(*shard));
            }
        }
        for (shard, state) in &mut self.checks {
            if let CheckState::Looking { again, .. } = state
                && due(again)
            {
                commands.push(Command::Check(*shard));
            }
        }
        commands.extend(self.wake());
        commands
    }

    fn roll_all_back(&self) -> Commands {
        let branches = self.branches.iter().map(|(shard, _)| *shard);
        let readers = self.readers.iter().map(|(shard, _)| *shard);
        let all = [self.anchor].into_iter().chain(branches).chain(readers);
        all.map(Command::Rollback).collect()
    }

    fn reader_ended(&mut self, now: Instant, shard: ShardId) -> Commands {
        for (reader, state) in &mut self.readers {
            if *reader == shard {
                *state = ReaderState::Ended;
            }
        }
        self.decide_if_ready(now)
    }

    fn reader_lost(&mut self, now: Instant, shard: ShardId) -> Commands {
        match self.phase {
            Phase::Preparing { .. } => self.abort(now, Why::Lost(shard)),
            Phase::Idle
            | Phase::Deciding { .. }
            | Phase::Aborting { .. }
            | Phase::Asking { .. }
            | Phase::Settling { .. }
            | Phase::Done => Commands::new(),
        }
    }

    fn decide_if_ready(&mut self, now: Instant) -> Commands {
        let Phase::Preparing { .. } = self.phase else { return Commands::new() };
        let prepared = |state: &BranchState| *state == BranchState::Prepared;
        let branches = match self.rules.keeps(Rule::DecideAfterAllPrepared) {
            true => self.branches.iter().all(|(_, state)| prepared(state)),
            false => self.branches.iter().any(|(_, state)| prepared(state)),
        };
        let readers = self.readers.iter().all(|(_, state)| *state == ReaderState::Ended);
        let checks = self.checks.iter().all(|(_, state)| *state == CheckState::Free);
        if !(branches && readers && checks) {
            return Commands::new();
        }
        let until = now + DECIDE_PATIENCE;
        self.phase = Phase::Deciding { until };
        smallvec![Command::WakeAt(until), Command::Decide]
    }

    fn prepare_failed(&mut self, now: Instant, shard: ShardId, fate: BranchFate) -> Commands {
        let (state, why) = match fate {
            BranchFate::Uncommitted => (BranchState::Uncommitted, Why::Refused(shard)),
            BranchFate::Unknown => (BranchState::Unknown, Why::Lost(shard)),
        };
        match self.phase {
            Phase::Preparing { .. } => {
                self.turn(shard, BranchState::Preparing, state);
                self.abort(now, why)
            }
            // Its connection still holds the branch's own transaction.
            Phase::Deciding { .. }
            | Phase::Aborting { .. }
            | Phase::Asking { .. }
            | Phase::Settling { .. } => {
                self.turn(shard, BranchState::Preparing, state);
                smallvec![Command::Rollback(shard)]
            }
            Phase::Idle | Phase::Done => Commands::new(),
        }
    }

    fn prepare_locked(&mut self, now: Instant, shard: ShardId) -> Commands {
        let Phase::Preparing { until } = self.phase else {
            return self.prepare_failed(now, shard, BranchFate::Uncommitted);
        };
        let until = until.min(now + LOCK_PATIENCE);
        self.turn(shard, BranchState::Preparing, BranchState::Locked { again: None, until });
        smallvec![Command::AskHolders(shard)]
    }

    fn holders_asked(&mut self, now: Instant, shard: ShardId, holders: Holders) -> Commands {
        let Phase::Preparing { .. } = self.phase else { return Commands::new() };
        let Some((_, state)) = self.branches.iter_mut().find(|(branch, _)| *branch == shard) else {
            return Commands::new();
        };
        let BranchState::Locked { until, .. } = *state else { return Commands::new() };
        match holders {
            Holders::Free => {
                // Another holder may come before: `until` is not kept, the phase's end bounds it.
                *state = BranchState::Preparing;
                smallvec![Command::Prepare(shard)]
            }
            Holders::Held if now >= until => {
                *state = BranchState::Uncommitted;
                self.abort(now, Why::Locked(shard))
            }
            Holders::Held => {
                *state = BranchState::Locked { again: Some(now + RETRY_PAUSE), until };
                self.wake()
            }
        }
    }

    /// From here on the outcome is ABORTED, as nobody but this machine could have made it
    /// COMMITTED, and it has not or its attempt has certainly failed.
    fn abort(&mut self, now: Instant, why: Why) -> Commands {
        let mut commands = Commands::new();
        commands.push(Command::Rollback(self.anchor));
        for (shard, state) in &mut self.branches {
            if let BranchState::Locked { .. } = state {
                *state = BranchState::Uncommitted;
            }
            if *state == BranchState::Uncommitted {
                commands.push(Command::Rollback(*shard));
            }
        }
        let readers = self.readers.iter().filter(|(_, state)| *state == ReaderState::Ending);
        commands.extend(readers.map(|(shard, _)| Command::Rollback(*shard)));
        if self.branches.iter().all(|(_, state)| *state == BranchState::Uncommitted) {
            self.phase = Phase::Done;
            commands.push(Command::Answer(Outcome::Aborted(why)));
            commands.push(Command::Finish(Ending::NeverPrepared));
            return commands;
        }
        let until = now + SETTLE_PATIENCE;
        self.phase = Phase::Aborting { why, until, again: None };
        commands.push(Command::WakeAt(until));
        commands.push(Command::InsertAborted);
        commands
    }

    fn decided(&mut self) -> Commands {
        match self.phase {
            Phase::Deciding { .. } | Phase::Asking { .. } => self.committed(),
            Phase::Idle
            | Phase::Preparing { .. }
            | Phase::Aborting { .. }
            | Phase::Settling { .. }
            | Phase::Done => Commands::new(),
        }
    }

    fn committed(&mut self) -> Commands {
        self.phase = Phase::Done;
        smallvec![Command::Answer(Outcome::Committed), Command::Finish(Ending::Committed)]
    }

    /// The anchor's packet has met a foreign lock: it is waited for as from aside.
    fn decide_locked(&mut self, now: Instant) -> Commands {
        let Phase::Deciding { .. } = self.phase else { return Commands::new() };
        let until = now + PREPARE_PATIENCE;
        self.phase = Phase::Preparing { until };
        let looking = CheckState::Looking { again: None, until: now + LOCK_PATIENCE };
        self.checks.retain(|(shard, _)| *shard != self.anchor);
        self.checks.push((self.anchor, looking));
        smallvec![Command::WakeAt(until), Command::Check(self.anchor)]
    }

    fn decide_failed(&mut self, now: Instant, failure: DecideFailure) -> Commands {
        let Phase::Deciding { .. } = self.phase else { return Commands::new() };
        match failure {
            DecideFailure::Uncommitted => self.abort(now, Why::Overruled),
            DecideFailure::Unknown => self.ask(now),
        }
    }

    /// The decision may be on the anchor, or on its way there. Inserting ABORTED finds out,
    /// and stops a decision that has not arrived: `gtx`'s primary key lets one in.
    fn ask(&mut self, now: Instant) -> Commands {
        let close = Command::Rollback(self.anchor);
        if !self.rules.keeps(Rule::LostDecisionIsUnknown) {
            let mut commands = self.hand_over(Outcome::Aborted(Why::Lost(self.anchor)));
            commands.insert(0, close);
            return commands;
        }
        let until = now + UNKNOWN_AFTER;
        self.phase = Phase::Asking { until, again: None };
        smallvec![close, Command::WakeAt(until), Command::InsertAborted]
    }

    fn abort_answered(&mut self, now: Instant, answer: AbortAnswer) -> Commands {
        match self.phase {
            Phase::Aborting { why, until, .. } => match answer {
                AbortAnswer::Inserted | AbortAnswer::Found(Decision::Aborted) => {
                    self.settle(now, why)
                }
                // A dead incarnation's rows are swept when no branch is left.
                AbortAnswer::Forgotten => self.finish(Outcome::Aborted(why), Ending::Aborted),
                AbortAnswer::Found(Decision::Committed) => {
                    let mut commands = self.hand_over(Outcome::Unknown);
                    commands.insert(0, Command::Alarm(Alarm::CommittedByAnother));
                    commands
                }
                AbortAnswer::Waiting | AbortAnswer::Unreachable => {
                    self.phase = Phase::Aborting { why, until, again: Some(now + RETRY_PAUSE) };
                    self.wake()
                }
            },
            Phase::Asking { until, .. } => match answer {
                AbortAnswer::Inserted | AbortAnswer::Found(Decision::Aborted) => {
                    self.settle(now, Why::Lost(self.anchor))
                }
                AbortAnswer::Found(Decision::Committed) => self.committed(),
                AbortAnswer::Forgotten => self.hand_over(Outcome::Unknown),
                AbortAnswer::Waiting => smallvec![Command::KillAnchor],
                AbortAnswer::Unreachable => {
                    self.phase = Phase::Asking { until, again: Some(now + RETRY_PAUSE) };
                    self.wake()
                }
            },
            Phase::Idle
            | Phase::Preparing { .. }
            | Phase::Deciding { .. }
            | Phase::Settling { .. }
            | Phase::Done => Commands::new(),
        }
    }

    fn is_asking(&self) -> bool {
        matches!(self.phase, Phase::Asking { .. })
    }

    /// ABORTED is durable: every branch that is not certainly uncommitted is undone, or
    /// fenced so that it cannot commit later.
    fn settle(&mut self, now: Instant, why: Why) -> Commands {
        let until = now + SETTLE_PATIENCE;
        self.phase = Phase::Settling { why, until };
        let mut commands: Commands = smallvec![Command::WakeAt(until)];
        for (shard, state) in &mut self.branches {
            if *state != BranchState::Uncommitted {
                *state = BranchState::Settling;
                commands.push(Command::Settle(*shard));
            }
        }
        commands.extend(self.end_when_settled());
        commands
    }

    fn settled(&mut self, shard: ShardId, settlement: Settlement) -> Commands {
        let Phase::Settling { .. } = self.phase else { return Commands::new() };
        let mut commands = Commands::new();
        let state = match settlement {
            Settlement::Done => BranchState::Settled,
            Settlement::Failed => BranchState::Unsettled,
            Settlement::Stuck => {
                commands.push(Command::Alarm(Alarm::Stuck(shard)));
                BranchState::Unsettled
            }
        };
        self.turn(shard, BranchState::Settling, state);
        commands.extend(self.end_when_settled());
        commands
    }

    fn end_when_settled(&mut self) -> Commands {
        let Phase::Settling { why, .. } = self.phase else { return Commands::new() };
        let any = |wanted| self.branches.iter().any(|(_, state)| *state == wanted);
        if any(BranchState::Settling) {
            return Commands::new();
        }
        let unsettled = any(BranchState::Unsettled);
        let ending = if unsettled { Ending::HandedOver } else { Ending::Aborted };
        self.finish(Outcome::Aborted(why), ending)
    }

    fn time(&mut self, now: Instant) -> Commands {
        match self.phase {
            Phase::Preparing { until } if now >= until => self.abort(now, Why::Slow),
            Phase::Preparing { .. } => self.look_again(now),
            Phase::Deciding { until } if now >= until => self.ask(now),
            // The outcome is known, so the client need not wait for the anchor.
            Phase::Aborting { why, until, .. } if now >= until => {
                self.hand_over(Outcome::Aborted(why))
            }
            Phase::Aborting { why, until, again: Some(again) } if now >= again => {
                self.phase = Phase::Aborting { why, until, again: None };
                smallvec![Command::WakeAt(until), Command::InsertAborted]
            }
            Phase::Asking { until, .. } if now >= until => self.hand_over(Outcome::Unknown),
            Phase::Asking { until, again: Some(again) } if now >= again => {
                self.phase = Phase::Asking { until, again: None };
                smallvec![Command::WakeAt(until), Command::InsertAborted]
            }
            Phase::Settling { why, until } if now >= until => self.hand_over(Outcome::Aborted(why)),
            Phase::Deciding { .. }
            | Phase::Aborting { .. }
            | Phase::Asking { .. }
            | Phase::Settling { .. } => self.wake(),
            Phase::Idle | Phase::Done => Commands::new(),
        }
    }

    fn fenced(&mut self) -> Commands {
        match self.phase {
            Phase::Idle | Phase::Preparing { .. } => {
                let mut commands = self.roll_all_back();
                commands.extend(self.hand_over(Outcome::Aborted(Why::Fenced)));
                commands
            }
            Phase::Aborting { why, .. } | Phase::Settling { why, .. } => {
                self.hand_over(Outcome::Aborted(why))
            }
            Phase::Deciding { .. } | Phase::Asking { .. } => self.hand_over(Outcome::Unknown),
            Phase::Done => Commands::new(),
        }
    }

    fn hand_over(&mut self, outcome: Outcome) -> Commands {
        self.finish(outcome, Ending::HandedOver)
    }

    fn finish(&mut self, outcome: Outcome, ending: Ending) -> Commands {
        self.phase = Phase::Done;
        smallvec![Command::Answer(outcome), Command::Finish(ending)]
    }

    fn turn(&mut self, shard: ShardId, from: BranchState, to: BranchState) {
        for (branch, state) in &mut self.branches {
            if *branch == shard && *state == from {
                *state = to;
            }
        }
    }

    /// The next time at which this machine wants to be asked.
    fn wake(&self) -> Commands {
        let at = match self.phase {
            Phase::Preparing { until } => {
                let again = self.branches.iter().filter_map(|(_, state)| match state {
                    BranchState::Locked { again, .. } => *again,
                    BranchState::Preparing
                    | BranchState::Prepared
                    | BranchState::Uncommitted
                    | BranchState::Unknown
                    | BranchState::Settling
                    | BranchState::Settled
                    | BranchState::Unsettled => None,
                });
                let looking = self.checks.iter().filter_map(|(_, state)| match state {
                    CheckState::Looking { again, .. } => *again,
                    CheckState::Free => None,
                });
                again.chain(looking).chain([until]).min()
            }
            Phase::Deciding { until } | Phase::Settling { until, .. } => Some(until),
            Phase::Aborting { until, again, .. } | Phase::Asking { until, again } => {
                Some(again.map_or(until, |again| again.min(until)))
            }
            Phase::Idle | Phase::Done => None,
        };
        at.map(Command::WakeAt).into_iter().collect()
    }
}

#[cfg(test)]
#[path = "coordinator_test.rs"]
mod coordinator_test;
