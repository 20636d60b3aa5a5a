//! The difference between what a connection has and what a session wants, as the
//! commands that turn the one into the other. They are sent in one write with the
//! session's own command.

use super::{LOCK_WAIT_TIMEOUT, SessionState};
use smallvec::SmallVec;
use std::fmt::Write as _;

/// One command of a [`Restore`]; each is answered by one OK packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreCommand {
    /// COM_INIT_DB with this name.
    InitDb(Box<str>),
    /// COM_QUERY with this text.
    Query(String),
}

/// What must be sent, in this order, before a statement; at most four commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restore {
    /// The commands.
    pub commands: SmallVec<[RestoreCommand; 2]>,
}

impl Restore {
    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}

/// Why a connection cannot be given a session's state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRestorable {
    /// A database is chosen and the session has none; no command takes it back.
    #[error("the connection uses database '{database}' and the session uses none")]
    Database {
        /// The connection's.
        database: String,
    },
    /// A variable was set that no statement can put back.
    #[error("the connection has set a variable that cannot be put back")]
    Variable,
}

/// The commands that make `wanted` of `applied`. `SET TRANSACTION` comes last and is for
/// the statement that follows.
///
/// # Errors
/// When no command can do it: use another connection.
pub fn diff(applied: &SessionState, wanted: &SessionState) -> Result<Restore, NotRestorable> {
    let mut restore = Restore::default();
    if applied == wanted && wanted.next_transaction().is_none() {
        return Ok(restore);
    }
    if !applied.is_restorable() && applied.settings().variables != wanted.settings().variables {
        return Err(NotRestorable::Variable);
    }
    let database = match (applied.database(), wanted.database()) {
        (one, other) if one == other => None,
        (_, Some(database)) => Some(database),
        (Some(database), None) => {
            return Err(NotRestorable::Database { database: database.to_owned() });
        }
        (None, None) => None,
    };
    let mut list = assignments(applied, wanted);
    let is_ascii = list.is_ascii() && database.is_none_or(str::is_ascii);
    let utf8_first = !is_ascii && !applied.names().client_is_utf8();
    if utf8_first {
        restore.commands.push(RestoreCommand::Query("SET NAMES utf8mb4".into()));
    }
    if let Some(database) = database {
        restore.commands.push(RestoreCommand::InitDb(database.into()));
    }
    if utf8_first || applied.names() != wanted.names() {
        push_names(&mut list, wanted);
    }
    if !list.is_empty() {
        restore.commands.push(RestoreCommand::Query(format!("SET {list}")));
    }
    if let Some(characteristics) = wanted.next_transaction() {
        restore.commands.push(RestoreCommand::Query(format!("SET TRANSACTION {characteristics}")));
    }
    Ok(restore)
}

/// `name=literal` for everything that differs: first what goes back to its default, so
/// that another name of the same variable wins.
fn assignments(applied: &SessionState, wanted: &SessionState) -> String {
    let mut list = String::new();
    // Beside what is set it depends on the transaction.
    let lock_wait = wanted.lock_wait();
    if applied.lock_wait() != lock_wait {
        push_assignment(&mut list, format_args!("@@session.{LOCK_WAIT_TIMEOUT}={lock_wait}"));
    }
    let is_usual = |name: &str| name != LOCK_WAIT_TIMEOUT;
    let (applied, wanted) = (applied.settings(), wanted.settings());
    for name in applied.variables.keys().filter(|name| is_usual(name)) {
        if !wanted.variables.contains_key(name) {
            push_assignment(&mut list, format_args!("@@session.{name}=DEFAULT"));
        }
    }
    for (name, value) in wanted.variables.iter().filter(|(name, _)| is_usual(name)) {
        if applied.variables.get(name) != Some(value) {
            push_assignment(&mut list, format_args!("@@session.{name}={value}"));
        }
    }
    for name in applied.user_variables.keys() {
        if !wanted.user_variables.contains_key(name) {
            push_assignment(&mut list, format_args!("@{}=NULL", Quoted(name)));
        }
    }
    for (name, value) in &wanted.user_variables {
        if applied.user_variables.get(name) != Some(value) {
            push_assignment(&mut list, format_args!("@{}={value}", Quoted(name)));
        }
    }
    list
}

fn push_names(list: &mut String, wanted: &SessionState) {
    let names = wanted.names();
    // SET NAMES also gives the collation to the results, whose columns show its number.
    let (charset, _) = names.collation().split_once('_').unwrap_or((names.collation(), ""));
    if names.client() == charset && names.results() == Some(charset) {
        push_assignment(list, format_args!("NAMES {charset} COLLATE {}", names.collation()));
        return;
    }
    push_assignment(
        list,
        format_args!("character_set_results={}", names.results().unwrap_or("NULL")),
    );
    push_assignment(list, format_args!("collation_connection={}", names.collation()));
    push_assignment(list, format_args!("character_set_client={}", names.client()));
}

fn push_assignment(list: &mut String, assignment: std::fmt::Arguments<'_>) {
    if !list.is_empty() {
        list.push(',');
    }
    // Writing to a String cannot fail.
    let _ = list.write_fmt(assignment);
}

/// An identifier in backticks, which every sql_mode reads.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('`')?;
        for part in self.0.split_inclusive('`') {
            f.write_str(part)?;
            if part.ends_with('`') {
                f.write_char('`')?;
            }
        }
        f.write_char('`')
    }
}
