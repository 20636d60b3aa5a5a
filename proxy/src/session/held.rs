//! Statements on units that are about to change their owner: they wait until they have, and are
//! planned anew. A transaction that was on the owner before goes on; what the proxy may
//! acknowledge waits for it. See [`crate::holds`].

use super::{
    Session,
    failure::Failure,
    query::Unplanned,
    transaction::{Chain, Verb},
};
use crate::{
    error::SqlError,
    execute::relay::{Interruption, interruption},
    holds::{HELD_STATEMENT_MAX, HOLD_MAX, Seen},
};
use shardline_model::{
    catalog::Catalog,
    id::{Epoch, MoveId, ShardId},
    reshard::Transfer,
};
use shardline_router::{
    plan::{Plan, Single, Target},
    template::{BindInput, Template},
};
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// The shards that a transaction is on, each with an epoch that is not newer than the first
/// statement there.
pub(crate) type Entered = SmallVec<[(ShardId, Epoch); 4]>;

/// What the process list says of a statement that waits.
const STATE: &str = "waiting for cutover";
/// Between two attempts to take a hold back.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

impl Session {
    /// A planned statement is about to run on shards, by a catalog of this epoch that is still
    /// in use. Outside a transaction the catalog alone says what is under way.
    pub(super) fn enter_shards(&mut self, plan: &Plan, epoch: Epoch) {
        let transactional = self.transaction.is_transactional();
        match plan {
            Plan::Single(Single { target: Target::Shard(shard), .. }) if transactional => {
                self.enter_shard(*shard, epoch);
            }
            Plan::Scatter(scatter) if transactional => {
                scatter.parts.iter().for_each(|part| self.enter_shard(part.shard, epoch));
            }
            Plan::Compute(compute) if transactional => {
                compute.shards().into_iter().for_each(|shard| self.enter_shard(shard, epoch));
            }
            // By itself it is a transaction too.
            Plan::Write(write) if transactional || write.parts.len() > 1 => {
                write.parts.iter().for_each(|part| self.enter_shard(part.shard, epoch));
            }
            Plan::Rehearse(rehearsal) => {
                rehearsal.shards().into_iter().for_each(|shard| self.enter_shard(shard, epoch));
            }
            // What runs anywhere is looked at afterwards.
            Plan::Single(_)
            | Plan::Scatter(_)
            | Plan::Compute(_)
            | Plan::Write(_)
            | Plan::Ddl(_)
            | Plan::Session(_)
            | Plan::Refuse(_) => {}
        }
    }

    fn enter_shard(&mut self, shard: ShardId, epoch: Epoch) {
        if self.entered.iter().all(|(entered, _)| *entered != shard) {
            self.entered.push((shard, epoch));
            self.registration.set_branches(&self.entered);
        }
    }

    /// After a command: those shards are left that the transaction is not on.
    pub(super) fn settle_shards(&mut self) {
        if self.entered.is_empty() && !self.transaction.is_open() {
            return;
        }
        let branches = self.transaction.branches();
        let same = branches.len() == self.entered.len()
            && self.entered.iter().all(|(shard, _)| branches.contains(shard));
        if same {
            return;
        }
        self.entered.retain(|(shard, _)| branches.contains(shard));
        // Nothing says how old these are, but whoever acknowledges a later hold sees them here.
        let epoch = self.catalog().epoch;
        for shard in branches {
            if self.entered.iter().all(|(entered, _)| *entered != shard) {
                self.entered.push((shard, epoch));
            }
        }
        self.registration.set_branches(&self.entered);
    }

    /// Whether the transaction has been on an owner since before an epoch.
    fn was_there_before(&self, one: &Transfer, since: Epoch) -> bool {
        let on_owner =
            |(shard, epoch): &(ShardId, Epoch)| one.owners.contains(shard) && *epoch < since;
        self.entered.iter().any(on_owner)
    }

    /// Whether a plan may run now, as far as moves are concerned.
    pub(super) fn check_moves(
        &self,
        template: &Template,
        input: &BindInput<'_>,
        plan: &Plan,
    ) -> Result<(), Unplanned> {
        let found = |id: &MoveId| input.catalog.transfer(*id);
        let waits = template.waits(input, plan);
        let waits: SmallVec<[Seen; 1]> = waits
            .iter()
            .filter_map(found)
            .filter(|one| !self.was_there_before(one, one.since))
            .map(|one| Seen::of(&one))
            .collect();
        if !waits.is_empty() {
            return Err(Unplanned::Held(waits));
        }
        let traits = template.traits();
        if self.entered.is_empty() || traits.writes || traits.locks {
            return Ok(());
        }
        let arrived = template.arrived(input, plan);
        match arrived
            .iter()
            .filter_map(found)
            .any(|one| self.was_there_before(&one, one.owned_since))
        {
            true => Err(Unplanned::SnapshotTooOld),
            false => Ok(()),
        }
    }

    /// Whether [`Session::check_moves`] can say something else than yes.
    pub(super) fn may_meet_moves(&self, template: &Template) -> bool {
        template.may_wait() || (template.may_have_arrived() && !self.entered.is_empty())
    }

    /// The transaction's snapshot of a shard is older than rows that came there since, so that
    /// it would miss them: it is rolled back.
    pub(super) async fn snapshot_too_old(&mut self) -> Failure {
        let finish = self.transaction.finish(Verb::Rollback, Chain::No);
        // A branch that does not answer is closed, which rolls back too.
        let _ = self.finish(finish).await;
        SqlError::snapshot_before_cutover().into()
    }

    /// Waits until none of these holds stands any more. The caller holds no catalog.
    pub(super) async fn wait_for_cutover(
        &mut self,
        holds: &[Seen],
        began: Instant,
    ) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let _place = shared.holds.wait(shared.config.limits.held_statements_max)?;
        let waited_from = Instant::now();
        self.registration.set_state(STATE);
        let waited = self.wait_until_released(holds, began).await;
        self.registration.set_state("");
        shared.metrics.held(waited_from.elapsed());
        waited
    }

    async fn wait_until_released(&mut self, holds: &[Seen], began: Instant) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let mut epochs = shared.meta.subscribe();
        let mut take_back_at = Instant::now() + HOLD_MAX;
        loop {
            epochs.borrow_and_update();
            let catalog: std::sync::Arc<Catalog> = shared.meta.catalog();
            if holds.iter().all(|hold| !hold.stands(&catalog)) {
                return Ok(());
            }
            drop(catalog);
            self.shared.check_lease(Instant::now())?;
            let deadline = began + HELD_STATEMENT_MAX;
            if Instant::now() >= deadline {
                return Err(SqlError::held_too_long(HELD_STATEMENT_MAX).into());
            }
            let progress = async {
                tokio::select! {
                    // The service's end ends the proxy; until then the deadline is looked at.
                    _ = epochs.changed() => {}
                    () = tokio::time::sleep_until(take_back_at.min(deadline).into()) => {
                        shared.holds.take_back(&shared.meta, holds).await;
                        take_back_at = Instant::now() + AGAIN_AFTER;
                    }
                }
            };
            tokio::select! {
                biased;
                _ = tokio::time::timeout_at(deadline.into(), progress) => {}
                event = interruption(&mut self.client, &self.registration.kill, true) => {
                    return Err(match event {
                        Interruption::Query => SqlError::interrupted().into(),
                        Interruption::Lost(lost) => lost.into(),
                    });
                }
            }
        }
    }
}
