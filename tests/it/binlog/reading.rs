//! Ways into a server's binlog, and what else is in it.

use super::stream::{self, Position};
use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable;
use shardline_binlog::gtid::GtidSet;
use shardline_binlog::transaction::TransactionId;
use shardline_binlog::{Body, Family};
use shardline_console::local::settings::ServerTuning;
use shardline_tests::{Server, server::mysql_programs, sql};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_by_position_and_by_transaction_over_files() -> Result<()> {
    let server = Server::start().await?;
    let mut connection = server.connect().await?;
    let setup = ["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, v INT)"];
    sql::run(&mut connection, &setup).await?;
    let from = stream::end(&mut connection, Family::Mariadb).await?;
    let gtid = sql::value(&mut connection, "SELECT @@gtid_binlog_pos").await?;
    let changes = [
        "INSERT INTO d.t VALUES (1, 1)",
        "FLUSH BINARY LOGS",
        "INSERT INTO d.t VALUES (2, 2), (3, 3)",
        "ALTER TABLE d.t ADD w INT",
        "DELETE FROM d.t WHERE id = 1",
    ];
    sql::run(&mut connection, &changes).await?;
    let last = sql::value(&mut connection, "SELECT @@gtid_binlog_pos").await?;
    for events in [
        stream::read(&server, Family::Mariadb, 50, &from).await?,
        stream::read_after(&server, 51, &gtid).await?,
    ] {
        let annotated = events.iter().filter_map(|event| match &event.body {
            Body::Statement(sql) => Some(String::from_utf8_lossy(sql).into_owned()),
            _ => None,
        });
        ensure!(annotated.collect::<Vec<_>>() == [changes[0], changes[2], changes[4]]);
        let maps = stream::table_maps(&events);
        let names = |map: &shardline_binlog::TableMap| map.columns.len();
        ensure!(maps.iter().map(|map| names(map)).collect::<Vec<_>>() == [2, 2, 3]);
        let (transactions, file) = stream::transactions(events, &|_| true)?;
        let rows: Vec<usize> = transactions.iter().map(|one| one.changes.len()).collect();
        ensure!(rows == [1, 2, 0, 1], "{rows:?}");
        ensure!(transactions[2].statements[0].starts_with("ALTER TABLE"));
        let Some(TransactionId::Mariadb(found)) = &transactions[3].id else {
            anyhow::bail!("no id: {:?}", transactions[3].id)
        };
        ensure!(found.gtid.to_string() == last, "{} is not {last}", found.gtid);
        // The position after a transaction is where the log ends.
        let end = stream::end(&mut connection, Family::Mariadb).await?;
        let file = file.context("a file")?.file.into_string();
        ensure!(end == Position { file, offset: transactions[3].end });
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_log_is_the_servers_error() -> Result<()> {
    let server = Server::start().await?;
    let mut connection = server.connect().await?;
    let from = stream::end(&mut connection, Family::Mariadb).await?;
    connection.query_drop("FLUSH BINARY LOGS").await?;
    let now = stream::end(&mut connection, Family::Mariadb).await?;
    // The server keeps a file until its transactions are on disk.
    for _ in 0..500 {
        connection.query_drop(format!("PURGE BINARY LOGS TO '{}'", now.file)).await?;
        if sql::value(&mut connection, "SHOW BINARY LOGS").await? == now.file {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = stream::read(&server, Family::Mariadb, 60, &from).await;
    let text = format!("{:#}", error.err().context("a purged log was read")?);
    ensure!(text.contains("1236"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_xa_are_refused_by_name() -> Result<()> {
    let server = Server::start().await?;
    let mut connection = server.connect().await?;
    let setup =
        ["CREATE DATABASE d", "CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)"];
    sql::run(&mut connection, &setup).await?;
    for (statements, word) in [
        (&["SET SESSION binlog_format = 'STATEMENT'", "INSERT INTO d.t (v) VALUES (1)"][..], "ROW"),
        (
            &[
                "SET SESSION binlog_format = 'ROW'",
                "XA START 'x'",
                "INSERT INTO d.t (v) VALUES (2)",
                "XA END 'x'",
                "XA PREPARE 'x'",
                "XA COMMIT 'x'",
            ],
            "XA",
        ),
    ] {
        let from = stream::end(&mut connection, Family::Mariadb).await?;
        sql::run(&mut connection, statements).await?;
        let error = stream::read(&server, Family::Mariadb, 70, &from).await;
        let text = format!("{:#}", error.err().context("nothing was refused")?);
        ensure!(text.contains(word), "{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_by_position_and_by_transactions() -> Result<()> {
    let Some(programs) = mysql_programs()? else { return Ok(()) };
    let server = Server::start_of(programs, ServerTuning::default(), 1, Vec::new()).await?;
    let mut connection = server.connect().await?;
    let setup = ["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, v INT)"];
    sql::run(&mut connection, &setup).await?;
    let from = stream::end(&mut connection, Family::Mysql).await?;
    let done = sql::value(&mut connection, "SELECT @@global.gtid_executed").await?;
    let changes = [
        "INSERT INTO d.t VALUES (1, 1)",
        "SET gtid_next = 'AUTOMATIC:blue'",
        "FLUSH BINARY LOGS",
        "INSERT INTO d.t VALUES (2, 2), (3, 3)",
        "SET SESSION binlog_transaction_compression = ON",
        "DELETE FROM d.t WHERE id = 1",
        "SET SESSION binlog_row_value_options = PARTIAL_JSON",
    ];
    sql::run(&mut connection, &changes).await?;
    for events in [
        stream::read(&server, Family::Mysql, 50, &from).await?,
        stream::read_except(&server, 51, &done).await?,
    ] {
        let (transactions, _) = stream::transactions(events, &|_| true)?;
        let rows: Vec<usize> = transactions.iter().map(|one| one.changes.len()).collect();
        ensure!(rows == [1, 2, 1], "{rows:?}");
        // Together with what was there before, these are all that the server has done.
        let mut set: GtidSet = done.parse()?;
        for transaction in &transactions {
            let Some(TransactionId::Mysql(id)) = &transaction.id else { anyhow::bail!("no id") };
            set.insert(id.source.clone().context("an anonymous transaction")?, id.number);
        }
        let executed = sql::value(&mut connection, "SELECT @@global.gtid_executed").await?;
        ensure!(set == executed.parse()?, "{set} is not {executed}");
    }
    // Parts of JSON values cannot be undone.
    let from = stream::end(&mut connection, Family::Mysql).await?;
    let document = [
        "ALTER TABLE d.t ADD j JSON",
        "INSERT INTO d.t VALUES (9, 9, '{\"a\": \"some text that is long enough\"}')",
        "UPDATE d.t SET j = JSON_SET(j, '$.a', 'b') WHERE id = 9",
    ];
    sql::run(&mut connection, &document).await?;
    let error = stream::read(&server, Family::Mysql, 52, &from).await;
    let text = format!("{:#}", error.err().context("a partial update was read")?);
    ensure!(text.contains("PARTIAL_JSON"), "{text}");
    Ok(())
}
