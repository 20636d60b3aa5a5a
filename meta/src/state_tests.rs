//! The pure application of commands.

use crate::{
    command::{Command, Outcome},
    state::{REMEMBERED_MAX, State},
};
use shardline_meta_client::{
    ProxyRegistration,
    rpc::{
        INCARNATIONS_MAX, IncarnationState, LeaseInstance, LeaseRefusal, MarkRefusal, PROXY_ID_MAX,
        RESERVE_COUNT_MAX, RequestId, ReserveRefusal,
    },
};
use shardline_model::{
    catalog::Catalog,
    change::Change,
    id::{Epoch, Incarnation, ProxyId, TableId},
};
use std::sync::Arc;

const TERM: u64 = 4;

fn apply(state: &mut State, command: &Command) -> Outcome {
    state.apply(TERM, command).unwrap()
}

fn rename(number: u64, base: Epoch) -> Command {
    Command::Change {
        request: RequestId { client: 9, number },
        base,
        change: Arc::new(Change::SetCluster { name: format!("c{number}") }),
    }
}

fn epoch_of(outcome: &Outcome) -> Epoch {
    match outcome {
        Outcome::Changed { epoch, .. } => *epoch,
        other => panic!("not changed: {other:?}"),
    }
}

#[test]
fn a_repeated_request_is_applied_once_and_answered_alike() {
    let mut state = State::default();
    let first = rename(1, Epoch(0));
    let outcome = apply(&mut state, &first);
    assert_eq!(epoch_of(&outcome), Epoch(1));
    apply(&mut state, &rename(2, Epoch(0)));
    assert_eq!(apply(&mut state, &first), outcome);
    assert_eq!((state.epoch(), state.catalog.cluster.as_str()), (Epoch(2), "c2"));
}

#[test]
fn a_request_older_than_memory_is_refused_and_a_fresh_one_is_not() {
    let mut state = State::default();
    let old = rename(0, Epoch(0));
    apply(&mut state, &old);
    for number in 1..=REMEMBERED_MAX as u64 {
        let base = state.epoch();
        apply(&mut state, &rename(number, base));
    }
    let epoch = state.epoch();
    assert_eq!(apply(&mut state, &old), Outcome::Forgotten { epoch });
    // The oldest remembered one is still known.
    assert_eq!(epoch_of(&apply(&mut state, &rename(1, Epoch(1)))), Epoch(2));
    assert_eq!(state.epoch(), epoch);
    assert_eq!(epoch_of(&apply(&mut state, &rename(99_999, epoch))), Epoch(epoch.0 + 1));
}

#[test]
fn a_rejected_change_changes_nothing() {
    let mut state = State::default();
    let command = Command::Change {
        request: RequestId { client: 1, number: 1 },
        base: Epoch(0),
        change: Arc::new(Change::DropDatabase { name: "absent".to_owned() }),
    };
    assert!(matches!(apply(&mut state, &command), Outcome::Rejected(_)));
    assert_eq!(state, State::default());
}

#[test]
fn sequences_start_at_one_and_never_overlap() {
    let mut catalog = Catalog::default();
    catalog.last_ids.table = 2;
    let mut state = State::default();
    state.catalog = Arc::new(catalog);
    let mut reserve = |table, count, at_least| {
        apply(&mut state, &Command::Reserve { table: TableId(table), count, at_least })
    };
    assert_eq!(reserve(1, 10, None), Outcome::Reserved { first: 1, end: 11 });
    assert_eq!(reserve(2, 1, None), Outcome::Reserved { first: 1, end: 2 });
    assert_eq!(reserve(1, 5, Some(3)), Outcome::Reserved { first: 11, end: 16 });
    assert_eq!(reserve(1, 5, Some(100)), Outcome::Reserved { first: 100, end: 105 });
    assert_eq!(reserve(1, 0, Some(1_000)), Outcome::Reserved { first: 1_000, end: 1_000 });
    assert_eq!(reserve(1, 1, None), Outcome::Reserved { first: 1_000, end: 1_001 });
    let unknown = ReserveRefusal::UnknownTable { table: TableId(3) };
    assert_eq!(reserve(3, 1, None), Outcome::ReserveRefused(unknown));
    let count = RESERVE_COUNT_MAX + 1;
    assert_eq!(reserve(1, count, None), Outcome::ReserveRefused(ReserveRefusal::TooMany { count }));
    let exhausted = ReserveRefusal::Exhausted { table: TableId(1), next: 1_001 };
    assert_eq!(reserve(1, 2, Some(u64::MAX - 1)), Outcome::ReserveRefused(exhausted));
    assert_eq!(reserve(1, 1, None), Outcome::Reserved { first: 1_001, end: 1_002 });
}

