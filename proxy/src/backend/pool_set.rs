//! The pools of all shards, following the catalog. [`PoolSet::run`] is the part that works
//! in the background: probes, expiry, and killing abandoned queries.

use super::{
    BackendConnection, BackendError, PooledConnection, Wanted, health,
    logins::{Logins, LoginsPlace},
    pool::{Orphan, ShardPool},
    pool_state::PoolLimits,
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use shardline_base::{Policy, Shutdown, Tasks};
use shardline_model::{catalog::Catalog, id::ShardId};
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, mpsc};

/// Abandoned queries that wait to be killed at most.
const ORPHANS_MAX: usize = 1024;
/// How often idle connections are looked through.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// How the pools connect, and their limits.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The account on the servers.
    pub account: crate::config::BackendAccount,
    /// TLS towards servers that are reached over TCP.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Limits of each shard's pool.
    pub limits: PoolLimits,
    /// How long a statement waits for a connection.
    pub checkout_timeout: Duration,
    /// How long connecting may take, with its handshake.
    pub connect_timeout: Duration,
    /// Time between two probes of a shard that answers.
    pub probe_interval: Duration,
    /// How long a probe may take.
    pub probe_timeout: Duration,
    /// Prepared statements of one connection at most.
    pub statements_max: usize,
    /// Bytes of one packet from a server at most.
    pub packet_bytes_max: usize,
    /// Threads that use the pools: each has idle connections of its own.
    pub workers: usize,
}

impl PoolConfig {
    /// The usual configuration.
    pub fn new(account: crate::config::BackendAccount) -> Self {
        PoolConfig {
            account,
            tls: None,
            limits: PoolLimits {
                connections_max: 64,
                waiters_max: 8_192,
                idle_timeout: Duration::from_secs(300),
                lifetime_max: Duration::from_secs(3_600),
            },
            checkout_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_secs(2),
            statements_max: 128,
            packet_bytes_max: 1 << 30,
            workers: 1,
        }
    }
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillKind {
    /// The statement that runs.
    Query,
    /// The connection.
    Connection,
}

/// One pool for people.
#[derive(Clone, Debug)]
pub struct PoolStatus {
    /// The shard.
    pub shard: ShardId,
    /// Its name.
    pub name: Arc<str>,
    /// Where it is.
    pub address: Arc<str>,
    /// Why it is down, if it is.
    pub down: Option<Arc<str>>,
    /// Idle connections.
    pub idle: usize,
    /// Connections in use or being opened.
    pub in_use: usize,
    /// Statements that wait.
    pub waiting: usize,
    /// Connections at most.
    pub connections_max: usize,
}

/// The pools of all shards.
#[derive(Debug)]
pub struct PoolSet {
    config: Arc<PoolConfig>,
    /// By shard number: they are given out from 1 without gaps.
    pools: ArcSwap<Vec<Option<Arc<ShardPool>>>>,
    /// Held while the pools are changed.
    changing: Mutex<()>,
    changed: Notify,
    logins: LoginsPlace,
    orphans: mpsc::Sender<Orphan>,
    orphans_queue: Mutex<Option<mpsc::Receiver<Orphan>>>,
}

impl PoolSet {
    /// No pools yet: [`PoolSet::apply_catalog`] makes them.
    pub fn new(config: PoolConfig) -> Arc<Self> {
        let (orphans, queue) = mpsc::channel(ORPHANS_MAX);
        Arc::new(PoolSet {
            config: Arc::new(config),
            pools: ArcSwap::default(),
            changing: Mutex::new(()),
            changed: Notify::new(),
            logins: LoginsPlace::default(),
            orphans,
            orphans_queue: Mutex::new(Some(queue)),
        })
    }

    /// Follow the catalog: new shards, other addresses, removed shards. Cheap when
    /// nothing of that changed.
    pub fn apply_catalog(&self, catalog: &Catalog) {
        let _changing = self.changing.lock();
        let current = self.pools.load_full();
        let mut pools: Vec<Option<Arc<ShardPool>>> = Vec::new();
        let mut same = true;
        for (id, shard) in &catalog.shards {
            let place = id.0 as usize;
            if pools.len() <= place {
                pools.resize(place + 1, None);
            }
            let known = current.get(place).and_then(Option::as_ref);
            pools[place] = Some(match known.filter(|pool| **pool.name() == *shard.name) {
                Some(pool) => {
                    pool.set_address(&shard.primary);
                    pool.clone()
                }
                None => {
                    same = false;
                    let (config, logins) = (self.config.clone(), self.logins.clone());
                    Arc::new(ShardPool::new(shard, config, self.orphans.clone(), logins))
                }
            });
        }
        let gone: Vec<_> = current
            .iter()
            .flatten()
            .filter(|old| !pools.iter().flatten().any(|new| Arc::ptr_eq(old, new)))
            .cloned()
            .collect();
        if same && gone.is_empty() {
            return;
        }
        self.pools.store(Arc::new(pools));
        for pool in gone {
            pool.retire();
        }
        self.changed.notify_one();
    }

