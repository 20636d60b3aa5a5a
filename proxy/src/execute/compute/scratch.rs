//! The connection on which a statement's tables are made and filled.

use super::{definition, literal};
use crate::{
    backend::{BackendError, PooledConnection, TextLimits},
    config::Limits,
    error::SqlError,
    session::failure::{BackendFailure, Failure, server_error},
    state::{Names, SessionState, SqlLiteral},
};
use bytes::Bytes;
use shardline_model::{id::ShardId, predicate::quote_identifier};
use shardline_router::plan::{Compute, Fetch, TableName};
use shardline_wire::{command::Command, row::TextRow};
use std::time::Instant;

/// Bytes of rows that are sent as one INSERT, about.
const BATCH_BYTES: usize = 256 * 1024;

/// The connection, and what may still be brought to it.
pub(in crate::execute) struct Scratch {
    pub(in crate::execute) connection: PooledConnection,
    name: String,
    /// The tables that were made, as they are named in statements.
    tables: Vec<String>,
    /// The INSERT that is being written; empty between batches.
    batch: Vec<u8>,
    /// An INSERT was sent and its answer is not read.
    pub(super) is_inserting: bool,
    rows: usize,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
    /// When the rows must be there.
    pub(super) deadline: Instant,
}

impl Scratch {
    pub(super) fn new(mut connection: PooledConnection, limits: &Limits) -> Self {
        connection.set_scratch(true);
        Scratch {
            name: connection.shard_name().to_string(),
            connection,
            tables: Vec::new(),
            batch: Vec::new(),
            is_inserting: false,
            rows: 0,
            bytes: 0,
            rows_max: limits.compute_rows_max,
            bytes_max: limits.compute_bytes_max,
            deadline: Instant::now() + limits.compute_timeout,
        }
    }

    pub(in crate::execute) fn shard(&self) -> ShardId {
        self.connection.shard()
    }

    /// The connection takes values as they are, whatever the session's modes are. `session` has
    /// the database, without which a connection cannot be once it has one.
    pub(in crate::execute) async fn prepare_to_fill(
        &mut self,
        plan: &Compute,
        session: &SessionState,
    ) -> Result<(), Failure> {
        let state = self.filling_state(plan, session)?;
        let applied = self.connection.apply(&state).await;
        applied.map_err(|error| self.failure(error))
    }

    fn filling_state(
        &self,
        plan: &Compute,
        session: &SessionState,
    ) -> Result<SessionState, Failure> {
        let mut state = SessionState::new(Names::utf8mb4(), session.database());
        let mode = match plan.fetches.iter().all(|fetch| fetch.complete) {
            true => "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES",
            // Nobody reads the columns that are left out and have no default.
            false => "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES",
        };
        let off = || SqlLiteral::integer(0);
        let mut settings = vec![("sql_mode", text(mode)?), ("time_zone", text("+00:00")?)];
        settings.push(("innodb_strict_mode", off()));
        if self.connection.server_version().contains("MariaDB") {
            // Columns that are left out have their defaults, which need not be valid.
            settings.push(("check_constraint_checks", off()));
        }
        for (name, value) in settings {
            let set = state.set_variable(name, value);
            set.map_err(|error| SqlError::internal(error.to_string()))?;
        }
        Ok(state)
    }

    /// Makes an empty table that is seen in the place of the real one.
    pub(in crate::execute) async fn make_table(&mut self, fetch: &Fetch) -> Result<(), Failure> {
        let full = full_name(&fetch.table);
        let aside = TableName {
            database: fetch.table.database.clone(),
            table: format!("_shardline_scratch_{}", self.tables.len()),
        };
        let aside = full_name(&aside);
        let make = format!("CREATE TEMPORARY TABLE {aside} LIKE {full}");
        match self.connection.query_ok(make.as_bytes()).await {
            Ok(_) => self.run(&format!("ALTER TABLE {aside} RENAME {full}")).await?,
            Err(BackendError::Server { error, .. }) => {
                let made = self.make_otherwise(&full, server_error(&error)).await;
                made.map_err(|failure| uncopied(&fetch.table, failure))?;
            }
            Err(error) => return Err(self.failure(error)),
        }
        self.tables.push(full.clone());
        // The server may have another definition by now than the plan.
        let sql = format!("SELECT * FROM {full} LIMIT 0");
        let answer = self.connection.query_rows(sql.as_bytes(), TextLimits::default()).await;
        let shown = answer.map_err(|error| self.failure(error))?.columns;
        let names = || shown.iter().map(|column| column.name.as_ref());
        match names().eq(fetch.shown.iter().map(String::as_bytes)) {
            true => {}
            false => {
                let reason = format!("table '{}' is being altered", fetch.table.table);
                return Err(SqlError::not_supported(reason, "send the statement again").into());
            }
        }
        Ok(())
    }

    /// Makes one more table, of which no statement of the client's knows.
    pub(in crate::execute) async fn keep(
        &mut self,
        name: String,
        statements: &[String],
    ) -> Result<(), Failure> {
        for sql in statements {
            self.run(sql).await?;
        }
        self.tables.push(name);
        Ok(())
    }

