//! What can be written on the command line about shards, data on the move, and jobs.

use super::arguments::{DirArguments, Output};
use crate::operations::{PlanRequest, ThrottleRequest, UntilRequest};
use clap::{Args, Subcommand, ValueEnum, builder::BoolishValueParser};
use shardline_rebalancer::plan::Measure;
use std::path::PathBuf;

/// Which cluster, and how to print.
#[derive(Args, Clone, Debug)]
pub struct ApiArguments {
    /// Where the cluster lives.
    #[command(flatten)]
    pub dir: DirArguments,
    /// The API of a process that is not local: HOST:PORT, or https://HOST:PORT
    #[arg(long, env = "SHARDLINE_API", value_name = "ADDRESS")]
    pub api: Option<String>,
    /// File with a token for the API [default: the variable SHARDLINE_TOKEN, or the folder's own]
    #[arg(long, env = "SHARDLINE_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates of the authority of an https API (PEM)
    #[arg(long, env = "SHARDLINE_API_CA", value_name = "FILE")]
    pub api_ca: Option<PathBuf>,
    /// How to print it
    #[arg(short, long, env = "SHARDLINE_OUTPUT", default_value = "table", value_name = "FORM")]
    pub output: Output,
}

/// Whether a person has agreed.
#[derive(Args, Clone, Copy, Debug)]
pub struct ConsentArguments {
    /// Do not ask
    #[arg(short, long, env = "SHARDLINE_YES", value_parser = BoolishValueParser::new())]
    pub yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long, env = "SHARDLINE_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
}

/// How long a command watches.
#[derive(Args, Clone, Copy, Debug)]
pub struct WaitArguments {
    /// Return at once; the job goes on
    #[arg(long, env = "SHARDLINE_NO_WAIT", value_parser = BoolishValueParser::new())]
    pub no_wait: bool,
    /// Watch for so many seconds at most
    #[arg(long, env = "SHARDLINE_TIMEOUT_S", value_name = "SECONDS")]
    pub timeout_s: Option<u64>,
}

/// By what shards are to be even.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The number of slots; range and list by rows.
    Slots,
    /// Rows, counted.
    Rows,
    /// Bytes.
    Bytes,
}

/// How far a job goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UntilArgument {
    /// Everything could change its owner: `cutover` does it.
    Ready,
    /// Everything has changed its owner, and could go back.
    #[default]
    Moved,
    /// Nothing goes back any more.
    Finished,
}

impl From<UntilArgument> for UntilRequest {
    fn from(until: UntilArgument) -> Self {
        match until {
            UntilArgument::Ready => UntilRequest::Ready,
            UntilArgument::Moved => UntilRequest::Moved,
            UntilArgument::Finished => UntilRequest::Finished,
        }
    }
}

/// What data is to be where.
#[derive(Args, Clone, Debug, Default)]
pub struct GoalArguments {
    /// Everything even over all shards
    #[arg(long, env = "SHARDLINE_ALL", value_parser = BoolishValueParser::new())]
    pub all: bool,
    /// Empty this shard
    #[arg(long, env = "SHARDLINE_DRAIN", value_name = "SHARD")]
    pub drain: Option<String>,
    /// Only this table and what is colocated with it (may be given again)
    #[arg(long = "table", env = "SHARDLINE_TABLE", value_name = "DATABASE.TABLE")]
    pub tables: Vec<String>,
    /// Where named data goes; with --all the only shards that have data afterwards
    #[arg(long, env = "SHARDLINE_TO", value_name = "SHARDS", value_delimiter = ',')]
    pub to: Vec<String>,
    /// By what shards are to be even
    #[arg(long, env = "SHARDLINE_BY", value_name = "MEASURE")]
    pub by: Option<By>,
    /// Move these slots of a hash table: 0-99,200
    #[arg(long, env = "SHARDLINE_SLOTS", value_name = "SLOTS")]
    pub slots: Option<String>,
    /// Move these keys of a range table: FIRST..END (END is not in it; either may be empty)
    #[arg(long, env = "SHARDLINE_RANGE", value_name = "KEYS")]
    pub range: Option<String>,
    /// Move this value of a list table (may be given again)
    #[arg(long = "value", env = "SHARDLINE_VALUE", value_name = "KEY")]
    pub values: Vec<String>,
    /// Give this key a shard for itself
    #[arg(long, env = "SHARDLINE_ISOLATE", value_name = "KEY")]
    pub isolate: Option<String>,
    /// Cut the interval that has this key; from the key on it goes to --to
    #[arg(long, env = "SHARDLINE_SPLIT", value_name = "KEY")]
    pub split: Option<String>,
    /// Join the interval that has this key with the one below
    #[arg(long, env = "SHARDLINE_MERGE", value_name = "KEY")]
    pub merge: Option<String>,
}

