//! Databases and tables: how they are spread, and how much of them is where.

use super::{
    OperationError, Operations,
    servers::{number, quoted},
};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_model::{
    catalog::{Catalog, Shard, Table, TableKind},
    guard::GuardState,
    id::ShardId,
    placement::Placement,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long a server may take to say how large its tables are.
const ASK_MAX: Duration = Duration::from_secs(10);

/// A database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseView {
    /// Its name.
    pub name: String,
    /// The shard of its single tables.
    pub home: String,
    /// Its collation.
    pub collation: String,
    /// Tables and views.
    pub tables: u64,
    /// Whether transactions may write on several shards: `raising`, `on`, `lowering`; None when off.
    pub guard: Option<String>,
}

/// A table on a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableShardView {
    /// The shard.
    pub shard: String,
    /// Rows, by the server's estimate.
    pub rows: Option<u64>,
    /// Bytes of data and indexes, by the server's estimate.
    pub bytes: Option<u64>,
    /// What of the table the shard owns: `5461 slots`, `copy` ...
    pub share: String,
    /// Why the server did not say.
    pub problem: Option<String>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableView {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// `sharded`, `broadcast`, `single` or `view`.
    pub kind: String,
    /// `hash`, `range` or `list`.
    pub method: Option<String>,
    /// Columns of the shard key.
    pub shard_key: Vec<String>,
    /// How that is written.
    pub clause: Option<String>,
    /// Its colocation group.
    pub group: Option<u64>,
    /// The other tables of the group.
    pub colocated_with: Vec<String>,
    /// Where it is.
    pub shards: Vec<TableShardView>,
    /// Rows of all shards; those of one copy.
    pub rows: Option<u64>,
    /// Bytes of all shards.
    pub bytes: Option<u64>,
    /// The rows of the fullest shard over the mean of those that own some.
    pub skew: Option<f64>,
    /// Whether some of it is on its way.
    pub moving: bool,
}

/// What a server says of tables: rows and bytes by name.
type Sizes = BTreeMap<(String, String), (u64, u64)>;

impl Operations {
    /// All databases.
    pub fn databases(&self) -> Vec<DatabaseView> {
        let catalog = self.catalog();
        let view = |database: &Arc<shardline_model::catalog::Database>| DatabaseView {
            name: database.name.clone(),
            home: name_of(&catalog, database.home),
            collation: database.collation.clone(),
            tables: database.tables.len() as u64,
            guard: match catalog.guard(&database.name) {
                GuardState::Off => None,
                state @ (GuardState::Raising | GuardState::On | GuardState::Lowering) => {
                    Some(state.to_string())
                }
            },
        };
        catalog.databases.values().map(view).collect()
    }

    /// The tables of a database.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn tables(&self, database: &str) -> Result<Vec<TableView>, OperationError> {
        let catalog = self.catalog();
        let found = catalog.databases.get(database);
        let found = found.ok_or_else(|| OperationError::not_found("database", database))?;
        let tables: Vec<Arc<Table>> = found.tables.values().cloned().collect();
        Ok(self.sized(&catalog, &tables, database, None).await)
    }

    /// One table.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn table(&self, database: &str, name: &str) -> Result<TableView, OperationError> {
        let catalog = self.catalog();
        let missing = || OperationError::not_found("table", format!("{database}.{name}"));
        let table = catalog.table(database, name).ok_or_else(missing)?.clone();
        let mut views = self.sized(&catalog, &[table], database, Some(name)).await;
        views.pop().ok_or_else(missing)
    }

    async fn sized(
        &self,
        catalog: &Catalog,
        tables: &[Arc<Table>],
        database: &str,
        name: Option<&str>,
    ) -> Vec<TableView> {
        let asked = catalog.shards.values().map(|shard| async {
            let asked = tokio::time::timeout(ASK_MAX, self.sizes(shard, database, name)).await;
            let sizes = match asked {
                Ok(Ok(sizes)) => Ok(sizes),
                Ok(Err(error)) => Err(error.message),
                Err(_) => Err(format!("no answer within {} s", ASK_MAX.as_secs())),
            };
            (shard.id, sizes)
        });
        let sizes: BTreeMap<ShardId, Result<Sizes, String>> =
            join_all(asked).await.into_iter().collect();
        tables.iter().map(|table| view(catalog, table, &sizes)).collect()
    }

    async fn sizes(
        &self,
        shard: &Shard,
        database: &str,
        name: Option<&str>,
    ) -> Result<Sizes, OperationError> {
        let mut server = self.server(&shard.name, &shard.primary).await?;
        let one = name.map(|name| format!(" AND table_name = {}", quoted(name)));
        let sql = format!(
            "SELECT table_schema, table_name, table_rows, data_length + index_length \
             FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema = {}{}",
            quoted(database),
            one.unwrap_or_default()
        );
        let mut sizes = Sizes::new();
        for row in server.texts(&sql).await? {
            if let [database, name, rows, bytes] = &row[..] {
                sizes.insert((database.clone(), name.clone()), (number(rows), number(bytes)));
            }
        }
        Ok(sizes)
    }
}

