//! The macro benchmark: the same sysbench scripts against every target, in turns.

pub mod histogram;
pub mod limits;
pub mod machine;
pub mod output;
pub mod plot;
pub mod report;
pub mod results;
pub mod sysbench;
pub mod workload;

use crate::peers::{
    bed::{Bed, USUAL},
    data::{Sizes, TableSet},
    foreign::Foreign,
    processor,
    target::Target,
};
use anyhow::{Context, Result, ensure};
use machine::Machine;
use results::{Record, Results};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use sysbench::{Outcome, Run};
use workload::{Scripts, Workload};

/// Rows of the table for statements over all rows.
const SCATTER_ROWS: u32 = 300_000;
/// The longest wait for servers to be done with earlier work.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// How often that is looked at.
const SETTLE_STEP: Duration = Duration::from_millis(100);
/// The exit code of results that do not hold a limit.
const LIMIT_MISSED: u8 = 2;
/// What a short run takes.
const SMOKE_WORKLOADS: &[&str] = &["point-prepared", "keyed-rw-text", "insert", "scatter-count"];
const SMOKE_TABLE_ROWS: u32 = 10_000;
const SMOKE_SCATTER_ROWS: u32 = 30_000;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Workloads by name, or by the beginning of their names [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub workloads: Vec<String>,
    /// Clients at once [default: each workload's own numbers]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub clients: Vec<u32>,
    /// What is measured
    #[arg(long, value_delimiter = ',', value_name = "NAMES", default_values = USUAL)]
    pub targets: Vec<String>,
    /// One more target, already running: name=host:port; tables are made in its database
    /// shardline_bench
    #[arg(long, value_name = "PEER")]
    pub peer: Vec<Foreign>,
    /// Who clients of peers are: user:password
    #[arg(long, value_name = "LOGIN", default_value = "root:")]
    pub peer_login: String,
    /// Seconds of one run
    #[arg(long, default_value_t = 3, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Runs of each cell; the median counts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repetitions: u32,
    /// Rows of a table
    #[arg(long, default_value_t = 100_000, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    pub table_rows: u32,
    /// A short run with few cells: fails when a target does not answer
    #[arg(long)]
    pub smoke: bool,
    /// Hold the results against the limits; ends with 2 when one is missed
    #[arg(long)]
    pub check: bool,
    /// Folder for macro.md, macro.json and the plots [default: none are written]
    #[arg(long, value_name = "FOLDER")]
    pub results: Option<PathBuf>,
}

impl Args {
    /// What a short run does instead.
    fn shortened(self) -> Self {
        if !self.smoke {
            return self;
        }
        let mut args = Self { seconds: 1, repetitions: 1, table_rows: SMOKE_TABLE_ROWS, ..self };
        if args.workloads.is_empty() {
            args.workloads = SMOKE_WORKLOADS.iter().map(|name| (*name).to_owned()).collect();
        }
        if args.clients.is_empty() {
            args.clients = vec![8];
        }
        args
    }
}

/// Measures and reports.
///
/// # Errors
/// A program is missing, a process does not start or a run does not end.
pub fn run(args: Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let args = args.shortened();
    let results = runtime.context("starting a runtime")?.block_on(measure(&args))?;
    println!("\n{}", report::markdown(&results));
    if let Some(folder) = &args.results {
        output::write(&results, folder)?;
    }
    if args.smoke {
        all_answered(&results)?;
    }
    if !args.check {
        return Ok(ExitCode::SUCCESS);
    }
    let lines = limits::check(&results);
    lines.iter().for_each(|line| println!("{}", line.text()));
    let missed = lines.iter().any(|line| line.holds() == Some(false));
    Ok(if missed { ExitCode::from(LIMIT_MISSED) } else { ExitCode::SUCCESS })
}

/// A short run has no limits, but every target must answer with figures.
fn all_answered(results: &Results) -> Result<()> {
    for record in &results.records {
        let place = format!("{} {} {}", record.workload, record.clients, record.target);
        match &record.outcome {
            Outcome::Refused(text) => anyhow::bail!("{place}: {text}"),
            Outcome::Measured(sample) => {
                ensure!(sample.p50_us > 0.0 && sample.client_us > 0.0, "{place}: no figures");
                let proxied = record.target != "direct";
                ensure!(!proxied || sample.proxy_us > Some(0.0), "{place}: no processor time");
            }
        }
    }
    Ok(())
}

async fn measure(args: &Args) -> Result<Results> {
    let begun = Instant::now();
    let machine = Machine::ask()?;
    let workloads =
        if args.workloads.is_empty() { vec![String::new()] } else { args.workloads.clone() };
    let workloads = workload::find(&workloads)?;
    let mut bed = Bed::start(&args.targets).await?;
    let (user, password) = args.peer_login.split_once(':').context("a login is user:password")?;
    for peer in &args.peer {
        bed.add_foreign(peer, user, password);
    }
    let sets: BTreeSet<TableSet> = workloads.iter().map(|workload| workload.set).collect();
    let scatter = if args.smoke { SMOKE_SCATTER_ROWS } else { SCATTER_ROWS };
    for set in sets {
        bed.load(set, Sizes { table: args.table_rows, scatter }).await?;
    }
    eprintln!("servers and tables are ready after {:.1} s", begun.elapsed().as_secs_f32());
    let bench = Bench { args, bed, scripts: Scripts::write()? };
    let mut records = Vec::new();
    for workload in &workloads {
        let clients = if args.clients.is_empty() { workload.clients } else { &args.clients };
        for clients in clients {
            bench.cells(workload, *clients, &mut records).await?;
        }
    }
    eprintln!("measured after {:.1} s", begun.elapsed().as_secs_f32());
    Ok(Results {
        machine,
        seconds: args.seconds,
        repetitions: args.repetitions,
        table_rows: args.table_rows,
        records,
    })
}

/// What all runs share.
struct Bench<'a> {
    args: &'a Args,
    bed: Bed,
    scripts: Scripts,
}

impl Bench<'_> {
    /// One workload with one number of clients on all targets, in turns.
    async fn cells(
        &self,
        workload: &Workload,
        clients: u32,
        records: &mut Vec<Record>,
    ) -> Result<()> {
        let mut refused: Vec<&str> = Vec::new();
        for turn in 0..self.args.repetitions {
            for target in &self.bed.targets {
                if !workload.suits(&target.name) || refused.contains(&target.name.as_str()) {
                    continue;
                }
                let outcome = self.run(target, workload, clients).await.with_context(|| {
                    format!("{} with {clients} clients on {}", workload.name, target.name)
                })?;
                if let Outcome::Refused(_) = outcome {
                    refused.push(&target.name);
                }
                records.push(Record {
                    workload: workload.name.to_owned(),
                    clients,
                    target: target.name.clone(),
                    turn,
                    outcome,
                });
            }
        }
        Ok(())
    }

    async fn run(&self, target: &Target, workload: &Workload, clients: u32) -> Result<Outcome> {
        self.bed.prepare(target, workload.set).await?;
        self.settle().await?;
        let script = self.scripts.path(workload);
        let run = Run {
            target,
            workload,
            script: &script,
            clients,
            seconds: self.args.seconds,
            rows: self.args.table_rows,
        };
        let outcome = run.run().await?;
        eprintln!("{} {clients} {}: {}", workload.name, target.name, outcome.line());
        Ok(outcome)
    }

    /// Waits until the servers have nothing left to do: purge, flushes.
    async fn settle(&self) -> Result<()> {
        let targets = self.bed.targets.iter();
        let pids: BTreeSet<u32> =
            targets.flat_map(|target| target.servers.iter().copied()).collect();
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
}
