//! What a session has set, and what a backend connection has applied: the same type,
//! so that the difference of the two is what must be sent before a statement. Pure.

mod literal;
mod restore;
#[cfg(test)]
mod restore_test;

pub use literal::{LiteralError, SqlLiteral, system_variable_literal, user_variable_literal};
pub use restore::{NotRestorable, Restore, RestoreCommand, diff};

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// Session variables that one session may change at most.
pub const VARIABLES_MAX: usize = 512;
/// User variables that one session may hold at most.
pub const USER_VARIABLES_MAX: usize = 4096;
/// Bytes of all names and literals of one session's variables at most.
pub const STATE_BYTES_MAX: usize = 4 << 20;

/// Variables that follow the database and are set anew by every USE.
const DATABASE_VARIABLES: [&str; 2] = ["character_set_database", "collation_database"];
/// Pairs of names for one variable: the last name that was set counts.
const ALIASES: [(&str, &str); 3] = [
    ("tx_isolation", "transaction_isolation"),
    ("tx_read_only", "transaction_read_only"),
    ("identity", "last_insert_id"),
];
/// How long a statement may wait for a row lock, in seconds.
pub(crate) const LOCK_WAIT_TIMEOUT: &str = "innodb_lock_wait_timeout";
/// The most of it while waits are short.
const SHORT_LOCK_WAIT_S: u64 = 3;

/// Variables that no statement can put back: a connection that has them is not reused.
const NOT_RESTORABLE: [&str; 8] = [
    "gtid_next",
    "identity",
    "insert_id",
    "last_insert_id",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "wsrep_gtid_seq_no",
];

/// The three character sets of a session, as SET NAMES sets them together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Names {
    /// `character_set_client`.
    client: Box<str>,
    /// `character_set_results`; None is NULL (no conversion).
    results: Option<Box<str>>,
    /// `collation_connection`; its character set is `character_set_connection`.
    collation: Box<str>,
}

impl Names {
    /// Names of character sets and of a collation.
    ///
    /// # Errors
    /// When a name has other characters than letters, digits and `_`.
    pub fn new(client: &str, results: Option<&str>, collation: &str) -> Result<Self, StateError> {
        for name in [Some(client), results, Some(collation)].into_iter().flatten() {
            check_name(name)?;
        }
        Ok(Names {
            client: client.to_ascii_lowercase().into(),
            results: results.map(|name| name.to_ascii_lowercase().into()),
            collation: collation.to_ascii_lowercase().into(),
        })
    }

    /// `SET NAMES utf8mb4 COLLATE utf8mb4_general_ci`.
    pub fn utf8mb4() -> Self {
        Names {
            client: "utf8mb4".into(),
            results: Some("utf8mb4".into()),
            collation: "utf8mb4_general_ci".into(),
        }
    }

    /// `character_set_client`.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// `character_set_results`; None is NULL.
    pub fn results(&self) -> Option<&str> {
        self.results.as_deref()
    }

    /// `collation_connection`.
    pub fn collation(&self) -> &str {
        &self.collation
    }

    /// Whether statement text is read as UTF-8.
    pub(crate) fn client_is_utf8(&self) -> bool {
        self.client.starts_with("utf8")
    }
}

/// Why a setting cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The name cannot be that of a variable, character set or collation.
    #[error("'{name}' is not a name of a variable, character set or collation")]
    Name {
        /// The name.
        name: String,
    },
    /// Too many session variables.
    #[error("a session may change at most {VARIABLES_MAX} session variables")]
    TooManyVariables,
    /// Too many user variables.
    #[error("a session may hold at most {USER_VARIABLES_MAX} user variables")]
    TooManyUserVariables,
    /// Too many bytes.
    #[error("the variables of a session may take at most {STATE_BYTES_MAX} bytes together")]
    TooManyBytes,
}

/// How long a session's statements wait for row locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockWaits {
    /// As the session or the server says.
    #[default]
    AsSet,
    /// Three seconds, or less where the session or the server says less: the transaction is on
    /// several shards, so that waits may be deadlocks that no server sees.
    Short,
}

