//! The packets of distributed transactions on a real server: what decides, what stops, what
//! is left.

use anyhow::Result;
use mysql_async::{Conn, prelude::Queryable};
use shardline_console::local::settings::ServerTuning;
use shardline_model::id::{GroupId, ShardId};
use shardline_proxy::txn::{
    lock_key::{LockCheck, LockSet, LockSpace, Touched},
    outcome::ALL,
    sql::{self, Names, Packet},
    xid::{Incarnation, Xid},
};
use shardline_tests::{Server, server::mysql_programs, sql as run};

const SPACE: LockSpace = LockSpace::Group(GroupId(1));
const SHARDS: [ShardId; 1] = [ShardId(2)];
const DUPLICATE: Option<u16> = Some(1062);
const OVERFLOW: Option<u16> = Some(1690);

fn xid(counter: u64) -> Xid {
    Xid { incarnation: Incarnation(5), counter }
}

fn names(counter: u64) -> Names<'static> {
    Names { xid: xid(counter), anchor: ShardId(1), branches: &SHARDS }
}

fn key(text: &str) -> Touched {
    Touched::Keys(vec![text.as_bytes().to_vec()])
}

fn locks(text: &str) -> LockSet {
    let mut locks = LockSet::default();
    locks.add(SPACE, &key(text)).expect("one lock");
    locks
}

/// Sends a packet; the number of the error that stopped it.
async fn send(connection: &mut Conn, packet: &Packet) -> Option<u16> {
    send_text(connection, packet.sql()).await
}

async fn send_text(connection: &mut Conn, text: &str) -> Option<u16> {
    match connection.query_drop(text).await {
        Ok(()) => None,
        Err(error) => Some(run::error_number(&error).expect("a server's error")),
    }
}

/// A server with the tables, a row, and an incarnation that lives.
async fn server() -> Result<(Server, Conn)> {
    prepared(Server::start().await?).await
}

async fn prepared(server: Server) -> Result<(Server, Conn)> {
    let mut connection = server.connect().await?;
    for _ in 0..2 {
        for statement in sql::SETUP.iter().flat_map(|version| version.iter()) {
            connection.query_drop(*statement).await?;
        }
    }
    let statements = [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY, v INT)",
        "INSERT INTO d.t VALUES (1, 10), (2, 20)",
    ];
    run::run(&mut connection, &statements).await?;
    connection.query_drop(sql::register(Incarnation(5))).await?;
    assert_eq!(
        run::value(&mut connection, sql::READ_VERSION).await?,
        sql::SCHEMA_VERSION.to_string()
    );
    Ok((server, connection))
}

