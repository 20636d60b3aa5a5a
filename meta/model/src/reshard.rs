//! A table that is spread anew: another key, another function, other units, or another kind of table. As
//! the catalog has it: where its rows are now, where they will be, and how far that is. The rows stay in
//! the same table of the servers; a shard may hold copies that it does not own, as with
//! [`crate::moves::UnitMove`], whose states it goes through.

use crate::{
    catalog::{Catalog, Table, TableKind},
    id::{Epoch, JobId, MoveId, ShardId, TableId},
    key::{Key, KeyPart, KeyType},
    moves::MoveState,
    placement::Placement,
    predicate,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The largest number of pairs of shards that rows may go between: those of 12 shards.
pub const RESHARD_PAIRS_MAX: usize = 132;

/// A table on its way from one spread to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reshard {
    /// Its id, of the same numbers as those of moves.
    pub id: MoveId,
    /// The job that it is.
    pub job: JobId,
    /// The table.
    pub table: TableId,
    /// How it is spread before.
    pub from: TableKind,
    /// How it is spread afterwards.
    pub to: TableKind,
    /// The shards that own rows before. Neither placement nor shards change meanwhile.
    pub from_shards: BTreeSet<ShardId>,
    /// The shards that own rows afterwards.
    pub to_shards: BTreeSet<ShardId>,
    /// How far it is.
    pub state: MoveState,
    /// The epoch that made the state.
    pub since: Epoch,
    /// The epoch by which rows changed their owners last; 0 while they have not.
    pub owned_since: Epoch,
}

impl Reshard {
    /// The shards that own its rows now.
    pub fn owners(&self) -> &BTreeSet<ShardId> {
        if self.state.is_owned_by_source() { &self.from_shards } else { &self.to_shards }
    }

    /// The shards that may hold rows without owning them.
    pub fn strangers(&self) -> &BTreeSet<ShardId> {
        if self.state.is_owned_by_source() { &self.to_shards } else { &self.from_shards }
    }

    /// How it is spread now.
    pub fn kind(&self) -> &TableKind {
        if self.state.is_owned_by_source() { &self.from } else { &self.to }
    }

    /// The pairs of different shards that rows may go between: from, to.
    pub fn pairs(&self) -> Vec<(ShardId, ShardId)> {
        let from = self.from_shards.iter();
        let all = from.flat_map(|from| self.to_shards.iter().map(|to| (*from, *to)));
        all.filter(|(from, to)| from != to).collect()
    }
}

/// Which shard owns a row, as one kind of table says.
#[derive(Clone, Debug, PartialEq)]
pub enum RowOwner {
    /// Each shard has each row.
    Every,
    /// One shard has all.
    One(ShardId),
    /// By the values of some columns.
    ByKey {
        /// The columns' names, in order.
        columns: Vec<String>,
        /// Their types.
        types: Vec<KeyType>,
        /// Who owns what.
        placement: Placement,
    },
}

impl RowOwner {
    /// What a kind of table says of the table's rows; None when the catalog contradicts itself.
    pub fn of(kind: &TableKind, table: &Table, catalog: &Catalog) -> Option<RowOwner> {
        let sharding = match kind {
            TableKind::Broadcast => return Some(RowOwner::Every),
            TableKind::Single { shard } => return Some(RowOwner::One(*shard)),
            TableKind::Sharded(sharding) => sharding,
        };
        let placement = catalog.groups.get(&sharding.group)?.placement.clone();
        let columns = sharding.key_columns.iter().map(|index| table.columns.get(*index));
        let columns: Vec<_> = columns.collect::<Option<_>>()?;
        let types = columns.iter().map(|column| KeyType::of_column(column).ok());
        let types = types.collect::<Option<_>>()?;
        let columns = columns.iter().map(|column| column.name.clone()).collect();
        Some(RowOwner::ByKey { columns, types, placement })
    }

    /// The columns that tell, and their types.
    pub fn key(&self) -> (&[String], &[KeyType]) {
        match self {
            RowOwner::Every | RowOwner::One(_) => (&[], &[]),
            RowOwner::ByKey { columns, types, .. } => (columns, types),
        }
    }

