//! The front door: one [`MetaClient`] for a process.

use crate::{
    CallError, ClientConfig, ClusterStatus, ConnectError, LeaseError, MarkError, ProposeError,
    ProxyLease, ProxyRegistration, ReserveError,
    caller::Caller,
    lease,
    rpc::{Request, RequestId, Response},
    watcher::Watcher,
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use shardline_base::{Policy, Shutdown, Tasks};
use shardline_model::{
    catalog::Catalog,
    change::{Applied, Change},
    id::{Epoch, Incarnation, TableId},
};
use std::{
    hash::{BuildHasher, RandomState},
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::watch};

/// A process's connection to the metadata service. Dropping it stops its tasks.
pub struct MetaClient {
    shared: Arc<Shared>,
    tasks: Tasks,
    /// Where it connected: its tasks run there, whoever asks for them.
    runtime: Handle,
}

/// What the client and its tasks share.
pub(crate) struct Shared {
    pub(crate) caller: Caller,
    catalog: ArcSwap<Catalog>,
    /// Every catalog that may be in use: as many as somebody holds, and the newest.
    in_use: Mutex<Vec<(Epoch, Weak<Catalog>)>>,
    /// None until the first catalog arrives.
    epoch: watch::Sender<Option<Epoch>>,
    /// The same, for users, who never see None.
    known_epoch: watch::Sender<Epoch>,
    watch_failure: Mutex<String>,
    client: u64,
    next_request: AtomicU64,
}

impl MetaClient {
    /// Reaches the service and waits for the first catalog, at most the call timeout.
    /// `shutdown` ends the client with its leases, so trigger it after the users of the
    /// client have drained, not before.
    pub async fn connect(
        config: ClientConfig,
        shutdown: &Shutdown,
    ) -> Result<Arc<Self>, ConnectError> {
        if config.endpoints.is_empty() {
            return Err(ConnectError::NoEndpoint);
        }
        let connector = config.tls.as_ref().map(|files| files.connector()).transpose();
        let connector = connector.map_err(ConnectError::Tls)?;
        let tasks = Tasks::new("meta client", shutdown);
        let shared = Arc::new(Shared {
            caller: Caller::new(config, connector, tasks.shutdown().clone()),
            catalog: ArcSwap::from_pointee(Catalog::default()),
            in_use: Mutex::default(),
            epoch: watch::Sender::new(None),
            known_epoch: watch::Sender::new(Epoch::default()),
            watch_failure: Mutex::default(),
            client: RandomState::new().hash_one(std::process::id()),
            next_request: AtomicU64::new(1),
        });
        let watcher = Watcher::new(shared.clone());
        let stop = tasks.shutdown().clone();
        tasks.spawn("catalog watcher", Policy::Essential, watcher.run(stop));
        let first = shared.wait_for(Epoch::default(), shared.caller.deadline());
        match tasks.shutdown().or(first).await {
            Some(true) => Ok(Arc::new(Self { shared, tasks, runtime: Handle::current() })),
            Some(false) => Err(ConnectError::Call(CallError::Unavailable {
                operation: "receive the catalog",
                endpoints: shared.caller.endpoints(),
                waited_ms: shared.caller.config.timing.call_timeout_ms,
                last: shared.watch_failure(),
            })),
            None => {
                Err(ConnectError::Call(CallError::Stopping { operation: "receive the catalog" }))
            }
        }
    }

    /// The newest catalog that has arrived. A few nanoseconds; never waits.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.catalog.load_full()
    }

    /// The oldest epoch of which somebody still holds the catalog. Never above that of
    /// [`MetaClient::catalog`].
    pub fn oldest_in_use(&self) -> Epoch {
        self.shared.oldest_in_use()
    }

    /// The epoch of [`MetaClient::catalog`], as a value that can be waited on.
    pub fn subscribe(&self) -> watch::Receiver<Epoch> {
        self.shared.known_epoch.subscribe()
    }

    /// Applies a change, exactly once however often the leader changes meanwhile, and
    /// returns when [`MetaClient::catalog`] has it.
    ///
    /// After [`CallError::Unavailable`] the outcome is unknown: look at a later catalog.
    pub async fn propose(&self, change: Change) -> Result<Applied, ProposeError> {
        let deadline = self.shared.caller.deadline();
        let change = Arc::new(change);
        loop {
            let base = self.shared.known_epoch();
            let request = Request::Propose {
                request: self.shared.next_request_id(),
                base,
                change: change.clone(),
            };
            let limit = deadline.saturating_duration_since(Instant::now());
            let operation = "change the catalog";
            let answer = self.shared.caller.call_within(operation, &request, limit).await?;
            match answer.response {
                Response::Applied { epoch, applied } => {
                    self.wait_until_here(epoch, deadline).await?;
                    return Ok(applied);
                }
                Response::Rejected(error) => return Err(ProposeError::Rejected(error)),
                // The only attempt was not carried out: this catalog is just very old.
                Response::Forgotten { epoch } if answer.attempts == 1 && epoch > base => {
                    self.wait_until_here(epoch, deadline).await?;
                }
                Response::Forgotten { .. } => return Err(ProposeError::OutcomeForgotten),
                other => return Err(self.unexpected(operation, &other).into()),
            }
        }
    }

    /// Reserves `count` consecutive numbers of a table's sequence, none below `at_least`.
    /// Numbers start at 1 and are never given twice; a range may be lost unused. A count
    /// of 0 only moves the sequence forward.
    pub async fn reserve(
        &self,
        table: TableId,
        count: u64,
        at_least: Option<u64>,
    ) -> Result<Range<u64>, ReserveError> {
        let operation = "reserve sequence numbers";
        let request = Request::Reserve { table, count, at_least };
        match self.shared.caller.call(operation, &request).await?.response {
            Response::Reserved { first, end } => Ok(first..end),
            Response::ReserveRefused(refusal) => Err(ReserveError::Refused(refusal)),
            other => Err(self.unexpected(operation, &other).into()),
        }
    }

    /// Takes a lease on a proxy id and renews it in the background until it is dropped.
    pub async fn lease(&self, registration: ProxyRegistration) -> Result<ProxyLease, LeaseError> {
        lease::acquire(&self.shared, &self.tasks, &self.runtime, registration).await
    }

    /// Tells the service that an ended incarnation is fenced on every shard, at this time
    /// (seconds since 1970). May be repeated: the first time stays.
    pub async fn mark_fenced(
        &self,
        incarnation: Incarnation,
        at_unix_s: u64,
    ) -> Result<(), MarkError> {
        let request = Request::MarkFenced { incarnation, at_unix_s };
        self.mark("mark an incarnation as fenced", &request).await
    }

    /// Tells the service that nothing is left of a fenced incarnation. May be repeated.
    pub async fn mark_swept(&self, incarnation: Incarnation) -> Result<(), MarkError> {
        self.mark("mark an incarnation as swept", &Request::MarkSwept { incarnation }).await
    }

    async fn mark(&self, operation: &'static str, request: &Request) -> Result<(), MarkError> {
        match self.shared.caller.call(operation, request).await?.response {
            Response::Marked => Ok(()),
            Response::MarkRefused(refusal) => Err(MarkError::Refused(refusal)),
            other => Err(self.unexpected(operation, &other).into()),
        }
    }

    /// The state of the service: the leader's view, or any node's when there is no leader.
    pub async fn cluster_status(&self) -> Result<ClusterStatus, CallError> {
        let operation = "read the state of the metadata service";
        match self.shared.caller.call(operation, &Request::ClusterStatus).await?.response {
            Response::Status(status) => Ok(self.leaders_view(*status).await),
            other => Err(self.unexpected(operation, &other)),
        }
    }

    /// Asks the leader that a status names; its view has replication and renewals.
    async fn leaders_view(&self, seen: ClusterStatus) -> ClusterStatus {
        let leader = seen.nodes.iter().find(|node| Some(node.id) == seen.leader);
        self.shared.caller.set_leader(leader.map(|leader| leader.address.clone()));
        if leader.is_none_or(|leader| leader.id == seen.answered_by) {
            return seen;
        }
        let limit = Duration::from_millis(self.shared.caller.config.timing.attempt_timeout_ms);
        let operation = "read the state of the metadata service";
        let asked = self.shared.caller.call_within(operation, &Request::ClusterStatus, limit);
        match asked.await.map(|answer| answer.response) {
            Ok(Response::Status(status)) => *status,
            Ok(_) | Err(_) => seen,
        }
    }

    /// Stops the background tasks and waits for them. Leases that are still held end when
    /// their time does, so release them first.
    pub async fn stop(&self) {
        self.tasks.stop().await;
    }

    async fn wait_until_here(&self, epoch: Epoch, deadline: Instant) -> Result<(), ProposeError> {
        let waited_ms = deadline.saturating_duration_since(Instant::now()).as_millis() as u64;
        if self.shared.wait_for(epoch, deadline).await {
            return Ok(());
        }
        Err(ProposeError::NotYetHere { epoch, waited_ms })
    }

    fn unexpected(&self, operation: &'static str, response: &Response) -> CallError {
        self.shared.unexpected(operation, response)
    }
}

