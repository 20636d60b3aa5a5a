//! The replicated state and the function that applies a command to it: plain, synchronous
//! and deterministic. No clock, no randomness, no I/O: every node computes the same.

use crate::{
    command::{Command, Outcome},
    incarnations::Incarnations,
};
use serde::{Deserialize, Serialize};
use shardline_meta_client::rpc::{
    LeaseInstance, LeaseRefusal, MarkRefusal, PROXY_ID_MAX, ProxyRegistration,
    REGISTRATION_TEXT_BYTES_MAX, RESERVE_COUNT_MAX, Rejection, RequestId, ReserveRefusal,
};
use shardline_model::{
    catalog::Catalog,
    change::{Applied, Change},
    id::{Epoch, Incarnation, ProxyId, TableId},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// How many applied changes are remembered by request id. A request whose base epoch is
/// older than all of them is refused, since it may be one that was forgotten.
pub(crate) const REMEMBERED_MAX: usize = 4_096;

/// Everything that Raft replicates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The catalog; shared with readers, so a change copies it.
    pub(crate) catalog: Arc<Catalog>,
    /// The next number of each table that has had one; 1 for the others.
    sequences: BTreeMap<TableId, u64>,
    /// Who holds which proxy id.
    pub(crate) leases: BTreeMap<ProxyId, Lease>,
    /// Lives of proxies that are not swept.
    pub(crate) incarnations: Incarnations,
    /// The last changes, one for each epoch, in order of epochs.
    remembered: VecDeque<Remembered>,
}

/// A lease. When it runs out is the leader's to say; see `lease_board`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) incarnation: Incarnation,
    pub(crate) instance: LeaseInstance,
    pub(crate) registration: ProxyRegistration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Remembered {
    epoch: Epoch,
    request: RequestId,
    applied: Applied,
}

/// Applying broke a promise of the catalog: the node must stop, its state is not to be
/// trusted.
#[derive(Debug, thiserror::Error)]
#[error("applying a change took the catalog from {before} to {after}, not to the next epoch")]
pub(crate) struct BrokenEpoch {
    before: Epoch,
    after: Epoch,
}

impl State {
    /// Applies one command that is committed in an entry of `term`.
    pub(crate) fn apply(&mut self, term: u64, command: &Command) -> Result<Outcome, BrokenEpoch> {
        Ok(match command {
            Command::Change { request, base, change } => {
                return self.change(*request, *base, change);
            }
            Command::Reserve { table, count, at_least } => self.reserve(*table, *count, *at_least),
            Command::GrantLease { instance, registration } => self.grant(*instance, registration),
            Command::ReleaseLease { proxy, instance } => self.end_lease(*proxy, *instance),
            Command::ExpireLease { proxy, instance, term: decided_in } if *decided_in == term => {
                self.end_lease(*proxy, *instance)
            }
            Command::ExpireLease { .. } => Outcome::Nothing,
            Command::MarkFenced { incarnation, at_unix_s } => {
                marked(self.incarnations.fenced(*incarnation, *at_unix_s))
            }
            Command::MarkSwept { incarnation } => marked(self.incarnations.swept(*incarnation)),
        })
    }

    /// The epoch of the catalog.
    pub(crate) fn epoch(&self) -> Epoch {
        self.catalog.epoch
    }

    /// Whether the instance holds the id.
    pub(crate) fn holds(&self, proxy: ProxyId, instance: LeaseInstance) -> bool {
        self.leases.get(&proxy).is_some_and(|lease| lease.instance == instance)
    }

