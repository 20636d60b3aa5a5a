//! `ALTER TABLE t SHARD BY .. | BROADCAST | SINGLE`: makes the job that spreads a table anew. Who drives it
//! is elsewhere. A small table's job is waited for and finished; one of a larger table is asked for with
//! ASYNC, and stays so that it can go back until somebody finishes it.

use super::{check_database, full_name, sharding, texts};
use crate::{
    error::SqlError,
    session::{Session, diagnostics::Level, failure::Failure, schema},
};
use shardline_meta_client::{MetaClient, ProposeError, RejectionKind};
use shardline_model::{
    catalog::{Catalog, Table},
    change::Change,
    declared::TableSharding,
    id::{JobId, ShardId},
    moves::{Job, JobKind, JobPhase, JobState, Throttle, Until, Wish},
};
use shardline_router::{
    clause,
    plan::{ShardingClause, TableName},
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A table with more rows than this, by the servers' guess, is not waited for.
const INLINE_ROWS_MAX: u64 = 200_000;
/// Nor one of more bytes.
const INLINE_BYTES_MAX: u64 = 64 << 20;
/// How long a statement waits for its job.
const INLINE_MAX: Duration = Duration::from_secs(120);
/// How often it looks when no epoch comes.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// How often a change is tried that others are faster with.
const ATTEMPTS: u32 = 20;
/// The number of the note that names the job.
const NOTE: u16 = 9103;

/// What was asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) table: &'a TableName,
    pub(super) sharding: &'a ShardingClause,
    pub(super) background: bool,
}

impl Session {
    /// Makes the job; it has not begun to move anything.
    pub(super) async fn begin_reshard(
        &mut self,
        catalog: &Catalog,
        wanted: Wanted<'_>,
    ) -> Result<JobId, Failure> {
        let TableName { database, table: name } = wanted.table;
        check_database(database)?;
        let table = catalog.table(database, name).cloned();
        let table = table.ok_or_else(|| SqlError::no_such_table(database, name))?;
        let first = catalog.shards.keys().next().copied().ok_or_else(SqlError::no_shards)?;
        let definition = self.read_definition(first, wanted.table).await?;
        let declared = sharding::declared(wanted.sharding, &definition, catalog)?;
        let create = create_job(&table, wanted);
        let owners = check(catalog, &create, &declared)?;
        if !wanted.background {
            self.check_small(wanted, &owners).await?;
        }
        let created = self.shared.meta.propose(create).await.map_err(refused)?;
        let job = created.job.ok_or_else(|| SqlError::internal("a job without a number"))?;
        let begin = Change::BeginReshard { job, sharding: declared };
        if let Err(error) = self.shared.meta.propose(begin).await {
            // It never has anything to do.
            let _ = set(&self.shared.meta, job, |state| {
                state.phase = JobPhase::Cancelled;
                state.wish = Wish::Cancel;
            })
            .await;
            return Err(refused(error).into());
        }
        Ok(job)
    }

    /// Refuses to wait for what takes long.
    async fn check_small(
        &mut self,
        wanted: Wanted<'_>,
        owners: &BTreeSet<ShardId>,
    ) -> Result<(), Failure> {
        let TableName { database, table } = wanted.table;
        let sql = format!(
            "SELECT TABLE_ROWS, DATA_LENGTH FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            schema::text(database),
            schema::text(table)
        );
        let (mut rows, mut bytes) = (0_u64, 0_u64);
        for shard in owners {
            let found = texts(self.ask_shard(*shard, &sql).await?);
            let number = |place: usize| {
                let value = found.first().and_then(|row| row.get(place)?.as_ref()?.parse().ok());
                value.unwrap_or(0_u64)
            };
            rows = rows.saturating_add(number(0));
            bytes = bytes.saturating_add(number(1));
        }
        if rows <= INLINE_ROWS_MAX && bytes <= INLINE_BYTES_MAX {
            return Ok(());
        }
        Err(SqlError::not_supported(
            format!(
                "{} has about {rows} rows in {} MB, which is too much to wait for",
                full_name(wanted.table),
                bytes >> 20
            ),
            "add ASYNC to the end of the statement: it makes a job and returns at once",
        )
        .into())
    }

