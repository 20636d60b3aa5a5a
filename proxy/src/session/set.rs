//! SET: what the proxy keeps itself is set here; everything else is set on a real server
//! that has the session's state, and read back, so that it can be put on any connection.

use super::{
    Session,
    failure::{BackendFailure, Failure},
    query::Unplanned,
    schema::quoted,
    settings::boolean,
};
use crate::{
    backend::{BackendConnection, BackendError, TextLimits, TextResult},
    error::SqlError,
    state::{
        LOCK_WAIT_TIMEOUT, LockWaits, Names, SessionState, SqlLiteral, StateError,
        system_variable_literal, user_variable_literal,
    },
};
use bytes::Bytes;
use shardline_model::catalog::Catalog;
use shardline_router::{
    lexer::{Lexer, SqlMode, TokenKind},
    plan::{Assignment, Plan, Single, Target},
    router::Scratch,
    template::BindInput,
};
use smallvec::SmallVec;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Variables that are set together as [`Names`].
const CHARACTER_SETS: [&str; 4] = [
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "collation_connection",
];

/// The assignments of one SET that a server makes.
#[derive(Debug, Default)]
struct ServerPart {
    /// `SET` list, in order.
    list: Vec<String>,
    /// Session variables to read back.
    variables: Vec<String>,
    /// User variables to read back.
    user_variables: Vec<String>,
    /// The character sets are read back.
    names: bool,
    /// `SET SESSION TRANSACTION`: statements of their own.
    transaction: Vec<String>,
    /// Values that may name tables.
    values: Vec<String>,
}

impl Session {
    /// Makes the assignments of a SET.
    pub(super) async fn set(&mut self, assignments: &[Assignment]) -> Result<(), Failure> {
        let mut server = ServerPart::default();
        let mut own = Vec::new();
        for assignment in assignments {
            match assignment {
                Assignment::Global { name, .. } => {
                    return Err(SqlError::global_variable(name).into());
                }
                Assignment::Transaction { global: true, .. } => {
                    return Err(SqlError::global_variable("TRANSACTION").into());
                }
                Assignment::Session { name, .. }
                    if name == "autocommit" || name.starts_with("shardline_") =>
                {
                    own.push(assignment);
                }
                Assignment::Transaction { next_only: true, .. } => own.push(assignment),
                Assignment::Transaction { characteristics, .. } => {
                    server.transaction.push(format!("SET SESSION TRANSACTION {characteristics}"));
                }
                Assignment::UserVariable { name, value } => server.user_variable(name, value),
                Assignment::Session { name, value } => server.session_variable(name, value),
                Assignment::Names { charset, collation, character_set_only } => {
                    server.names(charset.as_deref(), collation.as_deref(), *character_set_only);
                }
            }
        }
        if !server.is_empty() {
            self.set_on_server(&server).await?;
        }
        for assignment in own {
            self.set_own(assignment).await?;
        }
        Ok(())
    }

    async fn set_own(&mut self, assignment: &Assignment) -> Result<(), Failure> {
        match assignment {
            Assignment::Session { name, value } if name == "autocommit" => {
                let on = match boolean(value) {
                    _ if value.trim().eq_ignore_ascii_case("default") => true,
                    Some(on) => on,
                    None => self.evaluate_boolean(name, value).await?,
                };
                self.set_autocommit(on).await
            }
            Assignment::Session { name, value } => {
                // A transaction has one level from its begin to its end.
                if name == "shardline_read_consistency" && self.transaction.is_open() {
                    return Err(SqlError::transaction_in_progress().into());
                }
                self.settings.set(name, value)?;
                self.values.read_consistency = self.settings.read_consistency.name();
                Ok(())
            }
            Assignment::Transaction { characteristics, .. } => {
                Ok(self.transaction.set_next(characteristics)?)
            }
            Assignment::UserVariable { .. }
            | Assignment::Global { .. }
            | Assignment::Names { .. } => Ok(()),
        }
    }

    async fn set_autocommit(&mut self, on: bool) -> Result<(), Failure> {
        if on {
            self.state.set_variable_default("autocommit");
        } else {
            let off = SqlLiteral::integer(0);
            self.state.set_variable("autocommit", off).map_err(state_error)?;
        }
        match self.transaction.set_autocommit(on) {
            Some(finish) => self.finish(finish).await,
            None => Ok(()),
        }
    }

