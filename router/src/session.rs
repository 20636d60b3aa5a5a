//! Recognises the statements that are not planned: what the session does itself (SET,
//! USE, transactions, KILL, some of SHOW), what any one shard answers, and what this
//! version refuses. It works on tokens alone, since the parser knows too few of these.

mod operations;
mod prepared;
mod refused;
mod set;
mod show;
mod transactions;

use crate::{
    cursor::Cursor,
    lexer::{Span, TokenKind, Tokens},
    plan::{InsertId, Plan, Refusal, SessionStatement, ShardSql, Single, Target, Traits},
};

/// What a statement is, by its first words.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it lives for one call")]
pub(crate) enum Recognised {
    /// Planned already.
    Plan(Plan),
    /// A prefix before a statement that is to be planned.
    Prefixed {
        /// What it is.
        prefix: Prefix,
        /// The statement's first token.
        statement: usize,
    },
    /// A schema change, for the DDL recogniser.
    Ddl,
    /// A query or a change of rows, for the planner.
    Statement,
}

/// What stands before a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// EXPLAIN: nothing is executed.
    Explain,
    /// `ANALYZE` or `SET STATEMENT .. FOR`: executed.
    Executed,
}

/// Tells what kind of statement this is. `tokens` has no trailing semicolon and is not empty.
pub(crate) fn recognise(
    tokens: &Tokens<'_>,
    database: Option<&str>,
) -> Result<Recognised, Refusal> {
    refused::functions(tokens)?;
    let mut cursor = Cursor::new(tokens);
    let first = tokens.text(0).to_ascii_uppercase();
    if tokens.kind(0) == Some(TokenKind::LeftParen) {
        return Ok(Recognised::Statement);
    }
    let session = |statement| Ok(Recognised::Plan(Plan::Session(statement)));
    let reads = matches!(first.as_slice(), b"SELECT" | b"WITH");
    let own = if reads { operations::tables(tokens) } else { Vec::new() };
    let recognised = match first.as_slice() {
        b"SELECT" | b"WITH" if !own.is_empty() => {
            session(SessionStatement::ReadOperations { tables: own })
        }
        b"SELECT" | b"INSERT" | b"REPLACE" | b"UPDATE" | b"DELETE" | b"WITH" | b"VALUES" => {
            return Ok(Recognised::Statement);
        }
        b"PREPARE" | b"EXECUTE" | b"DEALLOCATE" => session(prepared::recognise(&mut cursor)?),
        b"DROP" if cursor.are("DROP PREPARE") => session(prepared::recognise(&mut cursor)?),
        b"CREATE" | b"ALTER" | b"DROP" | b"TRUNCATE" | b"RENAME" => {
            refused::statement(&cursor)?;
            return Ok(Recognised::Ddl);
        }
        b"BEGIN" | b"START" | b"COMMIT" | b"ROLLBACK" | b"SAVEPOINT" | b"RELEASE" => {
            session(transaction(&mut cursor)?)
        }
        b"SET" => set::recognise(&mut cursor),
        b"SHOW" => show::recognise(&mut cursor, database),
        b"USE" => {
            cursor.index += 1;
            let database = cursor.identifier().ok_or_else(|| cursor.unexpected("a database"))?;
            end(&cursor)?;
            session(SessionStatement::Use { database })
        }
        b"CALL" => match transactions::call(&mut cursor)? {
            Some(statement) => session(statement),
            None => Err(refused::statement(&cursor)
                .err()
                .unwrap_or_else(|| cursor.unexpected("another statement"))),
        },
        b"KILL" => session(kill(&mut cursor)?),
        b"EXPLAIN" | b"DESCRIBE" | b"DESC" | b"ANALYZE" => explain(&mut cursor),
        b"HELP" | b"UNLOCK" => Ok(Recognised::Plan(any_shard(first == b"HELP"))),
        _ => {
            refused::statement(&cursor)?;
            Err(Refusal::syntax(
                format!("no statement starts with {}", cursor.shown()),
                "check the spelling; docs/sql-surface.md lists what is understood",
            ))
        }
    }?;
    let parameters = tokens.iter().any(|token| token.kind == TokenKind::Parameter);
    if parameters && matches!(recognised, Recognised::Plan(Plan::Session(_))) {
        return Err(Refusal::not_supported(
            "a parameter (?) stands in a statement that the session itself handles",
            "write the value into the statement's text",
        ));
    }
    Ok(recognised)
}

/// The statement as it is, on any one shard.
pub(crate) fn any_shard(returns_rows: bool) -> Plan {
    Plan::Single(Single {
        target: Target::Any,
        sql: ShardSql::Unchanged,
        traits: Traits { returns_rows, ..Traits::default() },
        insert_id: InsertId::None,
    })
}

fn end(cursor: &Cursor<'_, '_>) -> Result<(), Refusal> {
    if cursor.at_end() { Ok(()) } else { Err(cursor.unexpected("the end of the statement")) }
}

