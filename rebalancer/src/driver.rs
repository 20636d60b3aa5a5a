//! Drives the jobs of a cluster: takes those that nobody lives for, and does for each of their moves what
//! [`crate::workflow`] says, on the servers and in the catalog. Any number of drivers may run; a job has
//! one, by a change of the catalog that is taken only if nobody else was faster.

mod cutover;
mod job;
mod pair;
mod rows;
mod sequence;
mod together;
mod transfer;

use crate::{Endpoint, Progress, Settings, workflow::Step};
use job::JobRun;
use parking_lot::Mutex;
use shardline_base::Shutdown;
use shardline_meta_client::{
    ClusterStatus, IncarnationState, MetaClient, ProposeError, RejectionKind,
};
use shardline_model::{
    catalog::{Catalog, ServerAddress},
    change::{Applied, Change},
    id::{Epoch, Incarnation, JobId, MoveId, ShardId},
    moves::{Job, JobPhase, JobState, MoveState},
};
use shardline_wire::client::{Address, ConnectOptions};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinSet;

/// Between two looks at jobs.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// The account that rows are moved with.
#[derive(Clone)]
pub struct Account {
    /// User name.
    pub user: String,
    /// Password; empty for none.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What a driver knows of a move that it drives.
#[derive(Clone, Debug)]
pub struct MoveStatus {
    /// How far it is by the catalog.
    pub state: MoveState,
    /// What it does next.
    pub step: Step,
    /// How far its flow is.
    pub progress: Progress,
    /// How long statements were held at its last change of owner.
    pub pause: Option<Duration>,
    /// Attempts to change the owner that were given up.
    pub attempts: u32,
    /// Why the last one was, or what is tried again.
    pub last_error: Option<String>,
}

/// Drives jobs in one process.
pub struct Driver {
    meta: Arc<MetaClient>,
    account: Account,
    settings: Settings,
    /// The lease under which this process serves, while it does.
    incarnation: Box<dyn Fn() -> Option<Incarnation> + Send + Sync>,
    status: Mutex<BTreeMap<MoveId, MoveStatus>>,
    /// Moves whose sides a person wants to be compared again.
    to_verify: Mutex<BTreeSet<MoveId>>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Driver {
    /// A driver; `incarnation` says under which lease this process serves now. Nothing runs yet.
    pub fn new(
        meta: Arc<MetaClient>,
        account: Account,
        settings: Settings,
        incarnation: impl Fn() -> Option<Incarnation> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let incarnation = Box::new(incarnation);
        let (status, to_verify) = (Mutex::default(), Mutex::default());
        Arc::new(Self { meta, account, settings, incarnation, status, to_verify })
    }

    /// The moves that this driver is at work on.
    pub fn status(&self) -> BTreeMap<MoveId, MoveStatus> {
        self.status.lock().clone()
    }

    /// Compares both sides of moves again, which this driver is at work on and whose rows are copied and
    /// have not changed their owner; a difference fails their job.
    pub fn verify_again(&self, moves: impl IntoIterator<Item = MoveId>) {
        let status = self.status.lock();
        let known = moves.into_iter().filter(|id| status.contains_key(id));
        self.to_verify.lock().extend(known);
    }

    /// Whether a comparison that was asked for has not begun.
    pub fn is_to_verify(&self, id: MoveId) -> bool {
        self.to_verify.lock().contains(&id)
    }

    /// Looks for jobs and drives them until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: Shutdown) {
        let mut running: JoinSet<JobId> = JoinSet::new();
        let mut mine = HashSet::new();
        let mut epochs = self.meta.subscribe();
        loop {
            while let Some(ended) = running.try_join_next() {
                match ended {
                    Ok(id) => {
                        mine.remove(&id);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a job's driver has panicked");
                        mine.clear();
                        running.abort_all();
                    }
                }
            }
            if let Some(me) = (self.incarnation)() {
                for job in self.adoptable(me, &mine).await {
                    if self.adopt(&job, me).await {
                        mine.insert(job.id);
                        running.spawn(JobRun::new(self.clone(), job.id, me).run());
                    }
                }
            }
            tokio::select! {
                () = stop.triggered() => return,
                _ = epochs.changed() => tokio::time::sleep(LOOK_PAUSE / 10).await,
                () = tokio::time::sleep(LOOK_PAUSE) => {}
            }
        }
    }