    /// Makes a table that cannot be made as it is; `why` says that.
    async fn make_otherwise(&mut self, full: &str, why: SqlError) -> Result<(), Failure> {
        let show = format!("SHOW CREATE TABLE {full}");
        let answer = self.connection.query_rows(show.as_bytes(), TextLimits::default()).await;
        let rows = answer.map_err(|error| self.failure(error))?.rows;
        let shown = rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten());
        let shown = shown.as_deref().and_then(|text| std::str::from_utf8(text).ok());
        match shown.and_then(|shown| definition::temporary(shown, full)) {
            Some(make) => self.run(&make).await,
            None => Err(why.into()),
        }
    }

    pub(in crate::execute) async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        let done = self.connection.query_ok(sql.as_bytes()).await;
        done.map(|_| ()).map_err(|error| self.failure(error))
    }

    /// Adds a row to the batch. True when the batch is to be sent.
    pub(super) fn push(&mut self, fetch: &Fetch, row: &Bytes) -> Result<bool, Failure> {
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(row.len());
        self.check_limits()?;
        if self.batch.is_empty() {
            self.batch.extend_from_slice(b"INSERT INTO ");
            self.batch.extend_from_slice(full_name(&fetch.table).as_bytes());
            let names = fetch.columns.iter().map(|column| quote_identifier(&column.name));
            let names: Vec<String> = names.collect();
            self.batch.extend_from_slice(format!(" ({}) VALUES ", names.join(",")).as_bytes());
        } else {
            self.batch.push(b',');
        }
        let mut separator = b'(';
        let mut values = TextRow::new(row);
        for column in &fetch.columns {
            self.batch.push(separator);
            separator = b',';
            let value = values.next().and_then(Result::ok).ok_or_else(unreadable)?;
            let written = literal::write(column.carried, value, &mut self.batch);
            written.map_err(|error| SqlError::internal(error.to_string()))?;
        }
        if values.next().is_some() {
            return Err(unreadable());
        }
        self.batch.push(b')');
        Ok(self.batch.len() >= BATCH_BYTES)
    }

    fn check_limits(&self) -> Result<(), Failure> {
        let (what, limit, name) = if self.rows > self.rows_max {
            ("rows", self.rows_max, "compute_rows_max")
        } else if self.bytes > self.bytes_max {
            ("bytes", self.bytes_max, "compute_bytes_max")
        } else {
            return Ok(());
        };
        Err(SqlError::result_too_large(format!(
            "the statement needs more than {limit} {what} of several shards on one server; narrow it \
             by WHERE, or raise limits.{name}"
        ))
        .into())
    }

    /// Whether rows wait to be sent.
    pub(super) fn has_batch(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Sends the batch; the answer to the one before must have been read.
    pub(super) async fn send_batch(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        let queue = self.connection.response_begins();
        queue.queue_with(|out| Command::Query(&batch).encode(out));
        let flushed = self.connection.flush().await;
        flushed.map_err(|error| self.failure(error))?;
        self.is_inserting = true;
        self.batch = batch;
        self.batch.clear();
        Ok(())
    }

    /// What a failure of the connection means to the client. It has nothing to do with the
    /// transaction, which is on other connections.
    pub(in crate::execute) fn failure(&mut self, error: impl Into<BackendFailure>) -> Failure {
        self.connection.poison();
        match error.into() {
            BackendFailure::Told(error) => error.into(),
            BackendFailure::Lost(reason) => SqlError::shard_lost(&self.name, &reason, false).into(),
        }
    }

    /// Takes the tables away, so that the connection may serve others.
    pub(in crate::execute) async fn clear(mut self) {
        if !self.tables.is_empty() {
            let drop = format!("DROP TEMPORARY TABLE {}", self.tables.join(","));
            let dropped: Result<_, BackendError> = self.connection.query_ok(drop.as_bytes()).await;
            if let Err(error) = dropped {
                tracing::debug!(%error, "cannot drop temporary tables; their connection is closed");
                return self.give_up();
            }
        }
        self.connection.set_scratch(false);
    }

    /// Closes the connection.
    pub(in crate::execute) fn give_up(mut self) {
        self.connection.poison();
    }
}

fn text(value: &str) -> Result<SqlLiteral, SqlError> {
    SqlLiteral::text(value.as_bytes(), None).map_err(|error| SqlError::internal(error.to_string()))
}

pub(in crate::execute) fn full_name(table: &TableName) -> String {
    format!("{}.{}", quote_identifier(&table.database), quote_identifier(&table.table))
}

pub(in crate::execute) fn unreadable() -> Failure {
    SqlError::internal("a shard sent a row of another shape than was asked for").into()
}

/// A table of which a server can have no temporary copy.
fn uncopied(table: &TableName, failure: Failure) -> Failure {
    match failure {
        Failure::Sql(error) if error.is_from_server() => SqlError::not_supported(
            format!(
                "table '{}' cannot be copied for a statement on several shards: {}",
                table.table,
                error.message_text()
            ),
            "give the shard key a value in WHERE, so that one shard answers",
        )
        .into(),
        other => other,
    }
}