async fn control(server: &Server) -> Result<Conn> {
    let mut connection = server.connect().await?;
    run::run(&mut connection, &sql::CONTROL_SESSION).await?;
    Ok(connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_key_decides_whoever_comes_first() -> Result<()> {
    let (server, mut client) = server().await?;
    let mut other = control(&server).await?;
    run::run(&mut client, &["SET sql_mode = ''", "BEGIN", "UPDATE d.t SET v = 11 WHERE id = 1"])
        .await?;
    assert_eq!(send(&mut client, &sql::decide(names(1), None)).await, None);
    assert_eq!(send(&mut other, &sql::abort(names(1))).await, DUPLICATE);
    assert_eq!(send(&mut other, &sql::truth(xid(1))).await, None);
    let read = run::rows(&mut other, &sql::read_decision(xid(1))).await?;
    assert_eq!(read, [["1", "NULL"]]);

    // An abort that came first stops the packet before its COMMIT.
    run::run(&mut client, &["BEGIN", "UPDATE d.t SET v = 12 WHERE id = 1"]).await?;
    assert_eq!(send(&mut other, &sql::abort(names(2))).await, None);
    assert_eq!(send(&mut client, &sql::decide(names(2), None)).await, DUPLICATE);
    client.query_drop(sql::ROLLBACK).await?;
    assert_eq!(run::value(&mut other, "SELECT v FROM d.t WHERE id = 1").await?, "11");

    // A decision that hangs uncommitted is told by a wait.
    let open = sql::decide(names(3), None).sql().replace(sql::COMMIT, "DO 0");
    run::run(&mut client, &["BEGIN"]).await?;
    assert_eq!(send_text(&mut client, &open).await, None);
    assert_eq!(send(&mut other, &sql::abort(names(3))).await, Some(1205));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_stops_a_branch() -> Result<()> {
    let (server, mut client) = server().await?;
    let mut other = control(&server).await?;
    let update = [
        "SET sql_mode = ''",
        "SET completion_type = 1",
        "BEGIN",
        "UPDATE d.t SET v = v + 1 WHERE id = 1",
    ];
    run::run(&mut client, &update).await?;
    assert_eq!(send(&mut client, &sql::prepare(names(1), 7, None, &locks("1"), &[])).await, None);
    assert_eq!(run::value(&mut client, "SELECT @@in_transaction").await?, "0");
    assert_eq!(send_text(&mut other, &sql::fence_branch(names(1))).await, DUPLICATE);
    assert_eq!(send_text(&mut other, &sql::fence_branch(names(2))).await, None);
    run::run(&mut client, &update).await?;
    assert_eq!(
        send(&mut client, &sql::prepare(names(2), 7, None, &locks("2"), &[])).await,
        DUPLICATE
    );
    client.query_drop(sql::ROLLBACK).await?;
    assert_eq!(run::value(&mut other, "SELECT v FROM d.t WHERE id = 1").await?, "11");
    assert_eq!(run::value(&mut other, &sql::count_branches(Incarnation(5))).await?, "1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_exclusive_taken_over_and_forgotten_by_their_owner_only() -> Result<()> {
    let (server, mut client) = server().await?;
    let mut other = control(&server).await?;
    let cases = [
        (1, None, None),
        (2, None, DUPLICATE),
        (2, Some(3), OVERFLOW),
        (2, Some(1), None),
        (3, Some(1), OVERFLOW),
    ];
    for (counter, freed, expected) in cases {
        run::run(&mut client, &["BEGIN", "UPDATE d.t SET v = v + 1 WHERE id = 1"]).await?;
        let freed: Vec<_> = freed.into_iter().map(xid).collect();
        let packet = sql::prepare(names(counter), 7, None, &locks("1"), &freed);
        assert_eq!(send(&mut client, &packet).await, expected);
        client.query_drop(sql::ROLLBACK).await?;
    }
    let count = "SELECT COUNT(*) FROM _shardline.rlock";
    assert_eq!(send(&mut other, &sql::forget_branches(&[(xid(1), locks("1"))])).await, None);
    assert_eq!(run::value(&mut other, count).await?, "1");
    assert_eq!(run::value(&mut other, &sql::count_left()).await?, "2");
    assert_eq!(send(&mut other, &sql::forget_branches(&[(xid(2), locks("1"))])).await, None);
    assert_eq!(run::value(&mut other, &sql::count_left()).await?, "0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_stops_the_packet_before_its_commit() -> Result<()> {
    let (server, mut client) = server().await?;
    let mut writer = server.connect().await?;
    run::run(&mut client, &["BEGIN", "UPDATE d.t SET v = 11 WHERE id = 1"]).await?;
    assert_eq!(send(&mut client, &sql::prepare(names(1), 7, None, &locks("1"), &[])).await, None);
    let cases = [
        (LockCheck::of(SPACE, &key("1"), &[]), OVERFLOW),
        (LockCheck::of(SPACE, &key("2"), &[]), None),
        (LockCheck::of(SPACE, &Touched::Unpinned, &[]), OVERFLOW),
        (LockCheck::default(), None),
    ];
    // What a client may have set must not let a write through.
    for setting in
        ["sql_mode = ''", "sql_select_limit = 0", "completion_type = 1", "autocommit = 0"]
    {
        writer.query_drop(format!("SET {setting}")).await?;
        for (check, expected) in &cases {
            writer.query_drop("START TRANSACTION").await?;
            writer.query_drop("UPDATE d.t SET v = v + 1 WHERE id = 2").await?;
            let packet = sql::check_and_commit(check);
            assert_eq!(send(&mut writer, &packet).await, *expected, "{setting} {check:?}");
            writer.query_drop(sql::ROLLBACK).await?;
        }
    }
    let mut other = control(&server).await?;
    assert_eq!(run::value(&mut other, "SELECT v FROM d.t WHERE id = 2").await?, "28");
    let met = run::rows(&mut other, &sql::check_from_aside(&cases[0].0)).await?;
    assert_eq!(met.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_not_decided_again() -> Result<()> {
    let (server, mut client) = server().await?;
    let mut other = control(&server).await?;
    for counter in [1, 2] {
        client.query_drop("BEGIN").await?;
        assert_eq!(send(&mut client, &sql::decide(names(counter), None)).await, None);
    }
    assert_eq!(send(&mut other, &sql::abort(names(3))).await, None);
    let forget = sql::forget_decisions(Incarnation(5), &[xid(1), xid(3)], 4);
    assert_eq!(send(&mut other, &forget).await, None);
    // A tombstone is not forgotten with them, and the watermark never sinks.
    assert_eq!(send(&mut other, &sql::forget_decisions(Incarnation(5), &[xid(9)], 2)).await, None);
    for (counter, expected) in [(1, ["NULL", "4"]), (2, ["1", "4"]), (3, ["2", "4"])] {
        assert_eq!(send(&mut other, &sql::abort(names(counter))).await, DUPLICATE);
        let read = run::rows(&mut other, &sql::read_decision(xid(counter))).await?;
        assert_eq!(read, [expected]);
    }
    assert_eq!(send(&mut other, &sql::abort(names(4))).await, None);
    assert_eq!(send(&mut other, &sql::sweep(Incarnation(5))).await, None);
    let read = run::rows(&mut other, &sql::read_decision(xid(4))).await?;
    assert_eq!(read, [["NULL".to_owned(), ALL.to_string()]]);
    assert_eq!(send(&mut other, &sql::abort(names(4))).await, DUPLICATE);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_is_found_by_its_age_and_settled_with_its_locks() -> Result<()> {
    let (server, mut client) = server().await?;
    let mut other = control(&server).await?;
    // A client's own clock must not hide its branch.
    for (counter, clock) in [(1, "DEFAULT"), (2, "4102444800"), (3, "1000000000")] {
        let clock = format!("SET timestamp = {clock}");
        run::run(&mut client, &[&clock, "BEGIN", "UPDATE d.t SET v = v + 1 WHERE id = 1"]).await?;
        let packet = sql::prepare(names(counter), 7, None, &locks(&counter.to_string()), &[]);
        assert_eq!(send(&mut client, &packet).await, None);
    }
    let found = run::rows(&mut other, &sql::scan()).await?;
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(send(&mut other, &sql::settle_read(xid(2))).await, None);
    assert_eq!(send(&mut other, &sql::settle_end(xid(2), &locks("2"))).await, None);
    assert_eq!(run::rows(&mut other, &sql::scan()).await?.len(), 1);
    assert_eq!(run::value(&mut other, "SELECT COUNT(*) FROM _shardline.rlock").await?, "2");
    Ok(())
}

/// What a check in a transaction's own packet rests on: statements that lock all they read open no
/// snapshot, so the check sees what was committed after them. A plain read opens one.
async fn locking_statements_open_no_snapshot(server: Server) -> Result<()> {
    let (server, mut writer) = prepared(server).await?;
    let mut other = control(&server).await?;
    let check = sql::commit_unless_locked(&LockCheck::of(SPACE, &key("1"), &[]));
    let cases = [
        ("UPDATE d.t SET v = v + 1 WHERE id = 1", OVERFLOW),
        ("UPDATE d.t SET v = v + 1", OVERFLOW),
        ("DELETE FROM d.t WHERE id = 2", OVERFLOW),
        ("INSERT INTO d.t VALUES (3, 1)", OVERFLOW),
        ("INSERT INTO d.t VALUES (1, 1) ON DUPLICATE KEY UPDATE v = v + 1", OVERFLOW),
        ("REPLACE INTO d.t VALUES (1, 1)", OVERFLOW),
        ("SELECT v FROM d.t WHERE id = 1 FOR UPDATE", OVERFLOW),
        ("SELECT v FROM d.t LOCK IN SHARE MODE", OVERFLOW),
        ("SELECT v FROM d.t WHERE id = 1", None),
    ];
    // Where the server has it, what it makes of locking reads must not matter.
    for isolation in ["SET @none = 0", "SET innodb_snapshot_isolation = ON"] {
        if writer.query_drop(isolation).await.is_err() {
            continue;
        }
        for (statement, expected) in cases {
            run::run(&mut writer, &["BEGIN", statement]).await?;
            let lock = sql::hex(&LockCheck::of(SPACE, &key("1"), &[]).keys[0].0);
            let insert = format!("INSERT INTO _shardline.rlock VALUES ({lock}, {lock})");
            other.query_drop(insert).await?;
            assert_eq!(send(&mut writer, &check).await, expected, "{isolation}: {statement}");
            writer.query_drop(sql::ROLLBACK).await?;
            other.query_drop("DELETE FROM _shardline.rlock").await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn locking_statements_open_no_snapshot_on_mariadb() -> Result<()> {
    locking_statements_open_no_snapshot(Server::start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn locking_statements_open_no_snapshot_on_mysql() -> Result<()> {
    let Some(programs) = mysql_programs()? else { return Ok(()) };
    let tuning = ServerTuning { buffer_pool_mib: 32, ..ServerTuning::default() };
    locking_statements_open_no_snapshot(Server::start_of(programs, tuning, 1, Vec::new()).await?)
        .await
}
