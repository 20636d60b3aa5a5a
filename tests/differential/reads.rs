//! Random SELECTs, in many kinds of sessions.

use crate::{
    pair::{Bench, Seen},
    query::query,
    random::Random,
    select::select,
    table::Table,
};
use anyhow::Result;

/// What a session starts with.
const SESSIONS: &[&[&str]] = &[
    &[],
    &["SET sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_ALL_TABLES'"],
    &["SET sql_mode = ''", "SET time_zone = '+05:30'"],
    &["SET sql_mode = 'ANSI'"],
    &["SET sql_mode = 'NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'"],
    &["SET NAMES latin1"],
    &["SET NAMES utf8mb4 COLLATE utf8mb4_bin"],
    &["SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci", "SET time_zone = '-03:00'"],
    &["SET character_set_results = NULL"],
    &["SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'"],
    &["SET SESSION sql_select_limit = 7, div_precision_increment = 8"],
];

/// How many of a hundred statements have several levels or need rows in one place.
const LEVELS_PERCENT: usize = 40;
/// Statements of one session.
const SESSION_STATEMENTS: usize = 40;

/// Runs `count` SELECTs.
pub(crate) async fn run(bench: &Bench, seed: u64, count: usize, tables: &[Table]) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut done = 0;
    let mut number = 0;
    while done < count {
        let mut random = Random::part(seed, 1_000 + number);
        let mut pair = bench.pair().await?;
        let session = SESSIONS[number as usize % SESSIONS.len()];
        for statement in session {
            pair.set(statement).await?;
        }
        // Under a limit only a total order fixes which rows are shown.
        let limited = session.iter().any(|text| text.contains("sql_select_limit"));
        for _ in 0..SESSION_STATEMENTS.min(count - done) {
            match random.below(30) {
                0 => pair.set("BEGIN").await?,
                1 => pair.set("COMMIT").await?,
                2 => pair.set("SET autocommit = 0").await?,
                3 => pair.set("SET autocommit = 1").await?,
                _ => {}
            }
            let mut make = || match random.percent(LEVELS_PERCENT) {
                true => query(&mut random, tables),
                false => select(&mut random, tables),
            };
            let mut statement = make();
            while limited && !statement.ordered {
                statement = make();
            }
            let label = format!("read {done} (session {number} {session:?})");
            pair.check(&label, &statement).await?;
            done += 1;
        }
        seen.add(pair.close().await?);
        number += 1;
    }
    Ok(seen)
}
