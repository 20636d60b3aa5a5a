//! Are rows where the map says? Reads every shard directly and compares with the catalog.

use crate::sql;
use anyhow::{Context, Result, bail, ensure};
use mysql_async::Conn;
use shardline_model::{
    catalog::{Catalog, TableKind},
    predicate,
};
use std::collections::BTreeMap;

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows of the table on each shard, by the shard's name.
    pub rows: BTreeMap<String, u64>,
}

impl Found {
    /// Rows on all shards together.
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }

    /// Shards that hold at least one row.
    pub fn shards_used(&self) -> usize {
        self.rows.values().filter(|rows| **rows > 0).count()
    }
}

/// Counts a table's rows on every shard and fails if one is where the map does not say.
/// `shards` are direct connections by the shards' names.
pub async fn check(
    catalog: &Catalog,
    shards: &mut BTreeMap<String, Conn>,
    database: &str,
    table: &str,
) -> Result<Found> {
    let entry = catalog.table(database, table).context("the table is not in the catalog")?;
    let mut found = Found::default();
    for shard in catalog.shards.values() {
        let connection = shards.get_mut(&shard.name).context("a connection for each shard")?;
        let all = format!("SELECT COUNT(*) FROM `{database}`.`{table}`");
        let rows: u64 = sql::value(connection, &all).await?.parse()?;
        let owned = match &entry.kind {
            TableKind::Sharded(sharding) => {
                let group = catalog.groups.get(&sharding.group).context("the table's group")?;
                let columns = entry.key_column_names();
                let own = predicate::sql(&group.placement, &group.key_types, &columns, shard.id);
                sql::value(connection, &format!("{all} WHERE {own}")).await?.parse()?
            }
            TableKind::Broadcast => rows,
            TableKind::Single { shard: home } if *home == shard.id => rows,
            TableKind::Single { .. } => 0,
        };
        ensure!(
            rows == owned,
            "{database}.{table} on {}: {rows} rows, of which it owns {owned}",
            shard.name
        );
        found.rows.insert(shard.name.clone(), rows);
    }
    if matches!(entry.kind, TableKind::Broadcast) {
        let mut counts = found.rows.values();
        let first = counts.next().copied().unwrap_or_default();
        if counts.any(|count| *count != first) {
            bail!("broadcast table {database}.{table} differs: {:?}", found.rows);
        }
    }
    Ok(found)
}
