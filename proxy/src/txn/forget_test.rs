//! Names, batches, their order, and the watermark.

use super::*;
use smallvec::smallvec;

const ANCHOR: ShardId = ShardId(1);
const BRANCH: ShardId = ShardId(2);

fn ledger() -> Ledger {
    Ledger::new(Incarnation(7), Rules::default())
}

fn committed(xid: Xid) -> Event {
    let branches = smallvec![(BRANCH, LockSet::default())];
    Event::Committed(Committed { xid, anchor: ANCHOR, branches })
}

#[test]
fn branches_go_before_decisions_and_the_watermark_stays_below_the_undecided() {
    let (mut ledger, now) = (ledger(), Instant::now());
    let xids: Vec<_> = std::iter::from_fn(|| ledger.begin()).take(4).collect();
    assert_eq!(ledger.step(now, committed(xids[0])), [Command::WakeAt(now + BATCH_AGE)]);
    ledger.step(now, committed(xids[2]));
    ledger.step(now, Event::Aborted(xids[1]));
    let branches = [xids[0], xids[2]].map(|xid| (xid, LockSet::default())).to_vec();
    let first = ledger.step(now + BATCH_AGE, Event::Time);
    assert_eq!(first, [Command::ForgetBranches { shard: BRANCH, branches }]);
    let second = ledger.step(now, Event::Branches(BRANCH, true));
    let xids_gone = vec![xids[0], xids[2]];
    let below = xids[3].counter;
    assert_eq!(second, [Command::ForgetDecisions { anchor: ANCHOR, xids: xids_gone, below }]);
    assert!(ledger.step(now, Event::Decisions(ANCHOR, true)).is_empty());
    assert_eq!(ledger.sizes(), (1, 0));
}

#[test]
fn a_decision_above_the_watermark_waits_for_the_older_ones() {
    let (mut ledger, now) = (ledger(), Instant::now());
    let xids: Vec<_> = std::iter::from_fn(|| ledger.begin()).take(2).collect();
    ledger.step(now, committed(xids[1]));
    ledger.step(now + BATCH_AGE, Event::Time);
    let again = ledger.step(now, Event::Branches(BRANCH, true));
    assert_eq!(again, [Command::WakeAt(now + BATCH_AGE)]);
    assert_eq!(ledger.sizes(), (1, 1));
    ledger.step(now, Event::Aborted(xids[0]));
    // Its branches are gone, and not asked for again.
    let gone = ledger.step(now + BATCH_AGE, Event::Time);
    let below = xids[1].counter + 1;
    assert_eq!(gone, [Command::ForgetDecisions { anchor: ANCHOR, xids: vec![xids[1]], below }]);
}

#[test]
fn a_full_batch_starts_at_once_and_one_is_under_way_at_a_time() {
    let (mut ledger, now) = (ledger(), Instant::now());
    let mut commands = Vec::new();
    for _ in 0..BATCH_MIN {
        let xid = ledger.begin().expect("few are undecided");
        commands = ledger.step(now, committed(xid));
    }
    assert!(
        matches!(&commands[..], [Command::ForgetBranches { branches, .. }] if branches.len() == BATCH_MIN)
    );
    let xid = ledger.begin().expect("few are undecided");
    assert!(ledger.step(now + BATCH_AGE * 2, committed(xid)).is_empty());
}

#[test]
fn what_fails_is_tried_again() {
    let (mut ledger, now) = (ledger(), Instant::now());
    let xid = ledger.begin().expect("none is undecided");
    ledger.step(now, committed(xid));
    let mut now = now + BATCH_AGE;
    assert_eq!(ledger.step(now, Event::Time).len(), 1);
    assert_eq!(
        ledger.step(now, Event::Branches(BRANCH, false)),
        [Command::WakeAt(now + BATCH_AGE)]
    );
    now += BATCH_AGE;
    ledger.step(now, Event::Time);
    assert_eq!(ledger.step(now, Event::Branches(BRANCH, true)).len(), 1);
    assert_eq!(
        ledger.step(now, Event::Decisions(ANCHOR, false)),
        [Command::WakeAt(now + BATCH_AGE)]
    );
    assert_eq!(ledger.sizes(), (0, 1));
}

#[test]
fn the_number_of_undecided_ones_is_bounded() {
    let mut ledger = ledger();
    assert_eq!(std::iter::from_fn(|| ledger.begin()).count(), UNDECIDED_MAX);
    let xid = Xid { incarnation: Incarnation(7), counter: 1 };
    ledger.step(Instant::now(), Event::Aborted(xid));
    assert!(ledger.begin().is_some());
}

#[test]
fn what_waited_goes_when_the_watermark_has_passed() {
    let (mut ledger, now) = (ledger(), Instant::now());
    let xids: Vec<_> = std::iter::from_fn(|| ledger.begin()).take(3).collect();
    ledger.step(now, committed(xids[1]));
    ledger.step(now + BATCH_AGE, Event::Time);
    ledger.step(now, Event::Branches(BRANCH, true));
    let gone = ledger.step(now, committed(xids[0]));
    let (xids, below) = (vec![xids[1]], xids[2].counter);
    assert_eq!(gone, [Command::ForgetDecisions { anchor: ANCHOR, xids, below }]);
}

#[test]
fn a_shard_that_is_away_is_asked_once_in_a_while() {
    let (mut ledger, now) = (ledger(), Instant::now());
    for _ in 0..BATCH_MAX {
        let xid = ledger.begin().expect("few are undecided");
        ledger.step(now, committed(xid));
    }
    let later = now + BATCH_AGE;
    let mut refused = Event::Branches(BRANCH, false);
    // Each batch once: the first began with the fiftieth commit, the other has the rest.
    assert!(matches!(&ledger.step(now, refused)[..], [Command::ForgetBranches { .. }]));
    refused = Event::Branches(BRANCH, false);
    assert_eq!(ledger.step(now, refused), [Command::WakeAt(later)]);
    assert_eq!(ledger.sizes(), (0, BATCH_MAX));
    let again = ledger.step(later, Event::Time);
    assert!(
        matches!(&again[..], [Command::ForgetBranches { branches, .. }] if branches.len() == BATCH_MAX)
    );
    assert!(matches!(
        &ledger.step(later, Event::Branches(BRANCH, true))[..],
        [Command::ForgetDecisions { .. }]
    ));
    assert!(ledger.step(later, Event::Decisions(ANCHOR, true)).is_empty());
    assert_eq!(ledger.sizes(), (0, 0));
}
