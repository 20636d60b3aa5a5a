//! Made-up logs of an anchor 1 and branches 2 and 3.

use super::*;
use crate::txn::xid::Incarnation;

const ANCHOR: ShardId = ShardId(1);
const ONE: ShardId = ShardId(2);
const OTHER: ShardId = ShardId(3);

fn xid(counter: u64) -> Xid {
    Xid { incarnation: Incarnation(7), counter }
}

fn changes(sum: i64) -> Changes {
    let rows = if sum == 0 { Vec::new() } else { vec![format!("t: {sum}")] };
    Changes { sum: i128::from(sum) as u128, rows, ..Changes::default() }
}

/// The auditor, past its first round.
fn auditor() -> Auditor {
    let mut auditor = Auditor::default();
    assert!(auditor.round_ends().is_empty());
    auditor
}

fn see(auditor: &mut Auditor, shard: ShardId, note: Note, sum: i64) {
    auditor.observe(shard, &Local { notes: vec![note], changes: changes(sum) });
}

fn prepared(counter: u64) -> Note {
    Note::Prepared { xid: xid(counter), anchor: ANCHOR, branches: vec![ONE, OTHER] }
}

fn decided(counter: u64, decision: Decision) -> Note {
    Note::Decided { xid: xid(counter), decision, branches: vec![ONE, OTHER] }
}

fn removed(counter: u64) -> Note {
    Note::Removed { xid: xid(counter) }
}

/// The verdicts of so many rounds.
fn rounds(auditor: &mut Auditor, count: usize) -> Vec<Verdict> {
    (0..count).flat_map(|_| auditor.round_ends()).map(|(_, verdict)| verdict).collect()
}

fn reason(verdicts: &[Verdict]) -> &str {
    let [Verdict::Violation(violation)] = verdicts else { panic!("{verdicts:?}") };
    assert_eq!(violation.branches, [ONE, OTHER]);
    &violation.reason
}

#[test]
fn a_committed_one_is_on_all_and_is_forgotten_without_changes() {
    let mut auditor = auditor();
    // Logs are read one after the other, so the decision may be seen first.
    see(&mut auditor, ANCHOR, decided(1, Decision::Committed), 5);
    see(&mut auditor, ONE, prepared(1), -5);
    assert!(rounds(&mut auditor, 1).is_empty());
    see(&mut auditor, OTHER, prepared(1), 3);
    assert!(rounds(&mut auditor, 3).is_empty(), "it is still to be forgotten");
    see(&mut auditor, ONE, removed(1), 0);
    see(&mut auditor, OTHER, removed(1), 0);
    assert_eq!(rounds(&mut auditor, 1), [Verdict::Agreed(Decision::Committed)]);
    assert_eq!(auditor.open(), 0);
}

#[test]
fn an_aborted_one_is_undone_wherever_it_was() {
    let mut auditor = auditor();
    see(&mut auditor, ONE, prepared(1), -5);
    see(&mut auditor, ANCHOR, decided(1, Decision::Aborted), 0);
    see(&mut auditor, OTHER, Note::Fenced { xid: xid(1) }, 0);
    assert!(rounds(&mut auditor, 5).is_empty(), "it is still to be undone");
    see(&mut auditor, ONE, removed(1), 5);
    assert_eq!(rounds(&mut auditor, 1), [Verdict::Agreed(Decision::Aborted)]);
    // The fence is swept a day later.
    see(&mut auditor, OTHER, removed(1), 0);
    assert_eq!(auditor.open(), 0);
}

#[test]
fn a_branch_that_comes_after_the_abort_is_followed_to_its_end() {
    let mut auditor = auditor();
    see(&mut auditor, ANCHOR, decided(1, Decision::Aborted), 0);
    assert_eq!(rounds(&mut auditor, 4), [Verdict::Agreed(Decision::Aborted)]);
    see(&mut auditor, ONE, prepared(1), -5);
    assert!(rounds(&mut auditor, 4).is_empty());
    see(&mut auditor, ONE, removed(1), 4);
    assert!(reason(&rounds(&mut auditor, 1)).contains("without being undone"));
}

#[test]
fn a_decision_without_a_branch_is_a_violation() {
    let mut auditor = auditor();
    see(&mut auditor, ANCHOR, decided(1, Decision::Committed), 5);
    see(&mut auditor, ONE, prepared(1), -5);
    assert!(rounds(&mut auditor, 1).is_empty(), "the other log may not be so far");
    assert!(reason(&rounds(&mut auditor, 1)).contains("never was"));
}

