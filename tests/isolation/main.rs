//! What transactions over several shards let each other see: lists on three shards are read and
//! appended to through two proxies, and a checker looks in the history for what each level must
//! not show.
//!
//! `SHARDLINE_ISOLATION_TRANSACTIONS=20000` runs so many instead of 600 (nightly).

#[path = "../sim/random.rs"]
mod random;

mod client;
mod history;

use adya::{Opts, Report, Valid, Workload, check};
use anyhow::{Context, Result, ensure};
use client::Client;
use history::{History, Operation, Outcome};
use mysql_async::prelude::Queryable;
use random::Random;
use shardline_tests::{Cluster, ClusterConfig, sql, wait};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Transactions of one run, if nothing else is said.
const TRANSACTIONS: u64 = 600;
/// Clients at once, on both proxies.
const CLIENTS: u64 = 6;
/// Between two faults.
const CALM: Duration = Duration::from_secs(3);
/// How long a shard is frozen, in milliseconds.
const FROZEN_MS: std::ops::Range<u64> = 500..2_500;

/// What is run, and what it must not show.
struct Level {
    isolation: &'static str,
    /// `shardline_read_consistency`.
    reads: &'static str,
    /// The weakest model that the history must satisfy.
    model: &'static str,
    /// What else it must not show.
    never: &'static [&'static str],
}

/// Everything at once.
const SERIALIZABLE: Level =
    Level { isolation: "SERIALIZABLE", reads: "local", model: "serializable", never: &[] };
/// Between shards a reader may see one part of a transaction before another, and what is taken
/// back a moment later; but no order of writes goes in a circle, and no write stands on what was
/// taken back.
const REPEATABLE_READ: Level = Level {
    isolation: "REPEATABLE READ",
    reads: "local",
    model: "read-uncommitted",
    never: &["G1b", "G1c", "dirty-update"],
};

/// Each transaction reads from one moment, and nothing that is taken back; what it writes stands on
/// newer rows, as on one server.
const STRICT: Level = Level {
    isolation: "REPEATABLE READ",
    reads: "strict",
    model: "read-committed",
    never: &["G1a", "G1b", "G1c", "dirty-update"],
};

