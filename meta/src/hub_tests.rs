//! The ring: what a subscriber at any position gets, and that it is bounded.

use crate::hub::{Hub, Next};
use shardline_meta_client::{frame, rpc::WatchEvent};
use shardline_model::{catalog::Catalog, change::Change, id::Epoch};
use std::sync::Arc;

fn push(hub: &Hub, catalog: &mut Catalog, name: &str) {
    let change = Arc::new(Change::SetCluster { name: name.to_owned() });
    // The hub trusts its caller: what the change does is not its business.
    catalog.epoch.0 += 1;
    hub.push(Arc::new(catalog.clone()), &change).unwrap();
}

fn change_at(hub: &Hub, have: u64) -> (Epoch, String) {
    let Next::Change(epoch, encoded) = hub.after(Some(Epoch(have))) else { panic!("no change") };
    let WatchEvent::Change { epoch: inside, change } = frame::decode(&encoded[4..]).unwrap() else {
        panic!("no change inside")
    };
    assert_eq!(epoch, inside);
    let Change::SetCluster { name } = &*change else { panic!("another change") };
    (epoch, name.clone())
}

#[test]
fn each_position_gets_the_change_that_follows_it() {
    let mut catalog = Catalog { epoch: Epoch(10), ..Catalog::default() };
    let hub = Hub::new(Arc::new(catalog.clone()));
    assert!(matches!(hub.after(Some(Epoch(10))), Next::Nothing));
    for name in ["eleven", "twelve", "thirteen"] {
        push(&hub, &mut catalog, name);
    }
    assert_eq!(change_at(&hub, 10), (Epoch(11), "eleven".to_owned()));
    assert_eq!(change_at(&hub, 12), (Epoch(13), "thirteen".to_owned()));
    assert!(matches!(hub.after(Some(Epoch(13))), Next::Nothing));
    for lost in [None, Some(Epoch(9)), Some(Epoch(14))] {
        let Next::Snapshot(whole) = hub.after(lost) else { panic!("no snapshot for {lost:?}") };
        assert_eq!(*whole, catalog);
    }
    hub.reset(Arc::new(catalog.clone()));
    assert!(matches!(hub.after(Some(Epoch(12))), Next::Snapshot(_)));
    assert_eq!(*hub.subscribe().borrow(), Epoch(13));
}

#[test]
fn old_changes_leave_the_ring_by_bytes_and_the_slow_get_a_snapshot() {
    let mut catalog = Catalog::default();
    let hub = Hub::new(Arc::new(catalog.clone()));
    let long = "n".repeat(2 << 20);
    for number in 0..40 {
        push(&hub, &mut catalog, &format!("{number}{long}"));
    }
    assert!(matches!(hub.after(Some(Epoch(0))), Next::Snapshot(_)));
    assert!(matches!(hub.after(Some(Epoch(20))), Next::Snapshot(_)));
    assert!(matches!(hub.after(Some(Epoch(30))), Next::Change(Epoch(31), _)));
}
