//! One run of sysbench against one target. Queries and processor time are counted over the
//! same window: from the end of its first second to its last report, so that connecting
//! and preparing are not in it.

use super::{histogram::Histogram, workload::Workload};
use crate::peers::{
    data::{TABLES, database_of},
    processor, program,
    target::Target,
};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
};

/// Seconds before the window begins.
const WARM_UP_S: u64 = 1;
/// How much longer than its time a run may take: connecting, preparing, the last events.
const GRACE: Duration = Duration::from_secs(60);
/// Lines of errors that are kept of a run.
const ERRORS_MAX: usize = 20;

/// What one run has shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Transactions per second.
    pub tps: f64,
    /// Queries per second.
    pub qps: f64,
    /// Median latency of a transaction, in microseconds.
    pub p50_us: f64,
    /// The latency that 95 % do not exceed.
    pub p95_us: f64,
    /// The latency that 99 % do not exceed.
    pub p99_us: f64,
    /// The proxy's processor time per query, in microseconds.
    pub proxy_us: Option<f64>,
    /// The servers' processor time per query, in microseconds.
    pub servers_us: f64,
    /// The client's processor time per query, in microseconds.
    pub client_us: f64,
    /// The proxy's memory at the end, in KiB.
    pub proxy_kib: Option<u64>,
    /// Errors that clients ignored (deadlocks), per second.
    pub errors: f64,
}

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran to its end.
    Measured(Sample),
    /// The target refused a statement, which ended the run.
    Refused(String),
}

impl Outcome {
    /// In a line, for whoever waits.
    pub fn line(&self) -> String {
        match self {
            Self::Refused(text) => format!("refused: {text}"),
            Self::Measured(sample) => format!(
                "{:.0} q/s, p50 {:.0} p95 {:.0} p99 {:.0} us, us/query: proxy {:.2} servers {:.2} \
                 client {:.2}",
                sample.qps,
                sample.p50_us,
                sample.p95_us,
                sample.p99_us,
                sample.proxy_us.unwrap_or_default(),
                sample.servers_us,
                sample.client_us,
            ),
        }
    }
}

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The target.
    pub target: &'a Target,
    /// The workload.
    pub workload: &'a Workload,
    /// Its script.
    pub script: &'a Path,
    /// Clients at once.
    pub clients: u32,
    /// Length of the window, in seconds.
    pub seconds: u64,
    /// Rows of a table.
    pub rows: u32,
}

/// One line of sysbench's reports in between.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Report {
    tps: f64,
    qps: f64,
    errors: f64,
}

/// Processor time at one moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    proxy_us: Option<u64>,
    servers_us: u64,
    client_us: u64,
}

/// What was read of a run so far.
#[derive(Debug, Default)]
struct Reading {
    /// That of the warming up.
    first: Option<(Report, Moment)>,
    /// Those of the window.
    reports: Vec<Report>,
    last: Option<Moment>,
    /// When the totals came, and transactions and queries of the whole run.
    end: Option<Moment>,
    totals: [f64; 2],
    histogram: Histogram,
    errors: Vec<String>,
}

impl Run<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// sysbench cannot be started, does not end, or prints what is not understood.
    pub async fn run(self) -> Result<Outcome> {
        let mut child = Command::new(program::find("sysbench", "sysbench")?)
            .args(self.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting sysbench")?;
        let client = child.id().context("sysbench has ended at once")?;
        let stdout = child.stdout.take().context("sysbench's output")?;
        let stderr = child.stderr.take().context("sysbench's errors")?;
        let limit = GRACE + Duration::from_secs(WARM_UP_S + self.seconds);
        let work = async {
            let (reading, errors) = tokio::join!(self.read(stdout, client), read_errors(stderr));
            let mut reading = reading?;
            reading.errors.extend(errors?);
            Ok::<_, anyhow::Error>((reading, child.wait().await?))
        };
        let (reading, status) = tokio::time::timeout(limit, work)
            .await
            .with_context(|| format!("sysbench does not end in {} s", limit.as_secs()))??;
        if !status.success() || !reading.errors.is_empty() {
            let Some(error) = reading.errors.first() else {
                bail!("sysbench ended with {status} without a word");
            };
            return Ok(Outcome::Refused(shortened(error)));
        }
        let kib = self.target.proxy.map(processor::resident_kib).transpose()?;
        reading.sample(kib).map(Outcome::Measured)
    }

    fn arguments(&self) -> Vec<String> {
        let Self { target, workload, .. } = self;
        let mut arguments = vec![
            self.script.display().to_string(),
            "--db-driver=mysql".to_owned(),
            format!("--mysql-host={}", target.host),
            format!("--mysql-port={}", target.port),
            format!("--mysql-user={}", target.user),
            format!("--mysql-password={}", target.password),
            format!("--mysql-db={}", database_of(workload.set, &target.database)),
            format!("--db-ps-mode={}", if workload.prepared { "auto" } else { "disable" }),
            format!("--threads={}", self.clients),
            format!("--time={}", WARM_UP_S + self.seconds),
            "--report-interval=1".to_owned(),
            "--histogram=on".to_owned(),
            "--rand-type=uniform".to_owned(),
            format!("--tables={TABLES}"),
            format!("--table-size={}", self.rows),
        ];
        arguments.extend(workload.options.iter().map(|option| (*option).to_owned()));
        arguments.push("run".to_owned());
        arguments
    }

    async fn read(&self, output: impl AsyncRead + Unpin, client: u32) -> Result<Reading> {
        let (mut lines, mut reading) = (BufReader::new(output).lines(), Reading::default());
        while let Some(line) = lines.next_line().await.context("reading from sysbench")? {
            if let Some(report) = report(&line) {
                let moment = self.moment(client)?;
                match reading.first {
                    None => reading.first = Some((report, moment)),
                    Some(_) => {
                        reading.reports.push(report);
                        reading.last = Some(moment);
                    }
                }
            } else if line.starts_with("SQL statistics:") {
                reading.end = Some(self.moment(client)?);
            } else if let Some((place, total)) = total(&line) {
                reading.totals[place] = total;
            } else if line.starts_with("FATAL") && reading.errors.len() < ERRORS_MAX {
                reading.errors.push(line);
            } else {
                reading.histogram.take_line(&line);
            }
        }
        Ok(reading)
    }

    fn moment(&self, client: u32) -> Result<Moment> {
        Ok(Moment {
            at: Instant::now(),
            proxy_us: self.target.proxy.map(processor::used_us).transpose()?,
            servers_us: processor::used_together_us(&self.target.servers)?,
            client_us: processor::used_us(client)?,
        })
    }
}

