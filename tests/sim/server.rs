//! A simulated server: committed rows, row locks with waits, sessions that carry out packets
//! statement by statement, commits that take their time, crashes that lose what is not
//! committed. Its `Flaws` are bugs put in on purpose.

use crate::{
    engine::{Engine, MS, Mailbox, Micros, Process, TaskId},
    invariants,
    oracle::{Account, Oracle},
    packet::{Answer, Changes, Packet},
    world::Setup,
};
use shardline_model::id::ShardId;
use shardline_proxy::txn::{
    lock_key::{LockKey, LockSet},
    outcome::Decision,
    recovery::Undecided,
    xid::{Incarnation, Xid},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// How long a statement waits for a row lock.
pub(crate) const ROW_WAIT: Micros = 400 * MS;
/// The same for `_shardline` rows on control connections.
pub(crate) const CONTROL_WAIT: Micros = 150 * MS;

pub(crate) type SessionId = u64;

/// What is wrong with a deployment on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    CompensationOverwrites,
    UndoForward,
    UndoApartFromBranch,
    ForgetDeletesForeignLocks,
    CheckBeforeRowLock,
    TakesOverBlindly,
    LocksAfterData,
    MissingFenceRow,
    AnchorDoesNotLook,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    Row(Account),
    Gtx(Xid),
    Branch(Xid),
    Lock(LockKey),
}

#[derive(Clone, Debug)]
pub(crate) struct BranchRow {
    pub names: Undecided,
    pub prepared: bool,
    pub locks: LockSet,
    pub at: Micros,
    /// From the binlog: account, before, after, in order.
    pub images: Vec<(Account, i64, i64)>,
}

/// One change of a `_shardline` table, or of what there is to know of a commit.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Row { account: Account, before: i64, after: i64 },
    Undo { account: Account, after: i64 },
    Gtx(Undecided, Decision),
    ForgetGtx(Xid),
    Branch(Xid, BranchRow),
    DropBranch(Xid),
    Lock(LockKey, Xid),
    DropLock(LockKey),
    Below(Incarnation, u64),
    Dead(Incarnation),
}

/// The rows that are committed.
#[derive(Default)]
pub(crate) struct Tables {
    pub rows: BTreeMap<Account, i64>,
    pub gtx: BTreeMap<Xid, Decision>,
    pub branch: BTreeMap<Xid, BranchRow>,
    pub rlock: BTreeMap<LockKey, Xid>,
    pub below: BTreeMap<Incarnation, u64>,
    pub dead: BTreeSet<Incarnation>,
    pub locked_accounts: BTreeSet<Incarnation>,
}

pub(crate) struct Session {
    pub account: Option<Incarnation>,
    pub task: TaskId,
    pub changes: Vec<Change>,
    committing: bool,
    doomed: bool,
    outbox: Mailbox<Answer>,
}

#[derive(Default)]
pub(crate) struct State {
    pub tables: Tables,
    pub sessions: BTreeMap<SessionId, Session>,
    holders: BTreeMap<Resource, SessionId>,
    waiting: Vec<TaskId>,
    pub up: bool,
    process: Option<Process>,
}

pub(crate) enum Request {
    Packet(Packet),
    /// The client has closed, or the server noticed that it is gone.
    Close,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub id: ShardId,
    pub engine: Engine,
    pub oracle: Oracle,
    pub flaw: Option<Flaw>,
    /// Somebody writes around the proxies.
    pub bypassed: bool,
    state: Rc<RefCell<State>>,
}

impl Server {
    pub(crate) fn new(id: ShardId, engine: &Engine, oracle: &Oracle, setup: Setup) -> Self {
        let state = Rc::default();
        let server = Self {
            id,
            engine: engine.clone(),
            oracle: oracle.clone(),
            flaw: setup.flaw,
            bypassed: setup.bypassed,
            state,
        };
        server.start();
        server
    }

    pub(crate) fn with<T>(&self, ask: impl FnOnce(&mut State) -> T) -> T {
        ask(&mut self.state.borrow_mut())
    }

