//! Reads whose rows are brought to one server.

use super::{
    Session,
    failure::Failure,
    query::{Statement, single_run},
    written::Note,
};
use crate::error::SqlError;
use shardline_model::{catalog::Catalog, id::ShardId};
use shardline_router::plan::Compute;
use std::sync::Arc;

impl Session {
    /// Runs one, with what is to be noted of it in a transaction.
    pub(super) async fn computed(
        &mut self,
        plan: &Compute,
        statement: &Statement<'_>,
        note: Option<Note>,
        catalog: Arc<Catalog>,
    ) -> Result<(), Failure> {
        if let Some(note) = note.filter(|_| self.transaction.is_transactional()) {
            for shard in plan.shards() {
                self.written.note(shard, &note)?;
            }
        }
        let shards = catalog.shards.keys().copied().collect();
        self.in_use = Some(catalog);
        let run = Box::pin(self.compute(plan, statement, shards)).await;
        self.in_use = None;
        run
    }

    /// Runs one on the server of one of these shards.
    pub(super) async fn compute(
        &mut self,
        plan: &Compute,
        statement: &Statement<'_>,
        shards: Vec<ShardId>,
    ) -> Result<(), Failure> {
        let anywhere = shards.first().copied().ok_or_else(SqlError::no_shards)?;
        let run = single_run(&plan.statement, plan.home.unwrap_or(anywhere), statement);
        self.run_compute(plan, run, shards).await
    }
}