fn grant(instance: u128) -> Command {
    Command::GrantLease {
        instance: LeaseInstance(instance),
        registration: ProxyRegistration { address: "a".to_owned(), version: "v".to_owned() },
    }
}

#[test]
fn an_id_is_given_again_only_after_its_lease_ended() {
    let mut state = State::default();
    let held = |proxy, incarnation| Outcome::LeaseHeld {
        proxy: ProxyId(proxy),
        incarnation: Incarnation(incarnation),
        epoch: Epoch(0),
    };
    assert_eq!(apply(&mut state, &grant(10)), held(1, 1));
    assert_eq!(apply(&mut state, &grant(11)), held(2, 2));
    assert_eq!(apply(&mut state, &grant(10)), held(1, 1));
    let (proxy, instance) = (ProxyId(1), LeaseInstance(10));
    let other_term = Command::ExpireLease { proxy, instance, term: TERM - 1 };
    assert_eq!(apply(&mut state, &other_term), Outcome::Nothing);
    let stranger = Command::ReleaseLease { proxy, instance: LeaseInstance(11) };
    apply(&mut state, &stranger);
    assert_eq!(apply(&mut state, &grant(12)), held(3, 3));
    apply(&mut state, &Command::ExpireLease { proxy, instance, term: TERM });
    assert_eq!(apply(&mut state, &grant(13)), held(1, 4));
    apply(&mut state, &Command::ExpireLease { proxy, instance, term: TERM });
    assert!(state.holds(proxy, LeaseInstance(13)));
}

#[test]
fn an_incarnation_ends_with_its_lease_however_that_ends() {
    let mut state = State::default();
    for instance in 10..13 {
        apply(&mut state, &grant(instance));
    }
    let id = |number| (ProxyId(number), LeaseInstance(u128::from(number) + 9));
    let (proxy, instance) = id(1);
    apply(&mut state, &Command::ReleaseLease { proxy, instance });
    let (proxy, instance) = id(2);
    apply(&mut state, &Command::ExpireLease { proxy, instance, term: TERM });
    let incarnation = Incarnation(1);
    let fenced = Command::MarkFenced { incarnation, at_unix_s: 7 };
    assert_eq!(apply(&mut state, &fenced), Outcome::Marked);
    let states: Vec<_> = state.incarnations.all().map(|(_, state)| state).collect();
    let fenced_at = IncarnationState::Fenced { at_unix_s: 7 };
    assert_eq!(states, [fenced_at, IncarnationState::Ended, IncarnationState::Live(ProxyId(3))]);
    assert_eq!(apply(&mut state, &Command::MarkSwept { incarnation }), Outcome::Marked);
    assert_eq!(state.incarnations.all().count(), 2);
    let incarnation = Incarnation(3);
    let early = Outcome::MarkRefused(MarkRefusal::Live { incarnation });
    assert_eq!(apply(&mut state, &Command::MarkSwept { incarnation }), early);
}

#[test]
fn no_lease_without_a_place_for_its_incarnation() {
    let mut state = State::default();
    for instance in 1..=INCARNATIONS_MAX as u128 {
        assert!(matches!(apply(&mut state, &grant(instance)), Outcome::LeaseHeld { .. }));
        let instance = LeaseInstance(instance);
        apply(&mut state, &Command::ReleaseLease { proxy: ProxyId(1), instance });
    }
    let refused = Outcome::LeaseRefused(LeaseRefusal::TooManyIncarnations);
    assert_eq!(apply(&mut state, &grant(0)), refused);
    let incarnation = Incarnation(5);
    apply(&mut state, &Command::MarkFenced { incarnation, at_unix_s: 7 });
    apply(&mut state, &Command::MarkSwept { incarnation });
    let next = Incarnation(INCARNATIONS_MAX as u64 + 1);
    let held = Outcome::LeaseHeld { proxy: ProxyId(1), incarnation: next, epoch: Epoch(0) };
    assert_eq!(apply(&mut state, &grant(0)), held);
}

#[test]
fn ids_are_bounded_and_so_are_registrations() {
    let mut state = State::default();
    for instance in 1..=u128::from(PROXY_ID_MAX) {
        assert!(matches!(apply(&mut state, &grant(instance)), Outcome::LeaseHeld { .. }));
    }
    assert_eq!(apply(&mut state, &grant(0)), Outcome::LeaseRefused(LeaseRefusal::Full));
    let long = Command::GrantLease {
        instance: LeaseInstance(0),
        registration: ProxyRegistration { address: "a".repeat(256), version: String::new() },
    };
    let refused = Outcome::LeaseRefused(LeaseRefusal::RegistrationTooLong);
    assert_eq!(apply(&mut State::default(), &long), refused);
}
