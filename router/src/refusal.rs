//! How refusals are worded: what and why, then what to do instead.

use crate::{lexer::LexError, plan::Refusal};

/// ER_NOT_SUPPORTED_YET.
pub const NOT_SUPPORTED: u16 = 1235;
/// ER_PARSE_ERROR.
pub const PARSE_ERROR: u16 = 1064;
/// ER_NO_DB_ERROR.
pub const NO_DATABASE: u16 = 1046;
/// ER_EMPTY_QUERY.
pub const EMPTY_QUERY: u16 = 1065;

impl Refusal {
    /// What this version cannot do.
    pub fn not_supported(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: NOT_SUPPORTED, reason: reason.into(), hint: hint.into() }
    }

    /// Whether it is for the sake of several shards alone: one server may run it.
    pub(crate) fn is_of_shards(&self) -> bool {
        self.code == NOT_SUPPORTED
    }

    /// Text that is no statement.
    pub fn syntax(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: PARSE_ERROR, reason: reason.into(), hint: hint.into() }
    }

    /// A name without a database in a session without one.
    pub fn no_database() -> Self {
        Self {
            code: NO_DATABASE,
            reason: "No database selected".into(),
            hint: "choose one with USE, or write database.table".into(),
        }
    }

    /// A text without any token.
    pub fn empty() -> Self {
        Self {
            code: EMPTY_QUERY,
            reason: "Query was empty".into(),
            hint: "send a statement".into(),
        }
    }
}

impl From<LexError> for Refusal {
    fn from(error: LexError) -> Self {
        Self::syntax(
            format!("the statement cannot be split into tokens: {error}"),
            "check the quotes and comments; the session's sql_mode decides how they are read",
        )
    }
}
