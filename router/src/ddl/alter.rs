//! ALTER TABLE: a list of changes, of which routing cares about few.

use crate::{
    clause,
    cursor::Cursor,
    ddl::wait,
    lexer::{Span, TokenKind},
    plan::{DdlKind, Refusal, ShardingClause, TableName},
};
use shardline_model::{
    catalog::{Catalog, Sharding, Table, TableKind},
    placement::Placement,
};

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
    if let Some(table) = table
        && let Some(anew) = spread_anew(cursor, &name, table, catalog)?
    {
        return Ok(anew);
    }
    let found = clause::find(cursor.tokens, cursor.index, &name.database)?;
    if let Some(clause) = &found.clause {
        check_sharding(&name, table.map(AsRef::as_ref), clause, catalog)?;
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

/// A clause that is the whole statement, and does not say what the table already is.
fn spread_anew(
    cursor: &Cursor<'_, '_>,
    name: &TableName,
    table: &Table,
    catalog: &Catalog,
) -> Result<Option<DdlKind>, Refusal> {
    if !clause::starts(cursor) {
        return Ok(None);
    }
    let mut at = *cursor;
    let sharding = clause::parse(&mut at, &name.database, false)?;
    let background = at.accept("ASYNC");
    let is_new = background || !says_what_is(table, &sharding, catalog);
    let alone = at.at_end() && is_new;
    Ok(alone.then(|| DdlKind::Reshard { table: name.clone(), sharding, background }))
}

/// Whether a declaration says only what the table already is.
fn says_what_is(table: &Table, clause: &ShardingClause, catalog: &Catalog) -> bool {
    let same = |columns: &[String], colocate: &Option<TableName>, function: Function| {
        let TableKind::Sharded(sharding) = &table.kind else { return false };
        let names = sharding.key_columns.iter().filter_map(|&index| table.columns.get(index));
        let group = |sharding: &Sharding| catalog.groups.get(&sharding.group);
        let other = colocate.as_ref().map(|other| catalog.table(&other.database, &other.table));
        sharding.key_columns.len() == columns.len()
            && names.zip(columns).all(|(key, column)| key.name.eq_ignore_ascii_case(column))
            && group(sharding).is_none_or(|group| Function::of(&group.placement) == function)
            && other.is_none_or(|other| {
                let other = other.and_then(|other| other.sharding());
                other.is_some_and(|other| other.group == sharding.group)
            })
    };
    match clause {
        ShardingClause::Hash { columns, colocate } => same(columns, colocate, Function::Hash),
        ShardingClause::Range { columns, units, colocate } => {
            units.is_empty() && same(columns, colocate, Function::Range)
        }
        ShardingClause::List { columns, units, default, colocate } => {
            units.is_empty() && default.is_none() && same(columns, colocate, Function::List)
        }
        ShardingClause::Broadcast => table.kind == TableKind::Broadcast,
        ShardingClause::Single { shard } => {
            shard.is_none() && matches!(table.kind, TableKind::Single { .. })
        }
    }
}

/// A sharding function without its units.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    Hash,
    Range,
    List,
}

impl Function {
    fn of(placement: &Placement) -> Self {
        match placement {
            Placement::Hash(_) => Function::Hash,
            Placement::Range(_) => Function::Range,
            Placement::List(_) => Function::List,
        }
    }
}

/// Allows a declaration that only says what the table already is.
fn check_sharding(
    name: &TableName,
    table: Option<&Table>,
    clause: &ShardingClause,
    catalog: &Catalog,
) -> Result<(), Refusal> {
    if table.is_none_or(|table| says_what_is(table, clause, catalog)) {
        return Ok(());
    }
    Err(Refusal::not_supported(
        format!(
            "the sharding of {}.{} cannot be changed together with something else",
            name.database, name.table
        ),
        "write ALTER TABLE .. SHARD BY .. (or BROADCAST, SINGLE) as a statement of its own",
    ))
}
