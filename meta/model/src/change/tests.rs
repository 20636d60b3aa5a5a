//! Properties of changes: random ones keep the catalog valid, failed ones leave it alone;
//! and the refusals that users meet.

use super::*;
use crate::{
    barrier::Barrier,
    catalog::TableKind,
    declared::{ColocateWith, ListUnit, ShardingFunction},
    key::{Key, KeyPart},
    placement::{Placement, RangeUnit},
};
use proptest::{collection::vec, prelude::*};

mod moves;
mod reshard;

fn column(name: &str, column_type: &str) -> Column {
    let is_text = column_type.contains("char");
    Column {
        name: name.to_owned(),
        column_type: column_type.to_owned(),
        collation: is_text.then(|| "utf8mb4_bin".to_owned()),
        nullable: false,
        default: None,
        generated: false,
        invisible: false,
    }
}

fn definition(name: &str, columns: &[(&str, &str)]) -> TableDefinition {
    TableDefinition {
        database: "d".to_owned(),
        name: name.to_owned(),
        columns: columns.iter().map(|(name, column_type)| column(name, column_type)).collect(),
        unique_keys: Vec::new(),
        auto_increment: None,
        is_view: false,
    }
}

fn sharded(columns: &[&str], function: ShardingFunction, colocate: Option<&str>) -> TableSharding {
    TableSharding::Sharded {
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        function,
        colocate: colocate
            .map(|table| ColocateWith { database: "d".to_owned(), table: table.to_owned() }),
    }
}

fn add_shard(name: &str) -> Change {
    let primary = ServerAddress { host: "127.0.0.1".to_owned(), port: 3306, socket: None };
    Change::AddShard { name: name.to_owned(), primary, replicas: Vec::new() }
}

fn create_database(name: &str) -> Change {
    let collation = "utf8mb4_bin".to_owned();
    Change::CreateDatabase { name: name.to_owned(), home: None, collation }
}

/// Two shards and database `d`.
fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for change in [add_shard("s1"), add_shard("s2"), create_database("d")] {
        catalog.apply(&change).unwrap();
    }
    catalog
}

fn create(
    catalog: &mut Catalog,
    table: TableDefinition,
    sharding: TableSharding,
) -> Result<Applied, ChangeError> {
    catalog.apply(&Change::CreateTable { table, sharding })
}

fn int_key(value: i128) -> Key {
    std::iter::once(KeyPart::Integer(value)).collect()
}

