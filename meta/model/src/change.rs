//! Changes of the catalog: the metadata service's log entries. Metadata nodes and proxies
//! apply the same changes by the same function ([`Catalog::apply`]).

use crate::{
    barrier::Barrier,
    catalog::{Apart, Catalog, Column, ServerAddress, TableRule, UniqueKey, User},
    column_type::KeyTypeError,
    declared::{TableDefinition, TableSharding},
    guard::{Guard, GuardState},
    id::{Epoch, GroupId, Incarnation, JobId, MoveId, ShardId, TableId},
    moves::{JobKind, JobPhase, JobState, MoveState, NewMove},
    placement::UnitsError,
};
use serde::{Deserialize, Serialize};

/// The largest number of shards.
pub const SHARDS_MAX: usize = 1_024;
/// The largest number of replicas of a shard.
pub const REPLICAS_MAX: usize = 16;
/// The largest number of databases.
pub const DATABASES_MAX: usize = 10_000;
/// The largest number of tables in all databases.
pub const TABLES_MAX: usize = 100_000;
/// The largest number of columns of a table, as on the servers.
pub const COLUMNS_MAX: usize = 4_096;
/// The largest number of unique keys of a table.
pub const UNIQUE_KEYS_MAX: usize = 128;
/// The largest number of columns of a shard key.
pub const KEY_COLUMNS_MAX: usize = 8;
/// The largest number of intervals of a range placement.
pub const RANGE_UNITS_MAX: usize = 8_192;
/// The largest number of keys of a list placement.
pub const LIST_KEYS_MAX: usize = 65_536;
/// The largest number of rules.
pub const RULES_MAX: usize = 10_000;
/// The largest number of users.
pub const USERS_MAX: usize = 10_000;
/// The longest name, in characters, as on the servers (users' names may be longer there).
pub const NAME_CHARS_MAX: usize = 64;
/// The longest sharding clause of a rule, in bytes.
pub const CLAUSE_BYTES_MAX: usize = 65_536;

/// The largest number of moves under way.
pub const MOVES_MAX: usize = 1_024;
/// The largest number of runs of slots, or of values, of one move: its condition in SQL has
/// as many parts.
pub const MOVE_PARTS_MAX: usize = 4_096;
/// The largest number of jobs, what is over of them too: the oldest of these makes room.
pub const JOBS_MAX: usize = 256;
/// The longest summary or error of a job, in bytes.
pub const JOB_TEXT_BYTES_MAX: usize = 4_096;

