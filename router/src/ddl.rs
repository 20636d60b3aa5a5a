//! Recognises schema changes from tokens: which tables, which sharding, and the text for
//! the servers without our clause. Column definitions are the servers' matter: the
//! catalog reads them back from `information_schema`.

mod alter;

use crate::{
    clause,
    cursor::Cursor,
    lexer::{Span, TokenKind, Tokens},
    plan::{Ddl, DdlKind, Plan, Refusal, TableName},
};
use shardline_model::catalog::Catalog;

/// Most tables in one statement.
const TABLES_MAX: usize = 1_000;
/// Databases that belong to the servers or to the cluster itself.
const SYSTEM_DATABASES: &[&str] =
    &["_shardline", "information_schema", "mysql", "performance_schema", "sys"];

/// Recognises a statement that starts with CREATE, ALTER, DROP, TRUNCATE or RENAME.
pub(crate) fn recognise(
    tokens: &Tokens<'_>,
    database: Option<&str>,
    catalog: &Catalog,
) -> Result<Plan, Refusal> {
    let mut cursor = Cursor::new(tokens);
    let mut cuts = Vec::new();
    let kind = kind(&mut cursor, database, catalog, &mut cuts)?;
    check_databases(&kind)?;
    Ok(Plan::Ddl(Ddl { kind, sql: without(tokens.sql, &cuts) }))
}

fn kind(
    cursor: &mut Cursor<'_, '_>,
    database: Option<&str>,
    catalog: &Catalog,
    cuts: &mut Vec<Span>,
) -> Result<DdlKind, Refusal> {
    if let Some(kind) = of_database(cursor, database)? {
        return Ok(kind);
    }
    if cursor.accept("CREATE TABLE") {
        return create_table(cursor, database, cuts);
    }
    if cursor.accept("CREATE") {
        return create_index(cursor, database);
    }
    if cursor.accept("ALTER") {
        return alter::alter_table(cursor, database, catalog, cuts);
    }
    if cursor.accept_any(&["DROP TABLES", "DROP TABLE"]) {
        let if_exists = cursor.accept("IF EXISTS");
        let mut tables = Vec::new();
        loop {
            tables.push(cursor.table(database)?);
            check_count(tables.len())?;
            if !cursor.accept_kind(TokenKind::Comma) {
                break;
            }
        }
        cursor.accept_any(&["RESTRICT", "CASCADE"]);
        wait(cursor);
        end(cursor)?;
        return Ok(DdlKind::DropTables { tables, if_exists });
    }
    if cursor.accept("DROP INDEX") {
        cursor.accept("IF EXISTS");
        let name = cursor.identifier();
        if name.is_none() || !cursor.accept("ON") {
            return Err(cursor.unexpected("an index's name and ON"));
        }
        return Ok(DdlKind::AlterTable { table: cursor.table(database)?, renamed: None });
    }
    if cursor.accept("TRUNCATE") {
        cursor.accept("TABLE");
        let table = cursor.table(database)?;
        wait(cursor);
        end(cursor)?;
        return Ok(DdlKind::TruncateTable { table });
    }
    if cursor.accept_any(&["RENAME TABLES", "RENAME TABLE"]) {
        return rename(cursor, database);
    }
    cursor.index += 1;
    Err(Refusal::not_supported(
        format!("a schema change of {} is not known", cursor.shown()),
        "see docs/sql-surface.md for the schema changes of this version",
    ))
}

fn end(cursor: &Cursor<'_, '_>) -> Result<(), Refusal> {
    if cursor.at_end() { Ok(()) } else { Err(cursor.unexpected("the end of the statement")) }
}

fn check_count(count: usize) -> Result<(), Refusal> {
    if count <= TABLES_MAX {
        return Ok(());
    }
    Err(Refusal::not_supported(
        format!("the statement names more than {TABLES_MAX} tables"),
        "split it into several statements",
    ))
}

/// `WAIT n` or `NOWAIT`.
fn wait(cursor: &mut Cursor<'_, '_>) {
    if cursor.accept("WAIT") {
        cursor.accept_kind(TokenKind::Integer);
    } else {
        cursor.accept("NOWAIT");
    }
}

fn of_database(
    cursor: &mut Cursor<'_, '_>,
    database: Option<&str>,
) -> Result<Option<DdlKind>, Refusal> {
    let wanted = "a database's name";
    if cursor.accept_any(&["CREATE DATABASE", "CREATE SCHEMA"]) {
        let if_not_exists = cursor.accept("IF NOT EXISTS");
        let name = cursor.identifier().ok_or_else(|| cursor.unexpected(wanted))?;
        return Ok(Some(DdlKind::CreateDatabase { name, if_not_exists }));
    }
    if cursor.accept_any(&["DROP DATABASE", "DROP SCHEMA"]) {
        let if_exists = cursor.accept("IF EXISTS");
        let name = cursor.identifier().ok_or_else(|| cursor.unexpected(wanted))?;
        end(cursor)?;
        return Ok(Some(DdlKind::DropDatabase { name, if_exists }));
    }
    if cursor.accept_any(&["ALTER DATABASE", "ALTER SCHEMA"]) {
        let options = ["CHARACTER SET", "CHARSET", "COLLATE", "COMMENT", "DEFAULT", "UPGRADE"];
        let name = if options.iter().any(|option| cursor.are(option)) {
            database.ok_or_else(Refusal::no_database)?.to_owned()
        } else {
            cursor.identifier().ok_or_else(|| cursor.unexpected(wanted))?
        };
        return Ok(Some(DdlKind::AlterDatabase { name }));
    }
    Ok(None)
}

