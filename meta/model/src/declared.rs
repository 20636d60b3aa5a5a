//! What CREATE TABLE declares: a table's definition and how it is to be spread, with
//! names resolved to shards and bounds already canonical. The grammar is the router's.

use crate::{
    catalog::{Column, UniqueKey},
    id::ShardId,
    key::Key,
    placement::RangeUnit,
};
use serde::{Deserialize, Serialize};

/// A new table, as the servers describe it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableDefinition {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// The primary key first (if any), then the other unique keys.
    pub unique_keys: Vec<UniqueKey>,
    /// Index into `columns` of the AUTO_INCREMENT column.
    pub auto_increment: Option<usize>,
    /// True for a view.
    pub is_view: bool,
}

/// How a new table is spread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TableSharding {
    /// `SHARD BY ..`.
    Sharded {
        /// The shard-key columns, in order.
        columns: Vec<String>,
        /// The sharding function.
        function: ShardingFunction,
        /// `COLOCATE (table)`: the table whose placement is shared.
        colocate: Option<ColocateWith>,
    },
    /// `BROADCAST`.
    Broadcast,
    /// `SINGLE`; on its database's home shard unless one is named.
    Single {
        /// That shard.
        shard: Option<ShardId>,
    },
}

/// A table that another is colocated with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColocateWith {
    /// Its database.
    pub database: String,
    /// Its name.
    pub table: String,
}

/// The sharding function of a new table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ShardingFunction {
    /// Slots, spread evenly over all shards.
    Hash,
    /// Intervals; empty for one interval of everything on the home shard (and with COLOCATE).
    Range {
        /// Ascending.
        units: Vec<RangeUnit>,
    },
    /// Values; with neither units nor default, everything on the home shard.
    List {
        /// Sets of keys and their owners.
        units: Vec<ListUnit>,
        /// Owner of every other key.
        default: Option<ShardId>,
    },
}

/// `VALUES IN (..) ON shard`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListUnit {
    /// The keys.
    pub keys: Vec<Key>,
    /// The owner.
    pub shard: ShardId,
}
