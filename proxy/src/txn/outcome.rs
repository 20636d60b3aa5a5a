//! What a distributed transaction comes to, and what a `gtx` row, or its absence, tells.

use super::xid::Xid;
use shardline_model::id::ShardId;

/// The two states of a `gtx` row. It never changes from one to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// It is on all its participants, or will be found there.
    Committed,
    /// Nothing of it remains, once its branches are compensated.
    Aborted,
}

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// OK: durable on all shards.
    Committed,
    /// 1213 / 40001: nothing of it remains, or nothing will within a moment.
    Aborted(Why),
    /// 08007 with the xid: it is decided, or will be, and `SHOW TRANSACTION STATUS` tells.
    Unknown,
}

/// Why a transaction was aborted, for the text of the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A shard refused to commit its branch.
    Refused(ShardId),
    /// A key that was written on this shard is locked by another transaction.
    Locked(ShardId),
    /// A shard's connection broke before it had answered.
    Lost(ShardId),
    /// A shard did not answer in time.
    Slow,
    /// The anchor refused the decision: another process had aborted the transaction, or
    /// this proxy is fenced.
    Overruled,
    /// This proxy's lease is over.
    Fenced,
}

impl Why {
    /// For people; `name` gives a shard's name.
    pub fn text(self, name: impl Fn(ShardId) -> String) -> String {
        match self {
            Why::Refused(shard) => format!("shard {} refused its part", name(shard)),
            Why::Locked(shard) => format!(
                "a row that it wrote on shard {} belongs to another transaction that is not \
                 decided yet",
                name(shard)
            ),
            Why::Lost(shard) => format!("lost connection to shard {}", name(shard)),
            Why::Slow => "the shards took too long".into(),
            Why::Overruled => "another process found it undecided and aborted it".into(),
            Why::Fenced => "this proxy has lost its lease".into(),
        }
    }
}

/// What inserting `gtx(xid, ABORTED)` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortAnswer {
    /// The row is there now, durable.
    Inserted,
    /// There was a row, and this is what it says.
    Found(Decision),
    /// Another connection holds the row uncommitted (a lock wait timeout).
    Waiting,
    /// Refused: the transaction was decided, finished and forgotten long ago.
    Forgotten,
    /// No answer, for whatever reason. Trying again is always safe.
    Unreachable,
}

/// What settling one branch of an aborted transaction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Its changes are undone, or it had not committed and never will (a fence row).
    Done,
    /// A row differs from what the branch wrote. Nothing was changed; its keys stay locked.
    Stuck,
    /// No answer, or an error that may pass.
    Failed,
}

/// A transaction's `gtx` row as a plain current read finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The row.
    Row(Decision),
    /// No row; all transactions of the incarnation below this counter that were anchored
    /// here are decided ([`ALL`] once a dead incarnation is swept, 0 when none is).
    Absent {
        /// `forgotten.below`.
        below: u64,
    },
}

/// The watermark of an incarnation of which nothing is left.
pub const ALL: u64 = u64::MAX;

/// What a [`Reading`] means for somebody who saw the transaction's rows or locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Committed; its row may already be forgotten.
    Committed,
    /// Aborted; compensation has undone it or is about to.
    Aborted,
    /// Undecided: insert ABORTED to decide it, or wait.
    Undecided,
    /// Decided, and nothing tells how any more.
    Finished,
}

/// Absence decides nothing by itself: the row may not be there yet, or not any more. While an
/// incarnation lives its tombstones stay, so a missing row below the watermark was COMMITTED
/// (given that the transaction had prepared a branch, which its locks and 08007 prove).
pub fn standing(xid: Xid, reading: Reading) -> Standing {
    match reading {
        Reading::Row(Decision::Committed) => Standing::Committed,
        Reading::Row(Decision::Aborted) => Standing::Aborted,
        Reading::Absent { below: ALL } => Standing::Finished,
        Reading::Absent { below } if xid.counter < below => Standing::Committed,
        Reading::Absent { .. } => Standing::Undecided,
    }
}

/// What a read does whose snapshot shows a lock (`shardline_read_consistency = committed`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadVerdict {
    /// The rows it sees are committed.
    Valid,
    /// Ask again in a moment.
    Wait,
    /// The rows it sees are being undone, or may have been: read again in a new snapshot,
    /// or fail with 1213 where the snapshot must stay.
    Reopen,
}

/// What a read does.
pub fn read_verdict(standing: Standing) -> ReadVerdict {
    match standing {
        Standing::Committed => ReadVerdict::Valid,
        Standing::Undecided => ReadVerdict::Wait,
        Standing::Aborted | Standing::Finished => ReadVerdict::Reopen,
    }
}

/// What a write does that met a lock by a current read, while it holds its row locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteVerdict {
    /// The lock is free: go on; a distributed writer takes the row over.
    Free,
    /// Wait, briefly: compensation needs the rows that this write has locked. Then give up
    /// with 1205 or 1213.
    Wait,
    /// The lock is gone by now: check again.
    CheckAgain,
}

/// What a write does.
pub fn write_verdict(standing: Standing) -> WriteVerdict {
    match standing {
        Standing::Committed => WriteVerdict::Free,
        Standing::Undecided | Standing::Aborted => WriteVerdict::Wait,
        // Locks go before the decision does.
        Standing::Finished => WriteVerdict::CheckAgain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::txn::xid::Incarnation;

    #[test]
    fn absence_alone_decides_nothing() {
        let xid = Xid { incarnation: Incarnation(3), counter: 10 };
        let cases = [
            (Reading::Row(Decision::Committed), Standing::Committed),
            (Reading::Row(Decision::Aborted), Standing::Aborted),
            (Reading::Absent { below: 0 }, Standing::Undecided),
            (Reading::Absent { below: 10 }, Standing::Undecided),
            (Reading::Absent { below: 11 }, Standing::Committed),
            (Reading::Absent { below: ALL }, Standing::Finished),
        ];
        for (reading, expected) in cases {
            assert_eq!(standing(xid, reading), expected, "{reading:?}");
        }
    }
}
