//! One client that reads a large result slowly, and the most memory that the proxy had
//! meanwhile.

use super::Args;
use crate::peers::{processor, target::Target};
use anyhow::{Context, Result, ensure};
use mysql_async::{OptsBuilder, Row, prelude::Queryable};
use serde::{Deserialize, Serialize};
use shardline_tests::sql;
use std::{
    fs,
    time::{Duration, Instant},
};

/// Queries before the proxy's memory is first read.
const WARM_UP_QUERIES: u32 = 100;
/// Bytes of column `c`.
const COLUMN_BYTES: u64 = 119;
/// Bursts in a second: a client reads at full speed, then pauses.
const BURSTS: u64 = 10;

/// What was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Slow {
    /// Bytes of rows that were read.
    pub(super) bytes: u64,
    /// How long that took, in seconds.
    pub(super) seconds: f64,
    /// The proxy's memory before, in KiB.
    pub(super) before_kib: u64,
    /// The most that it had meanwhile, in KiB.
    pub(super) peak_kib: u64,
}

/// Reads the result.
pub(super) async fn measure(args: &Args, target: &Target) -> Result<Slow> {
    let pid = target.proxy_pid()?;
    let options = OptsBuilder::from_opts(target.options()).db_name(Some(target.database.clone()));
    let mut conn = sql::connect(options).await?;
    // Pools and caches fill before anything counts.
    for id in 1..=WARM_UP_QUERIES {
        conn.query_drop(format!("SELECT c FROM sbtest1 WHERE id={id}")).await?;
    }
    let wanted = args.result_mib << 20;
    let times = wanted.div_ceil(COLUMN_BYTES * u64::from(args.table_rows));
    let before_kib = processor::resident_kib(pid)?;
    // Resets the peak (proc(5), clear_refs).
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("resetting the proxy's peak")?;
    let begun = Instant::now();
    let burst = (args.rate_mib << 20) / BURSTS;
    let (mut bytes, mut of_burst) = (0, 0);
    let query = format!("SELECT id, REPEAT(c, {times}) FROM sbtest1");
    let mut rows = conn.query_iter(query).await.context("asking for the result")?;
    while let Some(row) = rows.next().await.context("reading the result")? {
        let length = text_length(&row)?;
        bytes += length;
        of_burst += length;
        if of_burst >= burst {
            of_burst = 0;
            let due = Duration::from_secs_f64(bytes as f64 / (args.rate_mib << 20) as f64);
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
        }
    }
    drop(rows);
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(bytes >= wanted, "only {bytes} bytes came");
    let peak_kib = processor::resident_peak_kib(pid)?;
    conn.disconnect().await?;
    Ok(Slow { bytes, seconds, before_kib, peak_kib })
}

fn text_length(row: &Row) -> Result<u64> {
    match row.as_ref(1) {
        Some(mysql_async::Value::Bytes(bytes)) => Ok(bytes.len() as u64),
        other => anyhow::bail!("a row has {other:?} for a text"),
    }
}
