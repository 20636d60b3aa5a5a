//! What this version refuses by its first words, each with the reason and a way out.

use crate::{
    cursor::Cursor,
    lexer::{TokenKind, Tokens},
    plan::Refusal,
};

const ROUTINES: &str = "stored programs are not run across shards";
const ROUTINES_HINT: &str = "run its statements from the application";
const ACCOUNTS: &str = "accounts of the cluster are not kept in the servers' grant tables";
const ACCOUNTS_HINT: &str = "declare accounts in cluster.yaml";
const LOCKS: &str = "a lock on one shard does not keep other sessions off the other shards";
const LOCKS_HINT: &str = "use a transaction and SELECT .. FOR UPDATE";
const MAINTENANCE: &str = "maintenance statements do not run on all shards yet";
const MAINTENANCE_HINT: &str = "run it on each server; SHOW SHARDS lists them";
const IMMEDIATE: &str = "EXECUTE IMMEDIATE is not planned yet";
const ADMIN: &str = "this statement administers one server, and the cluster has several";
const FILES: &str = "rows from a file are not routed to their shards yet";
const XA: &str = "the cluster coordinates its own transactions";
const VIEWS: &str = "views are not resolved to their tables yet";

/// First words, reason, hint. Longer ones stand before shorter ones.
const STATEMENTS: &[(&str, &str, &str)] = &[
    (
        "CREATE TEMPORARY TABLE",
        "a temporary table ties the session to one server",
        "use an ordinary table, SINGLE or BROADCAST",
    ),
    (
        "CREATE OR REPLACE TEMPORARY TABLE",
        "a temporary table ties the session to one server",
        "use an ordinary table, SINGLE or BROADCAST",
    ),
    (
        "DROP TEMPORARY TABLE",
        "a temporary table ties the session to one server",
        "use an ordinary table, SINGLE or BROADCAST",
    ),
    (
        "CREATE OR REPLACE TABLE",
        "OR REPLACE drops a table and creates another, which the catalog cannot do as one change",
        "use DROP TABLE IF EXISTS and CREATE TABLE",
    ),
    (
        "CREATE OR REPLACE DATABASE",
        "OR REPLACE drops a database and creates another, which the catalog cannot do as one change",
        "use DROP DATABASE IF EXISTS and CREATE DATABASE",
    ),
    (
        "CREATE OR REPLACE SCHEMA",
        "OR REPLACE drops a database and creates another, which the catalog cannot do as one change",
        "use DROP DATABASE IF EXISTS and CREATE DATABASE",
    ),
    ("CREATE USER", ACCOUNTS, ACCOUNTS_HINT),
    ("CREATE ROLE", ACCOUNTS, ACCOUNTS_HINT),
    ("ALTER USER", ACCOUNTS, ACCOUNTS_HINT),
    ("DROP USER", ACCOUNTS, ACCOUNTS_HINT),
    ("DROP ROLE", ACCOUNTS, ACCOUNTS_HINT),
    ("RENAME USER", ACCOUNTS, ACCOUNTS_HINT),
    ("GRANT", ACCOUNTS, ACCOUNTS_HINT),
    ("REVOKE", ACCOUNTS, ACCOUNTS_HINT),
    ("SET PASSWORD", ACCOUNTS, ACCOUNTS_HINT),
    ("SET ROLE", ACCOUNTS, ACCOUNTS_HINT),
    ("SET DEFAULT ROLE", ACCOUNTS, ACCOUNTS_HINT),
    ("DROP VIEW", VIEWS, "query the tables themselves"),
    (
        "CREATE SEQUENCE",
        "sequences of one server are not those of the cluster",
        "use an AUTO_INCREMENT column",
    ),
    (
        "ALTER SEQUENCE",
        "sequences of one server are not those of the cluster",
        "use an AUTO_INCREMENT column",
    ),
    (
        "DROP SEQUENCE",
        "sequences of one server are not those of the cluster",
        "use an AUTO_INCREMENT column",
    ),
    ("CREATE SERVER", ADMIN, MAINTENANCE_HINT),
    ("CREATE TABLESPACE", ADMIN, MAINTENANCE_HINT),
    ("DROP PROCEDURE", ROUTINES, ROUTINES_HINT),
    ("DROP FUNCTION", ROUTINES, ROUTINES_HINT),
    ("DROP TRIGGER", ROUTINES, ROUTINES_HINT),
    ("DROP EVENT", ROUTINES, ROUTINES_HINT),
    ("DROP PACKAGE", ROUTINES, ROUTINES_HINT),
    ("ALTER EVENT", ROUTINES, ROUTINES_HINT),
    ("ALTER PROCEDURE", ROUTINES, ROUTINES_HINT),
    ("ALTER FUNCTION", ROUTINES, ROUTINES_HINT),
    ("CALL", ROUTINES, ROUTINES_HINT),
    ("BEGIN NOT ATOMIC", ROUTINES, ROUTINES_HINT),
    ("SIGNAL", ROUTINES, ROUTINES_HINT),
    ("RESIGNAL", ROUTINES, ROUTINES_HINT),
    ("DO", "DO is not planned yet", "use SELECT and drop its result"),
    ("GET DIAGNOSTICS", "the diagnostics area is not kept over shards", "use SHOW WARNINGS"),
    ("LOCK", LOCKS, LOCKS_HINT),
    ("HANDLER", "HANDLER reads one server's table directly", "use SELECT"),
    ("LOAD", FILES, "load with INSERT statements of many rows"),
    ("EXECUTE IMMEDIATE", IMMEDIATE, "PREPARE the text and EXECUTE it"),
    ("XA", XA, "use BEGIN, COMMIT and ROLLBACK"),
    ("ANALYZE TABLE", MAINTENANCE, MAINTENANCE_HINT),
    ("ANALYZE LOCAL", MAINTENANCE, MAINTENANCE_HINT),
    ("ANALYZE NO_WRITE_TO_BINLOG", MAINTENANCE, MAINTENANCE_HINT),
    ("OPTIMIZE", MAINTENANCE, MAINTENANCE_HINT),
    ("CHECK", MAINTENANCE, MAINTENANCE_HINT),
    ("REPAIR", MAINTENANCE, MAINTENANCE_HINT),
    ("CHECKSUM", MAINTENANCE, MAINTENANCE_HINT),
    ("FLUSH", MAINTENANCE, MAINTENANCE_HINT),
    ("CACHE", ADMIN, MAINTENANCE_HINT),
    ("RESET", ADMIN, MAINTENANCE_HINT),
    ("PURGE", ADMIN, MAINTENANCE_HINT),
    ("CHANGE", ADMIN, MAINTENANCE_HINT),
    ("STOP", ADMIN, MAINTENANCE_HINT),
    ("START SLAVE", ADMIN, MAINTENANCE_HINT),
    ("START REPLICA", ADMIN, MAINTENANCE_HINT),
    ("START ALL", ADMIN, MAINTENANCE_HINT),
    ("INSTALL", ADMIN, MAINTENANCE_HINT),
    ("UNINSTALL", ADMIN, MAINTENANCE_HINT),
    ("SHUTDOWN", ADMIN, "use shardline down"),
    ("BINLOG", ADMIN, MAINTENANCE_HINT),
    ("BACKUP", ADMIN, MAINTENANCE_HINT),
];

