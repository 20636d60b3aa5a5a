//! The statements that undo a committed transaction's row changes: in reverse order an insert is
//! deleted, a delete is inserted, an update gets its image from before. Each does something only if
//! the row still is what the transaction made of it.
//!
//! Who runs them does so in one local transaction of a session with the [`SESSION`] settings. Each
//! statement must affect exactly one row. One that affects none, or ends with a duplicate key, has found
//! a row that someone else has changed since: roll back and report both images. After it,
//! [`UndoStatement::verify`] must count one row: then the row is what it was, to the byte.
//!
//! A table without primary key, with triggers or with foreign keys that change other tables cannot be
//! undone from a binlog and is refused: cascades are not logged (MariaDB) or in an order that cannot be
//! reversed (MySQL from 9.6), and an undo would fire the triggers again.

pub mod definition;
mod expression;
pub mod image;
mod plan;
pub mod sql_type;

use thiserror::Error;

use crate::rows::ChangeKind;
use crate::transaction::RowChange;

pub use definition::{ColumnDefinition, Generated, TableDefinition};
pub use sql_type::SqlType;

/// Settings of a session that runs undo statements. Not strict, and with these modes: what is in a
/// table may not be what today's modes let in (`0000-00-00`, `2026-02-31`, an ENUM's empty value), and
/// 0 is a value of an AUTO_INCREMENT column here. Timestamps are written and compared in UTC.
pub const SESSION: [&str; 4] = [
    "SET NAMES utf8mb4",
    "SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'",
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION sql_safe_updates = 0, foreign_key_checks = 1, unique_checks = 1",
];

/// One step of an undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoStatement {
    /// The change that it undoes, by its place in the transaction.
    pub change: usize,
    /// What was done to the row and is undone.
    pub kind: ChangeKind,
    /// Must affect exactly one row.
    pub sql: String,
    /// Must give one row with the number 1 afterwards: counts rows that are what the row was before the
    /// transaction. Not there for an insert: its row is gone.
    pub verify: Option<String>,
}

/// Why a transaction cannot be undone. Nothing was done then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UndoError {
    /// The caller has no definition of a table.
    #[error("{table}: there is no such table any more")]
    NoDefinition {
        /// `database.table`.
        table: String,
    },
    /// Without primary key no row can be told from others.
    #[error("{table} has no primary key")]
    NoPrimaryKey {
        /// `database.table`.
        table: String,
    },
    /// Only InnoDB rolls back.
    #[error("{table} is of engine {engine}, not InnoDB")]
    Engine {
        /// `database.table`.
        table: String,
        /// The engine.
        engine: String,
    },
    /// An undo would itself be kept as history.
    #[error("{table} keeps old versions of its rows (WITH SYSTEM VERSIONING)")]
    SystemVersioned {
        /// `database.table`.
        table: String,
    },
    /// An undo would fire them again.
    #[error("{table} has triggers: {triggers}")]
    Triggers {
        /// `database.table`.
        table: String,
        /// Their names.
        triggers: String,
    },
    /// What a foreign key changes in other tables is not in the binlog.
    #[error("{table} has foreign keys to it that change other tables: {constraints}")]
    Cascades {
        /// `database.table`.
        table: String,
        /// `constraint of database.table`, separated by commas.
        constraints: String,
    },
    /// A type that is not known.
    #[error("column {column} of {table} has type {kind}, whose values cannot be undone")]
    UnsupportedType {
        /// `database.table`.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },
    /// The definition is not the one that the rows were logged with.
    #[error("{table} was altered since: {difference}")]
    Altered {
        /// `database.table`.
        table: String,
        /// What differs.
        difference: String,
    },
    /// An image lacks a column.
    #[error("column {column} of {table} is not in the row's image: set binlog_row_image=FULL")]
    PartialImage {
        /// `database.table`.
        table: String,
        /// The column.
        column: String,
    },
    /// A value does not fit its column's type, or is JSON with a part that no function can make.
    #[error("column {column} of {table}: the value cannot be written as SQL")]
    Value {
        /// `database.table`.
        table: String,
        /// The column.
        column: String,
    },
    /// A statement would be larger than the server takes.
    #[error("{table}: a row that needs a statement of {length} bytes, more than {limit}")]
    TooLarge {
        /// `database.table`.
        table: String,
        /// The statement's bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

/// The statements that undo these changes, in the order in which they are to be run.
///
/// `definition` gives the definition of a table of the changes. `statement_max` is the server's
/// `max_allowed_packet`, less what the caller adds.
pub fn plan<'a>(
    changes: &[RowChange],
    definition: &dyn Fn(&str, &str) -> Option<&'a TableDefinition>,
    statement_max: usize,
) -> Result<Vec<UndoStatement>, UndoError> {
    let mut tables = plan::Tables::new(definition);
    let mut statements = Vec::with_capacity(changes.len());
    for (place, change) in changes.iter().enumerate().rev() {
        let table = tables.of(&change.table)?;
        let Some(statement) = table.undo(place, change)? else { continue };
        let longest = statement.verify.as_ref().map_or(0, String::len).max(statement.sql.len());
        if longest > statement_max {
            let table = change.table.full_name();
            return Err(UndoError::TooLarge { table, length: longest, limit: statement_max });
        }
        statements.push(statement);
    }
    Ok(statements)
}

/// What is known of the row of a change, for people, and how to ask what it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `database.table`.
    pub table: String,
    /// Its primary key as a condition, the one that it had last.
    pub key: String,
    /// As the transaction left it; `None` when it deleted the row.
    pub expected: Option<String>,
    /// Reads the row with that key: at most one row, whose values are those of `columns`.
    pub sql: String,
    /// Names of the columns.
    pub columns: Vec<String>,
}

impl Subject {
    /// A row that [`Subject::sql`] gave, as text in the form of `expected`.
    pub fn describe(&self, row: &[Option<bytes::Bytes>]) -> String {
        let text = |value: &Option<bytes::Bytes>| match value {
            Some(value) => String::from_utf8_lossy(value).into_owned(),
            None => "NULL".to_owned(),
        };
        let pairs = self.columns.iter().zip(row);
        pairs.map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(", ")
    }
}

/// The row of a change.
///
/// # Errors
/// As [`plan`].
pub fn subject<'a>(
    change: &RowChange,
    definition: &dyn Fn(&str, &str) -> Option<&'a TableDefinition>,
) -> Result<Subject, UndoError> {
    plan::Tables::new(definition).of(&change.table)?.subject(change)
}

/// The statements that put back every row of these changes as it was before, whatever it is now. They
/// overwrite what others have written since: for somebody who has looked at both. Each may affect
/// any number of rows; a duplicate key is another row that has taken a unique value.
///
/// # Errors
/// As [`plan`].
pub fn overwrite<'a>(
    changes: &[RowChange],
    definition: &dyn Fn(&str, &str) -> Option<&'a TableDefinition>,
    statement_max: usize,
) -> Result<Vec<String>, UndoError> {
    let mut tables = plan::Tables::new(definition);
    let mut statements = Vec::with_capacity(2 * changes.len());
    for change in changes.iter().rev() {
        for sql in tables.of(&change.table)?.overwrite(change)? {
            if sql.len() > statement_max {
                let table = change.table.full_name();
                return Err(UndoError::TooLarge { table, length: sql.len(), limit: statement_max });
            }
            statements.push(sql);
        }
    }
    Ok(statements)
}

#[cfg(test)]
mod tests;
