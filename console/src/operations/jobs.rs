//! Jobs as people see them: the catalog says how far they are, their driver how fast it goes; where that is
//! another process, the tables on the target say what is copied.

use super::{
    EventView, JobView, MoveView, OperationError, Operations, rebalance,
    servers::{number, quoted},
};
use shardline_model::{
    catalog::Catalog,
    id::MoveId,
    moves::{Job, JobKind, JobPhase, UnitMove, Until, Wish},
};
use shardline_rebalancer::{
    driver::MoveStatus,
    plan::plan_document,
    workflow::{LAG_MAX, Step, Waits},
};
use std::{collections::BTreeMap, time::Duration};

/// How long a look into a target's tables may take, all in all.
const TARGETS_MAX: Duration = Duration::from_secs(3);

impl Operations {
    /// All jobs that the catalog has, the newest first.
    pub async fn jobs(&self) -> Vec<JobView> {
        let catalog = self.catalog();
        let mut all = Vec::new();
        for job in catalog.jobs.values().rev() {
            all.push(self.view_of_job(&catalog, job).await);
        }
        all
    }

    /// One job.
    ///
    /// # Errors
    /// There is none of that number.
    pub async fn job(&self, id: u64) -> Result<JobView, OperationError> {
        let catalog = self.catalog();
        Ok(self.view_of_job(&catalog, found(&catalog, id)?).await)
    }

    /// What happened to a job while this process was there.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn job_events(&self, id: u64) -> Result<Vec<EventView>, OperationError> {
        found(&self.catalog(), id)?;
        Ok(self.journal.events(id))
    }

    async fn view_of_job(&self, catalog: &Catalog, job: &Job) -> JobView {
        let status = self.driver.get().map(|driver| driver.status()).unwrap_or_default();
        let moves: Vec<&UnitMove> =
            catalog.moves.values().filter(|one| one.job == job.id).map(AsRef::as_ref).collect();
        let driven_here = moves.iter().any(|one| status.contains_key(&one.id));
        let remembered = self.journal.moves(job.id);
        let mut views = Vec::new();
        for one in &moves {
            let mut view = described(catalog, one);
            match status.get(&one.id) {
                Some(status) => from_driver(&mut view, status, remembered.get(&one.id)),
                None => {
                    // Its driver is elsewhere; what cannot be asked now is left open.
                    let asked = self.ask_target(catalog, one, &mut view);
                    let _ = tokio::time::timeout(TARGETS_MAX, asked).await;
                }
            }
            views.push(view);
        }
        let mut view = summed(job, views, &remembered);
        view.driven_here = driven_here;
        let verbs = rebalance::possible(catalog, job);
        view.next_steps = verbs
            .iter()
            .map(|verb| format!("shardline rebalance {} {}", verb.name(), job.id.0))
            .collect();
        view.verbs = verbs.iter().map(|verb| verb.name().to_owned()).collect();
        view
    }

    /// What is copied, by the target's own tables.
    async fn ask_target(&self, catalog: &Catalog, one: &UnitMove, view: &mut MoveView) {
        let Some(target) = catalog.shards.get(&one.to) else { return };
        let sql = format!(
            "SELECT COALESCE(SUM(copied_rows), 0), COALESCE(SUM(copied_bytes), 0), COALESCE(MIN(done), 0) \
             FROM _shardline.move_table WHERE move_id = {}",
            quoted(&one.id.to_string())
        );
        let Ok(mut server) = self.server(&target.name, &target.primary).await else { return };
        // The table is made with the first move.
        let Ok(rows) = server.texts(&sql).await else { return };
        let of = |place: usize| {
            rows.first().and_then(|row| row.get(place)).map_or(0, |text| number(text))
        };
        (view.rows_copied, view.bytes_copied, view.copied) = (of(0), of(1), of(2) == 1);
        view.rows_estimated = view.copied.then_some(view.rows_copied);
    }
}

/// The job of a number.
pub(super) fn found(catalog: &Catalog, id: u64) -> Result<&Job, OperationError> {
    let job = catalog.jobs.get(&shardline_model::id::JobId(id));
    job.map(AsRef::as_ref)
        .ok_or_else(|| OperationError::not_found("job", id).hint("shardline job list shows them"))
}

/// What the catalog says of a move.
fn described(catalog: &Catalog, one: &UnitMove) -> MoveView {
    let name = |id| {
        let shard: Option<&std::sync::Arc<shardline_model::catalog::Shard>> =
            catalog.shards.get(&id);
        shard.map_or_else(|| id.to_string(), |shard| shard.name.clone())
    };
    let tables = catalog
        .tables()
        .filter(|table| table.sharding().is_some_and(|sharding| sharding.group == one.group));
    MoveView {
        id: one.id.0,
        job: one.job.0,
        state: one.state.to_string(),
        tables: tables.map(|table| format!("{}.{}", table.database, table.name)).collect(),
        what: match catalog.groups.get(&one.group) {
            Some(group) => plan_document::described(&one.units, &group.key_types),
            None => one.units.to_string(),
        },
        from: name(one.from),
        to: name(one.to),
        ..MoveView::default()
    }
}

