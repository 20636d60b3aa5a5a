//! What a statement writes or locks, for distributed transactions: the keys that an
//! undecided transaction keeps from others, and that a writer must find free. It is asked
//! for beside the plan, and only while it can matter, so that plain statements pay nothing.
//! Of statements that only read it is known while the catalog has a guard: a reader may want
//! to see no row of an undecided transaction.
//!
//! Leaving a key out would be wrong; naming too much only makes others wait.

pub(crate) mod insert;
#[cfg(test)]
mod tests;

use crate::{
    bind::{BoundColumn, Facts, column_index, primary_key, same_name},
    conjunct::{KeySlot, of_primary_key},
    parse::Pieces,
    plan::TableName,
    route::{KEYS_MAX, Pins, Values},
};
use shardline_model::{
    catalog::{Catalog, Table, TableKind},
    hash::canonical_text,
    id::{GroupId, ShardId, TableId},
    key::{Key, KeyType},
};
use smallvec::SmallVec;
use sqlparser::ast::Expr;
use std::{collections::BTreeSet, sync::Arc};

/// The rows that one execution of a statement writes, or locks by `FOR UPDATE`,
/// `FOR SHARE` or `LOCK IN SHARE MODE`; those that it reads while the catalog has a guard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touches {
    /// The databases of their tables, without repetition.
    pub databases: SmallVec<[Arc<str>; 1]>,
    /// The tables that it may write: what a transaction over several shards must be able to
    /// undo. Not those that it only locks.
    pub tables: SmallVec<[Arc<TableName>; 1]>,
    /// The rows; every space once.
    pub rows: Vec<TouchedRows>,
}

/// Rows of one space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TouchedRows {
    /// What the keys are unique in.
    pub space: Space,
    /// Which rows.
    pub keys: Keys,
}

/// What keys are unique in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// The tables of a colocation group; keys are shard keys.
    Group(GroupId),
    /// A broadcast or single table; keys are primary keys.
    Table(TableId),
}

/// Rows by their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// These, in ascending order and each once; none when no row can match.
    Listed(Vec<TouchedKey>),
    /// Any rows of the space.
    Unpinned,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TouchedKey {
    /// `shardline_model::hash::canonical_text` of the key: values that the columns'
    /// collations call equal have the same.
    pub canonical_text: Vec<u8>,
    /// The shard that the row belongs to; None for a broadcast table, whose rows are on all.
    pub owner: Option<ShardId>,
}

impl Touches {
    /// The same for any rows of its spaces.
    pub fn unpinned(mut self) -> Self {
        self.rows.iter_mut().for_each(|rows| rows.keys = Keys::Unpinned);
        self
    }

    fn add(&mut self, space: Space, keys: Keys) {
        match self.rows.iter_mut().find(|rows| rows.space == space) {
            None => self.rows.push(TouchedRows { space, keys }),
            Some(rows) => match (&mut rows.keys, keys) {
                (Keys::Unpinned, _) => {}
                (before @ Keys::Listed(_), Keys::Unpinned) => *before = Keys::Unpinned,
                (Keys::Listed(before), Keys::Listed(more)) => {
                    before.extend(more);
                    before.sort_unstable();
                    before.dedup();
                }
            },
        }
    }
}

/// What is known of the rows before a statement's values.
#[derive(Debug, Default)]
pub(crate) struct Touching {
    /// The databases of the tables that are written or locked.
    pub(crate) databases: Box<[Arc<str>]>,
    written: Box<[Arc<TableName>]>,
    rows: Rows,
}

#[derive(Debug, Default)]
enum Rows {
    #[default]
    None,
    /// Rows that conditions choose.
    Chosen(Vec<Chosen>),
    /// New rows of a table whose INSERT is not placed by the cluster: read from the text.
    InText(Arc<Table>),
    /// New rows that the form of an INSERT knows.
    InForm,
    /// Known already.
    Told(Vec<TouchedRows>),
}

/// Rows of one table that a condition chooses.
#[derive(Debug)]
struct Chosen {
    space: Space,
    home: Home,
    /// None when nothing is known of its key.
    pins: Option<Pins>,
}

/// Where the rows of a key are.
#[derive(Clone, Copy, Debug)]
enum Home {
    Group(GroupId),
    All,
    Shard(ShardId),
}

impl Home {
    fn of(table: &Table) -> Self {
        match &table.kind {
            TableKind::Sharded(sharding) => Self::Group(sharding.group),
            TableKind::Broadcast => Self::All,
            TableKind::Single { shard } => Self::Shard(*shard),
        }
    }

