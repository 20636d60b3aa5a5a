//! What stops a job, and what it says then: each message names what to do, and that is done here.

use crate::world::{Kind, World};
use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable;
use shardline_model::{
    id::JobId,
    moves::{JobPhase, Until, Wish},
};
use shardline_tests::{ClusterConfig, sql, wait};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

async fn start() -> Result<World> {
    World::start(Kind::Hash, ClusterConfig { meta: 1, proxies: 1, ..ClusterConfig::default() })
        .await
}

/// Why a job has failed.
async fn failure(world: &World, job: JobId) -> Result<String> {
    wait::until("the job fails", PATIENCE, async || {
        let catalog = world.jobs.meta.catalog();
        let state = &catalog.jobs.get(&job).context("the job")?.state;
        ensure!(state.phase == JobPhase::Failed, "it is {}", state.phase);
        state.last_error.clone().context("it does not say why")
    })
    .await
}

/// What the message asks for: cancelled, and started again, which succeeds.
async fn cancel_and_start_again(world: &World, job: JobId) -> Result<()> {
    world.jobs.wish(job, Wish::Cancel).await?;
    world.jobs.try_again(job).await?;
    world.jobs.reaches(job, JobPhase::Cancelled).await?;
    world.check().await?;
    world.jobs.for_good(world.moves(&Kind::Hash.part())?).await?;
    world.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_stay_as_they_are_while_rows_move() -> Result<()> {
    let world = start().await?;
    let mut client = world.cluster.connect(0).await?;
    let part = world.moves(&Kind::Hash.part())?;
    let job = world.jobs.begin_until(part, Wish::GoOn(Until::Ready)).await?;
    world.jobs.reaches(job, JobPhase::Ready).await?;
    for ddl in [
        "ALTER TABLE d.entry ADD extra INT",
        "TRUNCATE TABLE d.account",
        "DROP TABLE d.entry",
        "CREATE INDEX notes ON d.entry (note)",
    ] {
        let refused = client.query_drop(ddl).await.err();
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        ensure!(refused.contains("move") || refused.contains("job"), "{ddl}: {refused:?}");
    }
    // Behind the proxies' backs.
    let mut source = world.cluster.shards[0].connect().await?;
    source.query_drop("ALTER TABLE d.entry ADD extra INT").await?;
    let why = failure(&world, job).await?;
    ensure!(why.contains("d.entry") && why.contains("cancel"), "{why}");
    source.query_drop("ALTER TABLE d.entry DROP extra").await?;
    cancel_and_start_again(&world, job).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_log_is_told() -> Result<()> {
    let world = start().await?;
    let part = world.moves(&Kind::Hash.part())?;
    let job = world.jobs.begin_until(part, Wish::GoOn(Until::Ready)).await?;
    world.jobs.reaches(job, JobPhase::Ready).await?;
    world.jobs.wish(job, Wish::Pause).await?;
    world.jobs.reaches(job, JobPhase::Paused).await?;
    let mut client = world.cluster.connect(0).await?;
    client.query_drop("UPDATE d.account SET v = v + 1 WHERE k < 80").await?;
    // A server that does not know yet that its reader is gone keeps the file.
    wait::until("the log is purged", PATIENCE, async || {
        let mut source = world.cluster.shards[0].connect().await?;
        let purge = "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY";
        sql::run(&mut source, &["FLUSH BINARY LOGS", purge]).await?;
        let files = sql::rows(&mut source, "SHOW BINARY LOGS").await?.len();
        ensure!(files == 1, "{files} files");
        Ok(())
    })
    .await?;
    world.jobs.wish(job, Wish::GoOn(Until::Ready)).await?;
    let why = failure(&world, job).await?;
    ensure!(why.contains("purged") && why.contains("binlog_expire_logs_seconds"), "{why}");
    cancel_and_start_again(&world, job).await
}
