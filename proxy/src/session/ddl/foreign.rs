//! Foreign keys are checked by the servers, each for the rows that it has. So they may lead only to where
//! a row's parent is on the row's own shard. Pure.

use crate::{
    error::SqlError,
    session::schema::{TextRow, text},
};
use shardline_model::catalog::{Catalog, Table, TableKind};
use shardline_router::plan::TableName;

/// One foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    name: String,
    /// Database and table of both ends.
    child: (String, String),
    parent: (String, String),
    /// A column and the one it refers to.
    columns: Vec<(String, String)>,
}

/// The query for all foreign keys of a table, and those that lead to it.
pub(crate) fn keys_sql(table: &TableName) -> String {
    let (database, name) = (text(&table.database), text(&table.table));
    let fields = "constraint_name, table_schema, table_name, referenced_table_schema, \
                  referenced_table_name, column_name, referenced_column_name";
    let fields: Vec<String> =
        fields.split(", ").map(|field| format!("CONVERT({field} USING utf8mb4)")).collect();
    format!(
        "SELECT {} FROM information_schema.key_column_usage \
         WHERE referenced_table_name IS NOT NULL AND ((table_schema = {database} AND table_name = {name}) \
         OR (referenced_table_schema = {database} AND referenced_table_name = {name})) \
         ORDER BY table_schema, table_name, constraint_name, ordinal_position",
        fields.join(", ")
    )
}

/// The foreign keys of that query's rows.
pub(crate) fn keys(rows: Vec<TextRow>) -> Vec<ForeignKey> {
    let mut found: Vec<ForeignKey> = Vec::new();
    for row in rows {
        let values: Option<Vec<String>> = row.into_iter().collect();
        let Some(Ok([name, database, table, to_database, to_table, column, to_column])) =
            values.map(<[String; 7]>::try_from)
        else {
            continue;
        };
        let (child, parent) = ((database, table), (to_database, to_table));
        match found.last_mut() {
            Some(last) if last.name == name && last.child == child => {
                last.columns.push((column, to_column));
            }
            _ => found.push(ForeignKey { name, child, parent, columns: vec![(column, to_column)] }),
        }
    }
    found
}

/// Whether all of these hold where the rows are. `copy` stands for `table` in them.
///
/// # Errors
/// The first that does not.
pub(crate) fn check(
    keys: &[ForeignKey],
    catalog: &Catalog,
    copy: &TableName,
    table: &TableName,
) -> Result<(), SqlError> {
    // A name without a database is one of the table's own.
    let find = |(database, name): &(String, String)| {
        let beside = *database == copy.database;
        let is_copy = beside && *name == copy.table;
        let name = if is_copy { &table.table } else { name };
        catalog.table(if beside { &table.database } else { database }, name)
    };
    for key in keys {
        // What is not there yet is looked at when it is made.
        let (Some(child), Some(parent)) = (find(&key.child), find(&key.parent)) else { continue };
        if !leads_home(child, parent, &key.columns) {
            return Err(SqlError::not_supported(
                format!(
                    "the foreign key '{}' of '{}' leads to rows of '{}' on other shards, where no \
                     server checks it",
                    key.name, child.name, parent.name
                ),
                "COLOCATE the tables and put the shard key into the foreign key, make the parent \
                 BROADCAST, or leave the foreign key out",
            ));
        }
    }
    Ok(())
}

/// Whether a row's parent is on every shard where the row is.
fn leads_home(child: &Table, parent: &Table, columns: &[(String, String)]) -> bool {
    match (&child.kind, &parent.kind) {
        (_, TableKind::Broadcast) => true,
        (TableKind::Single { shard }, TableKind::Single { shard: other }) => shard == other,
        (TableKind::Sharded(own), TableKind::Sharded(other)) => {
            let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
            let mut keys = child.key_column_names().into_iter().zip(parent.key_column_names());
            own.group == other.group
                && keys.all(|(from, to)| {
                    columns.iter().any(|(one, other)| same(one, from) && same(other, to))
                })
        }
        (TableKind::Sharded(_), TableKind::Single { .. })
        | (TableKind::Single { .. }, TableKind::Sharded(_))
        | (TableKind::Broadcast, TableKind::Sharded(_) | TableKind::Single { .. }) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_keys() {
        let row = |values: [&str; 7]| values.map(|value| Some(value.to_owned())).to_vec();
        let rows = vec![
            row(["f", "d", "c", "d", "p", "a", "x"]),
            row(["f", "d", "c", "d", "p", "b", "y"]),
            row(["g", "d", "c", "d", "q", "b", "y"]),
        ];
        let keys = keys(rows);
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].columns.len(), 2);
        assert_eq!(keys[1].parent, ("d".to_owned(), "q".to_owned()));
    }
}