    /// Jobs that are to be driven and that nobody drives.
    async fn adoptable(&self, me: Incarnation, mine: &HashSet<JobId>) -> Vec<Arc<Job>> {
        let catalog = self.meta.catalog();
        let open = |job: &&Arc<Job>| !mine.contains(&job.id) && is_driven(&catalog, job);
        let open: Vec<_> = catalog.jobs.values().filter(open).cloned().collect();
        if open.is_empty() {
            return Vec::new();
        }
        let Ok(status) = self.meta.cluster_status().await else { return Vec::new() };
        if !status.confirmed {
            return Vec::new();
        }
        let free = |job: &Arc<Job>| match job.state.owner {
            None => true,
            Some(owner) => owner == me || !is_live(&status, owner),
        };
        open.into_iter().filter(free).collect()
    }

    /// Makes this process the owner of a job; false when somebody else was faster.
    async fn adopt(&self, job: &Job, me: Incarnation) -> bool {
        let id = job.id;
        if job.state.owner == Some(me) {
            return true;
        }
        let state = JobState { owner: Some(me), ..job.state.clone() };
        match self.change(Change::SetJob { id, from: job.since, state }).await {
            Ok(Some(_)) => {
                tracing::info!(job = %id, "a job is driven here from now on");
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(job = %id, %error, "a job cannot be taken over");
                false
            }
        }
    }

    /// Makes a change; None when what it stands on has changed.
    async fn change(&self, change: Change) -> Result<Option<Applied>, ProposeError> {
        match self.meta.propose(change).await {
            Ok(applied) => Ok(Some(applied)),
            Err(ProposeError::Rejected(why)) if why.kind == RejectionKind::Moved => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How a shard's primary is reached.
    fn endpoint(&self, address: &ServerAddress) -> Endpoint {
        endpoint(address, &self.account)
    }

    /// How every shard's primary is reached.
    fn shards(&self) -> Vec<(ShardId, Endpoint)> {
        let catalog = self.meta.catalog();
        catalog.shards.values().map(|one| (one.id, self.endpoint(&one.primary))).collect()
    }

    /// Whether every proxy acts by an epoch or a newer one, and nothing of one that has ended can
    /// reach a shard any more.
    async fn is_acknowledged(&self, since: Epoch) -> bool {
        let Ok(status) = self.meta.cluster_status().await else { return false };
        let acknowledged = status
            .leases
            .iter()
            .all(|lease| lease.acknowledged.is_some_and(|epoch| epoch >= since));
        let fenced = status.incarnations.iter().all(|one| one.state != IncarnationState::Ended);
        status.confirmed && status.epoch >= since && acknowledged && fenced
    }
}

/// How a server is reached with an account, preferably by its socket.
pub fn endpoint(address: &ServerAddress, account: &Account) -> Endpoint {
    let socket = address.socket.as_deref().map(Path::new).filter(|socket| socket.exists());
    let place = match socket {
        Some(socket) => Address::Unix(socket.to_owned()),
        None => Address::Tcp(address.host.clone(), address.port),
    };
    let mut options = ConnectOptions::new(place, &account.user);
    options.password.clone_from(&account.password);
    options.ask_public_key = socket.is_some();
    Endpoint { options }
}

/// Whether a job is to be driven: it has moves, and no person has to look at it first.
fn is_driven(catalog: &Catalog, job: &Job) -> bool {
    let has_moves = catalog.transfers_of(job.id).next().is_some();
    match job.state.phase {
        JobPhase::Failed | JobPhase::Finished | JobPhase::Cancelled | JobPhase::RolledBack => false,
        JobPhase::Planned => has_moves,
        JobPhase::Preparing
        | JobPhase::Copying
        | JobPhase::CatchingUp
        | JobPhase::Verifying
        | JobPhase::Ready
        | JobPhase::Cutover
        | JobPhase::Watching
        | JobPhase::Paused => true,
    }
}

fn is_live(status: &ClusterStatus, owner: Incarnation) -> bool {
    let live = |state| matches!(state, IncarnationState::Live(_));
    status.incarnations.iter().any(|one| one.incarnation == owner && live(one.state))
}
