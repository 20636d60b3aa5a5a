//! Properties of moves: whatever is accepted, in whatever order, each key has one owner that
//! only a switch changes, and no two moves have a key in common; and the refusals.

use super::*;
use crate::{
    id::{GroupId, Incarnation, MoveId},
    moves::{JobKind, JobPhase, JobState, NewMove, Throttle, UnitMove, Until, Wish},
    placement::{SLOTS, Units},
};
use std::collections::BTreeMap;

const GROUPS: [GroupId; 3] = [GroupId(1), GroupId(2), GroupId(3)];

fn state(phase: JobPhase) -> JobState {
    JobState {
        phase,
        wish: Wish::GoOn(Until::Moved),
        owner: Some(Incarnation(1)),
        throttle: Throttle::default(),
        last_error: None,
    }
}

fn create_job() -> Change {
    let (kind, summary) = (JobKind::Partial, "two units".to_owned());
    Change::CreateJob { kind, summary, created_unix_s: 1, state: state(JobPhase::Planned) }
}

/// Three shards, a table of each sharding function in a group of its own, and two jobs.
fn moving() -> Catalog {
    let mut catalog = catalog();
    catalog.apply(&add_shard("s3")).unwrap();
    let range = [-4, 0, 4].map(|bound| RangeUnit {
        less_than: Some(int_key(bound)),
        shard: ShardId(u32::try_from(bound.rem_euclid(3)).unwrap() + 1),
    });
    let mut units = range.to_vec();
    units.push(RangeUnit { less_than: None, shard: ShardId(2) });
    let listed = ListUnit { keys: (-2..2).map(int_key).collect(), shard: ShardId(1) };
    for (name, function) in [
        ("a", ShardingFunction::Hash),
        ("b", ShardingFunction::Range { units }),
        ("c", ShardingFunction::List { units: vec![listed], default: Some(ShardId(2)) }),
    ] {
        let table = definition(name, &[("k", "int")]);
        create(&mut catalog, table, sharded(&["k"], function, None)).unwrap();
    }
    for job in 1..=2 {
        let applied = catalog.apply(&create_job()).unwrap();
        assert_eq!(applied.job, Some(JobId(job)));
    }
    catalog
}

#[derive(Clone, Debug)]
enum Step {
    Begin(u64, NewMove),
    /// The move, in order of ids; how old the state is that was seen; the next state.
    Set(usize, bool, Option<MoveState>),
    Other(Change),
}

