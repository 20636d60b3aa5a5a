//! Distributed transactions: what drives the machines of [`crate::txn`] on real servers. Modules in
//! reading order.
#![allow(dead_code)]

pub(crate) mod control;

pub(crate) mod setup;

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

use crate::backend::PoolSet;
use control::Control;
use forget::Ledgers;
use guard::Raising;
use resolve::Recovery;
use settle::Settler;
use shardline_base::Shutdown;
use shardline_meta_client::MetaClient;
use std::sync::Arc;

/// What the proxy does for distributed transactions beside its sessions.
pub(crate) struct Distributed {
    /// The metadata service.
    pub(crate) meta: Arc<MetaClient>,
    /// The proxy's own connections to the shards.
    pub(crate) control: Arc<Control>,
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
        let ledgers = Arc::new(Ledgers::new(control.clone()));
        let settler = Arc::new(Settler::new(control.clone(), pools.clone()));
        let recovery = Recovery::new(control.clone(), pools, ledgers.clone(), settler);
        Distributed { meta, control, raising: Raising::default(), ledgers, recovery }
    }

    /// What runs beside the sessions until shutdown: scans and resolvers, and forgetting.
    pub(crate) fn background(
        &self,
        stop: Shutdown,
    ) -> (impl Future<Output = ()> + use<>, impl Future<Output = ()> + use<>) {
        (self.recovery.clone().run(stop.clone()), self.ledgers.clone().run(stop))
    }
}
