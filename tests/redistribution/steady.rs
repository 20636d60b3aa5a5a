//! Nothing fails: no statement either, no answer is wrong, and nobody waits for long.

use crate::{
    client::{Clients, Weather},
    world::{Kind, World},
};
use anyhow::{Result, ensure};
use shardline_model::moves::{JobPhase, Until, Wish};
use shardline_tests::ClusterConfig;
use std::time::{Duration, Instant};

/// What the longest statement may take: a bound for a machine under any load. What is asked for is a
/// second, and what is seen is in the output.
const LONGEST_US: u64 = 4_000_000;

fn config() -> ClusterConfig {
    ClusterConfig { meta: 1, ..ClusterConfig::default() }
}

/// How long to go there and back, if longer than once.
fn nightly() -> Option<Duration> {
    let seconds = std::env::var("SHARDLINE_MOVES_SECONDS").ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn nobody_notices(kind: Kind) -> Result<()> {
    let world = World::start(kind, config()).await?;
    let clients = Clients::start(&world.cluster, Weather::Calm);
    let moved = moves(&world, kind, &clients).await;
    // What a client saw says more than what came of it.
    let seen = clients.finish().await?;
    moved?;
    println!("{kind:?}: {}", seen.text());
    let rows = world.check().await?;
    println!("{kind:?}: {rows:?}");
    ensure!(rows["s1"] == 0, "the emptied shard has rows");
    let longest = seen.took_us.last().copied().unwrap_or_default();
    ensure!(longest < LONGEST_US, "an operation took {longest} us");
    Ok(())
}

async fn moves(world: &World, kind: Kind, clients: &Clients) -> Result<()> {
    let part = world.moves(&kind.part())?;
    let until = Instant::now() + nightly().unwrap_or_default();
    loop {
        world.jobs.there_and_back(part.clone()).await?;
        if Instant::now() >= until || clients.ended() {
            break;
        }
    }
    world.jobs.for_good(part).await?;
    world.jobs.for_good(world.emptied(1, [2, 3])?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_go_there_and_back_and_for_good() -> Result<()> {
    nobody_notices(Kind::Hash).await
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_go_there_and_back_and_for_good() -> Result<()> {
    nobody_notices(Kind::Range).await
}

#[tokio::test(flavor = "multi_thread")]
async fn values_go_there_and_back_and_for_good() -> Result<()> {
    nobody_notices(Kind::List).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_paused_goes_on_and_is_cancelled() -> Result<()> {
    let world = World::start(Kind::Hash, config()).await?;
    let clients = Clients::start(&world.cluster, Weather::Calm);
    let part = world.moves(&Kind::Hash.part())?;
    let job = world.jobs.begin_until(part.clone(), Wish::GoOn(Until::Ready)).await?;
    world.jobs.reaches(job, JobPhase::Ready).await?;
    world.jobs.wish(job, Wish::Pause).await?;
    world.jobs.reaches(job, JobPhase::Paused).await?;
    // What is written meanwhile comes later.
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.jobs.wish(job, Wish::GoOn(Until::Ready)).await?;
    world.jobs.reaches(job, JobPhase::Ready).await?;
    // Nothing else may move these.
    let again = world.jobs.begin_until(part.clone(), Wish::GoOn(Until::Ready)).await;
    let refused = again.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(refused.contains("move"), "it says {refused:?}");
    world.jobs.wish(job, Wish::Cancel).await?;
    world.jobs.reaches(job, JobPhase::Cancelled).await?;
    let left = world.jobs.meta.catalog().moves.len();
    ensure!(left == 0, "{left} moves are left");
    println!("{}", clients.finish().await?.text());
    world.check().await?;
    Ok(())
}

/// What the others are held against: the same clients while nothing moves.
#[tokio::test(flavor = "multi_thread")]
async fn the_clients_alone() -> Result<()> {
    for kind in [Kind::Hash, Kind::Range] {
        let world = World::start(kind, config()).await?;
        let clients = Clients::start(&world.cluster, Weather::Calm);
        tokio::time::sleep(Duration::from_secs(4)).await;
        println!("{kind:?}: {}", clients.finish().await?.text());
        world.check().await?;
    }
    Ok(())
}
