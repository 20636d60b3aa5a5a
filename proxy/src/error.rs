//! The one module that knows MySQL's error numbers, SQLSTATEs, the retry class and the
//! metric of each error that the proxy itself tells a client. Errors of a backend pass
//! through as the server sent them ([`SqlError::from_server`]).
//!
//! Every text says what failed, where, why, and what to do.

mod cluster;
mod guard;
mod reads;

use shardline_router::plan::Refusal;

/// Numbers of MySQL that the code compares with.
pub mod number {
    /// Deadlock; the server rolled the whole transaction back.
    pub const LOCK_DEADLOCK: u16 = 1213;
    /// Lock wait timeout; the server rolled the statement back.
    pub const LOCK_WAIT_TIMEOUT: u16 = 1205;
    /// A statement that was killed.
    pub const QUERY_INTERRUPTED: u16 = 1317;
    /// Not supported here.
    pub const NOT_SUPPORTED: u16 = 1235;
}

/// What a client may do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// The statement is wrong or not possible: the same again gives the same.
    Never,
    /// Nothing of the statement remains: it may be sent again.
    Statement,
    /// Nothing of the transaction remains: it may be run again from its start.
    Transaction,
    /// It is not known whether the change was made: look before sending it again.
    Unknown,
}

/// An error in the form of an ERR packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{number} ({}): {}", self.state_text(), self.message_text())]
pub struct SqlError {
    /// MySQL's error number.
    pub number: u16,
    /// SQLSTATE.
    pub state: [u8; 5],
    /// The text, as bytes in the session's character set.
    pub message: Vec<u8>,
    /// What the client may do.
    pub retry: RetryClass,
    /// The value of the `error` label of `shardline_proxy_errors_total`.
    pub metric: &'static str,
}

impl SqlError {
    /// An error that a backend answered, unchanged.
    pub fn from_server(number: u16, state: [u8; 5], message: Vec<u8>) -> Self {
        let retry =
            if state.starts_with(b"40") { RetryClass::Transaction } else { RetryClass::Never };
        SqlError { number, state, message, retry, metric: "backend" }
    }

    /// Whether a backend said it.
    pub fn is_from_server(&self) -> bool {
        self.metric == "backend"
    }

    fn new(
        number: u16,
        state: &[u8; 5],
        metric: &'static str,
        retry: RetryClass,
        message: String,
    ) -> Self {
        SqlError { number, state: *state, message: message.into_bytes(), retry, metric }
    }

    fn state_text(&self) -> String {
        String::from_utf8_lossy(&self.state).into_owned()
    }

    /// The message for logs.
    pub fn message_text(&self) -> String {
        String::from_utf8_lossy(&self.message).into_owned()
    }
}

/// Errors about the connection and its commands.
impl SqlError {
    /// The proxy's limit of client connections is reached.
    pub fn too_many_connections(limit: usize) -> Self {
        Self::new(
            1040,
            b"08004",
            "too_many_connections",
            RetryClass::Statement,
            format!(
                "Too many connections: this proxy serves at most {limit} clients. Close idle \
                 connections, or raise limits.client_connections_max"
            ),
        )
    }

    /// The named database is not in the catalog.
    pub fn unknown_database(name: &str) -> Self {
        Self::new(
            1049,
            b"42000",
            "unknown_database",
            RetryClass::Never,
            format!("Unknown database '{name}'"),
        )
    }

    /// A statement needs a database and none is chosen.
    pub fn no_database() -> Self {
        Self::new(1046, b"3D000", "no_database", RetryClass::Never, "No database selected".into())
    }

    /// An unknown or unsupported protocol command.
    pub fn unknown_command(command: u8) -> Self {
        Self::new(
            1047,
            b"08S01",
            "unknown_command",
            RetryClass::Never,
            format!("Unknown command: 0x{command:02x} is not served by this proxy"),
        )
    }

    /// A packet that cannot be decoded.
    pub fn malformed_packet(what: &str) -> Self {
        Self::new(
            1835,
            b"HY000",
            "malformed_packet",
            RetryClass::Never,
            format!("Malformed communication packet: {what}"),
        )
    }

    /// Packets whose numbers do not follow each other.
    pub fn packets_out_of_order() -> Self {
        Self::new(
            1156,
            b"08S01",
            "packets_out_of_order",
            RetryClass::Never,
            "Got packets out of order".into(),
        )
    }

