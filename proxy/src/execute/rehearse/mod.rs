//! `Rehearse` plans: writes that no shard can do by itself. The rows that they need are locked on
//! their shards and brought to temporary tables of one server, as those of a `Compute` plan are;
//! the statement runs there as it is written; what it has made of the rows is then written on the
//! shards, by primary key, in the same transaction. What the client is told is what the server
//! has said.

mod batch;
mod ids;
mod outcome;

use super::{
    compute::{answer, scratch::Scratch},
    single::{Attempt, Forwarded, SingleRun},
    write::{SAVEPOINT, Undone},
};
use crate::{
    backend::TextLimits,
    error::SqlError,
    session::{
        Session,
        failure::{BackendFailure, Failure, server_error},
        transaction::{Access, Chain, Verb, rollback_to_sql},
        written::Note,
    },
    state::{SessionState, SqlLiteral},
};
use bytes::Bytes;
use shardline_model::{catalog::Catalog, id::ShardId};
use shardline_router::plan::{InsertId, Rehearsal};
use shardline_wire::{Capabilities, relay::EndKind};
use std::{collections::BTreeSet, sync::Arc};

/// What the server said to the statement.
struct Rehearsed {
    forwarded: Forwarded,
    capabilities: Capabilities,
    insert_id: InsertId,
}

/// The shards that were written by one statement.
struct Applying<'a> {
    plan: &'a Rehearsal,
    note: &'a Note,
    /// The transaction is the statement's own.
    own: bool,
    written: BTreeSet<ShardId>,
}

impl Applying<'_> {
    /// How a part on a shard is undone.
    fn undone(&self, shard: ShardId) -> Undone {
        if self.own {
            Undone::Rollback
        } else if self.written.contains(&shard) {
            Undone::LastSavepoint
        } else {
            Undone::Savepoint
        }
    }
}

impl Session {
    /// Does the write on copies and then on the shards. The catalog is given up before the
    /// commit, which takes a newer one.
    pub(crate) async fn run_rehearsal(
        &mut self,
        plan: &Rehearsal,
        run: SingleRun<'_>,
        shards: Vec<ShardId>,
        note: &Note,
        catalog: Arc<Catalog>,
    ) -> Result<(), Failure> {
        let own = !self.transaction.is_transactional();
        if own {
            self.transaction.begin_statement();
        }
        let applying = Applying { plan, note, own, written: BTreeSet::new() };
        let rehearsed = self.rehearse(applying, &run, shards).await;
        drop(catalog);
        let rehearsed = if own {
            let verb = if rehearsed.is_ok() { Verb::Commit } else { Verb::Rollback };
            let finish = self.transaction.finish(verb, Chain::No);
            let finished = self.finish(finish).await;
            // What went wrong first is what the client is told.
            let rehearsed = rehearsed?;
            finished?;
            rehearsed
        } else {
            rehearsed?
        };
        self.tell_rehearsed(&run, rehearsed).await
    }

    async fn rehearse(
        &mut self,
        mut applying: Applying<'_>,
        run: &SingleRun<'_>,
        shards: Vec<ShardId>,
    ) -> Result<Rehearsed, Failure> {
        let plan = applying.plan;
        let shared = self.shared.clone();
        let _turn = self.turn_to_compute(&shared).await?;
        for fetch in plan.compute.fetches.iter().filter(|fetch| fetch.locked) {
            for part in &fetch.parts {
                self.written.note(part.shard, applying.note)?;
            }
        }
        let mut scratch = self.open_scratch(&plan.compute, shards).await?;
        let rehearsed = self.rehearse_on(&mut scratch, plan, run).await;
        let applied = match rehearsed {
            Ok(rehearsed) => {
                self.apply_outcomes(&mut applying, &mut scratch).await.map(|()| rehearsed)
            }
            Err(failure) => Err(failure),
        };
        match &applied {
            // The connection is taken to have what the session has, and it has not all of it.
            Ok(_) if run.traits.assigns_variables => scratch.give_up(),
            Ok(_) => match scratch.run("ROLLBACK").await {
                Ok(()) => scratch.clear().await,
                Err(_) => scratch.give_up(),
            },
            // Closing the connection takes its tables away, and stops what it still does.
            Err(_) => {
                scratch.give_up();
                self.undo_applied(&applying).await;
            }
        }
        applied
    }

