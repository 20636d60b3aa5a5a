//! The same in SQL: procedures of the database `shardline`, SHOW JOBS, and tables that can be read.

use super::{
    JobVerb, JobView, OperationError, Operations, PlanRequest, StartRequest, ThrottleRequest,
    UntilRequest,
    joining::AddRequest,
    live::{DigestOrder, DigestView, SessionRow, ShardTimeView, SlowView},
    unix_s,
};
use shardline_model::access::{AuditNote, AuditPhase};
use shardline_proxy::operations::{
    Answer, Caller, OperationColumn, OperationRefusal, OperationTable,
    Operations as ProxyOperations, VirtualTable,
};
use std::sync::Arc;

/// The longest text that is noted of a call, in bytes.
const TEXT_BYTES_MAX: usize = 2_048;
/// The longest name that is, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Digests of `shardline.top_sql`.
const DIGEST_ROWS_MAX: usize = 1_000;
/// The columns of SHOW JOBS and `shardline.jobs`.
const JOBS: [(&str, bool); 20] = [
    ("id", true),
    ("kind", false),
    ("summary", false),
    ("phase", false),
    ("wish", false),
    ("percent", true),
    ("rows_copied", true),
    ("rows_estimated", true),
    ("bytes_copied", true),
    ("rows_per_second", true),
    ("bytes_per_second", true),
    ("eta_s", true),
    ("lag_ms", true),
    ("lag_gate_ms", true),
    ("pause_ms", true),
    ("attempts", true),
    ("waits_for", false),
    ("last_error", false),
    ("driver", false),
    ("created_unix_s", true),
];
const MOVES: [(&str, bool); 14] = [
    ("id", true),
    ("job", true),
    ("state", false),
    ("tables", false),
    ("what", false),
    ("from_shard", false),
    ("to_shard", false),
    ("rows_copied", true),
    ("rows_estimated", true),
    ("bytes_copied", true),
    ("lag_ms", true),
    ("pause_ms", true),
    ("waits_for", false),
    ("last_error", false),
];
const SHARDS: [(&str, bool); 11] = [
    ("id", true),
    ("name", false),
    ("address", false),
    ("state", false),
    ("up", true),
    ("problem", false),
    ("slots", true),
    ("intervals_and_values", true),
    ("row_count", true),
    ("bytes", true),
    ("moves", true),
];

const SESSIONS: [(&str, bool); 9] = [
    ("id", true),
    ("proxy", true),
    ("user_name", false),
    ("host", false),
    ("database_name", false),
    ("command", false),
    ("elapsed_ms", true),
    ("state", false),
    ("statement", false),
];
const TOP_SQL: [(&str, bool); 12] = [
    ("digest", false),
    ("database_name", false),
    ("statement", false),
    ("calls", true),
    ("errors", true),
    ("total_us", true),
    ("mean_us", true),
    ("p50_us", true),
    ("p99_us", true),
    ("max_us", true),
    ("shards_touched", true),
    ("last_unix_s", true),
];
const SLOW_SQL: [(&str, bool); 9] = [
    ("unix_s", true),
    ("ms", true),
    ("digest", false),
    ("statement", false),
    ("database_name", false),
    ("user_name", false),
    ("session", true),
    ("error", true),
    ("shards", false),
];

fn table_of(columns: &[(&str, bool)], rows: Vec<Vec<Option<String>>>) -> OperationTable {
    let column = |(name, is_number): &(&str, bool)| OperationColumn {
        name: (*name).to_owned(),
        is_number: *is_number,
    };
    OperationTable { columns: columns.iter().map(column).collect(), rows }
}

