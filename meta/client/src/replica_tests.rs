//! The replica follows a stream exactly or says that it has a gap.

use crate::{
    frame::SNAPSHOT_BYTES_MAX,
    replica::{Gap, Replica, Step},
    rpc::WatchEvent,
};
use shardline_model::{catalog::Catalog, change::Change, id::Epoch};
use std::sync::Arc;

fn catalog(epoch: u64) -> Catalog {
    Catalog { epoch: Epoch(epoch), cluster: "c".repeat(300), ..Catalog::default() }
}

fn change(epoch: u64, name: &str) -> WatchEvent {
    let change = Arc::new(Change::SetCluster { name: name.to_owned() });
    WatchEvent::Change { epoch: Epoch(epoch), change }
}

/// Feeds a snapshot in parts of `part_bytes`.
fn feed(replica: &mut Replica, catalog: &Catalog, part_bytes: usize) {
    let encoded = postcard::to_stdvec(catalog).unwrap();
    let mut remaining_bytes = encoded.len() as u64;
    for part in encoded.chunks(part_bytes) {
        remaining_bytes -= part.len() as u64;
        let event = WatchEvent::Snapshot { part: part.to_vec(), remaining_bytes };
        let step = replica.step(event).unwrap();
        assert_eq!(matches!(step, Step::Advanced(_)), remaining_bytes == 0);
    }
}

#[test]
fn a_snapshot_in_parts_and_the_changes_after_it_are_followed() {
    let mut replica = Replica::default();
    assert_eq!(replica.epoch(), None);
    feed(&mut replica, &catalog(4), 7);
    assert_eq!(replica.epoch(), Some(Epoch(4)));
    let Ok(Step::Advanced(next)) = replica.step(change(5, "five")) else { panic!("no step") };
    assert_eq!((next.epoch, next.cluster.as_str()), (Epoch(5), "five"));
    assert!(matches!(replica.step(WatchEvent::Alive { epoch: Epoch(5) }), Ok(Step::Unchanged)));
    let moved = replica.step(WatchEvent::Moved { leader: Some("x:1".to_owned()) });
    assert!(matches!(moved, Ok(Step::Moved(Some(leader))) if leader == "x:1"));
}

#[test]
fn a_gap_is_never_stepped_over() {
    let mut replica = Replica::default();
    let early = replica.step(change(1, "x")).unwrap_err();
    assert_eq!(early, Gap::Epoch { have: None, got: Epoch(1) });
    feed(&mut replica, &catalog(4), 4_096);
    for epoch in [3, 4, 6] {
        let gap = replica.step(change(epoch, "x")).unwrap_err();
        assert_eq!(gap, Gap::Epoch { have: Some(Epoch(4)), got: Epoch(epoch) });
    }
    assert!(replica.step(WatchEvent::Alive { epoch: Epoch(6) }).is_err());
    let impossible = Arc::new(Change::DropUser { name: "absent".to_owned() });
    let event = WatchEvent::Change { epoch: Epoch(5), change: impossible };
    assert!(matches!(replica.step(event), Err(Gap::Change { .. })));
    assert_eq!(replica.epoch(), Some(Epoch(4)));
    replica.forget();
    assert_eq!(replica.epoch(), None);
}

#[test]
fn parts_of_a_broken_stream_are_not_mixed_with_the_next() {
    let mut replica = Replica::default();
    let half = WatchEvent::Snapshot { part: vec![1, 2, 3], remaining_bytes: 10 };
    assert!(matches!(replica.step(half), Ok(Step::Unchanged)));
    replica.restart();
    feed(&mut replica, &catalog(9), 64);
    assert_eq!(replica.epoch(), Some(Epoch(9)));
}

#[test]
fn an_endless_or_unreadable_snapshot_is_refused() {
    let mut replica = Replica::default();
    for remaining_bytes in [SNAPSHOT_BYTES_MAX, u64::MAX] {
        let event = WatchEvent::Snapshot { part: vec![0], remaining_bytes };
        assert!(matches!(replica.step(event), Err(Gap::TooLong { .. })));
    }
    let event = WatchEvent::Snapshot { part: vec![0xff; 30], remaining_bytes: 0 };
    assert!(matches!(replica.step(event), Err(Gap::Undecodable { .. })));
}
