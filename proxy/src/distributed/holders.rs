//! Whose locks a write meets, and whether they still count: a committed transaction's locks are
//! free although they are there until it is forgotten.

use super::{Distributed, anchor::holder_of};
use crate::txn::{
    commit::Holders,
    lock_key::LockCheck,
    outcome::Decision,
    sql::{self, HOLDERS_MAX},
    xid::Xid,
};
use shardline_model::id::ShardId;

/// Whose locks were met on a shard.
#[derive(Debug)]
pub(crate) struct Met {
    /// What they have come to, all in all.
    pub(crate) holders: Holders,
    /// Those that are committed: a prepare takes their locks over.
    pub(crate) freed: Vec<Xid>,
}

impl Distributed {
    /// Whose locks `check` meets on the shard, besides `own`.
    pub(crate) async fn holders(&self, shard: ShardId, check: &LockCheck, own: Option<Xid>) -> Met {
        let mut met = Met { holders: Holders::Held, freed: Vec::new() };
        let rows = match self.control.query(shard, &sql::check_from_aside(check)).await {
            Ok(result) => result.rows,
            Err(error) => {
                tracing::debug!(%shard, %error, "cannot look for locks");
                return met;
            }
        };
        // There may be more.
        if rows.len() >= HOLDERS_MAX {
            return met;
        }
        let mut asked = Vec::new();
        for row in &rows {
            let Some((xid, anchor)) = holder_of(row) else { return met };
            if Some(xid) == own {
                continue;
            }
            match (self.ledgers.decision(xid), anchor) {
                (Some(Decision::Committed), _) => met.freed.push(xid),
                (Some(Decision::Aborted) | None, Some(anchor)) => asked.push((xid, anchor)),
                // Locks go with the branch row: look again.
                (Some(Decision::Aborted) | None, None) => return met,
            }
        }
        let (committed, all) = self.committed(&asked).await;
        met.freed.extend(committed);
        if all {
            met.holders = Holders::Free;
        }
        met
    }
}
