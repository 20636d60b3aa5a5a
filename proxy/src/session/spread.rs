//! A session's transaction that comes to be on several shards: from its second one on it is shown to
//! others, and its statements wait for row locks for a short time only, since no server sees a
//! deadlock that goes over another. A transaction on one shard costs a counter.

use super::{
    Session,
    failure::Failure,
    transaction::{Chain, Verb},
};
use crate::{
    error::{SqlError, number},
    registry::{Place, Places},
    state::LockWaits,
};
use shardline_model::id::ShardId;
use std::time::Instant;

/// What a session knows of its open transaction beside its state.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    /// The backend connections that it is on, as far as several matter.
    places: Places,
    begun: Option<Instant>,
    statements: u32,
    /// Whether others see it.
    shown: bool,
}

impl Spread {
    fn enter(&mut self, place: Place) {
        if !self.places.contains(&place) {
            self.places.retain(|other| other.shard != place.shard);
            self.places.push(place);
        }
    }
}

impl Session {
    /// A statement that came at `now` is about to run on shards.
    pub(super) fn count_statement(&mut self, now: Instant) {
        if !self.transaction.is_open() {
            (self.spread.begun, self.spread.statements) = (Some(now), 0);
        }
        self.spread.begun.get_or_insert(now);
        self.spread.statements = self.spread.statements.saturating_add(1);
        if self.spread.shown {
            self.registration.spread_statements(self.spread.statements);
        }
    }

    /// A statement is about to be sent on this connection, which is not among those held now.
    pub(super) fn enter(&mut self, shard: ShardId, thread: u32) {
        if !self.transaction.is_transactional() {
            return;
        }
        let place = Place { shard, thread };
        if self.spread.places.contains(&place) && self.spread.shown {
            return;
        }
        for held in self.branches.places() {
            if self.transaction.is_branch(held.shard) {
                self.spread.enter(held);
            }
        }
        self.spread.enter(place);
        if self.spread.places.len() < 2 {
            return;
        }
        if !self.transaction.is_read_only() {
            self.state.set_lock_waits(LockWaits::Short);
        }
        self.spread.shown = true;
        let begun = self.spread.begun.unwrap_or_else(Instant::now);
        let places = self.spread.places.clone();
        self.registration.spread(places, begun, self.spread.statements.max(1));
    }

    /// The transaction is not on this shard after all.
    pub(super) fn left(&mut self, shard: ShardId) {
        if self.spread.places.iter().any(|place| place.shard == shard) {
            self.spread.places.retain(|place| place.shard != shard);
            if self.spread.shown {
                let begun = self.spread.begun.unwrap_or_else(Instant::now);
                let places = self.spread.places.clone();
                self.registration.spread(places, begun, self.spread.statements);
            }
        }
    }

    /// The transaction's end begins: no lock is waited for any more that a deadlock could be about.
    pub(super) fn ends(&mut self, verb: Verb) {
        match verb {
            Verb::Commit if self.spread.shown => self.registration.spread_prepares(None),
            Verb::Commit | Verb::Rollback => {}
        }
    }

    /// The transaction is over.
    pub(super) fn ended(&mut self) {
        if self.spread.shown {
            self.registration.spread_ends();
        }
        if self.spread.begun.is_some() || !self.spread.places.is_empty() {
            self.spread = Spread::default();
        }
        self.state.set_lock_waits(LockWaits::AsSet);
    }

    /// What the client is told of a statement that was ended because of a deadlock: its whole
    /// transaction is rolled back. A statement that failed for another reason stands as it is.
    pub(super) async fn deadlocked(&mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        match outcome {
            Err(Failure::Sql(error)) if error.number == number::QUERY_INTERRUPTED => {
                let finish = self.transaction.finish(Verb::Rollback, Chain::No);
                // A branch that does not answer is closed, which rolls back too.
                let _ = self.finish(finish).await;
                Err(SqlError::deadlock().into())
            }
            outcome => outcome,
        }
    }
}