/// Words that make a CREATE or ALTER one of a stored program or a view, wherever they
/// stand before the name (`CREATE DEFINER=x ALGORITHM=y VIEW`).
const OBJECTS: &[(&str, &str, &str)] = &[
    ("VIEW", VIEWS, "query the tables themselves"),
    ("TRIGGER", ROUTINES, ROUTINES_HINT),
    ("PROCEDURE", ROUTINES, ROUTINES_HINT),
    ("FUNCTION", ROUTINES, ROUTINES_HINT),
    ("EVENT", ROUTINES, ROUTINES_HINT),
    ("PACKAGE", ROUTINES, ROUTINES_HINT),
];

/// Functions whose state is one server's and lasts for the session.
const FUNCTIONS: &[&str] =
    &["GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS", "IS_FREE_LOCK", "IS_USED_LOCK"];

fn refuse(words: &str, reason: &str, hint: &str) -> Refusal {
    Refusal::not_supported(format!("{words} is not supported: {reason}"), hint)
}

/// Refuses a statement by its first words.
pub(super) fn statement(cursor: &Cursor<'_, '_>) -> Result<(), Refusal> {
    for (words, reason, hint) in STATEMENTS {
        if cursor.are(words) {
            return Err(refuse(words, reason, hint));
        }
    }
    let verb = if cursor.is("CREATE") { "CREATE" } else { "ALTER" };
    if !cursor.is(verb) {
        return Ok(());
    }
    for index in cursor.index + 1..cursor.tokens.len() {
        if ["TABLE", "DATABASE", "SCHEMA", "INDEX"]
            .iter()
            .any(|w| cursor.tokens.is_keyword(index, w))
        {
            break;
        }
        let object = OBJECTS.iter().find(|(word, ..)| cursor.tokens.is_keyword(index, word));
        if let Some((word, reason, hint)) = object {
            return Err(refuse(&format!("{verb} {word}"), reason, hint));
        }
    }
    Ok(())
}

/// Refuses calls of functions whose state belongs to one server's session.
pub(super) fn functions(tokens: &Tokens<'_>) -> Result<(), Refusal> {
    for index in 0..tokens.len().saturating_sub(1) {
        if tokens.kind(index + 1) != Some(TokenKind::LeftParen)
            || tokens.kind(index) != Some(TokenKind::Word)
        {
            continue;
        }
        if let Some(name) = FUNCTIONS.iter().find(|name| tokens.is_keyword(index, name)) {
            return Err(refuse(
                name,
                "named locks belong to one server, and the session uses several",
                "use a row of a table and SELECT .. FOR UPDATE",
            ));
        }
    }
    Ok(())
}
