//! Functions that matter to routing: those whose answer belongs to the client's session
//! (spliced in as literals, since connections to shards are shared), those that hold
//! state on a connection, and those that give another value on every shard.

use crate::{lexer::TokenKind, parse::Pieces, plan::Refusal, template::SessionValues, word::Marks};
use std::ops::Range;

/// A call that is replaced by the session's own value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionCall {
    pub(crate) pieces: Range<usize>,
    function: SessionFunction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionFunction {
    ConnectionId,
    LastInsertId,
    User,
    CurrentUser,
    FoundRows,
    RowCount,
    ReadConsistency,
    Socket,
    Port,
}

impl SessionCall {
    /// The value as SQL.
    pub(crate) fn text(&self, session: &SessionValues, no_escapes: bool) -> Vec<u8> {
        let quoted = |value: &str| {
            let mut text = Vec::new();
            crate::splice::write_string(value.as_bytes(), no_escapes, &mut text);
            text
        };
        // The same for BIGINT; -1 is 2^64 - 1 before the cast.
        let signed = |number: u64| format!("CAST({number}|0 AS SIGNED)").into_bytes();
        match self.function {
            SessionFunction::ConnectionId => session.connection_id.to_string().into_bytes(),
            // `| 0` makes a small number the BIGINT UNSIGNED that the function has.
            SessionFunction::LastInsertId => format!("({}|0)", session.last_insert_id).into_bytes(),
            SessionFunction::User => quoted(&session.user),
            SessionFunction::CurrentUser => quoted(&session.current_user),
            SessionFunction::FoundRows => signed(session.found_rows),
            SessionFunction::RowCount => signed(session.row_count.cast_unsigned()),
            SessionFunction::ReadConsistency => quoted(session.read_consistency),
            SessionFunction::Socket => quoted(&session.socket),
            SessionFunction::Port => format!("({}|0)", session.port).into_bytes(),
        }
    }
}

/// Names of such functions.
const SESSION_FUNCTIONS: &[&str] = &[
    "CONNECTION_ID",
    "LAST_INSERT_ID",
    "USER",
    "SESSION_USER",
    "SYSTEM_USER",
    "CURRENT_USER",
    "FOUND_ROWS",
    "ROW_COUNT",
];

/// All calls of such functions.
pub(crate) fn session_calls(pieces: &Pieces<'_>) -> Vec<SessionCall> {
    if !pieces.has_marked(Marks::CALL) {
        return Vec::new();
    }
    (0..pieces.len()).filter_map(|index| session_call(pieces, index)).collect()
}

fn session_call(pieces: &Pieces<'_>, index: usize) -> Option<SessionCall> {
    let call = |length, function| Some(SessionCall { pieces: index..index + length, function });
    if pieces.is(index, TokenKind::SystemVariable) {
        let name = pieces.text(index).to_ascii_lowercase();
        return match name.as_slice() {
            b"@@last_insert_id"
            | b"@@identity"
            | b"@@session.last_insert_id"
            | b"@@session.identity" => call(1, SessionFunction::LastInsertId),
            b"@@pseudo_thread_id" | b"@@session.pseudo_thread_id" => {
                call(1, SessionFunction::ConnectionId)
            }
            b"@@shardline_read_consistency"
            | b"@@session.shardline_read_consistency"
            | b"@@local.shardline_read_consistency" => call(1, SessionFunction::ReadConsistency),
            // Clients on the same host look there for a faster way to the server.
            b"@@socket" | b"@@global.socket" => call(1, SessionFunction::Socket),
            b"@@port" | b"@@global.port" => call(1, SessionFunction::Port),
            _ => None,
        };
    }
    if !pieces.is(index, TokenKind::Word) {
        return None;
    }
    let bare =
        pieces.is(index + 1, TokenKind::LeftParen) && pieces.is(index + 2, TokenKind::RightParen);
    let function = if pieces.is_word(index, "CONNECTION_ID") {
        SessionFunction::ConnectionId
    } else if pieces.is_word(index, "LAST_INSERT_ID") {
        SessionFunction::LastInsertId
    } else if pieces.is_any_word(index, &["USER", "SESSION_USER", "SYSTEM_USER"]) {
        SessionFunction::User
    } else if pieces.is_word(index, "CURRENT_USER") {
        SessionFunction::CurrentUser
    } else if pieces.is_word(index, "FOUND_ROWS") {
        SessionFunction::FoundRows
    } else if pieces.is_word(index, "ROW_COUNT") {
        SessionFunction::RowCount
    } else {
        return None;
    };
    match (bare, function) {
        (true, _) => call(3, function),
        // CURRENT_USER is a function without parentheses too.
        (false, SessionFunction::CurrentUser) => call(1, function),
        (false, _) => None,
    }
}

