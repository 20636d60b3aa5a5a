//! How a simulated server carries out each packet: in the order of the statements that
//! `shardline_proxy::txn::sql` writes, with a pause and a lock where they have one.

use crate::{
    engine::MS,
    packet::{Changes, Packet, Reply},
    server::{BranchRow, CONTROL_WAIT, Change, Flaw, Resource, Server, SessionId},
};
use shardline_proxy::txn::{
    lock_key::{LockKey, LockSet},
    outcome::{AbortAnswer, Decision, Reading, Settlement},
    recovery::{SCAN_AGE, SCAN_ROWS_MAX, Undecided},
    xid::{Incarnation, Xid},
};

impl Server {
    pub(crate) async fn carry_out(&self, id: SessionId, packet: Packet) -> Reply {
        self.engine.sleep(self.engine.between(20, 200)).await;
        match packet {
            Packet::Update(changes) => match self.update(id, &changes).await {
                true => Reply::Done,
                false => Reply::Timeout,
            },
            Packet::CheckedWrite(changes, keys) => self.checked_write(id, changes, keys).await,
            Packet::Check(keys) => Reply::Locked(self.locks_met(&keys)),
            Packet::Commit => {
                self.commit(id).await;
                Reply::Done
            }
            Packet::Rollback => {
                self.roll_back(id, 0);
                Reply::Done
            }
            Packet::Prepare { names, locks, freed } => self.prepare(id, names, locks, freed).await,
            Packet::Decide { names, check } => self.decide(id, names, check).await,
            Packet::Abort { names } => Reply::Abort(self.abort(id, names).await),
            Packet::ReadDecision(xid) => Reply::Decision(self.read_decision(xid)),
            Packet::KillHolder(xid) => {
                if let Some(holder) = self.holder(Resource::Gtx(xid)) {
                    self.kill(holder);
                }
                Reply::Done
            }
            Packet::Settle { names } => Reply::Settled(self.settle(id, names).await),
            Packet::ForgetBranches(branches) => self.forget_branches(id, branches).await,
            Packet::ForgetDecisions { incarnation, xids, below } => {
                self.note(id, Change::Below(incarnation, below));
                for xid in xids {
                    if !self.lock(id, Resource::Gtx(xid), CONTROL_WAIT).await {
                        self.roll_back(id, 0);
                        return Reply::Timeout;
                    }
                    if self.with(|state| state.tables.gtx.get(&xid) == Some(&Decision::Committed)) {
                        self.note(id, Change::ForgetGtx(xid));
                    }
                }
                self.commit(id).await;
                Reply::Done
            }
            Packet::Scan => Reply::Found(self.scan()),
            Packet::LockAccount(incarnation) => {
                self.with(|state| state.tables.locked_accounts.insert(incarnation));
                Reply::Done
            }
            Packet::KillConnections(incarnation) => self.kill_connections(incarnation),
            Packet::MarkDead(incarnation) => {
                self.note(id, Change::Dead(incarnation));
                self.commit(id).await;
                Reply::Done
            }
            Packet::CountBranches(incarnation) => Reply::Count(self.with(|state| {
                let mine = |xid: &Xid| xid.incarnation == incarnation;
                let left = state.tables.branch.iter();
                left.filter(|(xid, row)| mine(xid) && row.prepared).count() as u64
            })),
            Packet::CountLeft => Reply::Count(self.with(|state| {
                let prepared = state.tables.branch.values().filter(|row| row.prepared).count();
                (prepared + state.tables.rlock.len()) as u64
            })),
            Packet::Sweep { incarnation, below } => self.sweep(id, incarnation, below).await,
        }
    }

    fn locks_met(&self, keys: &[LockKey]) -> Vec<(LockKey, Xid)> {
        self.with(|state| {
            let found = |key: &LockKey| state.tables.rlock.get(key).map(|xid| (*key, *xid));
            keys.iter().filter_map(found).collect()
        })
    }

    async fn checked_write(
        &self,
        id: SessionId,
        changes: Changes,
        keys: Option<Vec<LockKey>>,
    ) -> Reply {
        let early = self.flaw == Some(Flaw::CheckBeforeRowLock);
        let before = keys.as_ref().map(|keys| self.locks_met(keys)).unwrap_or_default();
        if !self.update(id, &changes).await {
            self.roll_back(id, 0);
            return Reply::Timeout;
        }
        self.engine.sleep(self.engine.between(20, 100)).await;
        let met = match keys {
            Some(_) if early => before,
            Some(keys) => self.locks_met(&keys),
            None => Vec::new(),
        };
        if !met.is_empty() {
            return Reply::Locked(met);
        }
        self.commit(id).await;
        Reply::Done
    }

