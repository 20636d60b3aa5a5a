//! A simulated proxy process: the drivers of the commit, of recovery and of forgetting.

use crate::{
    engine::{Engine, Mailbox, Process},
    guard::Catalog,
    network::{Connection, Network},
    oracle::Oracle,
    packet::{Answer, Packet, Reply},
};
use shardline_model::id::ShardId;
use shardline_proxy::txn::{
    commit::{self, BranchFate, DecideFailure, Ending, Holders, Participants},
    coordinator::Coordinator,
    forget::{self, Committed, Ledger},
    lock_key::{LockKey, LockSet},
    outcome::{AbortAnswer, Outcome, Settlement, WriteVerdict, standing, write_verdict},
    recovery::{self, Resolution, Resolver, SCAN_PERIOD, Undecided},
    rules::Rules,
    xid::{Incarnation, Xid},
};
use smallvec::SmallVec;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// One incarnation.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub engine: Engine,
    pub network: Network,
    pub oracle: Oracle,
    pub catalog: Catalog,
    pub process: Process,
    pub incarnation: Incarnation,
    pub rules: Rules,
    pub ledger: Rc<RefCell<Ledger>>,
    pub draining: Rc<Cell<bool>>,
    resolving: Rc<RefCell<BTreeSet<Xid>>>,
}

/// A transaction that is to be committed on several shards.
pub(crate) struct Open {
    pub connections: BTreeMap<ShardId, Rc<Connection>>,
    pub anchor: ShardId,
    pub branches: SmallVec<[ShardId; 4]>,
    pub locks: BTreeMap<ShardId, LockSet>,
}

impl Proxy {
    pub(crate) fn new(
        network: &Network,
        oracle: &Oracle,
        catalog: &Catalog,
        incarnation: Incarnation,
        rules: Rules,
    ) -> Self {
        Self {
            engine: network.engine.clone(),
            network: network.clone(),
            oracle: oracle.clone(),
            catalog: catalog.clone(),
            process: network.engine.new_process(),
            incarnation,
            rules,
            ledger: Rc::new(RefCell::new(Ledger::new(incarnation, rules))),
            draining: Rc::default(),
            resolving: Rc::default(),
        }
    }

    pub(crate) fn spawn(&self, body: impl Future<Output = ()> + 'static) {
        self.engine.spawn(self.process, body);
    }

    pub(crate) async fn control(&self, shard: ShardId, packet: Packet) -> Option<Reply> {
        self.network.control(self.process, shard, packet).await
    }

    /// What the locks that a write met have come to; those that are free are added to `freed`.
    pub(crate) async fn holders(
        &self,
        shard: ShardId,
        met: &[(LockKey, Xid)],
        freed: &mut Vec<Xid>,
    ) -> Holders {
        let mut result = Holders::Free;
        for (_, xid) in met {
            if freed.contains(xid) {
                continue;
            }
            let server = self.network.server(shard);
            let anchor =
                server.with(|state| state.tables.branch.get(xid).map(|row| row.names.anchor));
            // Without a branch row the lock is just being taken away.
            let Some(anchor) = anchor else { return Holders::Held };
            let reply = self.control(anchor, Packet::ReadDecision(*xid)).await;
            let Some(Reply::Decision(reading)) = reply else { return Holders::Held };
            match write_verdict(standing(*xid, reading)) {
                WriteVerdict::Free => freed.push(*xid),
                WriteVerdict::Wait | WriteVerdict::CheckAgain => result = Holders::Held,
            }
        }
        result
    }

    async fn check(
        &self,
        shard: ShardId,
        keys: Vec<LockKey>,
        freed: &RefCell<Vec<Xid>>,
    ) -> Holders {
        match self.control(shard, Packet::Check(keys)).await {
            Some(Reply::Locked(met)) => {
                let mut known = freed.borrow().clone();
                let holders = self.holders(shard, &met, &mut known).await;
                *freed.borrow_mut() = known;
                holders
            }
            Some(_) | None => Holders::Held,
        }
    }

