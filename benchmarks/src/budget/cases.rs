//! The cases that have a budget. Each is run some number of times in a process of its
//! own, so that the difference between two numbers of times is the case alone.

use super::{
    routing::{INSERT, POINT, Session, TABLES, for_all_tables},
    rows::{Shards, result, walk},
};
use anyhow::{bail, ensure};
use shardline_model::{
    hash,
    key::{KeyCharset, KeyCollation, KeyPart, KeyType},
};
use shardline_router::{digest::Digest, lexer::SqlMode};
use std::hint::black_box;

/// A case and how many of its rounds make a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name in the record.
    pub name: &'static str,
    /// What is counted.
    pub about: &'static str,
    /// Rounds of the shorter of two runs; the longer has twice as many.
    pub rounds: usize,
}

const fn case(name: &'static str, rounds: usize, about: &'static str) -> Case {
    Case { name, about, rounds }
}

/// All of them.
pub const CASES: &[Case] = &[
    case("digest_point_select", 2_000, "digest scan of the sysbench point select"),
    case("hit_point_select", 2_000, "digest, plan-cache hit and bind of the same"),
    case("hit_point_select_prepared", 2_000, "the same with its id as a parameter"),
    case("hit_insert", 1_000, "the same of a sysbench insert"),
    case("miss_point_select", 500, "digest, parse, plan and insert into the cache"),
    case("relay_1_row", 2_000, "the relay's walk over a result of one row"),
    case("relay_100_rows", 500, "the relay's walk over a result of 100 rows"),
    case("slot_of_integer", 4_000, "the hash slot of an integer key"),
    case("slot_of_string", 4_000, "the hash slot of a text key of 16 bytes"),
    case("merge_ordered", 10, "an ordered merge of three shards' 100 rows each"),
    case("merge_groups", 10, "GROUP BY over three shards' 100 groups each"),
];

/// Runs a case `rounds` times.
///
/// # Errors
/// There is no such case, or what it does fails.
pub fn run(name: &str, rounds: usize) -> anyhow::Result<()> {
    match name {
        "digest_point_select" => {
            let mut digest = Digest::new();
            repeat(rounds, || Ok(digest.scan(black_box(POINT.as_bytes()), SqlMode::default())?))
        }
        "hit_point_select" => routed(rounds, |session| session.route(black_box(POINT), None)),
        "hit_insert" => routed(rounds, |session| session.route(black_box(INSERT), None)),
        "hit_point_select_prepared" => {
            routed(rounds, |session| session.route_prepared(black_box(50_123)))
        }
        "miss_point_select" => {
            let mut session = Session::forgetful()?;
            let texts = for_all_tables(POINT);
            let mut next = 0;
            repeat(rounds, || {
                next = (next + 1) % TABLES as usize;
                session.prepare(&texts[next])
            })
        }
        "relay_1_row" => walked(rounds, 1),
        "relay_100_rows" => walked(rounds, 100),
        "slot_of_integer" => {
            let types = [KeyType::Integer { min: 0, max: i128::from(u32::MAX) }];
            let key = [KeyPart::Integer(50_123)];
            repeat(rounds, || Ok(hash::slot_of(black_box(&key), &types)))
        }
        "slot_of_string" => {
            let types = [text_key()];
            let key = [KeyPart::Text(b"customer-0050123".to_vec())];
            repeat(rounds, || Ok(hash::slot_of(black_box(&key), &types)))
        }
        "merge_ordered" => merged(rounds, &Shards::ordered(100)?, 300),
        "merge_groups" => merged(rounds, &Shards::grouped(100)?, 100),
        _ => bail!("there is no case {name}"),
    }
}

/// A VARCHAR key under a `_bin` collation.
pub fn text_key() -> KeyType {
    KeyType::Text {
        charset: KeyCharset::Utf8mb4,
        collation: KeyCollation::Bin,
        chars_max: 64,
        padded_char: false,
    }
}

fn repeat<T>(rounds: usize, mut once: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<()> {
    for _ in 0..rounds {
        black_box(once()?);
    }
    Ok(())
}

fn routed<T>(
    rounds: usize,
    mut once: impl FnMut(&mut Session) -> anyhow::Result<T>,
) -> anyhow::Result<()> {
    let mut session = Session::new()?;
    repeat(rounds, || once(&mut session))
}

fn walked(rounds: usize, rows: usize) -> anyhow::Result<()> {
    let bytes = result(rows);
    repeat(rounds, || {
        ensure!(walk(black_box(&bytes)), "the end of the result was not found");
        Ok(())
    })
}

fn merged(rounds: usize, shards: &Shards, rows: usize) -> anyhow::Result<()> {
    repeat(rounds, || {
        ensure!(black_box(shards).merge()? == rows, "rows were lost");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_runs() {
        for case in CASES {
            run(case.name, 3).unwrap();
        }
        assert!(run("nothing", 1).is_err());
    }
}