fn name_of(catalog: &Catalog, shard: ShardId) -> String {
    catalog.shards.get(&shard).map_or_else(|| shard.to_string(), |shard| shard.name.clone())
}

/// What of a table each shard owns.
fn shares(catalog: &Catalog, table: &Table) -> BTreeMap<ShardId, String> {
    let counted =
        |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    match &table.kind {
        TableKind::Broadcast => {
            catalog.shards.keys().map(|shard| (*shard, "copy".to_owned())).collect()
        }
        TableKind::Single { shard } => [(*shard, "all".to_owned())].into(),
        TableKind::Sharded(_) => {
            let Some(group) = table.group(catalog) else { return BTreeMap::new() };
            let (owners, unit): (Vec<ShardId>, _) = match &group.placement {
                Placement::Hash(map) => (map.owners().to_vec(), "slot"),
                Placement::Range(units) => {
                    (units.iter().map(|unit| unit.shard).collect(), "interval")
                }
                Placement::List(map) => {
                    (map.values.values().chain(&map.default).copied().collect(), "value")
                }
            };
            let mut counts: BTreeMap<ShardId, usize> = BTreeMap::new();
            for owner in owners {
                *counts.entry(owner).or_default() += 1;
            }
            counts.into_iter().map(|(shard, count)| (shard, counted(count, unit))).collect()
        }
    }
}

fn view(
    catalog: &Catalog,
    table: &Table,
    sizes: &BTreeMap<ShardId, Result<Sizes, String>>,
) -> TableView {
    let group = table.group(catalog);
    let mut view = TableView {
        database: table.database.clone(),
        name: table.name.clone(),
        shard_key: table.key_column_names().into_iter().map(str::to_owned).collect(),
        clause: shardline_proxy::session::clause_text(table, catalog),
        group: group.map(|group| group.id.0),
        ..TableView::default()
    };
    if table.is_view {
        view.kind = "view".to_owned();
        view.clause = None;
        return view;
    }
    view.kind = match &table.kind {
        TableKind::Sharded(_) => "sharded",
        TableKind::Broadcast => "broadcast",
        TableKind::Single { .. } => "single",
    }
    .to_owned();
    if let Some(group) = group {
        let method = match &group.placement {
            Placement::Hash(_) => "hash",
            Placement::Range(_) => "range",
            Placement::List(_) => "list",
        };
        view.method = Some(method.to_owned());
        let others = catalog.tables().filter(|other| {
            other.id != table.id
                && other.sharding().is_some_and(|sharding| sharding.group == group.id)
        });
        view.colocated_with =
            others.map(|other| format!("{}.{}", other.database, other.name)).collect();
        view.moving = catalog.move_of_group(group.id).is_some();
    }
    view.moving |= catalog.reshards.values().any(|reshard| reshard.table == table.id);
    let key = (table.database.clone(), table.name.clone());
    for (shard, share) in shares(catalog, table) {
        let (size, problem) = match sizes.get(&shard) {
            Some(Ok(sizes)) => (sizes.get(&key).copied(), None),
            Some(Err(problem)) => (None, Some(problem.clone())),
            None => (None, None),
        };
        view.shards.push(TableShardView {
            shard: name_of(catalog, shard),
            rows: size.map(|(rows, _)| rows),
            bytes: size.map(|(_, bytes)| bytes),
            share,
            problem,
        });
    }
    totals(&mut view, table.kind == TableKind::Broadcast);
    view
}

fn totals(view: &mut TableView, copies: bool) {
    let rows: Option<Vec<u64>> = view.shards.iter().map(|shard| shard.rows).collect();
    let bytes: Option<Vec<u64>> = view.shards.iter().map(|shard| shard.bytes).collect();
    let all = |numbers: Vec<u64>| match copies {
        true => numbers.into_iter().max().unwrap_or(0),
        false => numbers.into_iter().sum(),
    };
    let shards = view.shards.len() as f64;
    let most = rows.as_ref().and_then(|rows| rows.iter().max().copied());
    view.rows = rows.map(all);
    view.bytes = bytes.map(all);
    if let (Some(most), Some(rows)) = (most, view.rows.filter(|rows| *rows > 0))
        && view.kind == "sharded"
    {
        view.skew = Some(most as f64 * shards / rows as f64);
    }
}
