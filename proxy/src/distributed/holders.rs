//! Whose locks a write meets, and whether they still count: a committed transaction's locks are
//! free although they are there until it is forgotten.

use super::{
    anchor::{number, xid_of},
    control::Control,
    forget::Ledgers,
};
use crate::txn::{
    commit::Holders,
    lock_key::LockCheck,
    outcome::{Decision, WriteVerdict, write_verdict},
    sql::{self, HOLDERS_MAX},
    xid::Xid,
};
use bytes::Bytes;
use shardline_model::id::ShardId;
use std::collections::BTreeMap;

/// Decisions that are read by one query.
const AT_ONCE: usize = 32;

/// Whose locks were met on a shard.
#[derive(Debug)]
pub(crate) struct Met {
    /// What they have come to, all in all.
    pub(crate) holders: Holders,
    /// Those that are committed: a prepare takes their locks over.
    pub(crate) freed: Vec<Xid>,
}

/// Whose locks `check` meets on the shard, besides `own`.
pub(super) async fn holders(
    control: &Control,
    ledgers: &Ledgers,
    shard: ShardId,
    check: &LockCheck,
    own: Option<Xid>,
) -> Met {
    let mut met = Met { holders: Holders::Held, freed: Vec::new() };
    let rows = match control.query(shard, &sql::check_from_aside(check)).await {
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
    let mut asked: BTreeMap<ShardId, Vec<Xid>> = BTreeMap::new();
    for row in &rows {
        let Some((xid, anchor)) = holder(row) else { return met };
        if Some(xid) == own {
            continue;
        }
        if ledgers.decision(xid) == Some(Decision::Committed) {
            met.freed.push(xid);
            continue;
        }
        // Locks go with the branch row: look again.
        let Some(anchor) = anchor else { return met };
        asked.entry(anchor).or_default().push(xid);
    }
    for (anchor, xids) in asked {
        for some in xids.chunks(AT_ONCE) {
            let Some(standings) = control.standings(some, anchor).await else { return met };
            for (xid, standing) in some.iter().zip(standings) {
                match write_verdict(standing) {
                    WriteVerdict::Free => met.freed.push(*xid),
                    WriteVerdict::Wait | WriteVerdict::CheckAgain => return met,
                }
            }
        }
    }
    met.holders = Holders::Free;
    met
}

/// A transaction and its anchor, None when its branch has just gone.
fn holder(row: &[Option<Bytes>]) -> Option<(Xid, Option<ShardId>)> {
    let [Some(xid), anchor] = row else { return None };
    let anchor = match anchor {
        None => None,
        Some(anchor) => Some(ShardId(number(anchor)?.try_into().ok()?)),
    };
    Some((xid_of(xid)?, anchor))
}
