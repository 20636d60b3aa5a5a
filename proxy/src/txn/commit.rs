//! What the coordinator of a commit and its driver say to each other.

use super::outcome::{AbortAnswer, Outcome, Settlement};
use shardline_model::id::ShardId;
use smallvec::SmallVec;
use std::time::Instant;

/// Who takes part. At least one branch: one written shard alone is committed as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participants {
    /// The first shard written.
    pub anchor: ShardId,
    /// The other shards written, each once, without the anchor.
    pub branches: SmallVec<[ShardId; 4]>,
    /// Shards only read from.
    pub readers: SmallVec<[ShardId; 4]>,
    /// Those of all whose foreign locks must be looked for from aside. The other written ones' own
    /// packets do.
    pub checks: SmallVec<[ShardId; 4]>,
}

/// What the driver is to do. What has an event is answered by exactly one, late or not;
/// the driver bounds each in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Look from aside whether the transaction stands on locks of others there: the check packet
    /// on another connection, and the anchors of what it finds -> [`Event::Checked`]. The anchor
    /// need not look itself any more.
    Check(ShardId),
    /// The prepare packet, on the branch's own connection -> [`Event::Prepared`],
    /// [`Event::PrepareFailed`], [`Event::PrepareLocked`].
    Prepare(ShardId),
    /// The same for a branch, with the locks that it is to take -> [`Event::HoldersAsked`]. Those
    /// of committed transactions are taken over by the next prepare.
    AskHolders(ShardId),
    /// COMMIT on a reader's own connection -> [`Event::ReaderEnded`]. Its read locks were
    /// held until all of the transaction's locks were: two-phase locking is kept.
    EndReader(ShardId),
    /// The decide packet on the anchor's own connection -> [`Event::Decided`],
    /// [`Event::DecideLocked`], [`Event::DecideFailed`].
    Decide,
    /// Roll back on the participant's own connection, or close it. No event.
    Rollback(ShardId),
    /// The abort packet on a new connection to the anchor -> [`Event::Abort`].
    InsertAborted,
    /// Kill the backend connection that held the anchor's transaction, unless it is waiting
    /// for a replica's acknowledgement -> [`Event::Killed`].
    KillAnchor,
    /// Settle a branch of the aborted transaction, on a new connection -> [`Event::Settled`].
    Settle(ShardId),
    /// [`Event::Time`] is wanted at this time, or later. A later wake-up replaces it.
    WakeAt(Instant),
    /// Answer the client. Once.
    Answer(Outcome),
    /// Something that must not be was seen; the driver raises the alarm.
    Alarm(Alarm),
    /// The end: no more events are needed, later ones are ignored.
    Finish(Ending),
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The `gtx` row says COMMITTED, and this coordinator never decided so.
    CommittedByAnother,
    /// A branch cannot be undone: its rows were changed around the proxies.
    Stuck(ShardId),
}

/// What becomes of the transaction's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Committed: to be forgotten.
    Committed,
    /// Aborted, and every branch settled. The tombstone stays.
    Aborted,
    /// Aborted before any branch could have committed: there is no row of it anywhere.
    NeverPrepared,
    /// Recovery takes it from here.
    HandedOver,
}

/// Whether a branch whose prepare failed may have committed all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchFate {
    /// It has not, and will not: an error before its COMMIT, or the packet never left.
    Uncommitted,
    /// It has, or may yet: no answer, or an error of COMMIT itself.
    Unknown,
}

/// Why the decide packet was not answered by OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecideFailure {
    /// The packet never left, or the server refused what precedes its COMMIT.
    Uncommitted,
    /// Sent and not answered, or an error of COMMIT itself.
    Unknown,
}

/// What the transactions whose locks were met have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holders {
    /// All committed, or their locks are gone.
    Free,
    /// One is undecided, or aborted and not yet undone, or could not be asked.
    Held,
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client says COMMIT. First, once.
    Begin,
    /// Answer to [`Command::Check`].
    Checked(ShardId, Holders),
    /// The branch has committed.
    Prepared(ShardId),
    /// The branch has not answered OK.
    PrepareFailed(ShardId, BranchFate),
    /// A lock of another transaction stopped the prepare packet before its COMMIT.
    PrepareLocked(ShardId),
    /// Answer to [`Command::AskHolders`].
    HoldersAsked(ShardId, Holders),
    /// A reader's COMMIT was answered by OK (true) or not.
    ReaderEnded(ShardId, bool),
    /// The decision is durable.
    Decided,
    /// A lock of another transaction stopped the decide packet before its COMMIT.
    DecideLocked,
    /// It was not answered by OK.
    DecideFailed(DecideFailure),
    /// Answer to [`Command::InsertAborted`].
    Abort(AbortAnswer),
    /// The connection was killed, or was gone, or could not be.
    Killed,
    /// Answer to [`Command::Settle`].
    Settled(ShardId, Settlement),
    /// Time has passed.
    Time,
    /// This proxy's lease is over: others resolve what it leaves.
    Fenced,
}

/// The commands of one step.
pub type Commands = SmallVec<[Command; 6]>;
