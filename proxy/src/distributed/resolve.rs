//! Resolves transactions that nobody has brought to an end: every proxy looks through the branches of
//! every shard for old ones, and takes over what a commit of its own has handed over.

use super::{
    anchor::{number, xid_of},
    control::{Control, ControlError},
    forget::{Ledgers, run_whole},
    settle::Settler,
};
use crate::{
    backend::PoolSet,
    fault,
    txn::{
        forget::Committed,
        lock_key::LockSet,
        outcome::{AbortAnswer, Settlement},
        recovery::{Command, Event, Resolution, Resolver, SCAN_PERIOD, SCAN_ROWS_MAX, Undecided},
        rules::Rules,
        sql::{self, Names, PREPARED},
        xid::Xid,
    },
};
use bytes::Bytes;
use parking_lot::Mutex;
use shardline_base::{Policy, Shutdown, Tasks};
use shardline_model::id::ShardId;
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Transactions that are resolved at once.
const RESOLVERS_MAX: usize = 32;
/// How often it is looked whether there are new shards.
const SHARDS_PERIOD: Duration = Duration::from_secs(1);
/// The servers' errors of a shard without the tables: nothing distributed was ever there.
const NO_TABLES: [u16; 2] = [1146, 1049];

/// Resolves what is left. One for a proxy.
pub(crate) struct Recovery {
    control: Arc<Control>,
    pools: Arc<PoolSet>,
    ledgers: Arc<Ledgers>,
    pub(crate) settler: Arc<Settler>,
    places: Arc<Semaphore>,
    /// Transactions that were found undecided and are not resolved yet.
    seen: Mutex<BTreeMap<Xid, Seen>>,
}

/// A transaction that a scan has found.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// What its branch rows say.
    pub(crate) undecided: Undecided,
    /// The connection that may hold the decision; 0 when it is not known.
    pub(crate) anchor_thread: u64,
    /// Since when this proxy knows.
    pub(crate) since: Instant,
    /// The shards where it was in the last scan.
    pub(crate) on: BTreeSet<ShardId>,
    /// Whether a resolver is at it.
    pub(crate) resolving: bool,
}

