//! The text of what is written on one shard: rows by their keys, many in a statement. Pure.

use super::super::compute::{literal, scratch::full_name};
use crate::error::SqlError;
use shardline_model::predicate::quote_identifier;
use shardline_router::plan::{Carried, FetchColumn, KeyColumn, Outcome};
use shardline_wire::row::TextRow;

/// What is done with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// They are deleted.
    Gone,
    /// Their other columns change.
    Changed,
    /// They are added.
    New,
}

/// Rows of one DELETE at most: each is a condition of its own.
const DELETED_MAX: u64 = 200;

/// A statement that is being written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) sql: Vec<u8>,
    pub(super) rows: u64,
}

impl Batch {
    /// Adds a row; `values` begins behind the shard's number.
    pub(super) fn push(
        &mut self,
        step: Step,
        outcome: &Outcome,
        values: &mut TextRow<'_>,
    ) -> Result<(), SqlError> {
        let table = full_name(&outcome.table);
        match (step, self.rows) {
            (Step::Gone, 0) => self.text(&format!("DELETE FROM {table} WHERE ")),
            (Step::Gone, _) => self.text(" OR "),
            (Step::Changed | Step::New, 0) => {
                let names: Vec<String> =
                    outcome.columns.iter().map(|column| quote_identifier(&column.name)).collect();
                self.text(&format!("INSERT INTO {table} ({}) VALUES ", names.join(",")));
            }
            (Step::Changed | Step::New, _) => self.text(","),
        }
        self.rows += 1;
        let mut separator = "(";
        match step {
            Step::Gone => {
                for key in &outcome.key {
                    self.text(separator);
                    separator = " AND ";
                    self.text(&quote_identifier(&key.column.name));
                    self.text("=");
                    self.compared(key, next(values)?)?;
                }
            }
            Step::Changed | Step::New => {
                for column in &outcome.columns {
                    self.text(separator);
                    separator = ",";
                    self.stored(column, next(values)?)?;
                }
            }
        }
        self.text(")");
        match values.next() {
            None => Ok(()),
            Some(_) => Err(unreadable()),
        }
    }

    /// Whether it has as many rows as it may.
    pub(super) fn is_full(&self, step: Step) -> bool {
        step == Step::Gone && self.rows >= DELETED_MAX
    }

    /// The statement's text.
    pub(super) fn finish(mut self, step: Step, outcome: &Outcome) -> Vec<u8> {
        if step == Step::Changed {
            let is_key = |name: &str| outcome.key.iter().any(|key| key.column.name == name);
            let columns = outcome.columns.iter().filter(|column| !is_key(&column.name));
            let set = columns.map(|column| {
                let name = quote_identifier(&column.name);
                format!("{name}=VALUES({name})")
            });
            let set: Vec<String> = set.collect();
            self.text(&format!(" ON DUPLICATE KEY UPDATE {}", set.join(",")));
        }
        self.sql
    }

    fn text(&mut self, text: &str) {
        self.sql.extend_from_slice(text.as_bytes());
    }

    fn stored(&mut self, column: &FetchColumn, value: Option<&[u8]>) -> Result<(), SqlError> {
        let written = literal::write(column.carried, value, &mut self.sql);
        written.map_err(|error| SqlError::internal(error.to_string()))
    }

    /// A value that is compared with its column: text is of the column's character set, so that the
    /// column's collation compares it.
    fn compared(&mut self, key: &KeyColumn, value: Option<&[u8]>) -> Result<(), SqlError> {
        let (Carried::Bytes, Some(charset), Some(bytes)) =
            (key.column.carried, &key.charset, value)
        else {
            return self.stored(&key.column, value);
        };
        self.text(&format!("_{charset} x'"));
        for byte in bytes {
            self.text(&format!("{byte:02x}"));
        }
        self.text("'");
        Ok(())
    }
}

fn next<'r>(values: &mut TextRow<'r>) -> Result<Option<&'r [u8]>, SqlError> {
    values.next().and_then(Result::ok).ok_or_else(unreadable)
}

fn unreadable() -> SqlError {
    SqlError::internal("a server sent a row of another shape than was asked for")
}
