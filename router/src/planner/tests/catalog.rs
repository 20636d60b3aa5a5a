//! The catalog of the planner's tests: a small bank and a sysbench table.

use shardline_model::{
    catalog::{
        Catalog, ColocationGroup, Column, Database, ServerAddress, Shard, Sharding, Table,
        TableKind, UniqueKey,
    },
    id::{Epoch, GroupId, ShardId, TableId},
    key::{Key, KeyType, KeyUse, Literal},
    placement::{ListMap, Placement, RangeUnit, even_hash},
};
use std::sync::Arc;

/// Columns as `name type[!collation][=default]`.
fn columns(text: &str) -> Vec<Column> {
    let column = |text: &str| {
        let (text, default) = match text.split_once('=') {
            Some((text, default)) => (text, Some(default.to_owned())),
            None => (text, None),
        };
        let (text, collation) = match text.split_once('!') {
            Some((text, collation)) => (text, Some(collation.to_owned())),
            None => (text, None),
        };
        let (name, column_type) = text.split_once(' ').unwrap();
        Column {
            name: name.into(),
            column_type: column_type.into(),
            collation,
            nullable: false,
            default,
            generated: false,
            invisible: false,
        }
    };
    text.split("; ").map(column).collect()
}

struct Builder {
    catalog: Catalog,
    tables: Vec<Table>,
}

impl Builder {
    fn group(&mut self, id: u64, types: &[&Column], placement: Placement) -> Vec<KeyType> {
        let key_types: Vec<KeyType> =
            types.iter().map(|column| KeyType::of_column(column).unwrap()).collect();
        let group = ColocationGroup { id: GroupId(id), key_types: key_types.clone(), placement };
        self.catalog.groups.insert(GroupId(id), Arc::new(group));
        key_types
    }

    fn table(&mut self, name: &str, text: &str, kind: TableKind, auto: bool) {
        let columns = columns(text);
        let primary = UniqueKey { name: "PRIMARY".into(), columns: vec![columns[0].name.clone()] };
        self.tables.push(Table {
            id: TableId(self.tables.len() as u64 + 1),
            database: "bank".into(),
            name: name.into(),
            kind,
            unique_keys: vec![primary],
            auto_increment: auto.then_some(0),
            is_view: name == "rich",
            columns,
        });
    }
}

fn sharded(group: u64, key_columns: &[usize]) -> TableKind {
    TableKind::Sharded(Sharding { group: GroupId(group), key_columns: key_columns.to_vec() })
}

const ACCOUNTS: &str = "id bigint(20); owner varchar(64)!utf8mb4_general_ci; branch_id int(11)=0; \
     balance decimal(20,2)=0.00; kind enum('current','savings')!utf8mb4_general_ci; \
     opened date='2020-01-01'; photo blob; tag varchar(9)!utf8mb4_nopad_bin";
const TRANSFERS: &str = "id bigint(20); account_id bigint(20)=7; amount decimal(20,2); made datetime=current_timestamp()";
const LEDGER: &str = "entry bigint(20); booked_on date; amount decimal(20,2)";
const BRANCHES: &str = "region varchar(2)!utf8mb4_bin; name varchar(20)!utf8mb4_general_ci";

/// The catalog with that many shards.
pub(crate) fn catalog(shards: u32) -> Catalog {
    let ids: Vec<ShardId> = (1..=shards).map(ShardId).collect();
    let mut builder = Builder {
        catalog: Catalog { epoch: Epoch(1), cluster: "test".into(), ..Catalog::default() },
        tables: Vec::new(),
    };
    for id in &ids {
        let primary = ServerAddress { host: "127.0.0.1".into(), port: 3306, socket: None };
        let shard = Shard { id: *id, name: id.to_string(), primary, replicas: Vec::new() };
        builder.catalog.shards.insert(*id, Arc::new(shard));
    }
    let at = |n: u32| ShardId(n.min(shards));
    let hash = || even_hash(&ids).unwrap();
    builder.group(1, &[&columns(ACCOUNTS)[0]], hash());
    let date = &columns(LEDGER)[1];
    let date_type = KeyType::of_column(date).unwrap();
    let key = |key_type: &KeyType, text: &'static str| {
        let literal = Literal::Text(text.into());
        Key::from_iter([key_type.canonical(&literal, KeyUse::Store).unwrap()])
    };
    let bound = |text| Some(key(&date_type, text));
    let units = vec![
        RangeUnit { less_than: bound("2026-01-01"), shard: at(1) },
        RangeUnit { less_than: bound("2027-01-01"), shard: at(2) },
        RangeUnit { less_than: None, shard: at(3) },
    ];
    builder.group(2, &[date], Placement::Range(units));
    let region = &columns(BRANCHES)[0];
    let region_type = KeyType::of_column(region).unwrap();
    let values = [("N", 1), ("E", 1), ("S", 2)];
    let values = values.map(|(text, shard)| (key(&region_type, text), at(shard)));
    builder.group(3, &[region], Placement::List(ListMap { values: values.into(), default: None }));
    builder.group(4, &[&columns("id int(11)")[0]], hash());
    let pair = columns("a int(11); b int(11)");
    builder.group(5, &[&pair[0], &pair[1]], hash());

    builder.table("accounts", ACCOUNTS, sharded(1, &[0]), false);
    builder.table("transfers", TRANSFERS, sharded(1, &[1]), true);
    builder.table("ledger", LEDGER, sharded(2, &[1]), false);
    builder.table("branches", BRANCHES, sharded(3, &[0]), false);
    builder.table("currencies", "code char(3)!utf8mb4_general_ci; name varchar(20)!utf8mb4_general_ci; changed timestamp=current_timestamp()", TableKind::Broadcast, false);
    builder.table(
        "rates",
        "id int(11); code char(3)!utf8mb4_general_ci; rate double=1",
        TableKind::Broadcast,
        true,
    );
    builder.table(
        "settings",
        "name varchar(20)!utf8mb4_general_ci; value text!utf8mb4_general_ci",
        TableKind::Single { shard: at(2) },
        false,
    );
    builder.table(
        "audit",
        "id int(11); line text!utf8mb4_general_ci",
        TableKind::Single { shard: at(1) },
        true,
    );
    builder.table("sbtest1", "id int(11); k int(11)=0; c char(120)!utf8mb4_general_ci=''; pad char(60)!utf8mb4_general_ci=''", sharded(4, &[0]), true);
    builder.table("pairs", "a int(11); b int(11); c int(11)", sharded(5, &[0, 1]), false);
    builder.table(
        "words",
        "id int(11); w varchar(20)!utf8mb4_uca1400_as_ci; t text!utf8mb4_uca1400_as_ci",
        sharded(4, &[0]),
        false,
    );
    builder.table("rich", "id bigint(20)", TableKind::Single { shard: at(1) }, false);
    let database = |name: &str, home, tables: Vec<Table>| Database {
        name: name.into(),
        home,
        collation: "utf8mb4_general_ci".into(),
        tables: tables.into_iter().map(|table| (table.name.clone(), Arc::new(table))).collect(),
    };
    let bank = database("bank", at(1), builder.tables);
    let empty = database("other", at(3), Vec::new());
    let mut catalog = builder.catalog;
    catalog.databases.insert("bank".into(), Arc::new(bank));
    catalog.databases.insert("other".into(), Arc::new(empty));
    catalog
}
