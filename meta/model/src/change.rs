//! Changes of the catalog: the metadata service's log entries. Metadata nodes and proxies
//! apply the same changes by the same function ([`Catalog::apply`]).

mod error;

pub use error::ChangeError;

use crate::{
    access::{ApiToken, AuditNote, ConsoleUser},
    catalog::{Apart, Catalog, Column, ServerAddress, TableRule, UniqueKey, User},
    declared::{TableDefinition, TableSharding},
    guard::{Guard, GuardState},
    id::{Epoch, GroupId, Incarnation, JobId, MoveId, ShardId, TableId},
    moves::{JobKind, JobState, MoveState, NewMove},
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

/// The largest number of users of the console.
pub const CONSOLE_USERS_MAX: usize = 1_000;
/// The largest number of tokens.
pub const TOKENS_MAX: usize = 1_000;
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
    /// Adds or replaces a user of the console.
    PutConsoleUser(ConsoleUser),
    /// Drops a user of the console, and the user's tokens.
    DropConsoleUser {
        /// The user.
        name: String,
    },
    /// A new token.
    PutToken(ApiToken),
    /// Ends a token.
    DropToken {
        /// The token.
        id: String,
    },
    /// Notes what somebody did.
    NoteAudit(AuditNote),
}

impl Change {
    /// Whether plans depend on what it changes.
    fn concerns_plans(&self) -> bool {
        match self {
            Change::RaiseBarrier { .. }
            | Change::EndBarrier { .. }
            | Change::PutConsoleUser(_)
            | Change::DropConsoleUser { .. }
            | Change::PutToken(_)
            | Change::DropToken { .. }
            | Change::NoteAudit(_) => false,
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
