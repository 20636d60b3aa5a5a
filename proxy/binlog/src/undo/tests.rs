//! Plans over changes made by hand.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::column::ColumnType;
use crate::rows::Row;
use crate::table_map::{Column, TableMap};
use crate::value::Value;

fn column(name: &str, kind: ColumnType) -> Column {
    Column { name: Some(name.into()), ..Column::new(kind, true) }
}

fn map() -> Arc<TableMap> {
    let columns = vec![
        column("id", ColumnType::Int { bytes: 4 }),
        column("name", ColumnType::VarChar { bytes: 40, compressed: false }),
        column("v", ColumnType::Int { bytes: 4 }),
        column("at", ColumnType::Timestamp { digits: 0 }),
        column("DB_ROW_HASH_1", ColumnType::Int { bytes: 8 }),
    ];
    Arc::new(TableMap { id: 1, database: "d".into(), table: "t".into(), columns })
}

fn definition() -> TableDefinition {
    let column = |name: &str, kind| ColumnDefinition {
        name: name.to_owned(),
        kind,
        generated: if name == "v" { Generated::Virtual } else { Generated::No },
        on_update: name == "at",
    };
    TableDefinition {
        database: "d".to_owned(),
        table: "t".to_owned(),
        columns: vec![
            column("id", SqlType::Int { bytes: 4, unsigned: true }),
            column("name", SqlType::Text { charset: "utf8mb4".to_owned() }),
            column("v", SqlType::Int { bytes: 4, unsigned: false }),
            column("at", SqlType::Timestamp { digits: 0 }),
        ],
        primary_key: vec!["id".to_owned()],
        engine: "InnoDB".to_owned(),
        system_versioned: false,
        triggers: Vec::new(),
        cascades: Vec::new(),
    }
}

fn row(id: i64, name: &'static str) -> Row {
    vec![
        Some(Value::Int(id)),
        Some(Value::Bytes(Bytes::from_static(name.as_bytes()))),
        Some(Value::Null),
        Some(Value::Timestamp(crate::value::Timestamp { seconds: 60, micros: 0, digits: 0 })),
        Some(Value::Null),
    ]
}

fn change(kind: ChangeKind, before: Option<Row>, after: Option<Row>) -> RowChange {
    RowChange { table: map(), kind, before, after }
}

fn planned(
    changes: &[RowChange],
    table: &TableDefinition,
) -> Result<Vec<UndoStatement>, UndoError> {
    plan(changes, &|_, name| (name == "t").then_some(table), 1_000)
}

#[test]
fn undoes_in_reverse_and_checks_each_column() {
    let changes = [
        change(ChangeKind::Insert, None, Some(row(-1, "a"))),
        change(ChangeKind::Update, Some(row(1, "a")), Some(row(2, "b"))),
        change(ChangeKind::Delete, Some(row(2, "a")), None),
    ];
    let undo = planned(&changes, &definition()).expect("a plan");
    let sql: Vec<&str> = undo.iter().map(|statement| statement.sql.as_str()).collect();
    assert_eq!(undo.iter().map(|statement| statement.change).collect::<Vec<_>>(), [2, 1, 0]);
    assert_eq!(
        sql,
        [
            "INSERT INTO `d`.`t` (`id`, `name`, `at`) \
             VALUES (2, _utf8mb4 x'61', '1970-01-01 00:01:00')",
            "UPDATE `d`.`t` SET `id` = 1, `name` = _utf8mb4 x'61', `at` = '1970-01-01 00:01:00' \
             WHERE `id` <=> 2 AND CAST(`name` AS BINARY) <=> _binary x'62' \
             AND CAST(`at` AS CHAR) <=> '1970-01-01 00:01:00'",
            // The sign is the definition's: -1 was logged for an unsigned column.
            "DELETE FROM `d`.`t` WHERE `id` <=> 4294967295 \
             AND CAST(`name` AS BINARY) <=> _binary x'61' \
             AND CAST(`at` AS CHAR) <=> '1970-01-01 00:01:00'",
        ]
    );
    assert!(undo[2].verify.is_none() && undo[1].verify.is_some());
}