impl GoalArguments {
    /// The same for the API.
    pub fn request(&self, max_mbps: Option<u32>) -> PlanRequest {
        PlanRequest {
            all: self.all,
            to: self.to.clone(),
            drain: self.drain.clone(),
            by: self.by.map(|by| match by {
                By::Slots => Measure::Slots,
                By::Rows => Measure::Rows,
                By::Bytes => Measure::Bytes,
            }),
            tables: self.tables.clone(),
            slots: self.slots.clone(),
            range: self.range.clone(),
            values: self.values.clone(),
            isolate: self.isolate.clone(),
            split: self.split.clone(),
            merge: self.merge.clone(),
            max_mbps,
        }
    }
}

/// How fast a job may be.
#[derive(Args, Clone, Debug, Default)]
pub struct ThrottleArguments {
    /// Copy no more megabytes a second; 0 is no limit
    #[arg(long, env = "SHARDLINE_MAX_MBPS", value_name = "MB")]
    pub max_mbps: Option<u32>,
    /// Wait while a replica is behind by more milliseconds; 0 is no limit
    #[arg(long, env = "SHARDLINE_LAG_MAX_MS", value_name = "MS")]
    pub lag_max_ms: Option<u32>,
    /// Run in this part of the day only (UTC): 01:00-05:00, or always
    #[arg(long, env = "SHARDLINE_WINDOW", value_name = "WINDOW")]
    pub window: Option<String>,
}

impl ThrottleArguments {
    /// The same for the API.
    pub fn request(&self) -> ThrottleRequest {
        ThrottleRequest {
            max_mbps: self.max_mbps,
            lag_max_ms: self.lag_max_ms,
            window: self.window.clone(),
        }
    }
}

/// `shardline shard`.
#[derive(Clone, Debug, Subcommand)]
pub enum ShardVerb {
    /// Show all shards
    List(ApiArguments),
    /// Show one shard
    Show(ShardNameArguments),
    /// Add a shard: it gets every definition, and data when a rebalance gives it some
    Add(ShardAddArguments),
    /// Move all data away from a shard
    Drain(ShardDrainArguments),
    /// Take away a shard that has no data any more
    Remove(ShardRemoveArguments),
}

