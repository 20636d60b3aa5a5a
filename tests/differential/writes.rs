//! Random writes, and then every table is read on both sides and checked on every shard.

use crate::{
    answer::Statement,
    change::Changes,
    pair::{Bench, DATABASE, Pair, Seen},
    random::Random,
    table::{Place, Table},
};
use anyhow::Result;
use shardline_tests::rows;
use std::collections::BTreeMap;

/// What a session starts with.
const SESSIONS: &[&[&str]] = &[
    &[],
    &["SET sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO'"],
    &["SET sql_mode = 'ANSI'", "SET time_zone = '+02:00'"],
    &["SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci"],
];

/// Statements between two comparisons of all tables.
const ROUND: usize = 60;

/// Runs `count` writes.
pub(crate) async fn run(bench: &Bench, seed: u64, count: usize, tables: &[Table]) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut changes = Changes::new(1_000);
    let mut done = 0;
    let mut number = 0;
    while done < count {
        let mut random = Random::part(seed, 2_000_000 + number);
        let mut pair = bench.pair().await?;
        let session = SESSIONS[number as usize % SESSIONS.len()];
        for statement in session {
            pair.set(statement).await?;
        }
        for _ in 0..ROUND.min(count - done) {
            let label = format!("write {done} (session {number} {session:?})");
            if random.percent(8) {
                transaction(&mut pair, &label, &mut random, &mut changes, tables).await?;
            } else {
                let statement = changes.change(&mut random, tables);
                pair.check(&label, &statement).await?;
            }
            done += 1;
        }
        for table in tables {
            let text = format!("SELECT * FROM {} ORDER BY k, n", table.name);
            let all = Statement { ordered: true, strict: false, ..Statement::text(text) };
            pair.check(&format!("tables after write {done}"), &all).await?;
        }
        seen.add(pair.close().await?);
        number += 1;
    }
    Ok(seen)
}

/// Writes of one key in a transaction that ends in one of two ways.
async fn transaction(
    pair: &mut Pair,
    label: &str,
    random: &mut Random,
    changes: &mut Changes,
    tables: &[Table],
) -> Result<()> {
    let sharded: Vec<&Table> = tables.iter().filter(|t| t.place == Place::Sharded).collect();
    let table = sharded[random.below(sharded.len())];
    pair.set(random.of(&["BEGIN", "START TRANSACTION", "SET autocommit = 0"])).await?;
    for statement in changes.on_key(random, table) {
        pair.check(label, &statement).await?;
        if random.percent(20) {
            pair.set("SAVEPOINT here").await?;
        }
    }
    pair.set(random.of(&["COMMIT", "ROLLBACK"])).await?;
    pair.set("SET autocommit = 1").await
}

/// Whether every row is on the shard that the map says.
pub(crate) async fn places(bench: &Bench, tables: &[&str]) -> Result<()> {
    let catalog = bench.cluster.catalog().await?;
    let mut shards = BTreeMap::new();
    for (number, shard) in (1..).zip(&bench.cluster.shards) {
        shards.insert(format!("s{number}"), shard.connect().await?);
    }
    for table in tables {
        rows::check(&catalog, &mut shards, DATABASE, table).await?;
    }
    Ok(())
}