    /// A command longer than the limit.
    pub fn packet_too_large(limit: usize) -> Self {
        Self::new(
            1153,
            b"08S01",
            "packet_too_large",
            RetryClass::Never,
            format!(
                "Got a packet bigger than 'max_allowed_packet' bytes: this proxy takes {limit}. \
                 Send less at a time, or raise limits.packet_bytes_max"
            ),
        )
    }

    /// An empty statement.
    pub fn empty_query() -> Self {
        Self::new(1065, b"42000", "empty_query", RetryClass::Never, "Query was empty".into())
    }

    /// KILL of a connection that is not here.
    pub fn unknown_thread(id: u64) -> Self {
        Self::new(
            1094,
            b"HY000",
            "unknown_thread",
            RetryClass::Never,
            format!("Unknown thread id: {id}"),
        )
    }

    /// KILL of another user's connection.
    pub fn not_owner(id: u64) -> Self {
        Self::new(
            1095,
            b"HY000",
            "kill_denied",
            RetryClass::Never,
            format!("You are not owner of thread {id}"),
        )
    }

    /// The statement was killed.
    pub fn interrupted() -> Self {
        Self::new(
            number::QUERY_INTERRUPTED,
            b"70100",
            "interrupted",
            RetryClass::Statement,
            "Query execution was interrupted".into(),
        )
    }

    /// The connection was killed.
    pub fn connection_killed() -> Self {
        Self::new(
            1927,
            b"70100",
            "connection_killed",
            RetryClass::Transaction,
            "Connection was killed".into(),
        )
    }

    /// The proxy is going down.
    pub fn shutting_down() -> Self {
        Self::new(
            1053,
            b"08S01",
            "shutdown",
            RetryClass::Statement,
            "Server shutdown in progress: this proxy is being drained. Connect again".into(),
        )
    }

    /// No prepared statement of that id or name.
    pub fn unknown_statement(id: impl std::fmt::Display, operation: &str) -> Self {
        Self::new(
            1243,
            b"HY000",
            "unknown_statement",
            RetryClass::Never,
            format!("Unknown prepared statement handler ({id}) given to {operation}"),
        )
    }

    /// Too many prepared statements, or too many bytes of them.
    pub fn too_many_statements(limit: usize) -> Self {
        Self::new(
            1461,
            b"42000",
            "too_many_statements",
            RetryClass::Never,
            format!(
                "Can't create more than max_prepared_stmt_count statements (current value: \
                 {limit}) on one connection. Close statements that are no longer used"
            ),
        )
    }

    /// A text that PREPARE does not take.
    pub fn not_preparable() -> Self {
        Self::new(
            1295,
            b"HY000",
            "not_preparable",
            RetryClass::Never,
            "This command is not supported in the prepared statement protocol yet".into(),
        )
    }

    /// An EXECUTE whose parameters do not fit.
    pub fn wrong_arguments(operation: &str) -> Self {
        Self::new(
            1210,
            b"HY000",
            "wrong_arguments",
            RetryClass::Never,
            format!("Incorrect arguments to {operation}"),
        )
    }
}

/// Errors about statements.
impl SqlError {
    /// A plan that says no.
    pub fn refused(refusal: &Refusal) -> Self {
        let message = if refusal.hint.is_empty() {
            refusal.reason.clone()
        } else {
            format!("{}. Hint: {}", refusal.reason.trim_end_matches('.'), refusal.hint)
        };
        Self::new(refusal.code, sqlstate_of(refusal.code), "refused", RetryClass::Never, message)
    }

    /// Not supported, with the reason and the way out.
    pub fn not_supported(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        let refusal =
            Refusal { code: number::NOT_SUPPORTED, reason: reason.into(), hint: hint.into() };
        Self::refused(&refusal)
    }

    /// A row that no shard may have.
    pub fn no_owner(table: &str) -> Self {
        Self::refused(&Refusal {
            code: 1526,
            reason: format!("Table '{table}' has no shard for the key of a row"),
            hint: "add a range or a list of values (or DEFAULT) for it to the table's placement"
                .into(),
        })
    }

