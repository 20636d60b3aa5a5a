//! Random INSERTs whose ids are generated. Which numbers they get is each side's own; that they are
//! new, in the rows' order, and what LAST_INSERT_ID() says of them is compared.

use crate::{
    answer::Statement,
    pair::{Bench, Seen},
    random::Random,
};
use anyhow::Result;

/// Where the id is, and how the table is spread.
const TABLES: &[(&str, &str, &str)] = &[
    ("gen_own", "PRIMARY KEY (id)", "SHARD BY HASH (id)"),
    ("gen_other", "PRIMARY KEY (id), KEY (k)", "SHARD BY HASH (k)"),
    ("gen_both", "PRIMARY KEY (k, id), KEY (id)", "SHARD BY HASH (k)"),
    ("gen_all", "PRIMARY KEY (id)", "BROADCAST"),
    ("gen_one", "PRIMARY KEY (id)", "SINGLE ON s2"),
];

/// Runs `count` INSERTs, and compares the tables.
pub(crate) async fn run(bench: &Bench, seed: u64, count: usize) -> Result<Seen> {
    let mut random = Random::part(seed, 3_000_000);
    let mut pair = bench.pair().await?;
    for (name, keys, clause) in TABLES {
        let create = format!(
            "CREATE TABLE {name} (id BIGINT NOT NULL AUTO_INCREMENT, k INT NOT NULL, v INT, {keys})"
        );
        shardline_tests::sql::run(&mut pair.plain, &[&create]).await?;
        shardline_tests::sql::run(&mut pair.sharded, &[&format!("{create} {clause}")]).await?;
    }
    let mut given = 1_000_000;
    for number in 0..count {
        let label = format!("ids {number}");
        let (table, _, _) = TABLES[random.below(TABLES.len())];
        let sql = insert(&mut random, table, number, &mut given);
        let statement = Statement { own_ids: true, ..Statement::text(sql) };
        let (plain, _) = pair.check_with(&label, &statement, false).await?;
        let generated = plain.sets.iter().any(|set| set.insert_id.is_some());
        let given = statement.sql.windows(5).any(|part| part == b", id)");
        if generated && !given {
            let last = format!("SELECT k, v FROM {table} WHERE id = LAST_INSERT_ID()");
            pair.check(&label, &Statement { strict: false, ..Statement::text(last) }).await?;
        }
        if number % 10 == 9 {
            for (name, ..) in TABLES {
                let all = Statement::text(format!("SELECT k, v FROM {name} ORDER BY id"));
                let all = Statement { ordered: true, strict: false, ..all };
                pair.check(&label, &all).await?;
            }
        }
    }
    pair.close().await
}

fn insert(random: &mut Random, table: &str, number: usize, given: &mut i64) -> String {
    let source = TABLES[random.below(TABLES.len())].0;
    let (k, v) = (random.between(0, 9), number);
    let word = random.of(&["INSERT INTO", "INSERT INTO", "INSERT IGNORE INTO", "REPLACE INTO"]);
    match random.below(9) {
        0 => format!("{word} {table} SET v = {v}, k = {k}"),
        1 => {
            format!("{word} {table} VALUES (NULL, {k}, {v}), (0, {k} + 1, {v}), (DEFAULT, 3, {v})")
        }
        2 if table == "gen_own" => {
            *given += 1_000;
            format!("{word} {table} (k, v, id) VALUES ({k}, {v}, {given})")
        }
        3 => format!(
            "{word} {table} (k, v) SELECT v % 10, k FROM {source} WHERE k < 4 ORDER BY id LIMIT 7"
        ),
        4 => {
            format!("{word} {table} (k, v) SELECT k, COUNT(*) FROM {source} GROUP BY k ORDER BY k")
        }
        5 => format!("INSERT INTO {table} (k, v) SELECT 1, 2 FROM {source} WHERE v < 0"),
        6 => {
            format!("INSERT INTO {table} (k, v) VALUES (1 + {k}, (SELECT COUNT(*) FROM {source}))")
        }
        7 => format!(
            "INSERT INTO {table} (k, v) VALUES ({k}, {v}), (4, {v}) ON DUPLICATE KEY UPDATE v = 0"
        ),
        _ => format!("{word} {table} (v, k) VALUES ({v}, {k}), ({v}, 7), ({v}, 8)"),
    }
}
