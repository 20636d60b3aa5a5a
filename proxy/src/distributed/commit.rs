//! One distributed commit: carries out what its [`Coordinator`] says, on the transaction's own
//! connections and on control connections, and tells it what came of it.
//!
//! It runs as a task of its own, so that a client that goes away in the middle leaves nothing
//! half done. Whatever it cannot finish is handed to the resolver.

use super::{Distributed, holders::Waited};
use crate::{
    backend::{BackendError, PacketAnswer, PooledConnection, TextLimits},
    fault,
    txn::{
        commit::{Alarm, BranchFate, Command, DecideFailure, Ending, Event, Holders, Participants},
        coordinator::Coordinator,
        forget::Committed,
        lock_key::{LockCheck, LockSet},
        outcome::{Outcome, Settlement},
        rules::Rules,
        sql::{self, Names, OUT_OF_RANGE, Part},
        xid::Xid,
    },
};
use futures_util::{
    StreamExt,
    future::{AbortHandle, BoxFuture, abortable},
    stream::FuturesUnordered,
};
use shardline_model::{catalog::Catalog, id::ShardId};
use smallvec::SmallVec;
use std::{collections::HashMap, sync::Arc, time::Instant};

/// What a prepare or decide packet returns: no rows.
const LIMITS: TextLimits = TextLimits { rows_max: 16, bytes_max: 64 << 10 };

/// A shard that was written, with the connection that holds its transaction.
pub(crate) struct Writer {
    /// The connection.
    pub(crate) connection: PooledConnection,
    /// What its branch locks until the decision.
    pub(crate) locks: LockSet,
    /// What it must find free.
    pub(crate) check: LockCheck,
    /// Whether its own transaction may see what was, so that only others can look.
    pub(crate) is_stale: bool,
}

/// A transaction that is to be committed on several shards.
pub(crate) struct Commit {
    /// Where the decision is made.
    pub(crate) anchor: Writer,
    /// The other written shards, at least one.
    pub(crate) branches: Vec<Writer>,
    /// Shards that were only read.
    pub(crate) readers: Vec<PooledConnection>,
    /// Those of them where rows were locked, and what must be free there.
    pub(crate) locked: Vec<(ShardId, LockCheck)>,
    /// Under which its guards are on. Held to the end, by the resolver too where it is handed
    /// over, so that no guard is lowered under it.
    pub(crate) catalog: Arc<Catalog>,
}

/// What came of it.
pub(crate) struct Committing {
    /// What the client is told.
    pub(crate) outcome: Outcome,
    /// The connections that are of further use.
    pub(crate) connections: Vec<PooledConnection>,
}

/// A connection in the middle of a transaction. Dropped, it is closed and not killed: killing
/// one that waits for a replica would show what a failover loses.
struct Own(Option<PooledConnection>);

impl Own {
    fn take(mut self) -> Option<PooledConnection> {
        self.0.take()
    }

    async fn run(&mut self, packet: &sql::Packet) -> Option<Result<PacketAnswer, BackendError>> {
        match &mut self.0 {
            Some(connection) => Some(connection.run_packet(packet, LIMITS).await),
            None => None,
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.poison();
        }
    }
}

/// What a running command comes back with.
struct Report {
    event: Option<Event>,
    own: Option<(ShardId, Own)>,
    looked: Option<(ShardId, Vec<Xid>, Waited)>,
}

impl Report {
    fn of(event: Event) -> Self {
        Report { event: Some(event), own: None, looked: None }
    }
}

/// A commit under way.
struct Drive {
    distributed: Arc<Distributed>,
    machine: Coordinator,
    anchor: ShardId,
    anchor_thread: u64,
    branches: SmallVec<[ShardId; 4]>,
    locks: HashMap<ShardId, LockSet>,
    checks: HashMap<ShardId, LockCheck>,
    /// Those that their packets look for; they do not where it was done from aside.
    own_checks: HashMap<ShardId, LockCheck>,
    freed: HashMap<ShardId, Vec<Xid>>,
    waited: HashMap<ShardId, Waited>,
    own: HashMap<ShardId, Own>,
    /// Own connections that are in use, and how to take them away.
    busy: HashMap<ShardId, AbortHandle>,
    running: FuturesUnordered<BoxFuture<'static, Option<Report>>>,
    outcome: Option<Outcome>,
    catalog: Arc<Catalog>,
}