    async fn prepare(
        &self,
        id: SessionId,
        names: Undecided,
        locks: LockSet,
        freed: Vec<Xid>,
    ) -> Reply {
        let at = self.changes(id).len();
        for key in locks.keys() {
            self.engine.sleep(self.engine.between(10, 60)).await;
            if !self.lock(id, Resource::Lock(key), CONTROL_WAIT).await {
                self.roll_back(id, at);
                return Reply::Timeout;
            }
            let holder = self.with(|state| state.tables.rlock.get(&key).copied());
            let blind = self.flaw == Some(Flaw::TakesOverBlindly);
            match holder {
                Some(holder) if !freed.contains(&holder) && !blind => {
                    self.roll_back(id, at);
                    return Reply::Locked(vec![(key, holder)]);
                }
                Some(_) | None if self.flaw == Some(Flaw::LocksAfterData) => {}
                Some(_) | None => self.note(id, Change::Lock(key, names.xid)),
            }
        }
        if !self.lock(id, Resource::Branch(names.xid), CONTROL_WAIT).await {
            self.roll_back(id, at);
            return Reply::Timeout;
        }
        if self.with(|state| state.tables.branch.contains_key(&names.xid)) {
            self.roll_back(id, at);
            return Reply::Duplicate;
        }
        let images = self.changes(id).into_iter().filter_map(|change| match change {
            Change::Row { account, before, after } => Some((account, before, after)),
            _ => None,
        });
        let row = BranchRow {
            images: images.collect(),
            prepared: true,
            locks,
            at: self.engine.now(),
            names: names.clone(),
        };
        self.note(id, Change::Branch(names.xid, row));
        self.commit(id).await;
        Reply::Done
    }

    async fn decide(&self, id: SessionId, names: Undecided, check: Vec<LockKey>) -> Reply {
        let mut met = self.locks_met(&check);
        met.retain(|(_, holder)| *holder != names.xid);
        if !met.is_empty() && self.flaw != Some(Flaw::AnchorDoesNotLook) {
            return Reply::Locked(met);
        }
        self.engine.sleep(self.engine.between(10, 60)).await;
        if !self.lock(id, Resource::Gtx(names.xid), CONTROL_WAIT).await {
            return Reply::Timeout;
        }
        if self.with(|state| state.tables.gtx.contains_key(&names.xid)) {
            return Reply::Duplicate;
        }
        self.note(id, Change::Gtx(names, Decision::Committed));
        // Between the statements of the packet the server may be stopped.
        self.engine.sleep(self.engine.between(10, 100)).await;
        self.commit(id).await;
        Reply::Done
    }

    async fn abort(&self, id: SessionId, names: Undecided) -> AbortAnswer {
        let xid = names.xid;
        if !self.lock(id, Resource::Gtx(xid), CONTROL_WAIT).await {
            return AbortAnswer::Waiting;
        }
        let (row, below) = self.with(|state| {
            let below = state.tables.below.get(&xid.incarnation).copied().unwrap_or(0);
            (state.tables.gtx.get(&xid).copied(), below)
        });
        if let Some(decision) = row {
            self.roll_back(id, 0);
            return AbortAnswer::Found(decision);
        }
        if xid.counter < below {
            self.roll_back(id, 0);
            self.oracle.truth(|truth| truth.counts.refused_late += 1);
            return AbortAnswer::Forgotten;
        }
        self.note(id, Change::Gtx(names, Decision::Aborted));
        self.commit(id).await;
        AbortAnswer::Inserted
    }

    pub(crate) fn read_decision(&self, xid: Xid) -> Reading {
        self.with(|state| match state.tables.gtx.get(&xid) {
            Some(decision) => Reading::Row(*decision),
            None => Reading::Absent {
                below: state.tables.below.get(&xid.incarnation).copied().unwrap_or(0),
            },
        })
    }

