//! What clients and the metadata service say to each other. Bodies are postcard; framing
//! and caps are in [`crate::frame`].

use serde::{Deserialize, Serialize};
use shardline_model::{
    change::{Applied, Change, ChangeError},
    id::{Epoch, Incarnation, ProxyId, TableId},
};
use std::{fmt, sync::Arc};

/// The most sequence numbers that one reservation gives.
pub const RESERVE_COUNT_MAX: u64 = 1 << 32;

/// Proxy ids are `1..=PROXY_ID_MAX`: ten bits, so that 22 bits of a 32-bit connection id
/// are left for the proxy's own count.
pub const PROXY_ID_MAX: u32 = 1_023;

/// The most incarnations that may be alive or not swept: a day of a proxy that loses its
/// lease every ten seconds. Beyond it no lease is given.
pub const INCARNATIONS_MAX: usize = 10_000;

/// The longest text in a [`ProxyRegistration`], in bytes.
pub const REGISTRATION_TEXT_BYTES_MAX: usize = 255;

/// Names one change over all of its retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// Random, drawn once by each client process.
    pub client: u64,
    /// Counts the client's changes.
    pub number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.client, self.number)
    }
}

/// Names one holder of one lease: random, so that two holders never share it and a
/// repeated grant is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseInstance(pub u128);

/// Who asks for a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyRegistration {
    /// Where the proxy listens, for people: `10.0.0.7:3306`.
    pub address: String,
    /// The proxy's software version.
    pub version: String,
}

/// What a client asks. Every request may be repeated: a repeated one has no second effect
/// (at worst a reserved range is left unused).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Apply a change to the catalog.
    Propose {
        /// The change's name over all retries.
        request: RequestId,
        /// An epoch that the catalog had reached before the first attempt. Lets the service
        /// tell a new request from one that it applied and has since forgotten.
        base: Epoch,
        /// The change.
        change: Arc<Change>,
    },
    /// Reserve sequence numbers of a table.
    Reserve {
        /// The table.
        table: TableId,
        /// How many; 0 only moves the sequence.
        count: u64,
        /// The smallest number that may still be given.
        at_least: Option<u64>,
    },
    /// Give a proxy id to a new holder.
    GrantLease {
        /// The holder.
        instance: LeaseInstance,
        /// Who it is.
        registration: ProxyRegistration,
    },
    /// Keep a proxy id.
    RenewLease {
        /// The id held.
        proxy: ProxyId,
        /// The holder.
        instance: LeaseInstance,
        /// The oldest epoch that the proxy may still be using.
        acknowledged: Epoch,
        /// The oldest epoch by which the proxy may still admit commits.
        admits_by: Epoch,
    },
    /// Give a proxy id back.
    EndLease {
        /// The id held.
        proxy: ProxyId,
        /// The holder.
        instance: LeaseInstance,
    },
    /// The state of the service, as the asked node sees it. Any node answers.
    ClusterStatus,
    /// An ended incarnation is fenced on every shard.
    MarkFenced {
        /// Which.
        incarnation: Incarnation,
        /// When, in seconds since 1970 by the asker's clock: says how long its outcomes are
        /// kept, nothing else.
        at_unix_s: u64,
    },
    /// Nothing is left of a fenced incarnation.
    MarkSwept {
        /// Which.
        incarnation: Incarnation,
    },
    /// Turn the connection into a stream of [`WatchEvent`]s.
    Watch {
        /// The epoch that the client has; None asks for a snapshot.
        from: Option<Epoch>,
    },
}

