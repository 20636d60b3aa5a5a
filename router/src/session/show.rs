//! SHOW: what the session answers, and what any one shard answers, since every shard has
//! every table's definition.

use crate::{
    cursor::Cursor,
    lexer::TokenKind,
    plan::{Plan, Refusal, SessionStatement},
    session::{Recognised, any_shard, end, transactions},
};

/// What one shard answers for the cluster, by the words behind SHOW.
const ON_ANY_SHARD: &[&str] = &[
    "TABLES",
    "FULL TABLES",
    "OPEN TABLES",
    "TABLE STATUS",
    "TABLE TYPES",
    "COLUMNS",
    "FIELDS",
    "FULL COLUMNS",
    "FULL FIELDS",
    "INDEX",
    "INDEXES",
    "KEYS",
    "VARIABLES",
    "GLOBAL VARIABLES",
    "SESSION VARIABLES",
    "LOCAL VARIABLES",
    "ENGINES",
    "STORAGE ENGINES",
    "ENGINE",
    "CHARSET",
    "CHARACTER SET",
    "COLLATION",
    "COLLATIONS",
    "CREATE VIEW",
    "CREATE DATABASE",
    "CREATE SCHEMA",
    "CREATE TRIGGER",
    "CREATE PROCEDURE",
    "CREATE FUNCTION",
    "CREATE EVENT",
    "CREATE PACKAGE",
    "CREATE SEQUENCE",
    "CREATE USER",
    "GRANTS",
    "MASTER STATUS",
    "MASTER LOGS",
    "BINARY LOGS",
    "BINLOG STATUS",
    "SLAVE STATUS",
    "SLAVE HOSTS",
    "ALL SLAVES STATUS",
    "REPLICA STATUS",
    "ALL REPLICAS STATUS",
    "REPLICA HOSTS",
    "TRIGGERS",
    "FULL TRIGGERS",
    "PLUGINS",
    "PRIVILEGES",
    "PROCEDURE STATUS",
    "FUNCTION STATUS",
    "PACKAGE STATUS",
    "PACKAGE BODY STATUS",
    "EVENTS",
    "PROFILES",
    "PROFILE",
    "CONTRIBUTORS",
    "AUTHORS",
    "LOCALES",
];

pub(super) fn recognise(
    cursor: &mut Cursor<'_, '_>,
    database: Option<&str>,
) -> Result<Recognised, Refusal> {
    cursor.index += 1;
    let session = |statement| Ok(Recognised::Plan(Plan::Session(statement)));
    if cursor.accept_any(&["DATABASES", "SCHEMAS"]) {
        let like = pattern(cursor, &["Database", "schema_name"], "SHOW DATABASES")?;
        return session(SessionStatement::ShowDatabases { like });
    }
    if cursor.accept("CREATE TABLE") {
        let table = cursor.table(database)?;
        end(cursor)?;
        return session(SessionStatement::ShowCreateTable { table });
    }
    if cursor.are("CREATE DATABASE") || cursor.are("CREATE SCHEMA") {
        return Ok(Recognised::Plan(any_shard(true)));
    }
    if cursor.accept("SHARDS") {
        end(cursor)?;
        return session(SessionStatement::ShowShards);
    }
    if cursor.accept("JOBS") {
        end(cursor)?;
        return session(SessionStatement::ShowJobs);
    }
    if let Some(statement) = transactions::show(cursor)? {
        return session(statement);
    }
    let errors_only = cursor.is("ERRORS");
    if cursor.accept_any(&["WARNINGS", "ERRORS"]) {
        let (offset, limit) = limit(cursor)?;
        let statement =
            SessionStatement::ShowWarnings { errors_only, count_only: false, offset, limit };
        return session(statement);
    }
    if cursor.is("COUNT") {
        return session(count(cursor)?);
    }
    if cursor.are("PROCESSLIST") || cursor.are("FULL PROCESSLIST") {
        let full = cursor.accept("FULL");
        cursor.index += 1;
        end(cursor)?;
        return session(SessionStatement::ShowProcesslist { full });
    }
    let start = cursor.index;
    let global = cursor.is("GLOBAL");
    cursor.accept_any(&["GLOBAL", "SESSION", "LOCAL"]);
    if cursor.accept("VARIABLES")
        && let Ok(Some(like)) = pattern(cursor, &["Variable_name"], "SHOW VARIABLES")
        && like.get(..OWN.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN))
    {
        return session(SessionStatement::ShowVariables { global, like });
    }
    cursor.index = start;
    cursor.accept_any(&["GLOBAL", "SESSION", "LOCAL"]);
    if cursor.accept("STATUS") {
        let like = pattern(cursor, &["Variable_name"], "SHOW STATUS")?;
        return session(SessionStatement::ShowStatus { like });
    }
    cursor.index = start;
    if ON_ANY_SHARD.iter().any(|words| cursor.are(words)) {
        return Ok(Recognised::Plan(any_shard(true)));
    }
    Err(Refusal::not_supported(
        format!("SHOW {} is not known", cursor.shown().trim_matches('\'')),
        "see docs/sql-surface.md for the SHOW statements of this version",
    ))
}

