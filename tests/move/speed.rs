//! The copy beside `mariadb-dump | mariadb` of the same rows: printed, not judged.

use crate::{
    bench::{Bench, PATIENCE},
    content, kinds,
};
use anyhow::{Context, Result, ensure};
use shardline_model::placement::Units;
use shardline_rebalancer::{Direction, Mover, Settings};
use shardline_tests::{Server, server::account, sql};
use std::{process::Stdio, time::Instant};
use tokio::process::Command;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn rows() -> u64 {
    number("SHARDLINE_MOVE_ROWS").unwrap_or(20_000)
}

/// How the copy is spread, for those who look for the best.
fn settings() -> Settings {
    let mut settings = Settings::default();
    let of = |name, default| number(name).map_or(default, |number| number as usize);
    settings.lanes = of("SHARDLINE_MOVE_LANES", settings.lanes);
    settings.readers = of("SHARDLINE_MOVE_READERS", settings.readers);
    settings
}

fn client(program: &str, server: &Server) -> Command {
    let account = account();
    let mut command = Command::new(program);
    command
        .arg("--no-defaults")
        .arg(format!("--socket={}", server.socket().display()))
        .arg(format!("--user={}", account.user))
        .arg(format!("--password={}", account.password))
        .kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_beside_a_dump() -> Result<()> {
    let bench = Bench::mariadb().await?;
    let (mut case, ..) = kinds::hash();
    case.tables = vec![("big", "k")];
    case.units = Units::Slots(std::iter::once(0..8_192).collect());
    bench
        .both(&["CREATE TABLE d.big (k BIGINT NOT NULL PRIMARY KEY, a INT, c CHAR(120), p VARCHAR(60), KEY (a)) ENGINE=InnoDB"])
        .await?;
    let (mut source, mut target) = bench.connect().await?;
    for start in (1..=rows()).step_by(20_000) {
        let fill = format!(
            "INSERT INTO d.big SELECT seq, seq % 1000, REPEAT(MD5(seq), 3), CONCAT('p', seq) \
             FROM d.seq_{start}_to_{}",
            (start + 19_999).min(rows())
        );
        sql::run(&mut source, &[&fill]).await?;
    }
    let condition = content::inside(&case, "k");
    let begun = Instant::now();
    let mut dump = client("mariadb-dump", &bench.source);
    dump.args(["--single-transaction", "--no-create-info", "--where", &condition, "d", "big"]);
    let mut dump = dump.stdout(Stdio::piped()).spawn().context("mariadb-dump")?;
    let pipe: Stdio = dump.stdout.take().context("its output")?.try_into()?;
    let mut load = client("mariadb", &bench.target).arg("d").stdin(pipe).spawn()?;
    ensure!(load.wait().await?.success() && dump.wait().await?.success());
    let dumped = begun.elapsed();
    content::same(&bench, &case).await?;
    sql::run(&mut target, &["TRUNCATE d.big"]).await?;
    let mut mover = Mover::new(bench.spec(&case, "speed", "driver"), settings())?;
    mover.prepare().await?;
    let begun = Instant::now();
    mover.start(Direction::Forward).await?;
    mover.copied().await?;
    let copied = begun.elapsed();
    mover.drain(PATIENCE).await?;
    let count = content::same(&bench, &case).await?;
    println!(
        "{count} rows: dump and load {dumped:?}, copy {copied:?}: {:.2} times as fast",
        dumped.as_secs_f64() / copied.as_secs_f64()
    );
    Ok(())
}
