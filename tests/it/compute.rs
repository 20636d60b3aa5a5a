//! Reads whose rows are brought to one server: what they leave behind, their limits, and what
//! ends them.

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_tests::{Cluster, ClusterConfig, sql};
use std::time::{Duration, Instant};

/// Rows of the table.
const ROWS: i64 = 300;
/// A join that brings the whole table.
const JOIN: &str = "SELECT COUNT(*), SUM(a.n) FROM t a JOIN t b ON b.id = a.n";

async fn start(yaml: &str) -> Result<Cluster> {
    let config = ClusterConfig { meta: 1, proxies: 1, yaml: yaml.into(), ..Default::default() };
    let cluster = Cluster::start(config).await?;
    let mut client = cluster.connect(0).await?;
    let rows: Vec<String> = (0..ROWS).map(|id| format!("({id}, {})", id / 2)).collect();
    let insert = format!("INSERT INTO t VALUES {}", rows.join(","));
    sql::run(
        &mut client,
        &[
            "CREATE DATABASE d",
            "USE d",
            "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, n INT NOT NULL) SHARD BY HASH (id)",
            &insert,
        ],
    )
    .await?;
    client.disconnect().await?;
    Ok(cluster)
}

async fn client(cluster: &Cluster) -> Result<Conn> {
    let mut client = cluster.connect(0).await?;
    sql::run(&mut client, &["USE d"]).await?;
    Ok(client)
}

/// What the join answers.
fn expected() -> Vec<Vec<String>> {
    vec![vec![ROWS.to_string(), (0..ROWS).map(|id| id / 2).sum::<i64>().to_string()]]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_meets_the_tables_of_another_statement() -> Result<()> {
    let cluster = start("limits: {shard_connections_max: 6}\n").await?;
    let position = |server: usize| {
        let shard = cluster.shards[server].connect();
        async move { sql::rows(&mut shard.await?, "SHOW MASTER STATUS").await }
    };
    let before = [position(0).await?, position(1).await?, position(2).await?];
    let mut sessions = Vec::new();
    for number in 0..8 {
        let mut client = client(&cluster).await?;
        sessions.push(tokio::spawn(async move {
            for round in 0..30 {
                if (round + number) % 3 == 0 {
                    // Ended in the middle: by an error of the server, or of its values.
                    let number =
                        sql::error_of(&mut client, "SELECT id FROM t WHERE n = (SELECT n FROM t)");
                    ensure!(number.await? == 1242);
                } else if round % 2 == 0 {
                    ensure!(sql::rows(&mut client, JOIN).await? == expected());
                }
                let count = sql::value(&mut client, "SELECT COUNT(*) FROM t").await?;
                ensure!(count == ROWS.to_string(), "{count} rows");
                let one = format!("SELECT n FROM t WHERE id = {round}");
                ensure!(sql::value(&mut client, &one).await? == (round / 2).to_string());
            }
            client.disconnect().await?;
            Ok(())
        }));
    }
    for session in sessions {
        session.await??;
    }
    let after = [position(0).await?, position(1).await?, position(2).await?];
    ensure!(before == after, "the binlogs have something of it: {before:?} {after:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_needs_too_much_is_told_which_limit() -> Result<()> {
    let cluster = start("limits: {compute_rows_max: 250}\n").await?;
    let mut client = client(&cluster).await?;
    sql::run(&mut client, &["BEGIN", "UPDATE t SET n = -1 WHERE id = 7"]).await?;
    let error = client.query_drop(JOIN).await.err().context("it succeeded")?;
    ensure!(sql::error_number(&error) == Some(1038), "{error}");
    ensure!(error.to_string().contains("compute_rows_max"), "{error}");
    // What is needed of it is less.
    let few = "SELECT a.n FROM t a JOIN t b ON b.id = a.id + 1 WHERE a.id = 7 AND b.id < 100";
    ensure!(sql::rows(&mut client, few).await? == [["-1"]], "its own change is not seen");
    sql::run(&mut client, &["COMMIT"]).await?;
    ensure!(sql::value(&mut client, "SELECT n FROM t WHERE id = 7").await? == "-1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_killed_on_the_server_that_runs_it() -> Result<()> {
    let cluster = start("").await?;
    let mut slow = client(&cluster).await?;
    let id = sql::value(&mut slow, "SELECT CONNECTION_ID()").await?;
    let began = Instant::now();
    let running = tokio::spawn(async move {
        let statement = "SELECT SUM(SLEEP(1)) FROM t a JOIN t b ON b.id = a.n";
        let number = sql::error_of(&mut slow, statement).await?;
        let rows = sql::rows(&mut slow, JOIN).await?;
        Ok::<_, anyhow::Error>((number, rows))
    });
    let mut other = client(&cluster).await?;
    tokio::time::sleep(Duration::from_millis(700)).await;
    other.query_drop(format!("KILL QUERY {id}")).await?;
    let (number, rows) = running.await??;
    ensure!(number == 1317, "error {number}");
    ensure!(rows == expected(), "{rows:?}");
    ensure!(began.elapsed() < Duration::from_secs(60), "it was not killed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_shard_ends_it_and_leaves_the_session() -> Result<()> {
    let mut cluster = start("").await?;
    let mut client = client(&cluster).await?;
    ensure!(sql::rows(&mut client, JOIN).await? == expected());
    cluster.shards[1].kill().await?;
    let number = sql::error_of(&mut client, JOIN).await?;
    ensure!([1429, 2013, 1158, 1105].contains(&number), "error {number}");
    cluster.shards[1].restart().await?;
    shardline_tests::wait::until("the shard answers", Duration::from_secs(30), || async {
        let mut client = self::client(&cluster).await?;
        ensure!(sql::rows(&mut client, JOIN).await? == expected());
        Ok(())
    })
    .await
}
