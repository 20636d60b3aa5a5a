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

/// Statements of one session.
const ROUND: usize = 60;
/// Statements between two comparisons of all tables, unless `SHARDLINE_COMPARE` says otherwise.
const COMPARE: u64 = 20;

/// Runs `count` writes.
pub(crate) async fn run(bench: &Bench, seed: u64, count: usize, tables: &[Table]) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut changes = Changes::new(1_000);
    let mut done = 0;
    let mut number = 0;
    let every = usize::try_from(crate::number("SHARDLINE_COMPARE", COMPARE))?.max(1);
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
            if done.is_multiple_of(every) || done == count {
                compare(&mut pair, done, tables).await?;
            }
        }
        seen.add(pair.close().await?);
        number += 1;
    }
    Ok(seen)
}

async fn compare(pair: &mut Pair, done: usize, tables: &[Table]) -> Result<()> {
    for table in tables {
        let text = format!("SELECT * FROM {} ORDER BY k, n", table.name);
        let all = Statement { ordered: true, strict: false, ..Statement::text(text) };
        pair.check(&format!("tables after write {done}"), &all).await?;
    }
    Ok(())
}

/// Writes in a transaction that ends in one of two ways: of one key, or of any.
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
    let statements = match random.percent(40) {
        true => changes.on_key(random, table),
        false => (0..random.between(1, 4)).map(|_| changes.undoable(random, tables)).collect(),
    };
    let mut marked = false;
    for statement in statements {
        pair.check(label, &statement).await?;
        match random.below(10) {
            0 | 1 => {
                pair.set("SAVEPOINT here").await?;
                marked = true;
            }
            2 if marked => pair.set("ROLLBACK TO here").await?,
            _ => {}
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
