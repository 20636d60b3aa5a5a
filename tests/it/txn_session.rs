//! Transactions over several shards as a client sees them: COMMIT, savepoints, statements that
//! write everywhere, what ends a transaction implicitly, and what is refused.

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_model::id::TableId;
use shardline_proxy::txn::{
    coordinator::LOCK_PATIENCE,
    lock_key::{LockKey, LockSpace},
    sql::hex,
};
use shardline_tests::{Cluster, ClusterConfig, sql, wait};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// Keys that the three shards share out, by trial.
struct Bank {
    cluster: Cluster,
    /// One key of each shard.
    keys: Vec<i64>,
}

impl Bank {
    async fn start() -> Result<Self> {
        let cluster = Cluster::start(ClusterConfig::default()).await?;
        let mut client = cluster.connect(0).await?;
        let statements = [
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id BIGINT NOT NULL PRIMARY KEY, v INT NOT NULL) SHARD BY HASH (id)",
            "CREATE TABLE d.b (id INT NOT NULL PRIMARY KEY, v INT NOT NULL) BROADCAST",
            "CREATE TABLE d.keyless (id BIGINT NOT NULL, v INT NOT NULL, KEY (id)) \
             SHARD BY HASH (id)",
        ];
        sql::run(&mut client, &statements).await?;
        let mut keys = Vec::new();
        let mut seen = Vec::new();
        for key in 0..200 {
            let plan = explain(&mut client, key).await?;
            if !seen.contains(&plan) {
                seen.push(plan);
                keys.push(key);
            }
        }
        ensure!(keys.len() == 3, "{seen:?}");
        let rows: Vec<_> = keys.iter().map(|key| format!("({key}, 100)")).collect();
        client.query_drop(format!("INSERT INTO d.t VALUES {}", rows.join(", "))).await?;
        client.query_drop("INSERT INTO d.b VALUES (1, 100)").await?;
        Ok(Bank { cluster, keys })
    }

    async fn client(&self) -> Result<Conn> {
        self.cluster.connect(0).await
    }

    /// The server that has a key.
    async fn server_of(&self, key: i64) -> Result<Conn> {
        for server in &self.cluster.shards {
            let mut direct = server.connect().await?;
            let count = format!("SELECT COUNT(*) FROM d.t WHERE id = {key}");
            if sql::value(&mut direct, &count).await? == "1" {
                return Ok(direct);
            }
        }
        anyhow::bail!("no shard has {key}")
    }

    /// The values of the three keys.
    async fn values(&self) -> Result<Vec<String>> {
        let mut client = self.client().await?;
        let rows = sql::rows(&mut client, "SELECT id, v FROM d.t WHERE v < 100000").await?;
        let of = |key: &i64| {
            let found = rows.iter().find(|row| row[0] == key.to_string());
            found.map_or_else(|| "none".to_owned(), |row| row[1].clone())
        };
        Ok(self.keys.iter().map(of).collect())
    }

    /// Adds to a key's value.
    async fn add(&self, client: &mut Conn, key: usize, amount: i64) -> Result<()> {
        let key = self.keys[key];
        let sql = format!("UPDATE d.t SET v = v + {amount} WHERE id = {key}");
        Ok(client.query_drop(sql).await?)
    }

    /// What transactions leave behind on the shards is forgotten before long.
    async fn is_clean(&self) -> Result<()> {
        wait::until("nothing is left on the shards", SOON, || async {
            for server in &self.cluster.shards {
                let mut direct = server.connect().await?;
                for table in ["branch", "rlock"] {
                    let count = format!("SELECT COUNT(*) FROM _shardline.{table}");
                    let left = sql::value(&mut direct, &count).await?;
                    ensure!(left == "0", "{left} rows in {table}");
                }
            }
            Ok(())
        })
        .await
    }
}

