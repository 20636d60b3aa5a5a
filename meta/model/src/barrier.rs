//! The commit barrier: while the catalog has one, proxies admit no new commit, so that whoever asked
//! for it opens snapshots on all shards in between. Here is what the catalog says, and which
//! step may follow which; who asks and who waits is in the proxies.

use crate::id::{Epoch, Incarnation};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An entry of the catalog: one for the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// Who asked for it.
    pub by: Incarnation,
    /// The epoch that made it. No other barrier ever has it, so that ending the barrier of this epoch
    /// proves that it has stood all the time.
    pub since: Epoch,
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standing since {} for {}", self.since, self.by)
    }
}
