//! The command line: `shardline <verb>`. Every flag has a `SHARDLINE_*` variable.

pub mod access_arguments;
pub mod arguments;
pub mod live_arguments;
pub mod operator_arguments;

mod access;
mod audit;
mod completion;
mod consent;
mod down;
mod job;
mod live;
mod meta;
mod proxy;
mod rebalance;
mod shard;
mod show;
mod sql;
mod status;
mod up;

pub use arguments::Cli;

use crate::exit::{Failure, Reason};
use access_arguments::RoleVerb;
use arguments::{LogArguments, Verb};
use clap::Parser;
use shardline_base::{Telemetry, TelemetryConfig};
use std::{ffi::OsString, path::Path, process::ExitCode};

/// Runs the program with its arguments and gives its exit code.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    if arguments.get(1).is_some_and(|verb| verb == crate::local::child::EXEC_VERB) {
        return exec_child(&arguments[2..]);
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as errors too, but end well.
            let code = if error.use_stderr() { Reason::Usage.code() } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(Reason::Failed.code()),
            };
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.verb {
        Verb::Up(arguments) => up::run(&arguments),
        Verb::Down(arguments) => down::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Sql(arguments) => sql::run(&arguments),
        Verb::Meta(arguments) => meta::run(&arguments),
        Verb::Proxy(arguments) => proxy::run(&arguments),
        Verb::Shard(verb) => runtime("shard", 1)?.block_on(shard::run(&verb)),
        Verb::Rebalance(verb) => runtime("rebalance", 1)?.block_on(rebalance::run(&verb)),
        Verb::Job(verb) => runtime("job", 1)?.block_on(job::run(&verb)),
        Verb::Cluster(verb) => runtime("cluster", 1)?.block_on(live::cluster(&verb)),
        Verb::Database(verb) => runtime("database", 1)?.block_on(live::database(&verb)),
        Verb::Table(verb) => runtime("table", 1)?.block_on(live::tables(&verb)),
        Verb::Session(verb) => runtime("session", 1)?.block_on(live::session(&verb)),
        Verb::Txn(verb) => runtime("txn", 1)?.block_on(live::transaction(&verb)),
        Verb::Explain(arguments) => runtime("explain", 1)?.block_on(live::explain(&arguments)),
        Verb::SqlStats(verb) => runtime("sql-stats", 1)?.block_on(live::statistics(&verb)),
        Verb::User(verb) => runtime("user", 1)?.block_on(access::user(&verb)),
        Verb::Role(RoleVerb::List(api)) => runtime("role", 1)?.block_on(access::roles(&api)),
        Verb::Token(verb) => runtime("token", 1)?.block_on(access::token(&verb)),
        Verb::Audit(verb) => runtime("audit", 1)?.block_on(audit::run(&verb)),
        Verb::Console(api) => runtime("console", 1)?.block_on(access::console(&api)),
        Verb::Whoami(api) => runtime("whoami", 1)?.block_on(access::whoami(&api)),
        Verb::Completion(arguments) => completion::run(&arguments),
        Verb::Version => {
            println!("shardline {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}

/// `exec-child PARENT PROGRAM ARGUMENT...`: see [`crate::local::child`].
fn exec_child(arguments: &[OsString]) -> ExitCode {
    let parent = arguments.first().and_then(|pid| pid.to_str()?.parse().ok());
    let (Some(parent), Some(program)) = (parent, arguments.get(1)) else {
        return Failure::new(Reason::Usage, "exec-child is for shardline's own use").report();
    };
    let program = Path::new(program);
    let error = crate::local::child::become_child(parent, program, &arguments[2..]);
    Failure::new(Reason::Failed, format!("cannot run {}: {error}", program.display())).report()
}

/// Sets up logs and metrics of a process that runs for long.
fn telemetry(log: &LogArguments) -> Result<Telemetry, Failure> {
    TelemetryConfig { format: log.log_format, filter: log.log.clone() }
        .build()
        .map_err(|error| Failure::new(Reason::Usage, crate::exit::chain(&error)))
}

/// A runtime with `workers` threads named `name`.
fn runtime(name: &'static str, workers: usize) -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Reason::Failed, format!("cannot start threads: {error}")))
}