/// The shard of a key, in the words of EXPLAIN SHARDING, which name the key too.
async fn explain(client: &mut Conn, key: i64) -> Result<String> {
    let statement = format!("EXPLAIN SHARDING SELECT v FROM d.t WHERE id = {key}");
    let plan = sql::rows(client, &statement).await?.concat().join("\n");
    let shard = ["s1", "s2", "s3"].into_iter().find(|name| plan.contains(name));
    Ok(shard.with_context(|| format!("no shard in {plan}"))?.to_owned())
}

fn number<T>(result: Result<T>) -> Option<u16> {
    let error = result.err()?;
    sql::error_number(error.downcast_ref::<mysql_async::Error>()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_on_all_its_shards_or_on_none() -> Result<()> {
    let bank = Bank::start().await?;
    let mut client = bank.client().await?;
    client.query_drop("BEGIN").await?;
    bank.add(&mut client, 0, -10).await?;
    bank.add(&mut client, 1, 4).await?;
    bank.add(&mut client, 2, 6).await?;
    ensure!(bank.values().await? == ["100", "100", "100"]);
    client.query_drop("COMMIT").await?;
    ensure!(bank.values().await? == ["90", "104", "106"]);
    let status = sql::rows(&mut client, "SHOW TRANSACTION STATUS").await?;
    ensure!(status[0][1] == "committed", "{status:?}");

    client.query_drop("BEGIN").await?;
    bank.add(&mut client, 0, -10).await?;
    bank.add(&mut client, 1, 10).await?;
    client.query_drop("ROLLBACK").await?;
    ensure!(bank.values().await? == ["90", "104", "106"]);

    // A client that goes away in the middle leaves nothing.
    client.query_drop("BEGIN").await?;
    bank.add(&mut client, 0, -10).await?;
    bank.add(&mut client, 1, 10).await?;
    client.disconnect().await?;
    let mut client = bank.client().await?;
    bank.add(&mut client, 0, 0).await?;
    ensure!(bank.values().await? == ["90", "104", "106"]);
    bank.is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_reach_shards_from_before_and_after() -> Result<()> {
    let bank = Bank::start().await?;
    let mut client = bank.client().await?;
    client.query_drop("BEGIN").await?;
    bank.add(&mut client, 0, 1).await?;
    client.query_drop("SAVEPOINT one").await?;
    bank.add(&mut client, 0, 10).await?;
    bank.add(&mut client, 1, 10).await?;
    client.query_drop("SAVEPOINT two").await?;
    bank.add(&mut client, 1, 100).await?;
    bank.add(&mut client, 2, 100).await?;
    client.query_drop("ROLLBACK TO two").await?;
    client.query_drop("COMMIT").await?;
    ensure!(bank.values().await? == ["111", "110", "100"], "{:?}", bank.values().await?);

    client.query_drop("BEGIN").await?;
    bank.add(&mut client, 0, 1).await?;
    client.query_drop("SAVEPOINT one").await?;
    bank.add(&mut client, 1, 10).await?;
    bank.add(&mut client, 2, 10).await?;
    client.query_drop("ROLLBACK TO SAVEPOINT one").await?;
    bank.add(&mut client, 2, 5).await?;
    client.query_drop("RELEASE SAVEPOINT one").await?;
    ensure!(number(bank.add(&mut client, 0, 0).await).is_none());
    let released = client.query_drop("ROLLBACK TO one").await;
    ensure!(sql::error_number(&released.unwrap_err()) == Some(1305));
    client.query_drop("COMMIT").await?;
    ensure!(bank.values().await? == ["112", "110", "105"], "{:?}", bank.values().await?);
    bank.is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_on_several_shards_is_whole_or_absent() -> Result<()> {
    let bank = Bank::start().await?;
    let mut client = bank.client().await?;
    let [a, b, c] = bank.keys[..] else { anyhow::bail!("three keys") };
    client.query_drop("UPDATE d.t SET v = v + 1").await?;
    ensure!(client.affected_rows() == 3);
    let warnings = sql::rows(&mut client, "SHOW WARNINGS").await?;
    ensure!(warnings.is_empty(), "{warnings:?}");
    ensure!(bank.values().await? == ["101", "101", "101"]);

    // The last of them is there already.
    client.query_drop(format!("DELETE FROM d.t WHERE id IN ({a}, {b})")).await?;
    ensure!(client.affected_rows() == 2);
    let insert = format!("INSERT INTO d.t VALUES ({a}, 1), ({b}, 2), ({c}, 3)");
    let failed = client.query_drop(&insert).await;
    ensure!(sql::error_number(&failed.unwrap_err()) == Some(1062));
    ensure!(bank.values().await? == ["none", "none", "101"], "{:?}", bank.values().await?);

    // Inside a transaction it is the statement that is undone, and nothing else.
    client.query_drop("BEGIN").await?;
    bank.add(&mut client, 2, 10).await?;
    let failed = client.query_drop(&insert).await;
    ensure!(sql::error_number(&failed.unwrap_err()) == Some(1062));
    client.query_drop(format!("INSERT INTO d.t VALUES ({a}, 7), ({b}, 8)")).await?;
    client.query_drop("COMMIT").await?;
    ensure!(bank.values().await? == ["7", "8", "111"], "{:?}", bank.values().await?);

    // All copies of a broadcast table, or none.
    client.query_drop("UPDATE d.b SET v = v + 1 WHERE id = 1").await?;
    ensure!(client.affected_rows() == 1);
    client.query_drop("BEGIN").await?;
    client.query_drop("UPDATE d.b SET v = v + 1").await?;
    bank.add(&mut client, 0, 1).await?;
    client.query_drop("ROLLBACK").await?;
    for server in &bank.cluster.shards {
        let mut direct = server.connect().await?;
        ensure!(sql::value(&mut direct, "SELECT v FROM d.b WHERE id = 1").await? == "101");
    }
    bank.is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_transaction_ends_it_on_all_shards() -> Result<()> {
    let bank = Bank::start().await?;
    let mut client = bank.client().await?;
    client.query_drop("SET autocommit = 0").await?;
    bank.add(&mut client, 0, -1).await?;
    bank.add(&mut client, 1, 1).await?;
    ensure!(bank.values().await? == ["100", "100", "100"]);
    client.query_drop("SET autocommit = 1").await?;
    ensure!(bank.values().await? == ["99", "101", "100"]);

    let implicit = ["BEGIN", "CREATE TABLE d.n (id INT NOT NULL PRIMARY KEY) SINGLE"];
    for (round, statement) in implicit.into_iter().enumerate() {
        client.query_drop("BEGIN").await?;
        bank.add(&mut client, 0, -1).await?;
        bank.add(&mut client, 1, 1).await?;
        client.query_drop(statement).await?;
        let expected = [format!("{}", 98 - round), format!("{}", 102 + round), "100".into()];
        ensure!(bank.values().await? == expected, "{statement}: {:?}", bank.values().await?);
        client.query_drop("ROLLBACK").await?;
    }

    client.query_drop("START TRANSACTION READ ONLY").await?;
    ensure!(number(bank.add(&mut client, 0, 1).await) == Some(1792));
    let everywhere = client.query_drop("UPDATE d.t SET v = 0").await;
    ensure!(sql::error_number(&everywhere.unwrap_err()) == Some(1792));
    client.query_drop("COMMIT AND CHAIN").await?;
    ensure!(number(bank.add(&mut client, 1, 1).await) == Some(1792));
    client.query_drop("COMMIT").await?;

    // A session that is killed is rolled back on all shards.
    client.query_drop("BEGIN").await?;
    bank.add(&mut client, 0, 50).await?;
    bank.add(&mut client, 1, 50).await?;
    let thread = sql::value(&mut client, "SELECT CONNECTION_ID()").await?;
    let mut other = bank.client().await?;
    other.query_drop(format!("KILL {thread}")).await?;
    bank.add(&mut other, 0, 1).await?;
    ensure!(bank.values().await? == ["98", "103", "100"], "{:?}", bank.values().await?);
    bank.is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_undone_is_refused_before_anything_is_committed() -> Result<()> {
    let bank = Bank::start().await?;
    let mut client = bank.client().await?;
    let [a, b, _] = bank.keys[..] else { anyhow::bail!("three keys") };
    client.query_drop(format!("INSERT INTO d.keyless VALUES ({a}, 1)")).await?;
    let several = client.query_drop(format!("INSERT INTO d.keyless VALUES ({a}, 2), ({b}, 2)"));
    let error = several.await.unwrap_err();
    ensure!(error.to_string().contains("primary key"), "{error}");
    client.query_drop("BEGIN").await?;
    bank.add(&mut client, 0, 1).await?;
    client.query_drop(format!("INSERT INTO d.keyless VALUES ({b}, 3)")).await?;
    let error = client.query_drop("COMMIT").await.unwrap_err();
    ensure!(error.to_string().contains("primary key"), "{error}");
    ensure!(bank.values().await? == ["100", "100", "100"]);
    ensure!(sql::value(&mut client, "SELECT COUNT(*) FROM d.keyless").await? == "1");
    // The shard that decides needs no undoing.
    client.query_drop("BEGIN").await?;
    client.query_drop(format!("INSERT INTO d.keyless VALUES ({b}, 3)")).await?;
    bank.add(&mut client, 0, 1).await?;
    client.query_drop("COMMIT").await?;
    ensure!(bank.values().await? == ["101", "100", "100"]);
    bank.is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_asked_about_by_its_name() -> Result<()> {
    let bank = Bank::start().await?;
    let mut client = bank.client().await?;
    ensure!(sql::rows(&mut client, "SHOW TRANSACTION STATUS").await?.is_empty());
    for wrong in ["SHOW TRANSACTION STATUS 'x'", "CALL shardline.txn_resolve('7-1', 'keep')"] {
        let error = client.query_drop(wrong).await.unwrap_err();
        ensure!(sql::error_number(&error) == Some(1105), "{error}");
    }
    let unknown = sql::rows(&mut client, "SHOW TRANSACTION STATUS '999-1'").await?;
    ensure!(unknown[0][1] == "unknown", "{unknown:?}");
    client.query_drop("UPDATE d.t SET v = v + 1").await?;
    let own = sql::rows(&mut client, "SHOW TRANSACTION STATUS").await?;
    bank.is_clean().await?;
    let later = format!("SHOW TRANSACTION STATUS '{}'", own[0][0]);
    let later = sql::rows(&mut client, &later).await?;
    ensure!(later[0][1] == "committed" || later[0][1] == "forgotten", "{later:?}");
    ensure!(sql::rows(&mut client, "SHOW TRANSACTIONS").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_undecided_transaction_are_left_alone() -> Result<()> {
    let bank = Bank::start().await?;
    let mut client = bank.client().await?;
    // The guard goes up with the first statement on several shards.
    client.query_drop("UPDATE d.t SET v = v + 0").await?;
    bank.is_clean().await?;
    let (key, xid) = (bank.keys[0], "x'00000000000000ff0000000000000001'");
    let held = lock_of(&bank, key).await?;
    let mut direct = bank.server_of(key).await?;
    let statements = [
        format!(
            "INSERT INTO _shardline.branch VALUES \
             ({xid}, 1, 1, x'00000002', 0, '', UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)"
        ),
        format!("INSERT INTO _shardline.rlock VALUES ({held}, {xid})"),
    ];
    for statement in &statements {
        direct.query_drop(statement).await?;
    }

    ensure!(number(bank.add(&mut client, 0, 1).await) == Some(1205));
    bank.add(&mut client, 1, 1).await?;
    let everywhere = client.query_drop("UPDATE d.t SET v = v + 1").await;
    ensure!(sql::error_number(&everywhere.unwrap_err()) == Some(1213));
    let select = format!("SELECT v FROM d.t WHERE id = {key}");
    ensure!(sql::value(&mut client, &select).await? == "100");
    let statements = [
        format!("UPDATE d.t SET v = v + 1 WHERE id = {key}"),
        format!("{select} FOR UPDATE"),
        "SELECT COUNT(*) FROM d.t FOR UPDATE".to_owned(),
        format!("INSERT INTO d.t VALUES ({key}, 5) ON DUPLICATE KEY UPDATE v = v + 1"),
    ];
    for statement in &statements {
        // With a snapshot its own connection does not see what is committed later.
        for (also, reads) in [(None, false), (Some(1), false), (Some(2), false), (None, true)] {
            client.query_drop("BEGIN").await?;
            if reads {
                client.query_drop(&select).await?;
            }
            client.query_drop(statement).await?;
            if let Some(also) = also {
                bank.add(&mut client, also, 7).await?;
            }
            let error = client.query_drop("COMMIT").await.unwrap_err();
            ensure!(sql::error_number(&error) == Some(1213), "{statement}: {error}");
        }
    }
    ensure!(bank.values().await? == ["100", "101", "100"], "{:?}", bank.values().await?);

    for table in ["rlock", "branch"] {
        direct.query_drop(format!("DELETE FROM _shardline.{table} WHERE xid = {xid}")).await?;
    }
    for statement in &statements {
        client.query_drop("BEGIN").await?;
        client.query_drop(statement).await?;
        bank.add(&mut client, 1, 7).await?;
        client.query_drop("COMMIT").await?;
    }
    ensure!(bank.values().await? == ["102", "129", "100"], "{:?}", bank.values().await?);
    bank.is_clean().await
}

/// A transaction that locked rows which it does not name waits for those whose locks are there when it
/// commits, and not for who comes later: there is always somebody on a busy shard.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_is_not_waited_for() -> Result<()> {
    let bank = Bank::start().await?;
    let mut client = bank.client().await?;
    client.query_drop("UPDATE d.t SET v = v + 0").await?;
    bank.is_clean().await?;
    let mut direct = bank.server_of(bank.keys[0]).await?;
    let statements = |number: u8| {
        let xid = format!("x'00000000000000ff{number:016x}'");
        let hash = hex(&LockKey::of_space(LockSpace::Table(TableId(1_000 + u64::from(number)))).0);
        let branch = format!(
            "INSERT INTO _shardline.branch VALUES \
             ({xid}, 1, 1, x'00000002', 0, '', UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)"
        );
        let lock = format!("INSERT INTO _shardline.rlock VALUES ({hash}, {xid})");
        let gone = ["rlock", "branch"]
            .map(|table| format!("DELETE FROM _shardline.{table} WHERE xid = {xid}"));
        ([branch, lock], gone)
    };
    for also in [None, Some(1)] {
        let (first, first_gone) = statements(1);
        sql::run(&mut direct, &first).await?;
        client.query_drop("BEGIN").await?;
        client.query_drop("SELECT COUNT(*) FROM d.t FOR UPDATE").await?;
        bank.add(&mut client, 0, 1).await?;
        if let Some(also) = also {
            bank.add(&mut client, also, 1).await?;
        }
        let commit = client.query_drop("COMMIT");
        let meanwhile = async {
            tokio::time::sleep(LOCK_PATIENCE / 3).await;
            sql::run(&mut direct, &statements(2).0).await?;
            sql::run(&mut direct, &first_gone).await
        };
        let (committed, meanwhile) = tokio::join!(commit, meanwhile);
        meanwhile?;
        committed?;
        sql::run(&mut direct, &statements(2).1).await?;
    }
    ensure!(bank.values().await? == ["102", "101", "100"], "{:?}", bank.values().await?);
    bank.is_clean().await
}

/// The lock of a key of `d.t`.
async fn lock_of(bank: &Bank, key: i64) -> Result<String> {
    let catalog = bank.cluster.catalog().await?;
    let group = catalog.databases["d"].tables["t"].sharding().context("it is sharded")?.group;
    let lock = LockKey::of_key(LockSpace::Group(group), key.to_string().as_bytes());
    Ok(hex(&lock.0))
}