/// Small names, so that changes meet each other.
fn change() -> impl Strategy<Value = Change> {
    let name = || prop_oneof!["[abc]", Just("d".to_owned())];
    let function = prop_oneof![
        Just(ShardingFunction::Hash),
        vec((-5_i128..5, 1_u32..4), 0..3).prop_map(|units| ShardingFunction::Range {
            units: units
                .iter()
                .map(|(bound, shard)| RangeUnit {
                    less_than: Some(int_key(*bound)),
                    shard: ShardId(*shard)
                })
                .collect(),
        }),
        (vec((-5_i128..5, 1_u32..4), 0..3), proptest::option::of(1_u32..4)).prop_map(
            |(units, default)| {
                let unit = |(value, shard): &(i128, u32)| ListUnit {
                    keys: vec![int_key(*value)],
                    shard: ShardId(*shard),
                };
                ShardingFunction::List {
                    units: units.iter().map(unit).collect(),
                    default: default.map(ShardId),
                }
            }
        ),
    ];
    let sharding = prop_oneof![
        Just(TableSharding::Broadcast),
        proptest::option::of(1_u32..4)
            .prop_map(|shard| TableSharding::Single { shard: shard.map(ShardId) }),
        (function, proptest::option::of("[abc]")).prop_map(|(function, other)| sharded(
            &["k"],
            function,
            other.as_deref()
        )),
    ];
    let key_type =
        prop_oneof![Just("int(11)"), Just("bigint(20)"), Just("varchar(9)"), Just("text")];
    prop_oneof![
        name().prop_map(|name| add_shard(&name)),
        (1_u32..5).prop_map(|id| Change::RemoveShard { id: ShardId(id) }),
        name().prop_map(|name| create_database(&name)),
        "[abc]".prop_map(|name| Change::DropDatabase { name }),
        (name(), "[abc]", key_type.clone(), sharding.clone()).prop_map(
            |(database, name, key_type, sharding)| {
                let table = TableDefinition { database, ..definition(&name, &[("k", key_type)]) };
                Change::CreateTable { table, sharding }
            }
        ),
        (name(), "[abc]", key_type, sharding).prop_map(|(database, name, key_type, sharding)| {
            let table =
                TableDefinition { database, ..definition(&name, &[("v", "int"), ("k", key_type)]) };
            Change::CreateTable { table, sharding }
        }),
        (name(), "[abc]", prop_oneof![Just("int(11)"), Just("bigint(20)"), Just("varchar(9)")])
            .prop_map(|(database, name, key_type)| Change::ReplaceTable {
                database,
                name,
                columns: vec![column("new", "int"), column("K", key_type)],
                unique_keys: Vec::new(),
                auto_increment: None,
            }),
        (name(), "[abc]").prop_map(|(database, name)| Change::DropTable { database, name }),
        (name(), "[abc]", name(), "[abc]").prop_map(|(database, name, to_database, to_name)| {
            Change::RenameTable { database, name, to_database, to_name }
        }),
        (name(), any::<bool>()).prop_map(|(database, raise)| {
            let to = if raise { GuardState::Raising } else { GuardState::On };
            Change::SetGuard { database, from: None, to }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn changes_keep_the_catalog_valid(changes in vec(change(), 1..40)) {
        let mut catalog = catalog();
        for change in &changes {
            let before = catalog.clone();
            let checked = catalog.check(change);
            match catalog.apply(change) {
                Ok(applied) => {
                    prop_assert_eq!(checked, Ok(()));
                    prop_assert_eq!(applied.epoch.0, before.epoch.0 + 1);
                    prop_assert_eq!(applied.epoch, catalog.epoch);
                }
                Err(error) => {
                    prop_assert_eq!(checked, Err(error));
                    prop_assert_eq!(&catalog, &before);
                }
            }
            prop_assert_eq!(catalog.validate(), Ok(()), "after {:?}", change);
        }
        let json = serde_json::to_string(&catalog).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Catalog>(&json).unwrap(), &catalog);
        let bytes = postcard::to_stdvec(&catalog).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Catalog>(&bytes).unwrap(), &catalog);
        let bytes = postcard::to_stdvec(&changes).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Vec<Change>>(&bytes).unwrap(), changes);
    }
}

#[test]
fn tables_are_spread_as_declared() {
    let mut catalog = catalog();
    let hash = sharded(&["K"], ShardingFunction::Hash, None);
    let applied =
        create(&mut catalog, definition("a", &[("v", "int"), ("k", "int")]), hash).unwrap();
    let table = catalog.table("d", "a").unwrap();
    assert_eq!(applied.table, Some(table.id));
    assert_eq!(table.key_column_names(), ["k"]);
    assert_eq!(table.group(&catalog).unwrap().placement.shards().len(), 2);

    let colocated = sharded(&["id"], ShardingFunction::Hash, Some("a"));
    let again = create(&mut catalog, definition("b", &[("id", "bigint")]), colocated).unwrap();
    assert_eq!(again.group, applied.group);

    let range = sharded(&["k"], ShardingFunction::Range { units: Vec::new() }, None);
    create(&mut catalog, definition("r", &[("k", "date")]), range).unwrap();
    let group = catalog.table("d", "r").unwrap().group(&catalog).unwrap();
    let everything = vec![RangeUnit { less_than: None, shard: ShardId(1) }];
    assert_eq!(group.placement, Placement::Range(everything));

    create(&mut catalog, definition("s", &[("k", "int")]), TableSharding::Single { shard: None })
        .unwrap();
    let single = TableKind::Single { shard: ShardId(1) };
    assert_eq!(catalog.table("d", "s").unwrap().kind, single);
    catalog.apply(&Change::DropTable { database: "d".to_owned(), name: "a".to_owned() }).unwrap();
    assert_eq!(catalog.groups.len(), 2, "the group stays with its other table");
    catalog.apply(&Change::DropDatabase { name: "d".to_owned() }).unwrap();
    assert!(catalog.groups.is_empty());
}

