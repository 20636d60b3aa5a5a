//! What is sent to a simulated server and what it answers: the packets of
//! `shardline_proxy::txn::sql`, as values.

use crate::oracle::Account;
use shardline_model::id::ShardId;
use shardline_proxy::txn::{
    lock_key::{LockKey, LockSet},
    outcome::{AbortAnswer, Reading, Settlement},
    recovery::Undecided,
    xid::{Incarnation, Xid},
};

pub(crate) type Changes = Vec<(Account, i64)>;

#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// Rows changed inside a transaction that stays open.
    Update(Changes),
    /// Rows changed, the check, COMMIT; None: a writer that does not check.
    CheckedWrite(Changes, Option<Vec<LockKey>>),
    /// The check from aside.
    Check(Vec<LockKey>),
    Commit,
    Rollback,
    Prepare {
        names: Undecided,
        locks: LockSet,
        freed: Vec<Xid>,
    },
    Decide {
        names: Undecided,
        /// What it looks for itself.
        check: Vec<LockKey>,
    },
    Abort {
        names: Undecided,
    },
    ReadDecision(Xid),
    KillHolder(Xid),
    Settle {
        names: Undecided,
    },
    ForgetBranches(Vec<(Xid, LockSet)>),
    ForgetDecisions {
        incarnation: Incarnation,
        xids: Vec<Xid>,
        below: u64,
    },
    Scan,
    LockAccount(Incarnation),
    KillConnections(Incarnation),
    MarkDead(Incarnation),
    CountBranches(Incarnation),
    CountLeft,
    Sweep {
        incarnation: Incarnation,
        below: u64,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Done,
    /// A row lock was not got in time.
    Timeout,
    /// Locks that were met, with who has them; the transaction is still open.
    Locked(Vec<(LockKey, Xid)>),
    /// The row that decides is there already.
    Duplicate,
    Abort(AbortAnswer),
    Decision(Reading),
    Settled(Settlement),
    Found(Vec<(Undecided, LockSet)>),
    Count(u64),
}

/// What a client of a server gets.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    /// The connection is gone: whether the packet may have been carried out.
    Lost {
        sent: bool,
    },
}

/// Where an account lives, and what its rows are locked by: two accounts share a key.
pub(crate) fn shard_of(account: Account) -> ShardId {
    ShardId(account % crate::world::SHARDS + 1)
}