/// What a session has set, or what a backend connection has applied. A clone costs a
/// counter; a change copies what is shared.
#[derive(Clone, Debug)]
pub struct SessionState(Arc<Settings>, LockWaits);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) database: Option<Box<str>>,
    pub(crate) names: Names,
    pub(crate) variables: BTreeMap<Box<str>, SqlLiteral>,
    pub(crate) user_variables: BTreeMap<Box<str>, SqlLiteral>,
    pub(crate) next_transaction: Option<Box<str>>,
    bytes: usize,
}

impl PartialEq for SessionState {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1 && (Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0)
    }
}

impl Eq for SessionState {}

impl SessionState {
    /// What a connection has right after its handshake.
    pub fn new(names: Names, database: Option<&str>) -> Self {
        let settings = Settings {
            database: database.map(Into::into),
            names,
            variables: BTreeMap::new(),
            user_variables: BTreeMap::new(),
            next_transaction: None,
            bytes: 0,
        };
        SessionState(Arc::new(settings), LockWaits::AsSet)
    }

    /// Chooses how long statements wait for row locks; what was set is kept.
    pub fn set_lock_waits(&mut self, waits: LockWaits) {
        self.1 = waits;
    }

    /// How long statements wait for row locks.
    pub(crate) fn lock_waits(&self) -> LockWaits {
        self.1
    }

