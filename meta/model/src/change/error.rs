//! Why a change of the catalog cannot be made.

use super::NAME_CHARS_MAX;
use crate::{
    barrier::Barrier,
    catalog::Apart,
    column_type::KeyTypeError,
    guard::{Guard, GuardState},
    id::{Epoch, JobId, MoveId, ShardId},
    moves::{JobPhase, MoveState},
    placement::UnitsError,
};

/// Why a change cannot be made; the catalog is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// A name is empty, too long, or has a character that no server takes.
    #[error(
        "the {what} name '{name}' is empty, longer than {NAME_CHARS_MAX} characters, or has a NUL or a trailing space"
    )]
    BadName {
        /// What is named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Something of that name exists.
    #[error("{what} '{name}' already exists")]
    Exists {
        /// What.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Nothing of that name exists.
    #[error("{what} '{name}' does not exist")]
    Unknown {
        /// What.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// There is no shard yet.
    #[error("the cluster has no shards; add one first")]
    NoShards,
    /// The shard still has something.
    #[error("shard {shard} cannot be removed: {reason}; move it elsewhere first")]
    ShardInUse {
        /// The shard.
        shard: ShardId,
        /// What it has.
        reason: String,
    },
    /// The shard takes no new data.
    #[error("shard '{shard}' takes no data: {}", apart_text(*.apart))]
    ShardApart {
        /// The shard's name.
        shard: String,
        /// Why.
        apart: Apart,
    },
    /// More than a limit allows.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Somebody else has moved the guard meanwhile.
    #[error("the guard of database '{database}' is {} by now", shown(*.now))]
    GuardMoved {
        /// The database.
        database: String,
        /// What it is; None when it is off.
        now: Option<Guard>,
    },
    /// A guard goes through its states in order.
    #[error("the guard of database '{database}' cannot go from {from} to {to}")]
    GuardOrder {
        /// The database.
        database: String,
        /// The state it is in.
        from: GuardState,
        /// The state that was asked for.
        to: GuardState,
    },
    /// Somebody else has moved the job on meanwhile.
    #[error("job {job} is {phase} since {since} by now")]
    JobMoved {
        /// The job.
        job: JobId,
        /// What it is.
        phase: JobPhase,
        /// Since when.
        since: Epoch,
    },
    /// Nothing follows the end of a job.
    #[error("job {job} is {phase}; start another one")]
    JobOver {
        /// The job.
        job: JobId,
        /// How it ended.
        phase: JobPhase,
    },
    /// A job ends without moves.
    #[error("job {job} cannot end: move {open} is {state}")]
    JobHasMoves {
        /// The job.
        job: JobId,
        /// A move of it.
        open: MoveId,
        /// How far that one is.
        state: MoveState,
    },
    /// Somebody else has moved the move on meanwhile.
    #[error("move {id} is {} by now", shown_move(*.now))]
    MoveMoved {
        /// The move.
        id: MoveId,
        /// What it is; None when it is not there.
        now: Option<(MoveState, Epoch)>,
    },
    /// A move goes through its states in order.
    #[error("move {id} cannot go from {from} to {}", .to.map_or_else(|| "its end".to_owned(), |to| to.to_string()))]
    MoveOrder {
        /// The move.
        id: MoveId,
        /// The state it is in.
        from: MoveState,
        /// The state that was asked for.
        to: Option<MoveState>,
    },
    /// A move has two shards.
    #[error("units cannot be moved from shard {shard} to itself")]
    MoveToItself {
        /// The shard.
        shard: ShardId,
    },
    /// Units that are none.
    #[error("the units of move {id} are wrong: {source}")]
    BadUnits {
        /// The move.
        id: MoveId,
        /// How.
        source: UnitsError,
    },
    /// Units that are on their way already.
    #[error(
        "{units} cannot be moved: move {other} of job {job} has some of them; wait for that job, or cancel it"
    )]
    MovesOverlap {
        /// What was to be moved.
        units: String,
        /// Who has it.
        other: MoveId,
        /// The other's job.
        job: JobId,
    },
    /// Units that somebody else owns, or nobody.
    #[error("{units} cannot be moved: shard {shard} does not own all of it; make a new plan")]
    NotOwned {
        /// What was to be moved.
        units: String,
        /// From where.
        shard: ShardId,
    },
    /// A table that is being moved keeps its definition.
    #[error(
        "table '{table}' cannot be changed: job {job} moves rows of its colocation group; wait for that job to \
         finish, or cancel it"
    )]
    TableMoves {
        /// The table.
        table: String,
        /// Who moves it.
        job: JobId,
    },
    /// A table that cannot be spread anew.
    #[error("table '{table}' cannot be spread anew: {reason}")]
    Reshard {
        /// The table.
        table: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A new shard would have no copy of a broadcast table.
    #[error(
        "no shard can be added while job {job} makes a broadcast table, or makes another kind of one; \
         wait for it to finish, or cancel it"
    )]
    ShardsStay {
        /// The job.
        job: JobId,
    },
    /// A barrier stands already, or the one that was to be ended does not any more.
    #[error("the commit barrier is {} by now", shown_barrier(*.now))]
    BarrierMoved {
        /// The one that stands.
        now: Option<Barrier>,
    },
    /// A table's definition contradicts itself.
    #[error("the definition of table '{table}' is wrong: {reason}")]
    BadDefinition {
        /// The table.
        table: String,
        /// How.
        reason: String,
    },
    /// A column cannot be in the shard key.
    #[error("table '{table}': {source}")]
    KeyType {
        /// The table.
        table: String,
        /// Why, and what to do.
        source: KeyTypeError,
    },
    /// The shard key itself is wrong.
    #[error("table '{table}' cannot be sharded: {reason}")]
    BadKey {
        /// The table.
        table: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A unique key cannot be enforced across shards.
    #[error(
        "table '{table}' cannot be sharded by ({shard_key}): its unique key '{unique_key}' ({columns}) does not \
         contain every shard-key column; add them to the key, or shard by a column that is in it"
    )]
    UniqueKey {
        /// The table.
        table: String,
        /// The shard key's columns.
        shard_key: String,
        /// The unique key's name.
        unique_key: String,
        /// Its columns.
        columns: String,
    },
    /// The table cannot share the other's placement.
    #[error("table '{table}' cannot be colocated with '{other}': {reason}")]
    Colocation {
        /// The table.
        table: String,
        /// The other.
        other: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The list of intervals or values is wrong.
    #[error("the placement of table '{table}' is wrong: {reason}")]
    BadPlacement {
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
}

fn apart_text(apart: Apart) -> &'static str {
    match apart {
        Apart::Joining => {
            "it is being added; wait for `shardline shard add` to end, or run it again"
        }
        Apart::Draining => "it is being drained; choose another one",
    }
}

fn shown(guard: Option<Guard>) -> String {
    guard.map_or_else(|| GuardState::Off.to_string(), |guard| guard.to_string())
}

fn shown_move(now: Option<(MoveState, Epoch)>) -> String {
    now.map_or_else(|| "gone".to_owned(), |(state, since)| format!("{state} since {since}"))
}

fn shown_barrier(barrier: Option<Barrier>) -> String {
    barrier.map_or_else(|| "gone".to_owned(), |barrier| barrier.to_string())
}
