//! What transactions over several shards cost: a transfer between two shards beside the same
//! statements on one, XA on the same servers, and single writes with the guard off and on. The
//! cases take turns in one run, so that their ratios mean something on a machine that is shared.

mod bed;
mod report;
mod work;

use anyhow::{Context, Result, ensure};
use bed::Bed;
use report::Report;
use std::{path::PathBuf, time::Duration};
use work::{Case, Worker};

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Clients at once.
    #[arg(long, default_value_t = 8)]
    pub clients: usize,
    /// Seconds of each case in each turn.
    #[arg(long, default_value_t = 4)]
    pub seconds: u64,
    /// Turns.
    #[arg(long, default_value_t = 5)]
    pub turns: usize,
    /// One short turn, to see that everything still answers.
    #[arg(long)]
    pub smoke: bool,
    /// Write `transactions.md` and `transactions.json` into this folder.
    #[arg(long)]
    pub results: Option<PathBuf>,
}

/// Measures and prints a Markdown table.
///
/// # Errors
/// A server does not start, a statement fails other than by a lost lock, or the figures cannot
/// be written.
pub fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    runtime.block_on(measure(&args))
}

async fn measure(args: &Args) -> Result<()> {
    let (turns, time) = match args.smoke {
        true => (1, Duration::from_millis(500)),
        false => (args.turns, Duration::from_secs(args.seconds)),
    };
    ensure!(args.clients > 0 && turns > 0, "there must be a client and a turn");
    let bed = Bed::start().await?;
    let mut workers = Vec::new();
    for number in 0..args.clients {
        workers.push(Worker::connect(&bed, number as u64 + 1).await?);
    }
    let mut report = Report::new(args.clients);
    for turn in 0..=turns {
        for case in Case::ALL {
            // The first turn warms up.
            let time = if turn == 0 { time / 4 } else { time };
            let running = workers.drain(..).map(|worker| tokio::spawn(worker.run(case, time)));
            let mut latencies = Vec::new();
            let running: Vec<_> = running.collect();
            for one in running {
                let (worker, taken) = one.await.context("a client panicked")??;
                workers.push(worker);
                latencies.extend(taken);
            }
            ensure!(!latencies.is_empty(), "nothing was done in {}", case.name());
            if turn > 0 {
                report.add(case, time, latencies);
            }
        }
    }
    bed.check().await?;
    println!("{}", report.markdown()?);
    match &args.results {
        Some(folder) => report.write(folder),
        None => Ok(()),
    }
}