fn some(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

fn maybe(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn job_row(job: &JobView) -> Vec<Option<String>> {
    vec![
        some(job.id),
        some(&job.kind),
        some(&job.summary),
        some(&job.phase),
        some(&job.wish),
        some(format!("{:.1}", job.percent)),
        some(job.rows_copied),
        maybe(job.rows_estimated),
        some(job.bytes_copied),
        some(format!("{:.0}", job.rows_per_second)),
        some(format!("{:.0}", job.bytes_per_second)),
        maybe(job.eta_s),
        maybe(job.lag_ms),
        some(job.lag_gate_ms),
        maybe(job.pause_ms),
        some(job.attempts),
        some(&job.waits_for),
        job.last_error.clone(),
        job.driver.clone(),
        some(job.created_unix_s),
    ]
}

impl Operations {
    async fn rows_of(&self, table: VirtualTable) -> OperationTable {
        match table {
            VirtualTable::Jobs => table_of(&JOBS, self.jobs().await.iter().map(job_row).collect()),
            VirtualTable::Moves => {
                let jobs = self.jobs().await;
                let moves = jobs.iter().flat_map(|job| &job.moves).map(|one| {
                    vec![
                        some(one.id),
                        some(one.job),
                        some(&one.state),
                        some(one.tables.join(",")),
                        some(&one.what),
                        some(&one.from),
                        some(&one.to),
                        some(one.rows_copied),
                        maybe(one.rows_estimated),
                        some(one.bytes_copied),
                        maybe(one.lag_ms),
                        maybe(one.pause_ms),
                        some(&one.waits_for),
                        one.last_error.clone(),
                    ]
                });
                table_of(&MOVES, moves.collect())
            }
            VirtualTable::Shards => {
                let shards = self.shards().await;
                let rows = shards.iter().map(|shard| {
                    vec![
                        some(shard.id),
                        some(&shard.name),
                        some(&shard.address),
                        some(&shard.state),
                        some(u8::from(shard.up)),
                        shard.problem.clone(),
                        some(shard.slots),
                        some(shard.intervals_and_values),
                        maybe(shard.rows),
                        maybe(shard.bytes),
                        some(shard.moves),
                    ]
                });
                table_of(&SHARDS, rows.collect())
            }
            VirtualTable::Sessions => table_of(&SESSIONS, self.session_texts()),
            VirtualTable::TopSql => table_of(&TOP_SQL, self.digest_texts()),
            VirtualTable::SlowSql => table_of(&SLOW_SQL, self.slow_texts()),
        }
    }

    /// Rows of what only this process knows; none where it has no proxy.
    fn session_texts(&self) -> Vec<Vec<Option<String>>> {
        let sessions = self.session_rows(true).unwrap_or_default().into_iter();
        let row = |one: SessionRow| {
            vec![
                some(one.id),
                some(one.proxy),
                some(one.user),
                some(one.host),
                one.database,
                some(one.command),
                some(one.elapsed_ms),
                some(one.state),
                one.statement,
            ]
        };
        sessions.map(row).collect()
    }

    fn digest_texts(&self) -> Vec<Vec<Option<String>>> {
        let all = self.digests(DigestOrder::Time, DIGEST_ROWS_MAX, None, true);
        let row = |one: DigestView| {
            vec![
                some(one.id),
                one.database,
                one.text,
                some(one.calls),
                some(one.errors),
                some(one.total_us),
                some(one.mean_us),
                maybe(one.p50_us),
                maybe(one.p99_us),
                some(one.max_us),
                some(format!("{:.3}", one.shards_touched)),
                some(one.last_unix_s),
            ]
        };
        all.unwrap_or_default().items.into_iter().map(row).collect()
    }

    fn slow_texts(&self) -> Vec<Vec<Option<String>>> {
        let row = |one: SlowView| {
            let shards: Vec<String> = one.shards.iter().map(ShardTimeView::text).collect();
            vec![
                some(one.unix_s),
                some(one.ms),
                some(one.digest),
                one.text,
                one.database,
                some(one.user),
                some(one.session),
                maybe(one.error),
                some(shards.join(", ")),
            ]
        };
        self.slow_since(0, true).unwrap_or_default().into_iter().map(row).collect()
    }

    /// One procedure, in the audit log before and after, but for what only looks.
    async fn procedure_noted(
        &self,
        caller: &Caller,
        name: &str,
        arguments: &[String],
    ) -> Result<OperationTable, OperationError> {
        if name.eq_ignore_ascii_case("rebalance_plan") {
            return self.procedure(name, arguments).await;
        }
        let text = |text: String| text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned();
        let short = |text: &str| text[..text.floor_char_boundary(NAME_BYTES_MAX)].to_owned();
        let mut note = AuditNote {
            unix_s: unix_s(),
            user: short(&caller.user),
            via: "sql".to_owned(),
            source: short(&caller.host),
            operation: short(name),
            target: String::new(),
            request: crate::api::secret::fresh()?,
            phase: AuditPhase::Asked,
            before: None,
            after: None,
            detail: text(arguments.join(", ")),
        };
        self.note(note.clone()).await?;
        let done = self.procedure(name, arguments).await;
        note.unix_s = unix_s();
        (note.phase, note.detail) = match &done {
            Ok(_) => (AuditPhase::Done, String::new()),
            Err(error) => (AuditPhase::Refused, text(error.message.clone())),
        };
        if let Err(error) = self.note(note).await {
            // The line before says that it was asked for.
            tracing::error!(procedure = name, %error, "what became of it is not in the audit log");
        }
        done
    }

    /// One procedure.
    async fn procedure(
        &self,
        name: &str,
        arguments: &[String],
    ) -> Result<OperationTable, OperationError> {
        let name = name.to_ascii_lowercase();
        let jobs = |job: &JobView| table_of(&JOBS, vec![job_row(job)]);
        match (name.as_str(), arguments) {
            ("rebalance_plan", words) => {
                let plan = self.plan(&goal(words)?).await?;
                Ok(planned(&plan))
            }
            ("rebalance_start", words) => {
                let (until, words) = until(words)?;
                let goal = Some(goal(&words)?);
                let started =
                    self.start(StartRequest { goal, until, ..StartRequest::default() }).await?;
                Ok(started.job.as_ref().map_or_else(|| table_of(&JOBS, Vec::new()), jobs))
            }
            ("job", [verb, id]) if verb.eq_ignore_ascii_case("verify") => {
                Ok(jobs(&self.verify(number(id)?).await?))
            }
            ("job", [verb, id]) => {
                let verb = JobVerb::of(verb).ok_or_else(|| {
                    let names: Vec<&str> = JobVerb::ALL.iter().map(|verb| verb.name()).collect();
                    OperationError::usage(format!(
                        "the first argument is one of {}",
                        names.join(", ")
                    ))
                })?;
                Ok(jobs(&self.job_verb(number(id)?, verb).await?))
            }
            ("rebalance_verify", [id]) => Ok(jobs(&self.verify(number(id)?).await?)),
            ("job_throttle", [id, settings @ ..]) => {
                Ok(jobs(&self.throttle(number(id)?, &throttle(settings)?).await?))
            }
            ("shard_add", [shard, primary]) => {
                let primary = Some(primary.clone());
                let request = AddRequest { name: shard.clone(), primary, ..AddRequest::default() };
                self.add_shard(&request).await?;
                Ok(self.rows_of(VirtualTable::Shards).await)
            }
            ("shard_add_local", [shard]) => {
                let request =
                    AddRequest { name: shard.clone(), local: true, ..AddRequest::default() };
                self.add_shard(&request).await?;
                Ok(self.rows_of(VirtualTable::Shards).await)
            }
            ("shard_drain", [shard]) => {
                let started = self.drain_shard(shard, StartRequest::default()).await?;
                Ok(started.job.as_ref().map_or_else(|| table_of(&JOBS, Vec::new()), jobs))
            }
            ("shard_undrain", [shard]) => {
                self.undrain_shard(shard).await?;
                Ok(self.rows_of(VirtualTable::Shards).await)
            }
            ("shard_remove", [shard]) => {
                self.remove_shard(shard).await?;
                Ok(self.rows_of(VirtualTable::Shards).await)
            }
            (name, _) => {
                match JobVerb::ALL.iter().find(|verb| name == format!("rebalance_{}", verb.name()))
                {
                    Some(verb) => match arguments {
                        [id] => Ok(jobs(&self.job_verb(number(id)?, *verb).await?)),
                        _ => Err(OperationError::usage(format!("CALL shardline.{name}(job)"))),
                    },
                    None => Err(OperationError::usage(format!(
                        "there is no procedure shardline.{name} with {} arguments",
                        arguments.len()
                    ))
                    .hint("docs/sql-surface.md lists them")),
                }
            }
        }
    }
}

impl ProxyOperations for Operations {
    fn call(self: Arc<Self>, caller: Caller, procedure: String, arguments: Vec<String>) -> Answer {
        let runtime = self.runtime.clone();
        // A task of its own: the session may go away in the middle.
        let call = async move {
            let done = self.procedure_noted(&caller, &procedure, &arguments).await;
            done.map_err(refusal)
        };
        let called = runtime.spawn(call);
        Box::pin(async move { called.await.unwrap_or_else(|error| Err(broken(&error))) })
    }

    fn table(self: Arc<Self>, table: VirtualTable) -> Answer {
        let runtime = self.runtime.clone();
        let read = runtime.spawn(async move { self.rows_of(table).await });
        Box::pin(async move { read.await.map_err(|error| broken(&error)) })
    }

    fn columns(&self, table: VirtualTable) -> OperationTable {
        match table {
            VirtualTable::Jobs => table_of(&JOBS, Vec::new()),
            VirtualTable::Moves => table_of(&MOVES, Vec::new()),
            VirtualTable::Shards => table_of(&SHARDS, Vec::new()),
            VirtualTable::Sessions => table_of(&SESSIONS, Vec::new()),
            VirtualTable::TopSql => table_of(&TOP_SQL, Vec::new()),
            VirtualTable::SlowSql => table_of(&SLOW_SQL, Vec::new()),
        }
    }
}

fn broken(error: &tokio::task::JoinError) -> OperationRefusal {
    OperationRefusal { reason: format!("the operation broke off: {error}"), hint: None }
}

fn refusal(error: OperationError) -> OperationRefusal {
    OperationRefusal { reason: error.message, hint: error.hint }
}

fn planned(plan: &shardline_rebalancer::plan::RebalancePlan) -> OperationTable {
    let columns = [
        ("tables", false),
        ("what", false),
        ("from_shard", false),
        ("to_shard", false),
        ("row_count", true),
        ("bytes", true),
    ];
    let rows = plan.moves.iter().map(|one| {
        vec![
            some(one.tables.join(",")),
            some(&one.what),
            some(&one.from_name),
            some(&one.to_name),
            some(one.rows),
            some(one.bytes),
        ]
    });
    table_of(&columns, rows.collect())
}

fn number(text: &str) -> Result<u64, OperationError> {
    text.parse().map_err(|_| OperationError::usage(format!("{text:?} is no number of a job")))
}

/// `'until=finished'` among the arguments, and the others.
fn until(words: &[String]) -> Result<(UntilRequest, Vec<String>), OperationError> {
    let mut until = UntilRequest::default();
    let mut others = Vec::new();
    for word in words {
        match word.strip_prefix("until=") {
            Some("ready") => until = UntilRequest::Ready,
            Some("moved") => until = UntilRequest::Moved,
            Some("finished") => until = UntilRequest::Finished,
            Some(_) => return Err(OperationError::usage("until is ready, moved or finished")),
            None => others.push(word.clone()),
        }
    }
    Ok((until, others))
}

/// A goal of arguments like `'all'`, `'drain=s1'`, `'table=shop.orders'`, `'slots=0-99'`, `'to=s4'`.
fn goal(words: &[String]) -> Result<PlanRequest, OperationError> {
    let mut request = PlanRequest::default();
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let value = value.to_owned();
        match key.trim() {
            "all" => request.all = true,
            "to" => request.to = value.split(',').map(|name| name.trim().to_owned()).collect(),
            "drain" => request.drain = Some(value),
            "by" => request.by = Some(measure(&value)?),
            "table" => request.tables.push(value),
            "slots" => request.slots = Some(value),
            "range" => request.range = Some(value),
            "value" => request.values.push(value),
            "isolate" => request.isolate = Some(value),
            "split" => request.split = Some(value),
            "merge" => request.merge = Some(value),
            _ => {
                return Err(OperationError::usage(format!("{word:?} is not understood")).hint(
                    "arguments are 'all', 'drain=SHARD', 'to=SHARD,..', 'table=db.t', 'by=rows', 'slots=0-99', \
                     'range=A..B', 'value=V', 'isolate=KEY', 'split=KEY', 'merge=KEY', 'until=finished'",
                ));
            }
        }
    }
    Ok(request)
}

fn measure(text: &str) -> Result<shardline_rebalancer::plan::Measure, OperationError> {
    use shardline_rebalancer::plan::Measure;
    match text {
        "slots" => Ok(Measure::Slots),
        "rows" => Ok(Measure::Rows),
        "bytes" => Ok(Measure::Bytes),
        _ => Err(OperationError::usage("by is slots, rows or bytes")),
    }
}

/// `'max_mbps=50'`, `'lag_max_ms=1000'`, `'window=01:00-05:00'`.
fn throttle(words: &[String]) -> Result<ThrottleRequest, OperationError> {
    let mut request = ThrottleRequest::default();
    let wrong = |word: &str| OperationError::usage(format!("{word:?} is not understood"));
    for word in words {
        let limit = |value: &str| value.parse::<u32>().map(Some).map_err(|_| wrong(word));
        match word.split_once('=') {
            Some(("max_mbps", value)) => request.max_mbps = limit(value)?,
            Some(("lag_max_ms", value)) => request.lag_max_ms = limit(value)?,
            Some(("window", value)) => request.window = Some(value.to_owned()),
            Some(_) | None => return Err(wrong(word)),
        }
    }
    Ok(request)
}