    /// Keys with their owners. A key that no shard owns is that of no row.
    fn listed(self, keys: &[Key], key_types: &[KeyType], catalog: &Catalog) -> Keys {
        if keys.len() > KEYS_MAX {
            return Keys::Unpinned;
        }
        let touched = |key: &Key| {
            let owner = match self {
                Self::Group(group) => {
                    let owner = catalog.groups.get(&group)?.placement.owner(key, key_types)?;
                    Some(owner)
                }
                Self::All => None,
                Self::Shard(shard) => Some(shard),
            };
            Some(TouchedKey { canonical_text: canonical_text(key, key_types), owner })
        };
        let unique: BTreeSet<TouchedKey> = keys.iter().filter_map(touched).collect();
        Keys::Listed(unique.into_iter().collect())
    }
}

/// The space of a table's keys.
pub(crate) fn space_of(table: &Table) -> Space {
    match &table.kind {
        TableKind::Sharded(sharding) => Space::Group(sharding.group),
        TableKind::Broadcast | TableKind::Single { .. } => Space::Table(table.id),
    }
}

/// A statement whose rows a condition chooses, as far as its rows' keys are concerned.
pub(crate) struct Choice<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) pieces: &'a Pieces<'a>,
    /// The tables written or locked.
    pub(crate) instances: Vec<usize>,
    /// The condition of a statement on one table alone.
    pub(crate) condition: Option<&'a Expr>,
    pub(crate) change: Change,
}

/// What happens to the chosen rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Lock,
    Delete,
    /// These columns change; None when it is not known which.
    Update(Option<Vec<BoundColumn>>),
}

impl Touching {
    /// Of rows that are chosen.
    pub(crate) fn of_choice(choice: &Choice<'_>) -> Self {
        let mut chosen = Vec::with_capacity(choice.instances.len());
        let (mut databases, mut written) = (Databases::default(), Vec::new());
        for &instance in &choice.instances {
            let Some(table) = choice.facts.instances.get(instance).and_then(|i| i.table.as_ref())
            else {
                continue;
            };
            databases.add(table);
            if choice.change != Change::Lock {
                written.push(name_of(table));
            }
            chosen.push(Chosen {
                space: space_of(table),
                home: Home::of(table),
                pins: choice.pins(instance, table),
            });
        }
        let rows = Rows::Chosen(chosen);
        Self { databases: databases.into(), written: written.into(), rows }
    }

    /// Of any rows of these tables.
    pub(crate) fn of_tables<'t>(tables: impl IntoIterator<Item = &'t Table>) -> Self {
        let (mut databases, mut written) = (Databases::default(), Vec::new());
        let chosen = |table: &Table| {
            databases.add(table);
            written.push(name_of(table));
            Chosen { space: space_of(table), home: Home::of(table), pins: None }
        };
        let rows = Rows::Chosen(tables.into_iter().map(chosen).collect());
        Self { databases: databases.into(), written: written.into(), rows }
    }

    /// Of an INSERT that one server places, which is read again when it is asked for.
    pub(crate) fn in_text(table: &Arc<Table>) -> Self {
        Self::of_insert(table, Rows::InText(table.clone()))
    }

    /// Of an INSERT whose form knows its rows.
    pub(crate) fn in_form(table: &Table) -> Self {
        Self::of_insert(table, Rows::InForm)
    }

    fn of_insert(table: &Table, rows: Rows) -> Self {
        Self { databases: [database(table)].into(), written: [name_of(table)].into(), rows }
    }

    /// Of a statement whose values are known.
    pub(crate) fn told(touches: Touches) -> Self {
        Self {
            databases: touches.databases.into_iter().collect(),
            written: touches.tables.into_iter().collect(),
            rows: Rows::Told(touches.rows),
        }
    }

    /// The rows of one execution. `in_form` answers for an INSERT's form.
    pub(crate) fn touches(
        &self,
        values: &Values<'_>,
        catalog: &Catalog,
        in_form: impl FnOnce() -> Option<TouchedRows>,
    ) -> Touches {
        let mut touches = Touches {
            databases: self.databases.iter().cloned().collect(),
            tables: self.written.iter().cloned().collect(),
            rows: Vec::new(),
        };
        match &self.rows {
            Rows::None => {}
            Rows::Chosen(chosen) => {
                for chosen in chosen {
                    touches.add(chosen.space, chosen.keys(values, catalog));
                }
            }
            Rows::InText(table) => touches.rows.push(insert::of_text(table, values, catalog)),
            Rows::InForm => touches.rows.extend(in_form()),
            Rows::Told(rows) => touches.rows.clone_from(rows),
        }
        touches
    }
}

