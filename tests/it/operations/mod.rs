//! What operators do: shards that come and go, data that is moved between them, jobs that are steered, by
//! the command line, by the API and in SQL, on a cluster as `shardline up` makes it.

mod api;
mod growing;
mod steering;

use anyhow::{Context, Result, ensure};
use mysql_async::Conn;
use serde_json::Value;
use shardline_tests::{UpCluster, rows, up::run_shardline};
use std::{collections::BTreeMap, process::Output};

/// Runs `shardline WORDS --dir <the cluster's>` to its end.
async fn shardline(cluster: &UpCluster, words: &[&str]) -> Result<Output> {
    let dir = cluster.dir();
    let mut all: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
    all.extend(["--dir".into(), dir.into_os_string()]);
    run_shardline(all).await
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The same, which ends with a code.
pub(crate) async fn ends_with(cluster: &UpCluster, code: i32, words: &[&str]) -> Result<String> {
    let output = shardline(cluster, words).await?;
    let said = text(&output);
    ensure!(output.status.code() == Some(code), "{words:?}: {}: {said}", output.status);
    Ok(said)
}

/// The same, which is done and tells something in JSON.
pub(crate) async fn json(cluster: &UpCluster, words: &[&str]) -> Result<Value> {
    let mut words = words.to_vec();
    words.extend(["-o", "json"]);
    let output = shardline(cluster, &words).await?;
    ensure!(output.status.success(), "{words:?}: {}: {}", output.status, text(&output));
    serde_json::from_slice(&output.stdout).with_context(|| text(&output))
}

/// Each row of these tables is on its owner and nowhere else; how many there are.
async fn check(cluster: &UpCluster, database: &str, tables: &[&str]) -> Result<Vec<u64>> {
    let catalog = cluster.catalog().await?;
    let mut shards: BTreeMap<String, Conn> = BTreeMap::new();
    for shard in catalog.shards.values() {
        shards.insert(shard.name.clone(), cluster.connect_shard(&shard.name).await?);
    }
    let mut all = Vec::new();
    for table in tables {
        all.push(rows::check(&catalog, &mut shards, database, table).await?.total());
    }
    Ok(all)
}
