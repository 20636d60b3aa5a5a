//! Rows are where the map says: every kind of table, read on every shard directly.

use anyhow::{Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_tests::{
    UpCluster,
    rows::{self, Found},
    sql,
};
use std::collections::BTreeMap;

struct Bench {
    cluster: UpCluster,
    shards: BTreeMap<String, Conn>,
    client: Conn,
}

impl Bench {
    async fn start(count: usize) -> Result<Self> {
        let cluster = UpCluster::start(&["--shards", &count.to_string()], None).await?;
        let mut shards = BTreeMap::new();
        for number in 1..=count {
            let name = format!("s{number}");
            shards.insert(name.clone(), cluster.connect_shard(&name).await?);
        }
        let mut client = cluster.connect().await?;
        sql::run(&mut client, &["CREATE DATABASE d", "USE d"]).await?;
        Ok(Self { cluster, shards, client })
    }

    async fn run(&mut self, statements: &[&str]) -> Result<()> {
        sql::run(&mut self.client, statements).await
    }

    /// Checks a table on all shards, and that the proxy sees the same number of rows.
    async fn check(&mut self, table: &str) -> Result<Found> {
        let catalog = self.cluster.catalog().await?;
        let found = rows::check(&catalog, &mut self.shards, "d", table).await?;
        Ok(found)
    }

    async fn count(&mut self, table: &str) -> Result<u64> {
        Ok(sql::value(&mut self.client, &format!("SELECT COUNT(*) FROM {table}")).await?.parse()?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hash_range_list_broadcast_and_single() -> Result<()> {
    let mut bench = Bench::start(3).await?;
    bench
        .run(&[
            "CREATE TABLE h (id BIGINT NOT NULL PRIMARY KEY, v INT) SHARD BY HASH (id)",
            "CREATE TABLE r (id INT NOT NULL, day DATE NOT NULL, PRIMARY KEY (id, day)) SHARD BY RANGE (day) \
             (VALUES LESS THAN ('2025-01-01') ON s3, VALUES LESS THAN ('2026-01-01') ON s1, \
             VALUES LESS THAN (MAXVALUE) ON s2)",
            "CREATE TABLE l (region VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
             id INT NOT NULL, PRIMARY KEY (region, id)) SHARD BY LIST (region) \
             (VALUES IN ('n', 'e') ON s1, VALUES IN ('s') ON s2, DEFAULT ON s3)",
            "CREATE TABLE b (id INT NOT NULL PRIMARY KEY, v INT) BROADCAST",
            "CREATE TABLE s (id INT NOT NULL PRIMARY KEY, v INT) SINGLE ON s2",
        ])
        .await?;
    for first in (0..600).step_by(60) {
        let ids = first..first + 60;
        let values = |row: fn(u32) -> String| ids.clone().map(row).collect::<Vec<_>>().join(",");
        let statements = [
            format!("INSERT INTO h VALUES {}", values(|id| format!("({id}, 0)"))),
            format!(
                "INSERT INTO r VALUES {}",
                values(|id| format!("({id}, '202{}-0{}-15')", 4 + id % 3, 1 + id % 9))
            ),
            format!(
                "INSERT INTO l VALUES {}",
                values(|id| format!("('{}', {id})", ["n", "e", "s", "w"][id as usize % 4]))
            ),
            format!("INSERT INTO b VALUES {}", values(|id| format!("({id}, 0)"))),
            format!("INSERT INTO s VALUES {}", values(|id| format!("({id}, 0)"))),
        ];
        bench.run(&statements.each_ref().map(String::as_str)).await?;
    }
    for (table, shards, copies) in [("h", 3, 1), ("r", 3, 1), ("l", 3, 1), ("b", 3, 3), ("s", 1, 1)]
    {
        let found = bench.check(table).await?;
        ensure!(found.shards_used() == shards, "{table}: {found:?}");
        ensure!(found.total() == 600 * copies, "{table}: {found:?}");
        ensure!(bench.count(table).await? == 600, "{table} through the proxy");
    }
    ensure!(bench.check("s").await?.rows["s2"] == 600, "single tables stay at home");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_stay_where_they_belong_after_updates_and_deletes() -> Result<()> {
    let mut bench = Bench::start(2).await?;
    bench.run(&["CREATE TABLE h (id INT NOT NULL PRIMARY KEY, v INT) SHARD BY HASH (id)"]).await?;
    let values: Vec<String> = (0..400).map(|id| format!("({id}, {})", id % 10)).collect();
    bench.run(&[&format!("INSERT INTO h VALUES {}", values.join(","))]).await?;
    bench
        .run(&[
            "UPDATE h SET v = v + 100 WHERE id = 17",
            "UPDATE h SET v = v + 1 WHERE v < 5",
            "DELETE FROM h WHERE id IN (1, 2, 3, 4)",
            "DELETE FROM h WHERE v = 9",
        ])
        .await?;
    let found = bench.check("h").await?;
    ensure!(found.total() == bench.count("h").await?, "{found:?}");
    ensure!(found.total() == 400 - 4 - 40, "{found:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_ids_are_unique_and_consecutive_in_a_statement() -> Result<()> {
    let mut bench = Bench::start(3).await?;
    bench
        .run(&["CREATE TABLE a (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, c INT NOT NULL, \
             KEY (c)) SHARD BY HASH (c)"])
        .await?;
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..20 {
        let values: Vec<String> = (0..10).map(|c| format!("({})", round * 10 + c)).collect();
        let result = bench
            .client
            .query_iter(format!("INSERT INTO a (c) VALUES {}", values.join(",")))
            .await?;
        let first = result.last_insert_id().unwrap_or_default();
        result.drop_result().await?;
        ensure!(first > 0, "no id for round {round}");
        seen.extend(first..first + 10);
    }
    ensure!(seen.len() == 200, "ids were given twice");
    let stored: Vec<u64> = bench.client.query("SELECT id FROM a ORDER BY id").await?;
    ensure!(stored.into_iter().eq(seen), "stored ids differ from those told");
    ensure!(bench.check("a").await?.total() == 200, "rows");
    Ok(())
}
