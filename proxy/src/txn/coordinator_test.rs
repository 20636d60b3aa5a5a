//! The ways through a commit.

use super::*;
use crate::txn::xid::Incarnation;

const ANCHOR: ShardId = ShardId(1);
const B2: ShardId = ShardId(2);
const B3: ShardId = ShardId(3);
const READER: ShardId = ShardId(4);

struct Run {
    machine: Coordinator,
    now: Instant,
}

impl Run {
    fn checking() -> Self {
        let xid = Xid { incarnation: Incarnation(1), counter: 1 };
        let participants = Participants {
            anchor: ANCHOR,
            branches: smallvec![B2, B3],
            readers: smallvec![READER],
            checks: smallvec![ANCHOR, B2],
        };
        let machine = Coordinator::new(xid, participants, Rules::default());
        let mut run = Run { machine, now: Instant::now() };
        let expected = [
            Command::AskHolders(B2),
            Command::Prepare(B3),
            Command::Check(ANCHOR),
            Command::EndReader(READER),
        ];
        run.check(Event::Begin, &expected);
        run
    }

    fn begun() -> Self {
        let mut run = Run::checking();
        run.check(Event::HoldersAsked(B2, Holders::Free), &[Command::Prepare(B2)]);
        run.check(Event::Checked(ANCHOR, Holders::Free), &[]);
        run
    }

    fn deciding() -> Self {
        let mut run = Run::begun();
        run.check(Event::Prepared(B2), &[]);
        run.check(Event::ReaderEnded(READER, true), &[]);
        run.check(Event::Prepared(B3), &[Command::Decide]);
        run
    }

    /// One event and the commands that it must give, times aside.
    fn check(&mut self, event: Event, expected: &[Command]) {
        let mut commands = self.machine.step(self.now, event);
        commands.retain(|command| !matches!(command, Command::WakeAt(_)));
        assert_eq!(commands[..], *expected, "{event:?}");
    }

    fn after(&mut self, time: Duration, expected: &[Command]) {
        self.now += time;
        self.check(Event::Time, expected);
    }

    fn settles(&mut self, why: Why) {
        self.check(Event::Settled(B2, Settlement::Done), &[]);
        let end = [Command::Answer(Outcome::Aborted(why)), Command::Finish(Ending::Aborted)];
        self.check(Event::Settled(B3, Settlement::Done), &end);
        assert!(self.machine.is_done());
    }
}

const COMMITTED: [Command; 2] =
    [Command::Answer(Outcome::Committed), Command::Finish(Ending::Committed)];
const SETTLE: [Command; 2] = [Command::Settle(B2), Command::Settle(B3)];
const UNKNOWN: [Command; 2] =
    [Command::Answer(Outcome::Unknown), Command::Finish(Ending::HandedOver)];

#[test]
fn all_prepared_then_decided() {
    let mut run = Run::deciding();
    run.check(Event::Decided, &COMMITTED);
    run.check(Event::Decided, &[]);
}

#[test]
fn a_refused_branch_aborts_and_the_others_are_settled() {
    let mut run = Run::begun();
    run.check(Event::ReaderEnded(READER, true), &[]);
    let abort = [Command::Rollback(ANCHOR), Command::Rollback(B2), Command::InsertAborted];
    run.check(Event::PrepareFailed(B2, BranchFate::Uncommitted), &abort);
    run.check(Event::Prepared(B3), &[]);
    run.check(Event::Abort(AbortAnswer::Inserted), &[Command::Settle(B3)]);
    let why = Why::Refused(B2);
    let end = [Command::Answer(Outcome::Aborted(why)), Command::Finish(Ending::Aborted)];
    run.check(Event::Settled(B3, Settlement::Done), &end);
}

