//! kill -9 of a shard's server: only statements for that shard fail, with a clear error,
//! and they succeed again when it is back.

use crate::cluster_with_tables;
use anyhow::{Context, Result, ensure};
use shardline_model::{catalog::Catalog, key::KeyPart};
use shardline_tests::{ClusterConfig, load::Load, sql, wait};
use std::time::{Duration, Instant};

const CLIENTS: usize = 8;

/// The name of the shard that owns a key of `d.t`.
fn owner(catalog: &Catalog, key: u64) -> Result<String> {
    let table = catalog.table("d", "t").context("d.t")?;
    let group = table.group(catalog).context("its group")?;
    let shard = group
        .placement
        .owner(&[KeyPart::Integer(key.into())], &group.key_types)
        .context("an owner")?;
    Ok(catalog.shards[&shard].name.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_statements_for_the_killed_shard_fail_and_only_while_it_is_away() -> Result<()> {
    let config = ClusterConfig { shards: 3, meta: 1, proxies: 1, ..ClusterConfig::default() };
    let mut cluster = cluster_with_tables(config).await?;
    let catalog = cluster.catalog().await?;
    let begun = Instant::now();
    let targets = vec![cluster.options(0).into(); CLIENTS];
    let load = Load::start(targets, |key| format!("INSERT INTO d.t VALUES ({key}, 0)"));
    tokio::time::sleep(Duration::from_secs(1)).await;

    let killed_at = begun.elapsed();
    cluster.shards[1].kill().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.shards[1].restart().await?;
    let mut client = cluster.connect(0).await?;
    wait::until("the shard is used again", Duration::from_secs(15), || {
        let options = cluster.options(0);
        async move {
            let mut client = sql::connect(options).await?;
            sql::value(&mut client, "SELECT COUNT(*) FROM d.t").await
        }
    })
    .await?;
    let back_at = begun.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let outcomes = load.finish().await?;

    let (mut failed, mut others_meanwhile, mut after) = (0, 0, 0);
    for outcome in &outcomes {
        let shard = owner(&catalog, outcome.key)?;
        match &outcome.error {
            Some((number, text)) => {
                failed += 1;
                ensure!(shard == "s2", "a statement for {shard} failed: {outcome:?}");
                ensure!(*number > 0, "the connection was lost: {outcome:?}");
                ensure!(text.contains("s2"), "the error does not name the shard: {text}");
                let sent = outcome.sent + outcome.took;
                ensure!(sent >= killed_at, "failed before the kill: {outcome:?}");
                ensure!(outcome.sent <= back_at, "failed when it was back: {outcome:?}");
            }
            None if shard == "s2" && outcome.sent > back_at => after += 1,
            None if shard != "s2" && (killed_at..back_at).contains(&outcome.sent) => {
                others_meanwhile += 1;
            }
            None => {}
        }
    }
    ensure!(failed > 0, "nobody noticed the kill");
    ensure!(others_meanwhile > 20, "others stood still: {others_meanwhile}");
    ensure!(after > 20, "the shard is not used again: {after}");
    let stored: usize = sql::value(&mut client, "SELECT COUNT(*) FROM d.t").await?.parse()?;
    let acknowledged = outcomes.len() - failed;
    ensure!((acknowledged..=outcomes.len()).contains(&stored), "{stored} of {acknowledged}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_on_a_killed_shard_is_over_and_the_session_is_not() -> Result<()> {
    let config = ClusterConfig { shards: 2, meta: 1, proxies: 1, ..ClusterConfig::default() };
    let mut cluster = cluster_with_tables(config).await?;
    let catalog = cluster.catalog().await?;
    let on = |shard: &str| -> Result<u64> {
        (0..100).find(|key| owner(&catalog, *key).is_ok_and(|name| name == shard)).context("a key")
    };
    let (here, there) = (on("s1")?, on("s2")?);
    let mut client = cluster.connect(0).await?;
    let insert = format!("INSERT INTO d.t VALUES ({here}, 1)");
    sql::run(&mut client, &["BEGIN", &insert]).await?;
    cluster.shards[0].kill().await?;
    let update = format!("UPDATE d.t SET v = 2 WHERE id = {here}");
    ensure!(sql::run(&mut client, &[&update]).await.is_err(), "the shard is gone");
    // The session lives: what was begun is rolled back, another shard can be used.
    sql::run(&mut client, &["ROLLBACK"]).await?;
    sql::run(&mut client, &[&format!("INSERT INTO d.t VALUES ({there}, 1)")]).await?;
    cluster.shards[0].restart().await?;
    let read = format!("SELECT COUNT(*) FROM d.t WHERE id = {here}");
    let count = wait::until("the shard is used again", Duration::from_secs(15), || {
        let (options, read) = (cluster.options(0), read.clone());
        async move {
            let mut client = sql::connect(options).await?;
            sql::value(&mut client, &read).await
        }
    })
    .await?;
    ensure!(count == "0", "an uncommitted row survived");
    Ok(())
}
