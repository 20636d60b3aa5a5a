//! Holds: units that are about to change their owner. Statements on them wait until they have,
//! and this proxy acknowledges a hold only when nothing that it began before can reach the
//! owner any more. Here is what a proxy keeps about that, beside its sessions; how a statement
//! waits is in `session/held.rs`.
//!
//! No clock is trusted and a dead driver stops nobody: whoever waits for too long takes the
//! hold back, by a change that is taken only if the move is still as it was seen. So the switch
//! comes first, or the release does, for all proxies alike.

use crate::{
    auto_increment::Sequences, error::SqlError, registry::Registry, session::shared::Shared,
};
use shardline_base::Shutdown;
use shardline_meta_client::{MetaClient, ProposeError, RejectionKind};
use shardline_model::{
    catalog::Catalog,
    change::Change,
    id::{Epoch, MoveId},
    moves::MoveState,
    reshard::Transfer,
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a statement waits, or a transaction keeps this proxy from acknowledging, before
/// the hold is taken back.
pub const HOLD_MAX: Duration = Duration::from_millis(500);
/// How long one statement waits in all, for several holds one after the other.
pub const HELD_STATEMENT_MAX: Duration = Duration::from_secs(10);
/// How long a hold stands that nobody waits for.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// Between two looks at holds.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often it is looked, while there is a hold, whether it can be acknowledged.
pub(crate) const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_millis(2);

/// What a proxy keeps about holds.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    /// Statements that wait.
    waiting: AtomicUsize,
    /// Whoever takes holds back; the others see what comes of it.
    taking_back: tokio::sync::Mutex<()>,
}

/// A statement's place among those that wait; left when dropped.
pub(crate) struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A hold as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: MoveId,
    pub(crate) state: MoveState,
    pub(crate) since: Epoch,
}

impl Seen {
    pub(crate) fn of(one: &Transfer) -> Self {
        Seen { id: one.id, state: one.state, since: one.since }
    }

    /// Whether the catalog still has it so.
    pub(crate) fn stands(&self, catalog: &Catalog) -> bool {
        catalog.transfer(self.id).is_some_and(|one| Seen::of(&one) == *self)
    }
}

impl Holds {
    /// A place for one more statement that waits.
    ///
    /// # Errors
    /// `limit` wait already.
    pub(crate) fn wait(&self, limit: usize) -> Result<Place<'_>, SqlError> {
        let place = Place(&self.waiting);
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        if before >= limit { Err(SqlError::too_many_held(limit)) } else { Ok(place) }
    }

    /// Takes holds back. Returns at once when somebody else of this proxy is at it. What became
    /// of it is in a later catalog. Cancel-safe.
    pub(crate) async fn take_back(&self, meta: &MetaClient, holds: &[Seen]) {
        let Ok(_turn) = self.taking_back.try_lock() else { return };
        for hold in holds.iter().filter(|hold| hold.stands(&meta.catalog())) {
            let to = Some(hold.state.released());
            let change = Change::SetMove { id: hold.id, from: (hold.state, hold.since), to };
            match meta.propose(change).await {
                Ok(applied) => {
                    tracing::warn!(unit_move = %hold.id, epoch = %applied.epoch, "a hold was taken back");
                }
                Err(ProposeError::Rejected(why)) if why.kind == RejectionKind::Moved => {}
                Err(error) => {
                    tracing::warn!(unit_move = %hold.id, %error, "a hold cannot be taken back yet");
                }
            }
        }
    }
}

/// Whether a catalog has a hold.
pub(crate) fn is_any(catalog: &Catalog) -> bool {
    catalog.held().next().is_some()
}

/// Forgets numbers for tables that are about to be spread in another way: meanwhile a server may give
/// out the same ones. Whoever acknowledges a hold has done so.
pub(crate) fn forget_sequences(catalog: &Catalog, sequences: &Sequences) {
    if catalog.reshards.is_empty() {
        return;
    }
    let is_held = |table| catalog.reshard_of(table).is_some_and(|one| one.state.holds());
    sequences.retain(|table| !is_held(table));
}

/// What may be acknowledged when no catalog before `oldest` is in use, which was found before
/// `catalog` was taken: no hold whose units' owner an older transaction is still on.
pub(crate) fn acknowledgeable(oldest: Epoch, catalog: &Catalog, registry: &Registry) -> Epoch {
    let hindered = catalog
        .held()
        .filter(|one| one.since <= oldest && is_hindered(one, registry))
        .map(|one| Epoch(one.since.0.saturating_sub(1)));
    hindered.min().unwrap_or(oldest)
}

/// Whether a transaction here has been on an owner since before the hold.
fn is_hindered(one: &Transfer, registry: &Registry) -> bool {
    one.owners.iter().any(|owner| registry.has_older_branch(*owner, one.since))
}

/// Takes back what stands for too long: since transactions here do not end, or since whoever
/// made it is gone.
pub(crate) async fn run(shared: Arc<Shared>, stop: Shutdown) {
    let mut epochs = shared.meta.subscribe();
    let mut known: HashMap<MoveId, (Seen, Instant)> = HashMap::new();
    loop {
        let now = Instant::now();
        let catalog = shared.meta.catalog();
        let mut overdue = Vec::new();
        known.retain(|_, (seen, _)| seen.stands(&catalog));
        for one in catalog.held() {
            let (seen, first) = *known.entry(one.id).or_insert_with(|| (Seen::of(&one), now));
            let stands = now.saturating_duration_since(first);
            let hindered = stands > HOLD_MAX && is_hindered(&one, &shared.registry);
            if hindered || stands > STALE_AFTER {
                overdue.push(seen);
            }
        }
        drop(catalog);
        let taken = stop.or(shared.holds.take_back(&shared.meta, &overdue)).await;
        if taken.is_none() {
            return;
        }
        tokio::select! {
            () = stop.triggered() => return,
            changed = epochs.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(LOOK_INTERVAL), if !known.is_empty() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_wait_than_may() {
        let holds = Holds::default();
        let first = holds.wait(2).unwrap();
        let second = holds.wait(2).unwrap();
        assert_eq!(holds.wait(2).err().map(|error| error.number), Some(1205));
        drop(first);
        assert!(holds.wait(2).is_ok());
        drop(second);
        assert_eq!(holds.waiting.load(Ordering::Relaxed), 0);
    }
}