/// What the service answers (to everything but [`Request::Watch`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The change was applied, now or by an earlier attempt.
    Applied {
        /// The epoch that it made.
        epoch: Epoch,
        /// What it gave out.
        applied: Applied,
    },
    /// The change is not valid; nothing was changed.
    Rejected(Rejection),
    /// The request's base epoch is so old that the service cannot tell whether the request
    /// was applied before. Nothing was changed by this attempt.
    Forgotten {
        /// The catalog's epoch.
        epoch: Epoch,
    },
    /// Sequence numbers `first..end` belong to the asker.
    Reserved {
        /// The first.
        first: u64,
        /// One past the last.
        end: u64,
    },
    /// No sequence numbers were reserved.
    ReserveRefused(ReserveRefusal),
    /// A new lease, or the same one again.
    LeaseGranted {
        /// The id.
        proxy: ProxyId,
        /// This life of the proxy.
        incarnation: Incarnation,
        /// The holder may not serve by an older catalog: guards that rose before there was
        /// this lease did not wait for it.
        epoch: Epoch,
        /// How long from the moment the asker sent the request, in milliseconds.
        ttl_ms: u64,
    },
    /// The proxy id is the asker's for `ttl_ms` from the moment it sent the request.
    LeaseHeld {
        /// The id.
        proxy: ProxyId,
        /// How long, in milliseconds.
        ttl_ms: u64,
    },
    /// The lease is over.
    LeaseEnded,
    /// No lease was given.
    LeaseRefused(LeaseRefusal),
    /// The incarnation is marked, now or by an earlier attempt.
    Marked,
    /// It is not.
    MarkRefused(MarkRefusal),
    /// The state of the service.
    Status(Box<ClusterStatus>),
    /// Ask the leader instead.
    NotLeader {
        /// Its address, when known.
        leader: Option<String>,
    },
    /// Try again later, here or elsewhere: the outcome of the request is unknown.
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The request breaks a limit or cannot be read; repeating it is useless.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Why a change of the catalog is not valid: a [`ChangeError`] that has travelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Rejection {
    /// What kind of reason, for programs.
    pub kind: RejectionKind,
    /// The whole reason, for people.
    pub reason: String,
}

/// The kinds of [`Rejection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RejectionKind {
    /// Something of that name exists.
    Exists,
    /// Nothing of that name exists.
    Unknown,
    /// There is no shard yet, or the shard still has something.
    Shard,
    /// More than a limit allows.
    TooMany,
    /// The change contradicts itself or the rules of sharding.
    Invalid,
    /// What was to be changed is not any more what the asker saw: somebody was faster.
    Moved,
}

impl From<&ChangeError> for Rejection {
    fn from(error: &ChangeError) -> Self {
        let kind = match error {
            ChangeError::Exists { .. } => RejectionKind::Exists,
            ChangeError::Unknown { .. } => RejectionKind::Unknown,
            ChangeError::NoShards
            | ChangeError::ShardInUse { .. }
            | ChangeError::ShardApart { .. }
            | ChangeError::ShardsStay { .. } => RejectionKind::Shard,
            ChangeError::TooMany { .. } => RejectionKind::TooMany,
            ChangeError::GuardMoved { .. }
            | ChangeError::JobMoved { .. }
            | ChangeError::MoveMoved { .. }
            | ChangeError::BarrierMoved { .. } => RejectionKind::Moved,
            ChangeError::BadName { .. }
            | ChangeError::BadDefinition { .. }
            | ChangeError::KeyType { .. }
            | ChangeError::BadKey { .. }
            | ChangeError::UniqueKey { .. }
            | ChangeError::Colocation { .. }
            | ChangeError::GuardOrder { .. }
            | ChangeError::JobOver { .. }
            | ChangeError::JobHasMoves { .. }
            | ChangeError::MoveOrder { .. }
            | ChangeError::MoveToItself { .. }
            | ChangeError::BadUnits { .. }
            | ChangeError::MovesOverlap { .. }
            | ChangeError::NotOwned { .. }
            | ChangeError::TableMoves { .. }
            | ChangeError::Reshard { .. }
            | ChangeError::BadPlacement { .. } => RejectionKind::Invalid,
        };
        Self { kind, reason: error.to_string() }
    }
}

/// Why no sequence numbers were reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ReserveRefusal {
    /// The catalog never had this table.
    #[error("table {table} is not in the catalog")]
    UnknownTable {
        /// The table.
        table: TableId,
    },
    /// Too many at once.
    #[error("{count} sequence numbers at once are over the limit of {RESERVE_COUNT_MAX}")]
    TooMany {
        /// How many were asked for.
        count: u64,
    },
    /// The sequence of 64-bit numbers is used up.
    #[error("the sequence of table {table} is exhausted at {next}")]
    Exhausted {
        /// The table.
        table: TableId,
        /// The next number that it would give.
        next: u64,
    },
}

