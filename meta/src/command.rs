//! What the Raft log holds and what its application answers.

use serde::{Deserialize, Serialize};
use shardline_meta_client::rpc::{
    LeaseInstance, LeaseRefusal, MarkRefusal, ProxyRegistration, Rejection, RequestId,
    ReserveRefusal,
};
use shardline_model::{
    change::{Applied, Change},
    id::{Epoch, Incarnation, ProxyId, TableId},
};
use std::{io::Cursor, sync::Arc};

openraft::declare_raft_types!(
    /// The types that Raft is used with here.
    pub(crate) MetaRaft:
        D = Command,
        R = Outcome,
        NodeId = u64,
        Node = openraft::BasicNode,
        Entry = openraft::Entry<MetaRaft>,
        SnapshotData = Cursor<Vec<u8>>,
        Responder = openraft::impls::OneshotResponder<MetaRaft>,
        AsyncRuntime = openraft::TokioRuntime,
);

/// One entry of the log. What it does depends on the state and itself alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Change the catalog, once for each request id.
    Change { request: RequestId, base: Epoch, change: Arc<Change> },
    /// Give out sequence numbers.
    Reserve { table: TableId, count: u64, at_least: Option<u64> },
    /// Give a proxy id, or say which one the instance has.
    GrantLease { instance: LeaseInstance, registration: ProxyRegistration },
    /// The holder gives its id back.
    ReleaseLease { proxy: ProxyId, instance: LeaseInstance },
    /// The leader of `term` saw the lease run out. Void in an entry of another term: there
    /// another leadership decides, which may have renewed the lease.
    ExpireLease { proxy: ProxyId, instance: LeaseInstance, term: u64 },
    /// An ended incarnation is fenced on every shard.
    MarkFenced { incarnation: Incarnation, at_unix_s: u64 },
    /// Nothing is left of a fenced incarnation.
    MarkSwept { incarnation: Incarnation },
}

/// The result of applying one entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The entry was not a command (a blank one or a membership).
    Nothing,
    /// The change made this epoch, now or earlier.
    Changed { epoch: Epoch, applied: Applied },
    /// The change is not valid.
    Rejected(Rejection),
    /// The request is too old to be told from one that was applied.
    Forgotten { epoch: Epoch },
    /// The numbers `first..end`.
    Reserved { first: u64, end: u64 },
    /// No numbers.
    ReserveRefused(ReserveRefusal),
    /// The instance holds this id, in this life, since now or before; the catalog's epoch.
    LeaseHeld { proxy: ProxyId, incarnation: Incarnation, epoch: Epoch },
    /// The instance does not hold the id any more.
    LeaseEnded,
    /// No lease.
    LeaseRefused(LeaseRefusal),
    /// The incarnation is marked, now or earlier.
    Marked,
    /// The incarnation is not marked.
    MarkRefused(MarkRefusal),
}
