//! kill -9 of the metadata leader under load: no data statement fails.

use crate::cluster_with_tables;
use anyhow::{Result, ensure};
use shardline_tests::{ClusterConfig, load::Load, sql, wait};
use std::time::Duration;

const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn no_data_statement_fails_when_the_leader_is_killed() -> Result<()> {
    let config = ClusterConfig { shards: 2, meta: 3, proxies: 2, ..ClusterConfig::default() };
    let mut cluster = cluster_with_tables(config).await?;
    let targets: Vec<_> = (0..CLIENTS).map(|n| cluster.options(n % 2).into()).collect();
    let writes = Load::start(targets.clone(), |key| format!("INSERT INTO d.t VALUES ({key}, 0)"));
    let generated = Load::start(targets, |key| format!("INSERT INTO d.a (c) VALUES ({key})"));
    tokio::time::sleep(Duration::from_secs(1)).await;

    let old = cluster.leader().await?;
    cluster.meta[old].process.kill().await?;
    let new = wait::until("another leader", Duration::from_secs(15), || async {
        let leader = cluster.leader().await?;
        ensure!(leader != old, "still the dead one");
        Ok(leader)
    })
    .await?;
    ensure!(new != old, "a new leader");
    // The catalog can be changed again, while statements run.
    let mut client = cluster.connect(1).await?;
    sql::run(&mut client, &["CREATE TABLE d.after_the_kill (id INT)"]).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;

    for (name, load, table) in [("writes", writes, "t"), ("generated ids", generated, "a")] {
        let outcomes = load.finish().await?;
        let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.error.is_some()).collect();
        ensure!(
            failed.is_empty(),
            "{name}: {} of {}: {:?}",
            failed.len(),
            outcomes.len(),
            failed[0]
        );
        ensure!(outcomes.len() > 200, "{name}: only {} statements", outcomes.len());
        let count = sql::value(&mut client, &format!("SELECT COUNT(*) FROM d.{table}")).await?;
        ensure!(count == outcomes.len().to_string(), "{name}: {count} of {}", outcomes.len());
    }

    // The killed node comes back and follows.
    cluster.meta[old].restart().await?;
    wait::until("three nodes are in step", Duration::from_secs(20), || async {
        let status = cluster.status().await?;
        ensure!(status.leader.is_some(), "no leader");
        Ok(())
    })
    .await?;
    cluster.meta[old].process.check_running()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_go_on_while_the_leader_is_frozen() -> Result<()> {
    let config = ClusterConfig { shards: 1, meta: 3, proxies: 1, ..ClusterConfig::default() };
    let cluster = cluster_with_tables(config).await?;
    let leader = cluster.leader().await?;
    cluster.meta[leader].process.freeze()?;
    let targets = vec![cluster.options(0).into(); 4];
    let load = Load::start(targets, |key| format!("INSERT INTO d.t VALUES ({key}, 0)"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let outcomes = load.finish().await?;
    cluster.meta[leader].process.thaw()?;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.error.is_some()).collect();
    ensure!(failed.is_empty() && outcomes.len() > 50, "{failed:?} of {}", outcomes.len());
    Ok(())
}