/// Whether a function is called anywhere.
pub(crate) fn calls(pieces: &Pieces<'_>, range: Range<usize>, names: &[&str]) -> Option<usize> {
    range.into_iter().find(|&index| {
        pieces.is(index + 1, TokenKind::LeftParen) && pieces.is_any_word(index, names)
    })
}

/// What may stand before a parenthesis where no row is read without a lock: syntax, and functions
/// that look at their arguments, at the session and at the clock alone.
const ROWLESS: &[&str] = &[
    "AND",
    "OR",
    "XOR",
    "NOT",
    "IN",
    "AS",
    "BETWEEN",
    "LIKE",
    "VALUES",
    "VALUE",
    "SET",
    "WHERE",
    "THEN",
    "ELSE",
    "WHEN",
    "CASE",
    "INTERVAL",
    "BY",
    "ON",
    "USING",
    "ABS",
    "CAST",
    "CEIL",
    "CEILING",
    "CHAR_LENGTH",
    "COALESCE",
    "CONCAT",
    "CONCAT_WS",
    "CONVERT",
    "CRC32",
    "CURDATE",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURTIME",
    "DATE",
    "DATEDIFF",
    "DATE_ADD",
    "DATE_FORMAT",
    "DATE_SUB",
    "DAY",
    "FLOOR",
    "FROM_UNIXTIME",
    "GREATEST",
    "HEX",
    "HOUR",
    "IF",
    "IFNULL",
    "INSERT",
    "INSTR",
    "ISNULL",
    "JSON_ARRAY",
    "JSON_ARRAY_APPEND",
    "JSON_EXTRACT",
    "JSON_MERGE_PATCH",
    "JSON_OBJECT",
    "JSON_REMOVE",
    "JSON_REPLACE",
    "JSON_SET",
    "JSON_UNQUOTE",
    "LAST_INSERT_ID",
    "LEAST",
    "LEFT",
    "LENGTH",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "LOCATE",
    "LOWER",
    "LPAD",
    "LTRIM",
    "MD5",
    "MINUTE",
    "MOD",
    "MONTH",
    "NOW",
    "NULLIF",
    "POW",
    "POWER",
    "RAND",
    "REPEAT",
    "REPLACE",
    "RIGHT",
    "ROUND",
    "RPAD",
    "RTRIM",
    "SECOND",
    "SHA1",
    "SHA2",
    "SIGN",
    "SQRT",
    "SUBSTR",
    "SUBSTRING",
    "SYSDATE",
    "TIMESTAMPADD",
    "TIMESTAMPDIFF",
    "TRIM",
    "TRUNCATE",
    "UNHEX",
    "UNIX_TIMESTAMP",
    "UPPER",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
    "UUID",
    "YEAR",
];

/// Whether no row is read without a lock from piece `from` on: there is no query, and no call of what may
/// hold one. Of a statement that writes, or has a locking clause; of one table.
pub(crate) fn locks_all_it_reads(pieces: &Pieces<'_>, from: usize) -> bool {
    (from..pieces.len()).all(|index| match pieces.kind(index) {
        Some(TokenKind::Word) if pieces.is_any_word(index, &["SELECT", "WITH", "TABLE"]) => false,
        Some(TokenKind::Word) if pieces.is(index + 1, TokenKind::LeftParen) => {
            pieces.is_any_word(index, ROWLESS)
        }
        Some(TokenKind::QuotedIdentifier) => !pieces.is(index + 1, TokenKind::LeftParen),
        Some(_) | None => true,
    })
}

/// Functions that lock by name on one server.
const LOCKS: &[&str] =
    &["GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS", "IS_FREE_LOCK", "IS_USED_LOCK"];

/// Other words that are refused.
const REFUSED_WORDS: &[&str] =
    &["INTO", "SQL_CALC_FOUND_ROWS", "NEXT", "NEXTVAL", "LASTVAL", "SETVAL"];

