//! Moves guards along: looks at the catalog and the leases, and proposes what
//! [`crate::txn::guard`] says. Any number of proxies may do so at once.

use super::Distributed;
use crate::{
    error::SqlError,
    txn::{
        guard::{Guard, GuardState, Holder, Lagging, Next, Observation, WANT_PATIENCE, next},
        rules::Rules,
        sql,
        xid::Incarnation,
    },
};
use parking_lot::Mutex;
use shardline_meta_client::{
    ClusterStatus, IncarnationState, LeaseStatus, ProposeError, RejectionKind,
};
use shardline_model::{
    change::Change,
    id::{Epoch, ProxyId},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// What keeps a guard where it is, for people.
type Hindrance = String;

/// Who is at raising which guard in this proxy. One of those who want it does the work, and the
/// others see what comes of it.
#[derive(Debug, Default)]
pub(crate) struct Raising(Mutex<HashMap<String, Arc<Lane>>>);

#[derive(Debug, Default)]
struct Lane {
    turn: tokio::sync::Mutex<()>,
    hindrance: Mutex<Hindrance>,
}

impl Raising {
    /// There are no more lanes than databases whose guard somebody waits for.
    fn lane(&self, database: &str) -> Arc<Lane> {
        self.0.lock().entry(database.to_owned()).or_default().clone()
    }

    fn leave(&self, database: &str, lane: Arc<Lane>) {
        let mut lanes = self.0.lock();
        drop(lane);
        if lanes.get(database).is_some_and(|lane| Arc::strong_count(lane) == 1) {
            lanes.remove(database);
        }
    }
}

impl Distributed {
    /// Returns when distributed writes may run on these databases: a catalog that is taken from
    /// now on says so, until the guard is lowered again, so the caller looks at it once more.
    ///
    /// The caller must not hold a catalog from before: this proxy acknowledges no epoch while
    /// an older one is in use, so it would wait for itself. Cancel-safe.
    ///
    /// # Errors
    /// 1213 at the deadline, which is at most [`WANT_PATIENCE`] away, with what is waited for.
    pub(crate) async fn raise(
        &self,
        databases: &[&str],
        deadline: Instant,
    ) -> Result<(), SqlError> {
        let deadline = deadline.min(Instant::now() + WANT_PATIENCE);
        for database in databases {
            if self.meta.catalog().guard(database).allows_distributed() {
                continue;
            }
            let lane = self.raising.lane(database);
            let raising = self.raise_one(database, &lane);
            let raised = tokio::time::timeout_at(deadline.into(), raising).await;
            let hindrance = lane.hindrance.lock().clone();
            self.raising.leave(database, lane);
            match raised {
                Ok(true) => {}
                Ok(false) => return Err(SqlError::unknown_database(database)),
                Err(_) => return Err(SqlError::guard_not_raised(database, &hindrance)),
            }
        }
        Ok(())
    }

    /// Until it is on: true; false when there is no such database.
    async fn raise_one(&self, database: &str, lane: &Lane) -> bool {
        let _turn = lane.turn.lock().await;
        loop {
            match self.move_guard(database, true, false).await {
                Ok(Next::Stay) => return true,
                Ok(Next::Change(_) | Next::Count) => {}
                Ok(Next::Wait(_)) => tokio::time::sleep(PAUSE).await,
                Err(Stuck::NoDatabase) => return false,
                Err(Stuck::Hindered(hindrance)) => {
                    *lane.hindrance.lock() = hindrance;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// One look at a guard, and the change that follows from it.
    pub(super) async fn move_guard(
        &self,
        database: &str,
        wanted: bool,
        idle: bool,
    ) -> Result<Next, Stuck> {
        // Before the leases; see [`Observation`].
        let guard = self.meta.catalog().guards.get(database).copied();
        let leases = self.leases(guard).await?;
        let mut seen = Observation {
            guard,
            holders: &leases.holders,
            unfenced: leases.unfenced,
            wanted,
            idle,
            left: None,
        };
        let rules = Rules::default();
        let mut step = next(&seen, rules);
        if step == Next::Count {
            seen.left = Some(self.count_left().await?);
            step = next(&seen, rules);
        }
        match step {
            Next::Change(to) => self.change_guard(database, guard, to).await?,
            Next::Wait(lagging) => {
                let since = guard.map(|guard| guard.since).unwrap_or_default();
                return Err(Stuck::Hindered(leases.name(lagging, since)));
            }
            Next::Stay | Next::Count => {}
        }
        Ok(step)
    }

    /// The leases, where the next step depends on them.
    async fn leases(&self, guard: Option<Guard>) -> Result<Leases, Stuck> {
        let Some(guard) = guard else { return Ok(Leases::default()) };
        match guard.state {
            GuardState::Off | GuardState::On => return Ok(Leases::default()),
            GuardState::Raising | GuardState::Lowering => {}
        }
        let status = self.meta.cluster_status().await;
        let status = status.map_err(|error| Stuck::Hindered(error.to_string()))?;
        // What is not confirmed may miss a lease that was given after the guard changed.
        if !status.confirmed || status.epoch < guard.since {
            return Err(Stuck::Hindered("the metadata service has no confirmed leader".into()));
        }
        Ok(Leases::of(status))
    }

    async fn change_guard(
        &self,
        database: &str,
        from: Option<Guard>,
        to: GuardState,
    ) -> Result<(), Stuck> {
        let mut epochs = self.meta.subscribe();
        let change = Change::SetGuard { database: database.to_owned(), from, to };
        match self.meta.propose(change).await {
            Ok(applied) => {
                tracing::info!(database, %to, epoch = %applied.epoch, "a guard moved");
                Ok(())
            }
            Err(ProposeError::Rejected(why)) if why.kind == RejectionKind::Moved => {
                // Somebody was faster: what they did is on its way here.
                let _ = tokio::time::timeout(PAUSE, epochs.changed()).await;
                Ok(())
            }
            Err(ProposeError::Rejected(why)) if why.kind == RejectionKind::Unknown => {
                Err(Stuck::NoDatabase)
            }
            Err(error) => Err(Stuck::Hindered(error.to_string())),
        }
    }

    /// Locks and undecided branches on all shards.
    async fn count_left(&self) -> Result<u64, Stuck> {
        let mut left = 0_u64;
        for shard in self.meta.catalog().shard_ids() {
            let counted = self.count(shard, &sql::count_left()).await;
            left = left.saturating_add(counted.map_err(|error| {
                Stuck::Hindered(format!("shard {shard} does not tell its locks: {error}"))
            })?);
        }
        Ok(left)
    }
}

/// Why a guard does not move now.
#[derive(Debug)]
pub(super) enum Stuck {
    /// The database is not in the catalog.
    NoDatabase,
    /// Something is waited for.
    Hindered(Hindrance),
}

/// What of a status the next step depends on.
#[derive(Default)]
pub(super) struct Leases {
    pub(super) holders: Vec<Holder>,
    pub(super) unfenced: Option<Incarnation>,
    addresses: HashMap<ProxyId, String>,
}

impl Leases {
    fn of(status: ClusterStatus) -> Self {
        Self::by(status, |lease| lease.acknowledged)
    }

    /// With the epochs by which proxies admit commits.
    pub(super) fn admitting(status: ClusterStatus) -> Self {
        Self::by(status, |lease| lease.admits_by)
    }

    fn by(status: ClusterStatus, epoch: impl Fn(&LeaseStatus) -> Option<Epoch>) -> Self {
        let ended = status.incarnations.iter().find(|one| one.state == IncarnationState::Ended);
        let unfenced = ended.map(|one| one.incarnation);
        let holders = status
            .leases
            .iter()
            .map(|lease| Holder { proxy: lease.proxy, acknowledged: epoch(lease) });
        let holders = holders.collect();
        let addresses = status.leases.into_iter();
        let addresses = addresses.map(|lease| (lease.proxy, lease.registration.address));
        Leases { holders, unfenced, addresses: addresses.collect() }
    }

    pub(super) fn name(&self, lagging: Lagging, since: Epoch) -> Hindrance {
        match lagging {
            Lagging::Proxy(proxy) => {
                let address = self.addresses.get(&proxy).map(String::as_str).unwrap_or_default();
                format!("proxy {proxy} at {address} has not acknowledged {since} yet")
            }
            Lagging::Incarnation(incarnation) => format!(
                "incarnation {incarnation} of a proxy that is gone is not cut off from every \
                 shard yet"
            ),
        }
    }
}
