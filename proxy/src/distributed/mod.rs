//! Distributed transactions: what drives the machines of [`crate::txn`] on real servers. Modules in
//! reading order.
#![allow(dead_code)]

pub(crate) mod control;

pub(crate) mod setup;

pub(crate) mod anchor;

pub(crate) mod guard;

mod fence;
pub(crate) mod janitor;

use crate::backend::PoolSet;
use control::Control;
use guard::Raising;
use shardline_meta_client::MetaClient;
use std::sync::Arc;

/// What the proxy does for distributed transactions beside its sessions.
pub(crate) struct Distributed {
    /// The metadata service.
    pub(crate) meta: Arc<MetaClient>,
    /// The proxy's own connections to the shards.
    pub(crate) control: Control,
    /// Guards that sessions wait for.
    raising: Raising,
}

impl Distributed {
    pub(crate) fn new(meta: Arc<MetaClient>, pools: Arc<PoolSet>) -> Self {
        Distributed { meta, control: Control::new(pools), raising: Raising::default() }
    }
}
