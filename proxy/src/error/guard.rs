//! Errors about guards.

use super::{RetryClass, SqlError, number};

impl SqlError {
    /// A database's guard is not on within the time that a statement waits for it.
    pub fn guard_not_raised(database: &str, hindrance: &str) -> Self {
        let hindrance = if hindrance.is_empty() { "it is being raised" } else { hindrance };
        Self::rolled_back(
            "guard_not_raised",
            &format!(
                "writing on several shards waits until all proxies check locks in database \
                 '{database}': {hindrance}"
            ),
        )
    }

    /// A statement waited for too long for units that change their shard.
    pub fn held_too_long(limit: std::time::Duration) -> Self {
        Self::held(
            "held_too_long",
            &format!(
                "rows that it touches have been changing their shard for {} s; SHOW JOBS says how far they are",
                limit.as_secs()
            ),
        )
    }

    /// A schema change of a table whose rows are changing their shard.
    pub fn table_moves(reason: String) -> Self {
        let hint = "SHOW JOBS says how far it is";
        Self::not_supported(reason, hint)
    }

    /// More statements wait for units that change their shard than may.
    pub fn too_many_held(limit: usize) -> Self {
        let why = format!("{limit} statements wait for rows that change their shard already");
        Self::held("too_many_held", &why)
    }

    fn held(kind: &'static str, why: &str) -> Self {
        Self::new(
            number::LOCK_WAIT_TIMEOUT,
            b"HY000",
            kind,
            RetryClass::Statement,
            format!("Lock wait timeout exceeded: {why}. Try restarting transaction"),
        )
    }

    /// A transaction reads rows that came to a shard after it had begun to read there.
    pub fn snapshot_before_cutover() -> Self {
        Self::rolled_back(
            "snapshot_before_cutover",
            "rows that it reads came to a shard after it had begun there, and its snapshot does not have them",
        )
    }

    /// The guard of a database was lowered while it was asked for.
    pub fn guard_not_up() -> Self {
        Self::rolled_back("guard_not_up", "the proxies are just agreeing on how writes check locks")
    }
}