/// One shard.
#[derive(Args, Clone, Debug)]
pub struct ShardNameArguments {
    /// Its name
    #[arg(env = "SHARDLINE_SHARD")]
    pub name: String,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline shard add`.
#[derive(Args, Clone, Debug)]
pub struct ShardAddArguments {
    /// Its name
    #[arg(env = "SHARDLINE_SHARD")]
    pub name: String,
    /// Start its server on this machine, beside the others of the cluster's folder
    #[arg(long, env = "SHARDLINE_LOCAL", value_parser = BoolishValueParser::new(), conflicts_with = "primary")]
    pub local: bool,
    /// Its server, which runs already: HOST:PORT
    #[arg(long, env = "SHARDLINE_PRIMARY", value_name = "ADDRESS")]
    pub primary: Option<String>,
    /// Its replicas: HOST:PORT, separated by commas
    #[arg(long, env = "SHARDLINE_REPLICAS", value_name = "ADDRESSES", value_delimiter = ',')]
    pub replicas: Vec<String>,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline shard drain`.
#[derive(Args, Clone, Debug)]
pub struct ShardDrainArguments {
    /// Its name
    #[arg(env = "SHARDLINE_SHARD")]
    pub name: String,
    /// Let new data go there again; what has moved stays moved
    #[arg(long, env = "SHARDLINE_UNDO", value_parser = BoolishValueParser::new())]
    pub undo: bool,
    /// How far it goes by itself
    #[arg(long, env = "SHARDLINE_UNTIL", value_name = "POINT", default_value = "moved")]
    pub until: UntilArgument,
    /// How fast it may be.
    #[command(flatten)]
    pub throttle: ThrottleArguments,
    /// Whether a person has agreed.
    #[command(flatten)]
    pub consent: ConsentArguments,
    /// How long to watch.
    #[command(flatten)]
    pub wait: WaitArguments,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline shard remove`.
#[derive(Args, Clone, Debug)]
pub struct ShardRemoveArguments {
    /// Its name
    #[arg(env = "SHARDLINE_SHARD")]
    pub name: String,
    /// Whether a person has agreed.
    #[command(flatten)]
    pub consent: ConsentArguments,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline rebalance`.
#[derive(Clone, Debug, Subcommand)]
pub enum RebalanceVerb {
    /// Show what would be moved, and keep it for `start`
    Plan(PlanArguments),
    /// Move data: by a plan, or by what is wanted
    Start(StartArguments),
    /// Show how far a job is
    Status(JobArguments),
    /// Show a job until it stands still
    Watch(WatchArguments),
    /// Let a job stand still
    Pause(JobArguments),
    /// Let a paused or failed job go on
    Resume(JobArguments),
    /// Change how fast a job may be
    Throttle(ThrottleJobArguments),
    /// Compare both sides of what is copied; differences end it with 2
    Verify(JobArguments),
    /// Let everything of a ready job change its owner
    Cutover(JobArguments),
    /// Bring back what a job has moved
    Rollback(ConsentedJobArguments),
    /// End a job for good: nothing goes back any more
    Finish(ConsentedJobArguments),
    /// Give up a job before anything has changed its owner
    Cancel(ConsentedJobArguments),
}

/// `shardline rebalance plan`.
#[derive(Args, Clone, Debug)]
pub struct PlanArguments {
    /// What is wanted.
    #[command(flatten)]
    pub goal: GoalArguments,
    /// Write the plan into this file
    #[arg(long, env = "SHARDLINE_OUT", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The copy's limit, for the estimate
    #[arg(long, env = "SHARDLINE_MAX_MBPS", value_name = "MB")]
    pub max_mbps: Option<u32>,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline rebalance start`.
#[derive(Args, Clone, Debug)]
pub struct StartArguments {
    /// A plan that `rebalance plan --out` has written
    #[arg(env = "SHARDLINE_PLAN", value_name = "PLAN")]
    pub plan: Option<PathBuf>,
    /// What is wanted.
    #[command(flatten)]
    pub goal: GoalArguments,
    /// How far it goes by itself
    #[arg(long, env = "SHARDLINE_UNTIL", value_name = "POINT", default_value = "moved")]
    pub until: UntilArgument,
    /// How fast it may be.
    #[command(flatten)]
    pub throttle: ThrottleArguments,
    /// Say what would be done, and do nothing
    #[arg(long, env = "SHARDLINE_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    /// How long to watch.
    #[command(flatten)]
    pub wait: WaitArguments,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// One job.
#[derive(Args, Clone, Debug)]
pub struct JobArguments {
    /// Its number
    #[arg(env = "SHARDLINE_JOB")]
    pub id: u64,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// One job, and whether a person has agreed.
#[derive(Args, Clone, Debug)]
pub struct ConsentedJobArguments {
    /// Its number
    #[arg(env = "SHARDLINE_JOB")]
    pub id: u64,
    /// Whether a person has agreed.
    #[command(flatten)]
    pub consent: ConsentArguments,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// One job that is watched.
#[derive(Args, Clone, Debug)]
pub struct WatchArguments {
    /// Its number
    #[arg(env = "SHARDLINE_JOB")]
    pub id: u64,
    /// Watch for so many seconds at most
    #[arg(long, env = "SHARDLINE_TIMEOUT_S", value_name = "SECONDS")]
    pub timeout_s: Option<u64>,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline rebalance throttle`.
#[derive(Args, Clone, Debug)]
pub struct ThrottleJobArguments {
    /// Its number
    #[arg(env = "SHARDLINE_JOB")]
    pub id: u64,
    /// How fast it may be.
    #[command(flatten)]
    pub throttle: ThrottleArguments,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline job`.
#[derive(Clone, Debug, Subcommand)]
pub enum JobVerbArguments {
    /// Show all jobs, the newest first
    List(ApiArguments),
    /// Show one job
    Show(JobArguments),
    /// Wait until a job stands still
    Wait(WatchArguments),
    /// Show what has happened to a job since its process has started
    Logs(JobArguments),
}
