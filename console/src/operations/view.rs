//! What operations tell: plain data, the same for the command line, the API and SQL.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_rebalancer::plan::RebalancePlan;

/// A shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShardView {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its primary's address.
    pub address: String,
    /// `serving`, `joining` or `draining`.
    pub state: String,
    /// Whether its primary answers.
    pub up: bool,
    /// Why it does not.
    pub problem: Option<String>,
    /// Slots that it owns, of all hash placements together.
    pub slots: u64,
    /// Intervals and listed values that it owns.
    pub intervals_and_values: u64,
    /// Databases whose single tables live there.
    pub home_of: Vec<String>,
    /// Single tables that live there.
    pub single_tables: Vec<String>,
    /// Rows, by the server's estimate.
    pub rows: Option<u64>,
    /// Bytes of data and indexes, by the server's estimate.
    pub bytes: Option<u64>,
    /// Moves that come from it or go to it.
    pub moves: u64,
}

/// One move of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoveView {
    /// Its number.
    pub id: u64,
    /// Its job.
    pub job: u64,
    /// How far it is by the catalog.
    pub state: String,
    /// Its tables.
    pub tables: Vec<String>,
    /// What goes.
    pub what: String,
    /// Its owner before.
    pub from: String,
    /// Its owner afterwards.
    pub to: String,
    /// Rows copied.
    pub rows_copied: u64,
    /// Rows that there will be, by the server's estimate; None when only the driver knows.
    pub rows_estimated: Option<u64>,
    /// Bytes copied.
    pub bytes_copied: u64,
    /// Whether every row has been copied.
    pub copied: bool,
    /// Rows a second now.
    pub rows_per_second: Option<f64>,
    /// Bytes a second now.
    pub bytes_per_second: Option<f64>,
    /// Seconds until the copy ends.
    pub eta_s: Option<u64>,
    /// How far the change stream is behind.
    pub lag_ms: Option<u64>,
    /// How long statements were held at its last change of owner.
    pub pause_ms: Option<u64>,
    /// Attempts to change the owner that were given up.
    pub attempts: Option<u32>,
    /// What it waits for.
    pub waits_for: String,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// A job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// Its number.
    pub id: u64,
    /// `partial` or `full`.
    pub kind: String,
    /// What it does.
    pub summary: String,
    /// How far it is.
    pub phase: String,
    /// What is wanted of it.
    pub wish: String,
    /// When it was made, in seconds since 1970.
    pub created_unix_s: u64,
    /// The life of the proxy that drives it.
    pub driver: Option<String>,
    /// Whether that is this process.
    pub driven_here: bool,
    /// How much of all rows is copied.
    pub percent: f64,
    /// Rows copied.
    pub rows_copied: u64,
    /// Rows that there will be; None when only the driver knows.
    pub rows_estimated: Option<u64>,
    /// Bytes copied.
    pub bytes_copied: u64,
    /// Rows a second now.
    pub rows_per_second: f64,
    /// Bytes a second now.
    pub bytes_per_second: f64,
    /// Seconds until the copy ends.
    pub eta_s: Option<u64>,
    /// The change stream that is farthest behind.
    pub lag_ms: Option<u64>,
    /// No farther may it be behind when the owners change.
    pub lag_gate_ms: u64,
    /// The longest that statements were held.
    pub pause_ms: Option<u64>,
    /// Attempts to change owners that were given up.
    pub attempts: u32,
    /// What it waits for.
    pub waits_for: String,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Megabytes a second at most.
    pub max_mbps: Option<u32>,
    /// Replicas may be behind by so much.
    pub lag_max_ms: Option<u32>,
    /// When it may run, UTC.
    pub window: Option<String>,
    /// Whether nothing follows.
    pub is_over: bool,
    /// What may be done with it now.
    pub verbs: Vec<String>,
    /// The same as commands.
    pub next_steps: Vec<String>,
    /// Its moves that are left.
    pub moves: Vec<MoveView>,
}

/// Something that happened to a job, as this process saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// When, in seconds since 1970.
    pub unix_s: u64,
    /// The job.
    pub job: u64,
    /// What.
    pub text: String,
}

/// What `start` did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// The job; None when there was nothing to do.
    pub job: Option<JobView>,
    /// What it does.
    #[schemars(with = "serde_json::Value")]
    pub plan: RebalancePlan,
}

/// Several of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listing<T> {
    /// The form's version.
    pub api_version: String,
    /// What the items are.
    pub kind: String,
    /// They.
    pub items: Vec<T>,
}

impl<T> Listing<T> {
    /// A list of items of a kind.
    pub fn of(kind: &str, items: Vec<T>) -> Self {
        Self { api_version: "shardline/v1".to_owned(), kind: kind.to_owned(), items }
    }
}