#[tokio::test(flavor = "multi_thread")]
async fn serializable_is_serializable_over_shards() -> Result<()> {
    run(&SERIALIZABLE, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn repeatable_read_shows_no_more_than_it_says() -> Result<()> {
    run(&REPEATABLE_READ, 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_reads_show_nothing_that_is_taken_back() -> Result<()> {
    run(&STRICT, 3).await
}

#[test]
fn a_circle_is_found() -> Result<()> {
    let history = History::new(2);
    let skew = [
        vec![Operation::Read(1), Operation::Append(2, 1)],
        vec![Operation::Read(2), Operation::Append(1, 1)],
    ];
    for (process, operations) in (1..).zip(&skew) {
        history.end(process, operations, Outcome::Committed(vec![Vec::new()]));
    }
    let process = 3;
    let reads = [Operation::Read(1), Operation::Read(2)];
    history.end(process, &reads, Outcome::Committed(vec![vec![1], vec![1]]));
    let found = judge(&history, &SERIALIZABLE)?;
    ensure!(found.anomaly_types == ["G2-item"], "{:?}", found.anomaly_types);
    ensure!(judge(&history, &REPEATABLE_READ)?.valid == Valid::True);
    Ok(())
}

/// What the checker says of a history.
fn judge(history: &History, level: &Level) -> Result<Report> {
    let checked = adya::History::from_json(&history.text());
    let checked = checked.map_err(|error| anyhow::anyhow!("{error}"))?;
    let options = Opts {
        models: vec![level.model.to_owned()],
        anomalies: level.never.iter().map(|&name| name.to_owned()).collect(),
        timeout: Duration::from_secs(20),
        ..Opts::default()
    };
    Ok(check(&checked, Workload::ListAppend, &options))
}

fn transactions() -> Result<u64> {
    match std::env::var("SHARDLINE_ISOLATION_TRANSACTIONS") {
        Ok(text) => text.parse().context("SHARDLINE_ISOLATION_TRANSACTIONS is no number"),
        Err(_) => Ok(TRANSACTIONS),
    }
}

async fn run(level: &Level, seed: u64) -> Result<()> {
    let config = ClusterConfig { shards: 3, meta: 1, proxies: 2, ..ClusterConfig::default() };
    let mut cluster = Cluster::start(config).await?;
    let mut admin = cluster.connect(0).await?;
    let statements = [
        "CREATE DATABASE d",
        "CREATE TABLE d.list (k BIGINT NOT NULL PRIMARY KEY, v TEXT NOT NULL) SHARD BY HASH (k)",
    ];
    sql::run(&mut admin, &statements).await?;
    admin.disconnect().await?;
    let history = Arc::new(History::new(transactions()?));
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let options = cluster.options(number as usize % 2);
        let random = Random::new(seed << 8 | number);
        let client = Client::new(options, (level.isolation, level.reads), history.clone(), random);
        clients.push(tokio::spawn(client.run(number)));
    }
    let over = Arc::new(AtomicBool::new(false));
    let ending = over.clone();
    let waiting = tokio::spawn(async move {
        let mut outcome = Ok(());
        for client in clients {
            let ended = client.await.context("a client panicked").and_then(|ended| ended);
            outcome = outcome.and(ended);
        }
        ending.store(true, Ordering::Relaxed);
        outcome
    });
    fail_things(&mut cluster, &over, seed).await?;
    waiting.await.context("the wait for the clients")??;

    let counts = history.counts();
    println!("{}, {}: {counts:?}", level.isolation, level.reads);
    ensure!(counts.committed > history.wanted() / 4, "too little was committed: {counts:?}");
    history.resolve(&at_the_end(&cluster).await?)?;
    let report = judge(&history, level)?;
    println!("seen: {:?}", report.anomaly_types);
    ensure!(report.valid == Valid::True, "{:?}\n{}", report.anomalies, history.text());
    Ok(())
}

/// All lists, when no transaction is undecided any more.
async fn at_the_end(cluster: &Cluster) -> Result<HashMap<u64, HashSet<u64>>> {
    for server in &cluster.shards {
        wait::until("nothing is undecided", Duration::from_secs(30), || async {
            let mut shard = server.connect().await?;
            let left = "SELECT COUNT(*) FROM _shardline.branch WHERE state = 1";
            ensure!(sql::value(&mut shard, left).await? == "0", "a branch is left");
            Ok(())
        })
        .await?;
    }
    let mut client = cluster.connect(0).await?;
    let mut lists = HashMap::new();
    for row in sql::rows(&mut client, "SELECT k, v FROM d.list").await? {
        let values = row[1].split(',').filter_map(|value| value.parse().ok()).collect();
        lists.insert(row[0].parse()?, values);
    }
    Ok(lists)
}

/// Kills a proxy, or freezes a shard, now and then until the clients have ended.
async fn fail_things(cluster: &mut Cluster, over: &AtomicBool, seed: u64) -> Result<()> {
    let mut random = Random::new(seed << 32);
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(CALM).await;
        if random.per_mille(500) {
            let number = random.below(2) as usize;
            cluster.proxies[number].process.kill().await?;
            cluster.proxies[number].restart().await?;
            cluster.wait_proxy(number).await?;
        } else {
            let shard = random.below(3) as usize;
            cluster.shards[shard].process()?.freeze()?;
            let frozen = random.between(FROZEN_MS.start, FROZEN_MS.end);
            tokio::time::sleep(Duration::from_millis(frozen)).await;
            cluster.shards[shard].process()?.thaw()?;
        }
    }
    // Both proxies answer at the end.
    for number in 0..2 {
        let mut client = cluster.connect(number).await?;
        client.query_drop("SELECT COUNT(*) FROM d.list").await?;
        client.disconnect().await?;
    }
    Ok(())
}
