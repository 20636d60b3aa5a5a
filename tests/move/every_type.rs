//! A column of every type, with values that strict sessions would refuse, computed and invisible columns, and
//! a primary key that does not tell cases apart.

use crate::{
    bench::{BIGINT, Bench, Case, PATIENCE},
    content,
    random::Random,
    table::Table,
};
use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable;
use shardline_binlog::Family;
use shardline_model::placement::Units;
use shardline_rebalancer::{Direction, verify::DifferenceKind};
use shardline_tests::sql;

const SESSION: &str = "SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'";

async fn every_type(family: Family) -> Result<()> {
    let Some(bench) = Bench::of(family, &[]).await? else { return Ok(()) };
    let (mut source, mut target) = bench.connect().await?;
    let mut random = Random::new(42);
    let mut table = Table::create(&mut source, family).await?;
    Table::create(&mut target, family).await?;
    source.query_drop(SESSION).await?;
    for _ in 0..40 {
        source.query_drop(table.insert(&mut random, 10)).await?;
    }
    if family == Family::Mysql {
        // A copy has a JSON's text alone; its parts' own types come by the stream.
        source.query_drop("UPDATE d.t SET jt = NULL").await?;
    }
    let case = Case {
        tables: vec![("t", "id")],
        key_type: BIGINT,
        units: Units::Slots(std::iter::once(0..9_000).collect()),
    };
    let mut mover = bench.mover(&case, "types", "driver")?;
    mover.prepare().await?;
    mover.start(Direction::Forward).await?;
    mover.copied().await?;
    mover.drain(PATIENCE).await?;
    content::same(&bench, &case).await.context("after the copy")?;
    for _ in 0..150 {
        let change = table.change(&mut random);
        match source.query_drop(&change).await {
            // The unique value is another row's.
            Err(error) if sql::error_number(&error) == Some(1062) => {}
            done => done.with_context(|| change)?,
        }
    }
    mover.drain(PATIENCE).await?;
    let rows = content::same(&bench, &case).await.context("after the stream")?;
    ensure!(rows > 100, "{rows} rows");
    let verified = mover.verify().await?;
    ensure!(verified.differences.is_empty() && verified.rows == rows as u64, "{verified:#?}");
    // One byte, behind everybody's back.
    let inside = content::inside(&case, "id");
    let row = format!("SELECT id, k FROM d.t WHERE {inside} AND LENGTH(b) > 3 ORDER BY id LIMIT 1");
    let row = sql::rows(&mut target, &row).await?.pop().context("a row")?;
    let change = format!(
        "UPDATE d.t SET b = INSERT(b, 2, 1, CHAR(ASCII(SUBSTRING(b, 2, 1)) ^ 1)) WHERE id = {} AND {inside} AND LENGTH(b) > 3 LIMIT 1",
        row[0]
    );
    target.query_drop(SESSION).await?;
    target.query_drop(change).await?;
    let verified = mover.verify().await?;
    ensure!(verified.differences.len() == 1, "{verified:#?}");
    let found = &verified.differences[0];
    ensure!(found.table == "d.t" && found.kind == DifferenceKind::Changed, "{found:?}");
    ensure!(found.key.contains(&format!("id={}", row[0])), "{found:?} for {row:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb() -> Result<()> {
    every_type(Family::Mariadb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mysql() -> Result<()> {
    every_type(Family::Mysql).await
}
