//! The catalog: shards, databases, tables, placements, rules and users. This is the
//! Raft state; a proxy holds an immutable snapshot of it.

use crate::{
    access::Access,
    barrier::Barrier,
    guard::Guard,
    id::{Epoch, GroupId, JobId, MoveId, ShardId, TableId},
    key::KeyType,
    moves::{Job, UnitMove},
    placement::Placement,
    reshard::Reshard,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// One version of the whole catalog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// This version.
    pub epoch: Epoch,
    /// The cluster's name.
    pub cluster: String,
    /// Shards by id.
    pub shards: BTreeMap<ShardId, Arc<Shard>>,
    /// Databases by name (case-sensitive, as on the servers).
    pub databases: BTreeMap<String, Arc<Database>>,
    /// Colocation groups by id.
    pub groups: BTreeMap<GroupId, Arc<ColocationGroup>>,
    /// Rules that apply by table name at CREATE TABLE.
    pub rules: Vec<TableRule>,
    /// Accounts of the proxies' clients, by name.
    pub users: BTreeMap<String, Arc<User>>,
    /// Guards by database; those that are off have no entry.
    pub guards: BTreeMap<String, Guard>,
    /// Units on their way from shard to shard.
    pub moves: BTreeMap<MoveId, Arc<UnitMove>>,
    /// Tables that are spread anew.
    #[serde(default)]
    pub reshards: BTreeMap<MoveId, Arc<Reshard>>,
    /// Long work, what is over of it too.
    pub jobs: BTreeMap<JobId, Arc<Job>>,
    /// The last identifiers given out.
    pub last_ids: LastIds,
    /// What holds up commits at this moment, if anything.
    pub barrier: Option<Barrier>,
    /// Shards that get no new data: they come, or they go. The others have no entry.
    pub apart: BTreeMap<ShardId, Apart>,
    /// The last version that changed what plans depend on: a plan of it is as good now.
    pub planned: Epoch,
    /// Who may do what with the cluster, and what was done.
    pub access: Arc<Access>,
}

/// The last identifiers given out; identifiers are never used twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastIds {
    /// Last shard.
    pub shard: u32,
    /// Last table.
    pub table: u64,
    /// Last colocation group.
    pub group: u64,
    /// Last job.
    pub job: u64,
    /// Last move.
    pub unit_move: u64,
}

/// A shard and where its servers are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// Its id.
    pub id: ShardId,
    /// Its name, as statements write it; unique.
    pub name: String,
    /// The server that takes writes.
    pub primary: ServerAddress,
    /// Servers that replicate it.
    pub replicas: Vec<ServerAddress>,
}

/// Why a shard gets no new data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Apart {
    /// It is new. Definitions and copies of broadcast tables are made on it, and changes of them reach it;
    /// nobody asks it anything, since it may not have all of them yet.
    Joining,
    /// Its data goes to others.
    Draining,
}

/// How a server is reached. Proxies prefer the socket where the file exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAddress {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Unix socket, for servers on the proxy's own machine.
    pub socket: Option<String>,
}

/// A database. Its schema, with every table of every kind, exists on every shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Where its single tables live.
    pub home: ShardId,
    /// Its default collation, as the servers report it.
    pub collation: String,
    /// Tables by name.
    pub tables: BTreeMap<String, Arc<Table>>,
}

/// A table's definition, as far as routing needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its id.
    pub id: TableId,
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Where its rows are.
    pub kind: TableKind,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// The primary key first (if any), then the other unique keys: names of columns.
    pub unique_keys: Vec<UniqueKey>,
    /// Index into `columns` of the AUTO_INCREMENT column.
    pub auto_increment: Option<usize>,
    /// True for a view; views have no rows of their own.
    pub is_view: bool,
}

/// Where a table's rows are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TableKind {
    /// Spread by a shard key.
    Sharded(Sharding),
    /// A whole copy on every shard.
    Broadcast,
    /// Whole, on one shard.
    Single {
        /// That shard.
        shard: ShardId,
    },
}

/// How a sharded table is spread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sharding {
    /// The group whose placement it follows.
    pub group: GroupId,
    /// The shard-key columns, in order: indexes into `Table::columns`.
    pub key_columns: Vec<usize>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Name as declared; compared without regard to case.
    pub name: String,
    /// The type as `information_schema.columns.column_type` prints it, lower case.
    pub column_type: String,
    /// The collation of a character column.
    pub collation: Option<String>,
    /// Whether NULL can be stored.
    pub nullable: bool,
    /// The default as the server prints it; None when there is none.
    pub default: Option<String>,
    /// True for a generated column (never given a value by INSERT).
    pub generated: bool,
    /// True for an invisible column (absent from `*` and from a column-less INSERT).
    pub invisible: bool,
}

/// A primary or unique key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UniqueKey {
    /// `PRIMARY` or the index name.
    pub name: String,
    /// Column names.
    pub columns: Vec<String>,
}

/// Tables that share one placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColocationGroup {
    /// Its id.
    pub id: GroupId,
    /// Key types that every member's key columns must have.
    pub key_types: Vec<KeyType>,
    /// Who owns what.
    pub placement: Placement,
}

/// A rule of `cluster.yaml`, applied when a table of that name is created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRule {
    /// Database name or pattern with `*`.
    pub database: String,
    /// Table name or pattern with `*`.
    pub table: String,
    /// The sharding clause, in the grammar of the SQL clause: `SHARD BY HASH (id)`, `BROADCAST` ...
    pub clause: String,
}

/// An account of the proxy's clients. Only verifiers, never passwords.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// `SHA1(SHA1(password))` for `mysql_native_password`; empty for an empty password.
    pub native_verifier: Vec<u8>,
    /// Salted verifier for the full exchange of `caching_sha2_password`, in the form
    /// `$A$005$...` of MySQL; empty for an empty password.
    pub sha2_verifier: String,
}
