//! Commits behind a barrier: those that were not asked for before it came wait until it is over, and so
//! do `strict` reads, which see to barriers of their own or see one shard alone.

use super::{Session, failure::Failure, query::Planned, settings::ReadConsistency, shared::Shared};
use crate::{
    distributed::hold::{HeldTooLong, barrier},
    error::SqlError,
    execute::relay::{Interruption, interruption},
};
use shardline_model::catalog::Catalog;
use shardline_router::plan::Plan;
use std::sync::Arc;
use tokio::sync::MutexGuard;

/// Barriers in a row that a schema change waits for.
const SCHEMA_CHANGE_WAITS_MAX: usize = 16;

impl Session {
    /// Whether a statement that was just planned must wait for the end of a barrier. In a
    /// transaction COMMIT does.
    pub(super) fn is_held(&self, planned: &Planned) -> bool {
        if planned.catalog.barrier.is_none() || self.transaction.is_transactional() {
            return false;
        }
        let strict = self.settings.read_consistency == ReadConsistency::Strict;
        match planned.plan.as_ref().map(|noted| &noted.plan) {
            Ok(Plan::Single(single)) => single.traits.writes || strict,
            Ok(Plan::Write(_) | Plan::Rehearse(_)) => true,
            Err(unplanned) => unplanned.may_write(),
            Ok(
                Plan::Scatter(_)
                | Plan::Compute(_)
                | Plan::Ddl(_)
                | Plan::Session(_)
                | Plan::Refuse(_),
            ) => false,
        }
    }

    /// Waits until no barrier stands. What is begun then was asked for before the next one.
    pub(super) async fn until_admitted(&mut self) -> Result<(), Failure> {
        self.admitted().await?.map_err(|too_long| SqlError::held_up(text(too_long)).into())
    }

    /// The same for a COMMIT: an error means that there must be a rollback.
    pub(super) async fn admit_commit(&mut self) -> Result<(), Failure> {
        if self.catalog().barrier.is_none() {
            return Ok(());
        }
        let admitted = Box::pin(self.admitted()).await?;
        admitted.map_err(|too_long| SqlError::commit_held_up(text(too_long)).into())
    }

    async fn admitted(&mut self) -> Result<Result<(), HeldTooLong>, Failure> {
        let distributed = self.shared.distributed.clone();
        self.watched(distributed.wait_while(barrier)).await
    }

    /// The right to change the schema, which no barrier meets in the middle: until it is given back
    /// this proxy says of none that it follows it.
    pub(super) async fn begin_schema_change<'a>(
        &mut self,
        shared: &'a Shared,
    ) -> Result<(MutexGuard<'a, ()>, Arc<Catalog>), Failure> {
        for _ in 0..SCHEMA_CHANGE_WAITS_MAX {
            let alone = shared.schema_change.lock().await;
            let catalog = self.catalog();
            if catalog.barrier.is_none() {
                return Ok((alone, catalog));
            }
            drop((alone, catalog));
            self.until_admitted().await?;
        }
        Err(SqlError::held_up(text(HeldTooLong::Still)).into())
    }

    /// Waits for something that is not the session's own, unless the statement is killed or the
    /// client goes away.
    pub(crate) async fn watched<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::pin!(wait);
        tokio::select! {
            biased;
            done = &mut wait => Ok(done),
            event = interruption(&mut self.client, &self.registration.kill, true) => {
                Err(match event {
                    Interruption::Query => SqlError::interrupted().into(),
                    Interruption::Lost(lost) => lost.into(),
                })
            }
        }
    }
}

fn text(too_long: HeldTooLong) -> &'static str {
    match too_long {
        HeldTooLong::Still => "a commit barrier that does not end",
        HeldTooLong::TooMany => "a commit barrier, as too many others do",
    }
}
