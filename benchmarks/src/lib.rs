//! Benchmarks of Shardline: of its parts in `benches/`, of the whole beside its peers in the
//! verbs of `shardline-bench`. What the former share is here: the catalog of a sysbench
//! cluster.

pub mod budget;
pub mod idle;
pub mod macro_run;
pub mod peers;
mod random;
pub mod scaling;
pub mod scatter;
pub mod transactions;

use anyhow::Context;
use shardline_model::{
    catalog::{Catalog, Column, ServerAddress, UniqueKey},
    change::Change,
    declared::{ShardingFunction, TableDefinition, TableSharding},
};
use std::sync::Arc;

/// A catalog of `shards` shards and `tables` tables `sbtest.sbtest1` ..., spread by hash of `id`.
///
/// # Errors
/// The model refuses a change (it has limits on shards and tables).
pub fn sysbench_catalog(shards: u16, tables: u32) -> anyhow::Result<Arc<Catalog>> {
    let mut catalog = Catalog::default();
    for number in 1..=shards {
        catalog.apply(&Change::AddShard {
            name: format!("s{number}"),
            primary: ServerAddress {
                host: "127.0.0.1".into(),
                port: 10_000 + number,
                socket: None,
            },
            replicas: Vec::new(),
        })?;
    }
    let home = *catalog.shards.keys().next().context("a catalog needs a shard")?;
    catalog.apply(&Change::CreateDatabase {
        name: "sbtest".into(),
        home: Some(home),
        collation: "utf8mb4_general_ci".into(),
    })?;
    for number in 1..=tables {
        catalog.apply(&Change::CreateTable {
            table: sysbench_table(number),
            sharding: TableSharding::Sharded {
                columns: vec!["id".into()],
                function: ShardingFunction::Hash,
                colocate: None,
            },
        })?;
    }
    Ok(Arc::new(catalog))
}

fn sysbench_table(number: u32) -> TableDefinition {
    let column = |name: &str, column_type: &str| Column {
        name: name.into(),
        column_type: column_type.into(),
        collation: column_type.starts_with("char").then(|| "utf8mb4_general_ci".into()),
        nullable: false,
        default: None,
        generated: false,
        invisible: false,
    };
    TableDefinition {
        database: "sbtest".into(),
        name: format!("sbtest{number}"),
        columns: vec![
            column("id", "int(11)"),
            column("k", "int(11)"),
            column("c", "char(120)"),
            column("pad", "char(60)"),
        ],
        unique_keys: vec![UniqueKey { name: "PRIMARY".into(), columns: vec!["id".into()] }],
        auto_increment: Some(0),
        is_view: false,
    }
}
