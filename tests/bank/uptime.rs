//! Watches the shards for transactions that are not decided or not undone, around the proxies, and
//! takes the time that they stay so while nothing hinders their end.
//!
//! The time is counted in looks at the shards: on a machine that is so busy that a look takes
//! seconds, a look still counts for no more than [`LOOK_MAX`].

use anyhow::{Context, Result};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use shardline_base::Shutdown;
use shardline_proxy::txn::xid::Xid;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(100);
/// What counts for one look at most.
const LOOK_MAX: Duration = Duration::from_millis(400);
/// How long a shard may take to answer a look.
const ANSWER: Duration = Duration::from_secs(2);

/// `gtx.state` of what is committed.
const COMMITTED: u8 = 1;

/// What the watch has seen, shared with those who fail things on purpose.
#[derive(Clone, Default)]
pub(crate) struct Uptime(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The last look while all shards are up, and a proxy that nothing is done to.
    up: Option<Instant>,
    /// How long all was up so far.
    clock: Duration,
    /// What the clock said when all came up for the last time.
    came_up: Duration,
    /// Those that are unfinished, and what the clock said when they were seen first.
    unfinished: BTreeMap<Xid, Duration>,
    /// Looks at all shards that were answered.
    looks: u64,
    /// How long each took to be finished, counted from the time that nothing hindered it.
    took: Vec<(Duration, Xid)>,
    /// Decisions, which never change.
    decided: BTreeMap<Xid, u8>,
    /// Those that did.
    flips: Vec<Xid>,
}

/// What one look saw.
#[derive(Default)]
struct Look {
    unfinished: BTreeSet<Xid>,
    decided: Vec<(Xid, u8)>,
}

impl Uptime {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is down from now on.
    pub(crate) fn down(&self) {
        self.state().up = None;
    }

    /// All is up from now on.
    pub(crate) fn up(&self) {
        let mut state = self.state();
        state.up = Some(Instant::now());
        state.came_up = state.clock;
    }

    /// Looks that were answered by all shards.
    pub(crate) fn looks(&self) -> u64 {
        self.state().looks
    }

    /// Those that were unfinished already when all came up, and still are.
    pub(crate) fn left(&self) -> Vec<Xid> {
        let state = self.state();
        let old = state.unfinished.iter().filter(|(_, since)| **since <= state.came_up);
        old.map(|(xid, _)| *xid).collect()
    }

    /// How long finished ones took, sorted, with those that are not finished yet.
    pub(crate) fn times(&self) -> Vec<(Duration, Xid)> {
        let state = self.state();
        let unfinished = state.unfinished.iter().map(|(xid, since)| (state.clock - *since, *xid));
        let mut times: Vec<_> = state.took.iter().copied().chain(unfinished).collect();
        times.sort_unstable();
        times
    }

    /// Transactions whose decision changed.
    pub(crate) fn flips(&self) -> Vec<Xid> {
        self.state().flips.clone()
    }

    fn saw(&self, Look { unfinished, decided }: Look) {
        let mut guard = self.state();
        let state = &mut *guard;
        let now = Instant::now();
        if let Some(last) = &mut state.up {
            state.clock += (now - *last).min(LOOK_MAX);
            *last = now;
        }
        for (xid, decision) in decided {
            if *state.decided.entry(xid).or_insert(decision) != decision {
                state.flips.push(xid);
            }
        }
        state.looks += 1;
        let State { unfinished: known, took, clock, up, .. } = state;
        known.retain(|xid, since| {
            let still = unfinished.contains(xid);
            if !still && up.is_some() {
                took.push((*clock - *since, *xid));
            }
            still
        });
        for xid in unfinished {
            known.entry(xid).or_insert(*clock);
        }
    }
}

/// Looks until told to stop.
pub(crate) async fn watch(shards: Vec<OptsBuilder>, uptime: Uptime, stop: Shutdown) {
    let mut connections: Vec<Option<Conn>> = shards.iter().map(|_| None).collect();
    while !stop.is_triggered() {
        let looked = tokio::time::timeout(ANSWER, look(&shards, &mut connections)).await;
        match looked {
            Ok(Ok(look)) => uptime.saw(look),
            // Somebody is down: new connections next time.
            Ok(Err(_)) | Err(_) => connections.iter_mut().for_each(|one| *one = None),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// The unfinished transactions of all shards: those with a branch that is prepared, and no
/// decision to commit.
async fn look(shards: &[OptsBuilder], connections: &mut [Option<Conn>]) -> Result<Look> {
    for (options, connection) in shards.iter().zip(&mut *connections) {
        if connection.is_none() {
            *connection = Some(Conn::new(options.clone()).await?);
        }
    }
    let mut prepared: BTreeMap<Xid, u32> = BTreeMap::new();
    for connection in connections.iter_mut().flatten() {
        let rows: Vec<(Vec<u8>, u32)> =
            connection.query("SELECT xid, anchor FROM _shardline.branch WHERE state = 1").await?;
        for (xid, anchor) in rows {
            prepared.insert(xid_of(&xid)?, anchor);
        }
    }
    let mut look = Look::default();
    for (number, connection) in (1..).zip(connections.iter_mut().flatten()) {
        let rows: Vec<(Vec<u8>, u8)> =
            connection.query("SELECT xid, state FROM _shardline.gtx").await?;
        let rows: Result<Vec<(Xid, u8)>> =
            rows.into_iter().map(|(xid, state)| Ok((xid_of(&xid)?, state))).collect();
        let rows = rows?;
        let below: Vec<(u64, u64)> =
            connection.query("SELECT incarnation, below FROM _shardline.forgotten").await?;
        let decided: BTreeMap<Xid, u8> = rows.iter().copied().collect();
        let below: BTreeMap<u64, u64> = below.into_iter().collect();
        let here = prepared.iter().filter(|(_, anchor)| **anchor == number).map(|(xid, _)| *xid);
        look.unfinished.extend(here.filter(|xid| match decided.get(xid) {
            Some(&COMMITTED) => false,
            Some(_) => true,
            // Without a row below the watermark it was committed and is forgotten.
            None => below.get(&xid.incarnation.0).is_none_or(|below| xid.counter >= *below),
        }));
        look.decided.extend(rows);
    }
    Ok(look)
}

fn xid_of(bytes: &[u8]) -> Result<Xid> {
    Ok(Xid::from_bytes(<[u8; 16]>::try_from(bytes).context("a transaction's name")?))
}
