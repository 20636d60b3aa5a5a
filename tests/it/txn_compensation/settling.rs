//! Settling branches of aborted transactions.

use super::bench::{BRANCH, Bench, INCARNATION, names, proxy, xid};
use crate::binlog::{random::Random, table::Table};
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_proxy::txn::{outcome::Settlement, sql};
use shardline_tests::sql as run;
use std::{sync::Arc, time::Instant};

const ROUNDS: u64 = 25;

/// Random statements over a table with every column type, in the open transaction.
async fn statements(writer: &mut Conn, table: &mut Table, random: &mut Random) -> Result<()> {
    for _ in 0..=random.below(5) {
        if random.below(5) == 0 {
            writer.query_drop("SAVEPOINT s").await?;
        }
        if let Err(error) = writer.query_drop(table.change(random)).await {
            ensure!(run::error_number(&error) == Some(1062), "{error}");
        }
    }
    if random.below(5) == 0 {
        // It may not be there.
        writer.query_drop("ROLLBACK TO s").await.ok();
    }
    Ok(())
}

async fn round_trips(bench: &mut Bench, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    run::run(&mut bench.writer, &["SET sql_mode = 'ALLOW_INVALID_DATES'", "SET NAMES utf8mb4"])
        .await?;
    let mut table = Table::create(&mut bench.writer, bench.family).await?;
    bench.writer.query_drop(table.insert(&mut random, 20)).await?;
    for round in 0..ROUNDS {
        let at = || format!("seed {seed}, round {round}");
        let counter = seed * 1_000 + round;
        let before = table.content(&mut bench.writer).await?;
        bench.writer.query_drop("BEGIN").await?;
        statements(&mut bench.writer, &mut table, &mut random).await.with_context(at)?;
        bench.prepare(counter).await.with_context(at)?;
        if random.below(4) == 0 {
            bench.writer.query_drop("FLUSH BINARY LOGS").await?;
        }
        bench.settle_whole(counter).await.with_context(at)?;
        let after = table.content(&mut bench.writer).await?;
        ensure!(before == after, "{}: not as before", at());
        // Every third transaction is done again, so that the next one meets other rows.
        if round % 3 == 0 && before.rows() < 200 {
            bench.writer.query_drop("BEGIN").await?;
            statements(&mut bench.writer, &mut table, &mut random).await?;
            bench.writer.query_drop("COMMIT").await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_on_mariadb() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    for seed in [1, 2] {
        round_trips(&mut bench, seed).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_on_mysql() -> Result<()> {
    let Some(mut bench) = Bench::mysql().await? else { return Ok(()) };
    for seed in [3, 4] {
        round_trips(&mut bench, seed).await?;
    }
    Ok(())
}

const TABLE: [&str; 2] = [
    "CREATE TABLE d.t (id INT PRIMARY KEY, u VARCHAR(20) UNIQUE, n INT)",
    "INSERT INTO d.t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)",
];

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_matter() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    run::run(&mut bench.writer, &TABLE).await?;
    let transactions: [&[&str]; 6] = [
        // Two changes to one row.
        &["UPDATE d.t SET n = 5 WHERE id = 1", "UPDATE d.t SET n = 6 WHERE id = 1"],
        // A unique value removed and used again.
        &["DELETE FROM d.t WHERE id = 1", "INSERT INTO d.t VALUES (11, 'one', 1)"],
        &["DELETE FROM d.t WHERE id = 1", "INSERT INTO d.t VALUES (1, 'one', 9)"],
        // Inserted, then changed.
        &["INSERT INTO d.t VALUES (5, 'five', 5)", "UPDATE d.t SET n = 55 WHERE id = 5"],
        // Keys that move.
        &["UPDATE d.t SET id = id + 1 ORDER BY id DESC", "UPDATE d.t SET id = 100 WHERE id = 2"],
        // A savepoint that was rolled back.
        &[
            "UPDATE d.t SET n = 7 WHERE id = 3",
            "SAVEPOINT s",
            "DELETE FROM d.t",
            "ROLLBACK TO s",
            "UPDATE d.t SET u = 'drei' WHERE id = 3",
        ],
    ];
    let before = bench.rows("d.t").await?;
    for (counter, statements) in (1..).zip(transactions) {
        bench.branch(counter, statements).await?;
        ensure!(bench.rows("d.t").await? != before, "{statements:?} changed nothing");
        bench.settle_whole(counter).await.with_context(|| format!("{statements:?}"))?;
        ensure!(bench.rows("d.t").await? == before, "{statements:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_at_once_undo_it_once() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    run::run(&mut bench.writer, &TABLE).await?;
    let before = bench.rows("d.t").await?;
    let proxies: Vec<_> = (0..2).map(|_| Arc::new(proxy(&bench.catalog))).collect();
    for counter in 1..=10 {
        // Undone twice, it would be stuck or different.
        bench
            .branch(counter, &["UPDATE d.t SET n = n + 1", "DELETE FROM d.t WHERE id = 2"])
            .await?;
        let settle = |at: usize| {
            let proxy = proxies[at % 2].clone();
            tokio::spawn(async move { proxy.settle(names(counter), BRANCH).await })
        };
        let all: Vec<_> = (0..10).map(settle).collect();
        let mut done = 0;
        for settled in all {
            match settled.await? {
                Settlement::Done => done += 1,
                // One that waited too long for the others.
                Settlement::Failed => {}
                Settlement::Stuck => anyhow::bail!("stuck"),
            }
        }
        ensure!(done > 0, "nobody settled it");
        ensure!(bench.rows("d.t").await? == before);
        bench.nothing_left().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_comes_after_the_abort_does_not_commit() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    run::run(&mut bench.writer, &TABLE).await?;
    let before = bench.rows("d.t").await?;
    run::run(&mut bench.writer, &["BEGIN", "UPDATE d.t SET n = 9 WHERE id = 1"]).await?;
    ensure!(bench.proxy.settle(names(1), BRANCH).await == Settlement::Done);
    let late = bench.prepare(1).await.expect_err("the fence row stops it");
    let late = late.downcast_ref().and_then(run::error_number);
    ensure!(late == Some(1062), "{late:?}");
    bench.writer.query_drop(sql::ROLLBACK).await?;
    ensure!(bench.rows("d.t").await? == before);
    // And once more: there is nothing to undo.
    ensure!(bench.proxy.settle(names(1), BRANCH).await == Settlement::Done);
    Ok(())
}

/// It is found in any file of the log, whatever clock its client had.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_searched_to_its_end() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    run::run(&mut bench.writer, &TABLE).await?;
    let before = bench.rows("d.t").await?;
    for (counter, clock) in [(1, "DEFAULT"), (2, "1000000000"), (3, "4102444800")] {
        bench.writer.query_drop(format!("SET timestamp = {clock}")).await?;
        bench.branch(counter, &["UPDATE d.t SET n = n + 10"]).await?;
        for _ in 0..3 {
            bench.writer.query_drop("FLUSH BINARY LOGS").await?;
            bench.writer.query_drop("CREATE OR REPLACE TABLE d.other (a INT)").await?;
        }
        bench.settle_whole(counter).await.with_context(|| format!("clock {clock}"))?;
        ensure!(bench.rows("d.t").await? == before);
    }
    Ok(())
}

async fn writers_in_the_way(mut bench: Bench) -> Result<()> {
    run::run(&mut bench.writer, &TABLE).await?;
    let before = bench.rows("d.t").await?;
    let user = format!("shardline-{}", INCARNATION.0);
    let accounts = [
        format!("CREATE USER '{user}'@'localhost'"),
        format!("GRANT ALL ON d.* TO '{user}'@'localhost'"),
        "CREATE USER 'somebody'@'localhost'".to_owned(),
        "GRANT ALL ON d.* TO 'somebody'@'localhost'".to_owned(),
    ];
    for statement in accounts {
        bench.writer.query_drop(statement).await?;
    }
    let connect = async |user: &str| {
        let options = mysql_async::OptsBuilder::default()
            .socket(Some(bench.server.socket().display().to_string()))
            .user(Some(user.to_owned()));
        run::connect(options).await
    };
    let (mut ours, mut other) = (connect(&user).await?, connect("somebody").await?);
    bench.branch(1, &["UPDATE d.t SET n = n + 10"]).await?;
    // A proxy's writer on a row that never was is killed.
    run::run(&mut ours, &["BEGIN", "UPDATE d.t SET n = 99 WHERE id = 2"]).await?;
    let started = Instant::now();
    bench.settle_whole(1).await?;
    ensure!(started.elapsed().as_millis() < 900, "{:?}", started.elapsed());
    ensure!(ours.query_drop("SELECT 1").await.is_err(), "the writer is still there");
    ensure!(bench.rows("d.t").await? == before);
    // Anybody else's is waited for.
    bench.branch(2, &["UPDATE d.t SET n = n + 10"]).await?;
    run::run(&mut other, &["BEGIN", "SELECT * FROM d.t WHERE id = 2 FOR UPDATE"]).await?;
    ensure!(bench.proxy.settle(names(2), BRANCH).await == Settlement::Failed);
    ensure!(bench.rows("d.t").await? != before, "half undone");
    other.query_drop("ROLLBACK").await?;
    bench.settle_whole(2).await?;
    ensure!(bench.rows("d.t").await? == before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_writer_in_the_way_is_killed_on_mariadb() -> Result<()> {
    writers_in_the_way(Bench::mariadb().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_writer_in_the_way_is_killed_on_mysql() -> Result<()> {
    let Some(bench) = Bench::mysql().await? else { return Ok(()) };
    writers_in_the_way(bench).await
}

/// A log that is gone is no reason to guess.
#[tokio::test(flavor = "multi_thread")]
async fn a_purged_log_is_said() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    run::run(&mut bench.writer, &TABLE).await?;
    bench.branch(1, &["UPDATE d.t SET n = n + 10"]).await?;
    let changed = bench.rows("d.t").await?;
    bench.abort(1).await?;
    bench.writer.query_drop("RESET MASTER").await?;
    ensure!(bench.proxy.settle(names(1), BRANCH).await == Settlement::Stuck);
    let stuck = bench.proxy.stuck();
    ensure!(stuck.len() == 1 && stuck[0].reason.contains("purged"), "{stuck:?}");
    ensure!(bench.rows("d.t").await? == changed);
    bench.proxy.unstick(xid(1), BRANCH, "restore").await.expect_err("there is no image");
    let kept = bench.proxy.unstick(xid(1), BRANCH, "keep").await;
    ensure!(kept == Ok((0, 0)), "{kept:?}");
    bench.nothing_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_cannot_be_undone_are_refused_before_anything_is_written() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    let setup = [
        "CREATE TABLE d.good (a INT PRIMARY KEY)",
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
    run::run(&mut bench.writer, &setup).await?;
    for (table, words) in [
        ("nokey", "primary key"),
        ("engine", "ENGINE=InnoDB"),
        ("fires", "trg"),
        ("versions", "VERSIONING"),
        ("parent", "d.child"),
        ("kept", "d.keeper"),
        ("nowhere", "no such table"),
    ] {
        let found = bench.proxy.undoable(&bench.catalog, BRANCH, "d", table).await;
        ensure!(found.as_ref().is_err_and(|text| text.contains(words)), "{table}: {found:?}");
    }
    for table in ["good", "child", "keeper"] {
        for _ in 0..2 {
            let found = bench.proxy.undoable(&bench.catalog, BRANCH, "d", table).await;
            ensure!(found.is_ok(), "{table}: {found:?}");
        }
    }
    Ok(())
}