    /// Whether a shard owns the row with this key; None when no shard does.
    pub fn owns(&self, key: &[KeyPart], shard: ShardId) -> Option<bool> {
        match self {
            RowOwner::Every => Some(true),
            RowOwner::One(one) => Some(*one == shard),
            RowOwner::ByKey { types, placement, .. } => {
                placement.owner(key, types).map(|owner| owner == shard)
            }
        }
    }

    /// A condition that is true for exactly the rows that the shard owns, in parentheses.
    pub fn sql(&self, shard: ShardId) -> String {
        let truth = |is| if is { "(1 = 1)".to_owned() } else { "(1 = 0)".to_owned() };
        match self {
            RowOwner::Every => truth(true),
            RowOwner::One(one) => truth(*one == shard),
            RowOwner::ByKey { columns, types, placement } => {
                let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                predicate::sql(placement, types, &columns, shard)
            }
        }
    }
}

/// The rows that one shard has before and another one afterwards. Their keys are those of before, followed
/// by those of afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossing {
    /// Who owns rows before.
    pub from: RowOwner,
    /// Who owns rows afterwards.
    pub to: RowOwner,
    /// Whose they are before.
    pub source: ShardId,
    /// Whose they are afterwards.
    pub target: ShardId,
}

impl Crossing {
    /// Both keys' columns, in order; one may be there twice.
    pub fn columns(&self) -> Vec<String> {
        [self.from.key().0, self.to.key().0].concat()
    }

    /// The types of [`Crossing::columns`].
    pub fn types(&self) -> Vec<KeyType> {
        [self.from.key().1, self.to.key().1].concat()
    }

    fn split<'k>(&self, key: &'k [KeyPart]) -> (&'k [KeyPart], &'k [KeyPart]) {
        key.split_at(self.from.key().0.len().min(key.len()))
    }

    /// Whether a row with this key goes from the one to the other.
    pub fn contains(&self, key: &Key) -> bool {
        let (from, to) = self.split(key);
        self.from.owns(from, self.source) == Some(true)
            && self.to.owns(to, self.target) == Some(true)
    }

    /// Whether a row that one of the two owns by one spread has no owner by the other.
    pub fn is_homeless(&self, key: &Key) -> bool {
        let (from, to) = self.split(key);
        let before = self.from.owns(from, self.source);
        let afterwards = self.to.owns(to, self.target);
        matches!((before, afterwards), (Some(true), None) | (None, Some(true)))
    }

    /// A condition that is true for exactly these rows, in parentheses.
    pub fn sql(&self) -> String {
        format!("({} AND {})", self.from.sql(self.source), self.to.sql(self.target))
    }
}

/// What statements have to know of a move of units, or of a table that is spread anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its id.
    pub id: MoveId,
    /// The job that it belongs to.
    pub job: JobId,
    /// How far it is.
    pub state: MoveState,
    /// The epoch that made the state.
    pub since: Epoch,
    /// Who owns the rows now.
    pub owners: Vec<ShardId>,
    /// A snapshot of an owner from before this epoch may lack rows.
    pub owned_since: Epoch,
}

impl Catalog {
    /// A move or a table that is spread anew.
    pub fn transfer(&self, id: MoveId) -> Option<Transfer> {
        let units = self.moves.get(&id).map(|one| Transfer {
            id,
            job: one.job,
            state: one.state,
            since: one.since,
            owners: vec![one.owner()],
            owned_since: one.owned_since,
        });
        units.or_else(|| {
            self.reshards.get(&id).map(|one| Transfer {
                id,
                job: one.job,
                state: one.state,
                since: one.since,
                owners: one.owners().iter().copied().collect(),
                owned_since: one.owned_since,
            })
        })
    }

    /// Those of a job.
    pub fn transfers_of(&self, job: JobId) -> impl Iterator<Item = Transfer> {
        let moves = self.moves.values().filter(move |one| one.job == job).map(|one| one.id);
        let tables = self.reshards.values().filter(move |one| one.job == job).map(|one| one.id);
        moves.chain(tables).filter_map(|id| self.transfer(id))
    }

    /// Those that hold statements.
    pub fn held(&self) -> impl Iterator<Item = Transfer> {
        let moves = self.moves.values().filter(|one| one.state.holds()).map(|one| one.id);
        let tables = self.reshards.values().filter(|one| one.state.holds()).map(|one| one.id);
        moves.chain(tables).filter_map(|id| self.transfer(id))
    }
}