impl Recovery {
    pub(crate) fn new(
        control: Arc<Control>,
        pools: Arc<PoolSet>,
        ledgers: Arc<Ledgers>,
        settler: Arc<Settler>,
    ) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(RESOLVERS_MAX));
        let seen = Mutex::default();
        Arc::new(Recovery { control, pools, ledgers, settler, places, seen })
    }

    /// Scans all shards, until shutdown.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let tasks = Arc::new(Tasks::new("recovery", &shutdown));
        let mut scanned: BTreeMap<ShardId, Shutdown> = BTreeMap::new();
        loop {
            let shards: BTreeSet<ShardId> =
                self.pools.status().iter().map(|pool| pool.shard).collect();
            scanned.retain(|shard, stop| {
                let there = shards.contains(shard);
                if !there {
                    stop.trigger();
                }
                there
            });
            for shard in shards {
                scanned.entry(shard).or_insert_with(|| {
                    let stop = tasks.shutdown().child();
                    let scans = self.clone().scans(shard, tasks.clone(), stop.clone());
                    tasks.spawn(format!("scan {shard}"), Policy::Isolated, scans);
                    stop
                });
            }
            tokio::select! {
                () = shutdown.triggered() => break,
                () = tokio::time::sleep(SHARDS_PERIOD) => self.report(),
            }
        }
        tasks.stop_within(Duration::from_secs(1)).await;
    }

    async fn scans(self: Arc<Self>, shard: ShardId, tasks: Arc<Tasks>, stop: Shutdown) {
        let random = RandomState::new();
        let mut turn = 0_u64;
        loop {
            turn += 1;
            // Half to three halves of the period, so that proxies do not scan in step.
            let jitter = random.hash_one(turn) % SCAN_PERIOD.as_millis() as u64;
            let pause = SCAN_PERIOD / 2 + Duration::from_millis(jitter);
            tokio::select! {
                () = stop.triggered() => return,
                () = tokio::time::sleep(pause) => {}
            }
            match self.scan(shard).await {
                Ok(found) => {
                    for xid in found {
                        self.start(xid, &tasks);
                    }
                }
                Err(error) if error.number().is_some_and(|number| NO_TABLES.contains(&number)) => {}
                Err(error) => tracing::debug!(%shard, %error, "cannot look for old branches"),
            }
        }
    }

    /// One look through a shard: the transactions to be resolved.
    async fn scan(&self, shard: ShardId) -> Result<Vec<Xid>, ControlError> {
        fault::point("resolve.scan", shard).await?;
        let rows = self.control.query(shard, &sql::scan()).await?.rows;
        self.settler.logs.sample(shard).await?;
        let all = rows.len() < SCAN_ROWS_MAX;
        let found: Vec<(Undecided, u64)> = rows.iter().filter_map(|row| undecided(row)).collect();
        let there: BTreeSet<Xid> = found.iter().map(|(undecided, _)| undecided.xid).collect();
        if all {
            self.settler.stuck.retain(shard, &there);
        }
        let mut seen = self.seen.lock();
        for (undecided, anchor_thread) in found {
            let fresh = Seen {
                undecided,
                anchor_thread,
                since: Instant::now(),
                on: BTreeSet::new(),
                resolving: false,
            };
            seen.entry(fresh.undecided.xid).or_insert(fresh).on.insert(shard);
        }
        seen.retain(|xid, one| {
            if all && !there.contains(xid) {
                one.on.remove(&shard);
            }
            !one.on.is_empty() || one.resolving
        });
        let wanted = |one: &&Seen| {
            // A stuck one waits for somebody, or for its next try.
            let is_stuck = |shard: &ShardId| self.settler.stuck.is_fresh(one.undecided.xid, *shard);
            !one.resolving && one.on.contains(&shard) && !one.on.iter().all(is_stuck)
        };
        Ok(seen.values().filter(wanted).map(|one| one.undecided.xid).collect())
    }

    /// Starts a resolver, if none is at it and there is a place; else the next scan does.
    fn start(self: &Arc<Self>, xid: Xid, tasks: &Tasks) {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        let (undecided, anchor_thread) = {
            let mut seen = self.seen.lock();
            let Some(one) = seen.get_mut(&xid).filter(|one| !one.resolving) else { return };
            one.resolving = true;
            (one.undecided.clone(), one.anchor_thread)
        };
        let recovery = self.clone();
        tasks.spawn("resolve", Policy::Isolated, async move {
            // Also when the task is aborted.
            let _ending = Ending { recovery: recovery.clone(), xid };
            recovery.resolve(undecided, anchor_thread).await;
            drop(place);
        });
    }

    /// Resolves a transaction once.
    pub(crate) async fn resolve(
        self: &Arc<Self>,
        undecided: Undecided,
        anchor_thread: u64,
    ) -> Resolution {
        let mut resolver = Resolver::new(undecided.clone(), Rules::default());
        let mut commands = resolver.step(Event::Begin);
        let mut work = JoinSet::new();
        let resolution = loop {
            for command in commands.drain(..) {
                if let Command::Finish(resolution) = command {
                    return self.finished(&undecided, resolution).await;
                }
                let (recovery, undecided) = (self.clone(), undecided.clone());
                work.spawn(
                    async move { recovery.carry_out(&undecided, anchor_thread, command).await },
                );
            }
            match work.join_next().await {
                Some(Ok(Some(event))) => commands = resolver.step(event),
                Some(Ok(None)) => {}
                // A task that panicked has no answer: the next scan tries again.
                Some(Err(_)) | None => break Resolution::Later,
            }
        };
        self.settler.telemetry.resolved(resolution);
        resolution
    }

    async fn carry_out(
        &self,
        undecided: &Undecided,
        anchor_thread: u64,
        command: Command,
    ) -> Option<Event> {
        let Undecided { xid, anchor, branches } = undecided;
        let names = Names { xid: *xid, anchor: *anchor, branches };
        Some(match command {
            Command::InsertAborted => {
                let answer = match fault::point("resolve.before_abort", *anchor).await {
                    Ok(()) => self.control.insert_aborted(names).await,
                    Err(_) => AbortAnswer::Unreachable,
                };
                Event::Abort(answer)
            }
            // A plain read decides nothing, so it is not asked for while all rules are kept.
            Command::ReadDecision => Event::Read(None),
            Command::KillAnchor => {
                if anchor_thread > 0 {
                    self.control.kill_anchor(*xid, *anchor, anchor_thread).await;
                }
                Event::Killed
            }
            Command::Settle(shard) => {
                let settled = match fault::point("resolve.before_settle", shard).await {
                    Ok(()) => self.settler.settle(names, shard).await,
                    Err(_) => Settlement::Failed,
                };
                Event::Settled(shard, settled)
            }
            Command::Finish(_) => return None,
        })
    }

    async fn finished(&self, undecided: &Undecided, resolution: Resolution) -> Resolution {
        self.settler.telemetry.resolved(resolution);
        let xid = undecided.xid;
        match resolution {
            Resolution::Committed => {
                for shard in &undecided.branches {
                    if let Err(error) = self.forget_branch(xid, *shard).await {
                        tracing::debug!(%xid, %shard, %error, "cannot forget a branch yet");
                    }
                }
            }
            Resolution::Aborted => tracing::info!(%xid, "an abandoned transaction was undone"),
            Resolution::Stuck(_) | Resolution::Forgotten | Resolution::Later => {}
        }
        resolution
    }

    /// Forgets a committed branch, with the locks that its row names.
    async fn forget_branch(&self, xid: Xid, shard: ShardId) -> Result<(), ControlError> {
        let key = sql::hex(&xid.to_bytes());
        let sql =
            format!("SELECT locks FROM _shardline.branch WHERE xid = {key} AND state = {PREPARED}");
        let rows = self.control.query(shard, &sql).await?.rows;
        let locks = rows.first().and_then(|row| LockSet::from_bytes(row.first()?.as_ref()?));
        let Some(locks) = locks else { return Ok(()) };
        fault::point("resolve.before_forget", shard).await?;
        run_whole(&self.control, shard, &sql::forget_branches(&[(xid, locks)])).await
    }

    /// Takes over a commit of this proxy that its coordinator has handed over: again and again
    /// until it is decided and settled, then tells the ledger. `thread` is the backend connection
    /// that had the anchor's transaction.
    pub(crate) async fn resolve_now(
        self: Arc<Self>,
        committed: Committed,
        thread: u64,
        shutdown: Shutdown,
    ) {
        let xid = committed.xid;
        let branches = committed.branches.iter().map(|(shard, _)| *shard).collect();
        let undecided = Undecided { xid, anchor: committed.anchor, branches };
        loop {
            match self.resolve(undecided.clone(), thread).await {
                Resolution::Committed => return self.ledgers.committed(committed),
                Resolution::Aborted | Resolution::Stuck(_) | Resolution::Forgotten => {
                    return self.ledgers.aborted(xid);
                }
                Resolution::Later => {}
            }
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(SCAN_PERIOD) => {}
            }
        }
    }

    /// The transactions that were found undecided and are not resolved yet.
    pub(crate) fn undecided(&self) -> Vec<Seen> {
        self.seen.lock().values().cloned().collect()
    }

    fn report(&self) {
        let seen = self.seen.lock();
        let oldest = seen.values().map(|one| one.since.elapsed()).max().unwrap_or_default();
        self.settler.telemetry.undecided(seen.len(), oldest);
        let (committing, unforgotten) = self.ledgers.sizes();
        self.settler.telemetry.ledger(committing, unforgotten);
    }
}

/// Marks a transaction as free for the next resolver.
struct Ending {
    recovery: Arc<Recovery>,
    xid: Xid,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(one) = self.recovery.seen.lock().get_mut(&self.xid) {
            one.resolving = false;
        }
    }
}

/// A row of [`sql::scan`].
fn undecided(row: &[Option<Bytes>]) -> Option<(Undecided, u64)> {
    let [Some(xid), Some(anchor), Some(participants), Some(thread), Some(_locks)] = row else {
        return None;
    };
    let anchor = ShardId(number(anchor)?.try_into().ok()?);
    let branches = sql::participants_of(participants)?.into();
    Some((Undecided { xid: xid_of(xid)?, anchor, branches }, number(thread)?))
}
