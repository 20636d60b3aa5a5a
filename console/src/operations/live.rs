//! What the proxy of this process sees: sessions, transactions, statements and what they cost.

use super::{OperationError, Operations, Problem, cluster::PointView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_model::catalog::Catalog;
use shardline_proxy::{
    inside::Inside,
    registry::Kill,
    stats::{DigestStat, SlowStatement},
};
use std::{collections::BTreeMap, time::Duration};

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRow {
    /// Its connection id, unique in the cluster.
    pub id: u32,
    /// The id of its proxy.
    pub proxy: u32,
    /// Its user.
    pub user: String,
    /// Its client's address.
    pub host: String,
    /// Its database.
    pub database: Option<String>,
    /// `Query`, `Sleep` ...
    pub command: String,
    /// How long it has been doing that.
    pub elapsed_ms: u64,
    /// What it waits for, if not for a shard.
    pub state: String,
    /// What it runs, with marks in place of values; None for whoever may not see statements.
    pub statement: Option<String>,
}

/// What is said about transactions: as SHOW TRANSACTIONS, by the names of its columns.
pub type TransactionRow = BTreeMap<String, Option<String>>;

/// What would be done with a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanView {
    /// Line by line, as EXPLAIN SHARDING shows it.
    pub plan: Vec<String>,
}

/// Rates over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesView {
    /// Seconds that a point stands for.
    pub step_s: u64,
    /// The points, the newest last.
    pub points: Vec<PointView>,
}

/// A digest: statements that differ in values alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DigestView {
    /// What it is called by.
    pub id: String,
    /// The database it ran in.
    pub database: Option<String>,
    /// Its text, with marks in place of values; None for whoever may not see statements.
    pub text: Option<String>,
    /// How often it ran.
    pub calls: u64,
    /// How often it failed.
    pub errors: u64,
    /// The time that it took, all together.
    pub total_us: u64,
    /// The mean.
    pub mean_us: u64,
    /// Half of all calls took no longer.
    pub p50_us: Option<u64>,
    /// Of a hundred all but one took no longer.
    pub p99_us: Option<u64>,
    /// The longest.
    pub max_us: u64,
    /// Shards of a call, in the mean.
    pub shards_touched: f64,
    /// Calls on more than one shard.
    pub several_shards: u64,
    /// The first call.
    pub first_unix_s: u64,
    /// The last call.
    pub last_unix_s: u64,
}

/// Digests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DigestListing {
    /// The form's version.
    pub api_version: String,
    /// `DigestList`.
    pub kind: String,
    /// They.
    pub items: Vec<DigestView>,
    /// All that had to make room, in one.
    pub other: Option<DigestView>,
    /// Since when they are counted.
    #[serde(rename = "since_unix_s")]
    pub since_unix_s: u64,
}

/// A shard's part of a slow statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShardTimeView {
    /// The shard.
    pub shard: String,
    /// From the statement's beginning to the end of the shard's answer; None when nobody looked.
    pub ms: Option<f64>,
}

impl ShardTimeView {
    /// For people.
    pub fn text(&self) -> String {
        let ms = self.ms.map_or_else(|| "?".to_owned(), |ms| format!("{ms} ms"));
        format!("{} {ms}", self.shard)
    }
}

/// A statement that took long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlowView {
    /// Counted from 1 in each process.
    pub number: u64,
    /// When it ended.
    pub unix_s: u64,
    /// How long it took.
    pub ms: f64,
    /// Its digest.
    pub digest: String,
    /// The digest's text; None for whoever may not see statements.
    pub text: Option<String>,
    /// The database it ran in.
    pub database: Option<String>,
    /// Who ran it.
    pub user: String,
    /// From where.
    pub host: String,
    /// In which session.
    pub session: u32,
    /// The number of its error.
    pub error: Option<u16>,
    /// The shards it ran on.
    pub shards: Vec<ShardTimeView>,
}

/// By what digests are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestOrder {
    /// The time that they took.
    Time,
    /// How often they ran.
    Calls,
    /// How often they failed.
    Errors,
    /// How long they took at worst, but for one in a hundred.
    P99,
}

impl DigestOrder {
    /// The order of a name.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "time" => Some(Self::Time),
            "calls" => Some(Self::Calls),
            "errors" => Some(Self::Errors),
            "p99" => Some(Self::P99),
            _ => None,
        }
    }
}

