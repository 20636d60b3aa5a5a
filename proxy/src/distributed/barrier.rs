//! Barriers of this proxy: who wants to open snapshots behind one asks for a turn, and all who came
//! before it was asked for share it. What comes next is said by [`crate::txn::barrier`].

use super::{
    Distributed,
    guard::Leases,
    hold::{HeldTooLong, barrier},
};
use crate::{
    fault,
    txn::{
        barrier::{CLOSE_WITHIN, Next, OPEN_WITHIN, OWN_REST, Observation, REST, counts, next},
        rules::Rules,
    },
};
use parking_lot::Mutex;
use shardline_meta_client::{ProposeError, RejectionKind};
use shardline_model::{
    change::Change,
    id::{Epoch, ShardId},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};

/// Who may wait for a turn at once in this proxy.
const QUEUE_MAX: usize = 4_096;
/// Who may share one barrier: their snapshots are opened while it stands.
const SHARED_MAX: usize = 64;
/// Between two questions whether all proxies follow.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// How long a turn is waited for.
pub(crate) const TURN_PATIENCE: Duration = Duration::from_secs(3);

/// Why a barrier was of no use: for people, and what may be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoBarrier {
    /// Too many wait for one already.
    Full,
    /// Something is waited for in vain.
    Hindered(String),
}

/// Those who wait, and whether somebody works for them.
#[derive(Debug, Default)]
pub(crate) struct Barriers(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<oneshot::Sender<Turn>>,
    served: bool,
    /// What keeps the first of them waiting.
    hindrance: String,
    /// When a barrier was last ended since not all followed it.
    in_vain: Epoch,
}

/// A barrier stands and holds up the commits of all proxies, or did so a moment ago.
#[derive(Debug)]
pub(crate) struct Turn {
    /// When it may be ended at the latest.
    pub(crate) until: Instant,
    window: Arc<Window>,
    busy: mpsc::Sender<()>,
    verdict: watch::Receiver<Option<bool>>,
}

/// Whether what is opened now still counts.
#[derive(Debug, Default)]
struct Window {
    ending: Mutex<bool>,
}

impl Turn {
    /// All that was to be opened is open: whether the barrier was there all the time. Cancel-safe.
    pub(crate) async fn opened(self) -> bool {
        let Turn { window, busy, mut verdict, .. } = self;
        let in_time = !*window.ending.lock();
        // The last one lets it be ended.
        drop(busy);
        let ended = match verdict.wait_for(Option::is_some).await {
            Ok(ended) => *ended == Some(true),
            // The proxy stops.
            Err(_) => false,
        };
        counts(in_time, ended, Rules::default())
    }
}

impl Distributed {
    /// A turn behind a barrier that was asked for after this was called. The caller must hold no
    /// catalog for long, and have at hand what it opens snapshots with: commits of all proxies
    /// wait meanwhile. Cancel-safe; dropping the turn gives it up.
    pub(crate) async fn barrier_turn(self: &Arc<Self>) -> Result<Turn, NoBarrier> {
        let (sender, turn) = oneshot::channel();
        {
            let mut queue = self.barriers.0.lock();
            queue.waiting.retain(|waiting| !waiting.is_closed());
            if queue.waiting.len() >= QUEUE_MAX {
                return Err(NoBarrier::Full);
            }
            queue.waiting.push_back(sender);
            if !queue.served {
                queue.served = true;
                let distributed = self.clone();
                self.background.spawn(async move { distributed.serve_turns().await });
            }
        }
        match tokio::time::timeout(TURN_PATIENCE, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(NoBarrier::Hindered("this proxy is shutting down".to_owned())),
            Err(_) => Err(NoBarrier::Hindered(self.barriers.0.lock().hindrance.clone())),
        }
    }

    /// One barrier after the other, until nobody waits for one.
    async fn serve_turns(self: Arc<Self>) {
        loop {
            {
                let mut queue = self.barriers.0.lock();
                queue.waiting.retain(|waiting| !waiting.is_closed());
                if queue.waiting.is_empty() {
                    queue.served = false;
                    return;
                }
            }
            if self.stop.or(self.serve_turn()).await.is_none() {
                // Those who wait are told by the loss of their senders.
                self.barriers.0.lock().waiting.clear();
                return;
            }
        }
    }

