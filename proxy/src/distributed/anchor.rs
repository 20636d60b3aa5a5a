//! What is asked of anchors: to abort, and to tell how a transaction stands. All over control connections; nothing here decides by itself.

use super::{
    control::{Control, ControlError, DUPLICATE, LOCK_WAIT_TIMEOUT},
    setup::account_name,
};
use crate::{
    backend::TextResult,
    txn::{
        outcome::{AbortAnswer, Reading, Standing, standing},
        sql::{self, Names},
        xid::Xid,
    },
};
use bytes::Bytes;
use shardline_model::id::ShardId;

/// What a server says a thread is doing that waits for a replica's acknowledgement.
const WAITING_FOR_REPLICA: &str = "semi-sync";

impl Control {
    /// Inserts `gtx(xid, ABORTED)` on the anchor, and tells what is there instead if it cannot.
    pub(crate) async fn insert_aborted(&self, names: Names<'_>) -> AbortAnswer {
        match self.try_insert_aborted(names).await {
            Ok(answer) => answer,
            Err(error) if error.number() == Some(LOCK_WAIT_TIMEOUT) => AbortAnswer::Waiting,
            Err(error) => {
                tracing::debug!(xid = %names.xid, anchor = %names.anchor, %error, "cannot abort yet");
                AbortAnswer::Unreachable
            }
        }
    }

    async fn try_insert_aborted(&self, names: Names<'_>) -> Result<AbortAnswer, ControlError> {
        let mut connection = self.connection(names.anchor).await?;
        match connection.run(&sql::abort(names)).await?.failed {
            None => {
                connection.release();
                return Ok(AbortAnswer::Inserted);
            }
            Some((_, error)) if error.code == DUPLICATE => {}
            Some((_, error)) => {
                connection.release();
                return Err(ControlError::Refused(error));
            }
        }
        // What it says counts once it is as durable as a commit behind it.
        let mut answer = connection.run(&sql::truth(names.xid)).await?;
        connection.release();
        if let Some((_, error)) = answer.failed {
            return Err(ControlError::Refused(error));
        }
        Ok(match reading(&answer.last_rows()) {
            Some(Reading::Row(decision)) => AbortAnswer::Found(decision),
            Some(Reading::Absent { below }) if names.xid.counter < below => AbortAnswer::Forgotten,
            // A duplicate of a row that is gone by now: it was rolled back, or it is forgotten
            // and the watermark shows it a moment later.
            Some(Reading::Absent { .. }) | None => AbortAnswer::Unreachable,
        })
    }

    /// Kills the connection that holds a decision uncommitted: only one of its incarnation's
    /// account, and not while it waits for a replica.
    pub(crate) async fn kill_anchor(&self, xid: Xid, anchor: ShardId, thread: u64) {
        let sql = format!(
            "SELECT user, COALESCE(state, '') FROM information_schema.processlist WHERE id = {thread}"
        );
        let row = match self.query(anchor, &sql).await {
            Ok(mut result) => result.rows.pop(),
            Err(error) => {
                tracing::debug!(%xid, %anchor, %error, "cannot look for the anchor's connection");
                return;
            }
        };
        let Some([Some(user), Some(state)]) = row.as_deref() else { return };
        let ours = user == account_name(xid.incarnation).as_bytes();
        if !ours || String::from_utf8_lossy(state).contains(WAITING_FOR_REPLICA) {
            return;
        }
        if let Err(error) = self.kill(anchor, thread).await {
            tracing::debug!(%xid, %anchor, %error, "cannot kill the anchor's connection");
        }
    }

    /// How a transaction stands by its anchor; None when that does not answer.
    pub(crate) async fn standing(&self, xid: Xid, anchor: ShardId) -> Option<Standing> {
        let rows = self.query(anchor, &sql::read_decision(xid)).await.ok()?;
        reading(&rows).map(|reading| standing(xid, reading))
    }

    /// How several transactions stand by their common anchor, in this order; None when that
    /// does not answer.
    pub(super) async fn standings(&self, xids: &[Xid], anchor: ShardId) -> Option<Vec<Standing>> {
        let answer = self.query(anchor, &sql::read_decisions(xids)).await.ok()?;
        let readings = answer.rows.iter().map(|row| reading_of(row));
        let standings: Option<Vec<_>> = xids
            .iter()
            .zip(readings)
            .map(|(xid, reading)| reading.map(|reading| standing(*xid, reading)))
            .collect();
        standings.filter(|found| found.len() == xids.len())
    }
}

/// The row of [`sql::read_decision`].
fn reading(result: &TextResult) -> Option<Reading> {
    reading_of(result.rows.first()?)
}

fn reading_of(row: &[Option<Bytes>]) -> Option<Reading> {
    let [state, below] = row else { return None };
    match state {
        Some(state) => sql::decision_of(number(state)?.try_into().ok()?).map(Reading::Row),
        None => {
            let below = below.as_ref().map_or(Some(0), number)?;
            Some(Reading::Absent { below })
        }
    }
}

/// A number in the text protocol.
pub(crate) fn number(text: &Bytes) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A transaction's name as a server stores it.
pub(crate) fn xid_of(bytes: &Bytes) -> Option<Xid> {
    <[u8; 16]>::try_from(bytes.as_ref()).ok().map(Xid::from_bytes)
}

/// A row of [`sql::check_from_aside`]: a transaction and its anchor, None when its branch has
/// just gone.
pub(crate) fn holder_of(row: &[Option<Bytes>]) -> Option<(Xid, Option<ShardId>)> {
    let [Some(xid), anchor] = row else { return None };
    let anchor = match anchor {
        None => None,
        Some(anchor) => Some(ShardId(number(anchor)?.try_into().ok()?)),
    };
    Some((xid_of(xid)?, anchor))
}
