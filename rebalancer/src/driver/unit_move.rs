//! One move: looks at the catalog, at the servers and at its flow, and does what the workflow says.

use super::{Driver, MoveStatus};
use crate::{
    FlowState, MoveError, MoveSpec, Mover, Switches, TableSpec,
    fault::point,
    pace,
    preflight::Severity,
    workflow::{self, CALM, FlowView, LAG_MAX, Step, View},
};
use shardline_model::{
    catalog::Catalog,
    change::Change,
    id::{Epoch, Incarnation, JobId, MoveId},
    moves::{MoveState, UnitMove, Wish},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two looks at a move that waits.
const PAUSE: Duration = Duration::from_millis(50);
/// After an attempt that was given up, the first pause; each one doubles it up to the longest.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Errors of servers in a row that are borne, and the pause after each.
const ERRORS_MAX: u32 = 60;
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// One move in the hands of this process.
pub(super) struct MoveRun {
    pub(super) driver: Arc<Driver>,
    job: JobId,
    pub(super) id: MoveId,
    pub(super) mover: Mover,
    acknowledged: Option<Epoch>,
    /// What the servers say of switches, while nothing was done that changes it.
    switches: Option<(Epoch, Switches)>,
    checked: bool,
    verified: bool,
    calm_since: Option<Instant>,
    /// Before this no attempt to change the owner is made.
    not_before: Instant,
    pub(super) attempts: u32,
    pub(super) pause: Option<Duration>,
    pub(super) last_error: Option<String>,
    errors: u32,
}

impl MoveRun {
    /// Until the move is gone from the catalog.
    ///
    /// # Errors
    /// What no further attempt can help with.
    pub(super) async fn drive(
        driver: Arc<Driver>,
        job: JobId,
        id: MoveId,
        me: Incarnation,
    ) -> Result<(), String> {
        let Some((catalog, one)) = begun(&driver, id).await else { return Ok(()) };
        let spec = spec(&driver, &catalog, &one, me)?;
        let settings = driver.settings.clone();
        drop(catalog);
        let mover = Mover::new(spec, settings).map_err(|error| error.to_string())?;
        let run = MoveRun {
            driver,
            job,
            id,
            mover,
            acknowledged: None,
            switches: None,
            checked: false,
            verified: false,
            calm_since: None,
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
            let view = match self.view(&one).await {
                Ok(view) => view,
                Err(error) => {
                    self.bear(error).await?;
                    continue;
                }
            };
            let step = workflow::next(wish, &view);
            self.publish(one.state, step);
            match self.perform(&one, wish, step).await {
                Ok(()) => self.errors = 0,
                Err(error) => self.bear(error).await?,
            }
        }
        self.mover.stop().await;
        Ok(())
    }

    /// The move and what is wanted of it, while it is there.
    fn found(&self) -> Option<(Arc<UnitMove>, Wish)> {
        let catalog = self.driver.meta.catalog();
        let one = catalog.moves.get(&self.id).cloned()?;
        let state = &catalog.jobs.get(&self.job)?.state;
        self.mover.set_throttle(pace::throttle(&state.throttle, pace::minute_of_day()));
        Some((one, state.wish))
    }

    /// What cannot be tried again ends the move; the rest is tried for a while.
    async fn bear(&mut self, error: MoveError) -> Result<(), String> {
        self.errors += 1;
        if !error.is_retryable() || self.errors > ERRORS_MAX {
            return Err(error.to_string());
        }
        tracing::warn!(unit_move = %self.id, %error, "a step of a move is tried again");
        self.last_error = Some(error.to_string());
        tokio::time::sleep(ERROR_PAUSE).await;
        Ok(())
    }

    fn publish(&self, state: MoveState, step: Step) {
        let status = MoveStatus {
            state,
            step,
            progress: self.mover.progress(),
            pause: self.pause,
            attempts: self.attempts,
            last_error: self.last_error.clone(),
        };
        self.driver.status.lock().insert(self.id, status);
    }

    async fn view(&mut self, one: &UnitMove) -> Result<View, MoveError> {
        if self.acknowledged < Some(one.since) && self.driver.is_acknowledged(one.since).await {
            self.acknowledged = Some(one.since);
        }
        if self.driver.to_verify.lock().remove(&self.id) {
            self.verified = false;
        }
        let known = self.switches.take().filter(|(since, _)| *since == one.since);
        let switches = match known {
            Some((_, switches)) => switches,
            None => self.mover.switches().await?,
        };
        self.switches = Some((one.since, switches.clone()));
        Ok(View {
            state: one.state,
            since: one.since,
            acknowledged: self.acknowledged >= Some(one.since),
            switches,
            checked: self.checked,
            flow: self.flow()?,
            verified: self.verified,
            backs_off: Instant::now() < self.not_before,
        })
    }

    fn flow(&mut self) -> Result<FlowView, MoveError> {
        let direction = match (self.mover.direction(), self.mover.state()) {
            (_, Some(FlowState::Failed(error))) => return Err(error),
            (
                Some(direction),
                Some(FlowState::Starting | FlowState::Running | FlowState::Waiting(_)),
            ) => direction,
            (_, None) | (None, _) => {
                self.calm_since = None;
                return Ok(FlowView::Stopped);
            }
        };
        let progress = self.mover.progress();
        let lag = progress.lag_ms.map(Duration::from_millis);
        if lag.is_none_or(|lag| lag > LAG_MAX) || !progress.copied {
            self.calm_since = None;
        } else if self.calm_since.is_none() {
            self.calm_since = Some(Instant::now());
        }
        let calm = self.calm_since.map(|since| since.elapsed()).unwrap_or_default();
        Ok(FlowView::Running { direction, copied: progress.copied, calm: calm.min(CALM) })
    }

    async fn perform(&mut self, one: &UnitMove, wish: Wish, step: Step) -> Result<(), MoveError> {
        match step {
            Step::Wait(_) | Step::Rest => self.pause(PAUSE).await,
            Step::Check => return self.check().await,
            Step::Start(direction) => {
                self.switches = None;
                return self.mover.start(direction).await;
            }
            Step::Stop => self.mover.stop().await,
            Step::Verify => return self.verify(wish).await,
            Step::CutOver(direction) => {
                let cut = self.cut_over(one, direction).await;
                self.switches = None;
                if let Err(reason) = cut {
                    self.attempts += 1;
                    let longer = BACK_OFF * 2_u32.saturating_pow(self.attempts.min(8) - 1);
                    self.not_before = Instant::now() + longer.min(BACK_OFF_MAX);
                    tracing::info!(unit_move = %self.id, reason, "a change of owner is tried again later");
                    self.last_error = Some(reason);
                }
                self.calm_since = None;
            }
            Step::Unrecord(direction) => {
                self.switches = None;
                return self.mover.unrecord_switch(direction).await;
            }
            Step::Set(to) => self.set(one, to).await,
            Step::Clear(side) => {
                if one.owned_since > Epoch(0) {
                    self.mover.outlived(side.other()).await?;
                }
                self.mover.purge(side).await?;
                point("move.purged").await?;
                self.mover.forget().await?;
                point("move.forgotten").await?;
                self.set(one, None).await;
            }
        }
        Ok(())
    }

    /// Waits, or until the catalog says something new.
    async fn pause(&self, pause: Duration) {
        let mut epochs = self.driver.meta.subscribe();
        let _ = tokio::time::timeout(pause, epochs.changed()).await;
    }

    /// A change that somebody else makes impossible is no failure: the next look says what is.
    async fn set(&self, one: &UnitMove, to: Option<MoveState>) {
        let change = Change::SetMove { id: self.id, from: (one.state, one.since), to };
        if let Err(error) = self.driver.change(change).await {
            tracing::warn!(unit_move = %self.id, %error, "a step of a move is not in the catalog");
            self.pause(ERROR_PAUSE).await;
        }
    }

    /// Looks at servers and tables: since every proxy knows of the move no definition changes any more.
    async fn check(&mut self) -> Result<(), MoveError> {
        if self.mover.is_prepared().await? {
            self.checked = true;
            return Ok(());
        }
        let findings = self.mover.preflight().await?;
        let blocking: Vec<String> = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Blocking)
            .map(ToString::to_string)
            .collect();
        if !blocking.is_empty() {
            let id = self.id.to_string();
            return Err(MoveError::Step { id, step: "begin", reason: blocking.join("; ") });
        }
        self.mover.prepare().await?;
        point("move.prepared").await?;
        self.checked = true;
        Ok(())
    }

    /// Compares both sides, unless something else is wanted meanwhile.
    async fn verify(&mut self, wish: Wish) -> Result<(), MoveError> {
        let other_wish = async {
            let mut epochs = self.driver.meta.subscribe();
            loop {
                let now = self.found();
                if now.is_none_or(|(_, now)| now != wish) || epochs.changed().await.is_err() {
                    return;
                }
            }
        };
        let verified = tokio::select! {
            verified = self.mover.verify() => verified?,
            () = other_wish => return Ok(()),
        };
        if let Some(difference) = verified.differences.first() {
            let reason = format!(
                "both sides differ in {} rows, the first is {difference}; cancel the job, see who writes \
                 there around the proxies, and start it again",
                verified.differences.len()
            );
            return Err(MoveError::Step { id: self.id.to_string(), step: "be verified", reason });
        }
        self.verified = true;
        Ok(())
    }
}

