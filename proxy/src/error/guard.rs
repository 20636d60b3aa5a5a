//! Errors about guards.

use super::{RetryClass, SqlError};

impl SqlError {
    /// A database's guard is not on within the time that a statement waits for it.
    pub fn guard_not_raised(database: &str, hindrance: &str) -> Self {
        let hindrance = if hindrance.is_empty() { "it is being raised" } else { hindrance };
        Self::new(
            1205,
            b"HY000",
            "guard_not_raised",
            RetryClass::Statement,
            format!(
                "Lock wait timeout exceeded; try restarting transaction: writing on several \
                 shards waits until all proxies check locks in database '{database}': {hindrance}"
            ),
        )
    }
}
