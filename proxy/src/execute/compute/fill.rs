//! Filling one table: its rows come from all shards at once and go on in batches, one of which
//! may be on its way while the next is written.

use super::{super::scatter::Sources, scratch::Scratch};
use crate::{
    backend::PooledConnection,
    error::SqlError,
    session::{Session, answer::Protocol, branches::WatchFailure, failure::Failure},
};
use shardline_router::plan::Fetch;
use std::time::Instant;

/// Rows of one shard that are taken before the next shard's turn.
const ROWS_AHEAD: usize = 256;

impl Session {
    /// Brings the rows of one table.
    pub(in crate::execute) async fn fill(
        &mut self,
        fetch: &Fetch,
        scratch: &mut Scratch,
    ) -> Result<(), Failure> {
        if fetch.parts.is_empty() {
            return Ok(());
        }
        let mut sources = self.send_parts(&fetch.parts, Protocol::Text).await?;
        let brought = self.bring(fetch, scratch, &mut sources).await;
        // What a condition warns of, the statement itself will warn of.
        sources.forget_warnings();
        let closed = self.close_sources(sources, brought.is_ok()).await;
        brought?;
        closed
    }

    async fn bring(
        &mut self,
        fetch: &Fetch,
        scratch: &mut Scratch,
        sources: &mut Sources,
    ) -> Result<(), Failure> {
        for index in 0..sources.len() {
            let columns = self.read_head(sources, index).await?;
            if columns.len() != fetch.columns.len() {
                return Err(SqlError::internal("a shard sent other columns than asked for").into());
            }
        }
        while sources.any_left() {
            let mut came = false;
            for index in 0..sources.len() {
                for _ in 0..ROWS_AHEAD {
                    let Some(payload) = self.try_packet(sources, index).await? else { break };
                    came = true;
                    let Some(row) = self.row_or_end(sources, index, payload).await? else { break };
                    if scratch.push(fetch, &row)? {
                        self.ship(scratch).await?;
                    }
                }
            }
            if !came && sources.any_left() {
                self.wait_until(scratch.deadline, sources).await?;
            }
        }
        // The next table's rows are another INSERT.
        if scratch.has_batch() { self.ship(scratch).await } else { Ok(()) }
    }

    async fn wait_until(
        &mut self,
        deadline: Instant,
        sources: &mut Sources,
    ) -> Result<(), Failure> {
        let all = 0..sources.len();
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, self.wait_for_parts(sources, all)).await {
            Ok(waited) => waited,
            Err(_) => Err(too_slow()),
        }
    }

    /// Sends the batch behind the one before.
    async fn ship(&mut self, scratch: &mut Scratch) -> Result<(), Failure> {
        self.finish_filling(scratch).await?;
        if scratch.deadline <= Instant::now() {
            return Err(too_slow());
        }
        scratch.send_batch().await
    }

    /// Waits until the last batch is stored.
    pub(in crate::execute) async fn finish_filling(
        &mut self,
        scratch: &mut Scratch,
    ) -> Result<(), Failure> {
        if !std::mem::take(&mut scratch.is_inserting) {
            return Ok(());
        }
        let connection: &mut PooledConnection = &mut scratch.connection;
        match self.read_ok_watched(connection).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(WatchFailure::Backend(failure)) => Err(scratch.failure(failure)),
            Err(WatchFailure::Client(lost)) => Err(lost.into()),
        }
    }
}

fn too_slow() -> Failure {
    SqlError::result_too_large(
        "bringing the statement's rows to one server takes too long; narrow it by WHERE, or raise \
         limits.compute_timeout_ms"
            .into(),
    )
    .into()
}
