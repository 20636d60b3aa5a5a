//! The sharding clause alone, as `cluster.yaml` writes it: `SHARD BY HASH (id)`, or
//! shorter `hash(id)`, `broadcast`, `single on s1`.

use crate::{
    clause,
    lexer::SqlMode,
    plan::{Refusal, ShardingClause},
};

/// Reads a rule's clause. A colocated table without a database gets an empty database
/// name: it is in the database of the table that the rule is applied to.
///
/// # Errors
/// The text is no clause; the reason says where and why.
pub fn parse(text: &str) -> Result<ShardingClause, Refusal> {
    clause::parse_alone(text.as_bytes(), SqlMode::default(), "")
}