fn units() -> impl Strategy<Value = (GroupId, Units)> {
    prop_oneof![
        (0_u16..16, 1_u16..5).prop_map(|(start, length)| {
            let run = start * 1_024..((start + length) * 1_024).min(SLOTS);
            (GROUPS[0], Units::Slots(std::iter::once(run).collect()))
        }),
        (proptest::option::of(-6_i128..6), proptest::option::of(-5_i128..7)).prop_map(
            |(start, end)| {
                let units = Units::Interval { start: start.map(int_key), end: end.map(int_key) };
                (GROUPS[1], units)
            }
        ),
        (proptest::collection::btree_set(-6_i128..6, 0..4), any::<bool>()).prop_map(
            |(values, others)| {
                let keys = values.into_iter().map(int_key).collect();
                let units =
                    if others { Units::OtherValues { but: keys } } else { Units::Values(keys) };
                (GROUPS[2], units)
            }
        ),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    use MoveState::{Clearing, Held, HeldBack, Incoming, Outgoing, Purging};
    let next = prop_oneof![
        Just(None),
        Just(Some(Incoming)),
        Just(Some(Held)),
        Just(Some(Outgoing)),
        Just(Some(HeldBack)),
        Just(Some(Purging)),
        Just(Some(Clearing)),
    ];
    prop_oneof![
        2 => (1_u64..4, units(), 1_u32..5, 1_u32..5).prop_map(|(job, (group, units), from, to)| {
            Step::Begin(job, NewMove { group, units, from: ShardId(from), to: ShardId(to) })
        }),
        4 => (0_usize..4, proptest::bool::weighted(0.1), next)
            .prop_map(|(index, stale, to)| Step::Set(index, stale, to)),
        1 => change().prop_map(Step::Other),
    ]
}

/// The owners of keys of all kinds, looked up by the placements.
fn owners(catalog: &Catalog) -> BTreeMap<(GroupId, i128), Option<ShardId>> {
    let mut owners = BTreeMap::new();
    for (id, group) in &catalog.groups {
        for value in (-9..9).chain(1_000..1_050) {
            let owner = group.placement.owner(&int_key(value), &group.key_types);
            owners.insert((*id, value), owner);
        }
    }
    owners
}

/// Makes a step into a change of this catalog.
fn change_of(catalog: &Catalog, step: &Step) -> Option<Change> {
    match step {
        Step::Begin(job, new) => {
            Some(Change::BeginMoves { job: JobId(*job), moves: vec![new.clone()] })
        }
        Step::Set(index, stale, to) => {
            let found = catalog.moves.values().nth(*index)?;
            let since = Epoch(found.since.0 - u64::from(*stale));
            Some(Change::SetMove { id: found.id, from: (found.state, since), to: *to })
        }
        Step::Other(change) => Some(change.clone()),
    }
}

/// The move that a change switches from one owner to the other.
fn switched(before: &Catalog, after: &Catalog, change: &Change) -> Option<UnitMove> {
    let Change::SetMove { id, .. } = change else { return None };
    let (old, new) = (before.moves.get(id)?, after.moves.get(id)?);
    (old.owner() != new.owner()).then(|| UnitMove::clone(new))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_key_has_one_owner_and_one_move(steps in vec(step(), 1..60)) {
        let mut catalog = moving();
        for step in &steps {
            let Some(change) = change_of(&catalog, step) else { continue };
            let before = catalog.clone();
            if catalog.apply(&change).is_err() {
                prop_assert_eq!(&catalog, &before);
                continue;
            }
            prop_assert_eq!(catalog.validate(), Ok(()), "after {:?}", &change);
            let switched = switched(&before, &catalog, &change);
            let (old, new) = (owners(&before), owners(&catalog));
            for ((group, value), owner) in &new {
                let Some(was) = old.get(&(*group, *value)) else { continue };
                let types = &catalog.groups[group].key_types;
                let key = int_key(*value);
                let moved = switched
                    .as_ref()
                    .filter(|one| one.group == *group && one.units.contains(&key, types));
                match moved {
                    Some(one) => prop_assert_eq!(*owner, Some(one.owner())),
                    None => prop_assert_eq!(owner, was),
                }
                let moves: Vec<_> = catalog
                    .moves_of_group(*group)
                    .filter(|one| one.units.contains(&key, types))
                    .collect();
                prop_assert!(moves.len() <= 1);
                if let Some(one) = moves.first() {
                    prop_assert_eq!(*owner, Some(one.owner()));
                }
            }
        }
        let bytes = postcard::to_stdvec(&catalog).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Catalog>(&bytes).unwrap(), &catalog);
        let json = serde_json::to_string(&catalog).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Catalog>(&json).unwrap(), &catalog);
    }
}

fn slots(run: std::ops::Range<u16>, from: u32, to: u32) -> NewMove {
    let units = Units::Slots(std::iter::once(run).collect());
    NewMove { group: GROUPS[0], units, from: ShardId(from), to: ShardId(to) }
}

fn begin(catalog: &mut Catalog, moves: Vec<NewMove>) -> Result<Applied, ChangeError> {
    catalog.apply(&Change::BeginMoves { job: JobId(1), moves })
}

fn set(catalog: &mut Catalog, id: u64, to: Option<MoveState>) -> Result<Applied, ChangeError> {
    let id = MoveId(id);
    let from = catalog.moves.get(&id).map_or((MoveState::Held, Epoch(0)), |m| (m.state, m.since));
    catalog.apply(&Change::SetMove { id, from, to })
}

