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
use std::collections::BTreeSet;

/// Whose locks were met on a shard.
#[derive(Debug)]
pub(crate) struct Met {
    /// What they have come to, all in all.
    pub(crate) holders: Holders,
    /// Those that are committed: a prepare takes their locks over.
    pub(crate) freed: Vec<Xid>,
}

/// Whose locks somebody waits for who holds its row locks already: those that its first look met. Who
/// locks something later has not written the same rows, since it wrote its own before it locked them.
#[derive(Debug, Default)]
pub(crate) struct Waited(Option<BTreeSet<Xid>>);

impl Waited {
    fn counts(&self, xid: Xid) -> bool {
        self.0.as_ref().is_none_or(|waited| waited.contains(&xid))
    }
}

impl Distributed {
    /// Whose locks `check` meets on the shard, besides `own`. All looks after one that `waited` has
    /// seen must be under the same row locks.
    pub(crate) async fn holders(
        &self,
        shard: ShardId,
        check: &LockCheck,
        own: Option<Xid>,
        waited: &mut Waited,
    ) -> Met {
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
        let (mut asked, mut left) = (Vec::new(), BTreeSet::new());
        for row in &rows {
            let Some((xid, anchor)) = holder_of(row) else { return met };
            if Some(xid) == own {
                continue;
            }
            match (self.ledgers.decision(xid), anchor) {
                (Some(Decision::Committed), _) => met.freed.push(xid),
                (Some(Decision::Aborted) | None, _) if !waited.counts(xid) => {}
                (Some(Decision::Aborted) | None, Some(anchor)) => asked.push((xid, anchor)),
                // Locks go with the branch row: look again.
                (Some(Decision::Aborted) | None, None) => drop(left.insert(xid)),
            }
        }
        left.extend(asked.iter().map(|(xid, _)| *xid));
        for xid in self.committed(&asked).await {
            left.remove(&xid);
            met.freed.push(xid);
        }
        if left.is_empty() {
            met.holders = Holders::Free;
        }
        waited.0 = Some(left);
        met
    }
}