/// How the names of variables begin that no server has.
const OWN: &str = "shardline";

/// `COUNT(*) WARNINGS | ERRORS`.
fn count(cursor: &mut Cursor<'_, '_>) -> Result<SessionStatement, Refusal> {
    cursor.index += 1;
    let star = cursor.accept_kind(TokenKind::LeftParen)
        && cursor.accept_kind(TokenKind::Star)
        && cursor.accept_kind(TokenKind::RightParen);
    let errors_only = cursor.is("ERRORS");
    if !star || !cursor.accept_any(&["WARNINGS", "ERRORS"]) {
        return Err(cursor.unexpected("COUNT(*) WARNINGS or COUNT(*) ERRORS"));
    }
    end(cursor)?;
    Ok(SessionStatement::ShowWarnings { errors_only, count_only: true, offset: 0, limit: None })
}

/// `[LIMIT [offset,] count]` to the end.
fn limit(cursor: &mut Cursor<'_, '_>) -> Result<(u64, Option<u64>), Refusal> {
    if !cursor.accept("LIMIT") {
        return end(cursor).map(|()| (0, None));
    }
    let first = cursor.integer().ok_or_else(|| cursor.unexpected("a number"))?;
    let result = if cursor.accept_kind(TokenKind::Comma) {
        (first, Some(cursor.integer().ok_or_else(|| cursor.unexpected("a number"))?))
    } else if cursor.accept("OFFSET") {
        (cursor.integer().ok_or_else(|| cursor.unexpected("a number"))?, Some(first))
    } else {
        (0, Some(first))
    };
    end(cursor).map(|()| result)
}

/// `[LIKE 'pattern' | WHERE column LIKE 'pattern' | WHERE column = 'name']` to the end.
fn pattern(
    cursor: &mut Cursor<'_, '_>,
    columns: &[&str],
    what: &str,
) -> Result<Option<String>, Refusal> {
    if cursor.at_end() {
        return Ok(None);
    }
    let mut equal = false;
    if !cursor.accept("LIKE") {
        let named = cursor.accept("WHERE")
            && cursor.identifier().is_some_and(|name| {
                columns.iter().any(|column| column.eq_ignore_ascii_case(&name))
            });
        equal = named && cursor.accept_kind(TokenKind::Equal);
        if !named || (!equal && !cursor.accept("LIKE")) {
            return Err(condition(what));
        }
    }
    let text = cursor.string().ok_or_else(|| condition(what))?;
    if !cursor.at_end() {
        return Err(condition(what));
    }
    if !equal {
        return Ok(Some(text));
    }
    Ok(Some(text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")))
}

fn condition(what: &str) -> Refusal {
    Refusal::not_supported(
        format!("{what} takes LIKE 'pattern' or a comparison of the name in this version"),
        format!("write {what} LIKE 'pattern'"),
    )
}