    fn change(
        &mut self,
        request: RequestId,
        base: Epoch,
        change: &Change,
    ) -> Result<Outcome, BrokenEpoch> {
        let before = self.epoch();
        // Applied after its base, so the search goes back no further.
        let recent = self.remembered.iter().rev().take_while(|known| known.epoch > base);
        if let Some(known) = recent.into_iter().find(|known| known.request == request) {
            return Ok(Outcome::Changed { epoch: known.epoch, applied: known.applied.clone() });
        }
        // All epochs above this one are remembered.
        let forgotten = Epoch(before.0 - self.remembered.len() as u64);
        if base < forgotten {
            return Ok(Outcome::Forgotten { epoch: before });
        }
        let mut catalog = Catalog::clone(&self.catalog);
        let applied = match catalog.apply(change) {
            Ok(applied) => applied,
            Err(error) => return Ok(Outcome::Rejected(Rejection::from(&error))),
        };
        let after = catalog.epoch;
        if after.0 != before.0 + 1 {
            return Err(BrokenEpoch { before, after });
        }
        self.catalog = Arc::new(catalog);
        if self.remembered.len() == REMEMBERED_MAX {
            self.remembered.pop_front();
        }
        self.remembered.push_back(Remembered { epoch: after, request, applied: applied.clone() });
        if matches!(change, Change::DropTable { .. } | Change::DropDatabase { .. }) {
            self.drop_orphan_sequences();
        }
        Ok(Outcome::Changed { epoch: after, applied })
    }

    fn drop_orphan_sequences(&mut self) {
        let databases = self.catalog.databases.values();
        let tables: BTreeSet<TableId> =
            databases.flat_map(|database| database.tables.values().map(|table| table.id)).collect();
        self.sequences.retain(|table, _| tables.contains(table));
    }

    fn reserve(&mut self, table: TableId, count: u64, at_least: Option<u64>) -> Outcome {
        if table.0 == 0 || table.0 > self.catalog.last_ids.table {
            return Outcome::ReserveRefused(ReserveRefusal::UnknownTable { table });
        }
        if count > RESERVE_COUNT_MAX {
            return Outcome::ReserveRefused(ReserveRefusal::TooMany { count });
        }
        let next = self.sequences.get(&table).copied().unwrap_or(1);
        let first = next.max(at_least.unwrap_or(0));
        let Some(end) = first.checked_add(count) else {
            return Outcome::ReserveRefused(ReserveRefusal::Exhausted { table, next });
        };
        if end > 1 {
            self.sequences.insert(table, end);
        }
        Outcome::Reserved { first, end }
    }

    fn grant(&mut self, instance: LeaseInstance, registration: &ProxyRegistration) -> Outcome {
        let texts = [&registration.address, &registration.version];
        if texts.iter().any(|text| text.len() > REGISTRATION_TEXT_BYTES_MAX) {
            return Outcome::LeaseRefused(LeaseRefusal::RegistrationTooLong);
        }
        let epoch = self.epoch();
        let held = self.leases.iter().find(|(_, lease)| lease.instance == instance);
        if let Some((&proxy, Lease { incarnation, .. })) = held {
            return Outcome::LeaseHeld { proxy, incarnation: *incarnation, epoch };
        }
        let free = (1..=PROXY_ID_MAX).map(ProxyId).find(|id| !self.leases.contains_key(id));
        let Some(proxy) = free else {
            return Outcome::LeaseRefused(LeaseRefusal::Full);
        };
        let Some(incarnation) = self.incarnations.begin(proxy) else {
            return Outcome::LeaseRefused(LeaseRefusal::TooManyIncarnations);
        };
        let registration = registration.clone();
        self.leases.insert(proxy, Lease { incarnation, instance, registration });
        Outcome::LeaseHeld { proxy, incarnation, epoch }
    }

    fn end_lease(&mut self, proxy: ProxyId, instance: LeaseInstance) -> Outcome {
        if self.holds(proxy, instance)
            && let Some(lease) = self.leases.remove(&proxy)
        {
            self.incarnations.end(lease.incarnation);
        }
        Outcome::LeaseEnded
    }
}

fn marked(result: Result<(), MarkRefusal>) -> Outcome {
    match result {
        Ok(()) => Outcome::Marked,
        Err(refusal) => Outcome::MarkRefused(refusal),
    }
}
