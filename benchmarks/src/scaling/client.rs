//! sysbench as a client: runs a script for a while and reads what it reports each second.

use anyhow::{Context, Result, bail, ensure};
use std::process::Stdio;
use tokio::process::Command;

/// One run of a script.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// The proxy's port.
    pub(super) port: u16,
    /// The database.
    pub(super) database: String,
    /// A built-in script's name or a script's path.
    pub(super) script: String,
    /// More options of the script.
    pub(super) options: Vec<String>,
}

/// What a run did, whole and by seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Work {
    /// Statements in all.
    pub(super) queries: u64,
    /// Statements per second, one value for each second.
    pub(super) per_second: Vec<f64>,
}

impl Work {
    /// The mean rate without the first seconds.
    pub(super) fn rate_after(&self, seconds: usize) -> Result<f64> {
        let rates = self.per_second.get(seconds..).unwrap_or_default();
        ensure!(!rates.is_empty(), "sysbench reported {} seconds only", self.per_second.len());
        Ok(rates.iter().sum::<f64>() / rates.len() as f64)
    }
}

impl Client {
    /// Runs the script with so many clients.
    pub(super) async fn run(&self, clients: usize, seconds: u64) -> Result<Work> {
        let text = self.sysbench("run", clients, seconds).await?;
        parse(&text).with_context(|| format!("understanding sysbench's report:\n{text}"))
    }

    /// The script's own preparation, tables and rows, by so many clients.
    pub(super) async fn prepare(&self, clients: usize) -> Result<()> {
        self.sysbench("prepare", clients, 0).await.map(|_| ())
    }

    async fn sysbench(&self, command: &str, clients: usize, seconds: u64) -> Result<String> {
        let output = Command::new("sysbench")
            .arg(&self.script)
            .args(["--mysql-host=127.0.0.1", "--mysql-user=root", "--mysql-ssl=off"])
            .arg(format!("--mysql-port={}", self.port))
            .arg(format!("--mysql-db={}", self.database))
            .args(["--db-ps-mode=disable", "--rand-type=uniform", "--report-interval=1"])
            .args([format!("--threads={clients}"), format!("--time={seconds}")])
            .args(&self.options)
            .arg(command)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("running sysbench")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("sysbench {} {command}: {}\n{text}\n{errors}", self.script, output.status);
        }
        Ok(text)
    }
}

/// Reads `[ 3s ] thds: 8 tps: 1.00 qps: 726.10 (...)` and the total under `queries:`.
fn parse(text: &str) -> Option<Work> {
    let mut work = Work::default();
    for line in text.lines().map(str::trim) {
        if line.starts_with("[ ") {
            let rate = line.split("qps: ").nth(1)?.split_whitespace().next()?;
            work.per_second.push(rate.parse().ok()?);
        } else if let Some(total) = line.strip_prefix("queries:") {
            work.queries = total.split_whitespace().next()?.parse().ok()?;
        }
    }
    (work.queries > 0).then_some(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
[ 1s ] thds: 8 tps: 700.50 qps: 700.50 (r/w/o: 0.00/700.50/0.00) lat (ms,95%): 1.00 err/s: 0.00
[ 2s ] thds: 8 tps: 800.00 qps: 800.00 (r/w/o: 0.00/800.00/0.00) lat (ms,95%): 1.00 err/s: 0.00
SQL statistics:
    transactions:                        1500   (726.10 per sec.)
    queries:                             1500   (726.10 per sec.)
";

    #[test]
    fn seconds_and_totals_are_read() {
        let work = parse(REPORT).expect("a report");
        assert_eq!(work, Work { queries: 1_500, per_second: vec![700.5, 800.0] });
        assert_eq!(work.rate_after(1).expect("a second is left"), 800.0);
        assert!(work.rate_after(2).is_err());
        assert_eq!(parse("FATAL: nothing"), None);
    }
}
