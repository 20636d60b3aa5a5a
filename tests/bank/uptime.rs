//! Watches the shards for transactions that are not decided or not undone, around the proxies, and
//! takes the time since when nothing hinders their end.

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
/// How long a shard may take to answer a look.
const ANSWER: Duration = Duration::from_secs(2);

/// `gtx.state` of what is committed.
const COMMITTED: u8 = 1;

/// What the watch has seen, shared with those who fail things on purpose.
#[derive(Clone, Default)]
pub(crate) struct Uptime(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Since when all shards are up, and a proxy that nothing is done to.
    up_since: Option<Instant>,
    /// Those that are unfinished, and since when that is known.
    unfinished: BTreeMap<Xid, Instant>,
    /// Looks at all shards that were answered.
    looks: u64,
    /// How long each took to be finished, counted from the time that nothing hindered it.
    took: Vec<Duration>,
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
        self.state().up_since = None;
    }

    /// All is up from now on.
    pub(crate) fn up(&self) {
        self.state().up_since = Some(Instant::now());
    }

    /// Looks that were answered by all shards.
    pub(crate) fn looks(&self) -> u64 {
        self.state().looks
    }

    /// Those that were unfinished already when all came up, and still are.
    pub(crate) fn left(&self) -> Vec<Xid> {
        let state = self.state();
        let Some(up) = state.up_since else { return Vec::new() };
        let old = state.unfinished.iter().filter(|(_, since)| **since <= up);
        old.map(|(xid, _)| *xid).collect()
    }

    /// How long finished ones took, sorted, with those that are not finished yet.
    pub(crate) fn times(&self) -> Vec<Duration> {
        let state = self.state();
        let mut times = state.took.clone();
        if let Some(up) = state.up_since {
            let now = Instant::now();
            times.extend(state.unfinished.values().map(|since| now - (*since).max(up)));
        }
        times.sort_unstable();
        times
    }

    /// Transactions whose decision changed.
    pub(crate) fn flips(&self) -> Vec<Xid> {
        self.state().flips.clone()
    }

    fn saw(&self, Look { unfinished, decided }: Look) {
        let now = Instant::now();
        let mut state = self.state();
        for (xid, decision) in decided {
            if *state.decided.entry(xid).or_insert(decision) != decision {
                state.flips.push(xid);
            }
        }
        state.looks += 1;
        let up = state.up_since;
        let mut took = Vec::new();
        state.unfinished.retain(|xid, since| {
            let still = unfinished.contains(xid);
            if !still && let Some(up) = up {
                took.push(now - (*since).max(up));
            }
            still
        });
        state.took.extend(took);
        for xid in unfinished {
            state.unfinished.entry(xid).or_insert(now);
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
