//! What is asked of operations, as the API takes it in JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_rebalancer::plan::{Measure, RebalancePlan};

/// What data is to be where. One goal; the tables it is for, and the shards that it concerns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlanRequest {
    /// Everything is to be even over all shards, or over those in `to`.
    pub all: bool,
    /// Names of shards.
    pub to: Vec<String>,
    /// This shard is to be empty.
    pub drain: Option<String>,
    /// By what shards are to be even.
    #[schemars(with = "Option<String>")]
    pub by: Option<Measure>,
    /// `database.table`: only these and what is colocated with them.
    pub tables: Vec<String>,
    /// Slots of a hash placement: `0-99,200`.
    pub slots: Option<String>,
    /// Keys of a range placement: `first..end`, the end exclusive, either may be empty.
    pub range: Option<String>,
    /// Values of a list placement.
    pub values: Vec<String>,
    /// A key that is to be alone on a shard.
    pub isolate: Option<String>,
    /// A key at which an interval is cut; the upper part goes to `to`.
    pub split: Option<String>,
    /// A key whose interval joins the one below.
    pub merge: Option<String>,
    /// The copy's limit, for the estimate.
    pub max_mbps: Option<u32>,
}

/// How far a job goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UntilRequest {
    /// Everything could change its owner.
    Ready,
    /// Everything has changed its owner, and could go back.
    #[default]
    Moved,
    /// Nothing goes back any more.
    Finished,
}

/// How fast a job may be. What is not named stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottleRequest {
    /// Megabytes a second; 0 is no limit.
    pub max_mbps: Option<u32>,
    /// Replicas behind by more milliseconds make it wait; 0 is no limit.
    pub lag_max_ms: Option<u32>,
    /// `01:00-05:00` (UTC), or `always`.
    pub window: Option<String>,
}

/// A job that is to begin: of a plan, or of a goal that is planned now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StartRequest {
    /// A plan that was made before.
    #[schemars(with = "Option<serde_json::Value>")]
    pub plan: Option<RebalancePlan>,
    /// What is wanted.
    pub goal: Option<PlanRequest>,
    /// How far it goes by itself.
    pub until: UntilRequest,
    /// How fast it may be.
    pub throttle: ThrottleRequest,
}

/// What can be done with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobVerb {
    /// Stand still.
    Pause,
    /// Go on, also after a failure.
    Resume,
    /// Change the owners.
    Cutover,
    /// Bring everything back.
    Rollback,
    /// Take away what would be needed to go back.
    Finish,
    /// Give it up before anything has changed its owner.
    Cancel,
}

impl JobVerb {
    /// All of them.
    pub const ALL: [JobVerb; 6] = [
        JobVerb::Pause,
        JobVerb::Resume,
        JobVerb::Cutover,
        JobVerb::Rollback,
        JobVerb::Finish,
        JobVerb::Cancel,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            JobVerb::Pause => "pause",
            JobVerb::Resume => "resume",
            JobVerb::Cutover => "cutover",
            JobVerb::Rollback => "rollback",
            JobVerb::Finish => "finish",
            JobVerb::Cancel => "cancel",
        }
    }

    /// The verb of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name().eq_ignore_ascii_case(name))
    }
}
