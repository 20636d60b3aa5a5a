//! Statements whose rows are brought to one server.

use super::{
    Session,
    failure::Failure,
    query::{Statement, single_run},
    written::Note,
};
use crate::{
    backend::{BackendConnection, BackendError, TextLimits},
    error::SqlError,
};
use shardline_model::{catalog::Catalog, id::ShardId};
use shardline_router::plan::{Compute, Rehearsal};
use std::sync::Arc;

/// With it FOUND_ROWS() says how many rows there are without LIMIT.
const COUNTS_FOUND_ROWS: &[u8] = b"SQL_CALC_FOUND_ROWS";

impl Session {
    /// Keeps what FOUND_ROWS() says where it may be another number than that of the rows.
    pub(super) async fn read_back_found_rows(
        &mut self,
        connection: &mut BackendConnection,
        sql: &[u8],
    ) -> Result<(), BackendError> {
        let mut words = sql.windows(COUNTS_FOUND_ROWS.len());
        if !words.any(|word| word.eq_ignore_ascii_case(COUNTS_FOUND_ROWS)) {
            return Ok(());
        }
        let found = connection.query_rows(b"SELECT FOUND_ROWS()", TextLimits::default()).await?;
        let value = found.rows.into_iter().next().and_then(|mut row| row.pop().flatten());
        if let Some(found) =
            value.and_then(|text| std::str::from_utf8(&text).ok()?.parse::<u64>().ok())
        {
            self.values.found_rows = found;
        }
        Ok(())
    }

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

    /// Runs a write that is done there first.
    pub(super) async fn rehearsed(
        &mut self,
        plan: &Rehearsal,
        statement: &Statement<'_>,
        note: Option<Note>,
        catalog: Arc<Catalog>,
    ) -> Result<(), Failure> {
        let shards: Vec<ShardId> =
            catalog.shards.keys().copied().filter(|shard| !catalog.is_joining(*shard)).collect();
        let anywhere = shards.first().copied().ok_or_else(SqlError::no_shards)?;
        let run = single_run(&plan.compute.statement, anywhere, statement);
        let note = note.unwrap_or_default();
        Box::pin(self.run_rehearsal(plan, run, shards, &note, catalog)).await
    }
}