#[test]
fn when_no_branch_can_have_committed_nothing_is_written() {
    let mut run = Run::begun();
    for shard in [B2, B3] {
        run.machine.turn(shard, BranchState::Preparing, BranchState::Uncommitted);
    }
    let expected = [
        Command::Rollback(ANCHOR),
        Command::Rollback(B2),
        Command::Rollback(B3),
        Command::Answer(Outcome::Aborted(Why::Lost(READER))),
        Command::Finish(Ending::NeverPrepared),
    ];
    let mut commands = run.machine.step(run.now, Event::ReaderEnded(READER, false));
    commands.retain(|command| *command != Command::Rollback(READER));
    assert_eq!(commands[..], expected);
}

#[test]
fn a_lost_prepare_is_fenced() {
    let mut run = Run::begun();
    let abort = [Command::Rollback(ANCHOR), Command::Rollback(READER), Command::InsertAborted];
    run.check(Event::PrepareFailed(B2, BranchFate::Unknown), &abort);
    run.check(Event::Abort(AbortAnswer::Inserted), &SETTLE);
    // The fence let it not commit any more; its own connection is still open.
    let late = Event::PrepareFailed(B3, BranchFate::Uncommitted);
    run.check(late, &[Command::Rollback(B3)]);
    run.settles(Why::Lost(B2));
}

#[test]
fn a_lock_is_waited_for_and_then_given_up() {
    let mut run = Run::begun();
    run.check(Event::PrepareLocked(B2), &[Command::AskHolders(B2)]);
    run.check(Event::HoldersAsked(B2, Holders::Held), &[]);
    run.after(RETRY_PAUSE, &[Command::AskHolders(B2)]);
    run.check(Event::HoldersAsked(B2, Holders::Free), &[Command::Prepare(B2)]);
    run.check(Event::PrepareLocked(B2), &[Command::AskHolders(B2)]);
    run.check(Event::HoldersAsked(B2, Holders::Held), &[]);
    run.after(LOCK_PATIENCE, &[Command::AskHolders(B2)]);
    let abort = [
        Command::Rollback(ANCHOR),
        Command::Rollback(B2),
        Command::Rollback(READER),
        Command::InsertAborted,
    ];
    run.check(Event::HoldersAsked(B2, Holders::Held), &abort);
}

#[test]
fn a_refused_decision_is_an_abort() {
    let mut run = Run::deciding();
    let abort = [Command::Rollback(ANCHOR), Command::InsertAborted];
    run.check(Event::DecideFailed(DecideFailure::Uncommitted), &abort);
    run.check(Event::Abort(AbortAnswer::Found(Decision::Aborted)), &SETTLE);
    run.settles(Why::Overruled);
}

#[test]
fn an_unanswered_decision_is_asked_for() {
    let ask = [Command::Rollback(ANCHOR), Command::InsertAborted];
    let mut committed = Run::deciding();
    committed.check(Event::DecideFailed(DecideFailure::Unknown), &ask);
    committed.check(Event::Abort(AbortAnswer::Waiting), &[Command::KillAnchor]);
    committed.check(Event::Killed, &[Command::InsertAborted]);
    committed.check(Event::Abort(AbortAnswer::Unreachable), &[]);
    committed.after(RETRY_PAUSE, &[Command::InsertAborted]);
    committed.check(Event::Abort(AbortAnswer::Found(Decision::Committed)), &COMMITTED);

    let mut aborted = Run::deciding();
    aborted.after(DECIDE_PATIENCE, &ask);
    aborted.check(Event::Abort(AbortAnswer::Inserted), &SETTLE);
    aborted.settles(Why::Lost(ANCHOR));

    let mut unknown = Run::deciding();
    unknown.check(Event::DecideFailed(DecideFailure::Unknown), &ask);
    unknown.after(UNKNOWN_AFTER, &UNKNOWN);

    let mut late = Run::deciding();
    late.after(DECIDE_PATIENCE, &ask);
    late.check(Event::Decided, &COMMITTED);
}

