//! Reading the catalog: tables, columns, shards and key types by name or id.

use crate::{
    catalog::{Apart, Catalog, ColocationGroup, Column, Shard, Sharding, Table, TableKind},
    column_type::KeyTypeError,
    guard::GuardState,
    id::{GroupId, ShardId, TableId},
    key::KeyType,
    moves::UnitMove,
};
use std::sync::Arc;

impl Catalog {
    /// A table by its full name (case-sensitive, as on the servers).
    pub fn table(&self, database: &str, name: &str) -> Option<&Arc<Table>> {
        self.databases.get(database)?.tables.get(name)
    }

    /// A table by its id. It looks through all tables.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<Table>> {
        self.tables().find(|table| table.id == id)
    }

    /// Every table, by database and name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.databases.values().flat_map(|database| database.tables.values())
    }

    /// A shard by its name (without regard to case, as statements write it).
    pub fn shard_named(&self, name: &str) -> Option<&Arc<Shard>> {
        self.shards.values().find(|shard| shard.name.eq_ignore_ascii_case(name))
    }

    /// The state of a database's guard; Off for a database that is not there.
    pub fn guard(&self, database: &str) -> GuardState {
        self.guards.get(database).map_or(GuardState::Off, |guard| guard.state)
    }

    /// Moves of units of a group.
    pub fn moves_of_group(&self, group: GroupId) -> impl Iterator<Item = &Arc<UnitMove>> {
        self.moves.values().filter(move |one| one.group == group)
    }

    /// One of the moves of units of a group; None when all of it rests.
    pub fn move_of_group(&self, group: GroupId) -> Option<&Arc<UnitMove>> {
        self.moves_of_group(group).next()
    }

    /// The ids of the shards that new data may go to, ascending.
    pub fn open_shards(&self) -> Vec<ShardId> {
        self.shards.keys().filter(|id| !self.apart.contains_key(id)).copied().collect()
    }

    /// Whether a shard is so new that nobody asks it anything yet.
    pub fn is_joining(&self, shard: ShardId) -> bool {
        self.apart.get(&shard) == Some(&Apart::Joining)
    }

    /// The ids of all shards, ascending.
    pub fn shard_ids(&self) -> Vec<ShardId> {
        self.shards.keys().copied().collect()
    }
}

impl Table {
    /// A column by its name, without regard to case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.column_index(name).and_then(|index| self.columns.get(index))
    }

    /// The index of a column by its name, without regard to case.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        column_index(&self.columns, name)
    }

    /// How it is spread, when it is a sharded table.
    pub fn sharding(&self) -> Option<&Sharding> {
        match &self.kind {
            TableKind::Sharded(sharding) => Some(sharding),
            TableKind::Broadcast | TableKind::Single { .. } => None,
        }
    }

    /// Its colocation group, when it is a sharded table.
    pub fn group<'a>(&self, catalog: &'a Catalog) -> Option<&'a Arc<ColocationGroup>> {
        catalog.groups.get(&self.sharding()?.group)
    }

    /// The names of its shard-key columns, in order; empty unless it is sharded.
    pub fn key_column_names(&self) -> Vec<&str> {
        let indexes = self.sharding().map_or(&[][..], |sharding| &sharding.key_columns);
        indexes
            .iter()
            .filter_map(|index| self.columns.get(*index))
            .map(|column| column.name.as_str())
            .collect()
    }

    /// The types of its own shard-key columns, in order (those of the group's first table
    /// may be wider or narrower); empty unless it is sharded.
    ///
    /// # Errors
    /// Never for a table of a valid catalog.
    pub fn key_types(&self) -> Result<Vec<KeyType>, KeyTypeError> {
        let indexes = self.sharding().map_or(&[][..], |sharding| &sharding.key_columns);
        indexes
            .iter()
            .filter_map(|index| self.columns.get(*index))
            .map(KeyType::of_column)
            .collect()
    }
}

/// The index of a column by its name, without regard to case.
pub(crate) fn column_index(columns: &[Column], name: &str) -> Option<usize> {
    let exact = columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
    exact.or_else(|| {
        let name = name.to_lowercase();
        columns.iter().position(|column| column.name.to_lowercase() == name)
    })
}

/// The position of a name in a list, without regard to case.
pub(crate) fn position_of_name(names: &[String], name: &str) -> Option<usize> {
    names.iter().position(|found| found.to_lowercase() == name.to_lowercase())
}
