//! Drives the ledger of the incarnation: names for commits, and forgetting them in batches. It
//! also remembers the newest committed ones, so that this proxy's own checks need not ask anchors.

use super::control::{Control, ControlError};
use crate::{
    fault,
    txn::{
        forget::{Command, Committed, Event, Ledger},
        outcome::Decision,
        rules::Rules,
        sql::{self, Packet},
        xid::{Incarnation, Xid},
    },
};
use parking_lot::Mutex;
use shardline_base::Shutdown;
use shardline_model::id::ShardId;
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Instant,
};
use tokio::{sync::Notify, task::JoinSet};

/// Committed transactions that are remembered.
const REMEMBERED_MAX: usize = 65_536;

/// The ledger of the present incarnation, and what it wants done.
pub(crate) struct Ledgers {
    control: Arc<Control>,
    state: Mutex<State>,
    remembered: Mutex<Remembered>,
    wanted: Notify,
}

#[derive(Default)]
struct State {
    ledger: Option<(Incarnation, Ledger)>,
    /// Packets to be sent: one flight's at most, so no more than there are shards.
    packets: Vec<(Incarnation, Forget)>,
    /// When the ledger wants to know the time.
    wake: Option<Instant>,
}

/// A packet to be sent, and what its answer is about.
enum Forget {
    Branches(ShardId, Packet),
    Decisions(ShardId, Packet),
}

#[derive(Default)]
struct Remembered {
    known: HashSet<Xid>,
    order: VecDeque<Xid>,
}

impl Ledgers {
    /// No incarnation yet: nothing begins.
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Ledgers {
            control,
            state: Mutex::default(),
            remembered: Mutex::default(),
            wanted: Notify::new(),
        }
    }

    /// Begins a new incarnation, or ends the last. What the old one has not forgotten, scans find.
    pub(crate) fn set_incarnation(&self, incarnation: Option<Incarnation>) {
        let mut state = self.state.lock();
        if state.ledger.as_ref().map(|(current, _)| *current) == incarnation {
            return;
        }
        *state = State {
            ledger: incarnation.map(|new| (new, Ledger::new(new, Rules::default()))),
            ..State::default()
        };
    }

    /// The incarnation, while there is one.
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        self.state.lock().ledger.as_ref().map(|(incarnation, _)| *incarnation)
    }

    /// The name of a commit that begins now; None when there is no incarnation, or too many of
    /// its commits are undecided. Ends with [`Ledgers::committed`] or [`Ledgers::aborted`].
    pub(crate) fn begin(&self) -> Option<Xid> {
        self.state.lock().ledger.as_mut()?.1.begin()
    }

    /// Its `gtx` row says COMMITTED.
    pub(crate) fn committed(&self, committed: Committed) {
        let xid = committed.xid;
        self.remembered.lock().add(xid);
        self.step(xid.incarnation, Event::Committed(committed));
    }

    /// Its `gtx` row says ABORTED, or nothing of it was committed anywhere.
    pub(crate) fn aborted(&self, xid: Xid) {
        self.step(xid.incarnation, Event::Aborted(xid));
    }

    /// How a transaction was decided, if that is known here.
    pub(crate) fn decision(&self, xid: Xid) -> Option<Decision> {
        self.remembered.lock().known.contains(&xid).then_some(Decision::Committed)
    }

    /// How many are undecided, and how many committed ones are to be forgotten.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        self.state.lock().ledger.as_ref().map_or((0, 0), |(_, ledger)| ledger.sizes())
    }

    /// Events of an incarnation that is over concern nobody.
    fn step(&self, incarnation: Incarnation, event: Event) {
        let mut state = self.state.lock();
        let Some((_, ledger)) =
            state.ledger.as_mut().filter(|(current, _)| *current == incarnation)
        else {
            return;
        };
        let mut wanted = false;
        for command in ledger.step(Instant::now(), event) {
            wanted = true;
            let forget = match command {
                Command::ForgetBranches { shard, branches } => {
                    Forget::Branches(shard, sql::forget_branches(&branches))
                }
                Command::ForgetDecisions { anchor, xids, below } => {
                    Forget::Decisions(anchor, sql::forget_decisions(incarnation, &xids, below))
                }
                Command::WakeAt(at) => {
                    // Asked for again with each commit: the earliest is soon enough.
                    wanted = state.wake.is_none_or(|known| at < known);
                    state.wake = Some(state.wake.map_or(at, |known| known.min(at)));
                    continue;
                }
            };
            state.packets.push((incarnation, forget));
        }
        drop(state);
        if wanted {
            self.wanted.notify_one();
        }
    }

    /// Carries out what the ledger wants, until shutdown.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut sent = JoinSet::new();
        loop {
            let (packets, wake) = {
                let mut state = self.state.lock();
                (std::mem::take(&mut state.packets), state.wake)
            };
            for (incarnation, forget) in packets {
                let ledgers = self.clone();
                sent.spawn(async move { ledgers.forget(incarnation, forget).await });
            }
            tokio::select! {
                () = shutdown.triggered() => break,
                () = self.wanted.notified() => {}
                () = sleep_until(wake) => self.time(),
                Some(_) = sent.join_next() => {}
            }
        }
        sent.shutdown().await;
    }

    fn time(&self) {
        let incarnation = {
            let mut state = self.state.lock();
            state.wake = None;
            state.ledger.as_ref().map(|(incarnation, _)| *incarnation)
        };
        if let Some(incarnation) = incarnation {
            self.step(incarnation, Event::Time);
        }
    }

    async fn forget(&self, incarnation: Incarnation, forget: Forget) {
        let (name, shard, packet) = match &forget {
            Forget::Branches(shard, packet) => ("forget.branches", *shard, packet),
            Forget::Decisions(shard, packet) => ("forget.decisions", *shard, packet),
        };
        let done = match self.send(name, shard, packet).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%shard, %error, "cannot forget a batch yet");
                false
            }
        };
        let event = match forget {
            Forget::Branches(shard, _) => Event::Branches(shard, done),
            Forget::Decisions(shard, _) => Event::Decisions(shard, done),
        };
        self.step(incarnation, event);
    }

    async fn send(
        &self,
        name: &'static str,
        shard: ShardId,
        packet: &Packet,
    ) -> Result<(), ControlError> {
        fault::point(name, shard).await?;
        run_whole(&self.control, shard, packet).await
    }
}

/// Runs a packet that is one local transaction, to its end or not at all.
pub(super) async fn run_whole(
    control: &Control,
    shard: ShardId,
    packet: &Packet,
) -> Result<(), ControlError> {
    let mut connection = control.connection(shard).await?;
    let answer = connection.run(packet).await?;
    match answer.failed {
        None => {
            connection.release();
            Ok(())
        }
        // Without ROLLBACK: dropping the connection is that.
        Some((_, error)) => Err(ControlError::Refused(error)),
    }
}

impl Remembered {
    fn add(&mut self, xid: Xid) {
        if !self.known.insert(xid) {
            return;
        }
        self.order.push_back(xid);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_remembered() {
        let mut remembered = Remembered::default();
        let xid = |counter| Xid { incarnation: Incarnation(1), counter };
        for counter in 0..=REMEMBERED_MAX as u64 {
            remembered.add(xid(counter));
            remembered.add(xid(counter));
        }
        assert_eq!(remembered.known.len(), REMEMBERED_MAX);
        assert!(!remembered.known.contains(&xid(0)) && remembered.known.contains(&xid(1)));
    }
}
