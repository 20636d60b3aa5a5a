//! Jobs that the cluster drives by itself: units go to another shard, back, and for good, while clients
//! write and check every answer; and somebody else goes on when the driver dies.

use super::{
    Bench,
    holds::{Clients, ROWS, slots, start},
};
use anyhow::{Context, Result, bail, ensure};
use shardline_model::{
    change::Change,
    id::{JobId, ShardId},
    moves::{JobKind, JobPhase, JobState, NewMove, Throttle, Until, Wish},
};
use shardline_tests::{rows, sql};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Long enough for a machine under load.
const LIMIT: Duration = Duration::from_secs(60);

/// A job that moves the slots from the first shard to the third.
async fn begin(bench: &Bench, wish: Wish) -> Result<JobId> {
    let state = JobState {
        phase: JobPhase::Planned,
        wish,
        owner: None,
        throttle: Throttle::default(),
        last_error: None,
    };
    let (kind, summary) = (JobKind::Partial, "3,000 slots from s1 to s3".to_owned());
    let job = Change::CreateJob { kind, summary, created_unix_s: 0, state };
    let job = bench.meta.propose(job).await?.job.context("a job")?;
    let group = bench.group("h")?.id;
    let new = NewMove { group, units: slots(), from: ShardId(1), to: ShardId(3) };
    bench.meta.propose(Change::BeginMoves { job, moves: vec![new] }).await?;
    Ok(job)
}

async fn wish(bench: &Bench, id: JobId, wish: Wish) -> Result<()> {
    // The driver writes the job too.
    for _ in 0..20 {
        let job = bench.meta.catalog().jobs.get(&id).cloned().context("the job")?;
        let state = JobState { wish, ..job.state.clone() };
        if bench.meta.propose(Change::SetJob { id, from: job.since, state }).await.is_ok() {
            return Ok(());
        }
    }
    bail!("the job changes all the time")
}

async fn reaches(bench: &Bench, id: JobId, phase: JobPhase) -> Result<()> {
    let began = Instant::now();
    loop {
        let job = bench.meta.catalog().jobs.get(&id).cloned().context("the job")?;
        if job.state.phase == phase {
            println!("{phase} after {:?}", began.elapsed());
            return Ok(());
        }
        ensure!(job.state.phase != JobPhase::Failed, "it failed: {:?}", job.state.last_error);
        ensure!(began.elapsed() < LIMIT, "it is {}, not {phase}", job.state.phase);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each row is on its owner and nowhere else.
async fn check(bench: &Bench) -> Result<()> {
    let catalog = bench.meta.catalog();
    let mut shards = BTreeMap::new();
    for shard in catalog.shards.values() {
        shards.insert(shard.name.clone(), bench.shard(shard.id).await?);
    }
    let found = rows::check(&catalog, &mut shards, "d", "h").await?;
    ensure!(found.total() == ROWS, "{} rows", found.total());
    Ok(())
}

async fn sum_is(bench: &Bench, increments: u64) -> Result<()> {
    let mut client = bench.cluster.connect(1).await?;
    let sum = sql::value(&mut client, "SELECT SUM(v) FROM d.h").await?;
    ensure!(sum == increments.to_string(), "{sum} is stored, {increments} were answered");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_go_there_and_back_and_there_for_good() -> Result<()> {
    let bench = start().await?;
    let clients = Clients::start(&bench);
    let job = begin(&bench, Wish::GoOn(Until::Moved)).await?;
    reaches(&bench, job, JobPhase::Watching).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    wish(&bench, job, Wish::RollBack).await?;
    reaches(&bench, job, JobPhase::RolledBack).await?;
    let again = begin(&bench, Wish::GoOn(Until::Moved)).await?;
    reaches(&bench, again, JobPhase::Watching).await?;
    wish(&bench, again, Wish::Finish).await?;
    reaches(&bench, again, JobPhase::Finished).await?;
    let (increments, longest) = clients.finish().await?;
    ensure!(longest < Duration::from_secs(2), "a statement took {longest:?}");
    check(&bench).await?;
    sum_is(&bench, increments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_cancelled_before_anything_has_changed_its_owner() -> Result<()> {
    let bench = start().await?;
    let job = begin(&bench, Wish::GoOn(Until::Ready)).await?;
    reaches(&bench, job, JobPhase::Ready).await?;
    wish(&bench, job, Wish::Cancel).await?;
    reaches(&bench, job, JobPhase::Cancelled).await?;
    check(&bench).await
}
