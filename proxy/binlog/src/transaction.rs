//! Gathers the rows of one transaction after the other from a stream of events.

use std::sync::Arc;

use thiserror::Error;

use crate::control::{Query, Rotate};
use crate::decoder::{Body, Event};
use crate::error::DecodeError;
use crate::gtid::mariadb::MariadbGtidEvent;
use crate::gtid::mysql::MysqlGtidEvent;
use crate::rows::{ChangeKind, Row, RowImages, Rows};
use crate::table_map::TableMap;

/// One row's change.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    /// The table as it was.
    pub table: Arc<TableMap>,
    /// What happened.
    pub kind: ChangeKind,
    /// The row as it was; of updates and deletes.
    pub before: Option<Row>,
    /// The row as it became; of inserts and updates.
    pub after: Option<Row>,
}

/// The id of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionId {
    /// Of a MariaDB.
    Mariadb(MariadbGtidEvent),
    /// Of a MySQL.
    Mysql(MysqlGtidEvent),
}

/// A committed transaction, or one statement that is its own transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// Its id, when the stream began before it.
    pub id: Option<TransactionId>,
    /// Its row changes in order.
    pub changes: Vec<RowChange>,
    /// Its statements that are not logged as rows: DDL, mostly.
    pub statements: Vec<Query>,
    /// The storage engine's number of it; `None` when it ended by a COMMIT statement or is DDL.
    pub xid: Option<u64>,
    /// The position after its last event, in the file that the last [`Progress::File`] named.
    pub end: u32,
}

/// What an event brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Nothing that is whole yet.
    None,
    /// The events that follow are in this file.
    File(Rotate),
    /// A transaction is whole.
    Transaction(Transaction),
}

/// Why a transaction cannot be gathered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CollectError {
    /// Its rows cannot be decoded.
    #[error("rows cannot be decoded")]
    Rows(#[from] DecodeError),
    /// It has more rows than the limit.
    #[error("a transaction of more than {limit} rows")]
    TooManyRows {
        /// The limit.
        limit: usize,
    },
    /// It has larger row images than the limit.
    #[error("a transaction with more than {limit} bytes of events")]
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
    /// It mixes engines: a part of it was undone by its own statements, and which part cannot be told.
    #[error("a transaction with {statement} in its log, which tables without transactions cause")]
    RolledBack {
        /// The statement.
        statement: &'static str,
    },
    /// The stream does not begin at the start of a transaction, or lacks events.
    #[error("{event} outside of a transaction")]
    OutOfOrder {
        /// The event.
        event: &'static str,
    },
}

/// Limits on one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Row changes.
    pub rows_max: usize,
    /// Bytes of its events.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows_max: 10_000_000, bytes_max: 1 << 30 }
    }
}

/// See the module's text. It sees only the tables that `wanted` picks: rows of others are passed over
/// without being decoded.
#[derive(Debug)]
pub struct Collector {
    limits: Limits,
    open: Option<Open>,
}

/// A transaction that has begun.
#[derive(Debug, Default)]
struct Open {
    id: Option<TransactionId>,
    /// One statement follows, without commit.
    standalone: bool,
    changes: Vec<RowChange>,
    statements: Vec<Query>,
    bytes: usize,
}

impl Collector {
    /// A collector between transactions.
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: None }
    }

    /// Takes the next event.
    pub fn push(
        &mut self,
        event: Event,
        wanted: &dyn Fn(&TableMap) -> bool,
    ) -> Result<Progress, CollectError> {
        let bytes = event.header.length as usize;
        let end = event.header.end;
        if let Body::Payload(events) = event.body {
            let mut last = Progress::None;
            for inner in events {
                last = self.push(inner, wanted)?;
            }
            if let Progress::Transaction(transaction) = &mut last {
                // Inner events have no positions of their own.
                transaction.end = end;
            }
            return Ok(last);
        }
        if let Some(open) = &mut self.open {
            open.bytes = open.bytes.saturating_add(bytes);
            if open.bytes > self.limits.bytes_max {
                return Err(CollectError::TooManyBytes { limit: self.limits.bytes_max });
            }
        }
        match event.body {
            Body::MariadbGtid(gtid) => self.begin(TransactionId::Mariadb(gtid), gtid.standalone),
            Body::MysqlGtid(gtid) => self.begin(TransactionId::Mysql(gtid), true),
            Body::Query(query) => self.query(query, end),
            Body::Rows(rows) => self.rows(rows, wanted),
            Body::Xid(xid) => Ok(self.commit(Some(xid), end, "a commit")?),
            Body::Rotate(rotate) => Ok(Progress::File(rotate)),
            // A server that died inside a transaction has not committed it.
            Body::Format(_) | Body::Stop => {
                self.open = None;
                Ok(Progress::None)
            }
            Body::Heartbeat(_)
            | Body::MariadbGtidList(_)
            | Body::PreviousGtids(_)
            | Body::Statement(_)
            | Body::TableMap(_)
            | Body::StatementEnd
            | Body::Payload(_)
            | Body::Nothing => Ok(Progress::None),
        }
    }

    fn begin(&mut self, id: TransactionId, standalone: bool) -> Result<Progress, CollectError> {
        if self.open.is_some() {
            return Err(CollectError::OutOfOrder { event: "a second transaction's start" });
        }
        self.open = Some(Open { id: Some(id), standalone, ..Open::default() });
        Ok(Progress::None)
    }

    fn query(&mut self, query: Query, end: u32) -> Result<Progress, CollectError> {
        if query.is("BEGIN") {
            self.open.get_or_insert_default().standalone = false;
            return Ok(Progress::None);
        }
        if query.is("COMMIT") {
            return self.commit(None, end, "COMMIT");
        }
        if query.is("ROLLBACK") {
            return Err(CollectError::RolledBack { statement: "ROLLBACK" });
        }
        if query.starts_with("ROLLBACK TO") {
            return Err(CollectError::RolledBack { statement: "ROLLBACK TO" });
        }
        if query.starts_with("SAVEPOINT") && self.open.is_some() {
            return Ok(Progress::None);
        }
        let open = self.open.get_or_insert_with(|| Open { standalone: true, ..Open::default() });
        open.statements.push(query);
        if open.standalone { self.commit(None, end, "a statement") } else { Ok(Progress::None) }
    }

    fn rows(
        &mut self,
        rows: Rows,
        wanted: &dyn Fn(&TableMap) -> bool,
    ) -> Result<Progress, CollectError> {
        let open = self.open.as_mut().ok_or(CollectError::OutOfOrder { event: "a rows event" })?;
        if !wanted(rows.table()) {
            return Ok(Progress::None);
        }
        let (table, kind) = (Arc::clone(rows.table()), rows.change());
        for images in rows {
            let RowImages { before, after } = images?;
            if open.changes.len() >= self.limits.rows_max {
                return Err(CollectError::TooManyRows { limit: self.limits.rows_max });
            }
            open.changes.push(RowChange { table: Arc::clone(&table), kind, before, after });
        }
        Ok(Progress::None)
    }

    fn commit(
        &mut self,
        xid: Option<u64>,
        end: u32,
        event: &'static str,
    ) -> Result<Progress, CollectError> {
        let open = self.open.take().ok_or(CollectError::OutOfOrder { event })?;
        Ok(Progress::Transaction(Transaction {
            id: open.id,
            changes: open.changes,
            statements: open.statements,
            xid,
            end,
        }))
    }
}
