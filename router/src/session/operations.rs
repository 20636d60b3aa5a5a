//! Statements about the cluster itself: procedures and tables of the database `shardline`.

use super::{end, transactions::PROCEDURES};
use crate::{
    cursor::Cursor,
    lexer::{TokenKind, Tokens},
    plan::{OperationRole, OperationTable, Refusal, SessionStatement},
};

/// The tables that there are.
const TABLES: [&str; 6] = ["jobs", "moves", "shards", "sessions", "top_sql", "slow_sql"];
/// Words that may stand behind a table and are no name for it.
const NO_NAMES: [&str; 29] = [
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "WINDOW",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "CROSS",
    "NATURAL",
    "STRAIGHT_JOIN",
    "ON",
    "USING",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "FOR",
    "LOCK",
    "INTO",
    "PROCEDURE",
    "SET",
    "USE",
    "FORCE",
    "IGNORE",
    "PARTITION",
];
/// The most arguments of a procedure.
const ARGUMENTS_MAX: usize = 64;

/// Where a query names tables of the database.
pub(super) fn tables(tokens: &Tokens<'_>) -> Vec<OperationTable> {
    let mut found = Vec::new();
    for index in 0..tokens.len().saturating_sub(2) {
        if tokens.kind(index + 1) != Some(TokenKind::Dot) {
            continue;
        }
        let is = |index: usize, name: &str| {
            tokens.identifier(index).is_some_and(|found| found.eq_ignore_ascii_case(name))
        };
        let qualified = index > 0 && tokens.kind(index - 1) == Some(TokenKind::Dot);
        if qualified || !is(index, PROCEDURES) {
            continue;
        }
        let Some(name) = TABLES.into_iter().find(|name| is(index + 2, name)) else { continue };
        let place = tokens[index].span.range().start..tokens[index + 2].span.range().end;
        let role = role(tokens, index + 3);
        found.push(OperationTable { place, name: name.to_owned(), role });
    }
    found
}

/// What stands there, by the token behind the name.
fn role(tokens: &Tokens<'_>, behind: usize) -> OperationRole {
    match tokens.kind(behind) {
        Some(TokenKind::Dot) => OperationRole::Qualifier,
        Some(TokenKind::QuotedIdentifier) => OperationRole::Named,
        Some(TokenKind::Word) if NO_NAMES.iter().any(|word| tokens.is_keyword(behind, word)) => {
            OperationRole::Plain
        }
        Some(TokenKind::Word) => OperationRole::Named,
        Some(_) | None => OperationRole::Plain,
    }
}

/// Behind `CALL shardline.procedure`: the arguments in parentheses, or none.
pub(super) fn call(
    cursor: &mut Cursor<'_, '_>,
    procedure: String,
) -> Result<SessionStatement, Refusal> {
    let mut arguments = Vec::new();
    if cursor.accept_kind(TokenKind::LeftParen) && !cursor.accept_kind(TokenKind::RightParen) {
        loop {
            let argument = match cursor.kind() {
                Some(TokenKind::Integer) => cursor.integer().map(|number| number.to_string()),
                Some(_) | None => cursor.string(),
            };
            arguments.push(argument.ok_or_else(|| cursor.unexpected("a string or a number"))?);
            if arguments.len() > ARGUMENTS_MAX {
                return Err(cursor.unexpected("fewer arguments"));
            }
            if !cursor.accept_kind(TokenKind::Comma) {
                break;
            }
        }
        if !cursor.accept_kind(TokenKind::RightParen) {
            return Err(cursor.unexpected(")"));
        }
    }
    end(cursor)?;
    Ok(SessionStatement::CallOperation { procedure, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::{Lexer, SqlMode};

    fn found(sql: &str) -> Vec<(String, OperationRole)> {
        let tokens = Lexer::tokenize(sql.as_bytes(), SqlMode::default()).expect("tokens");
        let tables = tables(&tokens);
        tables.into_iter().map(|one| (sql[one.place.clone()].to_owned(), one.role)).collect()
    }

    #[test]
    fn tables_are_found_with_what_stands_behind_them() {
        use OperationRole::{Named, Plain, Qualifier};
        let one = |text: &str, role| vec![(text.to_owned(), role)];
        assert_eq!(found("SELECT * FROM shardline.jobs"), one("shardline.jobs", Plain));
        assert_eq!(found("SELECT * FROM `shardline` . Jobs j"), one("`shardline` . Jobs", Named));
        assert_eq!(found("SELECT 1 FROM shardline.moves AS m"), one("shardline.moves", Named));
        assert_eq!(
            found("SELECT 1 FROM shardline.moves WHERE id = 1"),
            one("shardline.moves", Plain)
        );
        let both = found("SELECT shardline.jobs.id FROM shardline.jobs LIMIT 1");
        assert_eq!(both.iter().map(|(_, role)| *role).collect::<Vec<_>>(), [Qualifier, Plain]);
        assert_eq!(found("SELECT 'shardline.jobs' FROM d.shardline, d.jobs"), []);
    }
}
