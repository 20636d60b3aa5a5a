//! A table that is spread anew: what it meets on the way, what it refuses, and that each row has one way
//! to go.

use super::*;
use crate::{
    catalog::TableKind,
    id::{JobId, MoveId},
    key::KeyType,
    moves::{JobKind, JobPhase, JobState, NewMove, Throttle, Until, Wish},
    placement::Units,
    reshard::{Crossing, Reshard, RowOwner},
};

fn state(phase: JobPhase) -> JobState {
    JobState {
        phase,
        wish: Wish::GoOn(Until::Moved),
        owner: None,
        throttle: Throttle::default(),
        last_error: None,
    }
}

fn job(catalog: &mut Catalog, kind: JobKind) -> JobId {
    let summary = "a table anew".to_owned();
    let state = state(JobPhase::Planned);
    let change = Change::CreateJob { kind, summary, created_unix_s: 1, state };
    catalog.apply(&change).unwrap().job.unwrap()
}

/// Two shards and `t (a, b)` with both columns in its primary key, by hash of `a`.
fn with_table() -> (Catalog, TableId) {
    let mut catalog = catalog();
    let mut table = definition("t", &[("a", "int"), ("b", "int")]);
    let columns = vec!["a".to_owned(), "b".to_owned()];
    table.unique_keys = vec![UniqueKey { name: "PRIMARY".to_owned(), columns }];
    let applied = create(&mut catalog, table, sharded(&["a"], ShardingFunction::Hash, None));
    let id = applied.unwrap().table.unwrap();
    (catalog, id)
}

fn range() -> ShardingFunction {
    let bound = |less_than, shard| RangeUnit { less_than, shard: ShardId(shard) };
    ShardingFunction::Range { units: vec![bound(Some(int_key(0)), 2), bound(None, 1)] }
}

fn begin(
    catalog: &mut Catalog,
    table: TableId,
    sharding: TableSharding,
) -> Result<MoveId, ChangeError> {
    let job = job(catalog, JobKind::Full { table });
    let applied = catalog.apply(&Change::BeginReshard { job, sharding })?;
    Ok(applied.first_move.unwrap())
}

fn found(catalog: &Catalog, id: MoveId) -> Reshard {
    Reshard::clone(&catalog.reshards[&id])
}

fn set(catalog: &mut Catalog, id: MoveId, to: Option<MoveState>) -> Result<(), ChangeError> {
    let one = found(catalog, id);
    catalog.apply(&Change::SetMove { id, from: (one.state, one.since), to }).map(|_| ())
}

fn kind(catalog: &Catalog) -> TableKind {
    catalog.table("d", "t").unwrap().kind.clone()
}

#[test]
fn there_back_there_again_and_for_good() {
    use MoveState::{Held, HeldBack, Incoming, Outgoing, Purging};
    let (mut catalog, table) = with_table();
    let before = kind(&catalog);
    let id = begin(&mut catalog, table, sharded(&["b"], range(), None)).unwrap();
    for (to, moved) in [
        (Held, false),
        (Outgoing, true),
        (HeldBack, true),
        (Incoming, false),
        (Held, false),
        (Outgoing, true),
    ] {
        set(&mut catalog, id, Some(to)).unwrap();
        assert_eq!(kind(&catalog) != before, moved, "{to}");
        catalog.validate().unwrap();
    }
    let one = found(&catalog, id);
    assert_eq!(one.owned_since, one.since);
    assert_eq!((catalog.groups.len(), catalog.table("d", "t").unwrap().id), (2, table));
    set(&mut catalog, id, Some(Purging)).unwrap();
    set(&mut catalog, id, None).unwrap();
    assert_eq!((catalog.groups.len(), catalog.reshards.len()), (1, 0));
    assert_eq!(kind(&catalog), one.to);
    catalog.validate().unwrap();
}

#[test]
fn given_up_it_is_as_before() {
    let (mut catalog, table) = with_table();
    let before = kind(&catalog);
    let id = begin(&mut catalog, table, TableSharding::Broadcast).unwrap();
    let stale = Change::SetMove {
        id,
        from: (MoveState::Incoming, Epoch(1)),
        to: Some(MoveState::Clearing),
    };
    assert!(matches!(catalog.apply(&stale), Err(ChangeError::MoveMoved { .. })));
    let end = Change::SetJob {
        id: JobId(1),
        from: catalog.jobs[&JobId(1)].since,
        state: state(JobPhase::Cancelled),
    };
    assert!(matches!(catalog.apply(&end), Err(ChangeError::JobHasMoves { .. })));
    set(&mut catalog, id, Some(MoveState::Clearing)).unwrap();
    set(&mut catalog, id, None).unwrap();
    assert_eq!((kind(&catalog), catalog.groups.len()), (before, 1));
    catalog.apply(&end).unwrap();
}

