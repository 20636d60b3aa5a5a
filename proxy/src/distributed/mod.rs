//! Distributed transactions: what drives the machines of [`crate::txn`] on real servers. Modules in
//! reading order.
#![allow(dead_code)]

pub(crate) mod control;

mod account;
mod ready;
pub mod setup;
mod steps;

pub(crate) mod anchor;

pub(crate) mod guard;

mod fence;
pub(crate) mod janitor;

pub(crate) mod forget;

pub(crate) mod resolve;
pub(crate) mod settle;

mod binlog;
mod definitions;
pub(crate) mod stuck;
mod undo;

pub(crate) mod overview;
pub(crate) mod telemetry;

use crate::{backend::PoolSet, txn::xid::Incarnation};
use control::Control;
use forget::Ledgers;
use guard::Raising;
use resolve::Recovery;
use settle::Settler;
use setup::{Readiness, Setup, SetupError};
use shardline_base::Shutdown;
use shardline_meta_client::MetaClient;
use shardline_model::id::ShardId;
use std::sync::Arc;

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
    /// Names of commits, and forgetting them.
    pub(crate) ledgers: Arc<Ledgers>,
    /// What is left by others, and what cannot be undone.
    pub(crate) recovery: Arc<Recovery>,
}

impl Distributed {
    pub(crate) fn new(meta: Arc<MetaClient>, pools: Arc<PoolSet>) -> Self {
        let control = Arc::new(Control::new(pools.clone()));
        let setup = Setup::over(control.clone(), pools.clone());
        let ledgers = Arc::new(Ledgers::new(control.clone()));
        let settler = Arc::new(Settler::new(control.clone(), pools.clone()));
        let recovery = Recovery::new(control.clone(), pools, ledgers.clone(), settler);
        Distributed { meta, control, setup, raising: Raising::default(), ledgers, recovery }
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

    /// The incarnation of this proxy, while it has a lease.
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        self.setup.incarnation()
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
}
