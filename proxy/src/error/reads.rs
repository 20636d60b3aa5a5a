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

    /// A read meets rows of an aborted transaction that is not undone, perhaps for long.
    pub fn read_stuck(shard: &str) -> Self {
        Self::new(
            number::LOCK_WAIT_TIMEOUT,
            b"HY000",
            "read_stuck",
            RetryClass::Statement,
            format!(
                "Lock wait timeout exceeded: a row to be read on shard {shard} was written by a \
                 transaction over several shards that is aborted and cannot be undone yet; SHOW \
                 TRANSACTIONS shows whether an operator must resolve it"
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

    /// Whether it says that snapshots were torn.
    pub fn is_torn_snapshots(&self) -> bool {
        self.metric == "snapshots_torn"
    }

    /// A `strict` read gets no barrier.
    pub fn no_barrier(hindrance: &str) -> Self {
        Self::new(
            number::LOCK_WAIT_TIMEOUT,
            b"HY000",
            "no_barrier",
            RetryClass::Statement,
            format!(
                "Lock wait timeout exceeded: a strict read waits for a moment at which no proxy commits, \
                 and there was none: {hindrance}; try again, or read with \
                 shardline_read_consistency = atomic"
            ),
        )
    }

    /// A statement was held up for too long before anything of it was done.
    pub fn held_up(by: &str) -> Self {
        Self::new(
            number::LOCK_WAIT_TIMEOUT,
            b"HY000",
            "held_up",
            RetryClass::Statement,
            format!("Lock wait timeout exceeded: the statement waits behind {by}; try again"),
        )
    }

    /// A COMMIT was held up for too long.
    pub fn commit_held_up(by: &str) -> Self {
        Self::rolled_back("commit_held_up", &format!("COMMIT waits behind {by}"))
    }
}
