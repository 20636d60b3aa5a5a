//! A table as `information_schema` describes it: plain data that the caller reads, by these queries or
//! its own.

use super::UndoError;
use super::sql_type::SqlType;
use crate::literal;

/// A table's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDefinition {
    /// Database.
    pub database: String,
    /// Table.
    pub table: String,
    /// Columns in their order, generated and invisible ones included.
    pub columns: Vec<ColumnDefinition>,
    /// Names of the primary key's columns.
    pub primary_key: Vec<String>,
    /// The storage engine; empty for a view.
    pub engine: String,
    /// Whether old rows are kept (MariaDB's `WITH SYSTEM VERSIONING`).
    pub system_versioned: bool,
    /// Names of its triggers.
    pub triggers: Vec<String>,
    /// Foreign keys of other tables to this one that change those tables' rows: `constraint of database.table`.
    pub cascades: Vec<String>,
}

/// A column's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: SqlType,
    /// Whether the server computes it.
    pub generated: Generated,
    /// Whether the server sets it when the row changes (`ON UPDATE CURRENT_TIMESTAMP`).
    pub on_update: bool,
}

/// Whether and when a column is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// It is written.
    No,
    /// Computed when read. What the binlog has of it may be out of date.
    Virtual,
    /// Computed when the row is written.
    Stored,
}

/// One row of an answer, each value as text.
pub type TextRow = Vec<Option<String>>;

/// The queries whose answers [`TableDefinition::from_rows`] takes, in its order.
pub fn queries(database: &str, table: &str) -> [String; 5] {
    let is = |column: &str, name: &str| {
        // The first condition is for the server's shortcuts, the second for names that differ in case.
        let name = literal::text("utf8mb4", name.as_bytes());
        format!("{column} = {name} AND CAST({column} AS BINARY) = CAST({name} AS BINARY)")
    };
    let of = |schema: &str, name: &str| format!("{} AND {}", is(schema, database), is(name, table));
    let this = of("TABLE_SCHEMA", "TABLE_NAME");
    [
        format!("SELECT ENGINE, TABLE_TYPE FROM information_schema.TABLES WHERE {this}"),
        format!(
            "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, \
             CHARACTER_OCTET_LENGTH, DATETIME_PRECISION, EXTRA \
             FROM information_schema.COLUMNS WHERE {this} ORDER BY ORDINAL_POSITION"
        ),
        format!(
            "SELECT COLUMN_NAME FROM information_schema.STATISTICS \
             WHERE {this} AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX"
        ),
        format!(
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE {}",
            of("EVENT_OBJECT_SCHEMA", "EVENT_OBJECT_TABLE")
        ),
        format!(
            "SELECT CONSTRAINT_NAME, CONSTRAINT_SCHEMA, TABLE_NAME \
             FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE {} \
             AND NOT (DELETE_RULE IN ('RESTRICT', 'NO ACTION') \
             AND UPDATE_RULE IN ('RESTRICT', 'NO ACTION'))",
            of("UNIQUE_CONSTRAINT_SCHEMA", "REFERENCED_TABLE_NAME")
        ),
    ]
}

impl TableDefinition {
    /// Puts the answers to [`queries`] together.
    pub fn from_rows(
        database: &str,
        table: &str,
        answers: [Vec<TextRow>; 5],
    ) -> Result<Self, UndoError> {
        let [tables, columns, keys, triggers, cascades] = answers;
        let full_name = || format!("{database}.{table}");
        let found = tables.first().ok_or_else(|| UndoError::NoDefinition { table: full_name() })?;
        let columns = columns.iter().map(|row| {
            ColumnDefinition::from_row(row).ok_or_else(|| UndoError::UnsupportedType {
                table: full_name(),
                column: at(row, 0).to_owned(),
                kind: at(row, 2).to_owned(),
            })
        });
        let first = |rows: &[TextRow]| rows.iter().map(|row| at(row, 0).to_owned()).collect();
        Ok(Self {
            database: database.to_owned(),
            table: table.to_owned(),
            columns: columns.collect::<Result<_, _>>()?,
            primary_key: first(&keys),
            engine: at(found, 0).to_owned(),
            system_versioned: at(found, 1).eq_ignore_ascii_case("SYSTEM VERSIONED"),
            triggers: first(&triggers),
            cascades: cascades
                .iter()
                .map(|row| format!("{} of {}.{}", at(row, 0), at(row, 1), at(row, 2)))
                .collect(),
        })
    }

