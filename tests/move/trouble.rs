//! What a move cannot go on after, and how it says so.

use crate::{
    bench::{Bench, PATIENCE},
    content, kinds, writers,
};
use anyhow::{Result, bail, ensure};
use mysql_async::prelude::Queryable;
use shardline_rebalancer::{Direction, FlowState, MoveError, Mover, Throttle};
use shardline_tests::{sql, wait};
use std::time::Duration;

async fn failed(mover: &Mover) -> Result<MoveError> {
    wait::until("the move stops", PATIENCE, || async {
        match mover.state() {
            Some(FlowState::Failed(error)) => Ok(error),
            other => bail!("{other:?}"),
        }
    })
    .await
}

async fn streaming(bench: &Bench, id: &str) -> Result<Mover> {
    let (case, ..) = kinds::hash();
    let mut mover = bench.mover(&case, id, "driver")?;
    mover.prepare().await?;
    mover.start(Direction::Forward).await?;
    mover.copied().await?;
    mover.drain(PATIENCE).await?;
    Ok(mover)
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_cannot_be_followed() -> Result<()> {
    let bench = Bench::mariadb().await?;
    let (case, key, literal) = kinds::hash();
    writers::fill(&bench, key, literal).await?;
    let mut source = bench.source.connect().await?;
    let mover = streaming(&bench, "ddl").await?;
    source.query_drop("ALTER TABLE d.entry ADD extra INT").await?;
    let error = failed(&mover).await?;
    ensure!(matches!(&error, MoveError::Ddl { table, .. } if table == "d.entry"), "{error}");
    ensure!(error.to_string().contains("ADD extra"), "{error}");
    sql::run(&mut source, &["ALTER TABLE d.entry DROP extra"]).await?;
    let mover = streaming(&bench, "statement").await?;
    sql::run(
        &mut source,
        &[
            "SET SESSION binlog_format = STATEMENT",
            "UPDATE d.account SET amount = amount + 1 WHERE k = 1",
            "SET SESSION binlog_format = ROW",
        ],
    )
    .await?;
    let error = failed(&mover).await?;
    ensure!(
        matches!(&error, MoveError::Statement { table, .. } if table == "d.account"),
        "{error}"
    );
    drop(mover);
    // Nobody reads for a while, and the log is purged meanwhile.
    drop(streaming(&bench, "purged").await?);
    sql::run(&mut source, &["DELETE FROM d.entry WHERE k = 1", "FLUSH BINARY LOGS"]).await?;
    // A server that does not know yet that its reader is gone keeps the file.
    wait::until("the log is purged", PATIENCE, async || {
        let mut source = bench.source.connect().await?;
        sql::run(
            &mut source,
            &["FLUSH BINARY LOGS", "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY"],
        )
        .await?;
        let files = sql::rows(&mut source, "SHOW BINARY LOGS").await?.len();
        ensure!(files == 1, "{files} files");
        Ok(())
    })
    .await?;
    let mut mover = bench.mover(&case, "purged", "driver-2")?;
    mover.start(Direction::Forward).await?;
    let error = failed(&mover).await?;
    ensure!(matches!(error, MoveError::Purged { .. }), "{error}");
    ensure!(error.to_string().contains("binlog_expire_logs_seconds"), "{error}");
    mover.cancel().await?;
    let mut target = bench.target.connect().await?;
    ensure!(content::count(&mut target, &case).await? == 0, "the target has rows left");
    mover.forget().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_over_source_is_noticed() -> Result<()> {
    let bench = Bench::mariadb().await?;
    let (case, key, literal) = kinds::hash();
    writers::fill(&bench, key, literal).await?;
    drop(streaming(&bench, "m").await?);
    let other = Bench::mariadb().await?;
    writers::fill(&other, key, literal).await?;
    let mut spec = bench.spec(&case, "m", "driver-2");
    spec.source = crate::bench::endpoint(&other.source);
    let mut mover = Mover::new(spec, Default::default())?;
    mover.start(Direction::Forward).await?;
    let error = failed(&mover).await?;
    ensure!(matches!(error, MoveError::OtherServer { .. }), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_collide_or_are_too_large() -> Result<()> {
    let bench = Bench::mariadb().await?;
    let (mut case, ..) = kinds::hash();
    case.tables = vec![("s", "k")];
    let create = "CREATE TABLE d.s (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, k BIGINT NOT NULL, b LONGBLOB)";
    bench.both(&[create]).await?;
    let (mut source, mut target) = bench.connect().await?;
    for key in 1..200 {
        source
            .query_drop(format!("INSERT INTO d.s (id, k, b) VALUES ({key}, {key}, 'ours')"))
            .await?;
    }
    let inside = content::inside(&case, "k");
    let id = sql::value(&mut source, &format!("SELECT id FROM d.s WHERE {inside} LIMIT 1")).await?;
    let other =
        sql::value(&mut source, &format!("SELECT k FROM d.s WHERE NOT {inside} LIMIT 1")).await?;
    target.query_drop(format!("INSERT INTO d.s VALUES ({id}, {other}, 'theirs')")).await?;
    let mut mover = bench.mover(&case, "collides", "driver")?;
    mover.prepare().await?;
    mover.start(Direction::Forward).await?;
    let error = failed(&mover).await?;
    ensure!(matches!(&error, MoveError::Collision { rows, .. } if rows.contains(&id)), "{error}");
    let theirs = sql::value(&mut target, &format!("SELECT b FROM d.s WHERE id = {id}")).await?;
    ensure!(theirs == "theirs", "a row of other units was overwritten");
    mover.cancel().await?;
    sql::run(
        &mut target,
        &[&format!("DELETE FROM d.s WHERE id = {id}"), "SET GLOBAL max_allowed_packet = 1048576"],
    )
    .await?;
    let mut mover = bench.mover(&case, "large", "driver")?;
    mover.prepare().await?;
    mover.start(Direction::Forward).await?;
    mover.copied().await?;
    source.query_drop(format!("UPDATE d.s SET b = REPEAT('b', 500000) WHERE id = {id}")).await?;
    mover.drain(PATIENCE).await?;
    source.query_drop(format!("UPDATE d.s SET b = REPEAT('c', 2000000) WHERE id = {id}")).await?;
    let error = failed(&mover).await?;
    ensure!(matches!(&error, MoveError::RowTooLarge { table, .. } if table == "d.s"), "{error}");
    // With more room it goes on.
    target.query_drop("SET GLOBAL max_allowed_packet = 16777216").await?;
    mover.start(Direction::Forward).await?;
    mover.drain(PATIENCE).await?;
    content::same(&bench, &case).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_throttle_is_kept_and_changed() -> Result<()> {
    let bench = Bench::mariadb().await?;
    let (case, key, literal) = kinds::hash();
    writers::fill(&bench, key, literal).await?;
    let mut mover = bench.mover(&case, "m", "driver")?;
    mover.pace().set_throttle(Throttle { paused: true, ..Throttle::default() });
    mover.prepare().await?;
    mover.start(Direction::Forward).await?;
    mover.drain(PATIENCE).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    ensure!(mover.progress().rows_copied == 0, "{:?}", mover.progress());
    mover.pace().set_throttle(Throttle::default());
    mover.copied().await?;
    let progress = mover.progress();
    ensure!(progress.copied && progress.rows_copied > 1_000, "{progress:?}");
    ensure!(progress.lag_ms.is_some_and(|ms| ms < 5_000), "{progress:?}");
    Ok(())
}