/// Why no lease was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum LeaseRefusal {
    /// The id is not (any more) this holder's.
    #[error("lease of {proxy} has ended")]
    NotHeld {
        /// The id.
        proxy: ProxyId,
    },
    /// Every id is held.
    #[error("all {PROXY_ID_MAX} proxy ids are held")]
    Full,
    /// A text of the registration is too long.
    #[error("a text of the registration is over {REGISTRATION_TEXT_BYTES_MAX} bytes")]
    RegistrationTooLong,
    /// Too many former lives of proxies wait to be fenced or swept.
    #[error(
        "{INCARNATIONS_MAX} incarnations of proxies are alive or not swept yet; a proxy sweeps \
         an ended one a day after it has cut it off from every shard, so see whether all \
         shards are up, and why proxies lose their leases"
    )]
    TooManyIncarnations,
}

/// Why an incarnation is not marked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MarkRefusal {
    /// Its lease is not over.
    #[error("incarnation {incarnation} still holds its lease")]
    Live {
        /// Which.
        incarnation: Incarnation,
    },
    /// It is not fenced.
    #[error("incarnation {incarnation} is not fenced yet")]
    NotFenced {
        /// Which.
        incarnation: Incarnation,
    },
    /// There never was one of this number.
    #[error("there was no incarnation {incarnation}")]
    Unknown {
        /// Which.
        incarnation: Incarnation,
    },
}

/// One element of the catalog stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WatchEvent {
    /// A part of an encoded [`shardline_model::catalog::Catalog`]; the catalog is whole when
    /// nothing remains. It replaces what the client has.
    Snapshot {
        /// The bytes.
        part: Vec<u8>,
        /// How many bytes follow in later parts.
        remaining_bytes: u64,
    },
    /// The change that made this epoch from the one before it.
    Change {
        /// The epoch made.
        epoch: Epoch,
        /// The change.
        change: Arc<Change>,
    },
    /// Nothing new; the node is still the leader.
    Alive {
        /// Its epoch.
        epoch: Epoch,
    },
    /// The stream ends: this node is not the leader or cannot prove it.
    Moved {
        /// The leader's address, when known.
        leader: Option<String>,
    },
}

/// A node's part in the Raft cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeRole {
    /// Takes changes.
    Leader,
    /// Votes and follows.
    Follower,
    /// Follows without a vote.
    Learner,
}

/// One node of the metadata service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub id: u64,
    /// Where it listens.
    pub address: String,
    /// Its part.
    pub role: NodeRole,
    /// The last log index known to be on it; None when the answering node cannot tell.
    pub matched_index: Option<u64>,
}

/// One lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// The proxy id.
    pub proxy: ProxyId,
    /// This life of it.
    pub incarnation: Incarnation,
    /// Who holds it.
    pub registration: ProxyRegistration,
    /// The epoch acknowledged by the last renewal; None when the answering node has seen none.
    pub acknowledged: Option<Epoch>,
    /// Every commit that the proxy admits from now on is admitted by a catalog of this epoch or a
    /// newer one; None as above.
    pub admits_by: Option<Epoch>,
    /// Milliseconds since the last renewal; None when the answering node has seen none.
    pub renewed_ms_ago: Option<u64>,
}

/// What became of an incarnation. A swept one is not listed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IncarnationState {
    /// It holds the lease of this id.
    Live(ProxyId),
    /// Its lease is over, and shards may still take what it sent.
    Ended,
    /// No shard takes anything from it any more; its outcomes can still be asked for.
    Fenced {
        /// Since when, in seconds since 1970 by the clock of whoever fenced it.
        at_unix_s: u64,
    },
}

/// One incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncarnationStatus {
    /// Its number.
    pub incarnation: Incarnation,
    /// What became of it.
    pub state: IncarnationState,
}

/// The state of the metadata service as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The node that answers.
    pub answered_by: u64,
    /// The leader, when known.
    pub leader: Option<u64>,
    /// The Raft term.
    pub term: u64,
    /// The members, by id.
    pub nodes: Vec<NodeStatus>,
    /// The last log index on the answering node.
    pub last_log_index: Option<u64>,
    /// The last log index applied there.
    pub applied_index: Option<u64>,
    /// The last log index in its snapshot.
    pub snapshot_index: Option<u64>,
    /// The last log index purged there.
    pub purged_index: Option<u64>,
    /// The catalog's epoch there.
    pub epoch: Epoch,
    /// Leases by proxy id.
    pub leases: Vec<LeaseStatus>,
    /// Incarnations that are not swept, by number; at most [`INCARNATIONS_MAX`].
    pub incarnations: Vec<IncarnationStatus>,
    /// Whether the answering node leads, as a majority confirmed after the question arrived.
    /// Then epoch, leases and incarnations are not older than the question.
    pub confirmed: bool,
}
