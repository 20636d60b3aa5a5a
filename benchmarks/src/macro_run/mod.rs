//! The macro benchmark: the same sysbench scripts against every target, in turns.

pub mod histogram;
pub mod sysbench;
pub mod workload;

use crate::peers::{
    bed::{Bed, NAMES},
    data::{Sizes, TableSet},
    processor,
};
use anyhow::{Context, Result};
use std::{collections::BTreeSet, time::Duration};
use sysbench::{Outcome, Run};

/// Rows of the table for statements over all rows.
const SCATTER_ROWS: u32 = 300_000;
/// The longest wait for servers to be done with earlier work.
const SETTLE_MAX: Duration = Duration::from_secs(3);
/// How often that is looked at.
const SETTLE_STEP: Duration = Duration::from_millis(100);

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Workloads by name, or by the beginning of their names
    #[arg(long, value_delimiter = ',', default_value = "point,rw")]
    pub workloads: Vec<String>,
    /// Clients at once, instead of each workload's own numbers
    #[arg(long, value_delimiter = ',')]
    pub clients: Vec<u32>,
    /// What is measured
    #[arg(long, value_delimiter = ',', default_values = NAMES)]
    pub targets: Vec<String>,
    /// Length of one run, in seconds
    #[arg(long, default_value_t = 4)]
    pub seconds: u64,
    /// Runs of each cell
    #[arg(long, default_value_t = 3)]
    pub repetitions: u32,
    /// Rows of a table
    #[arg(long, default_value_t = 100_000)]
    pub table_rows: u32,
}

/// Measures and reports.
///
/// # Errors
/// A program is missing, a process does not start or a run does not end.
pub fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting a runtime")?.block_on(measure(args))
}

async fn measure(args: Args) -> Result<()> {
    let workloads = workload::find(&args.workloads)?;
    let bed = Bed::start(&args.targets).await?;
    let sets: BTreeSet<TableSet> = workloads.iter().map(|workload| workload.set).collect();
    let sizes = Sizes { table: args.table_rows, scatter: SCATTER_ROWS };
    for set in sets {
        bed.load(set, sizes).await?;
    }
    for workload in &workloads {
        let clients = if args.clients.is_empty() { workload.clients } else { &args.clients };
        for clients in clients {
            for _ in 0..args.repetitions {
                for target in &bed.targets {
                    if workload.set == TableSet::Empty {
                        bed.empty(target, workload.set).await?;
                    }
                    settle(&bed).await?;
                    let run = Run {
                        target,
                        workload,
                        clients: *clients,
                        seconds: args.seconds,
                        rows: args.table_rows,
                    };
                    let outcome = run.run().await?;
                    print(&run, &outcome);
                }
            }
        }
    }
    Ok(())
}

fn print(run: &Run<'_>, outcome: &Outcome) {
    let cell = format!("{} {} {}", run.workload.name, run.clients, run.target.name);
    match outcome {
        Outcome::Refused(text) => println!("{cell}: refused: {text}"),
        Outcome::Measured(sample) => println!(
            "{cell}: {:.0} q/s, p50 {:.0} p95 {:.0} p99 {:.0} us, proxy {:.2} us/query, servers {:.2}, client {:.2}, {} MiB",
            sample.qps,
            sample.p50_us,
            sample.p95_us,
            sample.p99_us,
            sample.proxy_us.unwrap_or_default(),
            sample.servers_us,
            sample.client_us,
            sample.proxy_kib.unwrap_or_default() / 1024,
        ),
    }
}

/// Waits until the servers have nothing left to do: purge, flushes.
async fn settle(bed: &Bed) -> Result<()> {
    let pids: BTreeSet<u32> =
        bed.targets.iter().flat_map(|target| target.servers.iter().copied()).collect();
    let pids: Vec<u32> = pids.into_iter().collect();
    let mut before = processor::used_together_us(&pids)?;
    let mut waited = Duration::ZERO;
    while waited < SETTLE_MAX {
        tokio::time::sleep(SETTLE_STEP).await;
        waited += SETTLE_STEP;
        let now = processor::used_together_us(&pids)?;
        // One tick of the kernel's clock is 10 ms.
        if now - before <= 10_000 {
            break;
        }
        before = now;
    }
    Ok(())
}
