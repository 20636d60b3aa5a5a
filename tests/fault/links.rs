//! Bad links, by a relay between client and proxy: slow, cut at a byte, half closed.

use crate::cluster_with_tables;
use anyhow::{Result, ensure};
use mysql_async::{OptsBuilder, prelude::Queryable};
use shardline_tests::{
    Cluster, ClusterConfig, Relay,
    relay::{Direction, Fault},
    sql, wait,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

async fn relayed() -> Result<(Cluster, Relay, OptsBuilder)> {
    let config = ClusterConfig { shards: 2, meta: 1, proxies: 1, ..ClusterConfig::default() };
    let cluster = cluster_with_tables(config).await?;
    let mut client = cluster.connect(0).await?;
    let values: Vec<String> = (0..5_000).map(|id| format!("({id}, {id})")).collect();
    sql::run(&mut client, &[&format!("INSERT INTO d.t VALUES {}", values.join(","))]).await?;
    let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, cluster.proxies[0].port()));
    let relay = Relay::start(proxy).await?;
    let options = cluster.options(0).tcp_port(relay.address().port());
    Ok((cluster, relay, options))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cut_off_at_any_byte_leaves_nothing_behind() -> Result<()> {
    let (cluster, relay, options) = relayed().await?;
    for bytes in [1_u64, 4, 5, 60, 90, 130, 400, 3_000, 20_000] {
        for direction in [Direction::ToServer, Direction::ToClient] {
            relay.heal();
            relay.set(direction, Fault::CutAfter(bytes));
            if let Ok(mut client) = mysql_async::Conn::new(options.clone()).await {
                // Whether this ends well depends on where the cut falls.
                client.query_drop("BEGIN").await.ok();
                client.query_drop("UPDATE d.t SET v = 0 WHERE id = 1").await.ok();
                client.query_drop("SELECT * FROM d.t ORDER BY id").await.ok();
            }
        }
    }
    relay.heal();
    // No lock of a lost session is left, and its connections are used again.
    let mut good = cluster.connect(0).await?;
    let update = good.query_drop("UPDATE d.t SET v = 7 WHERE id = 1");
    tokio::time::timeout(Duration::from_secs(10), update).await??;
    wait::until("lost sessions are gone", Duration::from_secs(10), || {
        let options = cluster.options(0);
        async move {
            let mut client = sql::connect(options).await?;
            let sessions = sql::rows(&mut client, "SHOW PROCESSLIST").await?.len();
            ensure!(sessions <= 2, "{sessions} sessions");
            Ok(())
        }
    })
    .await?;
    ensure!(sql::value(&mut good, "SELECT v FROM d.t WHERE id = 1").await? == "7", "the row");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_and_a_slow_reader_hold_up_nobody_else() -> Result<()> {
    let (cluster, relay, options) = relayed().await?;
    let mut slow = sql::connect(options).await?;
    let fill = "UPDATE d.t SET v = v + 1";
    let mut good = cluster.connect(0).await?;
    sql::run(&mut good, &[fill]).await?;
    // The reader stops in the middle of a result.
    relay.set(Direction::ToClient, Fault::Hold);
    let stuck = tokio::spawn(async move {
        let rows: Vec<(i64, i64)> = slow.query("SELECT id, v FROM d.t ORDER BY id").await?;
        Ok::<_, mysql_async::Error>(rows.len())
    });
    for _ in 0..50 {
        let count = sql::value(&mut good, "SELECT COUNT(*) FROM d.t WHERE id = 3");
        let count = tokio::time::timeout(Duration::from_secs(5), count).await??;
        ensure!(count == "1", "{count}");
    }
    relay.set(Direction::ToClient, Fault::Delay(Duration::from_millis(5)));
    ensure!(stuck.await?? == 5_000, "the slow reader gets all of its rows in the end");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_side_is_let_go() -> Result<()> {
    let (cluster, relay, options) = relayed().await?;
    relay.set(Direction::ToServer, Fault::HalfCloseAfter(200));
    if let Ok(mut client) = mysql_async::Conn::new(options).await {
        for _ in 0..20 {
            if client.query_drop("SELECT 1").await.is_err() {
                break;
            }
        }
    }
    let mut good = cluster.connect(0).await?;
    ensure!(sql::value(&mut good, "SELECT 1").await? == "1", "others go on");
    Ok(())
}
