//! Writes that no shard can do by itself: while others write too, beyond their limits, and where
//! foreign keys lead elsewhere. What they answer is compared in `tests/differential`.

use anyhow::{Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_tests::{Cluster, ClusterConfig, sql};

/// Rows of the table.
const ROWS: i64 = 120;

async fn start(yaml: &str) -> Result<Cluster> {
    let config = ClusterConfig { meta: 1, proxies: 1, yaml: yaml.into(), ..Default::default() };
    let cluster = Cluster::start(config).await?;
    let mut client = cluster.connect(0).await?;
    let rows: Vec<String> = (0..ROWS).map(|id| format!("({id}, 10)")).collect();
    let insert = format!("INSERT INTO t VALUES {}", rows.join(","));
    sql::run(
        &mut client,
        &[
            "CREATE DATABASE d",
            "USE d",
            "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, n INT NOT NULL) SHARD BY HASH (id)",
            "CREATE TABLE u (id INT NOT NULL PRIMARY KEY, n INT NOT NULL) SHARD BY HASH (id)",
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

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_change_their_shard_while_others_do_are_neither_lost_nor_doubled() -> Result<()> {
    let cluster = start("").await?;
    let mut workers = Vec::new();
    for number in 0..4 {
        let mut client = client(&cluster).await?;
        workers.push(tokio::spawn(async move {
            let mut done = 0;
            for round in 0..12 {
                let far = 1_000 * (1 + number * 12 + round);
                let statement = match round % 3 {
                    0 => format!("UPDATE t SET id = id + {far} WHERE id < 500 ORDER BY id LIMIT 3"),
                    1 => "UPDATE t SET n = n + 1 ORDER BY id DESC LIMIT 2".to_owned(),
                    _ => format!(
                        "UPDATE t SET id = id % 1000 WHERE id BETWEEN {far} - 2000 AND {far}"
                    ),
                };
                match client.query_drop(&statement).await {
                    Ok(()) => done += 1,
                    // Rolled back, or not waited for: nothing of it remains.
                    Err(error) => match sql::error_number(&error) {
                        Some(1213 | 1205 | 1062) => {}
                        _ => return Err(error.into()),
                    },
                }
            }
            client.disconnect().await?;
            anyhow::Ok(done)
        }));
    }
    let mut done = 0;
    for worker in workers {
        done += worker.await??;
    }
    ensure!(done >= 12, "{done} of 48 statements succeeded");
    let mut client = client(&cluster).await?;
    let counts: Vec<(i64, i64)> =
        client.query("SELECT COUNT(*), COUNT(DISTINCT id % 1000) FROM t").await?;
    ensure!(counts == [(ROWS, ROWS)], "{counts:?}");
    let mut on_shards = 0;
    for shard in &cluster.shards {
        let rows = sql::rows(&mut shard.connect().await?, "SELECT COUNT(*) FROM d.t").await?;
        on_shards += rows[0][0].parse::<i64>()?;
    }
    ensure!(on_shards == ROWS, "{on_shards} rows on the shards");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_rows_than_the_limit_end_the_statement_and_leave_nothing() -> Result<()> {
    let cluster = start("limits: {compute_rows_max: 50}\n").await?;
    let mut client = client(&cluster).await?;
    client.query_drop("BEGIN").await?;
    client.query_drop("INSERT INTO u VALUES (1, 1), (2, 2), (3, 3)").await?;
    let number =
        sql::error_of(&mut client, "INSERT INTO u SELECT id + 10, n FROM t LIMIT 60").await?;
    ensure!(number == 1038, "{number}");
    client.query_drop("INSERT INTO u SELECT id + 10, n FROM t WHERE id < 5 LIMIT 5").await?;
    // The first row is new, the last one is there.
    let twice = "INSERT INTO u SELECT 100, 1 FROM t WHERE id = 1 UNION ALL SELECT 3, 1";
    let number = sql::error_of(&mut client, twice).await?;
    ensure!(number == 1062, "{number}");
    client.query_drop("COMMIT").await?;
    let counts: Vec<(i64, i64)> = client.query("SELECT COUNT(*), SUM(id) FROM u").await?;
    ensure!(counts == [(8, 6 + 60)], "{counts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_lead_only_where_a_server_can_check_them() -> Result<()> {
    let cluster = start("").await?;
    let mut client = client(&cluster).await?;
    sql::run(
        &mut client,
        &[
            "CREATE TABLE b (id INT PRIMARY KEY) BROADCAST",
            "CREATE TABLE s (id INT PRIMARY KEY)",
            "CREATE TABLE a1 (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES t (id)) SHARD BY HASH (id) COLOCATE (t)",
            "CREATE TABLE a2 (id INT PRIMARY KEY, x INT, FOREIGN KEY (x) REFERENCES b (id)) SHARD BY HASH (id)",
            "CREATE TABLE a3 (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES s (id))",
            "CREATE TABLE a4 (id INT PRIMARY KEY, x INT, KEY (x)) SHARD BY HASH (id)",
        ],
    )
    .await?;
    for statement in [
        "CREATE TABLE r1 (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES a4 (id)) SHARD BY HASH (id) COLOCATE (a2)",
        "CREATE TABLE r2 (id INT PRIMARY KEY, x INT, FOREIGN KEY (x) REFERENCES t (id)) SHARD BY HASH (id) COLOCATE (t)",
        "CREATE TABLE r3 (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES t (id)) BROADCAST",
        "CREATE TABLE r4 (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES t (id))",
        "ALTER TABLE a4 ADD FOREIGN KEY (x) REFERENCES t (id)",
        "ALTER TABLE a4 ADD FOREIGN KEY (x) REFERENCES s (id)",
    ] {
        let number = sql::error_of(&mut client, statement).await?;
        ensure!(number == 1235, "{statement}: {number}");
    }
    client.query_drop("ALTER TABLE a4 ADD FOREIGN KEY (x) REFERENCES b (id)").await?;
    let tables: Vec<String> = client.query("SHOW TABLES LIKE 'r%'").await?;
    ensure!(tables.is_empty(), "{tables:?}");
    Ok(())
}