/// Moves the guard of a database from where it is.
fn set_guard(
    catalog: &mut Catalog,
    database: &str,
    to: GuardState,
) -> Result<Applied, ChangeError> {
    let from = catalog.guards.get(database).copied();
    catalog.apply(&Change::SetGuard { database: database.to_owned(), from, to })
}

#[test]
fn a_guard_goes_through_its_states_for_whoever_saw_the_last_one() {
    use GuardState::{Lowering, Off, On, Raising};
    let mut catalog = catalog();
    let mut last = None;
    for to in [Raising, On, Lowering, On, Lowering, Off, Raising] {
        let database = "d".to_owned();
        let late = Change::SetGuard { database, from: last, to };
        let epoch = set_guard(&mut catalog, "d", to).unwrap().epoch;
        assert_eq!(catalog.guard("d"), to);
        assert_eq!(catalog.guards.get("d").map(|guard| guard.since).unwrap_or(epoch), epoch);
        let now = catalog.guards.get("d").copied();
        let moved = ChangeError::GuardMoved { database: "d".to_owned(), now };
        assert_eq!(catalog.apply(&late), Err(moved));
        last = now;
    }
    for (from, to) in [(Raising, Off), (Raising, Lowering), (Raising, Raising)] {
        let error = ChangeError::GuardOrder { database: "d".to_owned(), from, to };
        assert_eq!(set_guard(&mut catalog, "d", to), Err(error));
    }
    assert!(set_guard(&mut catalog, "absent", Raising).is_err());
    catalog.apply(&Change::DropDatabase { name: "d".to_owned() }).unwrap();
    catalog.apply(&create_database("d")).unwrap();
    assert_eq!(catalog.guard("d"), Off);
}

#[test]
fn a_table_keeps_being_checked_in_another_database() {
    use GuardState::{Lowering, Off, On, Raising};
    let mut catalog = catalog();
    catalog.apply(&create_database("e")).unwrap();
    create(&mut catalog, definition("a", &[("k", "int")]), TableSharding::Broadcast).unwrap();
    let rename = |from: &str, to: &str| Change::RenameTable {
        database: from.to_owned(),
        name: "a".to_owned(),
        to_database: to.to_owned(),
        to_name: "a".to_owned(),
    };
    catalog.apply(&rename("d", "e")).unwrap();
    assert_eq!((catalog.guard("d"), catalog.guard("e")), (Off, Off));
    for to in [Raising, On, Lowering] {
        set_guard(&mut catalog, "e", to).unwrap();
    }
    let epoch = catalog.apply(&rename("e", "d")).unwrap().epoch;
    assert_eq!(catalog.guards["d"], Guard { state: Raising, since: epoch });
    let epoch = catalog.apply(&rename("d", "e")).unwrap().epoch;
    assert_eq!(catalog.guards["e"], Guard { state: On, since: epoch });
}

