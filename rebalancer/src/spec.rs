//! What a move is: which rows of which tables go from which server to which. Plain data that the
//! caller fills from the catalog; it must say the same after a restart.

use crate::{session::Endpoint, state::Direction};
use shardline_model::{
    key::KeyType,
    placement::Units,
    reshard::{Crossing, RowOwner},
};

/// The longest name of a move or an owner, in bytes.
pub const NAME_MAX: usize = 64;
/// Tables that one move may have.
pub const TABLES_MAX: usize = 1_000;

/// A table of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its database.
    pub database: String,
    /// Its name.
    pub table: String,
    /// Its shard-key columns, in order.
    pub key_columns: Vec<String>,
}

impl TableSpec {
    /// `database.table`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }
}

/// Which rows go.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Those of units of one placement.
    Units(Units),
    /// Those that have another owner when a table is spread anew; the shard key is both keys then.
    Crossing(Crossing),
}

impl From<Units> for Rows {
    fn from(units: Units) -> Self {
        Rows::Units(units)
    }
}

/// One move.
#[derive(Clone, Debug)]
pub struct MoveSpec {
    /// The name of the move, of at most [`NAME_MAX`] bytes; never used twice.
    pub id: String,
    /// Who drives it now, of at most [`NAME_MAX`] bytes: each driver has one of its own. What an
    /// earlier owner still does after this one has begun is refused by the servers.
    pub owner: String,
    /// The tables of the colocation group.
    pub tables: Vec<TableSpec>,
    /// The types of the shard key.
    pub key_types: Vec<KeyType>,
    /// What goes.
    pub units: Rows,
    /// The server that has the units.
    pub source: Endpoint,
    /// The server that gets them.
    pub target: Endpoint,
}

impl MoveSpec {
    /// Whether rows have to be carried in a direction. They are there already where each shard of
    /// the receiving spread has each row: whoever writes, writes all copies.
    pub fn carries(&self, direction: Direction) -> bool {
        match (&self.units, direction) {
            (Rows::Units(_), _) => true,
            (Rows::Crossing(crossing), Direction::Forward) => crossing.from != RowOwner::Every,
            (Rows::Crossing(crossing), Direction::Reverse) => crossing.to != RowOwner::Every,
        }
    }
}
