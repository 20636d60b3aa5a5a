//! One client, and what it does in each case.

use super::bed::{Bed, GUARDED, PLAIN};
use crate::random::Random;
use anyhow::{Context, Result};
use mysql_async::{Conn, prelude::Queryable};
use std::time::{Duration, Instant};

/// Errors after which a transaction is just begun again: lost locks.
const AGAIN: [u16; 2] = [1205, 1213];

/// What is measured in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Case {
    /// Two accounts of one shard.
    OneShard,
    /// Two accounts of two shards.
    TwoShards,
    /// The same by XA, without a proxy.
    Xa,
    /// A write that commits by itself, guard off.
    GuardOff,
    /// The same with the guard on.
    GuardOn,
}

impl Case {
    pub(super) const ALL: [Case; 5] =
        [Case::OneShard, Case::TwoShards, Case::Xa, Case::GuardOff, Case::GuardOn];

    pub(super) fn name(self) -> &'static str {
        match self {
            Case::OneShard => "transfer on one shard",
            Case::TwoShards => "transfer between two shards",
            Case::Xa => "the same by XA on the servers, without a proxy",
            Case::GuardOff => "single write, guard off",
            Case::GuardOn => "single write, guard on",
        }
    }
}

/// A client with its sessions.
pub(super) struct Worker {
    session: Conn,
    direct: Vec<Conn>,
    accounts: Vec<Vec<u32>>,
    random: Random,
    number: u64,
    transactions: u64,
}

impl Worker {
    pub(super) async fn connect(bed: &Bed, number: u64) -> Result<Self> {
        let (session, direct) = (bed.session().await?, bed.direct().await?);
        let random = Random::new(0x9e37_79b9_7f4a_7c15 ^ (number << 17));
        let accounts = bed.accounts.clone();
        Ok(Self { session, direct, accounts, random, number, transactions: 0 })
    }

    /// Repeats the case for a time; how long each that succeeded took.
    pub(super) async fn run(mut self, case: Case, time: Duration) -> Result<(Self, Vec<Duration>)> {
        let until = Instant::now() + time;
        let mut latencies = Vec::new();
        while Instant::now() < until {
            let begun = Instant::now();
            match self.once(case).await {
                Ok(()) => latencies.push(begun.elapsed()),
                Err(error) if is_lost_lock(&error) => {
                    self.session.query_drop("ROLLBACK").await?;
                }
                Err(error) => return Err(error).context(case.name()),
            }
        }
        Ok((self, latencies))
    }

    async fn once(&mut self, case: Case) -> Result<(), mysql_async::Error> {
        let shards = self.accounts.len();
        let first = self.below(shards);
        let other = (first + 1 + self.below(shards - 1)) % shards;
        match case {
            Case::OneShard => self.transfer(first, first).await,
            Case::TwoShards => self.transfer(first, other).await,
            Case::Xa => self.xa(first, other).await,
            Case::GuardOff => self.write(PLAIN, first).await,
            Case::GuardOn => self.write(GUARDED, first).await,
        }
    }

    fn account(&mut self, shard: usize) -> u32 {
        let index = self.below(self.accounts[shard].len());
        self.accounts[shard][index]
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.below(end as u64) as usize
    }

    async fn transfer(&mut self, from: usize, to: usize) -> Result<(), mysql_async::Error> {
        let (from, to) = (self.account(from), self.account(to));
        self.session.query_drop("BEGIN").await?;
        self.session.query_drop(add(from, -1)).await?;
        self.session.query_drop(add(to, 1)).await?;
        self.session.query_drop("COMMIT").await
    }

    async fn write(&mut self, database: &str, shard: usize) -> Result<(), mysql_async::Error> {
        let id = self.account(shard);
        let sql = format!("UPDATE {database}.account SET writes = writes + 1 WHERE id = {id}");
        self.session.query_drop(sql).await
    }

    /// Each round goes to both servers at once, as the proxy's do.
    async fn xa(&mut self, from: usize, to: usize) -> Result<(), mysql_async::Error> {
        let accounts = [(from, self.account(from), -1), (to, self.account(to), 1)];
        self.transactions += 1;
        let name = format!("'{}-{}'", self.number, self.transactions);
        for (shard, id, amount) in accounts {
            self.direct[shard].query_drop(format!("XA START {name}")).await?;
            self.direct[shard].query_drop(add(id, amount)).await?;
        }
        for round in [["XA END", "XA PREPARE"].as_slice(), &["XA COMMIT"]] {
            let [one, other] = pair(&mut self.direct, from, to);
            let (one, other) = tokio::join!(all(one, round, &name), all(other, round, &name));
            one.and(other)?;
        }
        Ok(())
    }
}

async fn all(conn: &mut Conn, verbs: &[&str], name: &str) -> Result<(), mysql_async::Error> {
    for verb in verbs {
        conn.query_drop(format!("{verb} {name}")).await?;
    }
    Ok(())
}

/// Two different ones.
fn pair(all: &mut [Conn], one: usize, other: usize) -> [&mut Conn; 2] {
    let (low, high) = all.split_at_mut(one.max(other));
    [&mut low[one.min(other)], &mut high[0]]
}

fn add(id: u32, amount: i32) -> String {
    format!("UPDATE {GUARDED}.account SET balance = balance + {amount} WHERE id = {id}")
}

fn is_lost_lock(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(told) if AGAIN.contains(&told.code))
}
