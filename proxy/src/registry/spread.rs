//! The open transactions that are on two or more shards, as others see them: SHOW TRANSACTIONS,
//! and the search for deadlocks. A session writes here from its second shard on, and never for
//! a transaction on one.

use super::{Activity, Registration, Registry, SessionEntry};
use crate::txn::xid::Xid;
use parking_lot::Mutex;
use shardline_model::id::ShardId;
use smallvec::SmallVec;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// A backend connection: a shard, and the number of the connection on its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The shard.
    pub shard: ShardId,
    /// The server's own number of the connection.
    pub thread: u32,
}

/// Backend connections of one transaction.
pub type Places = SmallVec<[Place; 2]>;

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Statements run in it.
    Open,
    /// Its COMMIT is under way; its name once it has one.
    Preparing(Option<Xid>),
}

/// A running statement of a transaction: what it waits for is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Tells it from the session's other statements; not 0.
    pub number: u64,
    /// For how long.
    pub elapsed: Duration,
}

/// One transaction over several shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpreadView {
    /// The session's connection id.
    pub session: u32,
    /// Its number among those of this process.
    pub number: u64,
    /// How far it is.
    pub phase: Phase,
    /// Where it is.
    pub places: Places,
    /// Since its first statement.
    pub age: Duration,
    /// Statements so far.
    pub statements: u32,
    /// The statement that runs now.
    pub wait: Option<Wait>,
}

/// All such transactions of a proxy.
#[derive(Debug, Default)]
pub(super) struct Spreads {
    by_session: Mutex<BTreeMap<u32, Spread>>,
    last: AtomicU64,
    appeared: Notify,
}

#[derive(Debug)]
struct Spread {
    number: u64,
    phase: Phase,
    places: Places,
    begun: Instant,
    statements: u32,
    session: Arc<SessionEntry>,
}

impl Spreads {
    pub(super) fn remove(&self, session: u32) {
        self.by_session.lock().remove(&session);
    }
}

impl Registration {
    /// The session's transaction is on these connections now.
    pub fn spread(&self, places: Places, begun: Instant, statements: u32) {
        let spreads = &self.registry.spreads;
        let mut by_session = spreads.by_session.lock();
        if let Some(spread) = by_session.get_mut(&self.id) {
            spread.places = places;
            return;
        }
        let number = spreads.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (phase, session) = (Phase::Open, self.entry.clone());
        let spread = Spread { number, phase, places, begun, statements, session };
        by_session.insert(self.id, spread);
        spreads.appeared.notify_one();
    }

    /// So many statements have been begun in it.
    pub fn spread_statements(&self, statements: u32) {
        if let Some(spread) = self.registry.spreads.by_session.lock().get_mut(&self.id) {
            spread.statements = statements;
        }
    }

    /// Its COMMIT is under way.
    pub fn spread_prepares(&self, xid: Option<Xid>) {
        if let Some(spread) = self.registry.spreads.by_session.lock().get_mut(&self.id) {
            spread.phase = Phase::Preparing(xid);
        }
    }

    /// It is over.
    pub fn spread_ends(&self) {
        self.registry.spreads.remove(self.id);
    }
}

impl Registry {
    /// The transactions that are on several shards, by session.
    pub fn spread(&self) -> Vec<SpreadView> {
        let by_session = self.spreads.by_session.lock();
        let view = |(session, spread): (&u32, &Spread)| SpreadView {
            session: *session,
            number: spread.number,
            phase: spread.phase,
            places: spread.places.clone(),
            age: spread.begun.elapsed(),
            statements: spread.statements,
            wait: self.wait_of(&spread.session.activity.lock()),
        };
        by_session.iter().map(view).collect()
    }

    /// Returns when a transaction is on several shards. For one caller at a time.
    pub async fn any_spread(&self) {
        while self.spreads.by_session.lock().is_empty() {
            self.spreads.appeared.notified().await;
        }
    }

    /// Ends a transaction that is in a deadlock, if it still waits as it did: the session rolls it
    /// back and tells its client so. Whether it does.
    pub fn break_deadlock(&self, number: u64, wait: u64) -> bool {
        let by_session = self.spreads.by_session.lock();
        let found = by_session.values().find(|spread| spread.number == number);
        let Some(spread) = found.filter(|spread| spread.phase == Phase::Open) else { return false };
        // The session cannot come to its next statement meanwhile.
        let activity = spread.session.activity.lock();
        let waits = self.wait_of(&activity).is_some_and(|now| now.number == wait);
        if waits {
            spread.session.kill.throw_deadlock();
        }
        waits
    }

    fn wait_of(&self, activity: &Activity) -> Option<Wait> {
        let since = activity.since.saturating_duration_since(self.started).as_micros();
        (activity.command != super::SLEEP).then(|| Wait {
            number: u64::try_from(since).unwrap_or(u64::MAX - 1) + 1,
            elapsed: activity.since.elapsed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Kill;
    use smallvec::smallvec;

    fn places(shards: &[u32]) -> Places {
        shards.iter().map(|shard| Place { shard: ShardId(*shard), thread: 7 }).collect()
    }

    #[test]
    fn a_transaction_is_shown_from_its_second_shard_to_its_end() {
        let registry = Arc::new(Registry::new(3));
        let session = registry.register(1, "a".into()).unwrap();
        assert!(registry.spread().is_empty());
        session.spread(places(&[1, 2]), Instant::now(), 2);
        session.spread(places(&[1, 2, 3]), Instant::now(), 9);
        session.spread_statements(3);
        let shown = registry.spread();
        let [view] = shown.as_slice() else { panic!("{shown:?}") };
        assert_eq!((view.session, view.statements, view.places.len()), (session.id, 3, 3));
        assert_eq!(view.phase, Phase::Open);
        session.spread_prepares(None);
        assert_eq!(registry.spread()[0].phase, Phase::Preparing(None));
        session.spread_ends();
        assert!(registry.spread().is_empty());
        session.spread(smallvec![], Instant::now(), 1);
        drop(session);
        assert!(registry.spread().is_empty(), "a session that is gone has no transaction");
    }

    #[test]
    fn only_the_statement_that_was_seen_waiting_is_broken() {
        let registry = Arc::new(Registry::new(3));
        let session = registry.register(1, "a".into()).unwrap();
        session.idle(Instant::now());
        session.spread(places(&[1, 2]), Instant::now(), 2);
        assert_eq!(registry.spread()[0].wait, None, "an idle session waits for its client");
        session.begin("Query", b"UPDATE t", Instant::now() + Duration::from_secs(1));
        let view = registry.spread().remove(0);
        let wait = view.wait.unwrap().number;
        session.begin("Query", b"UPDATE t", Instant::now() + Duration::from_secs(2));
        assert!(!registry.break_deadlock(view.number, wait), "another statement");
        let wait = registry.spread()[0].wait.unwrap().number;
        session.spread_prepares(None);
        assert!(!registry.break_deadlock(view.number, wait), "COMMIT goes on");
        session.spread_ends();
        session.spread(places(&[1, 2]), Instant::now(), 2);
        assert!(!registry.break_deadlock(view.number, wait), "another transaction");
        let number = registry.spread()[0].number;
        assert!(registry.break_deadlock(number, wait));
        assert_eq!(session.kill.state(), Some(Kill::Query));
        assert!(session.kill.is_deadlock());
        session.kill.rearm();
        assert!(!session.kill.is_deadlock() && session.kill.state().is_none());
    }
}
