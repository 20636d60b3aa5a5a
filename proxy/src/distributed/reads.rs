//! What anchors say about transactions that a read's snapshot shows.

use super::Distributed;
use crate::txn::{
    outcome::{Decision, ReadVerdict, Standing, read_verdict},
    xid::Xid,
};
use shardline_model::id::ShardId;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long a read waits for decisions, and for its snapshots to be whole.
pub(crate) const READ_PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks: the first pause, and what it grows to.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// Decisions that are read by one query.
const AT_ONCE: usize = 32;

/// A wait with an end, in pauses that grow.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    /// From now on.
    pub(crate) fn new() -> Self {
        Self::until(Instant::now() + READ_PATIENCE)
    }

    /// Until this moment at the latest.
    pub(crate) fn until(until: Instant) -> Self {
        Patience { until, pause: PAUSE_MIN }
    }

    /// Pauses; false when the time is over.
    pub(crate) async fn pause(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}

/// A transaction that a snapshot shows, and its anchor as far as that is shown too.
pub(crate) type Met = (Xid, Option<ShardId>);

impl Distributed {
    /// What a snapshot that shows rows of these transactions is worth now.
    pub(crate) async fn read_verdict(&self, met: &[Met]) -> ReadVerdict {
        let mut asked = Vec::with_capacity(met.len());
        for (xid, anchor) in met {
            match (self.ledgers.decision(*xid), anchor) {
                (Some(Decision::Committed), _) => {}
                (Some(Decision::Aborted), _) | (None, None) => return ReadVerdict::Reopen,
                (None, Some(anchor)) => asked.push((*xid, *anchor)),
            }
        }
        let standings = self.standings(&asked).await;
        let verdicts = standings.into_iter().map(|standing| match standing {
            Some(standing) => read_verdict(standing),
            // It may answer in a moment.
            None => ReadVerdict::Wait,
        });
        // Reopen before Wait: what is undone will not come back.
        verdicts.fold(ReadVerdict::Valid, |all, one| match (all, one) {
            (ReadVerdict::Reopen, _) | (_, ReadVerdict::Reopen) => ReadVerdict::Reopen,
            (ReadVerdict::Wait, _) | (_, ReadVerdict::Wait) => ReadVerdict::Wait,
            (ReadVerdict::Valid, ReadVerdict::Valid) => ReadVerdict::Valid,
        })
    }

    /// Waits for decisions: [`ReadVerdict::Wait`] only when the time is over.
    pub(crate) async fn decided(&self, met: &[Met], patience: &mut Patience) -> ReadVerdict {
        loop {
            match self.read_verdict(met).await {
                ReadVerdict::Wait if patience.pause().await => {}
                verdict => return verdict,
            }
        }
    }

    /// Which of these are committed by now.
    pub(crate) async fn committed(&self, asked: &[(Xid, ShardId)]) -> Vec<Xid> {
        self.that_stand(asked, Standing::Committed).await
    }

    /// Which of these are aborted by now.
    pub(crate) async fn aborted(&self, asked: &[&(Xid, ShardId)]) -> Vec<Xid> {
        let asked: Vec<_> = asked.iter().map(|one| **one).collect();
        self.that_stand(&asked, Standing::Aborted).await
    }

    async fn that_stand(&self, asked: &[(Xid, ShardId)], as_this: Standing) -> Vec<Xid> {
        let standings = self.standings(asked).await.into_iter();
        let these = standings.zip(asked).filter(|(standing, _)| *standing == Some(as_this));
        these.map(|(_, (xid, _))| *xid).collect()
    }

    /// How transactions stand by their anchors, in this order; None where one does not answer.
    async fn standings(&self, asked: &[(Xid, ShardId)]) -> Vec<Option<Standing>> {
        let mut by_anchor: BTreeMap<ShardId, Vec<Xid>> = BTreeMap::new();
        for (xid, anchor) in asked {
            by_anchor.entry(*anchor).or_default().push(*xid);
        }
        let mut found: BTreeMap<Xid, Standing> = BTreeMap::new();
        for (anchor, xids) in by_anchor {
            for some in xids.chunks(AT_ONCE) {
                let standings = self.control.standings(some, anchor).await.unwrap_or_default();
                found.extend(some.iter().copied().zip(standings));
            }
        }
        asked.iter().map(|(xid, _)| found.get(xid).copied()).collect()
    }
}