    /// `database.table`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }

    /// Whether changes of its rows can be undone from the binlog; to be asked before a transaction may
    /// write to it.
    pub fn check(&self) -> Result<(), UndoError> {
        let table = self.full_name();
        if !self.engine.eq_ignore_ascii_case("InnoDB") {
            return Err(UndoError::Engine { table, engine: self.engine.clone() });
        }
        if self.primary_key.is_empty() {
            return Err(UndoError::NoPrimaryKey { table });
        }
        if self.system_versioned {
            return Err(UndoError::SystemVersioned { table });
        }
        if !self.triggers.is_empty() {
            return Err(UndoError::Triggers { table, triggers: self.triggers.join(", ") });
        }
        if !self.cascades.is_empty() {
            return Err(UndoError::Cascades { table, constraints: self.cascades.join(", ") });
        }
        Ok(())
    }
}

impl ColumnDefinition {
    fn from_row(row: &TextRow) -> Option<Self> {
        let number = |place| at(row, place).parse::<u64>().unwrap_or(0);
        let extra = at(row, 6).to_ascii_uppercase();
        let kind = SqlType::from_text(at(row, 1), at(row, 2), at(row, 3), number(4), number(5))?;
        let generated = if extra.contains("VIRTUAL GENERATED") {
            Generated::Virtual
        } else if extra.contains("STORED GENERATED") || extra.contains("PERSISTENT") {
            Generated::Stored
        } else {
            Generated::No
        };
        let on_update = extra.contains("ON UPDATE");
        Some(Self { name: at(row, 0).to_owned(), kind, generated, on_update })
    }
}

fn at(row: &TextRow, place: usize) -> &str {
    row.get(place).and_then(Option::as_deref).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[&str]) -> TextRow {
        values.iter().map(|value| Some((*value).to_owned())).collect()
    }

    fn answers() -> [Vec<TextRow>; 5] {
        let columns = vec![
            row(&["id", "int", "int(10) unsigned", "", "", "", "auto_increment"]),
            row(&["v", "int", "int(11)", "", "", "", "VIRTUAL GENERATED"]),
            row(&["t", "timestamp", "timestamp(3)", "", "", "3", "on update current_timestamp(3)"]),
        ];
        let tables = vec![row(&["InnoDB", "BASE TABLE"])];
        [tables, columns, vec![row(&["id"])], Vec::new(), Vec::new()]
    }

    #[test]
    fn puts_rows_together() {
        let table = TableDefinition::from_rows("d", "t", answers()).expect("a definition");
        assert_eq!(table.check(), Ok(()));
        assert_eq!(table.columns[1].generated, Generated::Virtual);
        assert!(table.columns[2].on_update);
        assert_eq!(table.columns[2].kind, SqlType::Timestamp { digits: 3 });
    }

    #[test]
    fn tables_that_cannot_be_undone_are_refused() {
        let refused = |change: fn(&mut [Vec<TextRow>; 5])| {
            let mut answers = answers();
            change(&mut answers);
            let table = TableDefinition::from_rows("d", "t", answers);
            table.and_then(|table| table.check()).expect_err("refused").to_string()
        };
        assert!(refused(|a| a[2].clear()).contains("primary key"));
        assert!(refused(|a| a[3].push(row(&["trg"]))).contains("trg"));
        assert!(refused(|a| a[4].push(row(&["fk", "d", "child"]))).contains("fk of d.child"));
        assert!(refused(|a| a[0][0] = row(&["MyISAM", "BASE TABLE"])).contains("MyISAM"));
        assert!(refused(|a| a[0][0] = row(&["InnoDB", "SYSTEM VERSIONED"])).contains("versions"));
        assert!(refused(|a| a[1][0] = row(&["id", "xmltype", "xmltype"])).contains("xmltype"));
    }
}
