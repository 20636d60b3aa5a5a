//! Changes of rows as the statements of one transaction. Only the last change of a row counts; what is
//! deleted goes first, so that nothing is in the way of what is written. Pure.

use crate::table::Table;
use std::{collections::BTreeMap, sync::Arc};

/// Bytes that a statement aims at.
pub(crate) const STATEMENT_BYTES: usize = 1 << 20;
/// Keys that a condition names.
const KEYS_MAX: usize = 400;

/// A row that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    /// `(...)`.
    pub(crate) sql: Vec<u8>,
    /// Its values in the unique keys that rows of other units may have, in [`Table::guards`]' order.
    pub(crate) guards: Vec<String>,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is this, whatever it was.
    Upsert(Tuple),
    /// It is gone.
    Delete,
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    /// The table's number.
    pub(crate) table: usize,
    /// The primary key as literals.
    pub(crate) key: Vec<String>,
    /// What becomes of it.
    pub(crate) change: Change,
}

impl Op {
    /// About the memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let key: usize = self.key.iter().map(|part| part.len() + 24).sum();
        key + 64
            + match &self.change {
                Change::Upsert(tuple) => tuple.sql.len(),
                Change::Delete => 0,
            }
    }
}

/// A statement, and how its answer is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// It writes.
    Write(Vec<u8>),
    /// Rows that it gives are of other units and in the way of this table.
    Guard(usize, String),
}

impl Statement {
    /// Its text.
    pub(crate) fn sql(&self) -> &[u8] {
        match self {
            Statement::Write(sql) => sql,
            Statement::Guard(_, sql) => sql.as_bytes(),
        }
    }
}

/// The last change of each row.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    rows: BTreeMap<(usize, Vec<String>), Change>,
    bytes: usize,
}

impl Batch {
    /// Adds a change that comes after all before.
    pub(crate) fn push(&mut self, op: Op) {
        self.bytes += op.bytes();
        self.rows.insert((op.table, op.key), op.change);
    }

    /// Bytes of what was pushed.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows that change.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The statements, in order.
    pub(crate) fn statements(&self, tables: &[Arc<Table>]) -> Vec<Statement> {
        let mut statements = Vec::new();
        for table in tables {
            let from = (table.number, Vec::new());
            let rows =
                self.rows.range(from..).take_while(|((number, _), _)| *number == table.number);
            let rows: Vec<(&Vec<String>, &Change)> =
                rows.map(|((_, key), change)| (key, change)).collect();
            let gone: Vec<&Vec<String>> = rows
                .iter()
                .filter(|(_, change)| matches!(change, Change::Delete))
                .map(|(key, _)| *key)
                .collect();
            for keys in gone.chunks(KEYS_MAX) {
                let condition = table.any_key(keys.iter().copied());
                // A row of other units that has the key stays.
                let inside =
                    if table.guarded { format!(" AND {}", table.inside) } else { String::new() };
                let sql = format!("DELETE FROM {} WHERE {condition}{inside}", table.sql_name);
                statements.push(Statement::Write(sql.into_bytes()));
            }
            let tuples = rows.iter().filter_map(|(_, change)| match change {
                Change::Upsert(tuple) => Some(tuple),
                Change::Delete => None,
            });
            statements.extend(upserts(table, tuples));
        }
        statements
    }
}

/// The statements that write rows of one table.
fn upserts<'a>(table: &Table, tuples: impl Iterator<Item = &'a Tuple>) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut open = Rows::default();
    for tuple in tuples {
        if !open.fits(tuple.sql.len()) {
            statements.extend(std::mem::take(&mut open).statements(table));
        }
        open.push(&tuple.sql, tuple.guards.iter().cloned());
    }
    statements.extend(open.statements(table));
    statements
}

/// The statements that write rows that were put together before.
pub(crate) fn upserts_of(table: &Table, rows: Vec<Rows>) -> Vec<Statement> {
    rows.into_iter().flat_map(|rows| rows.statements(table)).collect()
}

