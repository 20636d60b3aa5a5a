//! Texts of statements, and that a row has one lane however it comes.

use super::*;
use shardline_binlog::undo::SqlType;
use shardline_model::{key::KeyType, placement::Units};

const INT: SqlType = SqlType::Int { bytes: 8, unsigned: false };

fn column(name: &str, kind: SqlType, generated: Generated) -> ColumnDefinition {
    ColumnDefinition { name: name.into(), kind, generated, on_update: false }
}

pub(crate) fn table(unique_keys: &[&[&str]]) -> Table {
    table_of(&["K"], unique_keys)
}

pub(crate) fn table_of(shard_key: &[&str], unique_keys: &[&[&str]]) -> Table {
    let text = SqlType::Text { charset: "latin1".into() };
    let definition = TableDefinition {
        database: "d".into(),
        table: "t".into(),
        columns: vec![
            column("id", INT, Generated::No),
            column("k", INT, Generated::No),
            column("sum", INT, Generated::Virtual),
            column("note", text, Generated::No),
        ],
        primary_key: unique_keys[0].iter().map(|name| (*name).to_owned()).collect(),
        engine: "InnoDB".into(),
        system_versioned: false,
        triggers: Vec::new(),
        cascades: Vec::new(),
    };
    let keys = unique_keys.iter().map(|key| key.iter().map(|name| (*name).to_owned()).collect());
    let key_columns = shard_key.iter().map(|name| (*name).to_owned()).collect();
    let spec = TableSpec { database: "d".into(), table: "t".into(), key_columns };
    Table::of(3, definition, keys.collect(), &spec, &units()).expect("a table")
}

fn units() -> Membership {
    let types = [KeyType::Integer { min: i64::MIN.into(), max: i64::MAX.into() }];
    Membership::of(Units::OtherValues { but: Vec::new() }, &types)
}

#[test]
fn what_is_selected_and_written() {
    let table = table(&[&["k", "id"]]);
    assert_eq!(table.select_list(), "`k`, `id`, `k`, `id`, `k`, `note`");
    assert_eq!(table.replace_sql(), "REPLACE INTO `d`.`t` (`id`, `k`, `note`) VALUES ");
    let row = [Some(&b"7"[..]), Some(b"1"), Some(b"7"), Some(b"1"), Some(b"7"), None];
    let mut tuple = Vec::new();
    table.push_tuple(&mut tuple, &row).expect("a tuple");
    assert_eq!(tuple, b"(1,7,NULL)");
    let values = [Value::Int(1), Value::Int(7), Value::Null, Value::Bytes("a'b".into())];
    let tuple = table.tuple_of_image(&values).expect("a tuple");
    assert_eq!((&tuple.sql[..], tuple.guards.len()), (&b"(1,7,_latin1'a\\'b')"[..], 0));
    let literals = table.literals_of_image(&values).expect("literals");
    assert_eq!(table.any_key([&literals].into_iter()), "((`k` = 7 AND `id` = 1))");
}

#[test]
fn both_ways_of_a_row_lead_to_one_lane() {
    for keys in [&[&["k", "id"][..]][..], &[&["k", "id"], &["k", "note"]], &[&["id"], &["note"]]] {
        let table = table(keys);
        for number in 0..50 {
            let text = number.to_string();
            let text = Some(text.as_bytes());
            let row = vec![text; 7];
            let lane = table.lane_of_selected(&row, &units(), 7).expect("a lane");
            let values = [Value::Int(number), Value::Int(number), Value::Null, Value::Null];
            let key = table.key_of_image(&values, &units()).expect("a key");
            assert_eq!(table.lane_of_image(&values, &key, &units(), 7), lane, "{keys:?}");
        }
    }
}

#[test]
fn rows_that_may_swap_a_unique_value_share_a_lane() {
    assert_eq!(table(&[&["k", "id"]]).spread, Spread::PrimaryKey);
    assert_eq!(table(&[&["id"]]).spread, Spread::PrimaryKey);
    assert_eq!(table(&[&["k", "note"]]).spread, Spread::ShardKey);
    assert_eq!(table(&[&["k", "id"], &["k", "note"]]).spread, Spread::ShardKey);
    assert_eq!(table(&[&["id"], &["k", "note"]]).spread, Spread::OneLane);
    assert!(table(&[&["id"]]).guarded && !table(&[&["k", "id"]]).guarded);
}

#[test]
fn keys_for_people() {
    let table = table(&[&["id"]]);
    assert_eq!(table.key_text(&["5".into()]), "id=5");
    assert_eq!(readable("_utf8mb4 x'6162'"), "'ab'");
    assert_eq!(readable("_binary x'00'"), "_binary x'00'");
}
