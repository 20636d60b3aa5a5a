//! What can be written on the command line about the cluster as it is now.

use super::operator_arguments::ApiArguments;
use clap::{Args, Subcommand, builder::BoolishValueParser};

/// `shardline cluster`.
#[derive(Clone, Debug, Subcommand)]
pub enum ClusterVerb {
    /// Say how the cluster is
    Show(ApiArguments),
    /// Show the servers of all shards
    Servers(ApiArguments),
    /// Show the proxies
    Proxies(ApiArguments),
    /// Show the metadata nodes
    Nodes(ApiArguments),
    /// Show statements, errors and times, over time
    Rates(RatesArguments),
    /// Print events as they happen, one a line
    Watch(ApiArguments),
}

/// `shardline cluster rates`.
#[derive(Args, Clone, Debug)]
pub struct RatesArguments {
    /// How far back, at most a week
    #[arg(long, env = "SHARDLINE_MINUTES", value_name = "N", default_value = "10")]
    pub minutes: u64,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline database`.
#[derive(Clone, Debug, Subcommand)]
pub enum DatabaseVerb {
    /// Show the databases
    List(ApiArguments),
}

/// `shardline table`.
#[derive(Clone, Debug, Subcommand)]
pub enum TableVerb {
    /// Show the tables of a database
    List(TablesArguments),
    /// Show where a table is, with rows and bytes by shard
    Show(TableArguments),
}

/// `shardline table list`.
#[derive(Args, Clone, Debug)]
pub struct TablesArguments {
    /// The database
    #[arg(env = "SHARDLINE_DATABASE")]
    pub database: String,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline table show`.
#[derive(Args, Clone, Debug)]
pub struct TableArguments {
    /// The table: DATABASE.TABLE
    #[arg(env = "SHARDLINE_TABLE")]
    pub table: String,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline session`.
#[derive(Clone, Debug, Subcommand)]
pub enum SessionVerb {
    /// Show sessions
    List(ApiArguments),
    /// End a session, or what it runs
    Kill(KillArguments),
}

/// `shardline session kill`.
#[derive(Args, Clone, Debug)]
pub struct KillArguments {
    /// Its id
    #[arg(env = "SHARDLINE_SESSION")]
    pub id: u64,
    /// End the statement that runs, not the session
    #[arg(long, env = "SHARDLINE_QUERY_ONLY", value_parser = BoolishValueParser::new())]
    pub query_only: bool,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline txn`.
#[derive(Clone, Debug, Subcommand)]
pub enum TransactionVerb {
    /// Show transactions over several shards that are not done with
    List(ApiArguments),
}

/// `shardline explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArguments {
    /// The statement
    #[arg(env = "SHARDLINE_STATEMENT")]
    pub sql: String,
    /// The database that it would run in
    #[arg(long, env = "SHARDLINE_DATABASE", value_name = "NAME")]
    pub database: Option<String>,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline sql-stats`.
#[derive(Clone, Debug, Subcommand)]
pub enum StatisticsVerb {
    /// Show what statements cost
    Top(TopArguments),
    /// Show slow statements, the newest first
    Slow(SlowArguments),
    /// Show what one digest costs
    Show(DigestArguments),
}

/// `shardline sql-stats top`.
#[derive(Args, Clone, Debug)]
pub struct TopArguments {
    /// By what they are sorted: time, calls, errors or p99
    #[arg(long, env = "SHARDLINE_ORDER", value_name = "ORDER", default_value = "time")]
    pub order: String,
    /// How many
    #[arg(long, env = "SHARDLINE_LIMIT", value_name = "N", default_value = "20")]
    pub limit: u64,
    /// Only those of this database
    #[arg(long, env = "SHARDLINE_DATABASE", value_name = "NAME")]
    pub database: Option<String>,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline sql-stats slow`.
#[derive(Args, Clone, Debug)]
pub struct SlowArguments {
    /// How many
    #[arg(long, env = "SHARDLINE_LIMIT", value_name = "N", default_value = "20")]
    pub limit: u64,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}

/// `shardline sql-stats show`.
#[derive(Args, Clone, Debug)]
pub struct DigestArguments {
    /// Its id
    #[arg(env = "SHARDLINE_DIGEST")]
    pub id: String,
    /// The cluster.
    #[command(flatten)]
    pub api: ApiArguments,
}