    /// Drives one commit to its end.
    pub(crate) async fn commit(&self, open: Open) -> Option<Outcome> {
        let xid = self.ledger.borrow_mut().begin()?;
        let names = Undecided { xid, anchor: open.anchor, branches: open.branches.clone() };
        self.oracle.truth(|truth| truth.participants.insert(xid, names.clone()));
        let participants = Participants {
            anchor: open.anchor,
            branches: open.branches.clone(),
            readers: SmallVec::new(),
            checks: open.locks.keys().copied().filter(|_| self.engine.per_mille(500)).collect(),
        };
        let looks = !participants.checks.contains(&open.anchor);
        let mut machine = Coordinator::new(xid, participants, self.rules);
        let events = Mailbox::new(&self.engine);
        events.send(commit::Event::Begin);
        let commit = Rc::new(Commit {
            proxy: self.clone(),
            names,
            open,
            freed: RefCell::default(),
            anchor_looks: Cell::new(looks),
        });
        let (mut wake, mut answer) = (None, None);
        loop {
            let event = events.receive_until(wake).await;
            let event = event.unwrap_or_else(|| {
                wake = None;
                commit::Event::Time
            });
            self.engine.log(|| format!("coordinator {xid} {event:?}"));
            for command in machine.step(self.engine.instant(), event) {
                if let commit::Command::WakeAt(at) = command {
                    wake = Some(self.engine.micros(at));
                    continue;
                }
                self.engine.log(|| format!("coordinator {xid} -> {command:?}"));
                match command {
                    commit::Command::WakeAt(_) => {}
                    commit::Command::Answer(outcome) => {
                        self.oracle.answered(xid, outcome);
                        answer = Some(outcome);
                    }
                    commit::Command::Rollback(shard) => commit.open.connections[&shard].close(),
                    commit::Command::Alarm(_) => {}
                    commit::Command::Finish(ending) => {
                        for connection in commit.open.connections.values() {
                            connection.close();
                        }
                        self.ended(&commit, ending);
                        return answer;
                    }
                    commit::Command::Check(_)
                    | commit::Command::Prepare(_)
                    | commit::Command::AskHolders(_)
                    | commit::Command::EndReader(_)
                    | commit::Command::Decide
                    | commit::Command::InsertAborted
                    | commit::Command::KillAnchor
                    | commit::Command::Settle(_) => {
                        let (commit, events) = (commit.clone(), events.clone());
                        self.spawn(async move {
                            if let Some(event) = commit.carry_out(command).await {
                                events.send(event);
                            }
                        });
                    }
                }
            }
        }
    }

    fn ended(&self, commit: &Rc<Commit>, ending: Ending) {
        let names = &commit.names;
        match ending {
            Ending::Committed => {
                let locks =
                    |shard: &ShardId| commit.open.locks.get(shard).cloned().unwrap_or_default();
                let branches = names.branches.iter().map(|shard| (*shard, locks(shard))).collect();
                self.forget(forget::Event::Committed(Committed {
                    xid: names.xid,
                    anchor: names.anchor,
                    branches,
                }));
            }
            Ending::Aborted | Ending::NeverPrepared => {
                self.forget(forget::Event::Aborted(names.xid))
            }
            Ending::HandedOver => {
                let (proxy, commit) = (self.clone(), commit.clone());
                self.spawn(async move { proxy.resolve_own(commit).await });
            }
        }
    }

    /// What was handed over stays undecided in the ledger until a resolver knows.
    async fn resolve_own(&self, commit: Rc<Commit>) {
        loop {
            match self.resolve(commit.names.clone()).await {
                Resolution::Committed => return self.ended(&commit, Ending::Committed),
                Resolution::Aborted | Resolution::Stuck(_) | Resolution::Forgotten => {
                    return self.ended(&commit, Ending::Aborted);
                }
                Resolution::Later => self.engine.sleep(SCAN_PERIOD.as_micros() as u64).await,
            }
        }
    }