    async fn settle(&self, id: SessionId, names: Undecided) -> Settlement {
        let xid = names.xid;
        if !self.lock(id, Resource::Branch(xid), CONTROL_WAIT).await {
            return Settlement::Failed;
        }
        let row = self.with(|state| state.tables.branch.get(&xid).cloned());
        let Some(row) = row else {
            if self.flaw == Some(Flaw::MissingFenceRow) {
                self.roll_back(id, 0);
                return Settlement::Done;
            }
            let at = self.engine.now();
            let fence = BranchRow {
                names,
                prepared: false,
                locks: LockSet::default(),
                at,
                images: Vec::new(),
            };
            self.note(id, Change::Branch(xid, fence));
            self.commit(id).await;
            return Settlement::Done;
        };
        if !row.prepared {
            self.roll_back(id, 0);
            return Settlement::Done;
        }
        if !self.undo(id, &row).await {
            self.roll_back(id, 0);
            return Settlement::Stuck;
        }
        if self.flaw == Some(Flaw::UndoApartFromBranch) {
            self.commit(id).await;
            self.engine.sleep(self.engine.between(MS, 5 * MS)).await;
        }
        for key in row.locks.keys() {
            if !self.lock(id, Resource::Lock(key), CONTROL_WAIT).await {
                self.roll_back(id, 0);
                return Settlement::Failed;
            }
            if self.with(|state| state.tables.rlock.get(&key) == Some(&xid)) {
                self.note(id, Change::DropLock(key));
            }
        }
        self.note(id, Change::DropBranch(xid));
        self.commit(id).await;
        Settlement::Done
    }

    /// False when a row differs.
    async fn undo(&self, id: SessionId, row: &BranchRow) -> bool {
        let mut images = row.images.clone();
        if self.flaw != Some(Flaw::UndoForward) {
            images.reverse();
        }
        for (account, before, after) in images {
            self.engine.sleep(self.engine.between(30, 200)).await;
            let resource = Resource::Row(account);
            while !self.lock(id, resource, 50 * MS).await {
                // A writer on rows that never were.
                if let Some(holder) = self.holder(resource) {
                    self.kill(holder);
                }
            }
            let same = self.value(id, account) == after;
            if !same && self.flaw != Some(Flaw::CompensationOverwrites) {
                return false;
            }
            self.note(id, Change::Undo { account, after: before });
        }
        true
    }

    async fn forget_branches(&self, id: SessionId, branches: Vec<(Xid, LockSet)>) -> Reply {
        for (xid, locks) in branches {
            for key in locks.keys() {
                if !self.lock(id, Resource::Lock(key), CONTROL_WAIT).await {
                    self.roll_back(id, 0);
                    return Reply::Timeout;
                }
                let foreign = self.flaw == Some(Flaw::ForgetDeletesForeignLocks);
                let mine = self.with(|state| state.tables.rlock.get(&key) == Some(&xid));
                if mine || foreign {
                    self.note(id, Change::DropLock(key));
                }
            }
            if !self.lock(id, Resource::Branch(xid), CONTROL_WAIT).await {
                self.roll_back(id, 0);
                return Reply::Timeout;
            }
            if self.with(|state| state.tables.branch.get(&xid).is_some_and(|row| row.prepared)) {
                self.note(id, Change::DropBranch(xid));
            }
        }
        self.commit(id).await;
        Reply::Done
    }

    fn scan(&self) -> Vec<(Undecided, LockSet)> {
        let age = SCAN_AGE.as_micros() as u64;
        let now = self.engine.now();
        self.with(|state| {
            let old = |row: &&BranchRow| row.prepared && now - row.at >= age;
            let found = state.tables.branch.values().filter(old).take(SCAN_ROWS_MAX);
            found.map(|row| (row.names.clone(), row.locks.clone())).collect()
        })
    }

    fn kill_connections(&self, incarnation: Incarnation) -> Reply {
        let mine: Vec<_> = self.with(|state| {
            let mine = state.sessions.iter().filter(|(_, one)| one.account == Some(incarnation));
            mine.map(|(id, _)| *id).collect()
        });
        for id in mine {
            self.kill(id);
        }
        let left = |one: &&crate::server::Session| one.account == Some(incarnation);
        Reply::Count(self.with(|state| state.sessions.values().filter(left).count() as u64))
    }

    async fn sweep(&self, id: SessionId, incarnation: Incarnation, below: u64) -> Reply {
        let (decisions, fences) = self.with(|state| {
            let mine = |xid: &Xid| xid.incarnation == incarnation;
            let gtx: Vec<_> = state.tables.gtx.keys().copied().filter(|xid| mine(xid)).collect();
            let fences = state.tables.branch.iter();
            let fences = fences.filter(|(xid, row)| mine(xid) && !row.prepared);
            let fences: Vec<_> = fences.map(|(xid, _)| *xid).collect();
            (gtx, fences)
        });
        self.note(id, Change::Below(incarnation, below));
        for xid in decisions {
            self.note(id, Change::ForgetGtx(xid));
        }
        for xid in fences {
            self.note(id, Change::DropBranch(xid));
        }
        self.commit(id).await;
        Reply::Done
    }
}