/// Rows that one statement writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// Their tuples with commas between.
    tuples: Vec<u8>,
    /// Their values in the guarded unique keys, key after key for each row.
    guards: Vec<String>,
    count: usize,
}

/// Rows that one statement writes at most.
const TUPLES_MAX: usize = 10_000;

impl Rows {
    /// Whether a tuple still fits. The first always does.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.count == 0 || (self.count < TUPLES_MAX && self.tuples.len() + bytes < STATEMENT_BYTES)
    }

    /// Bytes of the tuples.
    pub(crate) fn bytes(&self) -> usize {
        self.tuples.len()
    }

    /// Adds a tuple.
    pub(crate) fn push(&mut self, tuple: &[u8], guards: impl Iterator<Item = String>) {
        if self.count > 0 {
            self.tuples.push(b',');
        }
        self.tuples.extend_from_slice(tuple);
        self.guards.extend(guards);
        self.count += 1;
    }

    /// The statements that write them.
    pub(crate) fn statements(self, table: &Table) -> Vec<Statement> {
        if self.count == 0 {
            return Vec::new();
        }
        let names = table.guards();
        let mut statements = Vec::with_capacity(2);
        for (place, name) in names.iter().enumerate() {
            let values: Vec<&str> =
                self.guards.iter().skip(place).step_by(names.len()).map(String::as_str).collect();
            let sql = format!(
                "SELECT {name} FROM {} WHERE {name} IN ({}) AND NOT {} LIMIT 5",
                table.sql_name,
                values.join(", "),
                table.inside
            );
            statements.push(Statement::Guard(table.number, sql));
        }
        let mut sql = table.replace_sql().into_bytes();
        sql.extend_from_slice(&self.tuples);
        statements.push(Statement::Write(sql));
        statements
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{table, table_of};

    fn op(key: &str, change: Option<&str>) -> Op {
        let change = match change {
            Some(sql) => Change::Upsert(Tuple { sql: sql.into(), guards: vec![key.into()] }),
            None => Change::Delete,
        };
        Op { table: 3, key: vec![key.into()], change }
    }

    fn texts(batch: &Batch, table: Table) -> Vec<String> {
        let statements = batch.statements(&[Arc::new(table)]);
        statements.iter().map(|one| String::from_utf8_lossy(one.sql()).into_owned()).collect()
    }

    #[test]
    fn the_last_change_of_a_row_counts() {
        let mut batch = Batch::default();
        for op in [op("1", Some("(1)")), op("2", Some("(2)")), op("1", None), op("2", Some("(2b)"))]
        {
            batch.push(op);
        }
        assert_eq!(batch.rows(), 2);
        assert_eq!(
            texts(&batch, table_of(&["k"], &[&["k"]])),
            [
                "DELETE FROM `d`.`t` WHERE `k` IN (1)",
                "REPLACE INTO `d`.`t` (`id`, `k`, `note`) VALUES (2b)"
            ]
        );
    }

    #[test]
    fn rows_of_other_units_are_never_overwritten() {
        let mut batch = Batch::default();
        for op in [op("1", Some("(1)")), op("2", None), op("3", Some("(3)"))] {
            batch.push(op);
        }
        let statements = texts(&batch, table(&[&["id"]]));
        assert!(statements[0].starts_with("DELETE FROM `d`.`t` WHERE `id` IN (2) AND ("));
        assert!(
            statements[1].starts_with("SELECT `id` FROM `d`.`t` WHERE `id` IN (1, 3) AND NOT (")
        );
        assert_eq!(statements.len(), 3);
    }

    #[test]
    fn large_rows_get_statements_of_their_own() {
        let mut rows = Rows::default();
        assert!(rows.fits(5 << 20));
        rows.push(&vec![b'x'; 5 << 20], std::iter::empty());
        assert!(!rows.fits(1));
    }
}
