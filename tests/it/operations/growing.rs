//! A cluster under load grows by a shard, and shrinks again.

use super::{check, ends_with, json};
use anyhow::{Result, ensure};
use shardline_model::placement::Placement;
use shardline_tests::{UpCluster, sql};
use std::{fs, path::Path};

/// Long enough for a machine under load.
const LIMIT_S: &str = "300";

/// Nothing of the demo's load has gone wrong.
fn load_is_happy(cluster: &UpCluster) -> Result<()> {
    let dir = cluster.dir();
    let log = fs::read_to_string(dir.parent().unwrap_or(Path::new("/")).join("up.log"))?;
    let wrong: Vec<&str> =
        log.lines().filter(|line| line.contains("lost its connection")).collect();
    ensure!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_grows_by_a_shard_while_it_is_in_use() -> Result<()> {
    let mut cluster = UpCluster::start(&["--demo", "--load"], None).await?;
    let added = ends_with(&cluster, 0, &["shard", "add", "s4", "--local"]).await?;
    ensure!(added.contains("rebalance start --all"), "{added}");
    let mut new = cluster.connect_shard("s4").await?;
    ensure!(sql::value(&mut new, "SELECT COUNT(*) FROM bank.currency").await? == "6", "copies");
    ensure!(sql::value(&mut new, "SELECT COUNT(*) FROM bank.account").await? == "0", "no data yet");

    let started = ["rebalance", "start", "--all", "--timeout-s", LIMIT_S];
    let said = ends_with(&cluster, 0, &started).await?;
    ensure!(said.contains("rebalance finish 1"), "{said}");
    load_is_happy(&cluster)?;
    let catalog = cluster.catalog().await?;
    for group in catalog.groups.values() {
        if let Placement::Hash(map) = &group.placement {
            for shard in catalog.shards.keys() {
                let slots = map.owners().iter().filter(|owner| *owner == shard).count();
                ensure!(slots == 4_096, "{shard} has {slots} slots");
            }
        }
    }
    ends_with(&cluster, 0, &["rebalance", "finish", "1", "--yes"]).await?;
    ends_with(&cluster, 0, &["job", "wait", "1", "--timeout-s", LIMIT_S]).await?;
    let job = json(&cluster, &["job", "show", "1"]).await?;
    ensure!(job["phase"] == "finished" && job["is_over"] == true, "{job}");
    ensure!(job["pause_ms"].as_u64().is_some_and(|pause| pause < 1_000), "{job}");
    println!("longest pause {} ms, {} rows", job["pause_ms"], job["rows_copied"]);
    let rows = check(&cluster, "bank", &["account", "branch", "ledger"]).await?;
    ensure!(rows == [30_000, 60, 12_000], "{rows:?}");
    load_is_happy(&cluster)?;

    cluster.stop().await?;
    cluster.restart(&[]).await?;
    let shards = json(&cluster, &["shard", "list"]).await?;
    let all = shards["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(all.len() == 4 && all.iter().all(|shard| shard["up"] == true), "{shards}");
    let mut client = cluster.connect().await?;
    ensure!(sql::value(&mut client, "SELECT COUNT(*) FROM bank.account").await? == "30000", "rows");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_is_drained_and_removed() -> Result<()> {
    let mut cluster = UpCluster::start(&["--shards", "3"], None).await?;
    let mut client = cluster.connect().await?;
    let statements = [
        "CREATE DATABASE d",
        "CREATE TABLE d.h (id INT NOT NULL PRIMARY KEY, v INT) SHARD BY HASH (id)",
        "CREATE TABLE d.b (id INT NOT NULL PRIMARY KEY, v VARCHAR(20)) BROADCAST",
        "INSERT INTO d.b VALUES (1, 'one'), (2, 'two')",
    ];
    sql::run(&mut client, &statements).await?;
    let values: Vec<String> = (0..2_000).map(|id| format!("({id}, {id})")).collect();
    sql::run(&mut client, &[&format!("INSERT INTO d.h VALUES {}", values.join(","))]).await?;

    ends_with(&cluster, 5, &["shard", "remove", "s3", "--yes"]).await?;
    ends_with(&cluster, 3, &["shard", "drain", "s3"]).await?;
    let drain = ["shard", "drain", "s3", "--yes", "--until", "finished", "--timeout-s", LIMIT_S];
    ends_with(&cluster, 0, &drain).await?;
    let shard = json(&cluster, &["shard", "show", "s3"]).await?;
    ensure!(shard["state"] == "draining" && shard["slots"] == 0, "{shard}");
    ends_with(&cluster, 0, &["shard", "remove", "s3", "--yes"]).await?;
    ensure!(!cluster.dir().join("shards/s3").exists(), "its folder is gone");
    ensure!(check(&cluster, "d", &["h"]).await? == [2_000], "rows");
    let mut client = cluster.connect().await?;
    let sum = sql::value(&mut client, "SELECT SUM(v) FROM d.h").await?;
    ensure!(sum == "1999000", "{sum}");

    cluster.stop().await?;
    cluster.restart(&[]).await?;
    // The same name again, with everything that the others have by now.
    ends_with(&cluster, 0, &["shard", "add", "s3", "--local"]).await?;
    let mut client = cluster.connect().await?;
    sql::run(&mut client, &["UPDATE d.b SET v = 'zwei' WHERE id = 2"]).await?;
    let mut new = cluster.connect_shard("s3").await?;
    ensure!(sql::value(&mut new, "SELECT v FROM d.b WHERE id = 2").await? == "zwei", "a copy");
    Ok(())
}
