//! What is found before a move begins.

use crate::{bench::Bench, kinds, writers};
use anyhow::{Result, ensure};
use shardline_tests::sql;

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_hinders_is_named() -> Result<()> {
    let bench = Bench::mariadb().await?;
    let (mut case, key, literal) = kinds::hash();
    writers::fill(&bench, key, literal).await?;
    let codes = async |case: &_| -> Result<Vec<&'static str>> {
        let findings = bench.mover(case, "m", "driver")?.preflight().await?;
        ensure!(findings.iter().all(|one| !one.to_string().is_empty() && !one.advice.is_empty()));
        let mut codes: Vec<_> = findings.iter().map(|one| one.code).collect();
        codes.sort_unstable();
        codes.dedup();
        Ok(codes)
    };
    ensure!(codes(&case).await?.is_empty());
    let (mut source, mut target) = bench.connect().await?;
    sql::run(
        &mut source,
        &["SET GLOBAL binlog_row_image = MINIMAL", "SET GLOBAL binlog_format = MIXED"],
    )
    .await?;
    ensure!(codes(&case).await? == ["binlog_format", "binlog_row_image"]);
    sql::run(
        &mut source,
        &["SET GLOBAL binlog_row_image = FULL", "SET GLOBAL binlog_format = ROW"],
    )
    .await?;
    sql::run(&mut target, &["ALTER TABLE d.entry MODIFY note MEDIUMTEXT"]).await?;
    ensure!(codes(&case).await? == ["schema"]);
    sql::run(
        &mut target,
        &[
            "ALTER TABLE d.entry MODIFY note TEXT",
            "INSERT INTO d.entry SELECT seq, 1, 1, '' FROM d.seq_1_to_200",
        ],
    )
    .await?;
    ensure!(codes(&case).await? == ["rows_on_target"]);
    bench
        .both(&[
            "CREATE TABLE d.bad (k BIGINT NOT NULL, a INT, b INT, UNIQUE (a, b)) ENGINE=InnoDB",
            "CREATE TRIGGER d.fires AFTER INSERT ON d.bad FOR EACH ROW SET @x = 1",
            "CREATE TABLE d.kept (k BIGINT NOT NULL PRIMARY KEY)",
            "CREATE TABLE d.outer_child (a BIGINT PRIMARY KEY REFERENCES d.kept (k))",
        ])
        .await?;
    case.tables = vec![("bad", "k"), ("kept", "k"), ("missing", "k")];
    let found = codes(&case).await?;
    ensure!(found.contains(&"definition"), "{found:?}");
    case.tables = vec![("bad", "k"), ("kept", "k")];
    let found = codes(&case).await?;
    ensure!(found == ["foreign_key", "primary_key", "triggers", "unique_key"], "{found:?}");
    Ok(())
}
