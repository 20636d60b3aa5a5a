//! Errors of read levels.

use super::{RetryClass, SqlError, number};

impl SqlError {
    /// A read that sees only what is decided waited in vain for a decision.
    pub fn read_undecided(shard: &str) -> Self {
        Self::new(
            number::LOCK_WAIT_TIMEOUT,
            b"HY000",
            "read_undecided",
            RetryClass::Statement,
            format!(
                "Lock wait timeout exceeded: a row to be read on shard {shard} belongs to a \
                 transaction over several shards that is not decided yet; try again, or read with \
                 shardline_read_consistency = local"
            ),
        )
    }

    /// What a transaction's snapshot shows was undone.
    pub fn read_undone(shard: &str) -> Self {
        Self::new(
            number::LOCK_DEADLOCK,
            b"40001",
            "read_undone",
            RetryClass::Transaction,
            format!(
                "Transaction rolled back: its snapshot of shard {shard} shows a row of a \
                 transaction over several shards that was aborted; try restarting transaction"
            ),
        )
    }

    /// Snapshots were opened again and again, and each time a transaction was seen in part.
    pub fn snapshots_torn(attempts: u32) -> Self {
        Self::new(
            number::LOCK_WAIT_TIMEOUT,
            b"HY000",
            "snapshots_torn",
            RetryClass::Statement,
            format!(
                "Lock wait timeout exceeded: {attempts} times, snapshots of the shards showed a \
                 transaction over several shards in part, or one that is not decided; try again, \
                 or read with shardline_read_consistency = committed"
            ),
        )
    }
}
