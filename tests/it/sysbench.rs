//! Debian's sysbench, unmodified, through the proxy on three shards: 64 threads, prepared
//! statements on and off, no error.
//!
//! A transaction may write on one shard only until distributed transactions land. The two
//! workloads that write several rows in one transaction (`oltp_read_write`,
//! `oltp_write_only`) therefore run with `--skip-trx=on`: each statement is a transaction
//! of its own. Their DELETE and INSERT of the same id are then two transactions, between
//! which another thread may insert that id, as on one server: error 1062 is sysbench's own
//! business there and is ignored; everything else ends the run.

use anyhow::{Result, ensure};
use shardline_tests::{UpCluster, sql};
use std::{process::Stdio, time::Duration};

const YAML: &str = "apiVersion: shardline/v1\nshards: 3\nlocal: {buffer_pool_mib: 64}\n\
                    databases:\n  sbtest:\n    tables:\n      'sbtest*': {shard_by: hash(id)}\n";
const TABLES: &str = "--tables=4";
const SIZE: u64 = 5_000;
/// How long one workload runs.
const SECONDS: &str = "4";
const LIMIT: Duration = Duration::from_secs(180);

async fn sysbench(port: u16, workload: &str, more: &[&str], command: &str) -> Result<String> {
    let run = tokio::process::Command::new("sysbench")
        .args([workload, "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=root"])
        .args([&format!("--mysql-port={port}"), "--mysql-db=sbtest", TABLES])
        .arg(format!("--table-size={SIZE}"))
        .args(more)
        .arg(command)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, run).await??;
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(output.status.success(), "{workload} {more:?} {command}: {text}");
    ensure!(!text.contains("FATAL"), "{workload} {more:?} {command}: {text}");
    Ok(text)
}

/// The number after a label of sysbench's report.
fn reported(text: &str, label: &str) -> u64 {
    text.lines()
        .find_map(|line| line.trim().strip_prefix(label))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_workloads_run_without_error() -> Result<()> {
    let cluster = UpCluster::start(&[], Some(YAML)).await?;
    let port = cluster.sql_port();
    sysbench(port, "oltp_read_write", &["--threads=4"], "prepare").await?;
    let mut client = sql::connect(cluster.options().db_name(Some("sbtest"))).await?;
    let rows: u64 = sql::value(&mut client, "SELECT COUNT(*) FROM sbtest1").await?.parse()?;
    ensure!(rows == SIZE, "{rows} rows prepared");

    let several_writes: &[&str] = &["--skip-trx=on", "--mysql-ignore-errors=1062"];
    for (workload, more) in [
        ("oltp_point_select", &[][..]),
        ("oltp_insert", &[]),
        ("oltp_update_index", &[]),
        ("oltp_read_write", several_writes),
        ("oltp_write_only", several_writes),
    ] {
        for prepared in ["--db-ps-mode=auto", "--db-ps-mode=disable"] {
            let time = format!("--time={SECONDS}");
            let mut arguments = vec!["--threads=64", "--rand-type=uniform", &time, prepared];
            arguments.extend(more);
            let text = sysbench(port, workload, &arguments, "run").await?;
            ensure!(reported(&text, "transactions:") > 0, "{workload} {prepared}: {text}");
            ensure!(reported(&text, "reconnects:") == 0, "{workload} {prepared}: {text}");
            println!("{workload} {prepared}: {} transactions", reported(&text, "transactions:"));
        }
    }
    for shard in ["s1", "s2", "s3"] {
        let mut direct = cluster.connect_shard(shard).await?;
        let rows = sql::value(&mut direct, "SELECT COUNT(*) FROM sbtest.sbtest1").await?;
        ensure!(rows != "0", "no rows on {shard}");
    }
    Ok(())
}
