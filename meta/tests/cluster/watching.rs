//! The catalog stream: each epoch once and in order, and a snapshot where there is a gap.

use crate::harness::{Cluster, rename};
use shardline_meta::Timing;
use shardline_meta_client::{
    frame,
    rpc::{Request, WatchEvent},
    transport::{self, Channel, Frames},
};
use shardline_model::{catalog::Catalog, id::Epoch};
use std::time::Duration;

async fn watch(address: &str, from: Option<Epoch>) -> Frames {
    let limit = Duration::from_secs(2);
    let mut frames = transport::connect(address, None, Channel::Client, limit).await.unwrap();
    frames.send(&Request::Watch { from }).await.unwrap();
    frames
}

async fn next(frames: &mut Frames) -> WatchEvent {
    let received = tokio::time::timeout(Duration::from_secs(5), frames.receive()).await;
    received.unwrap().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_sees_each_epoch_in_order_and_resumes_where_it_was() {
    let cluster = Cluster::start(1, Timing::default()).await;
    let client = cluster.client().await;
    let mut frames = watch(&cluster.members[&1], None).await;
    let WatchEvent::Snapshot { part, remaining_bytes: 0 } = next(&mut frames).await else {
        panic!("the first event is not a whole snapshot");
    };
    assert_eq!(frame::decode::<Catalog>(&part).unwrap(), *client.catalog());

    let mut mirror = Catalog::clone(&client.catalog());
    for number in 0..50 {
        client.propose(rename(&format!("n{number}"))).await.unwrap();
    }
    while mirror.epoch < Epoch(50) {
        match next(&mut frames).await {
            WatchEvent::Change { epoch, change } => {
                assert_eq!(epoch.0, mirror.epoch.0 + 1);
                mirror.apply(&change).unwrap();
            }
            WatchEvent::Alive { epoch } => assert_eq!(epoch, mirror.epoch),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(mirror, *client.catalog());

    let mut resumed = watch(&cluster.members[&1], Some(Epoch(48))).await;
    for expected in [49, 50] {
        let WatchEvent::Change { epoch, .. } = next(&mut resumed).await else {
            panic!("no change")
        };
        assert_eq!(epoch, Epoch(expected));
    }
    assert_eq!(next(&mut resumed).await, WatchEvent::Alive { epoch: Epoch(50) });
    let mut from_the_future = watch(&cluster.members[&1], Some(Epoch(99))).await;
    assert!(matches!(next(&mut from_the_future).await, WatchEvent::Snapshot { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_ours_hurt_nobody_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let cluster = Cluster::start(1, Timing::default()).await;
    let client = cluster.client().await;
    let channels = [&b"SLMETA\x01\x01"[..], b"SLMETA\x01\x02", b"GET / HTTP/1.1\r\n\r\n"];
    for (number, preface) in channels.into_iter().enumerate() {
        for body in [&[0xff; 64][..], &[3, 0, 0, 0, 0xff, 0xff, 0xff], &[0; 4]] {
            let mut tcp = tokio::net::TcpStream::connect(&cluster.members[&1]).await.unwrap();
            tcp.write_all(preface).await.unwrap();
            // The node may have closed it already.
            let _ = tcp.write_all(body).await;
            let _ = tcp.shutdown().await;
            let mut rest = Vec::new();
            let _ = tcp.read_to_end(&mut rest).await;
        }
        client.propose(rename(&format!("still {number}"))).await.unwrap();
    }
    assert_eq!(client.catalog().cluster, "still 2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_catalog_in_use_is_the_oldest_that_somebody_holds() {
    let cluster = Cluster::start(1, Timing::default()).await;
    let client = cluster.client().await;
    let (first, mut held) = (client.catalog(), Vec::new());
    for number in 0..5 {
        client.propose(rename(&format!("n{number}"))).await.unwrap();
        held.push(client.catalog());
    }
    assert_eq!(client.oldest_in_use(), first.epoch);
    let third = held[2].epoch;
    drop(first);
    held.drain(..2);
    assert_eq!(client.oldest_in_use(), third);
    // One in between that is let go changes nothing.
    held.remove(1);
    assert_eq!(client.oldest_in_use(), third);
    held.clear();
    assert_eq!(client.oldest_in_use(), client.catalog().epoch);
}