impl Distributed {
    /// Commits a transaction on all its shards, or on none.
    pub(crate) async fn commit(self: &Arc<Self>, xid: Xid, commit: Commit) -> Committing {
        let drive = Drive::new(self.clone(), xid, commit);
        match tokio::spawn(drive.run()).await {
            Ok(done) => done,
            // The task was ended with the proxy; others resolve what it left.
            Err(_) => Committing { outcome: Outcome::Unknown, connections: Vec::new() },
        }
    }
}

impl Drive {
    fn new(distributed: Arc<Distributed>, xid: Xid, commit: Commit) -> Self {
        let anchor = commit.anchor.connection.shard();
        let anchor_thread = u64::from(commit.anchor.connection.thread_id());
        let branches: SmallVec<[ShardId; 4]> =
            commit.branches.iter().map(|branch| branch.connection.shard()).collect();
        let readers: SmallVec<[ShardId; 4]> =
            commit.readers.iter().map(|reader| reader.shard()).collect();
        let (mut own, mut locks, mut checks) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (mut own_checks, mut aside) = (HashMap::new(), SmallVec::new());
        for Writer { connection, locks: its_locks, check, is_stale } in
            [commit.anchor].into_iter().chain(commit.branches)
        {
            let shard = connection.shard();
            own.insert(shard, Own(Some(connection)));
            // With its own locks: an INSERT that finds a row there would keep a lock on it, and with
            // that be in the way of those who forget it.
            let check = check.and(&its_locks);
            match is_stale {
                true => aside.push(shard),
                false => {
                    own_checks.insert(shard, check.clone());
                }
            }
            checks.insert(shard, check);
            locks.insert(shard, its_locks);
        }
        aside.extend(commit.locked.iter().map(|(shard, _)| *shard));
        for connection in commit.readers {
            own.insert(connection.shard(), Own(Some(connection)));
        }
        checks.extend(commit.locked);
        let participants =
            Participants { anchor, branches: branches.clone(), readers, checks: aside };
        let machine = Coordinator::new(xid, participants, Rules::default());
        Drive {
            distributed,
            machine,
            anchor,
            anchor_thread,
            branches,
            locks,
            checks,
            own_checks,
            freed: HashMap::new(),
            waited: HashMap::new(),
            own,
            busy: HashMap::new(),
            running: FuturesUnordered::new(),
            outcome: None,
            catalog: commit.catalog,
        }
    }

    async fn run(mut self) -> Committing {
        let fenced = self.distributed.clone();
        let fenced = fenced.fenced(self.machine.xid().incarnation);
        tokio::pin!(fenced);
        let mut is_fenced = false;
        let mut wake: Option<Instant> = None;
        let mut event = Event::Begin;
        loop {
            for command in self.machine.step(Instant::now(), event) {
                match command {
                    Command::WakeAt(at) => wake = Some(at),
                    Command::Finish(ending) => return self.finish(ending),
                    command => self.carry_out(command),
                }
            }
            event = tokio::select! {
                biased;
                () = &mut fenced, if !is_fenced => {
                    is_fenced = true;
                    Event::Fenced
                }
                Some(report) = self.running.next() => match report.and_then(|report| self.take(report)) {
                    Some(event) => event,
                    None => Event::Time,
                },
                () = sleep_until(wake) => {
                    wake = None;
                    Event::Time
                }
            };
        }
    }

    /// Keeps what a command brought back.
    fn take(&mut self, report: Report) -> Option<Event> {
        if let Some((shard, own)) = report.own {
            self.busy.remove(&shard);
            self.own.insert(shard, own);
        }
        if let Some((shard, freed, waited)) = report.looked {
            self.freed.entry(shard).or_default().extend(freed);
            self.waited.insert(shard, waited);
        }
        if let Some(Event::PrepareLocked(shard)) = report.event {
            // Its own locks are another matter than its rows.
            self.waited.remove(&shard);
        }
        report.event
    }

