//! `shardline-bench`: benchmarks of whole processes. Each verb has a module with its
//! arguments and a `run`.

use clap::{Parser, Subcommand};
use shardline_benchmarks::{budget, idle, macro_run, peers, scaling, scatter, transactions};
use std::process::ExitCode;

/// The allocator of the `shardline` binary, whose instructions are counted here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Shardline beside its peers, on this machine
#[derive(Debug, Parser)]
#[command(name = "shardline-bench", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run sysbench against every target, in turns, and report
    Run(macro_run::Args),
    /// Memory of the proxy with idle connections, and with one slow reader of a large result
    Idle(idle::Args),
    /// Reads over three shards beside one server and Spider
    Scatter(scatter::Args),
    /// Relay one TCP port to another: the floor that every proxy is held against
    #[command(hide = true)]
    Relay(peers::relay::Args),
    /// Compare the instructions of the hot paths with their recorded budgets
    Budget(budget::Args),
    /// Writes and the cost of a query, as shards, tables and plans grow
    Scaling(scaling::Args),
    /// What transactions over several shards cost, and what the lock check costs others
    Transactions(transactions::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Run(args) => macro_run::run(args),
        Verb::Idle(args) => idle::run(args),
        Verb::Scatter(args) => scatter::run(args).map(|()| ExitCode::SUCCESS),
        Verb::Relay(args) => peers::relay::run(args).map(|()| ExitCode::SUCCESS),
        Verb::Budget(args) => budget::run(args),
        Verb::Scaling(args) => scaling::run(args).map(|()| ExitCode::SUCCESS),
        Verb::Transactions(args) => transactions::run(args).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("shardline-bench: {error:#}");
        ExitCode::FAILURE
    })
}
