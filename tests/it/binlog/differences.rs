//! An undo stops at rows that someone else has changed, however little, and refuses tables that a binlog
//! cannot restore.

use super::stream;
use super::table::definition;
use super::undoing;
use anyhow::{Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_binlog::{Family, undo::UndoError, undo::UndoStatement};
use shardline_tests::{Server, sql};

const TABLE: &str = "CREATE TABLE d.t (id INT PRIMARY KEY, u VARCHAR(20) UNIQUE, f FLOAT, b VARBINARY(9), \
    n DECIMAL(10,2), at TIMESTAMP(3) NULL DEFAULT NULL ON UPDATE CURRENT_TIMESTAMP(3), e ENUM('a','b'), \
    c CHAR(9)) CHARACTER SET utf8mb4";

/// A server with `d.t` and three rows.
async fn server() -> Result<(Server, Conn)> {
    let server = Server::start().await?;
    let mut connection = server.connect().await?;
    let fill = "INSERT INTO d.t VALUES (1, 'one', 0.1, x'00', 1.5, '2026-01-02 03:04:05.678', 'a', 'x'), \
        (2, 'two', 0, NULL, NULL, NULL, NULL, NULL), (3, 'three', 3, '', 3, NULL, 'b', '')";
    sql::run(&mut connection, &["CREATE DATABASE d", TABLE, fill]).await?;
    sql::run(&mut connection, &shardline_binlog::undo::SESSION).await?;
    Ok((server, connection))
}

/// Runs a transaction and plans its undo.
async fn undo_of(
    server: &Server,
    connection: &mut Conn,
    statements: &[&str],
) -> Result<Vec<UndoStatement>> {
    let from = stream::end(connection, Family::Mariadb).await?;
    connection.query_drop("START TRANSACTION").await?;
    sql::run(connection, statements).await?;
    connection.query_drop("COMMIT").await?;
    let events = stream::read(server, Family::Mariadb, 77, &from).await?;
    let (transactions, _) = stream::transactions(events, &|map| &*map.table == "t")?;
    ensure!(transactions.len() == 1, "{} transactions", transactions.len());
    let definition = definition(connection, "d", "t").await?;
    undoing::plan(&transactions[0], &definition)
}

async fn content(connection: &mut Conn) -> Result<Vec<Vec<String>>> {
    let all = "SELECT id, HEX(u), f * 1e0, HEX(b), n, at, e + 0, HEX(c) FROM d.t ORDER BY id";
    sql::rows(connection, all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_differs_in_anything_is_left_alone() -> Result<()> {
    let (server, mut connection) = server().await?;
    let update = "UPDATE d.t SET f = 0.2, u = 'uno', b = 'a', n = 2, e = 'b', c = 'y', \
        at = '2026-05-05 05:05:05.005' WHERE id = 1";
    let undo = undo_of(&server, &mut connection, &[update]).await?;
    let after = content(&mut connection).await?;
    // Each of these is equal, or looks equal, to what the transaction wrote: by the collation, by the
    // shortest text of a float, by the day, by spaces at the end.
    let others = [
        "u = 'UNO'",
        "f = 0.20000002",
        "b = 'a '",
        "b = 'a\\0'",
        "n = 2.01",
        "e = 0",
        "c = 'Y'",
        "at = '2026-05-05 05:05:05.006'",
        "n = NULL",
        "b = NULL",
    ];
    for other in others {
        let keep = if other.starts_with("at") { "" } else { ", at = at" };
        connection.query_drop(format!("UPDATE d.t SET {other}{keep} WHERE id = 1")).await?;
        let changed = content(&mut connection).await?;
        ensure!(changed != after, "{other} changed nothing");
        let error = undoing::run(&mut connection, &undo).await;
        ensure!(
            error.is_err_and(|e| e.to_string().starts_with("0 rows")),
            "{other} was overwritten"
        );
        connection.query_drop("ROLLBACK").await?;
        ensure!(content(&mut connection).await? == changed, "{other}: not left alone");
        let back = "UPDATE d.t SET f = 0.2, u = 'uno', b = 'a', n = 2, e = 'b', c = 'y', \
            at = '2026-05-05 05:05:05.005' WHERE id = 1";
        connection.query_drop(back).await?;
    }
    undoing::run(&mut connection, &undo).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_taken_or_removed_by_others_stop_the_undo() -> Result<()> {
    let (server, mut connection) = server().await?;
    let before = content(&mut connection).await?;
    let statements = ["DELETE FROM d.t WHERE id = 2", "INSERT INTO d.t (id, u) VALUES (9, 'nine')"];
    let undo = undo_of(&server, &mut connection, &statements).await?;
    for (disturb, restore) in [
        ("INSERT INTO d.t (id, u) VALUES (2, 'other')", "DELETE FROM d.t WHERE id = 2"),
        ("INSERT INTO d.t (id, u) VALUES (20, 'two')", "DELETE FROM d.t WHERE id = 20"),
        ("DELETE FROM d.t WHERE id = 9", "INSERT INTO d.t (id, u) VALUES (9, 'nine')"),
    ] {
        connection.query_drop(disturb).await?;
        let disturbed = content(&mut connection).await?;
        ensure!(undoing::run(&mut connection, &undo).await.is_err(), "{disturb} was not noticed");
        connection.query_drop("ROLLBACK").await?;
        ensure!(content(&mut connection).await? == disturbed, "{disturb}: not left alone");
        connection.query_drop(restore).await?;
    }
    undoing::run(&mut connection, &undo).await?;
    ensure!(content(&mut connection).await? == before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_matter() -> Result<()> {
    let (server, mut connection) = server().await?;
    let transactions: [&[&str]; 6] = [
        // Two and more changes of one row.
        &["UPDATE d.t SET n = 5 WHERE id = 1", "UPDATE d.t SET n = 6 WHERE id = 1"],
        // A unique value removed and used again, by the same key and by another.
        &["DELETE FROM d.t WHERE id = 1", "INSERT INTO d.t (id, u) VALUES (11, 'one')"],
        &["DELETE FROM d.t WHERE id = 1", "INSERT INTO d.t (id, u, n) VALUES (1, 'one', 9)"],
        // Inserted, changed and removed.
        &[
            "INSERT INTO d.t (id, u) VALUES (5, 'five')",
            "UPDATE d.t SET c = 'five' WHERE id = 5",
            "DELETE FROM d.t WHERE id = 5",
        ],
        // Keys that move along.
        &["UPDATE d.t SET id = id + 1 ORDER BY id DESC", "UPDATE d.t SET id = 100 WHERE id = 2"],
        // Savepoints: what was rolled back is not in the log.
        &[
            "UPDATE d.t SET n = 7 WHERE id = 3",
            "SAVEPOINT s",
            "DELETE FROM d.t",
            "ROLLBACK TO s",
            "UPDATE d.t SET u = 'drei' WHERE id = 3",
        ],
    ];
    for statements in transactions {
        let before = content(&mut connection).await?;
        let undo = undo_of(&server, &mut connection, statements).await?;
        undoing::run(&mut connection, &undo).await?;
        ensure!(content(&mut connection).await? == before, "{statements:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_a_binlog_cannot_restore_are_refused() -> Result<()> {
    let (_server, mut connection) = server().await?;
    let setup = [
        "CREATE TABLE d.nokey (a INT)",
        "CREATE TABLE d.engine (a INT PRIMARY KEY) ENGINE=MyISAM",
        "CREATE TABLE d.fires (a INT PRIMARY KEY)",
        "CREATE TRIGGER d.trg AFTER INSERT ON d.fires FOR EACH ROW SET @x = 1",
        "CREATE TABLE d.versions (a INT PRIMARY KEY) WITH SYSTEM VERSIONING",
        "CREATE TABLE d.parent (a INT PRIMARY KEY)",
        "CREATE TABLE d.child (a INT PRIMARY KEY REFERENCES d.parent (a) ON DELETE CASCADE)",
        "CREATE TABLE d.kept (a INT PRIMARY KEY)",
        "CREATE TABLE d.keeper (a INT PRIMARY KEY REFERENCES d.kept (a))",
    ];
    sql::run(&mut connection, &setup).await?;
    let check = async |connection: &mut Conn, table| -> Result<Result<(), UndoError>> {
        Ok(definition(connection, "d", table).await?.check())
    };
    let refused = |found: Result<(), UndoError>| found.map_err(|error| error.to_string());
    for (table, word) in [
        ("nokey", "primary key"),
        ("engine", "MyISAM"),
        ("fires", "trg"),
        ("versions", "VERSIONING"),
        ("parent", "d.child"),
    ] {
        let found = refused(check(&mut connection, table).await?);
        ensure!(found.as_ref().is_err_and(|text| text.contains(word)), "{table}: {found:?}");
    }
    for table in ["t", "child", "kept", "keeper"] {
        let found = refused(check(&mut connection, table).await?);
        ensure!(found.is_ok(), "{table}: {found:?}");
    }
    ensure!(definition(&mut connection, "d", "nowhere").await.is_err());
    Ok(())
}