    /// An idle connection of the thread to a shard, at once or not at all. Allocates nothing.
    pub fn try_checkout(&self, shard: ShardId, wanted: Wanted) -> Option<PooledConnection> {
        self.pools.load().get(shard.0 as usize)?.as_ref()?.try_checkout(wanted)
    }

    /// A connection to a shard. Cancel-safe.
    ///
    /// # Errors
    /// When the shard is down, cannot be connected to, or is too busy.
    pub async fn checkout(
        &self,
        shard: ShardId,
        wanted: impl Into<Wanted>,
    ) -> Result<PooledConnection, BackendError> {
        let wanted = wanted.into();
        if let Some(idle) = self.try_checkout(shard, wanted) {
            return Ok(idle);
        }
        self.pool(shard)?.checkout(wanted).await
    }

    /// Stop what a backend connection does, by a connection of its own outside the limit.
    ///
    /// # Errors
    /// When the shard cannot be reached or does not know the connection any more.
    pub async fn kill(
        &self,
        shard: ShardId,
        thread_id: u32,
        kind: KillKind,
    ) -> Result<(), BackendError> {
        self.pool(shard)?.kill(thread_id, kind).await
    }

    /// A connection of the proxy's own, outside the limit.
    pub(crate) async fn connect_control(
        &self,
        shard: ShardId,
    ) -> Result<BackendConnection, BackendError> {
        self.pool(shard)?.connect_control().await
    }

    /// From now on new connections of sessions log in as this says.
    pub(crate) fn set_logins(&self, logins: Weak<dyn Logins>) {
        *self.logins.write() = Some(logins);
    }

    /// The configured account.
    pub(crate) fn account(&self) -> Arc<crate::config::BackendAccount> {
        Arc::new(self.config.account.clone())
    }

    /// Where a shard's server is.
    pub(crate) fn address(&self, shard: ShardId) -> Result<String, BackendError> {
        Ok(self.pool(shard)?.address())
    }

    /// Closes the idle connections of one shard, or of all, and those that are in use when they
    /// come back.
    pub(crate) fn retire_connections(&self, shard: Option<ShardId>) {
        for pool in self.pools.load().iter().flatten() {
            if shard.is_none_or(|shard| shard == pool.shard()) {
                pool.retire_connections();
            }
        }
    }

    /// All pools, by shard.
    pub fn status(&self) -> Vec<PoolStatus> {
        self.pools.load().iter().flatten().map(|pool| pool.status()).collect()
    }

    /// The background work, until shutdown. Runs once.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let Some(mut orphans) = self.orphans_queue.lock().take() else { return };
        let tasks = Tasks::new("backend pools", &shutdown);
        let mut probes: BTreeMap<ShardId, (Arc<ShardPool>, Shutdown)> = BTreeMap::new();
        let mut expiry = tokio::time::interval(EXPIRY_INTERVAL);
        self.start_probes(&tasks, &mut probes);
        loop {
            tokio::select! {
                () = shutdown.triggered() => break,
                () = self.changed.notified() => self.start_probes(&tasks, &mut probes),
                _ = expiry.tick() => {
                    let now = Instant::now();
                    for pool in self.pools.load().iter().flatten() {
                        pool.expire(now);
                    }
                }
                Some(orphan) = orphans.recv() => {
                    tasks.spawn("kill an abandoned query", Policy::Isolated, kill_orphan(orphan));
                }
            }
        }
        tasks.stop_within(Duration::from_secs(1)).await;
    }

    fn start_probes(
        &self,
        tasks: &Tasks,
        probes: &mut BTreeMap<ShardId, (Arc<ShardPool>, Shutdown)>,
    ) {
        let pools = self.pools.load_full();
        probes.retain(|_, (probed, stop)| {
            let current = pools.iter().flatten().any(|pool| Arc::ptr_eq(pool, probed));
            if !current {
                stop.trigger();
            }
            current
        });
        for pool in pools.iter().flatten() {
            probes.entry(pool.shard()).or_insert_with(|| {
                let stop = tasks.shutdown().child();
                let probing = health::watch(pool.clone(), stop.clone());
                tasks.spawn(format!("probe {}", pool.name()), Policy::Isolated, probing);
                (pool.clone(), stop)
            });
        }
    }

    fn pool(&self, shard: ShardId) -> Result<Arc<ShardPool>, BackendError> {
        let pools = self.pools.load();
        let pool = pools.get(shard.0 as usize).and_then(Option::as_ref);
        pool.cloned().ok_or(BackendError::UnknownShard { shard })
    }
}

async fn kill_orphan(orphan: Orphan) {
    let killed = orphan.pool.kill(orphan.thread_id, KillKind::Connection);
    match tokio::time::timeout(orphan.pool.config().connect_timeout, killed).await {
        // A server error means that the connection is gone already.
        Ok(Ok(()) | Err(BackendError::Server { .. })) => {}
        Ok(Err(error)) => {
            tracing::debug!(shard = %orphan.pool.name(), %error, "cannot kill an abandoned query")
        }
        Err(_) => {
            tracing::debug!(shard = %orphan.pool.name(), "killing an abandoned query took too long")
        }
    }
}