    pub(crate) fn process(&self) -> Process {
        self.with(|state| state.process.unwrap_or(Process(u64::MAX)))
    }

    pub(crate) fn is_up(&self) -> bool {
        self.with(|state| state.up)
    }

    pub(crate) fn start(&self) {
        let process = self.engine.new_process();
        self.with(|state| {
            state.up = true;
            state.process = Some(process);
        });
    }

    /// kill -9. A commit that is under way is durable or not.
    pub(crate) fn crash(&self) {
        let process = self.process();
        self.engine.log(|| format!("{} crashes", self.id));
        self.engine.kill(process);
        let sessions = self.with(|state| {
            state.up = false;
            state.holders.clear();
            std::mem::take(&mut state.sessions)
        });
        for (_, session) in sessions {
            if session.committing && self.engine.per_mille(500) {
                self.apply(session.account, session.changes);
            }
            session.outbox.send(Answer::Lost { sent: true });
        }
    }

    /// A new session; None when it is refused.
    pub(crate) fn login(
        &self,
        account: Option<Incarnation>,
        inbox: Mailbox<Request>,
        outbox: Mailbox<Answer>,
    ) -> Option<SessionId> {
        let refused = self.with(|state| {
            !state.up || account.is_some_and(|who| state.tables.locked_accounts.contains(&who))
        });
        if refused {
            return None;
        }
        let id = self.engine.next_number();
        let session = Session {
            account,
            task: 0,
            changes: Vec::new(),
            committing: false,
            doomed: false,
            outbox: outbox.clone(),
        };
        self.with(|state| state.sessions.insert(id, session));
        let server = self.clone();
        let task =
            self.engine.spawn(self.process(), async move { server.serve(id, inbox, outbox).await });
        self.with(|state| {
            if let Some(session) = state.sessions.get_mut(&id) {
                session.task = task;
            }
        });
        Some(id)
    }

    async fn serve(&self, id: SessionId, inbox: Mailbox<Request>, outbox: Mailbox<Answer>) {
        loop {
            match inbox.receive().await {
                Request::Packet(packet) => {
                    self.engine.log(|| format!("{} session {id} {packet:?}", self.id));
                    let reply = self.carry_out(id, packet).await;
                    self.engine.log(|| format!("{} session {id} -> {reply:?}", self.id));
                    outbox.send(Answer::Reply(reply));
                }
                Request::Close => {
                    self.roll_back(id, 0);
                    self.with(|state| state.sessions.remove(&id));
                    return;
                }
            }
        }
    }

    /// KILL: a commit that is under way is completed first.
    pub(crate) fn kill(&self, id: SessionId) {
        let task = self.with(|state| {
            let session = state.sessions.get_mut(&id)?;
            session.doomed = true;
            (!session.committing).then_some(session.task)
        });
        let Some(task) = task else { return };
        self.engine.log(|| format!("{} session {id} is killed", self.id));
        self.engine.end_task(task);
        self.roll_back(id, 0);
        if let Some(session) = self.with(|state| state.sessions.remove(&id)) {
            session.outbox.send(Answer::Lost { sent: true });
        }
    }

    /// Waits for a lock; false when it was not got in time.
    pub(crate) async fn lock(&self, id: SessionId, resource: Resource, wait: Micros) -> bool {
        let until = self.engine.now() + wait;
        let got = self.engine.wait(Some(until), |task| {
            self.with(|state| match state.holders.get(&resource) {
                Some(holder) if *holder != id => {
                    state.waiting.push(task);
                    None
                }
                Some(_) | None => {
                    state.holders.insert(resource, id);
                    Some(())
                }
            })
        });
        got.await.is_some()
    }

    pub(crate) fn holder(&self, resource: Resource) -> Option<SessionId> {
        self.with(|state| state.holders.get(&resource).copied())
    }

    fn unlock(&self, id: SessionId, keep: impl Fn(&Resource) -> bool) {
        let woken = self.with(|state| {
            state.holders.retain(|resource, holder| *holder != id || keep(resource));
            std::mem::take(&mut state.waiting)
        });
        for task in woken {
            self.engine.wake(task);
        }
    }

