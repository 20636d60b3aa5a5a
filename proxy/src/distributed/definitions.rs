//! Tables as their shard describes them: what an undo is written from, and whether a table may be
//! written by a transaction over several shards at all.

use super::control::{Control, ControlError};
use crate::{
    backend::TextResult,
    error::SqlError,
    session::shared::shard_name,
    txn::{
        lock_key::LockSpace,
        sql::{Packet, Part},
    },
};
use parking_lot::Mutex;
use shardline_binlog::{
    RowChange, literal,
    undo::{TableDefinition, UndoError, definition},
};
use shardline_model::{
    catalog::{Catalog, TableKind},
    id::{Epoch, ShardId},
};
use shardline_router::plan::TableName;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

/// Tables whose check is remembered.
const CHECKED_MAX: usize = 16_384;
/// How long a check holds: what is done on a server behind the proxies' back has no epoch.
const CHECK_AGE: Duration = Duration::from_secs(60);

/// Definitions of tables, by database and name.
pub(super) type Definitions = BTreeMap<(String, String), TableDefinition>;

/// A table of a shard.
type OnShard = (ShardId, Arc<TableName>);

/// Tables whose changes were found to be undoable.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    tables: Mutex<HashMap<OnShard, (Epoch, Instant)>>,
}

/// Why a definition cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum DefinitionError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Undo(#[from] UndoError),
}

/// Reads one table's definition from its shard.
pub(super) async fn read(
    control: &Control,
    shard: ShardId,
    database: &str,
    table: &str,
) -> Result<TableDefinition, DefinitionError> {
    let packet = definition::queries(database, table)
        .iter()
        .fold(Packet::default(), |packet, query| packet.then(Part::Plain, query));
    let mut connection = control.connection(shard).await?;
    let answer = connection.run(&packet).await?;
    connection.release();
    if let Some((_, error)) = answer.failed {
        return Err(ControlError::Refused(error).into());
    }
    let mut rows = answer.results.into_iter().map(|result| text_rows(result.rows));
    let answers = std::array::from_fn(|_| rows.next().unwrap_or_default());
    Ok(TableDefinition::from_rows(database, table, answers)?)
}

/// Reads the definitions of all tables that were changed.
pub(super) async fn of_changes(
    control: &Control,
    shard: ShardId,
    changes: &[RowChange],
) -> Result<Definitions, DefinitionError> {
    let mut all = Definitions::new();
    for change in changes {
        let name = (change.table.database.to_string(), change.table.table.to_string());
        if all.contains_key(&name) {
            continue;
        }
        let found = read(control, shard, &name.0, &name.1).await?;
        found.check()?;
        all.insert(name, found);
    }
    Ok(all)
}

fn text_rows(result: TextResult) -> Vec<definition::TextRow> {
    let text = |value: Option<bytes::Bytes>| {
        value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    result.rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect()
}

impl Checked {
    /// Whether what a transaction over several shards changes in these tables of a shard can
    /// be undone if it must be. Asked before anything of it commits.
    ///
    /// # Errors
    /// The first table that cannot, why, and what to do; or the shard cannot be asked.
    pub(crate) async fn undoable(
        &self,
        control: &Control,
        catalog: &Catalog,
        shard: ShardId,
        tables: &[Arc<TableName>],
    ) -> Result<(), SqlError> {
        for name in tables {
            let key = (shard, name.clone());
            let known = self.tables.lock().get(&key).copied();
            if known.is_some_and(|(epoch, at)| epoch == catalog.planned && at.elapsed() < CHECK_AGE)
            {
                continue;
            }
            check(control, catalog, shard, &name.database, &name.table).await?;
            let mut tables = self.tables.lock();
            if tables.len() >= CHECKED_MAX {
                tables.clear();
            }
            tables.insert(key, (catalog.planned, Instant::now()));
        }
        Ok(())
    }
}

async fn check(
    control: &Control,
    catalog: &Catalog,
    shard: ShardId,
    database: &str,
    table: &str,
) -> Result<(), SqlError> {
    let lost = |error: ControlError| {
        SqlError::shard_unreachable(&shard_name(catalog, shard), &error.to_string())
    };
    let found = match read(control, shard, database, table).await {
        Ok(found) => found,
        Err(DefinitionError::Control(error)) => return Err(lost(error)),
        Err(DefinitionError::Undo(error)) => return Err(refusal(&error)),
    };
    found.check().map_err(|error| refusal(&error))?;
    let own = space_of(catalog, database, table);
    let children = control.query(shard, &children_of(database, table)).await.map_err(lost)?;
    for child in text_rows(children) {
        let text = |place: usize| child.get(place).and_then(Option::as_deref).unwrap_or_default();
        let (constraint, child_database, child_table) = (text(0), text(1), text(2));
        let theirs = space_of(catalog, child_database, child_table);
        if theirs != own || own.is_none() {
            return Err(SqlError::not_undoable(
                &format!(
                    "{database}.{table} is referenced by the foreign key {constraint} of \
                     {child_database}.{child_table}, which is locked apart from it"
                ),
                "Put both tables into one colocation group, drop the foreign key, or write \
                 this table in transactions on one shard",
            ));
        }
    }
    Ok(())
}

fn children_of(database: &str, table: &str) -> String {
    let text = |name: &str| literal::text("utf8mb4", name.as_bytes());
    format!(
        "SELECT CONSTRAINT_NAME, CONSTRAINT_SCHEMA, TABLE_NAME \
         FROM information_schema.REFERENTIAL_CONSTRAINTS \
         WHERE UNIQUE_CONSTRAINT_SCHEMA = {} AND REFERENCED_TABLE_NAME = {}",
        text(database),
        text(table)
    )
}

/// What the table's lock keys are unique in; None for a table that the catalog does not have.
fn space_of(catalog: &Catalog, database: &str, table: &str) -> Option<LockSpace> {
    let table = catalog.databases.get(database)?.tables.get(table)?;
    Some(match &table.kind {
        TableKind::Sharded(sharding) => LockSpace::Group(sharding.group),
        TableKind::Broadcast | TableKind::Single { .. } => LockSpace::Table(table.id),
    })
}

fn refusal(error: &UndoError) -> SqlError {
    let advice = match error {
        UndoError::NoPrimaryKey { .. } => "Give it a primary key",
        UndoError::Engine { .. } => "Convert it: ALTER TABLE ... ENGINE=InnoDB",
        UndoError::SystemVersioned { .. } => {
            "Write it in transactions on one shard, or drop the versioning"
        }
        UndoError::Triggers { .. } => {
            "Drop the triggers, or write the table in transactions on one shard"
        }
        UndoError::Cascades { .. } => {
            "Make the foreign keys RESTRICT, or write the table in transactions on one shard"
        }
        UndoError::UnsupportedType { .. }
        | UndoError::NoDefinition { .. }
        | UndoError::Altered { .. }
        | UndoError::PartialImage { .. }
        | UndoError::Value { .. }
        | UndoError::TooLarge { .. } => "Write it in transactions on one shard",
    };
    SqlError::not_undoable(&error.to_string(), advice)
}
