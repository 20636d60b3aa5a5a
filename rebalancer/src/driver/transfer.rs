//! One transfer, which is a move of units or a table that is spread anew: one mover for each pair of shards
//! that rows go between, all in step. What is to be done is decided for each pair by
//! [`crate::workflow`], and put together here; the owners of all rows change in one epoch.

use super::{
    Driver, MoveStatus,
    pair::{self, Around, Pair},
    rows,
    together::{self, Together},
};
use crate::{
    MoveError, Pace, Progress, Side,
    state::Direction,
    workflow::{self, Step},
};
use futures_util::future::{join_all, try_join_all};
use shardline_model::{
    catalog::Catalog,
    change::Change,
    id::{Epoch, Incarnation, JobId, MoveId},
    moves::{MoveState, Wish},
    reshard::Transfer,
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two looks at a transfer that waits.
const PAUSE: Duration = Duration::from_millis(50);
/// After an attempt that was given up, the first pause; each one doubles it up to the longest.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Errors of servers in a row that are borne, and the pause after each.
const ERRORS_MAX: u32 = 60;
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// One transfer in the hands of this process.
pub(super) struct TransferRun {
    pub(super) driver: Arc<Driver>,
    job: JobId,
    pub(super) id: MoveId,
    pub(super) pairs: Vec<Pair>,
    acknowledged: Option<Epoch>,
    /// Before this no attempt to change the owners is made.
    not_before: Instant,
    attempts: u32,
    pub(super) pause: Option<Duration>,
    last_error: Option<String>,
    errors: u32,
}

impl TransferRun {
    /// Until the transfer is gone from the catalog.
    ///
    /// # Errors
    /// What no further attempt can help with.
    pub(super) async fn drive(
        driver: Arc<Driver>,
        (job, id): (JobId, MoveId),
        me: Incarnation,
        pace: Arc<Pace>,
    ) -> Result<(), String> {
        let Some(catalog) = begun(&driver, id).await else { return Ok(()) };
        let pairs = rows::pairs(&driver, &catalog, id, me, &pace)?;
        drop(catalog);
        let run = TransferRun {
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

    /// The transfer and what is wanted of it, while it is there.
    fn found(&self) -> Option<(Transfer, Wish)> {
        let catalog = self.driver.meta.catalog();
        let one = catalog.transfer(self.id)?;
        Some((one, catalog.jobs.get(&self.job)?.state.wish))
    }

    /// What cannot be tried again ends the job; the rest is tried for a while.
    async fn bear(&mut self, error: MoveError) -> Result<(), String> {
        self.errors += 1;
        if !error.is_retryable() || self.errors > ERRORS_MAX {
            return Err(error.to_string());
        }
        tracing::warn!(transfer = %self.id, %error, "a step of a transfer is tried again");
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
        self.driver.status.lock().insert(self.id, status);
    }

    /// What each pair needs next, and what that is for all.
    async fn look(
        &mut self,
        one: &Transfer,
        wish: Wish,
    ) -> Result<(Vec<Step>, Together), MoveError> {
        if self.acknowledged < Some(one.since) && self.driver.is_acknowledged(one.since).await {
            self.acknowledged = Some(one.since);
        }
        if self.driver.to_verify.lock().remove(&self.id) {
            self.pairs.iter_mut().for_each(Pair::forget_that_it_was_verified);
        }
        let around = Around {
            acknowledged: self.acknowledged >= Some(one.since),
            backs_off: Instant::now() < self.not_before,
        };
        let looks = self.pairs.iter_mut().map(|pair| pair.view(one, around));
        let mut views = try_join_all(looks).await?;
        if views.is_empty() {
            views.push(pair::nothing_to_carry(one, around));
        }
        let steps: Vec<Step> = views.iter().map(|view| workflow::next(wish, view)).collect();
        let together = together::of(one.state, &steps);
        Ok((steps, together))
    }

    async fn perform(
        &mut self,
        one: &Transfer,
        wish: Wish,
        steps: &[Step],
        together: Together,
    ) -> Result<(), MoveError> {
        let all = match together {
            Together::Apart => return self.apart(wish, steps).await,
            Together::All(step) => step,
        };
        match all {
            Step::Wait(_) | Step::Rest => self.rest(PAUSE).await,
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
        let (driver, id, job) = (&self.driver, self.id, self.job);
        let other_wish = || async move {
            let mut epochs = driver.meta.subscribe();
            loop {
                let catalog = driver.meta.catalog();
                let wanted = catalog.jobs.get(&job).map(|job| job.state.wish);
                if wanted != Some(wish) || catalog.transfer(id).is_none() {
                    return;
                }
                drop(catalog);
                if epochs.changed().await.is_err() {
                    return;
                }
            }
        };
        let pairs = self.pairs.iter_mut().zip(steps);
        join_all(pairs.map(|(pair, step)| pair.perform(*step, other_wish())))
            .await
            .into_iter()
            .collect()
    }

    async fn attempt(&mut self, one: &Transfer, direction: Direction) {
        let cut = self.cut_over(one, direction).await;
        self.pairs.iter_mut().for_each(Pair::forget_what_was_seen);
        match cut {
            Ok(()) => {
                self.attempts = 0;
                self.last_error = None;
            }
            Err(reason) => {
                self.attempts += 1;
                let longer = BACK_OFF * 2_u32.saturating_pow(self.attempts.min(8) - 1);
                self.not_before = Instant::now() + longer.min(BACK_OFF_MAX);
                tracing::info!(transfer = %self.id, reason, "a change of owners is tried again later");
                self.last_error = Some(reason);
            }
        }
    }

    /// Waits, or until the catalog says something new.
    async fn rest(&self, pause: Duration) {
        let mut epochs = self.driver.meta.subscribe();
        let _ = tokio::time::timeout(pause, epochs.changed()).await;
    }

    /// A change that somebody else makes impossible is no failure: the next look says what is.
    async fn set(&self, one: &Transfer, to: Option<MoveState>) {
        let change = Change::SetMove { id: self.id, from: (one.state, one.since), to };
        if let Err(error) = self.driver.change(change).await {
            tracing::warn!(transfer = %self.id, %error, "a step of a transfer is not in the catalog");
            self.rest(ERROR_PAUSE).await;
        }
    }

    /// Takes away what the shards hold and do not own. Nobody may read by a snapshot of an owner from
    /// before it was one any more.
    async fn clear(&mut self, one: &Transfer, side: Side) -> Result<(), MoveError> {
        if one.owned_since > Epoch(0) {
            let mut seen = BTreeSet::new();
            for pair in &self.pairs {
                for (side, shard) in [(Side::Source, pair.source), (Side::Target, pair.target)] {
                    if one.owners.contains(&shard) && seen.insert(shard) {
                        pair.mover.outlived(side).await?;
                    }
                }
            }
        }
        try_join_all(self.pairs.iter_mut().map(|pair| pair.clear(side))).await?;
        self.set(one, None).await;
        Ok(())
    }
}

/// The catalog that has the transfer, as soon as no schema change that began before it can still change its
/// tables; None when it is gone.
async fn begun(driver: &Driver, id: MoveId) -> Option<Arc<Catalog>> {
    loop {
        let catalog = driver.meta.catalog();
        let one = catalog.transfer(id)?;
        if one.state != MoveState::Incoming {
            return Some(catalog);
        }
        // While it is waited for, nothing here keeps an old catalog.
        drop(catalog);
        if driver.is_acknowledged(one.since).await {
            let catalog = driver.meta.catalog();
            return catalog.transfer(id).is_some().then_some(catalog);
        }
        tokio::time::sleep(PAUSE).await;
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
