//! Distributed transactions: what drives the machines of [`crate::txn`] on real servers. Modules in
//! reading order.

pub(crate) mod control;

mod account;
mod ready;
pub mod setup;
mod steps;

pub(crate) mod anchor;

pub(crate) mod commit;
pub(crate) mod guard;
pub(crate) mod hold;

pub(crate) mod barrier;

mod fence;
pub(crate) mod janitor;

pub(crate) mod forget;
pub(crate) mod holders;
pub(crate) mod reads;

pub(crate) mod resolve;
pub(crate) mod settle;

pub(crate) mod deadlock;

mod binlog;
mod definitions;
pub(crate) mod stuck;
mod undo;

pub(crate) mod audit;

pub(crate) mod overview;
pub(crate) mod telemetry;

use crate::{
    backend::PoolSet,
    error::SqlError,
    txn::{forget::Committed, xid::Incarnation},
};
use audit::follow::Findings;
use barrier::Barriers;
use control::Control;
use forget::Ledgers;
use guard::Raising;
use hold::Holds;
use resolve::Recovery;
use settle::Settler;
use setup::{Readiness, Setup, SetupError};
use shardline_base::Shutdown;
use shardline_meta_client::MetaClient;
use shardline_model::{catalog::Catalog, id::ShardId};
use shardline_router::plan::TableName;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::runtime::Handle;

/// How often a commit looks whether its incarnation is over.
const FENCED_PAUSE: Duration = Duration::from_millis(100);

/// What the proxy does for distributed transactions beside its sessions.
pub(crate) struct Distributed {
    /// The metadata service.
    pub(crate) meta: Arc<MetaClient>,
    /// The proxy's own connections to the shards.
    pub(crate) control: Arc<Control>,
    /// What must be on a shard before it is written.
    pub(crate) setup: Arc<Setup>,
    /// Guards that sessions wait for.
    raising: Raising,
    /// Who is held up by the catalog.
    holds: Holds,
    /// Who waits for a commit barrier.
    barriers: Barriers,
    /// Names of commits, and forgetting them.
    pub(crate) ledgers: Arc<Ledgers>,
    /// What is left by others, and what cannot be undone.
    pub(crate) recovery: Arc<Recovery>,
    /// Where work goes on that outlives a session.
    background: Handle,
    stop: Shutdown,
    /// Whether this proxy is the one that acts for the cluster.
    acts: AtomicBool,
    /// What the auditor found.
    pub(crate) findings: Findings,
}

impl Distributed {
    pub(crate) fn new(meta: Arc<MetaClient>, pools: Arc<PoolSet>) -> Self {
        let control = Arc::new(Control::new(pools.clone()));
        let setup = Setup::over(control.clone(), pools.clone());
        let ledgers = Arc::new(Ledgers::new(control.clone()));
        let settler = Arc::new(Settler::new(control.clone(), pools.clone()));
        let recovery = Recovery::new(control.clone(), pools, ledgers.clone(), settler);
        let (raising, background, stop) = (Raising::default(), Handle::current(), Shutdown::new());
        let (acts, findings) = (AtomicBool::new(false), Findings::default());
        Distributed {
            meta,
            control,
            setup,
            raising,
            holds: Holds::default(),
            barriers: Barriers::default(),
            ledgers,
            recovery,
            background,
            stop,
            acts,
            findings,
        }
    }

    /// Whether this proxy is the one that acts for the cluster, by its janitor's last look. For a
    /// moment two may be.
    pub(crate) fn acts(&self) -> bool {
        self.acts.load(Ordering::Relaxed)
    }

    /// What runs beside the sessions until shutdown: scans and resolvers, and forgetting.
    pub(crate) fn background(
        &self,
        stop: Shutdown,
    ) -> (impl Future<Output = ()> + use<>, impl Future<Output = ()> + use<>) {
        (self.recovery.clone().run(stop.clone()), self.ledgers.clone().run(stop))
    }

    /// A lease was taken: to be called before a statement runs under it.
    ///
    /// # Errors
    /// As [`Setup::begin`].
    pub(crate) fn begin(&self, incarnation: Incarnation) -> Result<(), SetupError> {
        self.setup.begin(incarnation)?;
        self.ledgers.set_incarnation(Some(incarnation));
        Ok(())
    }

    /// The lease is over.
    pub(crate) fn end(&self) {
        self.setup.end();
        self.ledgers.set_incarnation(None);
    }

    /// Sets all shards up, before somebody waits for it.
    pub(crate) async fn warm(&self) {
        let shards: Vec<_> = self.meta.catalog().shards.keys().copied().collect();
        self.setup.warm(shards).await;
    }

    /// Whether a shard may take part in a transaction over several shards.
    pub(crate) async fn readiness(&self, shard: ShardId) -> Readiness {
        let catalog = self.meta.catalog();
        let replicas = catalog.shards.get(&shard).is_some_and(|found| !found.replicas.is_empty());
        self.setup.readiness(shard, replicas).await
    }

    /// Whether what a branch on this shard changes in these tables can be undone.
    ///
    /// # Errors
    /// The first table that cannot, why, and what to do; or the shard cannot be asked.
    pub(crate) async fn undoable(
        &self,
        catalog: &Catalog,
        shard: ShardId,
        tables: &[Arc<TableName>],
    ) -> Result<(), SqlError> {
        let checked = &self.recovery.settler.checked;
        checked.undoable(&self.control, catalog, shard, tables).await
    }

    /// Takes over a commit whose coordinator has given up waiting; `thread` is the backend
    /// connection that had the anchor's transaction. The catalog is held to the end of it.
    pub(crate) fn hand_over(&self, committed: Committed, thread: u64, catalog: Arc<Catalog>) {
        let resolving = self.recovery.clone().resolve_now(committed, thread, self.stop.clone());
        self.background.spawn(async move {
            resolving.await;
            drop(catalog);
        });
    }

    /// Returns when the incarnation is over.
    pub(crate) async fn fenced(&self, incarnation: Incarnation) {
        while self.ledgers.incarnation() == Some(incarnation) {
            tokio::time::sleep(FENCED_PAUSE).await;
        }
    }
}
