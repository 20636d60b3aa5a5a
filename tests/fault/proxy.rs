//! kill -9 of a proxy: its clients go to another one and go on.

use crate::cluster_with_tables;
use anyhow::{Result, ensure};
use shardline_tests::{ClusterConfig, load::Load, sql};
use std::time::Duration;

const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_killed_proxy_go_on_at_another() -> Result<()> {
    let config = ClusterConfig { shards: 2, meta: 1, proxies: 2, ..ClusterConfig::default() };
    let mut cluster = cluster_with_tables(config).await?;
    let targets: Vec<_> = (0..CLIENTS).map(|n| cluster.options(n % 2).into()).collect();
    let load = Load::start(targets, |key| format!("INSERT INTO d.t VALUES ({key}, 0)"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.proxies[0].process.kill().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let outcomes = load.finish().await?;

    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.error.is_some()).collect();
    ensure!(!failed.is_empty(), "nobody noticed the kill");
    for outcome in &failed {
        let number = outcome.error.as_ref().map(|error| error.0);
        ensure!(number == Some(0), "an error other than a lost connection: {outcome:?}");
    }
    // Each client loses one statement, and may try the dead proxy once or twice again.
    ensure!(failed.len() <= 4 * CLIENTS, "{} failures", failed.len());
    let last_failure = failed.iter().map(|outcome| outcome.sent).max().unwrap_or_default();
    let late = outcomes.iter().filter(|o| o.sent > last_failure && o.error.is_none()).count();
    ensure!(late > 100, "only {late} statements after the kill");

    // What was acknowledged is there; what was lost on the way may be.
    let mut client = cluster.connect(1).await?;
    let stored: usize = sql::value(&mut client, "SELECT COUNT(*) FROM d.t").await?.parse()?;
    let acknowledged = outcomes.len() - failed.len();
    ensure!((acknowledged..=outcomes.len()).contains(&stored), "{stored} of {acknowledged}");

    cluster.proxies[0].restart().await?;
    cluster.wait_proxy(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_lets_the_open_transaction_end() -> Result<()> {
    let config = ClusterConfig { shards: 1, meta: 1, proxies: 1, ..ClusterConfig::default() };
    let mut cluster = cluster_with_tables(config).await?;
    let mut client = cluster.connect(0).await?;
    sql::run(&mut client, &["BEGIN", "INSERT INTO d.t VALUES (1, 1)"]).await?;
    cluster.proxies[0].process.signal(rustix::process::Signal::TERM)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    sql::run(&mut client, &["INSERT INTO d.t VALUES (2, 2)", "COMMIT"]).await?;
    let ended = cluster.proxies[0].process.ended(Duration::from_secs(15)).await?;
    ensure!(ended.success(), "{ended}: {}", cluster.proxies[0].process.log_tail());
    let mut direct = cluster.shards[0].connect().await?;
    ensure!(sql::value(&mut direct, "SELECT COUNT(*) FROM d.t").await? == "2", "committed");
    Ok(())
}
