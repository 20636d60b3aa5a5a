//! Reads over three servers, in milliseconds: one server with all the rows, MariaDB's Spider
//! and Shardline, statement by statement in turns, on the same rows.

mod bed;
mod report;
mod spider;
mod statement;

use anyhow::{Context, Result, ensure};
use bed::Bed;
use mysql_async::{Conn, prelude::Queryable};
use report::Report;
use statement::{STATEMENTS, Statement};
use std::{path::PathBuf, time::Instant};

/// Runs before a statement's times count.
const WARM_UP_RUNS: usize = 3;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Rows of the table.
    #[arg(long, default_value_t = 300_000)]
    pub rows: u32,
    /// Runs of each statement on each peer.
    #[arg(long, default_value_t = 20)]
    pub runs: usize,
    /// Only statements whose name holds this.
    #[arg(long)]
    pub only: Option<String>,
    /// Only peers whose name holds this.
    #[arg(long)]
    pub peer: Option<String>,
    /// Write the figures as JSON here too.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Run this program, with the proxy's process id, beside the measured runs: a profiler.
    #[arg(long)]
    pub beside: Option<PathBuf>,
}

/// Measures and prints a Markdown table.
///
/// # Errors
/// A server does not start, the peers' answers differ, or the figures cannot be written.
pub fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    runtime.block_on(measure(&args))
}

async fn measure(args: &Args) -> Result<()> {
    let bed = Bed::start(args.rows).await?;
    let mut peers = Vec::new();
    for (name, conn) in bed.peers().await? {
        if args.peer.as_ref().is_none_or(|wanted| name.contains(wanted.as_str())) {
            peers.push((name, conn));
        }
    }
    ensure!(!peers.is_empty(), "no peer has that name");
    let wanted = |s: &&Statement| args.only.as_ref().is_none_or(|only| s.name.contains(only));
    let statements: Vec<&Statement> = STATEMENTS.iter().filter(wanted).collect();
    ensure!(!statements.is_empty(), "no statement has that name");
    let mut able = Vec::new();
    for statement in &statements {
        able.push(check(&mut peers, statement).await?);
    }
    let beside = args.beside.as_ref().map(|program| {
        let pid = bed.proxy_pid()?.to_string();
        std::process::Command::new(program).arg(pid).spawn().context("starting the profiler")
    });
    let mut beside = beside.transpose()?;
    let mut report = Report::new(peers.iter().map(|(name, _)| *name).collect());
    for (statement, able) in statements.into_iter().zip(able) {
        let mut times = vec![Vec::with_capacity(args.runs); peers.len()];
        for run in 0..args.runs + WARM_UP_RUNS {
            let able = peers.iter_mut().zip(&mut times).zip(&able).filter(|(_, able)| **able);
            for (((_, conn), times), _) in able {
                let begun = Instant::now();
                let rows: Vec<mysql_async::Row> = conn.query(statement.sql).await?;
                let took = begun.elapsed();
                drop(rows);
                if run >= WARM_UP_RUNS {
                    times.push(took);
                }
            }
        }
        report.add(statement, times);
    }
    if let Some(beside) = &mut beside {
        beside.wait().context("waiting for the profiler")?;
    }
    println!("{}", report.markdown());
    if let Some(path) = &args.json {
        std::fs::write(path, report.json()?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    for (_, conn) in peers {
        conn.disconnect().await?;
    }
    Ok(())
}

/// All peers that answer must give the same rows, or their times mean nothing. Returns which
/// do; one that refuses the statement is named.
async fn check(peers: &mut [(&'static str, Conn)], statement: &Statement) -> Result<Vec<bool>> {
    let mut first: Option<Vec<Vec<String>>> = None;
    let mut able = Vec::with_capacity(peers.len());
    for (name, conn) in peers {
        let rows = match shardline_tests::sql::rows(conn, statement.sql).await {
            Ok(rows) => rows,
            Err(error) => {
                eprintln!("{name} does not answer {}: {error:#}", statement.name);
                able.push(false);
                continue;
            }
        };
        let same = first.get_or_insert_with(|| rows.clone()) == &rows;
        ensure!(same, "{name} answers {} differently", statement.name);
        able.push(true);
    }
    Ok(able)
}
