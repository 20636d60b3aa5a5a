//! What a proxy holds in memory for clients that do little: thousands of idle connections,
//! and one that reads a large result slowly.

mod report;
mod slow_reader;

use crate::{
    macro_run::machine::Machine,
    peers::{
        bed::Bed,
        data::{Sizes, TableSet},
        processor,
        target::Target,
    },
};
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use report::{Figures, Report};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shardline_tests::sql;
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// Connections that are opened and closed before anything counts: pools and caches fill.
const WARM_UP_CONNECTIONS: u32 = 200;
/// How long the proxy is left alone before its memory is read.
const REST: Duration = Duration::from_secs(2);
/// File descriptors beside those of connections.
const OTHER_FILES: u64 = 500;
/// The exit code of figures that do not hold a limit.
const LIMIT_MISSED: u8 = 2;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Idle connections
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=50_000))]
    pub connections: u32,
    /// Size of the large result, in MiB
    #[arg(long, default_value_t = 1_024, value_name = "MIB", value_parser = clap::value_parser!(u64).range(16..=16_384))]
    pub result_mib: u64,
    /// How fast it is read, in MiB per second
    #[arg(long, default_value_t = 50, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub rate_mib: u64,
    /// Which clusters: shardline-1, shardline-1-unix, shardline-3
    #[arg(long, value_delimiter = ',', value_name = "NAMES", default_values = ["shardline-1", "shardline-3"])]
    pub targets: Vec<String>,
    /// Rows of a table
    #[arg(long, default_value_t = 100_000, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    pub table_rows: u32,
    /// A short run with few connections and a small result
    #[arg(long)]
    pub smoke: bool,
    /// Hold the figures against the limits; ends with 2 when one is missed
    #[arg(long)]
    pub check: bool,
    /// Folder for idle.md and idle.json [default: none are written]
    #[arg(long, value_name = "FOLDER")]
    pub results: Option<PathBuf>,
}

impl Args {
    fn shortened(self) -> Self {
        if !self.smoke {
            return self;
        }
        Self { connections: 500, result_mib: 64, table_rows: 10_000, ..self }
    }
}

/// Measures and reports.
///
/// # Errors
/// A process does not start, or a client fails.
pub fn run(args: Args) -> Result<ExitCode> {
    let args = args.shortened();
    raise_file_limit(u64::from(args.connections) + OTHER_FILES)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.context("starting a runtime")?.block_on(measure(&args))?;
    println!("{}", report.markdown());
    if let Some(folder) = &args.results {
        report.write(folder)?;
    }
    if !args.check {
        return Ok(ExitCode::SUCCESS);
    }
    let lines = report.check();
    lines.iter().for_each(|(_, line)| println!("{line}"));
    let missed = lines.iter().any(|(holds, _)| !holds);
    Ok(if missed { ExitCode::from(LIMIT_MISSED) } else { ExitCode::SUCCESS })
}

/// Raises this process's limit of open files, which the processes that it starts inherit.
fn raise_file_limit(needed: u64) -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    ensure!(
        maximum.is_none_or(|maximum| maximum >= needed),
        "{needed} open files are needed and {maximum:?} allowed: raise the hard limit (ulimit -Hn)"
    );
    let current = maximum.or(Some(needed));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).context("raising the limit of files")
}

async fn measure(args: &Args) -> Result<Report> {
    let machine = Machine::ask()?;
    let mut bed = Bed::start(&args.targets).await?;
    let sizes = Sizes { table: args.table_rows, scatter: 0 };
    bed.load(TableSet::Sbtest, sizes).await?;
    let mut figures = Vec::new();
    for place in 0..bed.targets.len() {
        let name = bed.targets[place].name.clone();
        // Each measurement has a proxy of its own: memory that was freed is memory that the
        // next one would not ask for.
        bed.restart_proxy(&name).await?;
        let slow = slow_reader::measure(args, &bed.targets[place])
            .await
            .with_context(|| format!("a slow reader of {name}"))?;
        eprintln!("{name}: {slow:?}");
        bed.restart_proxy(&name).await?;
        let (before, after) = idle_connections(args, &bed.targets[place])
            .await
            .with_context(|| format!("idle connections to {name}"))?;
        eprintln!("{name}: {} connections, {before} KiB -> {after} KiB", args.connections);
        figures.push(Figures {
            target: name,
            connections: args.connections,
            before_kib: before,
            after_kib: after,
            slow,
        });
    }
    Ok(Report { machine, figures })
}

/// The proxy's memory before and after the connections, in KiB.
async fn idle_connections(args: &Args, target: &Target) -> Result<(u64, u64)> {
    let pid = target.proxy_pid()?;
    drop(connect_all(args, target, WARM_UP_CONNECTIONS).await?);
    tokio::time::sleep(REST).await;
    let before = processor::resident_kib(pid)?;
    let mut idle = connect_all(args, target, args.connections).await?;
    tokio::time::sleep(REST).await;
    let after = processor::resident_kib(pid)?;
    // They are there: some of them go on.
    for conn in idle.iter_mut().step_by(100) {
        point_select(conn, 1).await?;
    }
    Ok((before, after))
}

/// Opens connections, each of which reads one row.
async fn connect_all(args: &Args, target: &Target, count: u32) -> Result<Vec<Conn>> {
    let options = OptsBuilder::from_opts(target.options()).db_name(Some(target.database.clone()));
    let mut conns = Vec::with_capacity(count as usize);
    for number in 0..count {
        let mut conn = sql::connect(options.clone()).await?;
        point_select(&mut conn, 1 + number % args.table_rows).await?;
        conns.push(conn);
    }
    Ok(conns)
}

async fn point_select(conn: &mut Conn, id: u32) -> Result<()> {
    let text: Option<String> =
        conn.query_first(format!("SELECT c FROM sbtest1 WHERE id={id}")).await?;
    ensure!(text.is_some(), "row {id} is missing");
    Ok(())
}