impl Operations {
    /// The proxy of this process.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn inside(&self) -> Result<&Inside, OperationError> {
        self.inside.get().ok_or_else(|| {
            OperationError::unavailable("no_proxy", "the process that answers has no proxy")
        })
    }

    /// The sessions of the proxy of this process.
    ///
    /// # Errors
    /// There is none.
    pub fn session_rows(&self, texts: bool) -> Result<Vec<SessionRow>, OperationError> {
        let inside = self.inside()?;
        let proxy = inside.proxy().map_or(0, |proxy| proxy.0);
        let row = |session: shardline_proxy::inside::SeenSession| SessionRow {
            id: session.id,
            proxy,
            user: session.user,
            host: session.host,
            database: session.database,
            command: session.command.to_owned(),
            elapsed_ms: session.elapsed.as_millis() as u64,
            state: session.state.to_owned(),
            statement: session.statement.filter(|_| texts),
        };
        Ok(inside.sessions().into_iter().map(row).collect())
    }

    /// Ends a session, or the statement that it runs.
    ///
    /// # Errors
    /// There is none of this id in the proxy of this process.
    pub fn kill_session(&self, id: u64, query_only: bool) -> Result<(), OperationError> {
        let kill = if query_only { Kill::Query } else { Kill::Connection };
        match self.inside()?.kill(id, kill) {
            true => Ok(()),
            false => Err(OperationError::not_found("session", id)
                .hint("it has ended, or is another proxy's: ask the API of that one")),
        }
    }

    /// Transactions over several shards that are not done with.
    ///
    /// # Errors
    /// This process has no proxy.
    pub fn transaction_rows(&self) -> Result<Vec<TransactionRow>, OperationError> {
        let table = self.inside()?.transactions();
        let row = |row: Vec<Option<String>>| table.columns.iter().cloned().zip(row).collect();
        Ok(table.rows.into_iter().map(row).collect())
    }

    /// What would be done with a statement. It is not run.
    ///
    /// # Errors
    /// It cannot be planned.
    pub fn explain(&self, database: Option<&str>, sql: &str) -> Result<PlanView, OperationError> {
        let plan = self.inside()?.explain(database, sql);
        plan.map(|plan| PlanView { plan })
            .map_err(|error| OperationError::new(Problem::Usage, "statement", error.message_text()))
    }

    /// Rates of the proxy of this process.
    ///
    /// # Errors
    /// There is none.
    pub fn series(&self, span: Duration) -> Result<SeriesView, OperationError> {
        let (step_s, points) = self.inside()?.statistics().series(span);
        Ok(SeriesView { step_s, points: points.iter().map(PointView::from).collect() })
    }

    /// Digests of the proxy of this process.
    ///
    /// # Errors
    /// There is none.
    pub fn digests(
        &self,
        order: DigestOrder,
        limit: usize,
        database: Option<&str>,
        texts: bool,
    ) -> Result<DigestListing, OperationError> {
        let statistics = self.inside()?.statistics();
        let totals = statistics.digests();
        let wanted = |stat: &DigestStat| database.is_none() || stat.database.as_deref() == database;
        let mut all: Vec<DigestStat> = totals.digests.into_iter().filter(wanted).collect();
        all.sort_by_key(|stat| {
            std::cmp::Reverse(match order {
                DigestOrder::Time => stat.total.as_micros() as u64,
                DigestOrder::Calls => stat.calls,
                DigestOrder::Errors => stat.errors,
                DigestOrder::P99 => stat.times.quantile_us(0.99).unwrap_or(0),
            })
        });
        all.truncate(limit);
        let other =
            (totals.other.calls > 0 && database.is_none()).then(|| digest(&totals.other, false));
        Ok(DigestListing {
            api_version: "shardline/v1".to_owned(),
            kind: "DigestList".to_owned(),
            items: all.iter().map(|stat| digest(stat, texts)).collect(),
            other,
            since_unix_s: statistics.since_unix_s(),
        })
    }

    /// One digest.
    ///
    /// # Errors
    /// There is none of this id.
    pub fn digest(&self, id: &str, texts: bool) -> Result<DigestView, OperationError> {
        let totals = self.inside()?.statistics().digests();
        let found = totals.digests.iter().find(|stat| name(stat.id) == id);
        found.map(|stat| digest(stat, texts)).ok_or_else(|| OperationError::not_found("digest", id))
    }

    /// Slow statements above a number, the oldest first.
    ///
    /// # Errors
    /// This process has no proxy.
    pub fn slow_since(&self, number: u64, texts: bool) -> Result<Vec<SlowView>, OperationError> {
        let (slow, catalog) = (self.inside()?.statistics().slow_since(number), self.catalog());
        Ok(slow.iter().map(|one| slow_view(&catalog, one, texts)).collect())
    }
}

fn name(id: u64) -> String {
    format!("{id:016x}")
}

fn digest(stat: &DigestStat, texts: bool) -> DigestView {
    let total_us = stat.total.as_micros() as u64;
    DigestView {
        id: name(stat.id),
        database: stat.database.as_deref().map(str::to_owned),
        text: texts.then(|| stat.text.to_string()),
        calls: stat.calls,
        errors: stat.errors,
        total_us,
        mean_us: total_us / stat.calls.max(1),
        p50_us: stat.times.quantile_us(0.5),
        p99_us: stat.times.quantile_us(0.99),
        max_us: stat.longest.as_micros() as u64,
        shards_touched: stat.shards as f64 / stat.calls.max(1) as f64,
        several_shards: stat.several_shards,
        first_unix_s: stat.first_unix_s,
        last_unix_s: stat.last_unix_s,
    }
}

fn slow_view(catalog: &Catalog, slow: &SlowStatement, texts: bool) -> SlowView {
    let ms = |time: Duration| (time.as_secs_f64() * 10_000.0).round() / 10.0;
    let shards = slow.shards.iter().map(|one| {
        let shard = catalog.shards.get(&one.shard);
        ShardTimeView {
            shard: shard.map_or_else(|| one.shard.to_string(), |shard| shard.name.clone()),
            ms: one.took.map(ms),
        }
    });
    SlowView {
        number: slow.number,
        unix_s: slow.unix_ms / 1_000,
        ms: ms(slow.took),
        digest: name(slow.digest),
        text: texts.then(|| slow.text.to_string()),
        database: slow.database.as_deref().map(str::to_owned),
        user: slow.user.clone(),
        host: slow.host.clone(),
        session: slow.session,
        error: slow.error,
        shards: shards.collect(),
    }
}
