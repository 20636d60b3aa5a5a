//! The auditor reads all binlogs beside the transactions: it agrees with every one that the proxies ran,
//! faults included, and it finds and shows one that was damaged behind their backs.

use crate::accounts;
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use shardline_model::id::{Incarnation, ShardId};
use shardline_proxy::txn::{sql as packets, xid::Xid};
use shardline_tests::{Cluster, ClusterConfig, sql, wait};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const SOON: Duration = Duration::from_secs(40);
const ACCOUNTS: u64 = 60;
const TRANSFERS: u64 = 60;

async fn start(proxies: usize) -> Result<Cluster> {
    let config = ClusterConfig { meta: 1, proxies, ..ClusterConfig::default() };
    let cluster = Cluster::start(config).await?;
    let mut client = cluster.connect(0).await?;
    accounts::make(&mut client, ACCOUNTS).await?;
    Ok(cluster)
}

async fn transfer(client: &mut Conn, from: u64, to: u64) -> Result<()> {
    let add = |id, amount| format!("UPDATE bank.account SET v = v + {amount} WHERE id = {id}");
    let done = sql::run(client, &["BEGIN", &add(from, -1), &add(to, 1), "COMMIT"]).await;
    if done.is_err() {
        // A connection that is gone has no transaction.
        let _ = client.query_drop("ROLLBACK").await;
    }
    done
}

/// What the proxies say together: one of them audits, and which is a matter of who came first.
async fn audited(cluster: &Cluster) -> Result<BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for proxy in 0..cluster.proxies.len() {
        // One that has died on purpose says nothing.
        let Ok(mut client) = cluster.connect(proxy).await else { continue };
        for row in sql::rows(&mut client, "SHOW STATUS LIKE 'Shardline_audit%'").await? {
            let name = row[0].trim_start_matches("Shardline_audit_").to_owned();
            *all.entry(name).or_insert(0) += row[1].parse::<u64>()?;
        }
    }
    Ok(all)
}

/// Transfers until the auditor has read one from its beginning to its end.
async fn auditing(cluster: &Cluster) -> Result<()> {
    wait::until("the auditor reads", SOON, || async {
        let mut client = cluster.connect(0).await?;
        for id in 1..10 {
            transfer(&mut client, id, id + 1).await?;
        }
        let status = audited(cluster).await?;
        ensure!(status["agreed"] > 0, "{status:?}");
        Ok(())
    })
    .await
}

/// Waits until all is judged.
async fn judged(cluster: &Cluster) -> Result<BTreeMap<String, u64>> {
    let last = Arc::new(AtomicU64::new(0));
    wait::until("all is judged", SOON, || async {
        let status = audited(cluster).await?;
        ensure!(status["open"] == 0, "{status:?}");
        // The last round may have begun before the last transaction.
        let agreed = status["agreed"] + 1;
        let same = last.swap(agreed, Ordering::SeqCst) == agreed;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        ensure!(same, "{status:?}");
        Ok(status)
    })
    .await
}

