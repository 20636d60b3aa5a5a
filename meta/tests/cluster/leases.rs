//! Proxy ids: one holder each, over silence, leader changes and a service that is away.

use crate::harness::{Cluster, PATIENCE, eventually, rename};
use shardline_base::Shutdown;
use shardline_meta::Timing;
use shardline_meta_client::{
    IncarnationState, MarkError, MetaClient, ProxyRegistration, rpc::MarkRefusal,
};
use shardline_model::id::{Epoch, Incarnation, ProxyId};
use std::time::{Duration, Instant};

const TTL: Duration = Duration::from_millis(1_500);

/// Well over the time that an election takes on a busy machine.
const LONG_TTL: Duration = Duration::from_millis(4_000);

fn timing(ttl: Duration) -> Timing {
    Timing { lease_ttl_ms: ttl.as_millis() as u64, ..Timing::default() }
}

fn proxy(address: &str) -> ProxyRegistration {
    ProxyRegistration { address: address.to_owned(), version: "1".to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_reused_after_its_release_or_its_time_and_not_before() {
    let cluster = Cluster::start(1, timing(TTL)).await;
    let client = cluster.client().await;
    let first = client.lease(proxy("a")).await.unwrap();
    let second = client.lease(proxy("b")).await.unwrap();
    assert_eq!((first.proxy_id(), second.proxy_id()), (ProxyId(1), ProxyId(2)));
    assert_eq!((first.incarnation(), second.incarnation()), (Incarnation(1), Incarnation(2)));
    first.acknowledge(Epoch(7));
    eventually("the service has the acknowledgement", || async {
        let status = client.cluster_status().await.unwrap();
        let lease = &status.leases[0];
        assert_eq!((lease.proxy, lease.registration.address.as_str()), (ProxyId(1), "a"));
        (lease.acknowledged == Some(Epoch(7))).then_some(())
    })
    .await;
    // Renewed well past its first time.
    tokio::time::sleep(TTL).await;
    assert!(first.valid() && second.valid());
    second.release().await;
    let third = client.lease(proxy("c")).await.unwrap();
    assert_eq!((third.proxy_id(), third.incarnation()), (ProxyId(2), Incarnation(3)));

    // A process that dies does not release: its client is stopped under it.
    let mortal = Shutdown::new();
    let doomed = MetaClient::connect(cluster.client_config(), &mortal).await.unwrap();
    let silent = doomed.lease(proxy("d")).await.unwrap();
    assert_eq!(silent.proxy_id(), ProxyId(3));
    let last_renewal = Instant::now();
    mortal.trigger();
    eventually("the id of the silent proxy is free", || async {
        let lease = client.lease(proxy("e")).await.unwrap();
        let reused = lease.proxy_id() == ProxyId(3);
        lease.release().await;
        reused.then_some(())
    })
    .await;
    assert!(last_renewal.elapsed() >= TTL, "reused after {:?}", last_renewal.elapsed());
    assert!(!silent.valid());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_does_not_wait_for_the_next_renewal() {
    let cluster = Cluster::start(1, Timing::default()).await;
    let client = cluster.client().await;
    let lease = client.lease(proxy("a")).await.unwrap();
    let told = Instant::now();
    for epoch in [7, 9, 8] {
        lease.acknowledge(Epoch(epoch));
        eventually("the service has the acknowledgement", || async {
            let status = client.cluster_status().await.unwrap();
            (status.leases[0].acknowledged >= Some(Epoch(epoch))).then_some(())
        })
        .await;
    }
    let by_time = Duration::from_millis(Timing::default().lease_ttl_ms / 5);
    assert!(told.elapsed() < by_time, "acknowledged after {:?}", told.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incarnation_is_listed_until_it_is_swept() {
    let mut cluster = Cluster::start(3, timing(LONG_TTL)).await;
    let client = cluster.client().await;
    client.propose(rename("here")).await.unwrap();
    let one = client.lease(proxy("a")).await.unwrap();
    let incarnation = one.incarnation();
    let listed = async || {
        let status = client.cluster_status().await.unwrap();
        assert!(status.confirmed && status.epoch == Epoch(1), "{status:?}");
        status.incarnations.iter().map(|one| one.state).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [IncarnationState::Live(ProxyId(1))]);
    let early = client.mark_fenced(incarnation, 5).await;
    assert_eq!(early, Err(MarkError::Refused(MarkRefusal::Live { incarnation })));
    one.release().await;
    assert_eq!(listed().await, [IncarnationState::Ended]);
    client.mark_fenced(incarnation, 5).await.unwrap();
    client.mark_fenced(incarnation, 6).await.unwrap();
    assert_eq!(listed().await, [IncarnationState::Fenced { at_unix_s: 5 }]);
    client.mark_swept(incarnation).await.unwrap();
    client.mark_swept(incarnation).await.unwrap();
    assert_eq!(listed().await, []);
    assert_eq!(client.lease(proxy("a")).await.unwrap().incarnation(), Incarnation(2));

    // Alone, a node cannot say what is so now.
    let leader = cluster.leader(&client).await;
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.kill(id);
    }
    assert!(!client.cluster_status().await.unwrap().confirmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_outlive_the_leader_and_end_without_a_service() {
    let mut cluster = Cluster::start(3, timing(LONG_TTL)).await;
    let client = cluster.client().await;
    let lease = client.lease(proxy("a")).await.unwrap();
    let leader = cluster.leader(&client).await;
    cluster.kill(leader);
    let watched = Instant::now();
    while watched.elapsed() < LONG_TTL + Duration::from_millis(500) {
        assert!(lease.valid(), "lost {:?} after the leader", watched.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let other = client.lease(proxy("b")).await.unwrap();
    assert_eq!(other.proxy_id(), ProxyId(2));

    for id in (1..=3).filter(|id| *id != leader) {
        cluster.kill(id);
    }
    let gone = Instant::now();
    tokio::time::sleep(LONG_TTL / 4).await;
    assert!(lease.valid() && other.valid());
    tokio::time::timeout(PATIENCE, lease.lost()).await.unwrap();
    assert!(gone.elapsed() <= LONG_TTL * 2, "valid for {:?} without a service", gone.elapsed());
    assert!(!lease.valid());
}