#[test]
fn unique_keys_contain_the_shard_key() {
    let mut catalog = catalog();
    let mut table = definition("a", &[("id", "int"), ("k", "int")]);
    let unique = |name: &str, columns: &[&str]| UniqueKey {
        name: name.to_owned(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
    };
    table.unique_keys = vec![unique("PRIMARY", &["id"])];
    let by_k = || sharded(&["k"], ShardingFunction::Hash, None);
    let error = create(&mut catalog, table.clone(), by_k()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table 'a' cannot be sharded by (k): its unique key 'PRIMARY' (id) does not contain every \
         shard-key column; add them to the key, or shard by a column that is in it"
    );
    table.auto_increment = Some(0);
    create(&mut catalog, table.clone(), by_k()).unwrap();
    table.name = "b".to_owned();
    table.unique_keys.push(unique("u", &["K", "id"]));
    create(&mut catalog, table, by_k()).unwrap();
}

#[test]
fn refusals_say_what_to_do() {
    let mut catalog = catalog();
    let text = |result: Result<Applied, ChangeError>| result.unwrap_err().to_string();
    let by_k = |function| sharded(&["k"], function, None);
    let unit = |bound: Option<i128>| RangeUnit { less_than: bound.map(int_key), shard: ShardId(1) };
    let range = |units: Vec<RangeUnit>| by_k(ShardingFunction::Range { units });
    let table = || definition("a", &[("k", "tinyint")]);
    let descending = range(vec![unit(Some(5)), unit(Some(5))]);
    assert!(text(create(&mut catalog, table(), descending)).contains("do not ascend"));
    let open = range(vec![unit(None), unit(Some(5))]);
    assert!(text(create(&mut catalog, table(), open)).contains("MAXVALUE is not the last"));
    let too_big = range(vec![unit(Some(500))]);
    assert!(text(create(&mut catalog, table(), too_big)).contains("does not fit"));
    let twice = ListUnit { keys: vec![int_key(1), int_key(1)], shard: ShardId(1) };
    let twice = by_k(ShardingFunction::List { units: vec![twice], default: None });
    assert!(text(create(&mut catalog, table(), twice)).contains("listed twice"));
    create(&mut catalog, table(), by_k(ShardingFunction::Hash)).unwrap();
    let other = sharded(&["k"], ShardingFunction::Hash, Some("a"));
    let mismatch = create(&mut catalog, definition("b", &[("k", "varchar(9)")]), other);
    assert!(text(mismatch).contains("declare the same type"));
    let remove = catalog.apply(&Change::RemoveShard { id: ShardId(2) });
    assert!(text(remove).contains("owns rows of table 'd.a'"));
    let retype = catalog.apply(&Change::ReplaceTable {
        database: "d".to_owned(),
        name: "a".to_owned(),
        columns: vec![column("k", "varchar(9)")],
        unique_keys: Vec::new(),
        auto_increment: None,
    });
    assert!(text(retype).contains("keep its type"));
}

#[test]
fn one_barrier_stands_and_is_ended_by_who_knows_it() {
    let mut catalog = catalog();
    let planned = catalog.planned;
    let raise = Change::RaiseBarrier { by: Incarnation(2) };
    let since = catalog.apply(&raise).unwrap().epoch;
    let barrier = Barrier { by: Incarnation(2), since };
    assert_eq!(catalog.barrier, Some(barrier));
    let moved = |now| Err(ChangeError::BarrierMoved { now });
    assert_eq!(catalog.apply(&raise), moved(Some(barrier)));
    let another = Change::EndBarrier { since: Epoch(since.0 - 1) };
    assert_eq!(catalog.apply(&another), moved(Some(barrier)));
    let end = Change::EndBarrier { since };
    catalog.apply(&end).unwrap();
    assert_eq!((catalog.barrier, catalog.planned), (None, planned), "plans stay good");
    assert_eq!(catalog.apply(&end), moved(None));
    let next = catalog.apply(&raise).unwrap().epoch;
    assert_eq!(catalog.apply(&end), moved(Some(Barrier { by: Incarnation(2), since: next })));
    let epoch = catalog.apply(&create_database("another")).unwrap().epoch;
    assert_eq!(catalog.planned, epoch);
}

#[test]
fn a_shard_that_joins_or_leaves_gets_no_data() {
    let mut catalog = catalog();
    let primary = ServerAddress { host: "127.0.0.1".to_owned(), port: 3306, socket: None };
    let join = Change::JoinShard { name: "new".to_owned(), primary, replicas: Vec::new() };
    let new = catalog.apply(&join).unwrap().shard.unwrap();
    assert!(catalog.is_joining(new));
    assert_eq!(catalog.open_shards(), [ShardId(1), ShardId(2)]);
    let table = definition("h", &[("k", "bigint(20)")]);
    let spread = sharded(&["k"], ShardingFunction::Hash, None);
    let create = Change::CreateTable { table, sharding: spread };
    let made = catalog.apply(&create).unwrap().group.unwrap();
    assert!(!catalog.groups[&made].placement.shards().contains(&new));
    let home = Change::SetHome { name: "d".to_owned(), home: new };
    let refused = catalog.apply(&home).unwrap_err();
    assert!(refused.to_string().contains("is being added"), "{refused}");
    catalog.apply(&Change::SetApart { id: new, apart: None }).unwrap();
    catalog.apply(&home).unwrap();
    catalog.apply(&Change::SetApart { id: new, apart: Some(Apart::Draining) }).unwrap();
    catalog.apply(&create_database("e")).unwrap();
    assert_ne!(catalog.databases["e"].home, new);
    catalog.validate().unwrap();
}