/// What its driver says.
fn from_driver(view: &mut MoveView, status: &MoveStatus, before: Option<&MoveStatus>) {
    let progress = &status.progress;
    let old = before.map(|before| &before.progress);
    let kept = |now: u64, old: Option<u64>| now.max(old.unwrap_or(0));
    view.rows_copied = kept(progress.rows_copied, old.map(|old| old.rows_copied));
    view.bytes_copied = kept(progress.bytes_copied, old.map(|old| old.bytes_copied));
    let estimated = kept(progress.rows_estimated, old.map(|old| old.rows_estimated));
    view.copied = progress.copied || !status.state.is_owned_by_source();
    view.rows_estimated = Some(if view.copied { view.rows_copied } else { estimated });
    view.rows_per_second = Some(progress.rows_per_second);
    view.bytes_per_second = Some(progress.bytes_per_second);
    view.eta_s = progress.eta_seconds;
    view.lag_ms = progress.lag_ms;
    let pause = status.pause.max(before.and_then(|before| before.pause));
    view.pause_ms = pause.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
    view.attempts = Some(status.attempts);
    view.last_error.clone_from(&status.last_error);
    view.waits_for = match &progress.waits_for {
        Some(error) => error.to_string(),
        None => waits_for(status.step).to_owned(),
    };
}

fn waits_for(step: Step) -> &'static str {
    match step {
        Step::Wait(Waits::Acknowledgement) => "proxies to follow the catalog",
        Step::Wait(Waits::Copy) => "the copy",
        Step::Wait(Waits::Lag) => "the change stream to be near for a second",
        Step::Wait(Waits::Attempt) => "the next attempt to change the owner",
        Step::Verify => "both sides to be compared",
        Step::Rest => "a person",
        Step::Check
        | Step::Start(_)
        | Step::Stop
        | Step::CutOver(_)
        | Step::Unrecord(_)
        | Step::Set(_)
        | Step::Clear(_) => "",
    }
}

/// A job with its moves.
fn summed(job: &Job, moves: Vec<MoveView>, remembered: &BTreeMap<MoveId, MoveStatus>) -> JobView {
    let state = &job.state;
    let kind = match job.kind {
        JobKind::Partial => "partial",
        JobKind::Full { .. } => "full",
    };
    let window = state.throttle.window.map(|(from, until)| {
        format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    });
    let is_over = state.phase.is_over();
    let mut view = JobView {
        id: job.id.0,
        kind: kind.to_owned(),
        summary: job.summary.clone(),
        phase: state.phase.to_string(),
        wish: wish_name(state.wish).to_owned(),
        created_unix_s: job.created_unix_s,
        driver: state.owner.map(|owner| owner.to_string()),
        lag_gate_ms: u64::try_from(LAG_MAX.as_millis()).unwrap_or(u64::MAX),
        last_error: state.last_error.clone(),
        max_mbps: state.throttle.max_mbps,
        lag_max_ms: state.throttle.lag_max_ms,
        window,
        is_over,
        rows_estimated: Some(0),
        ..JobView::default()
    };
    let gone = remembered.iter().filter(|(id, _)| moves.iter().all(|one| one.id != id.0));
    for (_, status) in gone {
        view.rows_copied += status.progress.rows_copied;
        view.bytes_copied += status.progress.bytes_copied;
        view.rows_estimated = view.rows_estimated.map(|rows| rows + status.progress.rows_copied);
        let pause = status.pause.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        view.pause_ms = view.pause_ms.max(pause);
        view.attempts += status.attempts;
    }
    for one in &moves {
        view.rows_copied += one.rows_copied;
        view.bytes_copied += one.bytes_copied;
        view.rows_estimated = view.rows_estimated.zip(one.rows_estimated).map(|(a, b)| a + b);
        view.rows_per_second += one.rows_per_second.unwrap_or(0.0);
        view.bytes_per_second += one.bytes_per_second.unwrap_or(0.0);
        view.eta_s = view.eta_s.max(one.eta_s);
        view.lag_ms = view.lag_ms.max(one.lag_ms);
        view.pause_ms = view.pause_ms.max(one.pause_ms);
        view.attempts += one.attempts.unwrap_or(0);
        if view.last_error.is_none() {
            view.last_error.clone_from(&one.last_error);
        }
        if view.waits_for.is_empty() {
            view.waits_for.clone_from(&one.waits_for);
        }
    }
    let all_copied = moves.iter().all(|one| one.copied);
    view.percent = match view.rows_estimated {
        _ if all_copied && state.phase != JobPhase::Planned => 100.0,
        Some(rows) if rows > 0 => (view.rows_copied as f64 / rows as f64 * 100.0).min(99.9),
        Some(_) | None => 0.0,
    };
    if is_over {
        view.waits_for.clear();
    } else if state.phase == JobPhase::Failed {
        view.waits_for =
            "a person: mend what the error says, then resume, roll back or cancel".to_owned();
    } else if state.owner.is_none() {
        view.waits_for = "a proxy to drive it".to_owned();
    }
    view.moves = moves;
    view
}

/// What is wanted of a job, in a word.
pub(super) fn wish_name(wish: Wish) -> &'static str {
    match wish {
        Wish::GoOn(Until::Ready) => "ready",
        Wish::GoOn(Until::Moved) => "moved",
        Wish::Pause => "paused",
        Wish::Cancel => "cancelled",
        Wish::RollBack => "rolled back",
        Wish::Finish => "finished",
    }
}
