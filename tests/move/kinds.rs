//! Hash, range and list, on both families: copy and stream under writes, the switch, the way back, the
//! way there again, and the end.

use crate::{
    bench::{BIGINT, Bench, Case, PATIENCE},
    content,
    writers::{self, KEYS, KeyLiteral, Writers},
};
use anyhow::{Context, Result, ensure};
use shardline_binlog::Family;
use shardline_model::{
    key::{Key, KeyCharset, KeyCollation, KeyPart, KeyType, KeyUse, Literal},
    placement::Units,
};
use shardline_rebalancer::{Direction, Mover, Side, preflight::Severity};
use shardline_tests::sql;
use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

const TABLES: [(&str, &str); 2] = [("account", "k"), ("entry", "k")];

fn writing_time() -> Duration {
    let seconds = std::env::var("SHARDLINE_MOVE_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map_or(Duration::from_millis(700), Duration::from_secs)
}

fn number(number: u64) -> String {
    number.to_string()
}

fn date(number: u64) -> String {
    format!("'20{:02}-{:02}-{:02}'", number / 100, 1 + number / 28 % 12, 1 + number % 28)
}

fn word(number: u64) -> String {
    // Both cases are one key; the last words are the same to the collation.
    if number.is_multiple_of(2) { format!("'Key-é{number}'") } else { format!("'key-E{number} '") }
}

fn integer(value: u64) -> Key {
    [KeyPart::Integer(i128::from(value))].into_iter().collect()
}

pub(crate) fn hash() -> (Case, &'static str, KeyLiteral) {
    let units = Units::Slots(vec![0..3_000, 9_000..12_000]);
    let case = Case { tables: TABLES.into(), key_type: BIGINT, units };
    (case, "BIGINT", number)
}

fn range() -> (Case, &'static str, KeyLiteral) {
    let day = |text: &str| {
        let part = KeyType::Date.canonical(&Literal::Text(text.into()), KeyUse::Store);
        Some([part.expect("a day")].into_iter().collect())
    };
    let units = Units::Interval { start: day("2001-01-01"), end: day("2002-06-15") };
    let case = Case { tables: TABLES.into(), key_type: KeyType::Date, units };
    (case, "DATE", date)
}

fn list() -> (Case, &'static str, KeyLiteral) {
    let key_type = KeyType::Text {
        charset: KeyCharset::Utf8mb4,
        collation: KeyCollation::GeneralCi,
        chars_max: 20,
        padded_char: false,
    };
    let key = |number: u64| -> Key {
        let text = word(number).trim_matches('\'').to_owned();
        let part = key_type.canonical(&Literal::Text(text.into()), KeyUse::Store);
        [part.expect("a key")].into_iter().collect()
    };
    let keys: BTreeSet<Key> = (0..KEYS / 3).map(key).collect();
    let units = Units::Values(keys.into_iter().collect());
    let tables = TABLES.into();
    let case = Case { tables, units, key_type: key_type.clone() };
    (case, "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", word)
}

fn others() -> (Case, &'static str, KeyLiteral) {
    let listed: Vec<Key> = (0..KEYS / 2).map(integer).collect();
    let units = Units::OtherValues { but: listed };
    (Case { tables: TABLES.into(), key_type: BIGINT, units }, "BIGINT", number)
}

/// Moves under writes until everything is compared and switched.
async fn switch(
    bench: &Bench,
    case: &Case,
    mover: &mut Mover,
    writers: Writers,
    epoch: u64,
) -> Result<()> {
    mover.copied().await?;
    tokio::time::sleep(writing_time()).await;
    let verified = mover.verify().await?;
    ensure!(verified.differences.is_empty(), "{verified:#?}");
    ensure!(verified.rows > 1_000, "{verified:?}");
    ensure!(writers.statements.load(Ordering::Relaxed) > 20, "nobody wrote");
    writers.stop().await?;
    let begun = std::time::Instant::now();
    let mut turn = mover.turn([]).await?;
    mover.record_switch(&mut turn, epoch, PATIENCE).await?;
    println!("drained and recorded in {:?}", begun.elapsed());
    let rows = content::same(bench, case).await?;
    ensure!(rows > 1_000, "only {rows} rows moved");
    Ok(())
}

async fn whole_life(family: Family, kind: (Case, &'static str, KeyLiteral)) -> Result<()> {
    let Some(bench) = Bench::of(family, &[]).await? else { return Ok(()) };
    let (case, key, literal) = kind;
    writers::fill(&bench, key, literal).await?;
    let (mut source, mut target) = bench.connect().await?;
    // Rows of other units are on the target already, and stay.
    let others =
        format!("SELECT * FROM d.account WHERE NOT {} LIMIT 1", content::inside(&case, "k"));
    let row = sql::rows(&mut source, &others).await?.pop().context("a row of other units")?;
    let insert = format!(
        "INSERT INTO d.account (k, name, amount) VALUES ('{}', 'there', 1)",
        row[0].replace('\'', "''")
    );
    sql::run(&mut target, &[&insert]).await?;
    let there = content::outside(&mut target, &case, family).await?;
    let mut mover = bench.mover(&case, "m1", "driver-1")?;
    let findings = mover.preflight().await?;
    ensure!(findings.iter().all(|one| one.severity == Severity::Warning), "{findings:#?}");
    let writers = Writers::start(bench.source.options(), 3, literal);
    mover.prepare().await?;
    mover.start(Direction::Forward).await?;
    switch(&bench, &case, &mut mover, writers, 11).await?;
    ensure!(content::outside(&mut target, &case, family).await? == there, "other rows changed");
    // The clients write on the target now, and the source is kept current.
    mover.start(Direction::Reverse).await?;
    let writers = Writers::start(bench.target.options(), 3, literal);
    switch(&bench, &case, &mut mover, writers, 12).await.context("on the way back")?;
    drop(mover);
    // Another driver moves them again, from where they are.
    let mut mover = bench.mover(&case, "m1", "driver-2")?;
    ensure!(mover.switches().await?.reverse == Some(12));
    mover.start(Direction::Forward).await?;
    let writers = Writers::start(bench.source.options(), 3, literal);
    switch(&bench, &case, &mut mover, writers, 13).await.context("there again")?;
    mover.purge(Side::Source).await?;
    ensure!(content::count(&mut source, &case).await? == 0, "the source has rows left");
    ensure!(mover.purged() > 1_000);
    let elsewhere = content::outside(&mut source, &case, family).await?;
    ensure!(elsewhere.iter().map(Vec::len).sum::<usize>() > 1_000, "others were purged");
    mover.forget().await?;
    let left = sql::value(&mut target, "SELECT COUNT(*) FROM _shardline.move_lane").await?;
    ensure!(left == "0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hash_on_mariadb() -> Result<()> {
    whole_life(Family::Mariadb, hash()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn range_on_mariadb() -> Result<()> {
    whole_life(Family::Mariadb, range()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn list_on_mariadb() -> Result<()> {
    whole_life(Family::Mariadb, list()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn other_values_on_mysql() -> Result<()> {
    whole_life(Family::Mysql, others()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn range_on_mysql() -> Result<()> {
    whole_life(Family::Mysql, range()).await
}
