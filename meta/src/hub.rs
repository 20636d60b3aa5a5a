//! What watchers are fed from: the newest catalog and the last changes, each encoded once
//! for all subscribers. A subscriber is a position in this ring, not a queue: one that
//! falls out of it gets a snapshot, and nobody's slowness costs memory.

use parking_lot::Mutex;
use shardline_meta_client::{
    frame::{self, FrameError},
    rpc::WatchEvent,
};
use shardline_model::{catalog::Catalog, change::Change, id::Epoch};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::watch;

/// How many changes are kept for watchers.
const CHANGES_MAX: usize = 4_096;
/// How many bytes of encoded changes are kept; the last change is always kept.
const BYTES_MAX: usize = 32 << 20;

/// A change as an encoded [`WatchEvent`].
pub(crate) type EncodedChange = Arc<[u8]>;

/// The newest catalog, the way to it, and a bell.
pub(crate) struct Hub {
    ring: Mutex<Ring>,
    epoch: watch::Sender<Epoch>,
}

#[derive(Default)]
struct Ring {
    catalog: Arc<Catalog>,
    /// The changes that led to `catalog`, without gaps, oldest first.
    changes: VecDeque<EncodedChange>,
    bytes: usize,
}

/// What a subscriber needs next.
pub(crate) enum Next {
    /// It has everything.
    Nothing,
    /// The change that follows its epoch, and the epoch that makes.
    Change(Epoch, EncodedChange),
    /// It is too far behind, or ahead of a state that was reset: the whole catalog.
    Snapshot(Arc<Catalog>),
}

impl Hub {
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        let epoch = watch::Sender::new(catalog.epoch);
        Self { ring: Mutex::new(Ring { catalog, ..Ring::default() }), epoch }
    }

    /// Adds the change that made `catalog` from the one before it.
    pub(crate) fn push(
        &self,
        catalog: Arc<Catalog>,
        change: &Arc<Change>,
    ) -> Result<(), FrameError> {
        let epoch = catalog.epoch;
        let event = WatchEvent::Change { epoch, change: change.clone() };
        let encoded = EncodedChange::from(frame::encode(&event)?);
        let mut ring = self.ring.lock();
        ring.catalog = catalog;
        ring.bytes += encoded.len();
        ring.changes.push_back(encoded);
        while ring.changes.len() > CHANGES_MAX || (ring.bytes > BYTES_MAX && ring.changes.len() > 1)
        {
            ring.bytes -= ring.changes.pop_front().map_or(0, |dropped| dropped.len());
        }
        drop(ring);
        self.epoch.send_replace(epoch);
        Ok(())
    }

    /// Replaces the catalog without a way to it.
    pub(crate) fn reset(&self, catalog: Arc<Catalog>) {
        let epoch = catalog.epoch;
        *self.ring.lock() = Ring { catalog, ..Ring::default() };
        self.epoch.send_replace(epoch);
    }

    /// What a subscriber that has `have` needs next.
    pub(crate) fn after(&self, have: Option<Epoch>) -> Next {
        let ring = self.ring.lock();
        let newest = ring.catalog.epoch;
        let behind = have.and_then(|have| newest.0.checked_sub(have.0));
        match behind {
            Some(0) => Next::Nothing,
            Some(behind) if behind <= ring.changes.len() as u64 => {
                let at = ring.changes.len() - behind as usize;
                Next::Change(Epoch(newest.0 - behind + 1), ring.changes[at].clone())
            }
            Some(_) | None => Next::Snapshot(ring.catalog.clone()),
        }
    }

    /// Rings at each new epoch.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Epoch> {
        self.epoch.subscribe()
    }
}
