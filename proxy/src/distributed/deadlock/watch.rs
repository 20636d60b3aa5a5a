//! What looks for deadlocks: asks the proxy's own sessions, the board, and the servers' views of lock
//! waits, and carries out what [`super::Detector`] says. It sleeps while no transaction is on
//! several shards, and asks nobody while none of them has been waiting for long.

use super::{
    Detector, Edge, Local, Name, Victim, Waiting,
    board::{Board, Entries},
    shards_to_ask,
};
use crate::{
    backend::TextResult,
    distributed::{
        anchor::number,
        control::{Control, ControlError},
    },
    registry::{Phase, SpreadView},
    session::shared::Shared,
    txn::xid::Incarnation,
};
use futures_util::future::join_all;
use metrics::{Counter, counter};
use shardline_base::Shutdown;
use shardline_model::id::ShardId;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Between two looks. InnoDB renews its views only when nobody has read them for 100 ms.
const PERIOD: Duration = Duration::from_millis(120);
/// A statement that is answered sooner is not asked about.
const WAITED: Duration = Duration::from_millis(250);
/// Own transactions that are asked about at once: those that have waited longest.
const OWN_MAX: usize = 64;
/// Lock waits that are read from one shard.
const EDGES_MAX: usize = 10_000;
/// How long the board or a shard may take to answer; without it the look goes on.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// MariaDB's view. The join to `INNODB_TRX` tells the connections.
const WAITS_MARIADB: &str = "SELECT r.trx_mysql_thread_id, r.trx_id, b.trx_mysql_thread_id, b.trx_id \
     FROM information_schema.INNODB_LOCK_WAITS w \
     JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id \
     JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id";
/// MySQL's; empty on a server whose `performance_schema` is off.
const WAITS_MYSQL: &str = "SELECT r.trx_mysql_thread_id, r.trx_id, b.trx_mysql_thread_id, b.trx_id \
     FROM performance_schema.data_lock_waits w \
     JOIN information_schema.INNODB_TRX r ON r.trx_id = w.REQUESTING_ENGINE_TRANSACTION_ID \
     JOIN information_schema.INNODB_TRX b ON b.trx_id = w.BLOCKING_ENGINE_TRANSACTION_ID";

/// Runs until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, stop: Shutdown) {
    let mut watch = Watch {
        shared: shared.clone(),
        detector: Detector::default(),
        told: BTreeSet::new(),
        deadlocks: counter!("shardline_proxy_cross_shard_deadlocks_total"),
    };
    let step = async {
        loop {
            if watch.told.is_empty() {
                shared.registry.any_spread().await;
            }
            tokio::time::sleep(PERIOD).await;
            watch.look().await;
        }
    };
    let _: Option<()> = stop.or(step).await;
}

struct Watch {
    shared: Arc<Shared>,
    detector: Detector,
    /// Own transactions that are on the board.
    told: BTreeSet<u64>,
    deadlocks: Counter,
}

impl Watch {
    async fn look(&mut self) {
        let Some(incarnation) = self.shared.distributed.ledgers.incarnation() else { return };
        let own = self.own();
        let shared = self.shared.clone();
        let control = &*shared.distributed.control;
        // A catalog without shards has no transactions either.
        let Some(shard) = shared.meta.catalog().shards.keys().next().copied() else { return };
        let board = Board { control, shard, incarnation };
        if own.is_empty() {
            self.detector.forget();
            if !self.told.is_empty() {
                let withdrawn = board.withdraw(&mut self.told);
                let withdrawn = tokio::time::timeout(ANSWER_LIMIT, withdrawn).await;
                if !matches!(withdrawn, Ok(Ok(()))) {
                    // It is not renewed, so it counts no more.
                    self.told.clear();
                }
            }
            return;
        }
        let exchange = board.exchange(&own, &mut self.told);
        let entries = match tokio::time::timeout(ANSWER_LIMIT, exchange).await {
            Ok(Ok(entries)) => entries,
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot tell other proxies of lock waits");
                only(&own, incarnation)
            }
            Err(_) => only(&own, incarnation),
        };
        for victim in entries.victims.iter().filter(|one| one.name.incarnation == incarnation) {
            self.end(*victim);
        }
        // One asks the servers, so that their views are not kept from being renewed.
        let first = entries.waiting.iter().map(|one| one.name.incarnation).min();
        if first != Some(incarnation) || entries.waiting.len() < 2 {
            self.detector.forget();
            return;
        }
        let edges = edges(control, &shards_to_ask(&entries.waiting)).await;
        for victim in self.detector.look(&entries.waiting, &edges) {
            if victim.name.incarnation == incarnation {
                self.end(victim);
            } else if let Err(error) = board.choose(victim).await {
                tracing::debug!(%error, "cannot have another proxy end a deadlock");
            }
        }
    }

    /// The proxy's own transactions that wait for long, with the numbers of their waits.
    fn own(&self) -> Vec<(SpreadView, u64)> {
        let mut own: Vec<_> = self
            .shared
            .registry
            .spread()
            .into_iter()
            .filter(|view| view.phase == Phase::Open && view.places.len() > 1)
            .filter_map(|view| {
                let wait = view.wait.filter(|wait| wait.elapsed >= WAITED)?;
                Some((view, wait.number))
            })
            .collect();
        // Waits are numbered by when they began.
        own.sort_by_key(|(_, wait)| *wait);
        own.truncate(OWN_MAX);
        own
    }

    fn end(&self, victim: Victim) {
        let Victim { name: Name { number, .. }, wait } = victim;
        if self.shared.registry.break_deadlock(number, wait) {
            self.deadlocks.increment(1);
            tracing::info!(transaction = number, "ended by a deadlock over several shards");
        }
    }
}

/// What is known without the board.
fn only(own: &[(SpreadView, u64)], incarnation: Incarnation) -> Entries {
    let waiting = own.iter().map(|(view, wait)| Waiting {
        name: Name { incarnation, number: view.number },
        wait: *wait,
        begun_us: -i64::try_from(view.age.as_micros()).unwrap_or(i64::MAX),
        places: view.places.clone(),
    });
    Entries { waiting: waiting.collect(), victims: Vec::new() }
}

/// The lock waits on these shards, as far as they answer.
async fn edges(control: &Control, shards: &BTreeSet<ShardId>) -> Vec<Edge> {
    let asked = shards.iter().map(|shard| async move {
        match tokio::time::timeout(ANSWER_LIMIT, edges_on(control, *shard)).await {
            Ok(Ok(edges)) => edges,
            Ok(Err(error)) => {
                tracing::debug!(%shard, %error, "cannot see who waits for locks");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

async fn edges_on(control: &Control, shard: ShardId) -> Result<Vec<Edge>, ControlError> {
    let mut connection = control.connection(shard).await?;
    let mariadb = connection.server_version().contains("MariaDB");
    let view = if mariadb { WAITS_MARIADB } else { WAITS_MYSQL };
    let read = connection.query(&format!("{view} LIMIT {EDGES_MAX}")).await;
    connection.release();
    Ok(read_edges(shard, &read?))
}

fn read_edges(shard: ShardId, result: &TextResult) -> Vec<Edge> {
    let local = |row: &[Option<bytes::Bytes>], at: usize| {
        let value = |at: usize| number(row.get(at)?.as_ref()?);
        let thread = u32::try_from(value(at)?).ok().filter(|thread| *thread > 0)?;
        Some(Local { thread, transaction: value(at + 1)? })
    };
    let edge = |row: &Vec<_>| Some(Edge { shard, waiter: local(row, 0)?, blocker: local(row, 2)? });
    result.rows.iter().filter_map(edge).collect()
}
