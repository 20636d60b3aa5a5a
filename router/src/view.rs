//! What planning needs to know of a session.

use crate::lexer::SqlMode;

/// The part of a session's state on which plans depend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionView<'a> {
    /// The current database.
    pub database: Option<&'a str>,
    /// How text is read.
    pub sql_mode: SqlMode,
    /// The session variable `shardline_allow_explicit_ids`.
    pub allow_explicit_ids: bool,
}