/// All words of [`session_calls`] and [`check`].
pub(crate) const WORDS: &[&[&str]] = &[SESSION_FUNCTIONS, LOCKS, REFUSED_WORDS];

/// Refuses what cannot be right on shared connections to several servers.
pub(crate) fn check(pieces: &Pieces<'_>) -> Result<(), Refusal> {
    if !pieces.has_marked(Marks::CALL) {
        return Ok(());
    }
    let all = 0..pieces.len();
    if let Some(index) = calls(pieces, all.clone(), LOCKS) {
        let name = String::from_utf8_lossy(pieces.text(index)).to_uppercase();
        return Err(Refusal::not_supported(
            format!("{name}() locks by name on one server only"),
            "lock a row with SELECT ... FOR UPDATE instead",
        ));
    }
    for index in all {
        if pieces.is_word(index, "INTO") && pieces.is_any_word(index + 1, &["OUTFILE", "DUMPFILE"])
        {
            return Err(Refusal::not_supported(
                "INTO OUTFILE would write a file on a shard's machine",
                "read the rows with SELECT and write the file on the client's side",
            ));
        }
        let next_value = pieces.are_words(index, &["NEXT", "VALUE", "FOR"])
            || (pieces.is_any_word(index, &["NEXTVAL", "LASTVAL", "SETVAL"])
                && pieces.is(index + 1, TokenKind::LeftParen));
        if next_value {
            return Err(Refusal::not_supported(
                "sequences of the shards are not one sequence",
                "use an AUTO_INCREMENT column",
            ));
        }
    }
    if pieces.is_word(0, "SELECT")
        && let Some(index) = calls(pieces, 0..pieces.len(), &["LAST_INSERT_ID"])
        && !pieces.is(index + 2, TokenKind::RightParen)
    {
        return Err(Refusal::not_supported(
            "LAST_INSERT_ID(expr) in a SELECT sets a value on a connection that sessions share",
            "use it in UPDATE ... SET, or keep the value in a user variable",
        ));
    }
    Ok(())
}

/// Whether a query says how many rows there are without its LIMIT, which the server that ran it
/// knows afterwards.
pub(crate) fn counts_found_rows(pieces: &Pieces<'_>) -> bool {
    pieces.has_marked(Marks::CALL)
        && (0..pieces.len()).any(|index| pieces.is_word(index, "SQL_CALC_FOUND_ROWS"))
}

/// Whether user variables are assigned within the statement.
pub(crate) fn assigns_variables(pieces: &Pieces<'_>) -> bool {
    (0..pieces.len()).any(|index| {
        pieces.is(index, TokenKind::UserVariable) && pieces.is(index + 1, TokenKind::Assign)
    })
}

/// Refuses them where several shards would each assign them.
pub(crate) fn assigned_once(assigns_variables: bool) -> Result<(), Refusal> {
    if !assigns_variables {
        return Ok(());
    }
    Err(Refusal::not_supported(
        "user variables are assigned by a statement that several shards execute",
        "change the rows of one shard at a time, or SET the variables before it",
    ))
}

/// Functions and words whose value differs between servers or calls.
const VOLATILE: &[&str] = &[
    "UUID",
    "UUID_SHORT",
    "UUID_V4",
    "UUID_V7",
    "SYS_GUID",
    "VERSION",
    "ENCRYPT",
    "CURRENT_ROLE",
    "PS_CURRENT_THREAD_ID",
    "RAND",
    "RANDOM_BYTES",
    "NOW",
    "SYSDATE",
    "CURDATE",
    "CURTIME",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
    "UNIX_TIMESTAMP",
    "CURRENT_TIMESTAMP",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "LOAD_FILE",
    "SLEEP",
];
const VOLATILE_WORDS: &[&str] = &[
    "CURRENT_TIMESTAMP",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
];

/// The first call whose value would differ between copies of a row.
pub(crate) fn volatile(pieces: &Pieces<'_>) -> Option<String> {
    let word = |index: usize| {
        pieces.is_any_word(index, VOLATILE_WORDS)
            || pieces.is(index, TokenKind::SystemVariable)
            || (pieces.is(index + 1, TokenKind::LeftParen) && pieces.is_any_word(index, VOLATILE))
    };
    let index = (0..pieces.len()).find(|&index| word(index))?;
    Some(String::from_utf8_lossy(pieces.text(index)).to_uppercase())
}
