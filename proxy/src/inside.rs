//! What others in the process may see of a proxy, and do with it: its sessions, its transactions, its statistics,
//! and what it would do with a statement.

use crate::{
    error::SqlError,
    registry::Kill,
    session::{shared::Shared, show, transactions},
    stats::Statistics,
};
use shardline_model::id::ProxyId;
use shardline_router::{digest::Digest, lexer::SqlMode, view::SessionView};
use std::{fmt, sync::Arc, time::Duration};

/// A proxy, from inside its process.
#[derive(Clone)]
pub struct Inside {
    shared: Arc<Shared>,
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inside")
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSession {
    /// Its connection id.
    pub id: u32,
    /// Its user.
    pub user: String,
    /// Its client's address.
    pub host: String,
    /// Its database.
    pub database: Option<String>,
    /// `Query`, `Sleep` ...
    pub command: &'static str,
    /// How long it has been doing that.
    pub elapsed: Duration,
    /// What it waits for, if not for a shard.
    pub state: &'static str,
    /// What it runs, with marks in place of values.
    pub statement: Option<String>,
}

/// Rows of texts; None is NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenTable {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Inside {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What statements cost.
    pub fn statistics(&self) -> &Statistics {
        &self.shared.statistics
    }

    /// The id that its lease holds.
    pub fn proxy(&self) -> Option<ProxyId> {
        self.shared.lease.load().as_ref().map(|lease| lease.proxy_id())
    }

    /// How long it has been up.
    pub fn uptime(&self) -> Duration {
        self.shared.registry.uptime()
    }

    /// All sessions, by id.
    pub fn sessions(&self) -> Vec<SeenSession> {
        let mut digest = Digest::new();
        let all = self.shared.registry.list().into_iter();
        all.map(|session| SeenSession {
            id: session.id,
            user: session.user,
            host: session.host,
            database: session.database,
            command: session.command,
            elapsed: session.elapsed,
            state: session.state,
            statement: masked(&session.statement, &mut digest),
        })
        .collect()
    }

    /// Ends a session, or what it runs; false when there is none of this id.
    pub fn kill(&self, id: u64, kill: Kill) -> bool {
        let found = self.shared.registry.find(id);
        found.inspect(|found| found.kill.throw(kill)).is_some()
    }

    /// The rows of SHOW TRANSACTIONS.
    pub fn transactions(&self) -> SeenTable {
        seen(transactions::table(&self.shared))
    }

    /// What would be done with a statement, line by line. It is not run, and takes no numbers of a sequence.
    ///
    /// # Errors
    /// It cannot be planned.
    pub fn explain(&self, database: Option<&str>, sql: &str) -> Result<Vec<String>, SqlError> {
        let catalog = self.shared.meta.catalog();
        if let Some(name) = database.filter(|name| !catalog.databases.contains_key(*name)) {
            return Err(SqlError::unknown_database(name));
        }
        let view = SessionView { database, ..SessionView::default() };
        show::explained(&self.shared.router, sql.as_bytes(), &view, &catalog, &Default::default())
    }
}

/// A text without its values; None when there is none. What cannot be read is not shown.
fn masked(statement: &[u8], digest: &mut Digest) -> Option<String> {
    if statement.is_empty() {
        return None;
    }
    match digest.scan(statement, SqlMode::default()) {
        Ok(()) => Some(String::from_utf8_lossy(&digest.text).into_owned()),
        // It may have been cut in the middle of a value.
        Err(_) => Some("(a statement that is too long to be shown)".to_owned()),
    }
}

fn seen(table: crate::session::answer::Table) -> SeenTable {
    let columns = table.columns.iter();
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    let row = |row: Vec<Option<Vec<u8>>>| row.into_iter().map(|value| value.map(text)).collect();
    SeenTable {
        columns: columns
            .map(|column| String::from_utf8_lossy(&column.name).to_ascii_lowercase())
            .collect(),
        rows: table.rows.into_iter().map(row).collect(),
    }
}
