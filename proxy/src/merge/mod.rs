//! Puts the rows of several shards together: order, offset and limit, grouping,
//! distinct. Pure and synchronous: rows go in, rows come out, and whoever drives it is
//! told from which shard the next row must come, so that nothing is read ahead.
//!
//! Known limit: in the text protocol a FLOAT has the six digits that the server prints;
//! two floats that differ further right are one to DISTINCT and GROUP BY.

mod aggregate;
mod decimal;
mod distinct;
mod double;
mod group;
mod key;
mod layout;
mod merger;
#[cfg(test)]
mod merger_test;
mod ordered;
mod row;
#[cfg(test)]
mod test_rows;

pub use layout::RowFormat;
pub use merger::{Merger, Step, Wanted};

use shardline_router::plan::ColumnRef;

/// What a merge may keep in memory. Ordered and plain merges keep one row of each shard;
/// grouping and DISTINCT keep what they have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeLimits {
    /// Rows or groups at most.
    pub rows_max: usize,
    /// Bytes at most.
    pub bytes_max: usize,
}

/// Why rows cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// More rows or groups must be kept than the limit allows.
    #[error("merging the shards' rows needs more than {limit} rows in the proxy's memory")]
    TooManyRows {
        /// `MergeLimits::rows_max`.
        limit: usize,
    },
    /// More bytes must be kept than the limit allows.
    #[error("merging the shards' rows needs more than {limit} bytes of the proxy's memory")]
    TooManyBytes {
        /// `MergeLimits::bytes_max`.
        limit: usize,
    },
    /// A SUM has more than the 65 digits of a DECIMAL, or a COUNT more than 64 bits.
    #[error("the total of result column {column} is out of range")]
    OutOfRange {
        /// Index of the column.
        column: usize,
    },
    /// A shard's row is not one of its result's columns.
    #[error("a shard sent a row that does not fit its columns")]
    Row,
    /// A shard's value is not one of its column's type.
    #[error("a shard sent a value that does not fit the type of column {column}")]
    Value {
        /// Index of the column.
        column: usize,
    },
    /// The shards' results have different columns.
    #[error("shard result {source_index} has other columns than the first: their tables differ")]
    ColumnsDiffer {
        /// Which of the sources.
        source_index: usize,
    },
    /// A shard's result has fewer columns than the plan hides.
    #[error("a shard sent {columns} columns, of which {hidden} are hidden")]
    TooFewColumns {
        /// How many came.
        columns: usize,
        /// How many the plan hides.
        hidden: usize,
    },
    /// The plan names a column that the results do not have.
    #[error("the plan names a column that the results do not have: {column:?}")]
    NoSuchColumn {
        /// As the plan names it.
        column: ColumnRef,
    },
    /// A shard's rows are not in the order of the plan.
    #[error("shard result {source_index} is not in the order of the statement")]
    NotSorted {
        /// Which of the sources.
        source_index: usize,
    },
    /// The caller gave a row of a source whose columns are not known or which has ended.
    #[error("a row came from shard result {source_index} outside its result")]
    OutOfTurn {
        /// Which of the sources.
        source_index: usize,
    },
    /// A column of this type cannot be added up.
    #[error("result column {column} has a type that cannot be added up")]
    NotANumber {
        /// Index of the column.
        column: usize,
    },
}

/// Counts what a merge keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    limits: MergeLimits,
    rows: usize,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(limits: MergeLimits) -> Self {
        Budget { limits, rows: 0, bytes: 0 }
    }

    /// One more row, group or key of `bytes`.
    pub(crate) fn keep_row(&mut self, bytes: usize) -> Result<(), MergeError> {
        self.rows += 1;
        if self.rows > self.limits.rows_max {
            return Err(MergeError::TooManyRows { limit: self.limits.rows_max });
        }
        self.keep_bytes(bytes)
    }

    /// More bytes.
    pub(crate) fn keep_bytes(&mut self, bytes: usize) -> Result<(), MergeError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.bytes_max {
            return Err(MergeError::TooManyBytes { limit: self.limits.bytes_max });
        }
        Ok(())
    }
}
