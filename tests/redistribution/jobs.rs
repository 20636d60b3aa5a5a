//! Jobs as people have them: begun, wished something of, waited for.

use anyhow::{Context, Result, bail, ensure};
use shardline_meta_client::MetaClient;
use shardline_model::{
    change::Change,
    id::JobId,
    moves::{JobKind, JobPhase, JobState, NewMove, Throttle, Until, Wish},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Long enough for a machine under load.
const LIMIT: Duration = Duration::from_secs(90);

/// The jobs of a cluster.
#[derive(Clone)]
pub(crate) struct Jobs {
    pub(crate) meta: Arc<MetaClient>,
    /// Whether a job that has failed is tried again, as a person would.
    pub(crate) retry: bool,
}

impl Jobs {
    /// A job that goes on until everything has changed its owner.
    pub(crate) async fn begin(&self, moves: Vec<NewMove>) -> Result<JobId> {
        self.begin_until(moves, Wish::GoOn(Until::Moved)).await
    }

    pub(crate) async fn begin_until(&self, moves: Vec<NewMove>, wish: Wish) -> Result<JobId> {
        let state = JobState {
            phase: JobPhase::Planned,
            wish,
            owner: None,
            throttle: Throttle::default(),
            last_error: None,
        };
        let (kind, summary) = (JobKind::Partial, format!("{} moves", moves.len()));
        let job = Change::CreateJob { kind, summary, created_unix_s: 0, state };
        let job = self.meta.propose(job).await?.job.context("a job")?;
        self.meta.propose(Change::BeginMoves { job, moves }).await?;
        Ok(job)
    }

    pub(crate) async fn wish(&self, id: JobId, wish: Wish) -> Result<()> {
        // The driver writes the job too, and the leader may just have died.
        for _ in 0..100 {
            let job = self.meta.catalog().jobs.get(&id).cloned().context("the job")?;
            let state = JobState { wish, ..job.state.clone() };
            if self.meta.propose(Change::SetJob { id, from: job.since, state }).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the job changes all the time")
    }

    /// A job that has failed goes on as it is wished.
    pub(crate) async fn try_again(&self, id: JobId) -> Result<()> {
        let job = self.meta.catalog().jobs.get(&id).cloned().context("the job")?;
        let state = JobState { phase: JobPhase::Planned, owner: None, ..job.state.clone() };
        // Another change of it comes first: its next failure is tried again.
        drop(self.meta.propose(Change::SetJob { id, from: job.since, state }).await);
        Ok(())
    }

    /// Waits for a phase; how long it took.
    pub(crate) async fn reaches(&self, id: JobId, phase: JobPhase) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let job = self.meta.catalog().jobs.get(&id).cloned().context("the job")?;
            if job.state.phase == phase {
                return Ok(began.elapsed());
            }
            if job.state.phase == JobPhase::Failed {
                ensure!(self.retry, "it failed: {:?}", job.state.last_error);
                println!("it failed and is tried again: {:?}", job.state.last_error);
                self.try_again(id).await?;
            }
            ensure!(began.elapsed() < LIMIT, "it is {}, not {phase}", job.state.phase);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// There, and back where it was.
    pub(crate) async fn there_and_back(&self, moves: Vec<NewMove>) -> Result<()> {
        let job = self.begin(moves).await?;
        let there = self.reaches(job, JobPhase::Watching).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.wish(job, Wish::RollBack).await?;
        let back = self.reaches(job, JobPhase::RolledBack).await?;
        println!("there in {there:?}, back in {back:?}");
        Ok(())
    }

    /// There for good.
    pub(crate) async fn for_good(&self, moves: Vec<NewMove>) -> Result<()> {
        let job = self.begin(moves).await?;
        let there = self.reaches(job, JobPhase::Watching).await?;
        self.wish(job, Wish::Finish).await?;
        let finished = self.reaches(job, JobPhase::Finished).await?;
        println!("there in {there:?}, done with in {finished:?}");
        Ok(())
    }
}
