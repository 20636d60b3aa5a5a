//! Finds the sharding clause of a CREATE TABLE or ALTER TABLE wherever it may stand.

use crate::{
    clause,
    cursor::Cursor,
    lexer::{CommentKind, Lexer, Span, TokenKind, Tokens},
    plan::{Refusal, ShardingClause},
};

/// Executable comments from this version on are executed by no server; `/*!99999` is one
/// that MariaDB leaves out and MySQL has not reached.
const CARRIER_VERSION_MIN: u32 = 99_999;
/// What introduces a clause in a table's COMMENT.
const COMMENT_MARK: &str = "shardline:";

/// What was found in a statement.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// The one clause, if there is any.
    pub(crate) clause: Option<ShardingClause>,
    /// Where it stands among the tokens and has to be cut out; with the comma that
    /// belongs to it.
    pub(crate) cuts: Vec<Span>,
    /// Whether a table COMMENT declares it.
    pub(crate) in_comment: bool,
}

impl Found {
    fn add(&mut self, clause: ShardingClause, place: &str) -> Result<(), Refusal> {
        match &self.clause {
            Some(other) if *other != clause => Err(Refusal::not_supported(
                format!(
                    "the statement declares two different shardings: {} and, {place}, {}",
                    clause::render(other, ""),
                    clause::render(&clause, "")
                ),
                "keep one of them",
            )),
            _ => {
                self.clause = Some(clause);
                Ok(())
            }
        }
    }
}

/// Looks through the tokens from `first` on, which are behind the column list, and
/// through all comments.
pub(crate) fn find(tokens: &Tokens<'_>, first: usize, database: &str) -> Result<Found, Refusal> {
    let mut found = Found::default();
    for comment in &tokens.comments {
        let CommentKind::Skipped { version, content } = comment.kind else { continue };
        if version < CARRIER_VERSION_MIN {
            continue;
        }
        let content = content.of(tokens.sql);
        let Ok(inner) = Lexer::tokenize(content, tokens.mode) else { continue };
        if clause::starts(&Cursor::new(&inner)) {
            let clause = clause::parse_alone(content, tokens.mode, database)?;
            found.add(clause, "in an executable comment")?;
        }
    }
    let mut cursor = Cursor { tokens, index: first };
    while let Some(kind) = cursor.kind() {
        if kind == TokenKind::LeftParen {
            if !cursor.skip_parentheses() {
                break;
            }
        } else if of_column(tokens, first, cursor.index) {
            cursor.skip_to_comma();
        } else if clause::starts(&cursor) && !is_option_value(tokens, cursor.index) {
            let start = cursor.index;
            let clause = clause::parse(&mut cursor, database, false)?;
            found.add(clause, "as a clause")?;
            found.cuts.push(with_comma(tokens, start, &mut cursor));
        } else if cursor.accept("COMMENT") {
            cursor.accept_kind(TokenKind::Equal);
            let Some(text) = cursor.string() else { continue };
            if let Some(clause) = of_comment(&text, database)? {
                found.add(clause, "in the table's COMMENT")?;
                found.in_comment = true;
            }
        } else {
            cursor.index += 1;
        }
    }
    Ok(found)
}

/// Whether a change of ALTER TABLE starts here that concerns a column or an index, whose
/// COMMENT and names are not the table's.
fn of_column(tokens: &Tokens<'_>, first: usize, index: usize) -> bool {
    let starts = index == first || tokens.kind(index - 1) == Some(TokenKind::Comma);
    starts
        && ["ADD", "MODIFY", "CHANGE", "ALTER", "DROP", "RENAME"]
            .iter()
            .any(|word| tokens.is_keyword(index, word))
}

/// The clause that a table's comment holds after `shardline:`, up to a semicolon.
fn of_comment(text: &str, database: &str) -> Result<Option<ShardingClause>, Refusal> {
    let Some(at) = text.to_ascii_lowercase().find(COMMENT_MARK) else { return Ok(None) };
    let rest = &text[at + COMMENT_MARK.len()..];
    let rest = rest.split(';').next().unwrap_or(rest);
    clause::parse_alone(rest.as_bytes(), Default::default(), database).map(Some)
}

/// Whether the word at `index` is the value of a table option, not a clause.
fn is_option_value(tokens: &Tokens<'_>, index: usize) -> bool {
    let Some(before) = index.checked_sub(1) else { return false };
    tokens.kind(before) == Some(TokenKind::Equal)
        || ["ENGINE", "TYPE", "CHARSET", "SET", "COLLATE", "TABLESPACE", "TO", "LIKE", "ROW_FORMAT"]
            .iter()
            .any(|option| tokens.is_keyword(before, option))
}

/// The clause's span and that of the comma before it, or else after it.
fn with_comma(tokens: &Tokens<'_>, start: usize, cursor: &mut Cursor<'_, '_>) -> Span {
    let mut span = cursor.span_from(start);
    let before = start.checked_sub(1).and_then(|i| tokens.get(i));
    match before {
        Some(comma) if comma.kind == TokenKind::Comma => span.start = comma.span.start,
        _ if cursor.kind() == Some(TokenKind::Comma) => {
            cursor.index += 1;
            span = cursor.span_from(start);
        }
        _ => {}
    }
    span
}
