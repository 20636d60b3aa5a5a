//! What all sessions of a proxy share.

use crate::{
    auto_increment::Sequences, backend::PoolSet, config::ProxyConfig, distributed::Distributed,
    error::SqlError, holds::Holds, metrics::Metrics, registry::Registry, stats::Statistics,
};
use arc_swap::ArcSwapOption;
use shardline_meta_client::{MetaClient, ProxyLease};
use shardline_model::{catalog::Catalog, id::ShardId};
use shardline_router::router::Router;
use shardline_wire::server::ServerConfig;
use std::{sync::Arc, time::Instant};

/// The proxy, as its sessions see it.
pub(crate) struct Shared {
    /// Configuration.
    pub(crate) config: ProxyConfig,
    /// The Unix socket that clients may use; empty when there is none.
    pub(crate) socket: Arc<str>,
    /// The port that clients use.
    pub(crate) port: u16,
    /// The metadata service.
    pub(crate) meta: Arc<MetaClient>,
    /// The lease, while there is one.
    pub(crate) lease: ArcSwapOption<ProxyLease>,
    /// Plans.
    pub(crate) router: Router,
    /// Connections to the shards.
    pub(crate) pools: Arc<PoolSet>,
    /// Transactions over several shards.
    pub(crate) distributed: Arc<Distributed>,
    /// The sessions.
    pub(crate) registry: Arc<Registry>,
    /// AUTO_INCREMENT numbers.
    pub(crate) sequences: Sequences,
    /// Units that change their shard.
    pub(crate) holds: Holds,
    /// Metrics.
    pub(crate) metrics: Metrics,
    /// What statements cost.
    pub(crate) statistics: Statistics,
    /// How clients log in.
    pub(crate) wire: ServerConfig,
    /// Reads that bring rows to one server: each has a connection there while it waits for others,
    /// so they are fewer than a shard's connections.
    pub(crate) computing: tokio::sync::Semaphore,
    /// One schema change at a time in this proxy.
    pub(crate) schema_change: tokio::sync::Mutex<()>,
}

impl Shared {
    /// Whether this proxy may serve, at a moment that was just read from the clock.
    ///
    /// # Errors
    /// It has no valid lease.
    pub(crate) fn check_lease(&self, now: Instant) -> Result<(), SqlError> {
        match &*self.lease.load() {
            Some(lease) if lease.valid_at(now) => Ok(()),
            _ => Err(SqlError::no_lease()),
        }
    }
}

/// A shard's name for people.
pub(crate) fn shard_name(catalog: &Catalog, shard: ShardId) -> String {
    catalog.shards.get(&shard).map_or_else(|| shard.to_string(), |found| found.name.clone())
}
