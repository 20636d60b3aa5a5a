//! Transactions as lanes see them: rows of the units only, and what a move cannot go on after.

use super::*;
use crate::table::tests::{table, table_of};
use shardline_binlog::{ChangeKind, Row};
use shardline_model::{
    key::{KeyPart, KeyType},
    placement::Units,
};

const BIGINT: KeyType = KeyType::Integer { min: i64::MIN as i128, max: i64::MAX as i128 };

/// Units are the keys 0 to 9.
fn router(unique_keys: &[&[&str]]) -> Router {
    let key = |value| Some([KeyPart::Integer(value)].into_iter().collect());
    let units = Membership::of(Units::Interval { start: key(0), end: key(10) }, &[BIGINT]);
    let mut table = table_of(&["k"], unique_keys);
    table.number = 0;
    Router::new(vec![Arc::new(table)], units, 1, "m", "o")
}

fn query(database: &str, sql: &str) -> Query {
    Query { thread_id: 1, error: 0, database: database.into(), sql: sql.as_bytes().to_vec().into() }
}

fn at() -> Position {
    Position { file: "b.000001".into(), offset: 100 }
}

#[test]
fn ddl_and_statements_on_moving_tables_stop_the_move() {
    let router = router(&[&["id"]]);
    let check = |database: &str, sql: &str| router.check_statement(&query(database, sql), &at());
    for (database, sql) in [
        ("d", "ALTER TABLE t ADD c INT"),
        ("", "/* c */ alter table `d`.`T` engine=innodb"),
        ("x", "RENAME TABLE d.u TO d.t"),
        ("d", "TRUNCATE t"),
        ("d", "DROP TABLE IF EXISTS `a`,`t` /* generated */"),
        ("d", "CREATE INDEX i ON t (a)"),
        ("x", "DROP DATABASE d"),
        ("d", "/*!50003 CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a = 1 */"),
    ] {
        let found = check(database, sql);
        assert!(matches!(found, Err(MoveError::Ddl { .. })), "{sql}: {found:?}");
    }
    let found = check("d", "update t set a = 1");
    assert!(matches!(found, Err(MoveError::Statement { .. })), "{found:?}");
    for (database, sql) in [
        ("d", "ALTER TABLE tt ADD t1 INT"),
        ("x", "ALTER TABLE t ADD c INT"),
        ("d", "CREATE TEMPORARY TABLE t (a INT)"),
        ("d", "DROP TEMPORARY TABLE t"),
        ("d", "ANALYZE TABLE t"),
        ("d", "GRANT ALL ON d.t TO u"),
        ("d", "CREATE OR REPLACE VIEW v AS SELECT * FROM t"),
        ("x", "DROP DATABASE dd"),
    ] {
        assert_eq!(check(database, sql), Ok(()), "{sql}");
    }
}

fn map(database: &str, name: &str) -> Arc<TableMap> {
    use shardline_binlog::{column::ColumnType, table_map::Column};
    let column = |name: &str, kind| Column {
        kind,
        nullable: true,
        unsigned: Some(false),
        charset: None,
        name: Some(name.into()),
        labels: None,
        geometry: None,
        dimensions: None,
        primary: None,
        visible: None,
    };
    let int = ColumnType::Int { bytes: 8 };
    let text = ColumnType::VarChar { bytes: 9, compressed: false };
    let columns =
        vec![column("id", int), column("k", int), column("sum", int), column("note", text)];
    Arc::new(TableMap { id: 1, database: database.into(), table: name.into(), columns })
}

fn row(id: i64, k: i64) -> Option<Vec<Option<Value>>> {
    let int = |value| Some(Value::Int(value));
    Some(vec![int(id), int(k), Some(Value::Null), Some(Value::Null)])
}

fn routed(router: &mut Router, changes: Vec<(Option<Row>, Option<Row>)>) -> Vec<(String, bool)> {
    let changes = changes.into_iter().map(|(before, after)| RowChange {
        table: map("d", "t"),
        kind: ChangeKind::Update,
        before,
        after,
    });
    let transaction = Transaction {
        id: None,
        changes: changes.collect(),
        statements: Vec::new(),
        xid: None,
        end: 100,
    };
    let routed = router.route(&transaction, &at()).expect("routed");
    let shown = |op: &Op| (op.key.join(","), matches!(op.change, Change::Upsert(_)));
    routed.lanes.iter().flatten().map(shown).collect()
}

#[test]
fn rows_come_go_and_change_their_unit() {
    let mut router = router(&[&["id"]]);
    let one = |id: &str, upsert| vec![(id.to_owned(), upsert)];
    assert_eq!(routed(&mut router, vec![(None, row(1, 5))]), one("1", true));
    assert_eq!(routed(&mut router, vec![(None, row(1, 50))]), []);
    assert_eq!(routed(&mut router, vec![(row(1, 5), None)]), one("1", false));
    assert_eq!(routed(&mut router, vec![(row(1, 5), row(1, 6))]), one("1", true));
    // Out of the units, and into them.
    assert_eq!(routed(&mut router, vec![(row(1, 5), row(1, 50))]), one("1", false));
    assert_eq!(routed(&mut router, vec![(row(1, 50), row(1, 5))]), one("1", true));
    // To another primary key.
    let both = vec![("1".to_owned(), false), ("2".to_owned(), true)];
    assert_eq!(routed(&mut router, vec![(row(1, 5), row(2, 5))]), both);
}

#[test]
fn what_appliers_wrote_is_not_carried_back() {
    let mut router = router(&[&["id"]]);
    let change = |table, after| RowChange { table, kind: ChangeKind::Insert, before: None, after };
    let mut transaction = Transaction {
        id: None,
        changes: vec![
            change(map("d", "t"), row(1, 5)),
            change(map("_shardline", "move_lane"), row(1, 5)),
        ],
        statements: Vec::new(),
        xid: None,
        end: 100,
    };
    let found = router.route(&transaction, &at()).expect("routed");
    assert!(found.lanes.iter().all(Vec::is_empty));
    let mark = |id: &str, owner: &str| {
        let text = |text: &str| Some(Value::Bytes(text.as_bytes().to_vec().into()));
        change(
            map("_shardline", "move_mark"),
            Some(vec![text(id), Some(Value::UInt(0)), text(owner), Some(Value::UInt(7))]),
        )
    };
    transaction.changes = vec![mark("m", "o"), mark("n", "o"), mark("m", "p")];
    assert_eq!(router.route(&transaction, &at()).expect("routed").marks, [7]);
    drop(table(&[&["id"]]));
}