    fn names(&self) -> Names<'_> {
        Names { xid: self.machine.xid(), anchor: self.anchor, branches: &self.branches }
    }

    /// Begins a command; its event comes from `running`.
    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Check(shard) => self.ask(shard, Event::Checked),
            Command::AskHolders(shard) => self.ask(shard, Event::HoldersAsked),
            Command::Prepare(shard) => self.prepare(shard),
            Command::EndReader(shard) => self.on_own(shard, move |mut own| async move {
                let packet = sql::end_reader();
                let ended = fault::point("commit.reader", shard).await.is_ok()
                    && matches!(own.run(&packet).await, Some(Ok(answer)) if answer.failed.is_none());
                (Event::ReaderEnded(shard, ended), own)
            }),
            Command::Decide => self.decide(),
            Command::Rollback(shard) => self.roll_back(shard),
            Command::InsertAborted => self.aside(|distributed, names| async move {
                // A fault here is an answer that does not come.
                let _ = fault::point("commit.insert_aborted", names.anchor).await;
                Event::Abort(distributed.control.insert_aborted(names.of()).await)
            }),
            Command::KillAnchor => {
                let thread = self.anchor_thread;
                self.aside(move |distributed, names| async move {
                    distributed.control.kill_anchor(names.xid, names.anchor, thread).await;
                    Event::Killed
                });
            }
            Command::Settle(shard) => self.aside(move |distributed, names| async move {
                let settled = match fault::point("commit.settle", shard).await {
                    Ok(()) => distributed.recovery.settler.settle(names.of(), shard).await,
                    Err(_) => Settlement::Failed,
                };
                Event::Settled(shard, settled)
            }),
            Command::Answer(outcome) => self.outcome = Some(outcome),
            Command::Alarm(alarm) => self.alarm(alarm),
            // The loop's own.
            Command::WakeAt(_) | Command::Finish(_) => {}
        }
    }

    fn ask(
        &mut self,
        shard: ShardId,
        event: impl FnOnce(ShardId, Holders) -> Event + Send + 'static,
    ) {
        self.own_checks.remove(&shard);
        let check = self.checks.get(&shard).cloned().unwrap_or_default();
        let mut waited = self.waited.remove(&shard).unwrap_or_default();
        let (distributed, xid) = (self.distributed.clone(), self.machine.xid());
        self.running.push(Box::pin(async move {
            if fault::point("commit.check", shard).await.is_err() {
                return Some(Report::of(event(shard, Holders::Held)));
            }
            let met = distributed.holders(shard, &check, Some(xid), &mut waited).await;
            let looked = Some((shard, met.freed, waited));
            Some(Report { event: Some(event(shard, met.holders)), own: None, looked })
        }));
    }

    fn prepare(&mut self, shard: ShardId) {
        let locks = self.locks.get(&shard).cloned().unwrap_or_default();
        let freed = self.freed.get(&shard).cloned().unwrap_or_default();
        let check = self.own_checks.get(&shard);
        let packet = sql::prepare(self.names(), self.anchor_thread, check, &locks, &freed);
        self.on_own(shard, move |mut own| async move {
            if fault::point("commit.before_prepare", shard).await.is_err() {
                return (Event::PrepareFailed(shard, BranchFate::Uncommitted), own);
            }
            let answer = own.run(&packet).await;
            let lost = fault::point("commit.after_prepare", shard).await.is_err();
            let event = match answer {
                None => Event::PrepareFailed(shard, BranchFate::Uncommitted),
                Some(Err(_)) => Event::PrepareFailed(shard, BranchFate::Unknown),
                Some(Ok(_)) if lost => Event::PrepareFailed(shard, BranchFate::Unknown),
                Some(Ok(answer)) => prepared(shard, &answer),
            };
            (event, own)
        });
    }

    fn decide(&mut self) {
        let anchor = self.anchor;
        let packet = sql::decide(self.names(), self.own_checks.get(&anchor));
        self.on_own(anchor, move |mut own| async move {
            if fault::point("commit.before_decide", anchor).await.is_err() {
                return (Event::DecideFailed(DecideFailure::Uncommitted), own);
            }
            let answer = own.run(&packet).await;
            let lost = fault::point("commit.after_decide", anchor).await.is_err();
            let event = match answer {
                None => Event::DecideFailed(DecideFailure::Uncommitted),
                Some(Err(_)) => Event::DecideFailed(DecideFailure::Unknown),
                Some(Ok(_)) if lost => Event::DecideFailed(DecideFailure::Unknown),
                Some(Ok(answer)) => decided(&answer),
            };
            (event, own)
        });
    }

    /// Runs something on a participant's own connection, which comes back with the event.
    fn on_own<F>(&mut self, shard: ShardId, work: impl FnOnce(Own) -> F)
    where
        F: Future<Output = (Event, Own)> + Send + 'static,
    {
        let own = self.own.remove(&shard).unwrap_or(Own(None));
        let (work, handle) = abortable(work(own));
        self.busy.insert(shard, handle);
        self.running.push(Box::pin(async move {
            let (event, own) = work.await.ok()?;
            Some(Report { event: Some(event), own: Some((shard, own)), looked: None })
        }));
    }

    /// Rolls back, or closes the connection where that cannot be asked for.
    fn roll_back(&mut self, shard: ShardId) {
        if let Some(busy) = self.busy.remove(&shard) {
            busy.abort();
            return;
        }
        let Some(mut own) = self.own.remove(&shard) else { return };
        self.running.push(Box::pin(async move {
            let rolled_back = own.run(&sql::roll_back()).await;
            let clean = matches!(rolled_back, Some(Ok(answer)) if answer.failed.is_none());
            // Without an answer it is closed.
            clean.then(|| Report { event: None, own: Some((shard, own)), looked: None })
        }));
    }

    fn aside<F>(&mut self, work: impl FnOnce(Arc<Distributed>, OwnedNames) -> F)
    where
        F: Future<Output = Event> + Send + 'static,
    {
        let names = OwnedNames {
            xid: self.machine.xid(),
            anchor: self.anchor,
            branches: self.branches.clone(),
        };
        let work = work(self.distributed.clone(), names);
        self.running.push(Box::pin(async move { Some(Report::of(work.await)) }));
    }

    fn alarm(&self, alarm: Alarm) {
        let xid = self.machine.xid();
        match alarm {
            Alarm::CommittedByAnother => {
                tracing::error!(%xid, "a transaction that was given up is committed on its anchor");
            }
            Alarm::Stuck(shard) => {
                tracing::error!(%xid, %shard, "a branch cannot be undone; it waits for an operator");
            }
        }
    }

    fn committed(&mut self) -> Committed {
        let mut locks = std::mem::take(&mut self.locks);
        let mut with_locks = |shard| (shard, locks.remove(&shard).unwrap_or_default());
        let branches = self.branches.iter().map(|shard| with_locks(*shard)).collect();
        Committed { xid: self.machine.xid(), anchor: self.anchor, branches }
    }

    fn finish(mut self, ending: Ending) -> Committing {
        let xid = self.machine.xid();
        match ending {
            Ending::Committed => {
                let committed = self.committed();
                self.distributed.ledgers.committed(committed);
            }
            Ending::Aborted | Ending::NeverPrepared => self.distributed.ledgers.aborted(xid),
            Ending::HandedOver => {
                let (committed, catalog) = (self.committed(), self.catalog.clone());
                self.distributed.hand_over(committed, self.anchor_thread, catalog);
            }
        }
        for busy in self.busy.values() {
            busy.abort();
        }
        let connections = self.own.into_values().filter_map(Own::take);
        let connections = connections.filter(|connection| connection.is_clean()).collect();
        let outcome = self.outcome.unwrap_or(Outcome::Unknown);
        self.distributed.recovery.settler.telemetry.answered(&outcome);
        Committing { outcome, connections }
    }
}