impl Reading {
    /// The window: its rates, and the moments around it. The last report may be missing, as
    /// it races with the end; when it was the only one, the totals are its like.
    fn window(&self) -> Option<(Report, Moment, Moment)> {
        let (warm_up, first) = self.first?;
        if let Some(last) = self.last {
            let count = self.reports.len() as f64;
            let mean =
                |value: fn(&Report) -> f64| self.reports.iter().map(value).sum::<f64>() / count;
            let rates = Report {
                tps: mean(|report| report.tps),
                qps: mean(|report| report.qps),
                errors: mean(|report| report.errors),
            };
            return Some((rates, first, last));
        }
        let last = self.end?;
        let seconds = (last.at - first.at).as_secs_f64();
        let [transactions, queries] = self.totals;
        let rates = Report {
            tps: (transactions - warm_up.tps) / seconds,
            qps: (queries - warm_up.qps) / seconds,
            errors: warm_up.errors,
        };
        Some((rates, first, last))
    }

    fn sample(&self, proxy_kib: Option<u64>) -> Result<Sample> {
        let (rates, first, last) =
            self.window().context("sysbench has reported too little: did it run for a second?")?;
        let queries = rates.qps * (last.at - first.at).as_secs_f64();
        ensure!(queries > 0.0, "sysbench has reported no queries");
        let each = |first: u64, last: u64| last.saturating_sub(first) as f64 / queries;
        let proxy_us = first.proxy_us.zip(last.proxy_us).map(|(first, last)| each(first, last));
        Ok(Sample {
            tps: rates.tps,
            qps: rates.qps,
            p50_us: self.histogram.percentile_us(0.5),
            p95_us: self.histogram.percentile_us(0.95),
            p99_us: self.histogram.percentile_us(0.99),
            proxy_us,
            servers_us: each(first.servers_us, last.servers_us),
            client_us: each(first.client_us, last.client_us),
            proxy_kib,
            errors: rates.errors,
        })
    }
}

async fn read_errors(output: impl AsyncRead + Unpin) -> Result<Vec<String>> {
    let (mut lines, mut errors) = (BufReader::new(output).lines(), Vec::new());
    while let Some(line) = lines.next_line().await.context("reading sysbench's errors")? {
        if errors.len() < ERRORS_MAX && !line.trim().is_empty() {
            errors.push(line);
        }
    }
    Ok(errors)
}

/// Understands `[ 2s ] thds: 8 tps: 9.00 qps: 180.00 (r/w/o: ...) lat (ms,95%): 3 err/s: 0.00`.
fn report(line: &str) -> Option<Report> {
    let rest = line.strip_prefix("[ ")?;
    let number = |label: &str| {
        let (_, behind) = rest.split_once(label)?;
        behind.split_whitespace().next()?.trim_end_matches(',').parse().ok()
    };
    Some(Report { tps: number(" tps: ")?, qps: number(" qps: ")?, errors: number(" err/s: ")? })
}

/// Understands `    transactions:   4711   (1177.15 per sec.)` and its like for queries: a
/// place in the totals, and the total.
fn total(line: &str) -> Option<(usize, f64)> {
    let (label, rest) = line.trim().split_once(':')?;
    let place = ["transactions", "queries"].iter().position(|known| *known == label)?;
    Some((place, rest.split_whitespace().next()?.parse().ok()?))
}

/// An error's text without what sysbench says around it.
fn shortened(line: &str) -> String {
    let text = line.split_once("FATAL: ").map_or(line, |(_, rest)| rest);
    let text = text.split_once("() returned ").map_or(text, |(_, rest)| rest);
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_report() {
        let line = "[ 12s ] thds: 64 tps: 871.95 qps: 17439.07 (r/w/o: 12207.35/3487.81/1743.91) \
                    lat (ms,95%): 92.42 err/s: 0.50 reconn/s: 0.00";
        let found = report(line).expect("a report");
        assert_eq!(found, Report { tps: 871.95, qps: 17439.07, errors: 0.5 });
        assert_eq!(report("Threads started!"), None);
    }

    #[test]
    fn reads_totals() {
        let line = "    queries:                             94220  (23548.33 per sec.)";
        assert_eq!(total(line), Some((1, 94_220.0)));
        assert_eq!(total("    queries performed:"), None);
        assert_eq!(total("SQL statistics:"), None);
    }
}
