//! Transactions as an operator sees them: those that wait for a resolver, those that are stuck, and what
//! became of one by its name.

use super::{Distributed, anchor::number};
use crate::txn::{
    outcome::{Decision, Standing},
    sql,
    xid::Xid,
};
use shardline_model::id::ShardId;
use std::time::{Duration, SystemTime};

/// What a transaction waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionState {
    /// To be decided and settled; a resolver is at it, or will be within a moment.
    Undecided,
    /// Aborted, and a branch cannot be undone.
    Stuck,
}

/// One line of SHOW TRANSACTIONS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransactionView {
    /// Its name.
    pub(crate) xid: Xid,
    /// How far it is.
    pub(crate) state: TransactionState,
    /// Where it is decided.
    pub(crate) anchor: ShardId,
    /// Its branches.
    pub(crate) branches: Vec<ShardId>,
    /// How long this proxy has known of it.
    pub(crate) age: Duration,
    /// What it waits for.
    pub(crate) waits_for: String,
}

/// What became of a transaction, as far as the shards tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TransactionStatus {
    /// It is on all its shards.
    Committed,
    /// Nothing of it remains, but where it is listed as stuck.
    Aborted,
    /// A branch is prepared and its anchor has not decided.
    Undecided,
    /// Decided and forgotten. If its COMMIT was answered by 08007 it is committed; a transaction that
    /// was refused before it prepared anything left no trace either.
    Forgotten,
    /// Its proxy's incarnation is over and swept: nothing tells any more.
    Finished,
    /// Nothing is known of it.
    Unknown,
    /// These shards did not answer, and the others know nothing.
    Unreachable(Vec<ShardId>),
}

impl Distributed {
    /// The transactions that this proxy knows to be undecided or stuck.
    pub(crate) fn overview(&self) -> Vec<TransactionView> {
        let stuck = self.recovery.settler.stuck.all();
        let undecided = self.recovery.undecided().into_iter();
        let undecided = undecided
            .filter(|seen| stuck.iter().all(|branch| branch.xid != seen.undecided.xid))
            .map(|seen| TransactionView {
                xid: seen.undecided.xid,
                state: TransactionState::Undecided,
                anchor: seen.undecided.anchor,
                branches: seen.undecided.branches.to_vec(),
                age: seen.since.elapsed(),
                waits_for: match seen.resolving {
                    true => "a resolver that is at it".to_owned(),
                    false => "the next scan of its branches".to_owned(),
                },
            });
        let age = |since: SystemTime| since.elapsed().unwrap_or_default();
        let views = stuck.iter().map(|branch| TransactionView {
            xid: branch.xid,
            state: TransactionState::Stuck,
            anchor: branch.anchor,
            branches: branch.branches.clone(),
            age: age(branch.since),
            waits_for: format!("txn_resolve on {}: {}", branch.shard, branch.reason),
        });
        undecided.chain(views).collect()
    }

    /// What became of a transaction. Asks all of these shards, as its anchor is in its rows only.
    pub(crate) async fn status(&self, xid: Xid, shards: &[ShardId]) -> TransactionStatus {
        match self.ledgers.decision(xid) {
            Some(Decision::Committed) => return TransactionStatus::Committed,
            Some(Decision::Aborted) => return TransactionStatus::Aborted,
            None => {}
        }
        let (mut silent, mut standings) = (Vec::new(), Vec::new());
        for shard in shards {
            match self.control.standing(xid, *shard).await {
                Some(Standing::Aborted) => return TransactionStatus::Aborted,
                Some(standing) => standings.push((*shard, standing)),
                None => silent.push(*shard),
            }
            let key = sql::hex(&xid.to_bytes());
            let sql = format!("SELECT anchor FROM _shardline.branch WHERE xid = {key}");
            let Ok(rows) = self.control.query(*shard, &sql).await else { continue };
            let anchor = rows.rows.first().and_then(|row| number(row.first()?.as_ref()?));
            if let Some(anchor) = anchor.and_then(|anchor| anchor.try_into().ok()) {
                return match self.control.standing(xid, ShardId(anchor)).await {
                    Some(Standing::Committed) => TransactionStatus::Committed,
                    Some(Standing::Aborted) => TransactionStatus::Aborted,
                    Some(Standing::Undecided) => TransactionStatus::Undecided,
                    Some(Standing::Finished) => TransactionStatus::Finished,
                    None => TransactionStatus::Unreachable(vec![ShardId(anchor)]),
                };
            }
        }
        // Without its anchor a standing may come from a watermark alone.
        let any = |wanted| standings.iter().any(|(_, standing)| *standing == wanted);
        if any(Standing::Finished) {
            TransactionStatus::Finished
        } else if !silent.is_empty() {
            TransactionStatus::Unreachable(silent)
        } else if any(Standing::Committed) {
            TransactionStatus::Forgotten
        } else {
            TransactionStatus::Unknown
        }
    }
}
