//! Tables that are spread anew: one mover for each pair of shards that rows go between, all in step. What is
//! to be done is decided as for a single move, for each pair, and put together here; the owners of all
//! rows change in one epoch.

mod cutover;
mod pairs;
mod together;

use crate::{
    MoveError, Progress, Side,
    driver::{Driver, MoveStatus},
    fault::point,
    preflight::Severity,
    state::Direction,
    workflow::{self, Step},
};
use futures_util::future::{join_all, try_join_all};
use pairs::Pair;
use shardline_model::{
    change::Change,
    id::{Epoch, Incarnation, JobId, MoveId},
    moves::{MoveState, Wish},
    reshard::Reshard,
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use together::Together;

/// Between two looks at a table that waits.
const PAUSE: Duration = Duration::from_millis(50);
/// After an attempt that was given up, the first pause; each one doubles it up to the longest.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Errors of servers in a row that are borne, and the pause after each.
const ERRORS_MAX: u32 = 60;
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// One table in the hands of this process.
pub(crate) struct FullRun {
    driver: Arc<Driver>,
    job: JobId,
    id: MoveId,
    pairs: Vec<Pair>,
    acknowledged: Option<Epoch>,
    /// Before this no attempt to change the owners is made.
    not_before: Instant,
    attempts: u32,
    pause: Option<Duration>,
    last_error: Option<String>,
    errors: u32,
}

impl FullRun {
    /// Until the table rests again.
    ///
    /// # Errors
    /// What no further attempt can help with.
    pub(crate) async fn drive(
        driver: Arc<Driver>,
        job: JobId,
        id: MoveId,
        me: Incarnation,
    ) -> Result<(), String> {
        let catalog = driver.meta().catalog();
        let Some(one) = catalog.reshards.get(&id).cloned() else { return Ok(()) };
        let pairs = pairs::of(&driver, &catalog, &one, me)?;
        drop(catalog);
        let run = FullRun {
            driver,
            job,
            id,
            pairs,
            acknowledged: None,
            not_before: Instant::now(),
            attempts: 0,
            pause: None,
            last_error: None,
            errors: 0,
        };
        run.run().await
    }

    async fn run(mut self) -> Result<(), String> {
        while let Some((one, wish)) = self.found() {
            let (steps, together) = match self.look(&one, wish).await {
                Ok(found) => found,
                Err(error) => {
                    self.bear(error).await?;
                    continue;
                }
            };
            self.publish(one.state, together.shown(&steps));
            match self.perform(&one, wish, &steps, together).await {
                Ok(()) => self.errors = 0,
                Err(error) => self.bear(error).await?,
            }
        }
        for pair in &mut self.pairs {
            pair.mover.stop().await;
        }
        Ok(())
    }

    /// The table and what is wanted of it, while it is on its way.
    fn found(&self) -> Option<(Arc<Reshard>, Wish)> {
        let catalog = self.driver.meta().catalog();
        let one = catalog.reshards.get(&self.id).cloned()?;
        Some((one, catalog.jobs.get(&self.job)?.state.wish))
    }

    /// What cannot be tried again ends the job; the rest is tried for a while.
    async fn bear(&mut self, error: MoveError) -> Result<(), String> {
        self.errors += 1;
        if !error.is_retryable() || self.errors > ERRORS_MAX {
            return Err(error.to_string());
        }
        tracing::warn!(table = %self.id, %error, "a step of a table that is spread anew is tried again");
        self.last_error = Some(error.to_string());
        tokio::time::sleep(ERROR_PAUSE).await;
        Ok(())
    }

    fn publish(&self, state: MoveState, step: Step) {
        let mut progress = Progress { copied: true, lag_ms: Some(0), ..Progress::default() };
        for pair in &self.pairs {
            add(&mut progress, pair.mover.progress());
        }
        let status = MoveStatus {
            state,
            step,
            progress,
            pause: self.pause,
            attempts: self.attempts,
            last_error: self.last_error.clone(),
        };
        self.driver.publish(self.id, status);
    }

    /// What each pair needs next, and what that is for all.
    async fn look(
        &mut self,
        one: &Reshard,
        wish: Wish,
    ) -> Result<(Vec<Step>, Together), MoveError> {
        if self.acknowledged < Some(one.since) && self.driver.is_acknowledged(one.since).await {
            self.acknowledged = Some(one.since);
        }
        let acknowledged = self.acknowledged >= Some(one.since);
        let backs_off = Instant::now() < self.not_before;
        let looks = self.pairs.iter_mut().map(|pair| pair.view(one, acknowledged, backs_off));
        let mut views = try_join_all(looks).await?;
        if views.is_empty() {
            views.push(pairs::nothing_to_carry(one, acknowledged, backs_off));
        }
        let steps: Vec<Step> = views.iter().map(|view| workflow::next(wish, view)).collect();
        let together = together::of(one.state, &steps);
        Ok((steps, together))
    }

    async fn perform(
        &mut self,
        one: &Reshard,
        wish: Wish,
        steps: &[Step],
        together: Together,
    ) -> Result<(), MoveError> {
        let all = match together {
            Together::Apart => return self.apart(wish, steps).await,
            Together::All(step) => step,
        };
        match all {
            Step::Wait(_) | Step::Rest => self.rest().await,
            Step::CutOver(direction) => self.attempt(one, direction).await,
            Step::Set(to) => self.set(one, to).await,
            Step::Clear(side) => self.clear(one, side).await?,
            // They are done apart.
            Step::Check | Step::Start(_) | Step::Stop | Step::Verify | Step::Unrecord(_) => {}
        }
        Ok(())
    }

    /// What pairs do by themselves, all at once.
    async fn apart(&mut self, wish: Wish, steps: &[Step]) -> Result<(), MoveError> {
        let (driver, id, job) = (self.driver.clone(), self.id, self.job);
        let wanted = move || {
            let catalog = driver.meta().catalog();
            let here = catalog.reshards.contains_key(&id);
            let now = catalog.jobs.get(&job).map(|job| job.state.wish);
            here && now == Some(wish)
        };
        let meta = self.driver.meta().clone();
        let other_wish = async move {
            let mut epochs = meta.subscribe();
            while wanted() && epochs.changed().await.is_ok() {}
        };
        let work = self.pairs.iter_mut().zip(steps).map(|(pair, step)| pair.perform(*step));
        tokio::select! {
            done = join_all(work) => done.into_iter().collect(),
            // Whatever is under way can be begun again.
            () = other_wish => Ok(()),
        }
    }

    async fn attempt(&mut self, one: &Reshard, direction: Direction) {
        let cut = self.cut_over(one, direction).await;
        for pair in &mut self.pairs {
            pair.forget_what_was_seen();
        }
        match cut {
            Ok(()) => {
                self.attempts = 0;
                self.last_error = None;
            }
            Err(reason) => {
                self.attempts += 1;
                let longer = BACK_OFF * 2_u32.saturating_pow(self.attempts.min(8) - 1);
                self.not_before = Instant::now() + longer.min(BACK_OFF_MAX);
                tracing::info!(table = %self.id, reason, "a change of owners is tried again later");
                self.last_error = Some(reason);
            }
        }
    }

    /// Waits, or until the catalog says something new.
    async fn rest(&self) {
        let mut epochs = self.driver.meta().subscribe();
        let _ = tokio::time::timeout(PAUSE, epochs.changed()).await;
    }

    /// A change that somebody else makes impossible is no failure: the next look says what is.
    async fn set(&self, one: &Reshard, to: Option<MoveState>) {
        let change = Change::SetMove { id: self.id, from: (one.state, one.since), to };
        if let Err(error) = self.driver.change(change).await {
            tracing::warn!(table = %self.id, %error, "a step is not in the catalog");
            tokio::time::sleep(ERROR_PAUSE).await;
        }
    }

    /// Takes away what the shards hold and do not own. Nobody may read by a snapshot of before the last
    /// change of owners any more.
    async fn clear(&mut self, one: &Reshard, side: Side) -> Result<(), MoveError> {
        if one.owned_since > Epoch(0) {
            let mut seen = BTreeSet::new();
            for pair in &self.pairs {
                for (side, shard) in [(Side::Source, pair.source), (Side::Target, pair.target)] {
                    if seen.insert(shard) {
                        pair.mover.outlived(side).await?;
                    }
                }
            }
        }
        let purges = self.pairs.iter_mut().map(|pair| async {
            pair.mover.purge(side).await?;
            point("move.purged").await?;
            pair.mover.forget().await?;
            point("move.forgotten").await
        });
        try_join_all(purges).await?;
        self.set(one, None).await;
        Ok(())
    }
}

impl Pair {
    /// What a pair does by itself.
    async fn perform(&mut self, step: Step) -> Result<(), MoveError> {
        match step {
            Step::Check => self.check().await,
            Step::Start(direction) => {
                self.forget_what_was_seen();
                self.mover.start(direction).await
            }
            Step::Stop => {
                self.mover.stop().await;
                Ok(())
            }
            Step::Verify => self.verify().await,
            Step::Unrecord(direction) => {
                self.forget_what_was_seen();
                self.mover.unrecord_switch(direction).await
            }
            // The others are not so far.
            Step::Wait(_) | Step::Rest | Step::CutOver(_) | Step::Set(_) | Step::Clear(_) => Ok(()),
        }
    }

    /// Looks at servers and the table: since every proxy knows of it no definition changes any more.
    async fn check(&mut self) -> Result<(), MoveError> {
        if !self.mover.is_prepared().await? {
            let findings = self.mover.preflight().await?;
            let blocking: Vec<String> = findings
                .iter()
                .filter(|finding| finding.severity == Severity::Blocking)
                .map(ToString::to_string)
                .collect();
            if !blocking.is_empty() {
                let (id, reason) = (self.name.clone(), blocking.join("; "));
                return Err(MoveError::Step { id, step: "begin", reason });
            }
            self.mover.prepare().await?;
            point("move.prepared").await?;
        }
        self.checked = true;
        Ok(())
    }

    async fn verify(&mut self) -> Result<(), MoveError> {
        let verified = self.mover.verify().await?;
        if let Some(difference) = verified.differences.first() {
            let reason = format!(
                "both sides differ in {} rows, the first is {difference}; cancel the job, see who writes \
                 there around the proxies, and start it again",
                verified.differences.len()
            );
            return Err(MoveError::Step { id: self.name.clone(), step: "be verified", reason });
        }
        self.verified = true;
        Ok(())
    }
}

/// Adds a pair's progress to that of the others: how far all are is how far the last is.
fn add(all: &mut Progress, one: Progress) {
    all.rows_copied += one.rows_copied;
    all.bytes_copied += one.bytes_copied;
    all.rows_estimated += one.rows_estimated;
    all.copied &= one.copied;
    all.rows_per_second += one.rows_per_second;
    all.bytes_per_second += one.bytes_per_second;
    all.eta_seconds = all.eta_seconds.max(one.eta_seconds);
    all.rows_streamed += one.rows_streamed;
    all.lag_ms = all.lag_ms.zip(one.lag_ms).map(|(all, one)| all.max(one));
    all.lag_bytes += one.lag_bytes;
    all.restarts += one.restarts;
    if all.waits_for.is_none() {
        all.waits_for = one.waits_for;
    }
}
