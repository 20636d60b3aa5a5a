//! Compensation round trip: after a random transaction was committed and undone from the binlog, the
//! table is what it was, to the byte.

use super::random::Random;
use super::table::{Table, definition};
use super::{stream, undoing};
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_binlog::Family;
use shardline_console::local::settings::ServerTuning;
use shardline_tests::{Server, server::mysql_programs, sql};

/// How many transactions are made and undone in one run.
const ROUNDS: u64 = 25;

async fn server(options: &[&str]) -> Result<Server> {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    let tuning = ServerTuning { buffer_pool_mib: 64, options, ..ServerTuning::default() };
    Server::start_with(tuning, 1).await
}

async fn mysql_server(options: &[&str]) -> Result<Option<Server>> {
    let Some(programs) = mysql_programs()? else { return Ok(None) };
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    let tuning = ServerTuning { buffer_pool_mib: 64, options, ..ServerTuning::default() };
    Ok(Some(Server::start_of(programs, tuning, 1, Vec::new()).await?))
}

async fn round_trips(server: &Server, family: Family, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    let mut writer = server.connect().await?;
    let mut undoer = server.connect().await?;
    sql::run(&mut writer, &["SET sql_mode = 'ALLOW_INVALID_DATES'", "SET NAMES utf8mb4"]).await?;
    undoing::prepare(&mut undoer).await?;
    let mut table = Table::create(&mut writer, family).await?;
    writer.query_drop(table.insert(&mut random, 20)).await?;
    let definition = definition(&mut writer, "d", "t").await?;
    let mut undone = 0;
    for round in 0..ROUNDS {
        let at = format!("seed {seed}, round {round}");
        let before = table.content(&mut writer).await?;
        let from = stream::end(&mut writer, family).await?;
        let statements = transaction(&mut writer, &mut table, &mut random).await?;
        let events =
            stream::read(server, family, 1_000 + round as u32, &from).await.context(at.clone())?;
        let (transactions, _) = stream::transactions(events, &|_| true).context(at.clone())?;
        let [done] = &transactions[..] else {
            ensure!(transactions.is_empty(), "{at}: {} transactions", transactions.len());
            continue;
        };
        let undo = undoing::plan(done, &definition).context(at.clone())?;
        undone += undo.len();
        undoing::run(&mut undoer, &undo)
            .await
            .with_context(|| format!("{at}: undoing {statements:#?}"))?;
        let after = table.content(&mut writer).await?;
        ensure!(before == after, "{at}: not as before; {statements:#?} was undone by {undo:#?}");
        // Every third transaction is done again, so that the next one meets other rows.
        if round % 3 == 0 && before.rows() < 200 {
            transaction(&mut writer, &mut table, &mut random).await?;
        }
    }
    ensure!(undone as u64 > 3 * ROUNDS, "seed {seed}: only {undone} rows were undone");
    Ok(())
}

async fn transaction(
    writer: &mut Conn,
    table: &mut Table,
    random: &mut Random,
) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    writer.query_drop("START TRANSACTION").await?;
    for _ in 0..=random.below(5) {
        let statement = table.change(random);
        if random.below(5) == 0 {
            writer.query_drop("SAVEPOINT s").await?;
        }
        if let Err(error) = writer.query_drop(&statement).await {
            ensure!(sql::error_number(&error) == Some(1062), "{error} from {statement}");
        }
        statements.push(statement);
    }
    if random.below(5) == 0 {
        // It may not be there.
        writer.query_drop("ROLLBACK TO s").await.ok();
    }
    writer.query_drop("COMMIT").await?;
    Ok(statements)
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql() -> Result<()> {
    let Some(server) = mysql_server(&[]).await? else { return Ok(()) };
    for seed in [6, 7] {
        round_trips(&server, Family::Mysql, seed).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_with_compressed_transactions() -> Result<()> {
    let options = ["--binlog-transaction-compression=ON", "--binlog-rows-query-log-events=ON"];
    let Some(server) = mysql_server(&options).await? else { return Ok(()) };
    round_trips(&server, Family::Mysql, 8).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() -> Result<()> {
    let server = server(&[]).await?;
    for seed in [1, 2] {
        round_trips(&server, Family::Mariadb, seed).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_with_compressed_events() -> Result<()> {
    let options = ["--log-bin-compress=ON", "--log-bin-compress-min-len=10"];
    let server = server(&options).await?;
    for seed in [3, 4] {
        round_trips(&server, Family::Mariadb, seed).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_without_names_and_signs_in_its_log() -> Result<()> {
    let server = server(&["--binlog-row-metadata=NO_LOG", "--binlog-checksum=NONE"]).await?;
    round_trips(&server, Family::Mariadb, 5).await
}