    /// What `innodb_lock_wait_timeout` is to be, as SQL text.
    fn lock_wait(&self) -> Cow<'_, str> {
        let set = self.variable(LOCK_WAIT_TIMEOUT).map(SqlLiteral::as_str);
        match (self.1, set) {
            (LockWaits::AsSet, None) => "DEFAULT".into(),
            (LockWaits::AsSet, Some(set)) => set.into(),
            (LockWaits::Short, None) => {
                // MySQL takes the bare LEAST for a decimal number.
                let least = format!("LEAST({SHORT_LOCK_WAIT_S},@@global.{LOCK_WAIT_TIMEOUT})");
                format!("CAST({least} AS UNSIGNED)").into()
            }
            (LockWaits::Short, Some(set)) => {
                let less = set.parse().is_ok_and(|seconds: u64| seconds <= SHORT_LOCK_WAIT_S);
                if less { set.into() } else { SHORT_LOCK_WAIT_S.to_string().into() }
            }
        }
    }

    /// The current database.
    pub fn database(&self) -> Option<&str> {
        self.0.database.as_deref()
    }

    /// Choose a database, or none.
    pub fn set_database(&mut self, database: Option<&str>) {
        if self.database() == database && !self.has_database_variables() {
            return;
        }
        for name in DATABASE_VARIABLES {
            self.forget_variable(name);
        }
        Arc::make_mut(&mut self.0).database = database.map(Into::into);
    }

    /// The character sets.
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// Choose the character sets.
    pub fn set_names(&mut self, names: Names) {
        if self.0.names != names {
            Arc::make_mut(&mut self.0).names = names;
        }
    }

    /// The literal that a session variable was set to; None while it has its default.
    /// The name is in lower case.
    pub fn variable(&self, name: &str) -> Option<&SqlLiteral> {
        self.0.variables.get(name)
    }

    /// All session variables that were changed.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &SqlLiteral)> {
        self.0.variables.iter().map(|(name, value)| (&**name, value))
    }

    /// Note that a session variable was set. The variables of [`Names`] are not set
    /// this way.
    ///
    /// # Errors
    /// When the name is none or a limit is reached.
    pub fn set_variable(&mut self, name: &str, value: SqlLiteral) -> Result<(), StateError> {
        check_name(name)?;
        let name = name.to_ascii_lowercase();
        for (one, other) in ALIASES {
            if name == one {
                self.forget_variable(other);
            } else if name == other {
                self.forget_variable(one);
            }
        }
        if self.0.variables.len() >= VARIABLES_MAX && self.variable(&name).is_none() {
            return Err(StateError::TooManyVariables);
        }
        let old = self.variable(&name).map(|old| name.len() + old.as_str().len());
        let bytes = self.bytes_after(old, name.len() + value.as_str().len())?;
        let settings = Arc::make_mut(&mut self.0);
        settings.bytes = bytes;
        settings.variables.insert(name.into(), value);
        Ok(())
    }

    /// Note that a session variable was set to DEFAULT.
    pub fn set_variable_default(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.forget_variable(&name);
        for (one, other) in ALIASES {
            if name == one {
                self.forget_variable(other);
            } else if name == other {
                self.forget_variable(one);
            }
        }
    }

    /// The literal that a user variable holds; None for NULL. The name is in lower case.
    pub fn user_variable(&self, name: &str) -> Option<&SqlLiteral> {
        self.0.user_variables.get(name)
    }

    /// All user variables that are not NULL.
    pub fn user_variables(&self) -> impl Iterator<Item = (&str, &SqlLiteral)> {
        self.0.user_variables.iter().map(|(name, value)| (&**name, value))
    }

    /// Note the value of a user variable; names are compared without regard to case.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn set_user_variable(&mut self, name: &str, value: SqlLiteral) -> Result<(), StateError> {
        let name = name.to_lowercase();
        let old = self.user_variable(&name).map(|old| name.len() + old.as_str().len());
        if value.is_null() {
            if let Some(old) = old {
                let settings = Arc::make_mut(&mut self.0);
                settings.bytes -= old;
                settings.user_variables.remove(name.as_str());
            }
            return Ok(());
        }
        if self.0.user_variables.len() >= USER_VARIABLES_MAX && old.is_none() {
            return Err(StateError::TooManyUserVariables);
        }
        let bytes = self.bytes_after(old, name.len() + value.as_str().len())?;
        let settings = Arc::make_mut(&mut self.0);
        settings.bytes = bytes;
        settings.user_variables.insert(name.into(), value);
        Ok(())
    }

    /// What `SET TRANSACTION` chose for the next transaction, as its text after that word.
    pub fn next_transaction(&self) -> Option<&str> {
        self.0.next_transaction.as_deref()
    }

    /// Note `SET TRANSACTION characteristics`, as recognised by the router.
    pub fn set_next_transaction(&mut self, characteristics: Option<&str>) {
        if self.next_transaction() != characteristics {
            Arc::make_mut(&mut self.0).next_transaction = characteristics.map(Into::into);
        }
    }

    /// The isolation level that the session has chosen for its transactions, in capitals, with spaces:
    /// `REPEATABLE READ`.
    pub fn isolation(&self) -> Option<String> {
        let chosen = ["transaction_isolation", "tx_isolation"];
        let level = chosen.iter().find_map(|name| self.variable(name))?;
        Some(level.plain_text().to_ascii_uppercase().replace('-', " "))
    }

    /// Whether that is SERIALIZABLE.
    pub fn is_serializable(&self) -> bool {
        self.isolation().is_some_and(|level| level == "SERIALIZABLE")
    }

    /// Whether a connection with this state can be given to another session.
    pub fn is_restorable(&self) -> bool {
        self.0.variables.is_empty()
            || !NOT_RESTORABLE.iter().any(|name| self.0.variables.contains_key(*name))
    }

    /// Whether a statement prepared under `self` means the same under `other`.
    pub fn prepares_like(&self, other: &SessionState) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.database == other.0.database
                && self.0.names == other.0.names
                && self.variable("sql_mode") == other.variable("sql_mode"))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0
    }

    fn has_database_variables(&self) -> bool {
        DATABASE_VARIABLES.iter().any(|name| self.variable(name).is_some())
    }

    fn forget_variable(&mut self, name: &str) {
        if let Some(value) = self.variable(name) {
            let freed = name.len() + value.as_str().len();
            let settings = Arc::make_mut(&mut self.0);
            settings.bytes -= freed;
            settings.variables.remove(name);
        }
    }

    fn bytes_after(&self, old: Option<usize>, new: usize) -> Result<usize, StateError> {
        let bytes = self.0.bytes - old.unwrap_or(0) + new;
        if bytes > STATE_BYTES_MAX { Err(StateError::TooManyBytes) } else { Ok(bytes) }
    }
}

fn check_name(name: &str) -> Result<(), StateError> {
    let ok = !name.is_empty()
        && name.len() <= 128
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'));
    if ok { Ok(()) } else { Err(StateError::Name { name: name.chars().take(128).collect() }) }
}
