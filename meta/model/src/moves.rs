//! Units on their way from one shard to another, and the jobs that they belong to, as the
//! catalog has them. What drives them along is elsewhere; here is which step may follow which, who owns
//! the units meanwhile, and which shard holds rows that are not its own. Progress is not
//! here: each change is an epoch, by which every proxy plans anew.

use crate::{
    id::{Epoch, GroupId, Incarnation, JobId, MoveId, ShardId, TableId},
    placement::Units,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Units that go from one shard to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitMove {
    /// Its id.
    pub id: MoveId,
    /// The job it is part of.
    pub job: JobId,
    /// The group whose placement it changes.
    pub group: GroupId,
    /// What goes.
    pub units: Units,
    /// Its owner before.
    pub from: ShardId,
    /// Its owner afterwards.
    pub to: ShardId,
    /// How far it is.
    pub state: MoveState,
    /// The epoch that made the state. A proxy that acknowledges it uses no older one any more.
    pub since: Epoch,
    /// The epoch that made the owner; 0 when the move has not changed it yet. A snapshot of the owner
    /// from before may lack rows.
    pub owned_since: Epoch,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MoveState {
    /// `from` owns the units; `to` may hold copies of their rows.
    Incoming,
    /// As Incoming, and new statements on the units wait.
    Held,
    /// `to` owns the units; `from` still holds their rows, which follow those of `to`.
    Outgoing,
    /// As Outgoing, and new statements on the units wait: the way back is prepared.
    HeldBack,
    /// `to` owns the units for good; `from` loses their rows.
    Purging,
    /// `from` owns the units for good; `to` loses the copies of their rows.
    Clearing,
}

impl MoveState {
    /// Whether this state may follow `before`; None is that the move is not there any more.
    pub fn may_follow(next: Option<MoveState>, before: MoveState) -> bool {
        use MoveState::{Clearing, Held, HeldBack, Incoming, Outgoing, Purging};
        match before {
            Incoming => matches!(next, Some(Held | Clearing)),
            Held => matches!(next, Some(Incoming | Outgoing)),
            Outgoing => matches!(next, Some(HeldBack | Purging)),
            HeldBack => matches!(next, Some(Outgoing | Incoming)),
            Purging | Clearing => next.is_none(),
        }
    }

    /// Whether new statements on the units wait.
    pub fn holds(self) -> bool {
        match self {
            MoveState::Held | MoveState::HeldBack => true,
            MoveState::Incoming
            | MoveState::Outgoing
            | MoveState::Purging
            | MoveState::Clearing => false,
        }
    }

    /// The state that ends the hold and leaves the owner; the state itself when it holds nothing.
    pub fn released(self) -> MoveState {
        match self {
            MoveState::Held => MoveState::Incoming,
            MoveState::HeldBack => MoveState::Outgoing,
            MoveState::Incoming
            | MoveState::Outgoing
            | MoveState::Purging
            | MoveState::Clearing => self,
        }
    }

    /// Whether the shard that the units come from owns them.
    pub fn is_owned_by_source(self) -> bool {
        match self {
            MoveState::Incoming | MoveState::Held | MoveState::Clearing => true,
            MoveState::Outgoing | MoveState::HeldBack | MoveState::Purging => false,
        }
    }
}

impl fmt::Display for MoveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MoveState::Incoming => "incoming",
            MoveState::Held => "held",
            MoveState::Outgoing => "outgoing",
            MoveState::HeldBack => "held back",
            MoveState::Purging => "purging",
            MoveState::Clearing => "clearing",
        })
    }
}

impl UnitMove {
    /// The shard that owns the units.
    pub fn owner(&self) -> ShardId {
        if self.state.is_owned_by_source() { self.from } else { self.to }
    }

    /// The shard that may hold rows of the units without owning them.
    pub fn stranger(&self) -> ShardId {
        if self.state.is_owned_by_source() { self.to } else { self.from }
    }
}

/// A move as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMove {
    /// The group whose placement it changes.
    pub group: GroupId,
    /// What goes; all of it is owned by `from`.
    pub units: Units,
    /// Its owner now.
    pub from: ShardId,
    /// Its owner afterwards.
    pub to: ShardId,
}

/// Long work that the cluster runs and survives restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Its plan in one line, for people.
    pub summary: String,
    /// When it was made, in seconds since 1970, by the clock of whoever made it.
    pub created_unix_s: u64,
    /// What changes on the way.
    pub state: JobState,
    /// The epoch that made the state.
    pub since: Epoch,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobKind {
    /// Units of groups go from shard to shard.
    Partial,
    /// A table is spread anew.
    Full {
        /// The table.
        table: TableId,
    },
}

/// What people want of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wish {
    /// To go on, up to and including this.
    GoOn(Until),
    /// To stand still; changes are not followed meanwhile.
    Pause,
    /// To be given up. What has changed its owner goes back.
    Cancel,
    /// Everything back to where it was.
    RollBack,
    /// Nothing goes back any more.
    Finish,
}

/// How far a job goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Until {
    /// Everything could change its owner.
    Ready,
    /// Everything has changed its owner, and could go back.
    Moved,
}

/// What changes while a job runs, at its steps only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobState {
    /// How far it is.
    pub phase: JobPhase,
    /// How far it is to go.
    pub wish: Wish,
    /// The life of the proxy that drives it.
    pub owner: Option<Incarnation>,
    /// How fast it may be.
    pub throttle: Throttle,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobPhase {
    /// Nothing has been done.
    Planned,
    /// Checks before the first row.
    Preparing,
    /// Rows are copied.
    Copying,
    /// Changes are followed.
    CatchingUp,
    /// Both sides are compared.
    Verifying,
    /// It waits for the cutover.
    Ready,
    /// Units change their owner.
    Cutover,
    /// Everything is moved and could go back.
    Watching,
    /// Done; nothing goes back.
    Finished,
    /// Stopped by a person.
    Paused,
    /// Stopped by an error; it can be tried again.
    Failed,
    /// Given up before anything was moved.
    Cancelled,
    /// Everything is where it was.
    RolledBack,
}

impl JobPhase {
    /// Whether nothing follows. Such a job has no moves.
    pub fn is_over(self) -> bool {
        match self {
            JobPhase::Finished | JobPhase::Cancelled | JobPhase::RolledBack => true,
            JobPhase::Planned
            | JobPhase::Preparing
            | JobPhase::Copying
            | JobPhase::CatchingUp
            | JobPhase::Verifying
            | JobPhase::Ready
            | JobPhase::Cutover
            | JobPhase::Watching
            | JobPhase::Paused
            | JobPhase::Failed => false,
        }
    }
}

impl fmt::Display for JobPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JobPhase::Planned => "planned",
            JobPhase::Preparing => "preparing",
            JobPhase::Copying => "copying",
            JobPhase::CatchingUp => "catching up",
            JobPhase::Verifying => "verifying",
            JobPhase::Ready => "ready",
            JobPhase::Cutover => "cutover",
            JobPhase::Watching => "watching",
            JobPhase::Finished => "finished",
            JobPhase::Paused => "paused",
            JobPhase::Failed => "failed",
            JobPhase::Cancelled => "cancelled",
            JobPhase::RolledBack => "rolled back",
        })
    }
}

/// How fast a job may be; None is no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// Megabytes a second.
    pub max_mbps: Option<u32>,
    /// Replicas behind by more make it wait, in milliseconds.
    pub lag_max_ms: Option<u32>,
    /// From which minute of the day (UTC) until before which it may run.
    pub window: Option<(u16, u16)>,
}