    /// One barrier for all who wait for it before it is asked for.
    async fn serve_turn(&self) {
        let Some((since, turns)) = self.raise_barrier().await else {
            tokio::time::sleep(PAUSE_MIN).await;
            return;
        };
        // Faults here are crashes and pauses.
        let _ = fault::point("barrier.after_raise", ShardId(0)).await;
        let closed = tokio::time::timeout(CLOSE_WITHIN, self.closed(since)).await;
        if !matches!(closed, Ok(true)) {
            // Their turn is still to come.
            self.put_back(turns);
            self.end_barrier(since).await;
            self.barriers.0.lock().in_vain = self.meta.catalog().epoch;
            return;
        }
        let until = Instant::now() + OPEN_WITHIN;
        let window = Arc::new(Window::default());
        let (busy, mut idle) = mpsc::channel(1);
        let (tell, verdict) = watch::channel(None);
        for waiting in turns {
            let (window, busy, verdict) = (window.clone(), busy.clone(), verdict.clone());
            // Who went away meanwhile drops it.
            let _ = waiting.send(Turn { until, window, busy, verdict });
        }
        drop(busy);
        // Nobody sends: it ends when all have dropped theirs.
        let _ = tokio::time::timeout_at(until.into(), idle.recv()).await;
        *window.ending.lock() = true;
        let _ = fault::point("barrier.before_end", ShardId(0)).await;
        tell.send_replace(Some(self.end_barrier(since).await));
        tokio::time::sleep(OWN_REST).await;
    }

    /// Waits until none stands and all proxies follow the catalog, then asks for one: its epoch,
    /// and who shares it. None: look again.
    async fn raise_barrier(&self) -> Option<(Epoch, Vec<oneshot::Sender<Turn>>)> {
        let stood = self.meta.catalog().barrier.is_some();
        match self.wait_while(barrier).await {
            Ok(()) if stood => tokio::time::sleep(REST).await,
            Ok(()) => {}
            Err(HeldTooLong::Still | HeldTooLong::TooMany) => {
                self.hindered("the barrier of another proxy, which does not end".to_owned());
                return None;
            }
        }
        match self.look_at_barrier(None).await {
            Ok(Next::Raise) => {}
            Ok(Next::Queue) => return None,
            Ok(Next::Wait(_) | Next::Open | Next::Lost) => return None,
            Err(hindrance) => {
                self.hindered(hindrance);
                tokio::time::sleep(PAUSE_MAX).await;
                return None;
            }
        }
        let by = self.ledgers.incarnation()?;
        let turns: Vec<_> = {
            let mut queue = self.barriers.0.lock();
            let count = queue.waiting.len().min(SHARED_MAX);
            queue.waiting.drain(..count).collect()
        };
        match self.meta.propose(Change::RaiseBarrier { by }).await {
            Ok(applied) => Some((applied.epoch, turns)),
            Err(error) => {
                let moved = matches!(&error, ProposeError::Rejected(why)
                    if why.kind == RejectionKind::Moved);
                self.put_back(turns);
                if !moved {
                    self.hindered(error.to_string());
                }
                None
            }
        }
    }

    /// Until every proxy admits commits by the barrier: true; false when it was taken away.
    async fn closed(&self, since: Epoch) -> bool {
        let mut pause = PAUSE_MIN;
        loop {
            match self.look_at_barrier(Some(since)).await {
                Ok(Next::Open) => return true,
                Ok(Next::Lost | Next::Queue | Next::Raise) => return false,
                Ok(Next::Wait(_)) => {}
                Err(hindrance) => self.hindered(hindrance),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One look, and what follows from it; an error says what is waited for.
    async fn look_at_barrier(&self, mine: Option<Epoch>) -> Result<Next, String> {
        // Before the leases; see [`Observation`].
        let catalog = self.meta.catalog();
        let (epoch, standing) = (catalog.epoch, catalog.barrier);
        drop(catalog);
        let in_vain = self.barriers.0.lock().in_vain;
        let needed = mine.unwrap_or(epoch);
        let status = self.meta.cluster_status().await.map_err(|error| error.to_string())?;
        // What is not confirmed may miss a lease that was given since.
        if !status.confirmed || status.epoch < needed {
            return Err("the metadata service has no confirmed leader".to_owned());
        }
        let leases = Leases::admitting(status);
        let seen = Observation {
            in_vain,
            barrier: standing,
            holders: &leases.holders,
            unfenced: leases.unfenced,
        };
        match next(&seen, mine, Rules::default()) {
            Next::Wait(lagging) => Err(leases.name(lagging, mine.unwrap_or(in_vain))),
            step => Ok(step),
        }
    }

    /// Ends it; true when it was there until now.
    async fn end_barrier(&self, since: Epoch) -> bool {
        match self.meta.propose(Change::EndBarrier { since }).await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "a commit barrier was taken away, or cannot be ended");
                self.hindered(format!("the barrier did not stay: {error}"));
                false
            }
        }
    }

    fn put_back(&self, turns: Vec<oneshot::Sender<Turn>>) {
        let mut queue = self.barriers.0.lock();
        turns.into_iter().rev().for_each(|turn| queue.waiting.push_front(turn));
    }

    fn hindered(&self, hindrance: String) {
        self.barriers.0.lock().hindrance = hindrance;
    }
}