fn transaction(cursor: &mut Cursor<'_, '_>) -> Result<SessionStatement, Refusal> {
    let name = |cursor: &mut Cursor<'_, '_>| {
        let name = cursor.identifier().ok_or_else(|| cursor.unexpected("a savepoint's name"))?;
        end(cursor).map(|()| name)
    };
    if cursor.accept("SAVEPOINT") {
        return Ok(SessionStatement::Savepoint { name: name(cursor)? });
    }
    if cursor.accept("RELEASE SAVEPOINT") {
        return Ok(SessionStatement::ReleaseSavepoint { name: name(cursor)? });
    }
    if cursor.is("BEGIN") {
        refused::statement(cursor)?;
        cursor.index += 1;
        cursor.accept("WORK");
        end(cursor)?;
        return Ok(SessionStatement::Begin { read_only: false, consistent_snapshot: false });
    }
    if cursor.accept("START TRANSACTION") {
        return start_transaction(cursor);
    }
    if cursor.accept("COMMIT") {
        let (chain, release) = completion(cursor)?;
        return Ok(SessionStatement::Commit { chain, release });
    }
    if cursor.accept("ROLLBACK") {
        cursor.accept("WORK");
        if cursor.accept("TO") {
            cursor.accept("SAVEPOINT");
            return Ok(SessionStatement::RollbackTo { name: name(cursor)? });
        }
        let (chain, release) = completion(cursor)?;
        return Ok(SessionStatement::Rollback { chain, release });
    }
    refused::statement(cursor)?;
    cursor.index += 1;
    Err(cursor.unexpected("TRANSACTION or SAVEPOINT"))
}

fn start_transaction(cursor: &mut Cursor<'_, '_>) -> Result<SessionStatement, Refusal> {
    let (mut read_only, mut consistent_snapshot) = (false, false);
    if cursor.at_end() {
        return Ok(SessionStatement::Begin { read_only, consistent_snapshot });
    }
    loop {
        if cursor.accept("READ ONLY") {
            read_only = true;
        } else if cursor.accept("WITH CONSISTENT SNAPSHOT") {
            consistent_snapshot = true;
        } else if !cursor.accept("READ WRITE") {
            return Err(cursor.unexpected("READ ONLY, READ WRITE or WITH CONSISTENT SNAPSHOT"));
        }
        if !cursor.accept_kind(TokenKind::Comma) {
            break;
        }
    }
    end(cursor)?;
    Ok(SessionStatement::Begin { read_only, consistent_snapshot })
}

/// `[WORK] [AND [NO] CHAIN] [[NO] RELEASE]` to the end: chain and release.
fn completion(cursor: &mut Cursor<'_, '_>) -> Result<(bool, bool), Refusal> {
    cursor.accept("WORK");
    let chain = !cursor.accept("AND NO CHAIN") && cursor.accept("AND CHAIN");
    let release = !cursor.accept("NO RELEASE") && cursor.accept("RELEASE");
    end(cursor)?;
    Ok((chain, release))
}

fn kill(cursor: &mut Cursor<'_, '_>) -> Result<SessionStatement, Refusal> {
    cursor.index += 1;
    cursor.accept_any(&["HARD", "SOFT"]);
    let query_only = cursor.accept("QUERY");
    if !query_only {
        cursor.accept("CONNECTION");
    }
    let Some(id) = cursor.integer() else {
        return Err(Refusal::not_supported(
            format!("KILL takes a connection's number here, not {}", cursor.shown()),
            "look the number up with SHOW PROCESSLIST",
        ));
    };
    end(cursor)?;
    Ok(SessionStatement::Kill { id, query_only })
}

fn explain(cursor: &mut Cursor<'_, '_>) -> Result<Recognised, Refusal> {
    let analyze = cursor.is("ANALYZE");
    if analyze {
        refused::statement(cursor)?;
    }
    cursor.index += 1;
    if !analyze && cursor.accept_any(&["SHARDING", "ROUTE"]) {
        return explain_sharding(cursor);
    }
    if cursor.accept("FORMAT") {
        cursor.accept_kind(TokenKind::Equal);
        cursor.index += 1;
    } else {
        cursor.accept_any(&["EXTENDED", "PARTITIONS"]);
    }
    let starts = ["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "VALUES"];
    let statement = cursor.index;
    if cursor.kind() == Some(TokenKind::LeftParen) || starts.iter().any(|word| cursor.is(word)) {
        let prefix = if analyze { Prefix::Executed } else { Prefix::Explain };
        return Ok(Recognised::Prefixed { prefix, statement });
    }
    if analyze || cursor.identifier().is_none() {
        return Err(cursor.unexpected("a statement or a table"));
    }
    Ok(Recognised::Plan(any_shard(true)))
}

fn explain_sharding(cursor: &mut Cursor<'_, '_>) -> Result<Recognised, Refusal> {
    if cursor.accept("FORMAT") {
        return Err(Refusal::not_supported(
            "EXPLAIN SHARDING has one format in this version",
            "leave FORMAT out",
        ));
    }
    let (Some(first), Some(last)) = (cursor.tokens.get(cursor.index), cursor.tokens.last()) else {
        return Err(cursor.unexpected("a statement"));
    };
    let statement = Span { start: first.span.start, end: last.span.end }.range();
    Ok(Recognised::Plan(Plan::Session(SessionStatement::ExplainSharding { statement })))
}
