//! Definitions read back from a shard's `information_schema` after a schema change, as
//! the catalog keeps them. Pure: the queries' texts, and their rows to catalog types.

use shardline_model::catalog::{Column, UniqueKey};

/// One row of a text result; None is NULL.
pub(crate) type TextRow = Vec<Option<String>>;

/// A table's definition as the catalog needs it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    /// Columns in order.
    pub(crate) columns: Vec<Column>,
    /// The primary key first, then the other unique keys.
    pub(crate) unique_keys: Vec<UniqueKey>,
    /// Index into `columns`.
    pub(crate) auto_increment: Option<usize>,
}

/// The query for a table's columns.
pub(crate) fn columns_sql(database: &str, table: &str) -> String {
    format!(
        "SELECT CONVERT(column_name USING utf8mb4), CONVERT(column_type USING utf8mb4), \
         collation_name, is_nullable, CONVERT(column_default USING utf8mb4), extra \
         FROM information_schema.columns WHERE table_schema = {} AND table_name = {} \
         ORDER BY ordinal_position",
        text(database),
        text(table)
    )
}

/// The query for a table's unique keys.
pub(crate) fn unique_keys_sql(database: &str, table: &str) -> String {
    format!(
        "SELECT CONVERT(index_name USING utf8mb4), CONVERT(column_name USING utf8mb4) \
         FROM information_schema.statistics \
         WHERE table_schema = {} AND table_name = {} AND non_unique = 0 \
         ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index",
        text(database),
        text(table)
    )
}

/// The query for a database's default collation.
pub(crate) fn collation_sql(database: &str) -> String {
    format!(
        "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = {}",
        text(database)
    )
}

/// The definition from the rows of both queries; None when the table has no columns,
/// that is, when it does not exist.
pub(crate) fn definition(columns: Vec<TextRow>, keys: Vec<TextRow>) -> Option<Definition> {
    if columns.is_empty() {
        return None;
    }
    let mut auto_increment = None;
    let mut found = Vec::with_capacity(columns.len());
    for (index, row) in columns.into_iter().enumerate() {
        let mut values = row.into_iter();
        let mut next = || values.next().flatten();
        let name = next()?;
        let column_type = next()?.to_lowercase();
        let collation = next();
        let nullable = next().is_some_and(|text| text == "YES");
        let default = next();
        let extra = next().unwrap_or_default().to_lowercase();
        if extra.contains("auto_increment") {
            auto_increment = Some(index);
        }
        let generated = extra.contains("generated") && !extra.contains("default_generated");
        let invisible = extra.contains("invisible");
        found.push(Column {
            name,
            column_type,
            collation,
            nullable,
            default,
            generated,
            invisible,
        });
    }
    let mut unique_keys: Vec<UniqueKey> = Vec::new();
    for row in keys {
        let mut values = row.into_iter();
        // A key part that is an expression has no column name; such a key pins nothing.
        let (Some(name), column) = (values.next().flatten(), values.next().flatten()) else {
            continue;
        };
        let column = column.unwrap_or_default();
        match unique_keys.last_mut() {
            Some(last) if last.name == name => last.columns.push(column),
            _ => unique_keys.push(UniqueKey { name, columns: vec![column] }),
        }
    }
    Some(Definition { columns: found, unique_keys, auto_increment })
}

/// A string literal that means the same in every sql_mode and character set.
pub(crate) fn text(value: &str) -> String {
    use std::fmt::Write as _;
    let mut literal = String::from("_utf8mb4 x'");
    for byte in value.bytes() {
        // Writing to a String cannot fail.
        let _ = write!(literal, "{byte:02x}");
    }
    literal.push('\'');
    literal
}

/// A name in backticks.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> TextRow {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn rows_become_a_definition() {
        let columns = vec![
            row(&[Some("Id"), Some("BIGINT(20)"), None, Some("NO"), None, Some("auto_increment")]),
            row(&[
                Some("name"),
                Some("varchar(10)"),
                Some("utf8mb4_bin"),
                Some("YES"),
                Some("NULL"),
                Some(""),
            ]),
            row(&[Some("g"), Some("int(11)"), None, Some("YES"), None, Some("STORED GENERATED")]),
        ];
        let keys = vec![
            row(&[Some("PRIMARY"), Some("Id")]),
            row(&[Some("u"), Some("Id")]),
            row(&[Some("u"), Some("name")]),
        ];
        let definition = definition(columns, keys).unwrap();
        assert_eq!(definition.auto_increment, Some(0));
        assert_eq!(definition.columns[0].column_type, "bigint(20)");
        assert!(definition.columns[1].nullable && !definition.columns[0].nullable);
        assert!(definition.columns[2].generated);
        assert_eq!(definition.unique_keys[1].columns, ["Id", "name"]);
    }

    #[test]
    fn no_columns_is_no_table() {
        assert_eq!(definition(Vec::new(), Vec::new()), None);
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(quoted("a`b"), "`a``b`");
        assert_eq!(text("a'"), "_utf8mb4 x'6127'");
    }
}