/// One change of the catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Names the cluster.
    SetCluster {
        /// Its name.
        name: String,
    },
    /// A new shard; it owns nothing until data is moved to it or tables are made.
    AddShard {
        /// Its name, unique without regard to case.
        name: String,
        /// The server that takes writes.
        primary: ServerAddress,
        /// Servers that replicate it.
        replicas: Vec<ServerAddress>,
    },
    /// A new shard that is [`Apart::Joining`] until everybody has heard of it and it has what all shards have.
    JoinShard {
        /// Its name, unique without regard to case.
        name: String,
        /// The server that takes writes.
        primary: ServerAddress,
        /// Servers that replicate it.
        replicas: Vec<ServerAddress>,
    },
    /// Whether a shard gets new data, and why not.
    SetApart {
        /// The shard.
        id: ShardId,
        /// None when it gets data as all others.
        apart: Option<Apart>,
    },
    /// Another name or other servers of a shard.
    UpdateShard {
        /// The shard.
        id: ShardId,
        /// Its name.
        name: String,
        /// The server that takes writes.
        primary: ServerAddress,
        /// Servers that replicate it.
        replicas: Vec<ServerAddress>,
    },
    /// Takes away a shard that owns nothing.
    RemoveShard {
        /// The shard.
        id: ShardId,
    },
    /// A new database.
    CreateDatabase {
        /// Its name.
        name: String,
        /// Where its single tables live; the shard that is home to the fewest databases when None.
        home: Option<ShardId>,
        /// Its default collation.
        collation: String,
    },
    /// Another default collation.
    AlterDatabase {
        /// The database.
        name: String,
        /// Its default collation.
        collation: String,
    },
    /// Another home for the single tables that a database gets from now on.
    SetHome {
        /// The database.
        name: String,
        /// The shard.
        home: ShardId,
    },
    /// Drops a database with its tables.
    DropDatabase {
        /// The database.
        name: String,
    },
    /// A new table or view.
    CreateTable {
        /// What the servers say of it.
        table: TableDefinition,
        /// How it is spread.
        sharding: TableSharding,
    },
    /// Another definition of a table; its shard key stays.
    ReplaceTable {
        /// Its database.
        database: String,
        /// Its name.
        name: String,
        /// Columns in order.
        columns: Vec<Column>,
        /// Primary and unique keys.
        unique_keys: Vec<UniqueKey>,
        /// Index of the AUTO_INCREMENT column.
        auto_increment: Option<usize>,
    },
    /// Drops a table or view; its group goes with the group's last table.
    DropTable {
        /// Its database.
        database: String,
        /// Its name.
        name: String,
    },
    /// Another name, perhaps in another database. Its id and placement stay.
    RenameTable {
        /// The database it is in.
        database: String,
        /// Its name.
        name: String,
        /// The database it comes to.
        to_database: String,
        /// Its new name.
        to_name: String,
    },
    /// All rules, in order.
    SetRules(Vec<TableRule>),
    /// Adds or replaces a user.
    PutUser(User),
    /// Drops a user.
    DropUser {
        /// The user.
        name: String,
    },
    /// Moves a database's guard on, if it is still where it was seen.
    SetGuard {
        /// The database.
        database: String,
        /// The entry that was seen; None when it was off.
        from: Option<Guard>,
        /// The next state.
        to: GuardState,
    },
    /// A new job.
    CreateJob {
        /// What it does.
        kind: JobKind,
        /// Its plan in one line.
        summary: String,
        /// The asker's clock, in seconds since 1970.
        created_unix_s: u64,
        /// Its first state.
        state: JobState,
    },
    /// Another state of a job, if it is still where it was seen.
    SetJob {
        /// The job.
        id: JobId,
        /// The epoch of the state that was seen.
        from: Epoch,
        /// The next one.
        state: JobState,
    },
    /// All moves of a job, or more of them: from here on the targets may hold their rows.
    BeginMoves {
        /// The job.
        job: JobId,
        /// What goes where.
        moves: Vec<NewMove>,
    },
    /// Spreads the table of a job anew: from here on other shards may hold its rows.
    BeginReshard {
        /// The job.
        job: JobId,
        /// How it is to be spread.
        sharding: TableSharding,
    },
    /// Moves a move, or a table that is spread anew, on, if it is still where it was seen. When the
    /// owner changes by it, the placement or the table's kind does in the same epoch.
    SetMove {
        /// The move.
        id: MoveId,
        /// The state that was seen, and its epoch.
        from: (MoveState, Epoch),
        /// The next state; None when nothing is left to be done.
        to: Option<MoveState>,
    },
    /// Holds up commits, if nobody does so yet.
    RaiseBarrier {
        /// Who asks for it.
        by: Incarnation,
    },
    /// Lets commits go on, if the barrier is still the one that was seen.
    EndBarrier {
        /// The epoch that made it.
        since: Epoch,
    },
}

impl Change {
    /// Whether plans depend on what it changes.
    fn concerns_plans(&self) -> bool {
        match self {
            Change::RaiseBarrier { .. } | Change::EndBarrier { .. } => false,
            Change::SetCluster { .. }
            | Change::AddShard { .. }
            | Change::JoinShard { .. }
            | Change::SetApart { .. }
            | Change::UpdateShard { .. }
            | Change::RemoveShard { .. }
            | Change::CreateDatabase { .. }
            | Change::AlterDatabase { .. }
            | Change::SetHome { .. }
            | Change::DropDatabase { .. }
            | Change::CreateTable { .. }
            | Change::ReplaceTable { .. }
            | Change::DropTable { .. }
            | Change::RenameTable { .. }
            | Change::SetRules(_)
            | Change::PutUser(_)
            | Change::DropUser { .. }
            | Change::SetGuard { .. }
            | Change::CreateJob { .. }
            | Change::SetJob { .. }
            | Change::BeginMoves { .. }
            | Change::BeginReshard { .. }
            | Change::SetMove { .. } => true,
        }
    }
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The catalog's version after it.
    pub epoch: Epoch,
    /// The shard that it made.
    pub shard: Option<ShardId>,
    /// The table that it made.
    pub table: Option<TableId>,
    /// The colocation group of that table.
    pub group: Option<GroupId>,
    /// The job that it made.
    pub job: Option<JobId>,
    /// The first of the moves that it began; the others follow in order.
    pub first_move: Option<MoveId>,
}

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

impl Catalog {
    /// Makes one change and raises the epoch by one. The same change on the same catalog
    /// always gives the same catalog.
    ///
    /// # Errors
    /// When the change is not valid; the catalog is then as it was.
    pub fn apply(&mut self, change: &Change) -> Result<Applied, ChangeError> {
        let mut next = self.clone();
        let mut applied = next.step(change)?;
        next.epoch = Epoch(self.epoch.0 + 1);
        if change.concerns_plans() {
            next.planned = next.epoch;
        }
        applied.epoch = next.epoch;
        *self = next;
        Ok(applied)
    }

    /// Whether a change could be made now.
    ///
    /// # Errors
    /// As [`Catalog::apply`].
    pub fn check(&self, change: &Change) -> Result<(), ChangeError> {
        self.clone().step(change).map(|_| ())
    }
}

#[cfg(test)]
mod tests;
