//! The plan of a write that no shard can do by itself: it is done on one server, on copies of
//! the rows, and what has become of them is written on the shards.

use super::{Compute, FetchColumn, ShardStatement, TableName};
use shardline_model::id::{ShardId, TableId};

/// A write on copies of its rows, and how its outcome is read there.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// The statement and the rows that it needs; those of its targets are locked for it.
    pub compute: Compute,
    /// The tables that it changes.
    pub outcomes: Vec<Outcome>,
    /// It may write rows of other keys than the statement names.
    pub wide: bool,
    /// Why the shards could not do it by themselves, for EXPLAIN.
    pub reason: String,
}

impl Rehearsal {
    /// The shards that it reads or may write, without repetition.
    pub fn shards(&self) -> Vec<ShardId> {
        let mut shards = self.compute.shards();
        shards.extend(self.outcomes.iter().flat_map(|outcome| &outcome.shards));
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}

/// What has become of one table's rows. Each query answers the number of the shard first (0:
/// all of them), then the values of columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The table.
    pub table: TableName,
    /// Its id.
    pub id: TableId,
    /// The shards that may have a row of it.
    pub shards: Vec<ShardId>,
    /// What the queries of rows answer, in order: all columns that are stored.
    pub columns: Vec<FetchColumn>,
    /// What the query of keys answers, in order: the primary key.
    pub key: Vec<KeyColumn>,
    /// The AUTO_INCREMENT column that an INSERT fills.
    pub ids: Option<FilledIds>,
    /// Make a second copy of the rows before the statement runs.
    pub keep: Vec<String>,
    /// The keys of rows that are no more, or have other keys now.
    pub gone: Option<String>,
    /// Rows that have the keys they had.
    pub changed: Option<String>,
    /// Rows that are new, or have other keys than they had.
    pub new: Option<String>,
    /// A row whose key is gone may be one that has another key now: for a server it is the same.
    pub moves: bool,
}

/// A column of a primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its name, and how its values come.
    pub column: FetchColumn,
    /// The character set of text.
    pub charset: Option<String>,
}

/// An AUTO_INCREMENT column that the cluster's sequence fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilledIds {
    /// Its name.
    pub column: String,
    /// How many rows are new: a query.
    pub count: String,
    /// The largest value that is not from a range, and how many are: a query with the range's ends as
    /// `{first}` and `{end}`.
    pub given: String,
    /// Only the sequence may give values.
    pub only_generated: bool,
    /// What asks for the first free value, where a server and not the cluster numbers the rows.
    pub next: Option<ShardStatement>,
}