    pub(crate) fn forget(&self, event: forget::Event) {
        let commands = self.ledger.borrow_mut().step(self.engine.instant(), event);
        for command in commands {
            let proxy = self.clone();
            self.spawn(async move {
                let event = match command {
                    forget::Command::WakeAt(at) => {
                        let wait = proxy.engine.micros(at).saturating_sub(proxy.engine.now());
                        proxy.engine.sleep(wait).await;
                        forget::Event::Time
                    }
                    forget::Command::ForgetBranches { shard, branches } => {
                        let reply = proxy.control(shard, Packet::ForgetBranches(branches)).await;
                        forget::Event::Branches(shard, matches!(reply, Some(Reply::Done)))
                    }
                    forget::Command::ForgetDecisions { anchor, xids, below } => {
                        let incarnation = proxy.incarnation;
                        let packet = Packet::ForgetDecisions { incarnation, xids, below };
                        let reply = proxy.control(anchor, packet).await;
                        forget::Event::Decisions(anchor, matches!(reply, Some(Reply::Done)))
                    }
                };
                proxy.forget(event);
            });
        }
    }

    async fn abort(&self, names: &Undecided) -> AbortAnswer {
        match self.control(names.anchor, Packet::Abort { names: names.clone() }).await {
            Some(Reply::Abort(answer)) => answer,
            Some(_) | None => AbortAnswer::Unreachable,
        }
    }

    async fn settle(&self, names: &Undecided, shard: ShardId) -> Settlement {
        match self.control(shard, Packet::Settle { names: names.clone() }).await {
            Some(Reply::Settled(settlement)) => settlement,
            Some(_) | None => Settlement::Failed,
        }
    }

    /// Drives one resolver.
    async fn resolve(&self, names: Undecided) -> Resolution {
        let mut machine = Resolver::new(names.clone(), self.rules);
        let events = Mailbox::new(&self.engine);
        events.send(recovery::Event::Begin);
        loop {
            let event = events.receive().await;
            for command in machine.step(event) {
                self.engine.log(|| {
                    format!("resolver of {} at {} -> {command:?}", names.xid, self.incarnation)
                });
                if let recovery::Command::Finish(resolution) = command {
                    return resolution;
                }
                let (proxy, names, events) = (self.clone(), names.clone(), events.clone());
                self.spawn(async move {
                    let event = match command {
                        recovery::Command::InsertAborted => {
                            recovery::Event::Abort(proxy.abort(&names).await)
                        }
                        recovery::Command::ReadDecision => {
                            let reply =
                                proxy.control(names.anchor, Packet::ReadDecision(names.xid)).await;
                            recovery::Event::Read(match reply {
                                Some(Reply::Decision(reading)) => Some(reading),
                                Some(_) | None => None,
                            })
                        }
                        recovery::Command::KillAnchor => {
                            proxy.control(names.anchor, Packet::KillHolder(names.xid)).await;
                            recovery::Event::Killed
                        }
                        recovery::Command::Settle(shard) => {
                            recovery::Event::Settled(shard, proxy.settle(&names, shard).await)
                        }
                        recovery::Command::Finish(_) => return,
                    };
                    events.send(event);
                });
            }
        }
    }

    /// Looks for branches that somebody left, on every shard, for ever.
    pub(crate) async fn scan(&self) {
        loop {
            self.engine.sleep(SCAN_PERIOD.as_micros() as u64 + self.engine.below(100_000)).await;
            for server in self.network.servers.iter() {
                let Some(Reply::Found(found)) = self.control(server.id, Packet::Scan).await else {
                    continue;
                };
                for (names, _) in found {
                    if !self.resolving.borrow_mut().insert(names.xid) {
                        continue;
                    }
                    let proxy = self.clone();
                    self.spawn(async move {
                        // Between finding it and resolving it anything may happen.
                        let slow = proxy.engine.per_mille(100);
                        proxy
                            .engine
                            .sleep(proxy.engine.below(if slow { 1_200_000 } else { 1_000 }))
                            .await;
                        if proxy.resolve(names.clone()).await == Resolution::Committed {
                            proxy.forget_branches_of(&names).await;
                        }
                        proxy.resolving.borrow_mut().remove(&names.xid);
                    });
                }
            }
        }
    }

