//! Waiting until the catalog no longer holds something up: commits behind a barrier, askers behind
//! another's barrier. Whoever waits too long takes away what holds it up, by a change that is refused if
//! that is another thing by now, and goes on when the catalog says so.

use super::Distributed;
use crate::txn::barrier::{Held, held};
use shardline_meta_client::{ProposeError, RejectionKind};
use shardline_model::{catalog::Catalog, change::Change, id::Epoch};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Statements that may be held up at once. There are no more sessions than that in most
/// configurations; beyond it a statement is refused at once.
const HELD_AT_ONCE: usize = 16_384;
/// Between two looks when what holds up cannot be taken away.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What the catalog holds statements up with.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The epoch that made it: another one has another.
    pub(crate) since: Epoch,
    /// What takes it away.
    pub(crate) release: Change,
}

/// The commit barrier, if one stands.
pub(crate) fn barrier(catalog: &Catalog) -> Option<Standing> {
    let since = catalog.barrier?.since;
    Some(Standing { since, release: Change::EndBarrier { since } })
}

/// Why somebody does not wait any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldTooLong {
    /// It could not be taken away, or there was always another one.
    Still,
    /// Too many wait.
    TooMany,
}

/// Who waits.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    waiting: AtomicUsize,
    /// One of those who wait takes away what stands; the others see what comes of it.
    releasing: tokio::sync::Mutex<()>,
}

/// A place among those who wait.
struct Place<'a>(&'a AtomicUsize);

impl Holds {
    fn enter(&self) -> Option<Place<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiting);
        (before < HELD_AT_ONCE).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Distributed {
    /// Returns when the catalog does not say `standing` any more: one that is taken from now on may
    /// say it again. The caller should not hold a catalog meanwhile. Cancel-safe.
    pub(crate) async fn wait_while(
        &self,
        standing: impl Fn(&Catalog) -> Option<Standing>,
    ) -> Result<(), HeldTooLong> {
        let mut epochs = self.meta.subscribe();
        let Some(_place) = self.holds.enter() else { return Err(HeldTooLong::TooMany) };
        let begun = Instant::now();
        let mut behind = (Epoch::default(), begun);
        loop {
            epochs.borrow_and_update();
            let Some(now_standing) = standing(&self.meta.catalog()) else { return Ok(()) };
            if behind.0 != now_standing.since {
                behind = (now_standing.since, Instant::now());
            }
            let pause = match held(behind.1.elapsed(), begun.elapsed()) {
                Held::Wait(pause) => pause,
                Held::GiveUp => return Err(HeldTooLong::Still),
                Held::Release => {
                    self.release(now_standing).await;
                    RETRY_PAUSE
                }
            };
            // Whatever ends it, the catalog is looked at again.
            let _ = tokio::time::timeout(pause, epochs.changed()).await;
        }
    }

    /// Takes away what stands, or waits a moment for somebody else who does.
    async fn release(&self, standing: Standing) {
        let Ok(_turn) = self.holds.releasing.try_lock() else { return };
        let released = self.meta.propose(standing.release);
        match tokio::time::timeout(RELEASE_LIMIT, released).await {
            Ok(Ok(_)) => {
                tracing::warn!(since = %standing.since, "what held up statements was taken away");
            }
            // Somebody was faster.
            Ok(Err(ProposeError::Rejected(why))) if why.kind == RejectionKind::Moved => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "what holds up statements cannot be taken away");
            }
            Err(_) => tracing::warn!("taking away what holds up statements takes long"),
        }
    }
}

/// For taking it away, before one looks again.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);
