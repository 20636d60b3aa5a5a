//! `Compute` plans: one server gets the rows that a statement may need, in temporary tables under
//! the tables' own names, and runs it as it is written. Nobody else sees these tables, they die
//! with the connection, and no binlog knows of them.
//!
//! Which server: that of a shard. It already has every table's definition, the rows of broadcast
//! tables and of the single tables at home there, which need no copy outside a transaction.

pub(super) mod answer;
mod definition;
mod fill;
pub(super) mod literal;
pub(super) mod scratch;

use self::scratch::Scratch;
use super::single::SingleRun;
use crate::{
    error::SqlError,
    session::{Session, failure::Failure, shared::Shared},
};
use shardline_model::id::ShardId;
use shardline_router::plan::{Compute, Fetch, Whole};
use tokio::sync::SemaphorePermit;

impl Session {
    /// Brings the rows together and forwards the server's answer. `run` has the statement; its
    /// shard is chosen here, of these.
    pub(crate) async fn run_compute(
        &mut self,
        plan: &Compute,
        run: SingleRun<'_>,
        shards: Vec<ShardId>,
    ) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let _turn = self.turn_to_compute(&shared).await?;
        let mut scratch = self.open_scratch(plan, shards).await?;
        let filled = self.fill_all(plan, &mut scratch).await;
        if !self.transaction.is_transactional() {
            // Every shard has answered: its rows are those of now, wherever they go.
            self.in_use = None;
        }
        let answered = match filled {
            Ok(()) => {
                let run = SingleRun { shard: scratch.shard(), held: true, ..run };
                self.answer_from(&mut scratch, run).await
            }
            Err(failure) => Err(failure),
        };
        match answered {
            Ok(()) | Err(Failure::Answered) => scratch.clear().await,
            // Closing the connection takes its tables away, and stops what it still does.
            Err(_) => scratch.give_up(),
        }
        answered
    }

    /// Waits until it is one of the statements that may bring their rows to one server.
    pub(super) async fn turn_to_compute<'s>(
        &mut self,
        shared: &'s Shared,
    ) -> Result<SemaphorePermit<'s>, Failure> {
        let patience = shared.config.limits.checkout_timeout;
        let turn = tokio::time::timeout(patience, shared.computing.acquire());
        match self.watched(turn).await? {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(SqlError::shard_busy(
                "(any)",
                "as many statements as may bring their rows to one server",
            )
            .into()),
        }
    }

    /// A connection for a statement's tables, to the first server that can be reached.
    pub(super) async fn open_scratch(
        &mut self,
        plan: &Compute,
        mut shards: Vec<ShardId>,
    ) -> Result<Scratch, Failure> {
        if !shards.is_empty() {
            let first = self.registration.id as usize % shards.len();
            shards.rotate_left(first);
        }
        if let Some(home) = plan.home {
            shards.sort_by_key(|shard| *shard != home);
        }
        let mut unreachable = SqlError::no_shards();
        for shard in shards {
            match self.connection_aside(shard).await {
                Ok(connection) => {
                    let limits = &self.shared.config.limits;
                    let mut scratch = Scratch::new(connection, limits);
                    scratch.prepare_to_fill(plan, &self.state).await?;
                    return Ok(scratch);
                }
                Err(Failure::Sql(error)) if error.is_unreachable_shard() => unreachable = error,
                Err(failure) => return Err(failure),
            }
        }
        Err(unreachable.into())
    }

    async fn fill_all(&mut self, plan: &Compute, scratch: &mut Scratch) -> Result<(), Failure> {
        let transactional = self.transaction.is_transactional();
        let shard = scratch.shard();
        // What the open transaction has changed is not seen from another connection.
        let is_there = |fetch: &&Fetch| match fetch.whole {
            Whole::Nowhere => false,
            Whole::On(home) => home == shard && !transactional,
            Whole::Everywhere => !transactional,
        };
        for fetch in plan.fetches.iter().filter(|fetch| !is_there(fetch)) {
            scratch.make_table(fetch).await?;
        }
        for fetch in plan.fetches.iter().filter(|fetch| !is_there(fetch)) {
            self.fill(fetch, scratch).await?;
        }
        self.finish_filling(scratch).await
    }
}
