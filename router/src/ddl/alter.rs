//! ALTER TABLE: a list of changes, of which routing cares about few.

use crate::{
    clause,
    cursor::Cursor,
    ddl::wait,
    lexer::{Span, TokenKind},
    plan::{DdlKind, Refusal, ShardingClause, TableName},
};
use shardline_model::catalog::{Catalog, Table, TableKind};

pub(super) fn alter_table(
    cursor: &mut Cursor<'_, '_>,
    database: Option<&str>,
    catalog: &Catalog,
    cuts: &mut Vec<Span>,
) -> Result<DdlKind, Refusal> {
    cursor.accept("ONLINE");
    cursor.accept("IGNORE");
    if !cursor.accept("TABLE") {
        return Err(cursor.unexpected("TABLE or DATABASE"));
    }
    cursor.accept("IF EXISTS");
    let name = cursor.table(database)?;
    wait(cursor);
    let table = catalog.databases.get(&name.database).and_then(|db| db.tables.get(&name.table));
    let found = clause::find(cursor.tokens, cursor.index, &name.database)?;
    if let Some(clause) = &found.clause {
        check_sharding(&name, table.map(AsRef::as_ref), clause)?;
        cuts.extend(&found.cuts);
    }
    let mut renamed = None;
    while !cursor.at_end() {
        if let Some(table) = table {
            check_key_column(cursor, table)?;
        }
        refuse_change(cursor)?;
        if let Some(new) = renaming(cursor, &name.database)? {
            renamed = Some(new);
        }
        cursor.skip_to_comma();
        cursor.accept_kind(TokenKind::Comma);
    }
    Ok(DdlKind::AlterTable { table: name, renamed })
}

/// `RENAME [TO | AS | =] name`, but not RENAME COLUMN, INDEX or KEY.
fn renaming(cursor: &mut Cursor<'_, '_>, database: &str) -> Result<Option<TableName>, Refusal> {
    let of_part = ["COLUMN", "INDEX", "KEY"]
        .iter()
        .any(|word| cursor.tokens.is_keyword(cursor.index + 1, word));
    if of_part || !cursor.accept("RENAME") {
        return Ok(None);
    }
    if !cursor.accept_any(&["TO", "AS"]) {
        cursor.accept_kind(TokenKind::Equal);
    }
    cursor.table(Some(database)).map(Some)
}

fn refuse_change(cursor: &Cursor<'_, '_>) -> Result<(), Refusal> {
    let changes = [
        "EXCHANGE PARTITION",
        "CONVERT TABLE",
        "CONVERT PARTITION",
        "DISCARD TABLESPACE",
        "IMPORT TABLESPACE",
    ];
    match changes.iter().find(|words| cursor.are(words)) {
        None => Ok(()),
        Some(words) => Err(Refusal::not_supported(
            format!(
                "ALTER TABLE .. {words} is not supported: it exchanges whole tablespaces of one server"
            ),
            "move the rows with INSERT and DELETE",
        )),
    }
}

/// Refuses to drop, change or rename a shard-key column.
fn check_key_column(cursor: &Cursor<'_, '_>, table: &Table) -> Result<(), Refusal> {
    let TableKind::Sharded(sharding) = &table.kind else { return Ok(()) };
    let mut at = *cursor;
    let verb = at.accept_any(&["RENAME COLUMN", "DROP COLUMN", "CHANGE COLUMN", "MODIFY COLUMN"])
        || at.accept_any(&["DROP", "CHANGE", "MODIFY"]);
    if !verb {
        return Ok(());
    }
    at.accept("IF EXISTS");
    let parts = [
        "INDEX",
        "KEY",
        "PRIMARY",
        "FOREIGN",
        "CONSTRAINT",
        "PARTITION",
        "PERIOD",
        "SYSTEM",
        "CHECK",
    ];
    if parts.iter().any(|word| at.is(word)) {
        return Ok(());
    }
    let Some(column) = at.identifier() else { return Ok(()) };
    let is_key = sharding
        .key_columns
        .iter()
        .filter_map(|&index| table.columns.get(index))
        .any(|key| key.name.eq_ignore_ascii_case(&column));
    if !is_key {
        return Ok(());
    }
    Err(Refusal::not_supported(
        format!(
            "{column} is the shard key of {}.{}: every row's place depends on it",
            table.database, table.name
        ),
        "create a new table with the other key and copy the rows",
    ))
}

/// Allows a declaration that only says what the table already is.
fn check_sharding(
    name: &TableName,
    table: Option<&Table>,
    clause: &ShardingClause,
) -> Result<(), Refusal> {
    let Some(table) = table else { return Ok(()) };
    let same_columns = |columns: &[String]| match &table.kind {
        TableKind::Sharded(sharding) => {
            let names = sharding.key_columns.iter().filter_map(|&index| table.columns.get(index));
            sharding.key_columns.len() == columns.len()
                && names.zip(columns).all(|(key, column)| key.name.eq_ignore_ascii_case(column))
        }
        TableKind::Broadcast | TableKind::Single { .. } => false,
    };
    let same = match clause {
        ShardingClause::Hash { columns, .. } => same_columns(columns),
        ShardingClause::Range { columns, units, .. } => units.is_empty() && same_columns(columns),
        ShardingClause::List { columns, units, .. } => units.is_empty() && same_columns(columns),
        ShardingClause::Broadcast => table.kind == TableKind::Broadcast,
        ShardingClause::Single { shard } => {
            shard.is_none() && matches!(table.kind, TableKind::Single { .. })
        }
    };
    if same {
        return Ok(());
    }
    Err(Refusal::not_supported(
        format!(
            "the sharding of {}.{} cannot be changed after its creation",
            name.database, name.table
        ),
        "declare it in CREATE TABLE or as a rule in cluster.yaml before the table is created, \
         or create a new table and copy the rows",
    ))
}