#[test]
fn what_is_not_undone_is_a_violation_and_shows_the_rows() {
    let mut auditor = auditor();
    see(&mut auditor, ANCHOR, decided(1, Decision::Aborted), 0);
    see(&mut auditor, ONE, prepared(1), -5);
    see(&mut auditor, OTHER, Note::Fenced { xid: xid(1) }, 0);
    see(&mut auditor, ONE, removed(1), 0);
    let verdicts = rounds(&mut auditor, 1);
    assert!(reason(&verdicts).contains("without being undone"));
    let Verdict::Violation(violation) = &verdicts[0] else { panic!() };
    assert_eq!(violation.rows, ["t: -5"]);
}

#[test]
fn other_violations() {
    let mut auditor = auditor();
    see(&mut auditor, ANCHOR, decided(1, Decision::Committed), 5);
    see(&mut auditor, ONE, prepared(1), -5);
    see(&mut auditor, OTHER, prepared(1), 1);
    see(&mut auditor, ONE, removed(1), 5);
    assert!(reason(&rounds(&mut auditor, 1)).contains("forgotten"));
    see(&mut auditor, ONE, prepared(2), -5);
    see(&mut auditor, ONE, removed(2), 5);
    assert!(rounds(&mut auditor, 2).is_empty(), "its decision may not be read yet");
    assert!(reason(&rounds(&mut auditor, 1)).contains("without a decision"));
    see(&mut auditor, ONE, prepared(3), -5);
    see(&mut auditor, ANCHOR, decided(3, Decision::Committed), 5);
    see(&mut auditor, ANCHOR, Note::Turned { xid: xid(3) }, 0);
    assert!(reason(&rounds(&mut auditor, 1)).contains("changed"));
    see(&mut auditor, ONE, prepared(4), -5);
    see(&mut auditor, OTHER, decided(4, Decision::Committed), 5);
    assert!(reason(&rounds(&mut auditor, 1)).contains("anchor"));
}

#[test]
fn nothing_is_said_of_what_began_before() {
    let mut auditor = Auditor::default();
    see(&mut auditor, ANCHOR, decided(1, Decision::Committed), 5);
    assert_eq!(rounds(&mut auditor, 2), [Verdict::Unseen]);
    see(&mut auditor, ONE, removed(2), 5);
    assert_eq!(rounds(&mut auditor, 1), [Verdict::Unseen]);
}

#[test]
fn rows_that_cannot_be_read_are_no_violation() {
    let mut auditor = auditor();
    let unread = Changes { unread: Some("too large".into()), ..Changes::default() };
    auditor.observe(ONE, &Local { notes: vec![prepared(1)], changes: unread });
    see(&mut auditor, ANCHOR, decided(1, Decision::Aborted), 0);
    see(&mut auditor, OTHER, Note::Fenced { xid: xid(1) }, 0);
    see(&mut auditor, ONE, removed(1), 5);
    assert_eq!(rounds(&mut auditor, 1), [Verdict::Unread("too large".into())]);
}

#[test]
fn what_an_operator_resolves_is_no_violation() {
    let mut auditor = auditor();
    see(&mut auditor, ANCHOR, decided(1, Decision::Aborted), 0);
    see(&mut auditor, ONE, prepared(1), -5);
    see(&mut auditor, OTHER, Note::Fenced { xid: xid(1) }, 0);
    see(&mut auditor, ONE, Note::Resolved { xid: xid(1) }, 2);
    assert_eq!(rounds(&mut auditor, 1), [Verdict::Resolved]);
}

#[test]
fn rows_of_an_altered_table_are_not_compared() {
    let mut auditor = auditor();
    let of_shape = |shape, changes| Changes { shapes: [("d.t".into(), shape)].into(), ..changes };
    let seen = |auditor: &mut Auditor, note, sum, shape| {
        let changes = of_shape(shape, changes(sum));
        auditor.observe(ONE, &Local { notes: vec![note], changes });
    };
    for (number, shape, expected) in [
        (1, 7, Verdict::Agreed(Decision::Aborted)),
        (2, 8, Verdict::Unread("d.t was altered before it was undone".into())),
    ] {
        seen(&mut auditor, prepared(number), -5, 7);
        see(&mut auditor, ANCHOR, decided(number, Decision::Aborted), 0);
        see(&mut auditor, OTHER, Note::Fenced { xid: xid(number) }, 0);
        seen(&mut auditor, removed(number), if shape == 7 { 5 } else { 6 }, shape);
        assert_eq!(rounds(&mut auditor, 1), [expected]);
    }
}