    /// A table that is not in the catalog.
    pub fn no_such_table(database: &str, table: &str) -> Self {
        Self::new(
            1146,
            b"42S02",
            "no_such_table",
            RetryClass::Never,
            format!("Table '{database}.{table}' doesn't exist"),
        )
    }

    /// CREATE TABLE of what is there.
    pub fn table_exists(table: &str) -> Self {
        Self::new(
            1050,
            b"42S01",
            "table_exists",
            RetryClass::Never,
            format!("Table '{table}' already exists"),
        )
    }

    /// DROP of a table that is not there.
    pub fn unknown_table(names: &str) -> Self {
        Self::new(
            1051,
            b"42S02",
            "unknown_table",
            RetryClass::Never,
            format!("Unknown table '{names}'"),
        )
    }

    /// CREATE DATABASE of a database that is there.
    pub fn database_exists(name: &str) -> Self {
        Self::new(
            1007,
            b"HY000",
            "database_exists",
            RetryClass::Never,
            format!("Can't create database '{name}'; database exists"),
        )
    }

    /// DROP of a database that is not there.
    pub fn no_database_to_drop(name: &str) -> Self {
        Self::new(
            1008,
            b"HY000",
            "database_drop_missing",
            RetryClass::Never,
            format!("Can't drop database '{name}'; database doesn't exist"),
        )
    }

    /// A database that belongs to the server or to Shardline.
    pub fn protected_database(name: &str) -> Self {
        Self::new(
            1044,
            b"42000",
            "protected_database",
            RetryClass::Never,
            format!("Access denied to database '{name}': it belongs to the system"),
        )
    }

    /// A sharding declaration that the catalog does not take.
    pub fn invalid_sharding(reason: String) -> Self {
        Self::new(1235, b"42000", "invalid_sharding", RetryClass::Never, reason)
    }

    /// A variable that cannot be set to this value.
    pub fn wrong_value(variable: &str, value: &str) -> Self {
        Self::new(
            1231,
            b"42000",
            "wrong_value",
            RetryClass::Never,
            format!("Variable '{variable}' can't be set to the value of '{value}'"),
        )
    }

    /// A variable that does not exist.
    pub fn unknown_variable(variable: &str) -> Self {
        Self::new(
            1193,
            b"HY000",
            "unknown_variable",
            RetryClass::Never,
            format!("Unknown system variable '{variable}'"),
        )
    }

    /// SET GLOBAL.
    pub fn global_variable(variable: &str) -> Self {
        Self::not_supported(
            format!("SET GLOBAL {variable} would change one server and not the cluster"),
            "set it on every shard's server in its configuration, or use SET SESSION here",
        )
    }

    /// A savepoint that does not exist.
    pub fn no_such_savepoint(name: &str) -> Self {
        Self::new(
            1305,
            b"42000",
            "no_such_savepoint",
            RetryClass::Never,
            format!("SAVEPOINT {name} does not exist"),
        )
    }

    /// SET TRANSACTION inside a transaction.
    pub fn transaction_in_progress() -> Self {
        Self::new(
            1568,
            b"25001",
            "transaction_in_progress",
            RetryClass::Never,
            "Transaction characteristics can't be changed while a transaction is in progress"
                .into(),
        )
    }

    /// A result larger than the memory that one statement may use.
    pub fn result_too_large(reason: String) -> Self {
        Self::new(1038, b"HY001", "result_too_large", RetryClass::Never, reason)
    }

    /// Something that must not happen did, and the statement was given up.
    pub fn internal(reason: impl Into<String>) -> Self {
        Self::new(1105, b"HY000", "internal", RetryClass::Unknown, reason.into())
    }
}

/// The SQLSTATE of a number that a plan or the model chose.
fn sqlstate_of(number: u16) -> &'static [u8; 5] {
    match number {
        1046 => b"3D000",
        1048 | 1062 => b"23000",
        1049 | 1064 | 1065 | 1066 | 1072 | 1110 | 1115 | 1231 | 1235 | 1305 | 1044 | 1075
        | 1068 => b"42000",
        1050 => b"42S01",
        1051 | 1146 | 1109 => b"42S02",
        1054 => b"42S22",
        1052 => b"23000",
        1136 => b"21S01",
        1213 => b"40001",
        1317 => b"70100",
        _ => b"HY000",
    }
}

#[cfg(test)]
#[path = "error_test.rs"]
mod tests;
