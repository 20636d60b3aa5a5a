//! What must be on a shard before an incarnation writes there.

use crate::txn::xid::Incarnation;

/// The account of an incarnation on the servers. No two incarnations share one, so locking it
/// and killing its connections ends all that an incarnation may still do.
pub(crate) fn account_name(incarnation: Incarnation) -> String {
    format!("shardline-{}", incarnation.0)
}
