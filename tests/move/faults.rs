//! Drivers that end anywhere, failures at every named point, servers that are killed: nothing is lost, and
//! nothing is twice.

use crate::{
    bench::{Bench, PATIENCE},
    content, kinds,
    random::Random,
    writers::{self, Writers},
};
use anyhow::{Context, Result, ensure};
use shardline_rebalancer::{Direction, FlowState, MoveError, fault};
use std::time::Duration;

/// Every point of a flow, some of them several times.
const FAULTS: &str = "copy.marked=error@2,copy.read=error@3,lane.begin=error@9,lane.commit=error@14,\
    lane.committed=error@22,state.save=error@4,stream.transaction=error@40,lane.commit=error@60,\
    lane.committed=error@90,stream.transaction=error@200";

#[tokio::test(flavor = "multi_thread")]
async fn drivers_end_and_steps_fail() -> Result<()> {
    let bench = Bench::mariadb().await?;
    let (case, key, literal) = kinds::hash();
    writers::fill(&bench, key, literal).await?;
    let mut random = Random::new(3);
    let writers = Writers::start(bench.source.options(), 3, literal);
    bench.mover(&case, "m", "first")?.prepare().await?;
    for driver in 0..8 {
        let mut mover = bench.mover(&case, "m", &format!("driver-{driver}"))?;
        mover.start(Direction::Forward).await?;
        tokio::time::sleep(Duration::from_millis(20 + random.below(250))).await;
    }
    fault::set(FAULTS).map_err(anyhow::Error::msg)?;
    let mut mover = bench.mover(&case, "m", "last")?;
    mover.start(Direction::Forward).await?;
    mover.copied().await?;
    mover.drain(PATIENCE).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    fault::set("").map_err(anyhow::Error::msg)?;
    writers.stop().await?;
    mover.drain(PATIENCE).await?;
    ensure!(mover.progress().restarts >= 3, "{:?}", mover.progress());
    content::same(&bench, &case).await?;
    ensure!(mover.verify().await?.differences.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_killed() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    let (case, key, literal) = kinds::hash();
    writers::fill(&bench, key, literal).await?;
    let mut mover = bench.mover(&case, "m", "driver")?;
    mover.prepare().await?;
    mover.start(Direction::Forward).await?;
    let writers = Writers::start(bench.source.options(), 2, literal);
    tokio::time::sleep(Duration::from_millis(150)).await;
    bench.target.kill().await?;
    bench.target.restart().await?;
    mover.copied().await?;
    writers.stop().await?;
    bench.source.kill().await?;
    bench.source.restart().await?;
    let writers = Writers::start(bench.source.options(), 2, literal);
    tokio::time::sleep(Duration::from_millis(300)).await;
    writers.stop().await?;
    mover.drain(PATIENCE).await?;
    ensure!(mover.progress().restarts >= 2, "{:?}", mover.progress());
    content::same(&bench, &case).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_driver_is_harmless() -> Result<()> {
    let bench = Bench::mariadb().await?;
    let (case, key, literal) = kinds::hash();
    writers::fill(&bench, key, literal).await?;
    let mut old = bench.mover(&case, "m", "old")?;
    old.prepare().await?;
    old.start(Direction::Forward).await?;
    old.copied().await?;
    let mut new = bench.mover(&case, "m", "new")?;
    new.start(Direction::Forward).await?;
    let writers = Writers::start(bench.source.options(), 2, literal);
    let state = shardline_tests::wait::until("the old driver stops", PATIENCE, || async {
        match old.state() {
            Some(FlowState::Failed(error)) => Ok(error),
            other => anyhow::bail!("{other:?}"),
        }
    })
    .await?;
    ensure!(matches!(state, MoveError::NotOwner { .. }), "{state}");
    writers.stop().await?;
    new.drain(PATIENCE).await.context("the new driver goes on")?;
    content::same(&bench, &case).await?;
    Ok(())
}
