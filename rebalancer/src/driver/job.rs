//! One job: a task for each of its moves, and its phase in the catalog.

use super::{Driver, transfer::TransferRun};
use crate::{Pace, fault::point, pace, workflow};
use shardline_model::{
    change::{Change, JOB_TEXT_BYTES_MAX},
    id::{Incarnation, JobId, MoveId},
    moves::{Job, JobPhase, JobState},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// Between two looks at the moves of a job.
const PAUSE: Duration = Duration::from_millis(100);

/// One job in the hands of this process.
pub(super) struct JobRun {
    driver: Arc<Driver>,
    id: JobId,
    me: Incarnation,
    moves: BTreeMap<MoveId, Task>,
    /// All its copies keep to it together.
    pace: Arc<Pace>,
}

/// A move's task; it ends with this.
struct Task(JoinHandle<Result<(), String>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl JobRun {
    pub(super) fn new(driver: Arc<Driver>, id: JobId, me: Incarnation) -> Self {
        Self { driver, id, me, moves: BTreeMap::new(), pace: Arc::default() }
    }

    /// Until the job is over, has failed, or is somebody else's.
    pub(super) async fn run(mut self) -> JobId {
        if point("job.adopted").await.is_err() {
            return self.id;
        }
        while let Some(job) = self.mine() {
            if job.state.phase == JobPhase::Failed {
                break;
            }
            self.pace.set_throttle(pace::throttle(&job.state.throttle, pace::minute_of_day()));
            self.begin_moves();
            let failed = self.failed().await;
            if !self.tell(&job, failed).await {
                tokio::time::sleep(PAUSE).await;
            }
            if job.state.phase.is_over() {
                break;
            }
        }
        for id in self.moves.keys() {
            self.driver.status.lock().remove(id);
        }
        self.id
    }

    /// The job, while it is this process's and its lease lasts.
    fn mine(&self) -> Option<Arc<Job>> {
        let job = self.driver.meta.catalog().jobs.get(&self.id).cloned()?;
        let serves = (self.driver.incarnation)() == Some(self.me);
        (serves && job.state.owner == Some(self.me)).then_some(job)
    }

    /// A task for each move that is there.
    fn begin_moves(&mut self) {
        let catalog = self.driver.meta.catalog();
        for one in catalog.transfers_of(self.id) {
            let (driver, pace) = (&self.driver, &self.pace);
            self.moves.entry(one.id).or_insert_with(|| {
                let names = (self.id, one.id);
                let run = TransferRun::drive(driver.clone(), names, self.me, pace.clone());
                Task(tokio::spawn(run))
            });
        }
    }

    /// Why a move cannot go on, if one cannot.
    async fn failed(&mut self) -> Option<String> {
        let ended = self.moves.iter().find(|(_, task)| task.0.is_finished()).map(|(id, _)| *id)?;
        let mut task = self.moves.remove(&ended)?;
        self.driver.status.lock().remove(&ended);
        match (&mut task.0).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("move {ended}: {error}")),
            Err(error) => Some(format!("move {ended}: its driver has ended: {error}")),
        }
    }

    /// Writes the phase into the catalog, where it has changed; true when it was written.
    async fn tell(&self, job: &Job, failed: Option<String>) -> bool {
        let catalog = self.driver.meta.catalog();
        let left = catalog.transfers_of(self.id).count();
        let steps: Vec<_> = {
            let status = self.driver.status.lock();
            let known = |id| status.get(id).map(|one| (one.state, one.step));
            self.moves.keys().filter_map(known).collect()
        };
        let mut state = job.state.clone();
        match failed {
            Some(mut error) => {
                let cut = error.floor_char_boundary(JOB_TEXT_BYTES_MAX);
                error.truncate(cut);
                tracing::error!(job = %self.id, %error, "a job has failed");
                state = JobState { phase: JobPhase::Failed, last_error: Some(error), ..state };
            }
            // Not every move has said yet what it does.
            None if left > 0 && steps.len() < left => {}
            None => {
                state.phase = workflow::phase(job.state.wish, if left == 0 { &[] } else { &steps })
            }
        }
        if state == job.state {
            return false;
        }
        let change = Change::SetJob { id: self.id, from: job.since, state };
        match self.driver.change(change).await {
            Ok(done) => done.is_some(),
            Err(error) => {
                tracing::warn!(job = %self.id, %error, "a job's phase cannot be written");
                false
            }
        }
    }
}