impl Chosen {
    fn keys(&self, values: &Values<'_>, catalog: &Catalog) -> Keys {
        let Some(pins) = &self.pins else { return Keys::Unpinned };
        match pins.listed(values) {
            Some(keys) => self.home.listed(&keys, &pins.key_types, catalog),
            None => Keys::Unpinned,
        }
    }
}

impl Choice<'_> {
    /// What is known of the keys of an instance's rows, before and after the statement.
    fn pins(&self, instance: usize, table: &Table) -> Option<Pins> {
        if table.is_view || self.frees_unique_values(instance, table) {
            return None;
        }
        match &table.kind {
            TableKind::Sharded(sharding) => {
                Some(Pins::of_shard_key(self.facts, instance, table, sharding))
            }
            TableKind::Broadcast | TableKind::Single { .. } => self.primary_pins(instance, table),
        }
    }

    fn primary_pins(&self, instance: usize, table: &Table) -> Option<Pins> {
        let key_types = primary_key_types(table)?;
        // A DATETIME may be one that every UPDATE sets.
        let moves = |key_type: &KeyType| matches!(key_type, KeyType::DateTime { .. });
        if matches!(self.change, Change::Update(_)) && key_types.iter().any(moves) {
            return None;
        }
        let predicates = of_primary_key(self.facts, self.pieces, self.condition?);
        let of = |index| {
            let slot = KeySlot { instance, index };
            let held = predicates.iter().filter(|(found, _)| *found == slot);
            held.map(|(_, predicate)| predicate.clone()).collect()
        };
        let keys = (0..key_types.len()).map(of).collect();
        Some(Pins { key_types, keys })
    }

    /// Whether rows of other keys can take a unique value that this statement gives up, or
    /// gave it up: undoing either would meet the other.
    fn frees_unique_values(&self, instance: usize, table: &Table) -> bool {
        let mut uncovered = uncovered_columns(table).peekable();
        match &self.change {
            Change::Lock => false,
            Change::Delete => table.sharding().is_none() && has_other_unique_keys(table),
            Change::Update(_) if uncovered.peek().is_none() => false,
            Change::Update(None) => true,
            Change::Update(Some(changed)) => uncovered.any(|name| {
                column_index(table, name).is_none_or(|column| {
                    table.columns[column].generated
                        || changed.contains(&BoundColumn { instance, column })
                })
            }),
        }
    }
}

/// The columns of unique keys that the lock key of a row does not cover: of a sharded
/// table those without the whole shard key, of others all, the primary key too, since
/// changing that changes the lock key.
fn uncovered_columns(table: &Table) -> impl Iterator<Item = &str> {
    let shard_key = table.key_column_names();
    let covered = move |columns: &[String]| {
        !shard_key.is_empty()
            && shard_key.iter().all(|name| columns.iter().any(|column| same_name(column, name)))
    };
    let keys = table.unique_keys.iter().filter(move |key| !covered(&key.columns));
    keys.flat_map(|key| key.columns.iter().map(String::as_str))
}

/// Unique keys beside the primary key.
fn has_other_unique_keys(table: &Table) -> bool {
    table.unique_keys.len() > usize::from(primary_key(table).is_some())
}

/// The types of the primary key's columns, when all can be told apart as a server does.
fn primary_key_types(table: &Table) -> Option<SmallVec<[KeyType; 1]>> {
    let key = primary_key(table)?;
    let key_type = |name: &String| KeyType::of_column(table.column(name)?).ok();
    key.columns.iter().map(key_type).collect()
}

fn name_of(table: &Table) -> Arc<TableName> {
    Arc::new(TableName { database: table.database.clone(), table: table.name.clone() })
}

fn database(table: &Table) -> Arc<str> {
    table.database.as_str().into()
}

/// Names of databases, each once.
#[derive(Default)]
struct Databases(Vec<Arc<str>>);

impl Databases {
    fn add(&mut self, table: &Table) {
        if !self.0.iter().any(|name| **name == *table.database) {
            self.0.push(database(table));
        }
    }
}

impl From<Databases> for Box<[Arc<str>]> {
    fn from(databases: Databases) -> Self {
        databases.0.into()
    }
}
