//! The clients of a proxy: transfers over several shards, and plain updates of the same
//! accounts on one shard, in one packet or in an open transaction.

use crate::{
    engine::{MS, SECOND},
    oracle::Account,
    packet::{Answer, Changes, Packet, Reply, shard_of},
    proxy::{Open, Proxy},
    world::ACCOUNTS,
};
use shardline_model::id::{GroupId, ShardId};
use shardline_proxy::txn::{
    commit::Holders,
    lock_key::{LockCheck, LockKey, LockSet, LockSpace, Touched},
};
use smallvec::SmallVec;
use std::collections::BTreeMap;

const SPACE: LockSpace = LockSpace::Group(GroupId(1));

/// Two accounts of a shard have one shard key.
fn touched(changes: &Changes) -> Touched {
    Touched::Keys(changes.iter().map(|(account, _)| key_text(*account)).collect())
}

fn key_text(account: Account) -> Vec<u8> {
    (account / (2 * crate::world::SHARDS)).to_string().into_bytes()
}

/// The lock of an account's key.
pub(crate) fn lock_of(account: Account) -> LockKey {
    LockKey::of_key(SPACE, &key_text(account))
}

fn keys_of(changes: &Changes) -> Vec<LockKey> {
    LockCheck::of(SPACE, &touched(changes), &[]).keys.to_vec()
}

impl Proxy {
    /// One client, for ever.
    pub(crate) async fn serve_client(self) {
        loop {
            self.engine.sleep(self.engine.between(2 * MS, 60 * MS)).await;
            if self.draining.get() {
                return;
            }
            match self.engine.below(10) {
                0..=5 => self.transfer().await,
                6..=7 => self.local_packet().await,
                _ => self.local_transaction().await,
            }
        }
    }

    fn account(&self) -> Account {
        self.engine.below(u64::from(ACCOUNTS)) as Account
    }

    /// Changes that leave the sum as it is; some accounts are changed twice.
    fn changes(&self, accounts: &[Account]) -> Changes {
        let mut changes = Changes::new();
        for pair in accounts.windows(2) {
            let amount = self.engine.between(1, 50) as i64;
            changes.push((pair[0], -amount));
            changes.push((pair[1], amount));
        }
        if self.engine.per_mille(300) {
            changes.push((accounts[0], 7));
            changes.push((accounts[0], -3));
            changes.push((accounts[1], -4));
        }
        changes
    }

    fn local_changes(&self) -> Changes {
        let first = self.account();
        let second = (first + crate::world::SHARDS) % ACCOUNTS;
        self.changes(&[first, second])
    }

    fn counted(&self) {
        self.oracle.truth(|truth| truth.counts.local += 1);
    }

    /// A single-shard write outside a transaction.
    async fn local_packet(&self) {
        let changes = self.local_changes();
        let shard = shard_of(changes[0].0);
        let held = self.catalog.hold(self.incarnation);
        let checks = held.guard().checks();
        let bypass = self.network.server(shard).bypassed && self.engine.per_mille(300);
        let account = (!bypass).then_some(self.incarnation);
        if let Some(connection) = self.network.connect(self.process, shard, account).await {
            let keys = (checks && !bypass).then(|| keys_of(&changes));
            let answer = connection.request(Packet::CheckedWrite(changes.clone(), keys)).await;
            match answer {
                Answer::Reply(Reply::Locked(met)) => {
                    if self.holders(shard, &met, &mut Vec::new()).await == Holders::Free {
                        connection.request(Packet::Commit).await;
                        self.counted();
                    } else {
                        connection.request(Packet::Rollback).await;
                    }
                }
                Answer::Reply(Reply::Done) => self.counted(),
                Answer::Reply(_) | Answer::Lost { sent: false } => {}
                // The server may still carry it out: it does not count as ended before the
                // server has surely noticed that the connection is gone.
                Answer::Lost { sent: true } => self.engine.sleep(12 * SECOND).await,
            }
            connection.close();
        }
    }

    /// A transaction on one shard that stays open for a while.
    async fn local_transaction(&self) {
        let changes = self.local_changes();
        let shard = shard_of(changes[0].0);
        let held = self.catalog.hold(self.incarnation);
        if !held.guard().checks() {
            return;
        }
        let account = Some(self.incarnation);
        let Some(connection) = self.network.connect(self.process, shard, account).await else {
            return;
        };
        if let Answer::Reply(Reply::Done) =
            connection.request(Packet::Update(changes.clone())).await
        {
            self.engine.sleep(self.engine.below(200 * MS)).await;
            let reply = self.control(shard, Packet::Check(keys_of(&changes))).await;
            if let Some(Reply::Locked(met)) = reply
                && self.holders(shard, &met, &mut Vec::new()).await == Holders::Free
            {
                connection.request(Packet::Commit).await;
                self.counted();
            }
        }
        connection.close();
    }

    /// A transfer over two to four accounts of several shards.
    async fn transfer(&self) {
        let count = self.engine.between(2, 5);
        let accounts: Vec<_> = (0..count).map(|_| self.account()).collect();
        let changes = self.changes(&accounts);
        let mut by_shard: Vec<(ShardId, Changes)> = Vec::new();
        for change in &changes {
            let shard = shard_of(change.0);
            match by_shard.iter_mut().find(|(known, _)| *known == shard) {
                Some((_, changes)) => changes.push(*change),
                None => by_shard.push((shard, vec![*change])),
            }
        }
        if by_shard.len() < 2 {
            return;
        }
        let statement = self.catalog.hold(self.incarnation);
        if !statement.guard().allows_distributed() {
            // Who held it would wait for himself.
            drop(statement);
            self.catalog.raise(self.process, &self.network).await;
            return;
        }
        let open = self.open(&by_shard).await;
        drop(statement);
        let Some(open) = open else { return };
        let commit = self.catalog.hold(self.incarnation);
        if commit.guard().allows_distributed() {
            self.commit(open).await;
        } else {
            for connection in open.connections.values() {
                connection.close();
            }
        }
    }

    async fn open(&self, by_shard: &[(ShardId, Changes)]) -> Option<Open> {
        let (mut connections, mut locks) = (BTreeMap::new(), BTreeMap::new());
        let mut complete = true;
        for (shard, changes) in by_shard {
            let connection =
                self.network.connect(self.process, *shard, Some(self.incarnation)).await;
            let Some(connection) = connection else {
                complete = false;
                break;
            };
            connections.insert(*shard, connection.clone());
            let mut set = LockSet::default();
            // Without too many: a handful of keys.
            complete = set.add(SPACE, &touched(changes)).is_ok();
            locks.insert(*shard, set);
            let answer = connection.request(Packet::Update(changes.clone())).await;
            complete &= matches!(answer, Answer::Reply(Reply::Done));
            if !complete {
                break;
            }
        }
        if !complete {
            for connection in connections.values() {
                connection.close();
            }
            return None;
        }
        let branches: SmallVec<_> = by_shard[1..].iter().map(|(shard, _)| *shard).collect();
        Some(Open { connections, anchor: by_shard[0].0, branches, locks })
    }
}
