//! Which columns of a table a statement can need, and how their values come from a shard so
//! that another server stores exactly the same.

use crate::{
    bind::same_name,
    lexer::TokenKind,
    parse::Pieces,
    plan::{Carried, FetchColumn, Refusal},
    planner::shape::QUANTIFIERS,
};
use shardline_model::{
    catalog::{Column, Table},
    predicate::quote_identifier,
};
use std::collections::BTreeSet;

/// What a statement's words say about columns.
#[derive(Debug)]
pub(super) struct Needed {
    /// A star or NATURAL stands somewhere, or a name of other letters than ASCII: servers take
    /// some of them for each other.
    all: bool,
    /// Every name in it, in lower case: one of them may be a column.
    names: BTreeSet<String>,
}

impl Needed {
    pub(super) fn of(pieces: &Pieces<'_>) -> Self {
        let star = |index: usize| {
            let Some(before) = index.checked_sub(1) else { return false };
            pieces.text(index) == b"*"
                && (pieces.is(before, TokenKind::Comma)
                    || pieces.is(before, TokenKind::Dot)
                    || pieces.is_word(before, "SELECT")
                    || pieces.is_any_word(before, QUANTIFIERS))
        };
        let foreign = |index: usize| {
            let name = matches!(
                pieces.kind(index),
                Some(TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::Introducer)
            );
            name && !pieces.text(index).is_ascii()
        };
        let all = (0..pieces.len()).any(|index| {
            star(index) || foreign(index) || pieces.is_any_word(index, &["NATURAL", "TABLE"])
        });
        let names = (0..pieces.len()).filter_map(|index| pieces.identifier(index));
        Self { all, names: names.map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// The columns of a table to bring, and whether all others may be left out of an INSERT.
    pub(super) fn columns(&self, table: &Table) -> Result<(Vec<FetchColumn>, bool), Refusal> {
        let named = |column: &&Column| {
            !column.name.is_ascii() || self.names.contains(&column.name.to_ascii_lowercase())
        };
        let keyed = |column: &Column| {
            let mut names = table.unique_keys.iter().flat_map(|key| &key.columns);
            names.any(|name| same_name(name, &column.name))
        };
        // A part of a key without a name is an expression of columns that are not known here.
        let unknown =
            table.unique_keys.iter().flat_map(|key| &key.columns).any(|name| name.is_empty());
        let generated = table.columns.iter().filter(|column| column.generated);
        let all =
            self.all || unknown || generated.clone().any(|column| named(&column) || keyed(column));
        let stored = || table.columns.iter().filter(|column| !column.generated);
        let mut chosen: Vec<&Column> =
            stored().filter(|column| all || named(column) || keyed(column)).collect();
        if chosen.is_empty() {
            chosen.extend(stored().next());
        }
        let auto = table.auto_increment.and_then(|index| table.columns.get(index));
        let may_lack = |column: &Column| {
            column.nullable
                || column.default.is_some()
                || auto.is_some_and(|auto| auto.name == column.name)
        };
        let left = |column: &&Column| !chosen.iter().any(|one| one.name == column.name);
        let complete = stored().filter(left).all(may_lack);
        let columns = chosen.into_iter().map(|column| fetched(table, column));
        Ok((columns.collect::<Result<_, Refusal>>()?, complete))
    }
}

fn fetched(table: &Table, column: &Column) -> Result<FetchColumn, Refusal> {
    let carried = carried(column).ok_or_else(|| {
        Refusal::not_supported(
            format!(
                "column '{}' of '{}' has type {}, whose values are not carried between servers",
                column.name, table.name, column.column_type
            ),
            "leave the column out, or give the shard key a value in WHERE",
        )
    })?;
    Ok(FetchColumn { name: column.name.clone(), carried })
}

/// All columns of a table that are stored.
pub(crate) fn all(table: &Table) -> Result<Vec<FetchColumn>, Refusal> {
    let stored = table.columns.iter().filter(|column| !column.generated);
    stored.map(|column| fetched(table, column)).collect()
}

/// The first word of a column's type.
fn kind(column: &Column) -> &str {
    let text = column.column_type.as_str();
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default()
}

/// None for types whose values are not known to come back as they were.
fn carried(column: &Column) -> Option<Carried> {
    Some(match kind(column) {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" | "bit"
        | "enum" | "set" | "boolean" | "bool" | "integer" | "numeric" => Carried::Number,
        "float" | "double" | "real" | "date" | "datetime" | "time" | "uuid" | "inet4" | "inet6" => {
            Carried::Text
        }
        "timestamp" => Carried::Timestamp,
        "json" => Carried::Utf8,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "binary"
        | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry" | "point"
        | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" | "vector" => Carried::Bytes,
        _ => return None,
    })
}

/// Appends what selects a column's value.
pub(super) fn select(table: &Table, column: &FetchColumn, sql: &mut Vec<u8>) {
    sql.extend_from_slice(read(table, column, "").as_bytes());
}

/// What selects a column's value, where its table is named by `prefix`.
pub(crate) fn read(table: &Table, column: &FetchColumn, prefix: &str) -> String {
    let quoted = format!("{prefix}{}", quote_identifier(&column.name));
    let definition = table.columns.iter().find(|one| one.name == column.name);
    match definition.map(kind).unwrap_or_default() {
        // As text it would be rounded to six digits; as a sum the zero would lose its sign.
        "float" => format!("({quoted}*1e0)"),
        "bit" | "enum" | "set" => format!("CAST({quoted} AS UNSIGNED)"),
        "timestamp" => format!("UNIX_TIMESTAMP({quoted})"),
        // Text in the column's own character set, whatever the session's is.
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
            format!("CAST({quoted} AS BINARY)")
        }
        "json" => format!("CAST(CAST({quoted} AS CHAR CHARACTER SET utf8mb4) AS BINARY)"),
        _ => quoted,
    }
}