#[test]
fn images_that_hold_only_changes_are_completed() {
    let mut after = row(1, "b");
    after[0] = None;
    let undo =
        planned(&[change(ChangeKind::Update, Some(row(1, "a")), Some(after))], &definition());
    assert!(undo.expect("a plan")[0].sql.contains("WHERE `id` <=> 1 AND"));
    let mut before = row(1, "a");
    before[1] = None;
    let error = planned(&[change(ChangeKind::Delete, Some(before), None)], &definition());
    assert!(matches!(error, Err(UndoError::PartialImage { column, .. }) if column == "name"));
    // An update that changed nothing needs no undo.
    let same = change(ChangeKind::Update, Some(row(1, "a")), Some(row(1, "a")));
    assert_eq!(planned(&[same], &definition()), Ok(Vec::new()));
}

#[test]
fn an_altered_table_is_refused() {
    let insert = [change(ChangeKind::Insert, None, Some(row(1, "a")))];
    let refused = |alter: fn(&mut TableDefinition)| {
        let mut definition = definition();
        alter(&mut definition);
        planned(&insert, &definition).expect_err("refused").to_string()
    };
    assert!(refused(|t| drop(t.columns.remove(1))).contains("name is gone"));
    assert!(refused(|t| t.columns[1].name = "other".to_owned()).contains("other is new"));
    assert!(refused(|t| t.columns[1].kind = SqlType::Date).contains("another type"));
    assert!(
        refused(|t| t.columns[0].kind = SqlType::Int { bytes: 8, unsigned: false })
            .contains("another type")
    );
    assert!(refused(|t| t.primary_key.clear()).contains("no primary key"));
    let nowhere = plan(&insert, &|_, _| None, 1_000).expect_err("no definition");
    assert_eq!(nowhere, UndoError::NoDefinition { table: "d.t".to_owned() });
    let small = plan(&insert, &|_, _| None::<&TableDefinition>, 10);
    assert!(small.is_err());
}

#[test]
fn a_statement_that_the_server_would_not_take_is_refused() {
    let definition = definition();
    let insert = [change(ChangeKind::Insert, None, Some(row(1, "a")))];
    let error = plan(&insert, &|_, _| Some(&definition), 100).expect_err("too large");
    assert!(matches!(error, UndoError::TooLarge { limit: 100, .. }));
}

#[test]
fn overwriting_goes_by_the_key_alone() {
    let definition = definition();
    let of = |changes: &[RowChange]| {
        overwrite(changes, &|_, _| Some(&definition), 1_000).expect("statements")
    };
    let inserted = change(ChangeKind::Insert, None, Some(row(5, "a")));
    assert_eq!(of(&[inserted]), ["DELETE FROM `d`.`t` WHERE `id` <=> 5"]);
    let moved = change(ChangeKind::Update, Some(row(1, "a")), Some(row(2, "b")));
    let statements = of(std::slice::from_ref(&moved));
    assert_eq!(
        statements[..2],
        ["DELETE FROM `d`.`t` WHERE `id` <=> 2", "DELETE FROM `d`.`t` WHERE `id` <=> 1"]
    );
    assert!(statements[2].starts_with("INSERT INTO `d`.`t` (`id`, `name`, `at`) VALUES (1, "));
    let subject = subject(&moved, &|_, _| Some(&definition)).expect("a row");
    assert_eq!((&*subject.table, &*subject.key), ("d.t", "id=2"));
    assert_eq!(subject.expected.as_deref(), Some("id=2, name=b, at=1970-01-01 00:01:00"));
    assert_eq!(subject.sql, "SELECT `id`, `name`, `at` FROM `d`.`t` WHERE `id` <=> 2 LIMIT 1");
    let now = [Some(Bytes::from_static(b"2")), None, Some(Bytes::from_static(b"x"))];
    assert_eq!(subject.describe(&now), "id=2, name=NULL, at=x");
}