    /// Brings the rows, and runs the statement.
    async fn rehearse_on(
        &mut self,
        scratch: &mut Scratch,
        plan: &Rehearsal,
        run: &SingleRun<'_>,
    ) -> Result<Rehearsed, Failure> {
        for fetch in &plan.compute.fetches {
            scratch.make_table(fetch).await?;
        }
        for fetch in &plan.compute.fetches {
            self.fill(fetch, scratch).await?;
        }
        self.finish_filling(scratch).await?;
        for (number, outcome) in plan.outcomes.iter().enumerate() {
            if outcome.keep.is_empty() {
                continue;
            }
            let name = format!(
                "`{}`.`_shardline_before_{number}`",
                outcome.table.database.replace('`', "``")
            );
            scratch.keep(name, &outcome.keep).await?;
        }
        let numbered = self.number_rows(scratch, plan, run).await?;
        let run = SingleRun { shard: scratch.shard(), held: true, ..*run };
        let forwarded = self.forward_rehearsed(scratch, &run).await?;
        let capabilities = scratch.connection.capabilities();
        if forwarded.end.warnings > 0 {
            self.fetch_warnings(&mut scratch.connection, forwarded.end.warnings).await;
        }
        if run.traits.assigns_variables {
            self.read_back_variables(&mut scratch.connection, run.outgoing.sql()).await?;
        }
        scratch.prepare_to_fill(&plan.compute, &self.state).await?;
        let insert_id = self.check_ids(scratch, plan, numbered, &forwarded.end).await?;
        Ok(Rehearsed { forwarded, capabilities, insert_id })
    }

    /// What the statement runs under: what the session has set, and plain numbering of rows.
    fn rehearsing_state(&self) -> Result<SessionState, Failure> {
        let mut state = self.state_alone();
        for name in ["auto_increment_increment", "auto_increment_offset"] {
            let set = state.set_variable(name, SqlLiteral::integer(1));
            set.map_err(|error| SqlError::internal(error.to_string()))?;
        }
        Ok(state)
    }

    /// Runs the statement where only temporary tables can be written, and forwards all of its
    /// answer but the end.
    async fn forward_rehearsed(
        &mut self,
        scratch: &mut Scratch,
        run: &SingleRun<'_>,
    ) -> Result<Forwarded, Failure> {
        scratch.run("START TRANSACTION READ ONLY").await?;
        let state = self.rehearsing_state()?;
        let sent = answer::send(scratch, &state, run).await;
        sent.map_err(|failure| scratch.failure(failure))?;
        let forwarded = match self.forward_answer(&mut scratch.connection, run).await {
            Attempt::Answered(forwarded) => forwarded,
            Attempt::Told(error) => return Err(error.into()),
            Attempt::Lost(reason, sent) => {
                let failure = scratch.failure(BackendFailure::Lost(reason));
                return Err(super::single::broken_off(sent, failure));
            }
            Attempt::Client(lost) => return Err(lost.into()),
        };
        match (&forwarded.error, forwarded.end.kind) {
            (Some(error), _) => Err(server_error(error).into()),
            (None, EndKind::Err) => Err(SqlError::internal("an error without its text").into()),
            (None, EndKind::Ok | EndKind::RowsEnd) => Ok(forwarded),
        }
    }

    async fn tell_rehearsed(
        &mut self,
        run: &SingleRun<'_>,
        rehearsed: Rehearsed,
    ) -> Result<(), Failure> {
        let Rehearsed { forwarded, capabilities, insert_id } = rehearsed;
        let Forwarded { end, held, .. } = forwarded;
        if let Some(payload) = held {
            self.queue_end(capabilities, run, &end, &payload)?;
        }
        self.client.flush(&self.registration.kill).await?;
        self.note_result(insert_id, &end);
        Ok(())
    }

    /// Undoes what a statement has written before it failed, inside the client's transaction.
    async fn undo_applied(&mut self, applying: &Applying<'_>) {
        if applying.own {
            return;
        }
        for shard in applying.written.iter().copied() {
            if !self.transaction.is_branch(shard) {
                continue;
            }
            let Ok(mut connection) = self.connection(shard).await else { continue };
            match connection.query_ok(&rollback_to_sql(SAVEPOINT)).await {
                Ok(_) => self.hold_or_release(connection),
                Err(error) => {
                    connection.poison();
                    // The transaction is rolled back with it.
                    let _ = self.lost(shard, Access::WRITE, error).await;
                }
            }
        }
    }

    /// Asks a shard something inside the transaction.
    async fn ask_branch(
        &mut self,
        shard: ShardId,
        sql: &[u8],
    ) -> Result<Vec<Vec<Option<Bytes>>>, Failure> {
        let mut connection = self.connection(shard).await?;
        let asked = async {
            let entry = self.queue_entry(&mut connection, Access::READ).await?;
            connection.flush().await?;
            self.read_entry(&mut connection, entry).await?;
            Ok::<_, BackendFailure>(connection.query_rows(sql, TextLimits::default()).await?)
        };
        match asked.await {
            Ok(result) => {
                self.leave(connection, Access::READ, false).await?;
                Ok(result.rows)
            }
            Err(BackendFailure::Told(error)) => {
                let left = self.leave(connection, Access::READ, true).await;
                Err(left.err().unwrap_or_else(|| error.into()))
            }
            Err(lost) => {
                connection.poison();
                drop(connection);
                Err(self.lost(shard, Access::READ, lost).await)
            }
        }
    }
}
