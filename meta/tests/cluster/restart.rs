//! What a node has acknowledged is there after any end and a new start.

use crate::harness::{Cluster, PATIENCE, create_database, eventually, make_table, rename};
use shardline_meta::Timing;
use shardline_meta_client::{ProposeError, ProxyRegistration, RejectionKind};
use shardline_model::id::{Epoch, ProxyId};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_keeps_everything_over_stops_and_kills() {
    let timing = Timing { snapshot_entries: 20, kept_entries: 5, ..Timing::default() };
    let mut cluster = Cluster::start(1, timing).await;
    let client = cluster.client().await;
    let table = make_table(&client).await;
    assert_eq!(client.reserve(table, 100, None).await.unwrap(), 1..101);
    let proxy = ProxyRegistration { address: "a:1".to_owned(), version: "1".to_owned() };
    let lease = client.lease(proxy.clone()).await.unwrap();
    assert_eq!(lease.proxy_id(), ProxyId(1));
    for round in 0..3 {
        for change in 0..15 {
            client.propose(rename(&format!("r{round}c{change}"))).await.unwrap();
        }
        let before = client.catalog();
        match round {
            0 => cluster.stop(1).await,
            _ => cluster.kill(1),
        }
        cluster.start_node(1).await;
        let fresh = cluster.client().await;
        assert_eq!(*fresh.catalog(), *before);
        let next = 101 + 10 * round;
        assert_eq!(fresh.reserve(table, 10, None).await.unwrap(), next..next + 10);
    }
    assert!(lease.valid());
    let second = cluster.client().await.lease(proxy).await.unwrap();
    assert_eq!(second.proxy_id(), ProxyId(2));
    let again = client.propose(create_database("bank")).await;
    let Err(ProposeError::Rejected(rejection)) = again else { panic!("{again:?}") };
    assert_eq!(rejection.kind, RejectionKind::Exists);
    assert!(rejection.reason.contains("'bank' already exists"), "{rejection}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_lost_its_disk_gets_a_snapshot() {
    let timing = Timing { snapshot_entries: 40, kept_entries: 5, ..Timing::default() };
    let mut cluster = Cluster::start(3, timing).await;
    let client = cluster.client().await;
    client.propose(rename("before")).await.unwrap();
    let leader = cluster.leader(&client).await;
    // Node 1 would initialise a cluster that it does not know: take it if it can be had.
    let wiped = if leader == 1 { 2 } else { 1 };
    let other = 6 - leader - wiped;
    cluster.stop(wiped).await;
    std::fs::remove_dir_all(cluster.data_dir(wiped)).unwrap();
    for change in 0..120 {
        client.propose(rename(&format!("c{change}"))).await.unwrap();
    }
    let purged = client.cluster_status().await.unwrap().purged_index;
    assert!(purged.is_some_and(|purged| purged > 40), "the log is still whole: {purged:?}");
    cluster.start_node(wiped).await;
    eventually("the wiped node has everything", || async {
        let status = client.cluster_status().await.ok()?;
        let node = status.nodes.iter().find(|node| node.id == wiped)?;
        (node.matched_index.is_some() && node.matched_index == status.last_log_index).then_some(())
    })
    .await;
    assert!(cluster.data_dir(wiped).join("snapshot").exists());

    // Its vote and disk now count: the third node goes, then the leader changes.
    cluster.kill(other);
    client.propose(rename("with the wiped node")).await.unwrap();
    cluster.start_node(other).await;
    cluster.kill(leader);
    client.propose(rename("after")).await.unwrap();
    assert_eq!(client.catalog().epoch, Epoch(123));
    let fresh = cluster.client().await;
    let mut epochs = fresh.subscribe();
    let waiting = tokio::time::timeout(PATIENCE, epochs.wait_for(|epoch| *epoch == Epoch(123)));
    waiting.await.unwrap().unwrap();
    assert_eq!(fresh.catalog().cluster, "after");
}