    /// A value that only a server can tell, such as `@old`.
    async fn evaluate_boolean(&mut self, name: &str, value: &str) -> Result<bool, Failure> {
        let result = self.ask_any(format!("SELECT {value}").as_bytes()).await?;
        let text = first_value(&result).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        boolean(&text).ok_or_else(|| SqlError::wrong_value(name, &text).into())
    }

    async fn set_on_server(&mut self, server: &ServerPart) -> Result<(), Failure> {
        let began = Instant::now();
        let (catalog, shard) = loop {
            let catalog = self.catalog();
            match self.shard_of_values(server, &catalog) {
                Ok(shard) => break (catalog, shard),
                Err(Unplanned::Held(holds)) => {
                    drop(catalog);
                    Box::pin(self.wait_for_cutover(&holds, began)).await?;
                }
                Err(Unplanned::Refused(error)) => return Err(error.into()),
                Err(Unplanned::SnapshotTooOld) => {
                    return Err(Box::pin(self.snapshot_too_old()).await);
                }
                Err(Unplanned::NeedsIds { .. }) => {
                    return Err(SqlError::internal("a value of SET asked for numbers").into());
                }
            }
        };
        let shards = match shard {
            Some(shard) => SmallVec::from_slice(&[shard]),
            None => self.any_shards(&catalog),
        };
        let mut last = Err(SqlError::no_shards().into());
        for shard in shards {
            let mut connection = match self.connection(shard).await {
                Ok(connection) => connection,
                Err(Failure::Sql(error)) if error.is_unreachable_shard() => {
                    last = Err(error.into());
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let set = server.apply(&mut connection, &self.state).await;
            if matches!(&set, Err(BackendFailure::Told(_))) && !self.transaction.is_branch(shard) {
                // A part of the list may have been set.
                connection.poison();
            }
            let (state, mode) = self.put_back(connection, set).await?;
            self.state = state;
            if let Some(mode) = mode {
                self.mode = mode;
            }
            let waits = server.variables.iter().any(|name| name == "wait_timeout");
            if waits {
                let seconds = self.state.variable("wait_timeout");
                let seconds = seconds.and_then(|literal| literal.as_str().parse().ok());
                self.settings.wait_timeout = seconds.map(Duration::from_secs);
            }
            return Ok(());
        }
        last
    }

    /// Values with subqueries on tables need the one shard that has their rows.
    fn shard_of_values(
        &self,
        server: &ServerPart,
        catalog: &Arc<Catalog>,
    ) -> Result<Option<shardline_model::id::ShardId>, Unplanned> {
        let mut found = None;
        for value in server.values.iter().filter(|value| has_from(value, self.mode)) {
            let sql = format!("SELECT {value}");
            let mut scratch = Scratch::new();
            let template = self.template(sql.as_bytes(), catalog, &mut scratch);
            let template = template.map_err(Unplanned::Refused)?;
            let input = BindInput {
                sql: sql.as_bytes(),
                literals: scratch.literals(),
                params: None,
                session: &self.values,
                catalog,
                ids: None,
            };
            let target = match template.bind(&input) {
                Ok(plan @ Plan::Single(Single { target, .. })) => {
                    if self.may_meet_moves(&template) {
                        self.check_moves(&template, &input, &plan)?;
                    }
                    target
                }
                _ => {
                    return Err(Unplanned::Refused(SqlError::not_supported(
                        "a value of SET reads rows of several shards",
                        "read the value with SELECT first and set it as a literal",
                    )));
                }
            };
            match (target, found) {
                (Target::Any, _) => {}
                (Target::Shard(shard), None) => found = Some(shard),
                (Target::Shard(shard), Some(other)) if shard == other => {}
                (Target::Shard(_), Some(_)) => {
                    return Err(Unplanned::Refused(SqlError::not_supported(
                        "the values of SET read rows of several shards",
                        "set them in statements of their own",
                    )));
                }
            }
        }
        Ok(found)
    }

    /// User variables that a statement has assigned, read back from its connection.
    pub(crate) async fn read_back_variables(
        &mut self,
        connection: &mut BackendConnection,
        sql: &[u8],
    ) -> Result<(), Failure> {
        let mut server = ServerPart::default();
        for name in user_variables_of(sql, self.mode) {
            server.user_variables.push(name);
        }
        let shard = connection.shard();
        if let Err(error) = self.read_back_found_rows(connection, sql).await {
            return Err(self.lost(shard, super::transaction::Access::READ, error).await);
        }
        if server.user_variables.is_empty() {
            return Ok(());
        }
        match server.read_back(connection, self.state.clone()).await {
            Ok((state, _)) => {
                connection.note_applied(state.clone());
                self.state = state;
                Ok(())
            }
            Err(failure) => Err(self.lost(shard, super::transaction::Access::READ, failure).await),
        }
    }
}

impl ServerPart {
    fn is_empty(&self) -> bool {
        self.list.is_empty() && self.transaction.is_empty()
    }

    fn user_variable(&mut self, name: &str, value: &str) {
        self.list.push(format!("@{} = {value}", quoted(name)));
        self.user_variables.push(name.to_lowercase());
        self.values.push(value.to_owned());
    }

    fn session_variable(&mut self, name: &str, value: &str) {
        self.list.push(format!("@@session.{name} = {value}"));
        self.values.push(value.to_owned());
        if CHARACTER_SETS.contains(&name) {
            self.names = true;
        } else {
            self.variables.push(name.to_owned());
        }
    }

    fn names(&mut self, charset: Option<&str>, collation: Option<&str>, charset_only: bool) {
        let mut text = if charset_only { "CHARACTER SET " } else { "NAMES " }.to_owned();
        match charset {
            Some(charset) => text.push_str(&format!("'{}'", charset.replace('\'', "''"))),
            None => text.push_str("DEFAULT"),
        }
        if let Some(collation) = collation {
            text.push_str(&format!(" COLLATE '{}'", collation.replace('\'', "''")));
        }
        self.list.push(text);
        self.names = true;
    }

    /// Sets everything on a connection that has `state`, and reads it back.
    async fn apply(
        &self,
        connection: &mut BackendConnection,
        state: &SessionState,
    ) -> Result<(SessionState, Option<SqlMode>), BackendFailure> {
        connection.apply(state).await?;
        if !self.list.is_empty() {
            connection.query_ok(format!("SET {}", self.list.join(", ")).as_bytes()).await?;
        }
        for sql in &self.transaction {
            connection.query_ok(sql.as_bytes()).await?;
        }
        let (state, mode) = self.read_back(connection, state.clone()).await?;
        let mut applied = state.clone();
        if self.variables.iter().any(|name| name == LOCK_WAIT_TIMEOUT) {
            // It was set as the client wrote it, in a transaction over several shards too.
            applied.set_lock_waits(LockWaits::AsSet);
        }
        connection.note_applied(applied);
        Ok((state, mode))
    }

    async fn read_back(
        &self,
        connection: &mut BackendConnection,
        mut state: SessionState,
    ) -> Result<(SessionState, Option<SqlMode>), BackendFailure> {
        let mut variables = self.variables.clone();
        if !self.transaction.is_empty() {
            let mariadb = connection.server_version().contains("MariaDB");
            let prefix = if mariadb { "tx" } else { "transaction" };
            variables.push(format!("{prefix}_isolation"));
            variables.push(format!("{prefix}_read_only"));
        }
        if self.names {
            state.set_names(read_names(connection).await?);
        }
        let mut items: Vec<String> =
            variables.iter().map(|name| format!("@@session.{name}")).collect();
        for name in &self.user_variables {
            let name = quoted(name);
            items.push(format!("@{name}, COLLATION(@{name})"));
        }
        if items.is_empty() {
            return Ok((state, None));
        }
        let result = in_utf8(connection, &state, &format!("SELECT {}", items.join(", "))).await?;
        let mode = self.keep(&variables, &result, &mut state)?;
        Ok((state, mode))
    }

    fn keep(
        &self,
        variables: &[String],
        result: &TextResult,
        state: &mut SessionState,
    ) -> Result<Option<SqlMode>, SqlError> {
        let unreadable = || SqlError::internal("a shard did not tell the values that were set");
        let row = result.rows.first().ok_or_else(unreadable)?;
        let mut mode = None;
        for (index, name) in variables.iter().enumerate() {
            let (column, value) =
                result.columns.get(index).zip(row.get(index)).ok_or_else(unreadable)?;
            if name == "sql_mode" {
                let text =
                    String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
                let parsed = SqlMode::parse(&text).map_err(|error| {
                    SqlError::not_supported(error.to_string(), "leave ORACLE out of sql_mode")
                })?;
                mode = Some(parsed);
            }
            let literal = system_variable_literal(column, value.as_deref());
            let literal = literal.map_err(|error| SqlError::internal(error.to_string()))?;
            state.set_variable(name, literal).map_err(state_error)?;
        }
        for (index, name) in self.user_variables.iter().enumerate() {
            let at = variables.len() + 2 * index;
            let (column, value) = result.columns.get(at).zip(row.get(at)).ok_or_else(unreadable)?;
            let collation = row.get(at + 1).cloned().flatten();
            let collation = collation.as_deref().and_then(|name| std::str::from_utf8(name).ok());
            let literal = user_variable_literal(column, value.as_deref(), collation);
            let literal = literal.map_err(|error| SqlError::internal(error.to_string()))?;
            state.set_user_variable(name, literal).map_err(state_error)?;
        }
        Ok(mode)
    }
}

async fn read_names(connection: &mut BackendConnection) -> Result<Names, BackendFailure> {
    let sql = b"SELECT @@character_set_client, @@character_set_results, @@collation_connection";
    let result = connection.query_rows(sql, TextLimits::default()).await?;
    let texts: Vec<Option<String>> = result
        .rows
        .into_iter()
        .next()
        .unwrap_or_default()
        .into_iter()
        .map(|value| value.map(|value| String::from_utf8_lossy(&value).into_owned()))
        .collect();
    match texts.as_slice() {
        [Some(client), results, Some(collation)] => {
            let names = Names::new(client, results.as_deref(), collation);
            names.map_err(|error| BackendFailure::Told(SqlError::internal(error.to_string())))
        }
        _ => {
            Err(BackendFailure::Told(SqlError::internal("a shard did not tell its character sets")))
        }
    }
}

/// Asks with results in UTF-8, whatever the session reads.
async fn in_utf8(
    connection: &mut BackendConnection,
    state: &SessionState,
    sql: &str,
) -> Result<TextResult, BackendError> {
    let names = state.names();
    let converts = names.results().is_none_or(|results| !results.starts_with("utf8"));
    if converts {
        connection.query_ok(b"SET character_set_results = utf8mb4").await?;
    }
    let result = connection.query_rows(sql.as_bytes(), TextLimits::default()).await?;
    if converts {
        let back = names.results().unwrap_or("NULL");
        connection.query_ok(format!("SET character_set_results = {back}").as_bytes()).await?;
    }
    Ok(result)
}

fn first_value(result: &TextResult) -> Option<Bytes> {
    result.rows.first()?.first().cloned().flatten()
}

fn state_error(error: StateError) -> SqlError {
    SqlError::not_supported(error.to_string(), "set fewer or shorter variables in one session")
}

impl From<SqlError> for BackendFailure {
    fn from(error: SqlError) -> Self {
        BackendFailure::Told(error)
    }
}

fn has_from(value: &str, mode: SqlMode) -> bool {
    match Lexer::tokenize(value.as_bytes(), mode) {
        Ok(tokens) => (0..tokens.tokens.len()).any(|index| tokens.is_keyword(index, "FROM")),
        Err(_) => true,
    }
}

/// The names of the user variables in a statement, in lower case, each once.
fn user_variables_of(sql: &[u8], mode: SqlMode) -> Vec<String> {
    let Ok(tokens) = Lexer::tokenize(sql, mode) else { return Vec::new() };
    let mut names = Vec::new();
    for index in 0..tokens.tokens.len() {
        if tokens.kind(index) != Some(TokenKind::UserVariable) {
            continue;
        }
        let text = String::from_utf8_lossy(tokens.text(index)).into_owned();
        let name = text.trim_start_matches('@');
        let name = match name.chars().next() {
            Some(quote @ ('`' | '\'' | '"')) => {
                let inner = &name[1..name.len().saturating_sub(1).max(1)];
                inner.replace(&format!("{quote}{quote}"), &quote.to_string())
            }
            _ => name.to_owned(),
        };
        let name = name.to_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_variables_are_found_by_any_spelling() {
        let sql = b"SELECT @a := 1, @`B``c`, @'d', @@sql_mode, @A";
        let names = user_variables_of(sql, SqlMode::default());
        assert_eq!(names, ["a", "b`c", "d"]);
    }

    #[test]
    fn only_values_that_read_tables_are_planned() {
        assert!(!has_from("CONCAT(@@sql_mode, ',X')", SqlMode::default()));
        assert!(has_from("(SELECT MAX(a) FROM t)", SqlMode::default()));
        assert!(!has_from("' from '", SqlMode::default()));
    }
}