/// The move, as soon as no schema change that began before it can still change its tables; None when it is
/// gone.
async fn begun(driver: &Driver, id: MoveId) -> Option<(Arc<Catalog>, Arc<UnitMove>)> {
    loop {
        let catalog = driver.meta.catalog();
        let one = catalog.moves.get(&id)?.clone();
        if one.state != MoveState::Incoming {
            return Some((catalog, one));
        }
        // While it is waited for, nothing here keeps an old catalog.
        drop(catalog);
        if driver.is_acknowledged(one.since).await {
            let catalog = driver.meta.catalog();
            let still = catalog.moves.get(&id)?.clone();
            return Some((catalog, still));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the catalog says of a move, for the mover.
fn spec(
    driver: &Driver,
    catalog: &Catalog,
    one: &UnitMove,
    me: Incarnation,
) -> Result<MoveSpec, String> {
    let group = catalog.groups.get(&one.group).ok_or("its colocation group is gone")?;
    let mut tables = Vec::new();
    for table in catalog.databases.values().flat_map(|database| database.tables.values()) {
        let Some(sharding) = table.sharding().filter(|sharding| sharding.group == one.group) else {
            continue;
        };
        let columns = sharding.key_columns.iter().filter_map(|at| table.columns.get(*at));
        tables.push(TableSpec {
            database: table.database.clone(),
            table: table.name.clone(),
            key_columns: columns.map(|column| column.name.clone()).collect(),
        });
    }
    let endpoint = |shard| {
        let shard = catalog.shards.get(&shard).ok_or("one of its shards is gone")?;
        Ok::<_, String>(driver.endpoint(&shard.primary))
    };
    Ok(MoveSpec {
        id: one.id.to_string(),
        owner: me.to_string(),
        tables,
        key_types: group.key_types.clone(),
        units: one.units.clone().into(),
        source: endpoint(one.from)?,
        target: endpoint(one.to)?,
    })
}