/// [`Names`] for a task.
struct OwnedNames {
    xid: Xid,
    anchor: ShardId,
    branches: SmallVec<[ShardId; 4]>,
}

impl OwnedNames {
    fn of(&self) -> Names<'_> {
        Names { xid: self.xid, anchor: self.anchor, branches: &self.branches }
    }
}

/// What the answer to a prepare packet means.
fn prepared(shard: ShardId, answer: &PacketAnswer) -> Event {
    const DUPLICATE: u16 = super::control::DUPLICATE;
    match &answer.failed {
        None => Event::Prepared(shard),
        Some((Part::Lock | Part::Check, error))
            if matches!(error.code, DUPLICATE | OUT_OF_RANGE) =>
        {
            Event::PrepareLocked(shard)
        }
        Some((Part::Commit, _)) => Event::PrepareFailed(shard, BranchFate::Unknown),
        Some((Part::Lock | Part::Decisive | Part::Plain | Part::Check, error)) => {
            tracing::debug!(%shard, %error, "a shard refused to prepare");
            Event::PrepareFailed(shard, BranchFate::Uncommitted)
        }
    }
}

/// What the answer to a decide packet means.
fn decided(answer: &PacketAnswer) -> Event {
    match &answer.failed {
        None => Event::Decided,
        Some((Part::Check, error)) if error.code == OUT_OF_RANGE => Event::DecideLocked,
        Some((Part::Commit, _)) => Event::DecideFailed(DecideFailure::Unknown),
        Some((Part::Lock | Part::Decisive | Part::Plain | Part::Check, error)) => {
            tracing::debug!(%error, "the anchor refused the decision");
            Event::DecideFailed(DecideFailure::Uncommitted)
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
