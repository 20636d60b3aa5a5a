//! Metrics of what follows a decision: undecided transactions, compensations, stuck rows.

use crate::txn::{
    outcome::{Outcome, Settlement},
    recovery::Resolution,
};
use metrics::{Counter, Gauge, counter, gauge};
use std::time::Duration;

/// Handles, made once.
pub(crate) struct Telemetry {
    undecided: Gauge,
    oldest: Gauge,
    stuck_rows: Gauge,
    undone: Counter,
    settled_done: Counter,
    settled_stuck: Counter,
    settled_failed: Counter,
    committed: Counter,
    aborted: Counter,
    unknown: Counter,
    committing: Gauge,
    unforgotten: Gauge,
}

impl Default for Telemetry {
    fn default() -> Self {
        let settled =
            |end: &'static str| counter!("shardline_proxy_settlements_total", "end" => end);
        let commits = |end: &'static str| counter!("shardline_proxy_distributed_transactions_total", "end" => end);
        Telemetry {
            committed: commits("committed"),
            aborted: commits("aborted"),
            unknown: commits("unknown"),
            committing: gauge!("shardline_proxy_committing_transactions"),
            unforgotten: gauge!("shardline_proxy_unforgotten_transactions"),
            undecided: gauge!("shardline_proxy_undecided_transactions"),
            oldest: gauge!("shardline_proxy_undecided_oldest_seconds"),
            stuck_rows: gauge!("shardline_proxy_stuck_rows"),
            undone: counter!("shardline_proxy_compensated_rows_total"),
            settled_done: settled("done"),
            settled_stuck: settled("stuck"),
            settled_failed: settled("failed"),
        }
    }
}

impl Telemetry {
    /// A branch was settled, or was not.
    pub(super) fn settled(&self, settlement: Settlement) {
        match settlement {
            Settlement::Done => self.settled_done.increment(1),
            Settlement::Stuck => self.settled_stuck.increment(1),
            Settlement::Failed => self.settled_failed.increment(1),
        }
    }

    /// A COMMIT over several shards was answered.
    pub(super) fn answered(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Committed => self.committed.increment(1),
            Outcome::Aborted(_) => self.aborted.increment(1),
            Outcome::Unknown => self.unknown.increment(1),
        }
    }

    /// So many commits are under way, and so many are still to be forgotten.
    pub(super) fn ledger(&self, committing: usize, unforgotten: usize) {
        self.committing.set(committing as f64);
        self.unforgotten.set(unforgotten as f64);
    }

    /// So many row changes were undone.
    pub(super) fn undone(&self, rows: usize) {
        self.undone.increment(rows as u64);
    }

    /// So many rows are stuck now.
    pub(super) fn stuck_rows(&self, rows: usize) {
        self.stuck_rows.set(rows as f64);
    }

    /// So many transactions are undecided, the oldest for so long.
    pub(super) fn undecided(&self, count: usize, oldest: Duration) {
        self.undecided.set(count as f64);
        self.oldest.set(oldest.as_secs_f64());
    }

    /// A resolver came to an end.
    pub(super) fn resolved(&self, resolution: Resolution) {
        let end = match resolution {
            Resolution::Committed => "committed",
            Resolution::Aborted => "aborted",
            Resolution::Stuck(_) => "stuck",
            Resolution::Forgotten => "forgotten",
            Resolution::Later => "later",
        };
        counter!("shardline_proxy_resolver_runs_total", "end" => end).increment(1);
    }
}