/// One client's transfers; how many were acknowledged. It goes on with a new connection when
/// its own breaks, as long as there are any.
async fn transfers(options: OptsBuilder, seed: u64) -> u64 {
    let (mut acknowledged, mut connection) = (0, None);
    for step in 0..TRANSFERS {
        let mut client = match connection.take() {
            Some(client) => client,
            None => match sql::connect(options.clone()).await {
                Ok(client) => client,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let from = (seed * 7 + step * 13) % ACCOUNTS + 1;
        let to = (seed * 11 + step * 17 + 5) % ACCOUNTS + 1;
        if from != to && transfer(&mut client, from, to).await.is_ok() {
            acknowledged += 1;
        }
        if client.ping().await.is_ok() {
            connection = Some(client);
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_with_faults_all_agree() -> Result<()> {
    let mut cluster = start(2).await?;
    // The second proxy fails to decide now and then, and dies between prepare and decision.
    let faults = "commit.before_decide=error@5,commit.before_decide=error@17,\
                  commit.after_prepare=crash@60";
    cluster.proxies[1].process.kill().await?;
    cluster.proxies[1].restart_in(vec![("SHARDLINE_FAULTS".into(), faults.into())]).await?;
    cluster.wait_proxy(1).await?;
    auditing(&cluster).await?;
    let before = judged(&cluster).await?;

    let clients: Vec<_> = (0..6)
        .map(|seed| tokio::spawn(transfers(cluster.options(seed % 2), seed as u64)))
        .collect();
    tokio::time::sleep(Duration::from_millis(700)).await;
    cluster.shards[1].kill().await?;
    cluster.shards[1].restart().await?;
    let mut acknowledged = 0;
    for client in clients {
        acknowledged += client.await?;
    }
    let after = judged(&cluster).await?;
    println!("{acknowledged} acknowledged; before {before:?}, after {after:?}");
    ensure!(acknowledged >= 150, "only {acknowledged} transfers");
    ensure!(after["violations"] == 0, "{after:?}");
    ensure!(after["unknown"] == before["unknown"], "nothing was missed: {before:?} {after:?}");
    // Two of three transfers are on two shards.
    let agreed = after["agreed"] - before["agreed"];
    ensure!(agreed >= acknowledged / 3, "{agreed} of {acknowledged}");
    let mut total = cluster.connect(0).await?;
    let total = sql::value(&mut total, "SELECT SUM(v) FROM bank.account").await?;
    ensure!(total == (ACCOUNTS * accounts::BALANCE).to_string(), "{total}");
    Ok(())
}

/// The lines of SHOW TRANSACTIONS that are violations of this transaction.
async fn violations(cluster: &Cluster, xid: Xid) -> Result<Vec<Vec<String>>> {
    let mut client = cluster.connect(0).await?;
    let rows = sql::rows(&mut client, "SHOW TRANSACTIONS").await?;
    let is_it = |row: &Vec<String>| row[0] == xid.to_string() && row[1] == "violation";
    Ok(rows.into_iter().filter(is_it).collect())
}

async fn shown(cluster: &Cluster, xid: Xid) -> Result<Vec<String>> {
    wait::until("the violation is shown", SOON, || async {
        violations(cluster, xid).await?.pop().context("nothing is shown")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_on_purpose_is_found() -> Result<()> {
    let cluster = start(1).await?;
    auditing(&cluster).await?;
    judged(&cluster).await?;
    let xid = |counter| Xid { incarnation: Incarnation(900), counter };
    let branches = [ShardId(2)];
    let names = |xid| packets::Names { xid, anchor: ShardId(1), branches: &branches };
    let mut anchor = cluster.shards[0].connect().await?;
    let mut branch = cluster.shards[1].connect().await?;

    // A decision without its branch.
    anchor.query_drop(format!("BEGIN; {}", packets::decide(names(xid(1)), None).sql())).await?;
    let row = shown(&cluster, xid(1)).await?;
    println!("{row:?}");
    ensure!(row[3] == "s1,s2" && row[5].contains("never was"), "{row:?}");

    // A branch of an aborted transaction that is taken away with its changes still there.
    let key = sql::value(&mut branch, "SELECT MIN(id) FROM bank.account").await?;
    let locks = Default::default();
    let prepare = packets::prepare(names(xid(2)), 7, None, &locks, &[]);
    let change = format!("UPDATE bank.account SET v = 777 WHERE id = {key}");
    branch.query_drop(format!("BEGIN; {change}; {}", prepare.sql())).await?;
    let named = packets::hex(&xid(2).to_bytes());
    branch.query_drop(format!("DELETE FROM _shardline.branch WHERE xid = {named}")).await?;
    anchor.query_drop(packets::abort(names(xid(2))).sql()).await?;
    let row = shown(&cluster, xid(2)).await?;
    println!("{row:?}");
    ensure!(row[5].contains("without being undone") && row[5].contains("777"), "{row:?}");

    // One that is undone as it should be is no violation.
    let change = format!("UPDATE bank.account SET v = 888 WHERE id = {key}");
    let prepare = packets::prepare(names(xid(3)), 7, None, &locks, &[]);
    branch.query_drop(format!("BEGIN; {change}; {}", prepare.sql())).await?;
    let named = packets::hex(&xid(3).to_bytes());
    let undo = format!("UPDATE bank.account SET v = 777 WHERE id = {key}");
    let take_off = format!("DELETE FROM _shardline.branch WHERE xid = {named}");
    branch.query_drop(format!("BEGIN; {undo}; {take_off}; COMMIT")).await?;
    anchor.query_drop(packets::abort(names(xid(3))).sql()).await?;
    let after = judged(&cluster).await?;
    ensure!(after["violations"] == 2, "{after:?}");
    ensure!(violations(&cluster, xid(3)).await?.is_empty());
    Ok(())
}