impl Shared {
    /// Makes a catalog the current one; watchers see it before they see its epoch.
    pub(crate) fn publish(&self, catalog: Arc<Catalog>) {
        let epoch = catalog.epoch;
        // Noted before anybody can hold it.
        let mut in_use = self.in_use.lock();
        in_use.retain(|(_, catalog)| catalog.strong_count() > 0);
        in_use.push((epoch, Arc::downgrade(&catalog)));
        drop(in_use);
        self.catalog.store(catalog);
        self.known_epoch.send_replace(epoch);
        self.epoch.send_replace(Some(epoch));
    }

    /// Why no newer catalog has arrived.
    pub(crate) fn watch_failure(&self) -> String {
        self.watch_failure.lock().clone()
    }

    fn oldest_in_use(&self) -> Epoch {
        let current = self.catalog.load_full();
        let mut in_use = self.in_use.lock();
        in_use.retain(|(_, catalog)| catalog.strong_count() > 0);
        let oldest = in_use.iter().map(|(epoch, _)| *epoch).min();
        oldest.map_or(Epoch::default(), |oldest| oldest.min(current.epoch))
    }

    pub(crate) fn note_watch_failure(&self, failure: String) {
        *self.watch_failure.lock() = failure;
    }

    pub(crate) fn unexpected(&self, operation: &'static str, response: &Response) -> CallError {
        CallError::Refused {
            operation,
            endpoints: self.caller.endpoints(),
            reason: format!("the answer does not fit the question: {response:?}"),
        }
    }

    fn known_epoch(&self) -> Epoch {
        *self.known_epoch.borrow()
    }

    fn next_request_id(&self) -> RequestId {
        let number = self.next_request.fetch_add(1, Ordering::Relaxed);
        RequestId { client: self.client, number }
    }

    /// Waits until the catalog has arrived and reached `epoch`; false at the deadline.
    pub(crate) async fn wait_for(&self, epoch: Epoch, deadline: Instant) -> bool {
        let mut epochs = self.epoch.subscribe();
        let reached = epochs.wait_for(|known| known.is_some_and(|known| known >= epoch));
        let waiting = tokio::time::timeout_at(deadline.into(), reached).await;
        matches!(waiting, Ok(Ok(_)))
    }
}