#[test]
fn nothing_else_changes_the_table_meanwhile() {
    let (mut catalog, table) = with_table();
    let group = catalog.table("d", "t").unwrap().sharding().unwrap().group;
    let id = begin(&mut catalog, table, TableSharding::Broadcast).unwrap();
    let drop = Change::DropTable { database: "d".to_owned(), name: "t".to_owned() };
    assert!(matches!(catalog.apply(&drop), Err(ChangeError::TableMoves { .. })));
    assert!(matches!(catalog.apply(&add_shard("s3")), Err(ChangeError::ShardsStay { .. })));
    let other = job(&mut catalog, JobKind::Partial);
    let units = Units::Slots(std::iter::once(0..10).collect());
    let moves = vec![NewMove { group, units, from: ShardId(1), to: ShardId(2) }];
    let moved = catalog.apply(&Change::BeginMoves { job: other, moves: moves.clone() });
    assert!(matches!(moved, Err(ChangeError::TableMoves { .. })));
    let again = begin(&mut catalog, table, sharded(&["b"], range(), None));
    assert!(matches!(again, Err(ChangeError::TableMoves { .. })));
    set(&mut catalog, id, Some(MoveState::Clearing)).unwrap();
    set(&mut catalog, id, None).unwrap();
    catalog.apply(&Change::BeginMoves { job: other, moves }).unwrap();
    let again = begin(&mut catalog, table, TableSharding::Broadcast);
    assert!(matches!(again, Err(ChangeError::TableMoves { .. })));
}

#[test]
fn what_cannot_be_spread_so_is_refused() {
    let (mut catalog, table) = with_table();
    let part = ShardingFunction::Range {
        units: vec![RangeUnit { less_than: Some(int_key(0)), shard: ShardId(1) }],
    };
    for (sharding, words) in [
        (sharded(&["b"], part, None), "no owner"),
        (sharded(&["b"], ShardingFunction::Hash, Some("t")), "itself"),
        (sharded(&["c"], ShardingFunction::Hash, None), "no column 'c'"),
    ] {
        let error = begin(&mut catalog, table, sharding).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let mut bare = definition("bare", &[("a", "int"), ("b", "int")]);
    let created =
        create(&mut catalog, bare.clone(), TableSharding::Single { shard: None }).unwrap();
    let error = begin(&mut catalog, created.table.unwrap(), TableSharding::Broadcast);
    assert!(error.unwrap_err().to_string().contains("no primary key"));
    bare.name = "keyed".to_owned();
    let columns = vec!["a".to_owned()];
    bare.unique_keys = vec![UniqueKey { name: "PRIMARY".to_owned(), columns }];
    let created = create(&mut catalog, bare, TableSharding::Single { shard: None }).unwrap();
    let by_b = sharded(&["b"], ShardingFunction::Hash, None);
    let error = begin(&mut catalog, created.table.unwrap(), by_b);
    assert!(matches!(error, Err(ChangeError::UniqueKey { .. })));
    let same = begin(&mut catalog, created.table.unwrap(), TableSharding::Single { shard: None });
    assert!(matches!(same, Err(ChangeError::Reshard { .. })));
    catalog.validate().unwrap();
}

fn owner(catalog: &Catalog, one: &Reshard, kind: &TableKind) -> RowOwner {
    RowOwner::of(kind, catalog.table_by_id(one.table).unwrap(), catalog).unwrap()
}

proptest! {
    /// A row is where it was, or it goes one way.
    #[test]
    fn each_row_has_one_way(a in -50_i128..50, b in -50_i128..50, broadcast: bool) {
        let (mut catalog, table) = with_table();
        let sharding = match broadcast {
            true => TableSharding::Broadcast,
            false => sharded(&["b"], range(), None),
        };
        let id = begin(&mut catalog, table, sharding).unwrap();
        let one = found(&catalog, id);
        let (from, to) = (owner(&catalog, &one, &one.from), owner(&catalog, &one, &one.to));
        let key: Key = match broadcast {
            true => int_key(a),
            false => [KeyPart::Integer(a), KeyPart::Integer(b)].into_iter().collect(),
        };
        let ways: Vec<Crossing> = one.pairs().into_iter().map(|(source, target)| Crossing {
            from: from.clone(), to: to.clone(), source, target,
        }).collect();
        let types: Vec<KeyType> = ways[0].types();
        prop_assert_eq!(types.len(), key.len());
        prop_assert!(ways.iter().all(|way| !way.is_homeless(&key)));
        let taken = ways.iter().filter(|way| way.contains(&key)).count();
        let stays = catalog.shards.keys().any(|shard| {
            from.owns(&key[..1], *shard) == Some(true) && to.owns(&key[1..], *shard) == Some(true)
        });
        match broadcast {
            true => prop_assert_eq!(taken, 1),
            false => prop_assert_eq!(taken + usize::from(stays), 1),
        }
    }
}