    /// Waits until the job is over. The caller holds no catalog.
    pub(super) async fn wait_for_reshard(&mut self, job: JobId) -> Result<(), Failure> {
        let meta = self.shared.meta.clone();
        let ended = self.watched(ended(&meta, job)).await?;
        match ended {
            Some((JobPhase::Finished, _)) => Ok(()),
            Some((JobPhase::Failed, reason)) => {
                // It goes back to where it was.
                let _ = set(&meta, job, |state| {
                    state.phase = JobPhase::Preparing;
                    state.wish = Wish::Cancel;
                })
                .await;
                let reason = reason.unwrap_or_else(|| "its job failed".to_owned());
                Err(SqlError::invalid_sharding(format!("{reason} (job {job} is being cancelled)"))
                    .into())
            }
            Some((phase, _)) => {
                Err(SqlError::invalid_sharding(format!("job {job} of it is {phase}")).into())
            }
            None => Err(SqlError::held_up(&format!(
                "job {job} was not seen to end within {} s; SHOW JOBS and SHOW CREATE TABLE say how far it is",
                INLINE_MAX.as_secs()
            ))
            .into()),
        }
    }

    /// Says which job was made.
    pub(super) fn note_job(&mut self, job: JobId) {
        self.diagnostics.push(Level::Note, NOTE, format!("job {job} spreads the table anew"));
    }
}

fn create_job(table: &Table, wanted: Wanted<'_>) -> Change {
    let wish = if wanted.background { Wish::GoOn(Until::Moved) } else { Wish::Finish };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut summary = format!(
        "{}.{}: {}",
        table.database,
        table.name,
        clause::render(wanted.sharding, &table.database)
    );
    let cut = summary.floor_char_boundary(SUMMARY_BYTES_MAX);
    summary.truncate(cut);
    Change::CreateJob {
        kind: JobKind::Full { table: table.id },
        summary,
        created_unix_s: now.as_secs(),
        state: JobState {
            phase: JobPhase::Planned,
            wish,
            owner: None,
            throttle: Throttle::default(),
            last_error: None,
        },
    }
}

/// A clause may list thousands of values.
const SUMMARY_BYTES_MAX: usize = 400;

/// Whether the catalog would take it; the shards that have rows now.
fn check(
    catalog: &Catalog,
    create: &Change,
    declared: &TableSharding,
) -> Result<BTreeSet<ShardId>, SqlError> {
    let mut trial = catalog.clone();
    let tried = trial.apply(create).and_then(|applied| {
        let job = applied.job.unwrap_or_default();
        trial.apply(&Change::BeginReshard { job, sharding: declared.clone() })
    });
    match tried {
        Ok(applied) => {
            let begun = applied.first_move.and_then(|id| trial.reshards.get(&id));
            Ok(begun.map(|one| one.from_shards.clone()).unwrap_or_default())
        }
        Err(error) => Err(SqlError::invalid_sharding(error.to_string())),
    }
}

fn refused(error: ProposeError) -> SqlError {
    match error {
        ProposeError::Rejected(error) => SqlError::invalid_sharding(error.to_string()),
        error => SqlError::metadata_unavailable("the job", &error.to_string()),
    }
}

/// How a job has ended, and why; None when the time is over, or when that cannot be told any more.
async fn ended(meta: &MetaClient, job: JobId) -> Option<(JobPhase, Option<String>)> {
    let deadline = Instant::now() + INLINE_MAX;
    let mut epochs = meta.subscribe();
    while Instant::now() < deadline {
        epochs.borrow_and_update();
        let found: Option<Arc<Job>> = meta.catalog().jobs.get(&job).cloned();
        // It was over and made room for newer ones: how it ended is not known any more.
        let found = found?;
        if found.state.phase.is_over() || found.state.phase == JobPhase::Failed {
            return Some((found.state.phase, found.state.last_error.clone()));
        }
        let _ = tokio::time::timeout(LOOK_PAUSE, epochs.changed()).await;
    }
    None
}

/// Changes a job, which its driver changes too.
async fn set(
    meta: &MetaClient,
    id: JobId,
    change: impl Fn(&mut JobState),
) -> Result<(), ProposeError> {
    for attempt in 0..ATTEMPTS {
        let Some(job) = meta.catalog().jobs.get(&id).cloned() else { return Ok(()) };
        let mut state = job.state.clone();
        change(&mut state);
        match meta.propose(Change::SetJob { id, from: job.since, state }).await {
            Ok(_) => return Ok(()),
            Err(ProposeError::Rejected(why))
                if why.kind == RejectionKind::Moved && attempt + 1 < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
