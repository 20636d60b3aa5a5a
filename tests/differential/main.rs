//! The same SQL on one server and through Shardline: equal rows, columns, counts, errors.
//!
//! `SHARDLINE_SEED` repeats a run, `SHARDLINE_STATEMENTS` sets its length, `SHARDLINE_COMPARE` after how
//! many writes all tables are compared,
//! `SHARDLINE_DUMP` names a file for the SQL of the tables.

mod random;
mod value;

mod answer;
mod compare;
mod pair;

mod table;

mod across;
mod change;
mod expression;
mod query;
mod select;

mod cases;
mod ids;
mod reads;
mod writes;

use anyhow::{Result, ensure};
use random::Random;

/// Statements that a run generates unless told otherwise.
const STATEMENTS: usize = 1_000;
/// Rows of each table.
const ROWS: i64 = 60;

pub(crate) fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_and_three_shards_answer_alike() -> Result<()> {
    let seed = number("SHARDLINE_SEED", 1);
    let count = usize::try_from(number("SHARDLINE_STATEMENTS", STATEMENTS as u64))?;
    let bench = pair::Bench::start().await?;
    let mut random = Random::part(seed, 1);
    let tables = table::tables(&mut random);
    let mut pair = bench.pair().await?;
    let mut dump = String::new();
    for table in &tables {
        dump += &format!("{};\n", table.create(true));
        shardline_tests::sql::run(&mut pair.plain, &[&table.create(false)]).await?;
        shardline_tests::sql::run(&mut pair.sharded, &[&table.create(true)]).await?;
        for insert in table.fill(&mut random, ROWS) {
            pair.set(&insert).await?;
            dump += &format!("{insert};\n");
        }
    }
    pair.close().await?;
    if let Some(path) = std::env::var_os("SHARDLINE_DUMP") {
        std::fs::write(path, dump)?;
    }
    let mut seen = cases::run(&bench).await?;
    seen.add(reads::run(&bench, seed, count, &tables).await?);
    seen.add(writes::run(&bench, seed, count / 3, &tables).await?);
    seen.add(ids::run(&bench, seed, count / 10).await?);
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    writes::places(&bench, &names).await?;
    for text in seen.differences.iter().take(80) {
        eprintln!("DIFFERENT {text}");
    }
    for text in seen.refusals.iter().take(20) {
        eprintln!("REFUSED {text}");
    }
    eprintln!(
        "seed {seed}: {} statements, {} rows, {} errors, {} refusals, {} differences",
        seen.statements,
        seen.rows,
        seen.errors,
        seen.refusals.len(),
        seen.differences.len()
    );
    ensure!(seen.differences.is_empty() && seen.refusals.is_empty(), "seed {seed}: see above");
    Ok(())
}