fn create_table(
    cursor: &mut Cursor<'_, '_>,
    database: Option<&str>,
    cuts: &mut Vec<Span>,
) -> Result<DdlKind, Refusal> {
    let if_not_exists = cursor.accept("IF NOT EXISTS");
    let table = cursor.table(database)?;
    let mut like = None;
    if cursor.accept("LIKE") {
        like = Some(cursor.table(database)?);
    } else if cursor.kind() == Some(TokenKind::LeftParen) {
        if cursor.tokens.is_keyword(cursor.index + 1, "LIKE") {
            cursor.index += 2;
            like = Some(cursor.table(database)?);
            if !cursor.accept_kind(TokenKind::RightParen) {
                return Err(cursor.unexpected(")"));
            }
        } else {
            refuse_select(cursor)?;
            if !cursor.skip_parentheses() {
                return Err(cursor.unexpected(") after the column definitions"));
            }
        }
    } else {
        refuse_select(cursor)?;
        return Err(cursor.unexpected("( and the column definitions, or LIKE"));
    }
    let found = clause::find(cursor.tokens, cursor.index, &table.database)?;
    cuts.extend(&found.cuts);
    let sharding = found.clause;
    Ok(DdlKind::CreateTable { table, if_not_exists, sharding, like })
}

/// Refuses a CREATE TABLE whose rows come from a query. SELECT is a reserved word, and no
/// column definition may hold a subquery.
fn refuse_select(cursor: &Cursor<'_, '_>) -> Result<(), Refusal> {
    let tokens = cursor.tokens;
    let query = (cursor.index..tokens.len()).any(|index| {
        let values = tokens.is_keyword(index, "VALUES")
            && !tokens.is_keyword(index + 1, "LESS")
            && !tokens.is_keyword(index + 1, "IN");
        tokens.is_keyword(index, "SELECT") || values
    });
    if !query {
        return Ok(());
    }
    Err(Refusal::not_supported(
        "CREATE TABLE .. SELECT is not supported: its rows would have to be routed",
        "create the table first, then insert the rows",
    ))
}

fn create_index(cursor: &mut Cursor<'_, '_>, database: Option<&str>) -> Result<DdlKind, Refusal> {
    cursor.accept("OR REPLACE");
    cursor.accept_any(&["ONLINE", "OFFLINE"]);
    cursor.accept_any(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
    if !cursor.accept("INDEX") {
        return Err(Refusal::not_supported(
            format!("CREATE {} is not known", cursor.shown().trim_matches('\'')),
            "see docs/sql-surface.md for the schema changes of this version",
        ));
    }
    cursor.accept("IF NOT EXISTS");
    if cursor.identifier().is_none() {
        return Err(cursor.unexpected("an index's name"));
    }
    if cursor.accept_any(&["USING", "TYPE"]) {
        cursor.index += 1;
    }
    if !cursor.accept("ON") {
        return Err(cursor.unexpected("ON and a table's name"));
    }
    Ok(DdlKind::AlterTable { table: cursor.table(database)?, renamed: None })
}

fn rename(cursor: &mut Cursor<'_, '_>, database: Option<&str>) -> Result<DdlKind, Refusal> {
    cursor.accept("IF EXISTS");
    let mut pairs = Vec::new();
    loop {
        let old = cursor.table(database)?;
        wait(cursor);
        if !cursor.accept("TO") {
            return Err(cursor.unexpected("TO"));
        }
        pairs.push((old, cursor.table(database)?));
        check_count(pairs.len())?;
        if !cursor.accept_kind(TokenKind::Comma) {
            break;
        }
    }
    end(cursor)?;
    Ok(DdlKind::RenameTables { pairs })
}

fn check_databases(kind: &DdlKind) -> Result<(), Refusal> {
    let of = |tables: &[&TableName]| tables.iter().map(|t| t.database.clone()).collect::<Vec<_>>();
    let names = match kind {
        DdlKind::CreateDatabase { name, .. }
        | DdlKind::AlterDatabase { name }
        | DdlKind::DropDatabase { name, .. } => vec![name.clone()],
        DdlKind::CreateTable { table, .. }
        | DdlKind::TruncateTable { table }
        | DdlKind::Reshard { table, .. } => of(&[table]),
        DdlKind::AlterTable { table, renamed } => {
            let mut tables = vec![table];
            tables.extend(renamed);
            of(&tables)
        }
        DdlKind::DropTables { tables, .. } => of(&tables.iter().collect::<Vec<_>>()),
        DdlKind::RenameTables { pairs } => {
            of(&pairs.iter().flat_map(|(old, new)| [old, new]).collect::<Vec<_>>())
        }
    };
    let is_system =
        |name: &&String| SYSTEM_DATABASES.iter().any(|system| system.eq_ignore_ascii_case(name));
    match names.iter().find(is_system) {
        None => Ok(()),
        Some(name) => Err(Refusal::not_supported(
            format!("the database {name} belongs to the servers, and its schema is not changed"),
            "use a database of your own",
        )),
    }
}

/// The text without the spans, each replaced by one space.
fn without(sql: &[u8], cuts: &[Span]) -> Vec<u8> {
    let mut text = Vec::with_capacity(sql.len());
    let mut at = 0;
    for cut in cuts {
        text.extend_from_slice(&sql[at..cut.start as usize]);
        text.push(b' ');
        at = cut.end as usize;
    }
    text.extend_from_slice(&sql[at..]);
    text
}
