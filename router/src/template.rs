//! Templates: statements planned once for a digest, and bound to the literals and
//! parameters of each execution. Binding a statement that one shard answers by one
//! integer key allocates nothing.

use crate::plan::{Plan, Refusal, Traits};
use shardline_model::{catalog::Catalog, id::TableId, key::Literal};
use std::ops::Range;

/// Where a literal stands in a statement's text, in the text's order.
pub use crate::lexer::LiteralSpan;

/// What the session contributes to an execution: the answers of the functions that a
/// shared connection to a shard cannot give.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionValues {
    /// CONNECTION_ID().
    pub connection_id: u64,
    /// LAST_INSERT_ID().
    pub last_insert_id: u64,
    /// USER(), SESSION_USER(), SYSTEM_USER(): `name@host`.
    pub user: String,
    /// CURRENT_USER(): `name@host pattern`.
    pub current_user: String,
    /// FOUND_ROWS().
    pub found_rows: u64,
    /// ROW_COUNT().
    pub row_count: i64,
}

/// One execution of a template.
#[derive(Clone, Debug)]
pub struct BindInput<'a> {
    /// The statement's text, of the same fingerprint as the template's.
    pub sql: &'a [u8],
    /// Its literals.
    pub literals: &'a [LiteralSpan],
    /// The parameters of a prepared statement, one for each `?`; None for a text that
    /// the client sent by itself.
    pub params: Option<&'a [Literal<'a>]>,
    /// The session's values.
    pub session: &'a SessionValues,
    /// The snapshot that the template was made from.
    pub catalog: &'a Catalog,
    /// Sequence numbers, when [`BindError::NeedsIds`] asked for them.
    pub ids: Option<Range<u64>>,
}

/// Why a template gives no plan yet, or none at all.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BindError {
    /// Sequence numbers are needed first: reserve them and bind again.
    #[error("the statement needs {count} sequence numbers of table {table}")]
    NeedsIds {
        /// The sequence's table.
        table: TableId,
        /// How many, consecutive.
        count: u64,
    },
    /// The values make the statement one that cannot be done.
    #[error("{}", .0.reason)]
    Refused(Refusal),
}

/// A statement planned for one digest and one epoch.
#[derive(Debug)]
pub struct Template {
    parameter_count: usize,
    traits: Traits,
}

impl Template {
    /// How many `?` it has.
    pub fn parameter_count(&self) -> usize {
        self.parameter_count
    }

    /// What it does.
    pub fn traits(&self) -> Traits {
        self.traits
    }

    /// The plan for one execution.
    ///
    /// # Errors
    /// [`BindError::NeedsIds`] asks the caller for sequence numbers;
    /// [`BindError::Refused`] says why these values cannot be used.
    pub fn bind(&self, input: &BindInput<'_>) -> Result<Plan, BindError> {
        let _ = input;
        Err(BindError::Refused(Refusal {
            code: 1235,
            reason: "this statement is not planned yet".into(),
            hint: String::new(),
        }))
    }
}