#[test]
fn an_anchor_that_is_away_does_not_hold_up_a_certain_abort() {
    let mut run = Run::begun();
    run.machine.step(run.now, Event::PrepareFailed(B2, BranchFate::Unknown));
    run.check(Event::Abort(AbortAnswer::Unreachable), &[]);
    let why = Why::Lost(B2);
    let end = [Command::Answer(Outcome::Aborted(why)), Command::Finish(Ending::HandedOver)];
    run.after(SETTLE_PATIENCE, &end);
}

#[test]
fn slow_branches_and_stuck_ones_are_handed_over() {
    let mut run = Run::begun();
    let abort = [Command::Rollback(ANCHOR), Command::Rollback(READER), Command::InsertAborted];
    run.after(PREPARE_PATIENCE, &abort);
    run.check(Event::Abort(AbortAnswer::Inserted), &SETTLE);
    run.check(Event::Settled(B2, Settlement::Stuck), &[Command::Alarm(Alarm::Stuck(B2))]);
    let end = [Command::Answer(Outcome::Aborted(Why::Slow)), Command::Finish(Ending::HandedOver)];
    run.check(Event::Settled(B3, Settlement::Done), &end);
}

#[test]
fn a_fenced_proxy_says_what_it_knows() {
    Run::deciding().check(Event::Fenced, &UNKNOWN);
    let mut run = Run::begun();
    let commands = run.machine.step(run.now, Event::Fenced);
    let end = [Command::Answer(Outcome::Aborted(Why::Fenced)), Command::Finish(Ending::HandedOver)];
    assert!(commands.ends_with(&end));
}

#[test]
fn what_stands_on_undecided_rows_waits_and_gives_up() {
    let mut run = Run::checking();
    run.check(Event::HoldersAsked(B2, Holders::Held), &[]);
    run.check(Event::Checked(ANCHOR, Holders::Free), &[]);
    run.check(Event::PrepareFailed(B3, BranchFate::Uncommitted), &ABORTED_AT_ONCE);
}

const ABORTED_AT_ONCE: [Command; 6] = [
    Command::Rollback(ANCHOR),
    Command::Rollback(B2),
    Command::Rollback(B3),
    Command::Rollback(READER),
    Command::Answer(Outcome::Aborted(Why::Refused(B3))),
    Command::Finish(Ending::NeverPrepared),
];

#[test]
fn an_anchor_that_stands_on_undecided_rows_undoes_its_branches() {
    let mut run = Run::checking();
    run.check(Event::HoldersAsked(B2, Holders::Free), &[Command::Prepare(B2)]);
    for shard in [B2, B3] {
        run.check(Event::Prepared(shard), &[]);
    }
    run.check(Event::ReaderEnded(READER, true), &[]);
    run.check(Event::Checked(ANCHOR, Holders::Held), &[]);
    run.after(LOCK_PATIENCE, &[Command::Check(ANCHOR)]);
    let abort = [Command::Rollback(ANCHOR), Command::InsertAborted];
    run.check(Event::Checked(ANCHOR, Holders::Held), &abort);
    run.check(Event::Abort(AbortAnswer::Inserted), &SETTLE);
    run.settles(Why::Locked(ANCHOR));
}

#[test]
fn a_decision_that_meets_a_lock_is_made_when_it_is_free() {
    let mut run = Run::deciding();
    run.check(Event::DecideLocked, &[Command::Check(ANCHOR)]);
    run.check(Event::Checked(ANCHOR, Holders::Held), &[]);
    run.after(RETRY_PAUSE, &[Command::Check(ANCHOR)]);
    run.check(Event::Checked(ANCHOR, Holders::Free), &[Command::Decide]);
    run.check(Event::Decided, &COMMITTED);
}

#[test]
fn a_reader_is_looked_at_before_its_locks_go() {
    let mut run = Run::begun();
    run.machine.checks.push((READER, CheckState::Looking { again: None, until: run.now }));
    run.check(Event::Checked(READER, Holders::Free), &[Command::EndReader(READER)]);
}
