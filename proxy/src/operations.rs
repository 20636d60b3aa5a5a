//! What operators ask of the cluster in SQL and what is not the proxy's own to do: jobs, shards, the moving
//! of data. Whoever builds the proxy puts it in; a proxy without it says so.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

/// What comes of an operation.
pub type Answer = Pin<Box<dyn Future<Output = Result<OperationTable, OperationRefusal>> + Send>>;

/// The operations of a cluster.
pub trait Operations: Send + Sync + fmt::Debug {
    /// `CALL shardline.procedure(arguments)`. What it began goes on when the caller goes away.
    fn call(self: Arc<Self>, caller: Caller, procedure: String, arguments: Vec<String>) -> Answer;

    /// The rows of a table of the database `shardline`, as they are now.
    fn table(self: Arc<Self>, table: VirtualTable) -> Answer;

    /// The same without rows.
    fn columns(&self, table: VirtualTable) -> OperationTable;
}

/// Who calls a procedure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub user: String,
    /// Its client's address.
    pub host: String,
}

/// The tables of the database `shardline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtualTable {
    /// Long work.
    Jobs,
    /// Units on their way.
    Moves,
    /// Shards.
    Shards,
    /// Sessions of this proxy.
    Sessions,
    /// What statements cost here.
    TopSql,
    /// Slow statements here.
    SlowSql,
}

impl VirtualTable {
    /// The table of a name, without regard to case.
    pub fn of(name: &str) -> Option<Self> {
        let all = [
            ("jobs", Self::Jobs),
            ("moves", Self::Moves),
            ("shards", Self::Shards),
            ("sessions", Self::Sessions),
            ("top_sql", Self::TopSql),
            ("slow_sql", Self::SlowSql),
        ];
        all.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, table)| table)
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationColumn {
    /// Its name.
    pub name: String,
    /// Whether its values are numbers.
    pub is_number: bool,
}

/// Rows of texts; None is NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationTable {
    /// The columns.
    pub columns: Vec<OperationColumn>,
    /// The rows, each with a value for every column.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRefusal {
    /// What is in the way.
    pub reason: String,
    /// What to do.
    pub hint: Option<String>,
}
