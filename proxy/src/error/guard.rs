//! Errors about guards.

use super::SqlError;

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

    /// The guard of a database was lowered while it was asked for.
    pub fn guard_not_up() -> Self {
        Self::rolled_back("guard_not_up", "the proxies are just agreeing on how writes check locks")
    }
}
