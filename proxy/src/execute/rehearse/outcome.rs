//! What a statement has made of the copies is written on the shards: rows that are gone first, so
//! that others may have their keys. Rows are read from the one server while they are written on the
//! others; of each shard one statement's text is kept.

use super::{
    super::compute::scratch::Scratch,
    Applying,
    batch::{Batch, Step},
};
use crate::{
    backend::PooledConnection,
    error::SqlError,
    session::{
        Session,
        failure::{BackendFailure, Failure, server_error},
    },
    state::{Names, SessionState, SqlLiteral},
};
use bytes::Bytes;
use shardline_model::id::ShardId;
use shardline_router::plan::{Affected, InsertId, Outcome, ShardStatement, Write};
use shardline_wire::{
    ErrPacket, column,
    command::Command,
    response::{self, ERR},
    row::TextRow,
};
use std::collections::BTreeMap;

/// Bytes of statements that are kept before they are sent, about.
const BATCH_BYTES: usize = 256 * 1024;

/// What a stored row has in any session.
const SQL_MODE: &str = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES";

type Batches = BTreeMap<ShardId, Batch>;

impl Session {
    /// Writes all outcomes on the shards.
    pub(super) async fn apply_outcomes(
        &mut self,
        applying: &mut Applying<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Failure> {
        let writing = self.writing_state()?;
        let mut own = std::mem::replace(&mut self.state, writing);
        let applied = self.apply_steps(applying, scratch).await;
        own.set_lock_waits(self.state.lock_waits());
        self.state = own;
        applied
    }

    /// The session's state in which values are stored as they are written.
    fn writing_state(&self) -> Result<SessionState, Failure> {
        let mut state = self.state.clone();
        state.set_names(Names::utf8mb4());
        let text = |value: &str| SqlLiteral::text(value.as_bytes(), None);
        let internal = |error: String| SqlError::internal(error);
        let mut settings = vec![
            ("sql_mode", text(SQL_MODE).map_err(|error| internal(error.to_string()))?),
            ("time_zone", text("+00:00").map_err(|error| internal(error.to_string()))?),
        ];
        if state.variable("sql_safe_updates").is_some() {
            settings.push(("sql_safe_updates", SqlLiteral::integer(0)));
        }
        for (name, value) in settings {
            let set = state.set_variable(name, value);
            set.map_err(|error| internal(error.to_string()))?;
        }
        Ok(state)
    }

    async fn apply_steps(
        &mut self,
        applying: &mut Applying<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Failure> {
        let outcomes = &applying.plan.outcomes;
        for step in [Step::Gone, Step::Changed, Step::New] {
            for outcome in outcomes {
                let sql = match step {
                    Step::Gone => &outcome.gone,
                    Step::Changed => &outcome.changed,
                    Step::New => &outcome.new,
                };
                let Some(sql) = sql else { continue };
                self.apply(applying, scratch, outcome, step, sql).await?;
            }
        }
        Ok(())
    }

    async fn apply(
        &mut self,
        applying: &mut Applying<'_>,
        scratch: &mut Scratch,
        outcome: &Outcome,
        step: Step,
        sql: &str,
    ) -> Result<(), Failure> {
        let opened = open_rows(&mut scratch.connection, sql).await;
        opened.map_err(|failure| scratch.failure(failure))?;
        let mut batches = Batches::new();
        let mut bytes = 0;
        let mut checked = step != Step::Gone || !outcome.moves;
        loop {
            let row = next_row(&mut scratch.connection).await;
            let Some(row) = row.map_err(|failure| scratch.failure(failure))? else { break };
            if !checked {
                checked = true;
                self.check_children(outcome).await?;
            }
            for shard in owners(outcome, &row)? {
                let batch = batches.entry(shard).or_default();
                let before = batch.sql.len();
                let mut values = TextRow::new(&row);
                values.next();
                batch.push(step, outcome, &mut values)?;
                bytes += batch.sql.len() - before;
                let full = batch.is_full(step);
                if full || bytes >= BATCH_BYTES {
                    bytes = 0;
                    self.ship_batches(applying, outcome, step, &mut batches).await?;
                }
            }
        }
        self.ship_batches(applying, outcome, step, &mut batches).await
    }

    /// For a server a row that gets another key is the same row, of which other tables' rows may be
    /// children; here it is deleted and added.
    async fn check_children(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        let text = |name: &str| {
            let literal = SqlLiteral::text(name.as_bytes(), None);
            literal.map_err(|error| SqlError::internal(error.to_string()))
        };
        let sql = format!(
            "SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
             WHERE UNIQUE_CONSTRAINT_SCHEMA = {} AND REFERENCED_TABLE_NAME = {} LIMIT 1",
            text(&outcome.table.database)?.as_str(),
            text(&outcome.table.table)?.as_str()
        );
        let Some(shard) = outcome.shards.first() else { return Ok(()) };
        let rows = self.ask_branch(*shard, sql.as_bytes()).await?;
        match rows.first() {
            None => Ok(()),
            Some(_) => Err(SqlError::not_supported(
                format!(
                    "keys of '{}' change on several shards, and a foreign key refers to it",
                    outcome.table.table
                ),
                "give the shard key a value in WHERE, or INSERT the rows anew and DELETE the old ones",
            )
            .into()),
        }
    }

    async fn ship_batches(
        &mut self,
        applying: &mut Applying<'_>,
        outcome: &Outcome,
        step: Step,
        batches: &mut Batches,
    ) -> Result<(), Failure> {
        let batches = std::mem::take(batches);
        if batches.is_empty() {
            return Ok(());
        }
        let mut expected = Vec::with_capacity(batches.len());
        let mut parts = Vec::with_capacity(batches.len());
        for (shard, batch) in batches {
            self.written.note(shard, applying.note)?;
            expected.push(batch.rows);
            parts.push(ShardStatement { shard, sql: batch.finish(step, outcome) });
        }
        let write = Write {
            parts,
            opens_no_snapshot: false,
            affected: Affected::Sum,
            insert_id: InsertId::None,
            reason: String::new(),
        };
        let done = self.write_parts(&write, |shard| applying.undone(shard), false).await?;
        applying.written.extend(write.parts.iter().map(|part| part.shard));
        let each = match step {
            Step::Gone | Step::New => 1,
            Step::Changed => 2,
        };
        let as_expected = |(ok, rows): (&shardline_wire::OkPacket, &u64)| {
            ok.affected_rows == rows.saturating_mul(each)
        };
        match done.iter().zip(&expected).all(as_expected) {
            true => Ok(()),
            false => Err(SqlError::internal(format!(
                "rows of '{}' are not what they were when they were locked",
                outcome.table.table
            ))
            .into()),
        }
    }
}

/// Where a row is written.
fn owners(outcome: &Outcome, row: &Bytes) -> Result<Vec<ShardId>, SqlError> {
    let number = TextRow::new(row).next().and_then(Result::ok).flatten();
    let number = number.and_then(|text| std::str::from_utf8(text).ok()?.parse::<i64>().ok());
    match number {
        Some(0) => Ok(outcome.shards.clone()),
        Some(number) if number > 0 => {
            let shard = u32::try_from(number).map(ShardId);
            let known = shard.ok().filter(|shard| outcome.shards.contains(shard));
            known.map(|shard| vec![shard]).ok_or_else(|| {
                SqlError::internal("a server names a shard that the table is not on")
            })
        }
        Some(_) | None => Err(SqlError::no_owner(&outcome.table.table)),
    }
}

/// Sends a query and reads its answer up to the first row.
async fn open_rows(connection: &mut PooledConnection, sql: &str) -> Result<(), BackendFailure> {
    let sql = sql.as_bytes();
    connection.response_begins().queue_with(|out| Command::Query(sql).encode(out));
    connection.flush().await?;
    let head = packet(connection).await?;
    let count = column::decode_count(&head);
    let count = count.map_err(|error| BackendFailure::Lost(error.to_string()))?;
    let ends = usize::from(!connection.capabilities().deprecate_eof());
    for _ in 0..count + ends {
        packet(connection).await?;
    }
    Ok(())
}

/// The next row; None is the end.
async fn next_row(connection: &mut PooledConnection) -> Result<Option<Bytes>, BackendFailure> {
    let payload = packet(connection).await?;
    let capabilities = connection.capabilities();
    if !response::ends_rows(&payload, capabilities) {
        return Ok(Some(payload));
    }
    let end = response::decode_rows_end(&payload, capabilities);
    let end = end.map_err(|error| BackendFailure::Lost(error.to_string()))?;
    connection.response_ended(end.status);
    Ok(None)
}

async fn packet(connection: &mut PooledConnection) -> Result<Bytes, BackendFailure> {
    let payload = connection.wire().read_packet().await;
    let payload = payload.map_err(|error| BackendFailure::Lost(error.to_string()))?;
    if payload.first() != Some(&ERR) {
        return Ok(payload);
    }
    connection.response_failed();
    Err(match ErrPacket::decode(&payload) {
        Ok(error) => BackendFailure::Told(server_error(&error)),
        Err(error) => BackendFailure::Lost(error.to_string()),
    })
}
