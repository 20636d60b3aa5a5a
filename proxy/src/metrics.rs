//! The proxy's metrics, as handles that are kept: a lookup by name costs more than the
//! statement's own bookkeeping.

use crate::error::SqlError;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use shardline_model::guard::GuardState;
use shardline_router::plan::Plan;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// All handles. Made once, after the recorder is installed.
pub struct Metrics {
    /// Sessions that are connected.
    pub sessions: Gauge,
    /// Sessions since the start.
    pub connections: Counter,
    /// Time to an answer, in seconds.
    pub statement_seconds: Histogram,
    /// Time a statement waited for a backend connection, in seconds.
    pub checkout_seconds: Histogram,
    /// Time a statement waited for units that change their shard, in seconds.
    held_seconds: Histogram,
    held: Counter,
    single: Counter,
    scatter: Counter,
    compute: Counter,
    write: Counter,
    ddl: Counter,
    session: Counter,
    refused: Counter,
    /// Statements since the start, for SHOW STATUS.
    questions: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        let statements =
            |plan: &'static str| counter!("shardline_proxy_statements_total", "plan" => plan);
        Metrics {
            sessions: gauge!("shardline_proxy_sessions"),
            connections: counter!("shardline_proxy_connections_total"),
            statement_seconds: histogram!("shardline_proxy_statement_seconds"),
            checkout_seconds: histogram!("shardline_proxy_checkout_seconds"),
            held_seconds: histogram!("shardline_proxy_held_seconds"),
            held: counter!("shardline_proxy_held_statements_total"),
            single: statements("single"),
            scatter: statements("scatter"),
            compute: statements("compute"),
            write: statements("write"),
            ddl: statements("ddl"),
            session: statements("session"),
            refused: statements("refused"),
            questions: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// Counts a planned statement.
    pub fn planned(&self, plan: &Plan) {
        match plan {
            Plan::Single(_) => self.single.increment(1),
            Plan::Scatter(_) => self.scatter.increment(1),
            Plan::Compute(_) => self.compute.increment(1),
            Plan::Write(_) | Plan::Rehearse(_) => self.write.increment(1),
            Plan::Ddl(_) => self.ddl.increment(1),
            Plan::Session(_) => self.session.increment(1),
            Plan::Refuse(_) => self.refused.increment(1),
        }
    }

    /// Counts a statement that waited so long for units that change their shard.
    pub fn held(&self, waited: Duration) {
        self.held.increment(1);
        self.held_seconds.record(waited.as_secs_f64());
    }

    /// Counts a command.
    pub fn question(&self) {
        self.questions.fetch_add(1, Ordering::Relaxed);
    }

    /// Commands since the start.
    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    /// Counts an error that a client is told.
    pub fn error(&self, error: &SqlError) {
        counter!("shardline_proxy_errors_total", "error" => error.metric).increment(1);
    }
}

/// What the cluster says of proxies that are gone, and of guards; every proxy shows the same.
pub(crate) struct ClusterGauges {
    live: Gauge,
    ended: Gauge,
    fenced: Gauge,
    raising: Gauge,
    on: Gauge,
    lowering: Gauge,
}

impl Default for ClusterGauges {
    fn default() -> Self {
        let incarnations =
            |state: &'static str| gauge!("shardline_proxy_incarnations", "state" => state);
        let guards = |state: &'static str| gauge!("shardline_proxy_guards", "state" => state);
        ClusterGauges {
            live: incarnations("live"),
            ended: incarnations("ended"),
            fenced: incarnations("fenced"),
            raising: guards("raising"),
            on: guards("on"),
            lowering: guards("lowering"),
        }
    }
}

impl ClusterGauges {
    /// How many incarnations live, wait to be fenced, and are fenced and kept.
    pub(crate) fn incarnations(&self, live: usize, ended: usize, fenced: usize) {
        self.live.set(live as f64);
        self.ended.set(ended as f64);
        self.fenced.set(fenced as f64);
    }

    /// How many databases have a guard in this state; those that are off are not counted.
    pub(crate) fn guards(&self, state: GuardState, count: usize) {
        match state {
            GuardState::Off => {}
            GuardState::Raising => self.raising.set(count as f64),
            GuardState::On => self.on.set(count as f64),
            GuardState::Lowering => self.lowering.set(count as f64),
        }
    }
}