    async fn forget_branches_of(&self, names: &Undecided) {
        for shard in &names.branches {
            let server = self.network.server(*shard);
            let locks = server
                .with(|state| state.tables.branch.get(&names.xid).map(|row| row.locks.clone()));
            if let Some(locks) = locks {
                self.control(*shard, Packet::ForgetBranches(vec![(names.xid, locks)])).await;
            }
        }
    }
}

struct Commit {
    proxy: Proxy,
    names: Undecided,
    open: Open,
    freed: RefCell<Vec<Xid>>,
    /// Whether the decide packet looks for foreign locks.
    anchor_looks: Cell<bool>,
}

impl Commit {
    fn keys(&self, shard: ShardId) -> Vec<LockKey> {
        self.open.locks.get(&shard).map(|locks| locks.keys().collect()).unwrap_or_default()
    }

    async fn carry_out(&self, command: commit::Command) -> Option<commit::Event> {
        let (proxy, names) = (&self.proxy, self.names.clone());
        let connection = |shard| self.open.connections[&shard].clone();
        Some(match command {
            commit::Command::Check(shard) => {
                self.anchor_looks.set(false);
                let held = proxy.check(shard, self.keys(shard), &self.freed).await;
                commit::Event::Checked(shard, held)
            }
            commit::Command::AskHolders(shard) => commit::Event::HoldersAsked(
                shard,
                proxy.check(shard, self.keys(shard), &self.freed).await,
            ),
            commit::Command::Prepare(shard) => {
                let locks = self.open.locks.get(&shard).cloned().unwrap_or_default();
                let freed = self.freed.borrow().clone();
                match connection(shard).request(Packet::Prepare { names, locks, freed }).await {
                    Answer::Reply(Reply::Done) => commit::Event::Prepared(shard),
                    Answer::Reply(Reply::Locked(_)) => commit::Event::PrepareLocked(shard),
                    Answer::Reply(_) | Answer::Lost { sent: false } => {
                        commit::Event::PrepareFailed(shard, BranchFate::Uncommitted)
                    }
                    Answer::Lost { sent: true } => {
                        commit::Event::PrepareFailed(shard, BranchFate::Unknown)
                    }
                }
            }
            commit::Command::EndReader(shard) => {
                let answer = connection(shard).request(Packet::Commit).await;
                commit::Event::ReaderEnded(shard, matches!(answer, Answer::Reply(_)))
            }
            commit::Command::Decide => {
                let check = match self.anchor_looks.get() {
                    true => self.keys(names.anchor),
                    false => Vec::new(),
                };
                let packet = Packet::Decide { names: names.clone(), check };
                match connection(names.anchor).request(packet).await {
                    Answer::Reply(Reply::Done) => commit::Event::Decided,
                    Answer::Reply(Reply::Locked(_)) => commit::Event::DecideLocked,
                    Answer::Reply(_) | Answer::Lost { sent: false } => {
                        commit::Event::DecideFailed(DecideFailure::Uncommitted)
                    }
                    Answer::Lost { sent: true } => {
                        commit::Event::DecideFailed(DecideFailure::Unknown)
                    }
                }
            }
            commit::Command::InsertAborted => commit::Event::Abort(proxy.abort(&names).await),
            commit::Command::KillAnchor => {
                proxy.control(names.anchor, Packet::KillHolder(names.xid)).await;
                commit::Event::Killed
            }
            commit::Command::Settle(shard) => {
                commit::Event::Settled(shard, proxy.settle(&names, shard).await)
            }
            commit::Command::Rollback(_)
            | commit::Command::WakeAt(_)
            | commit::Command::Answer(_)
            | commit::Command::Alarm(_)
            | commit::Command::Finish(_) => return None,
        })
    }
}
