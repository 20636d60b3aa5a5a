//! What operators do with a cluster: shards that come and go, data that is moved between them, jobs. The
//! command line, the HTTP API and the statements of Shardline call this and nothing else. Everything that
//! takes long is a job of the cluster; what is here begins it, steers it and shows it.

pub mod error;
pub mod request;
pub mod view;

mod access;
pub mod cluster;
pub mod live;
mod servers;
pub mod tables;

mod definitions;
pub mod joining;
mod shards;

mod goals;
mod measure;
mod rebalance;

mod jobs;
mod journal;

pub mod statements;

pub use error::{OperationError, Problem};
pub use request::{JobVerb, PlanRequest, StartRequest, ThrottleRequest, UntilRequest};
pub use view::{EventView, JobView, MoveView, ShardView, Started};

use crate::up::servers::LocalShards;
use journal::Journal;
use shardline_base::Shutdown;
use shardline_meta_client::{IncarnationState, MetaClient, ProposeError};
use shardline_model::{
    catalog::Catalog,
    change::{Applied, Change},
    id::Epoch,
};
use shardline_proxy::inside::Inside;
use shardline_rebalancer::driver::{Account, Driver};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// Between two looks at something that is waited for.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long proxies may take to acknowledge a change.
const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(60);

/// The operations of one process. It may be any process of the cluster.
pub struct Operations {
    meta: Arc<MetaClient>,
    account: Account,
    /// The servers of a cluster on this machine, where this process runs them.
    local: OnceLock<Arc<LocalShards>>,
    /// What drives jobs in this process.
    driver: OnceLock<Arc<Driver>>,
    /// The proxy of this process.
    inside: OnceLock<Inside>,
    journal: Journal,
    /// Where long operations run.
    runtime: tokio::runtime::Handle,
    /// One shard is added or removed at a time.
    membership: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Operations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operations").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Operations {
    /// The operations of a process with this account on the shards' servers. Long ones run on the
    /// runtime that this is called on.
    pub fn new(meta: Arc<MetaClient>, account: Account) -> Arc<Self> {
        Arc::new(Self {
            meta,
            account,
            local: OnceLock::new(),
            driver: OnceLock::new(),
            inside: OnceLock::new(),
            journal: Journal::default(),
            runtime: tokio::runtime::Handle::current(),
            membership: tokio::sync::Mutex::new(()),
        })
    }

    /// Tells that this process runs the shards' servers.
    pub fn set_local(&self, local: Arc<LocalShards>) {
        // Told once, by whoever builds the process.
        let _ = self.local.set(local);
    }

    /// Tells what drives jobs in this process.
    pub fn set_driver(&self, driver: Arc<Driver>) {
        let _ = self.driver.set(driver);
    }

    /// Tells which proxy is in this process.
    pub fn set_inside(&self, inside: Inside) {
        let _ = self.inside.set(inside);
    }

    /// Notes what becomes of jobs, until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: Shutdown) {
        stop.or(self.follow_jobs()).await;
    }

    /// The catalog of now. A copy: whoever holds the client's own keeps proxies from acknowledging newer ones.
    fn catalog(&self) -> Catalog {
        Catalog::clone(&self.meta.catalog())
    }

    async fn propose(&self, change: Change) -> Result<Applied, OperationError> {
        self.meta.propose(change).await.map_err(|error| match &error {
            ProposeError::Rejected(why) => OperationError::rejected(why),
            error => OperationError::unavailable("metadata", crate::exit::chain(error)),
        })
    }

    /// Waits until every proxy acts by an epoch or a newer one.
    async fn acknowledged(&self, since: Epoch) -> Result<(), OperationError> {
        let begun = Instant::now();
        loop {
            let status = self.meta.cluster_status().await.map_err(|error| {
                OperationError::unavailable("metadata", crate::exit::chain(&error))
            })?;
            let leases = status.leases.iter();
            let behind: Vec<String> = leases
                .filter(|lease| lease.acknowledged.is_none_or(|epoch| epoch < since))
                .map(|lease| format!("{} ({})", lease.proxy, lease.registration.address))
                .collect();
            let ended = |state| state == IncarnationState::Ended;
            let fenced = !status.incarnations.iter().any(|one| ended(one.state));
            if status.confirmed && status.epoch >= since && behind.is_empty() && fenced {
                return Ok(());
            }
            if begun.elapsed() > ACKNOWLEDGE_MAX {
                let who = match behind.is_empty() {
                    true => "a proxy that has ended and is not fenced".to_owned(),
                    false => format!("proxies {}", behind.join(", ")),
                };
                return Err(OperationError::timed_out(
                    "acknowledge",
                    format!(
                        "{who} did not follow the catalog within {} s",
                        ACKNOWLEDGE_MAX.as_secs()
                    ),
                )
                .hint("look for long statements with SHOW PROCESSLIST, then run it again"));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
}

/// Seconds since 1970 by this machine's clock.
pub(crate) fn unix_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