    pub(crate) fn note(&self, id: SessionId, change: Change) {
        self.with(|state| {
            if let Some(session) = state.sessions.get_mut(&id) {
                session.changes.push(change);
            }
        });
    }

    pub(crate) fn changes(&self, id: SessionId) -> Vec<Change> {
        let changes = |state: &mut State| state.sessions.get(&id).map(|one| one.changes.clone());
        self.with(changes).unwrap_or_default()
    }

    /// A row as the session sees it.
    pub(crate) fn value(&self, id: SessionId, account: Account) -> i64 {
        let own = self.changes(id).iter().rev().find_map(|change| match change {
            Change::Row { account: row, after, .. } | Change::Undo { account: row, after } => {
                (*row == account).then_some(*after)
            }
            _ => None,
        });
        own.unwrap_or_else(|| {
            self.with(|state| state.tables.rows.get(&account).copied().unwrap_or(0))
        })
    }

    /// Back to where the session had made so many changes; locks stay unless all go.
    pub(crate) fn roll_back(&self, id: SessionId, to: usize) {
        self.with(|state| {
            if let Some(session) = state.sessions.get_mut(&id) {
                session.changes.truncate(to);
            }
        });
        if to == 0 {
            self.unlock(id, |_| false);
        }
    }

    pub(crate) async fn update(&self, id: SessionId, changes: &Changes) -> bool {
        for (account, delta) in changes {
            self.engine.sleep(self.engine.between(50, 400)).await;
            if !self.lock(id, Resource::Row(*account), ROW_WAIT).await {
                return false;
            }
            let before = self.value(id, *account);
            self.note(id, Change::Row { account: *account, before, after: before + delta });
        }
        true
    }

    /// COMMIT: takes its time, and is then durable and visible at once.
    pub(crate) async fn commit(&self, id: SessionId) {
        self.with(|state| {
            if let Some(session) = state.sessions.get_mut(&id) {
                session.committing = true;
            }
        });
        let slow = self.engine.per_mille(20);
        let time = if slow {
            self.engine.between(100 * MS, 1_500 * MS)
        } else {
            self.engine.between(300, 3 * MS)
        };
        self.engine.sleep(time).await;
        let ended = self.with(|state| {
            let session = state.sessions.get_mut(&id)?;
            session.committing = false;
            Some((session.account, std::mem::take(&mut session.changes), session.doomed))
        });
        let Some((account, changes, doomed)) = ended else { return };
        self.apply(account, changes);
        self.unlock(id, |_| false);
        if doomed {
            if let Some(session) = self.with(|state| state.sessions.remove(&id)) {
                session.outbox.send(Answer::Lost { sent: true });
            }
            // Nobody reads this session's packets any more.
            self.engine.wait(None, |_| None::<()>).await;
        }
    }

    fn apply(&self, account: Option<Incarnation>, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.engine.log(|| format!("{} commits {changes:?}", self.id));
        invariants::before_commit(self, account, &changes);
        self.with(|state| {
            let tables = &mut state.tables;
            for change in changes.iter().cloned() {
                match change {
                    Change::Row { account, after, .. } | Change::Undo { account, after } => {
                        tables.rows.insert(account, after);
                    }
                    Change::Gtx(names, decision) => {
                        tables.gtx.insert(names.xid, decision);
                    }
                    Change::ForgetGtx(xid) => {
                        tables.gtx.remove(&xid);
                    }
                    Change::Branch(xid, row) => {
                        tables.branch.insert(xid, row);
                    }
                    Change::DropBranch(xid) => {
                        tables.branch.remove(&xid);
                    }
                    Change::Lock(key, xid) => {
                        tables.rlock.insert(key, xid);
                    }
                    Change::DropLock(key) => {
                        tables.rlock.remove(&key);
                    }
                    Change::Below(incarnation, below) => {
                        let old = tables.below.entry(incarnation).or_default();
                        *old = (*old).max(below);
                    }
                    Change::Dead(incarnation) => {
                        tables.dead.insert(incarnation);
                    }
                }
            }
        });
        invariants::after_commit(self, &changes);
    }
}
