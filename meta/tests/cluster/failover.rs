//! The leader dies under load: nothing acknowledged is lost, nothing happens twice.

use crate::harness::{Cluster, create_database, eventually, make_table};
use shardline_meta::Timing;
use shardline_model::id::{Epoch, TableId};
use std::{ops::Range, sync::Arc, time::Duration};
use tokio::task::JoinSet;

const CREATORS: usize = 4;
const DATABASES_EACH: usize = 25;
const RESERVERS: usize = 4;
const RANGES_EACH: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_leader_loses_nothing_and_repeats_nothing() {
    let mut cluster = Cluster::start(3, Timing::default()).await;
    let client = cluster.client().await;
    let table = make_table(&client).await;
    let first_leader = cluster.leader(&client).await;

    let mut creators = JoinSet::new();
    for creator in 0..CREATORS {
        // Two clients: what one does, the other sees.
        let client = if creator % 2 == 0 { client.clone() } else { cluster.client().await };
        creators.spawn(async move {
            for number in 0..DATABASES_EACH {
                let name = format!("db_{creator}_{number}");
                // A change that was applied twice would be rejected: the database exists.
                client.propose(create_database(&name)).await.unwrap();
                assert!(client.catalog().databases.contains_key(&name));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let mut reservers = JoinSet::new();
    for _ in 0..RESERVERS {
        reservers.spawn(reserve_ranges(client.clone(), table));
    }

    tokio::time::sleep(Duration::from_millis(150)).await;
    cluster.kill(first_leader);
    creators.join_all().await;
    let ranges = reservers.join_all().await.concat();

    let expected = 3 + CREATORS * DATABASES_EACH;
    assert_eq!(client.catalog().epoch, Epoch(expected as u64));
    assert_eq!(client.catalog().databases.len(), 1 + CREATORS * DATABASES_EACH);
    assert_no_overlap(ranges);

    let leader = cluster.leader(&client).await;
    assert_ne!(leader, first_leader);
    cluster.start_node(first_leader).await;
    eventually("the old leader has caught up", || async {
        let status = client.cluster_status().await.ok()?;
        let node = status.nodes.iter().find(|node| node.id == first_leader)?;
        (node.matched_index.is_some() && node.matched_index == status.last_log_index).then_some(())
    })
    .await;
    let fresh = cluster.client().await;
    assert_eq!(*fresh.catalog(), *client.catalog());
}

async fn reserve_ranges(
    client: Arc<shardline_meta_client::MetaClient>,
    table: TableId,
) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    for number in 0..RANGES_EACH {
        let count = 1 + number as u64 % 7;
        let range = client.reserve(table, count, None).await.unwrap();
        assert_eq!(range.end - range.start, count);
        ranges.push(range);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    ranges
}

fn assert_no_overlap(mut ranges: Vec<Range<u64>>) {
    ranges.sort_by_key(|range| range.start);
    assert!(ranges[0].start >= 1);
    for pair in ranges.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{:?} and {:?} overlap", pair[0], pair[1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_changes_fail_in_time_and_reads_go_on() {
    let mut cluster = Cluster::start(3, Timing::default()).await;
    let mut config = cluster.client_config();
    config.timing.call_timeout_ms = 4_000;
    let connecting = shardline_meta_client::MetaClient::connect(config, &cluster.shutdown);
    let client = connecting.await.unwrap();
    client.propose(create_database("none")).await.unwrap_err();
    client.propose(crate::harness::rename("kept")).await.unwrap();
    let leader = cluster.leader(&client).await;
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.kill(id);
    }
    let started = std::time::Instant::now();
    let refused = client.propose(crate::harness::rename("lost?")).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    let text = refused.to_string();
    assert!(text.contains("cannot change the catalog"), "{text}");
    assert!(cluster.members.values().all(|member| text.contains(member)), "{text}");
    assert_eq!(client.catalog().cluster, "kept");
}