#[test]
fn a_move_goes_there_and_back_and_there_again() {
    use MoveState::{Held, HeldBack, Incoming, Outgoing, Purging};
    let mut catalog = moving();
    let before = owners(&catalog);
    let applied = begin(&mut catalog, vec![slots(0..2_000, 1, 3)]).unwrap();
    assert_eq!(applied.first_move, Some(MoveId(1)));
    for (next, owner) in [
        (Held, 1),
        (Incoming, 1),
        (Held, 1),
        (Outgoing, 3),
        (HeldBack, 3),
        (Outgoing, 3),
        (HeldBack, 3),
        (Incoming, 1),
        (Held, 1),
        (Outgoing, 3),
        (Purging, 3),
    ] {
        set(&mut catalog, 1, Some(next)).unwrap();
        let one = &catalog.moves[&MoveId(1)];
        assert_eq!((one.state, one.since), (next, catalog.epoch));
        assert_eq!(one.owner(), ShardId(owner));
        assert_eq!(one.stranger(), ShardId(4 - owner));
        let group = &catalog.groups[&GROUPS[0]];
        assert!(group.placement.owns_all(&one.units, &group.key_types, ShardId(owner)));
    }
    assert_ne!(owners(&catalog), before);
    assert!(matches!(set(&mut catalog, 1, Some(HeldBack)), Err(ChangeError::MoveOrder { .. })));
    let end = Change::SetJob { id: JobId(1), from: Epoch(0), state: state(JobPhase::Finished) };
    let Change::SetJob { state: finished, .. } = &end else { unreachable!() };
    assert!(matches!(catalog.apply(&end), Err(ChangeError::JobMoved { .. })));
    let since = catalog.jobs[&JobId(1)].since;
    let end = Change::SetJob { id: JobId(1), from: since, state: finished.clone() };
    assert!(matches!(catalog.apply(&end), Err(ChangeError::JobHasMoves { .. })));
    set(&mut catalog, 1, None).unwrap();
    assert!(matches!(set(&mut catalog, 1, None), Err(ChangeError::MoveMoved { now: None, .. })));
    catalog.apply(&end).unwrap();
    let over = begin(&mut catalog, vec![slots(0..10, 3, 1)]);
    assert!(matches!(over, Err(ChangeError::JobOver { .. })));
}

#[test]
fn what_cannot_be_moved_is_refused() {
    let mut catalog = moving();
    let text = |result: Result<Applied, ChangeError>| result.unwrap_err().to_string();
    assert!(text(begin(&mut catalog, vec![slots(0..9, 1, 1)])).contains("to itself"));
    assert!(text(begin(&mut catalog, vec![slots(0..9, 2, 1)])).contains("does not own all"));
    assert!(text(begin(&mut catalog, vec![slots(8_000..9_000, 1, 3)])).contains("not own all"));
    assert!(text(begin(&mut catalog, vec![slots(0..9, 1, 7)])).contains("'s7' does not exist"));
    let twice = vec![slots(0..9, 1, 3), slots(8..20, 1, 2)];
    let before = catalog.clone();
    assert!(text(begin(&mut catalog, twice)).contains("move m1 of job j1 has some of them"));
    assert_eq!(catalog, before);
    begin(&mut catalog, vec![slots(0..9, 1, 3)]).unwrap();
    let stale = Change::SetMove {
        id: MoveId(1),
        from: (MoveState::Incoming, Epoch(1)),
        to: Some(MoveState::Held),
    };
    assert!(text(catalog.apply(&stale)).contains("move m1 is incoming since"));
    assert!(text(catalog.apply(&Change::RemoveShard { id: ShardId(3) })).contains("move m1"));
}

#[test]
fn tables_of_a_moving_group_keep_their_definition() {
    let mut catalog = moving();
    begin(&mut catalog, vec![slots(0..9, 1, 3)]).unwrap();
    let (database, name) = ("d".to_owned(), "a".to_owned());
    let colocated = sharded(&["k"], ShardingFunction::Hash, Some("a"));
    for change in [
        Change::DropTable { database: database.clone(), name: name.clone() },
        Change::DropDatabase { name: database.clone() },
        Change::RenameTable {
            database: database.clone(),
            name: name.clone(),
            to_database: database.clone(),
            to_name: "z".to_owned(),
        },
        Change::CreateTable { table: definition("z", &[("k", "int")]), sharding: colocated },
    ] {
        let refused = catalog.apply(&change).unwrap_err().to_string();
        assert!(refused.contains("'d.a' cannot be changed: job j1 moves rows"), "{refused}");
    }
    catalog.apply(&Change::DropTable { database, name: "b".to_owned() }).unwrap();
}

#[test]
fn jobs_that_are_over_make_room() {
    let mut catalog = moving();
    for _ in catalog.jobs.len()..JOBS_MAX {
        catalog.apply(&create_job()).unwrap();
    }
    assert!(matches!(catalog.apply(&create_job()), Err(ChangeError::TooMany { .. })));
    for (id, phase) in [(JobId(7), JobPhase::Cancelled), (JobId(8), JobPhase::RolledBack)] {
        let from = catalog.jobs[&id].since;
        catalog.apply(&Change::SetJob { id, from, state: state(phase) }).unwrap();
        catalog.apply(&create_job()).unwrap();
        assert!(!catalog.jobs.contains_key(&id));
        assert_eq!(catalog.jobs.len(), JOBS_MAX);
    }
}
