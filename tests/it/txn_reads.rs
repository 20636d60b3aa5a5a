//! `shardline_read_consistency`: what each level guarantees while transactions over several shards
//! are under way, are held up or are aborted, and what each level leaves over.

mod strict;

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_base::Shutdown;
use shardline_console::local::{Programs, settings::ServerTuning};
use shardline_tests::{
    Cluster, ClusterConfig, Server,
    server::{mysql_programs, programs},
    sql, wait,
};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(10);
/// Keys of the bank, and what each begins with.
const KEYS: i64 = 40;
const BEGIN_WITH: i64 = 100;
const TOTAL: i64 = KEYS * BEGIN_WITH;
/// How long a load runs.
const LOAD: Duration = Duration::from_secs(4);

/// Two shards and two proxies: the first for readers, the second for writers, with faults.
struct Bank {
    cluster: Cluster,
    /// Keys of the first shard and of the second.
    keys: [Vec<i64>; 2],
}

impl Bank {
    async fn start(programs: &Programs) -> Result<Self> {
        let tuning = ServerTuning { buffer_pool_mib: 32, ..ServerTuning::default() };
        let mut shards = Vec::new();
        for id in 1..=2 {
            shards.push(Server::start_of(programs.clone(), tuning.clone(), id, vec![]).await?);
        }
        let config = ClusterConfig { shards: 2, meta: 1, proxies: 2, ..ClusterConfig::default() };
        let cluster = Cluster::start_over(shards, config).await?;
        let mut client = cluster.connect(0).await?;
        let rows: Vec<_> = (0..KEYS).map(|key| format!("({key}, {BEGIN_WITH})")).collect();
        let insert = format!("INSERT INTO d.t VALUES {}", rows.join(", "));
        let statements = [
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id BIGINT NOT NULL PRIMARY KEY, v BIGINT NOT NULL) SHARD BY HASH (id)",
            // It raises the guard too.
            &insert,
        ];
        sql::run(&mut client, &statements).await?;
        let mut keys = [Vec::new(), Vec::new()];
        for (server, keys) in cluster.shards.iter().zip(&mut keys) {
            let mut direct = server.connect().await?;
            for row in sql::rows(&mut direct, "SELECT id FROM d.t ORDER BY id").await? {
                keys.push(row[0].parse()?);
            }
        }
        ensure!(keys.iter().all(|keys| keys.len() > 4), "{keys:?}");
        let bank = Bank { cluster, keys };
        bank.is_quiet().await?;
        Ok(bank)
    }

    /// Gives a proxy other faults.
    async fn set_faults(&mut self, proxy: usize, faults: &str) -> Result<()> {
        let node = &mut self.cluster.proxies[proxy];
        node.process.terminate(Duration::from_secs(20)).await?;
        node.restart_in(vec![("SHARDLINE_FAULTS".into(), faults.into())]).await?;
        self.cluster.wait_proxy(proxy).await
    }

    async fn reader(&self, level: &str) -> Result<Conn> {
        let mut client = self.cluster.connect(0).await?;
        client.query_drop(format!("SET SESSION shardline_read_consistency = {level}")).await?;
        Ok(client)
    }

    /// A transfer in the background from the first shard, which decides, to the second; its
    /// error's number.
    async fn transfer(&self, from: i64, to: i64) -> Result<JoinHandle<Option<u16>>> {
        let mut client = self.cluster.connect(1).await?;
        Ok(tokio::spawn(async move { transfer(&mut client, from, to).await }))
    }

    /// Waits until a branch on the second shard has committed and awaits its decision.
    async fn is_prepared(&self) -> Result<()> {
        let mut direct = self.cluster.shards[1].connect().await?;
        let count = "SELECT COUNT(*) FROM _shardline.branch WHERE state = 1";
        let until = Instant::now() + SOON;
        while sql::value(&mut direct, count).await? == "0" {
            ensure!(Instant::now() < until, "nothing is prepared");
        }
        Ok(())
    }

    /// Waits until all is forgotten.
    async fn is_quiet(&self) -> Result<()> {
        wait::until("nothing is left on the shards", SOON, || async {
            for server in &self.cluster.shards {
                let mut direct = server.connect().await?;
                let left = "SELECT (SELECT COUNT(*) FROM _shardline.rlock) \
                            + (SELECT COUNT(*) FROM _shardline.branch WHERE state = 1)";
                ensure!(sql::value(&mut direct, left).await? == "0", "something is left");
            }
            Ok(())
        })
        .await
    }
}

/// One unit from a key to another; the number of the error that it ended with.
async fn transfer(client: &mut Conn, from: i64, to: i64) -> Option<u16> {
    let statements = [
        "BEGIN".to_owned(),
        format!("UPDATE d.t SET v = v - 1 WHERE id = {from}"),
        format!("UPDATE d.t SET v = v + 1 WHERE id = {to}"),
        "COMMIT".to_owned(),
    ];
    for statement in statements {
        if let Err(error) = client.query_drop(statement).await {
            let number = sql::error_number(&error).unwrap_or(0);
            // Where only the statement was undone.
            let _ = client.query_drop("ROLLBACK").await;
            return Some(number);
        }
    }
    None
}

async fn value_of(client: &mut Conn, key: i64) -> Result<i64> {
    Ok(sql::value(client, &format!("SELECT v FROM d.t WHERE id = {key}")).await?.parse()?)
}

async fn total(client: &mut Conn) -> Result<i64> {
    Ok(sql::value(client, "SELECT SUM(v) FROM d.t").await?.parse()?)
}

fn number_of<T>(result: Result<T>) -> Result<Option<u16>> {
    let Err(error) = result else { return Ok(None) };
    let number = error.downcast_ref::<mysql_async::Error>().and_then(sql::error_number);
    Ok(Some(number.with_context(|| format!("not a server's error: {error:#}"))?))
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_set_and_kept_by_transactions() -> Result<()> {
    let bank = Bank::start(&programs()?).await?;
    let mut client = bank.cluster.connect(0).await?;
    let read = "SELECT @@shardline_read_consistency";
    ensure!(sql::value(&mut client, read).await? == "local");
    for level in ["committed", "'atomic'", "strict", "local"] {
        client.query_drop(format!("SET SESSION shardline_read_consistency = {level}")).await?;
        ensure!(sql::value(&mut client, read).await? == level.trim_matches('\''));
    }
    client.query_drop("SET @@session.shardline_read_consistency = committed").await?;
    for (level, expected) in [("serial", 1231), ("3", 1231)] {
        let set = format!("SET shardline_read_consistency = {level}");
        let refused = client.query_drop(set).await.err().context("it was set")?;
        assert_eq!(sql::error_number(&refused), Some(expected), "{refused}");
    }
    ensure!(
        sql::value(&mut client, "SELECT @@session.shardline_read_consistency").await?
            == "committed"
    );
    client.query_drop("BEGIN").await?;
    let refused = client.query_drop("SET shardline_read_consistency = atomic").await;
    assert_eq!(sql::error_number(&refused.err().context("it was set")?), Some(1568));
    ensure!(total(&mut client).await? == TOTAL);
    client.query_drop("COMMIT").await?;

    // A snapshot for each statement cannot be kept.
    for level in ["READ COMMITTED", "SERIALIZABLE"] {
        client.query_drop(format!("SET TRANSACTION ISOLATION LEVEL {level}")).await?;
        let refused = client.query_drop("BEGIN").await.err().context("it began")?;
        assert_eq!(sql::error_number(&refused), Some(1235), "{refused}");
        // Outside a transaction each read has a snapshot anyway.
        ensure!(value_of(&mut client, 3).await? == BEGIN_WITH);
        client.query_drop("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        sql::run(&mut client, &["BEGIN", "SELECT 1", "ROLLBACK"]).await?;
    }
    // Warnings, errors, prepared statements, no rows and several results go as ever.
    let warned = "SELECT v, CAST('x' AS SIGNED) FROM d.t WHERE id = 3";
    ensure!(sql::rows(&mut client, warned).await? == [["100", "0"]]);
    ensure!(sql::rows(&mut client, "SHOW WARNINGS").await?.len() == 1);
    let refused = client.query_drop("SELECT nothing FROM d.t WHERE id = 3").await;
    assert_eq!(sql::error_number(&refused.err().context("it ran")?), Some(1054));
    let value: Option<i64> = client.exec_first("SELECT v FROM d.t WHERE id = ?", (3,)).await?;
    ensure!(value == Some(BEGIN_WITH));
    ensure!(sql::rows(&mut client, "SELECT v FROM d.t WHERE id = -1").await?.is_empty());
    let several = "SELECT v FROM d.t WHERE id = 3; SELECT SUM(v) FROM d.t; SELECT 1";
    let mut results = client.query_iter(several).await?;
    let mut values = Vec::new();
    while !results.is_empty() {
        let rows: Vec<i64> = results.collect().await?;
        values.extend(rows);
    }
    drop(results);
    ensure!(values == [BEGIN_WITH, TOTAL, 1], "{values:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_of_sessions_without_autocommit() -> Result<()> {
    let bank = Bank::start(&programs()?).await?;
    let mut writer = bank.cluster.connect(1).await?;
    for level in ["committed", "atomic", "strict"] {
        let mut client = bank.reader(level).await?;
        client.query_drop("SET autocommit = 0").await?;
        let before = value_of(&mut client, bank.keys[0][0]).await?;
        ensure!(transfer(&mut writer, bank.keys[0][0], bank.keys[1][0]).await.is_none());
        ensure!(value_of(&mut client, bank.keys[0][0]).await? == before, "another snapshot");
        if level != "committed" {
            ensure!(total(&mut client).await? == TOTAL);
        }
        client.query_drop("COMMIT").await?;
        ensure!(value_of(&mut client, bank.keys[0][0]).await? == before - 1);
        sql::run(&mut client, &["ROLLBACK", "SET shardline_read_consistency = local"]).await?;
    }
    Ok(())
}

/// A transfer is held between its branch's commit and its decision.
async fn held_transfer(programs: &Programs) -> Result<()> {
    let mut bank = Bank::start(programs).await?;
    bank.set_faults(1, "commit.before_decide=pause:1000").await?;
    let (from, to) = (bank.keys[0][0], bank.keys[1][0]);
    let mut local = bank.reader("local").await?;
    let mut committed = bank.reader("committed").await?;
    let mut atomic = bank.reader("atomic").await?;

    // One shard's snapshot is as good as its time: the other's comes later.
    committed.query_drop("BEGIN").await?;
    sql::run(&mut atomic, &["START TRANSACTION WITH CONSISTENT SNAPSHOT"]).await?;
    let old = value_of(&mut committed, from).await?;

    let transferring = bank.transfer(from, to).await?;
    bank.is_prepared().await?;
    let held = Instant::now();
    // Left over at `local`: the half that is on its shard already.
    ensure!(total(&mut local).await? == TOTAL + 1);
    ensure!(value_of(&mut local, to).await? == BEGIN_WITH + 1);
    // Snapshots from before do not show it, and do not wait.
    ensure!(total(&mut atomic).await? == TOTAL);
    ensure!(value_of(&mut atomic, to).await? == BEGIN_WITH);
    atomic.query_drop("COMMIT").await?;
    // Other keys do not wait.
    let mut other = bank.reader("committed").await?;
    ensure!(value_of(&mut other, bank.keys[1][1]).await? == BEGIN_WITH);
    ensure!(value_of(&mut other, from).await? == BEGIN_WITH);
    let quick = held.elapsed();
    ensure!(quick < Duration::from_millis(700), "other reads took {quick:?}");

    // These wait for the decision, then have all of it.
    let reads =
        tokio::join!(async { value_of(&mut other, to).await }, async { total(&mut atomic).await });
    let waited = held.elapsed();
    ensure!(waited > Duration::from_millis(700), "they have not waited: {waited:?}");
    ensure!((reads.0?, reads.1?) == (BEGIN_WITH + 1, TOTAL));
    ensure!(transferring.await?.is_none(), "the transfer failed");

    // Left over at `committed`: each shard's own moment.
    let fractured = old + value_of(&mut committed, to).await?;
    ensure!(fractured == 2 * BEGIN_WITH + 1, "{fractured}");
    committed.query_drop("COMMIT").await?;
    ensure!(total(&mut committed).await? == TOTAL);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_transfer_is_waited_for() -> Result<()> {
    held_transfer(&programs()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_transfer_is_waited_for_on_mysql() -> Result<()> {
    match mysql_programs()? {
        Some(programs) => held_transfer(&programs).await,
        None => Ok(()),
    }
}

/// A transfer's branch has committed, and then it is aborted.
async fn aborted_transfer(programs: &Programs) -> Result<()> {
    let mut bank = Bank::start(programs).await?;
    let faults =
        "commit.after_prepare=pause:500,commit.before_decide=error,commit.settle=pause:300";
    bank.set_faults(1, faults).await?;
    let (from, to) = (bank.keys[0][0], bank.keys[1][0]);
    let stop = Shutdown::new();
    let mut readers = Vec::new();
    for level in ["local", "committed", "atomic"] {
        let (mut client, stop) = (bank.reader(level).await?, stop.clone());
        readers.push(tokio::spawn(async move {
            let (mut values, mut totals) = (Vec::new(), Vec::new());
            while !stop.is_triggered() {
                values.push(value_of(&mut client, to).await?);
                totals.push(total(&mut client).await?);
            }
            values.dedup();
            totals.dedup();
            anyhow::Ok((values, totals))
        }));
    }
    let mut committed = bank.reader("committed").await?;
    let transferring = bank.transfer(from, to).await?;
    bank.is_prepared().await?;
    // A transaction whose snapshot shows it cannot leave it.
    committed.query_drop("BEGIN").await?;
    ensure!(value_of(&mut committed, bank.keys[1][1]).await? == BEGIN_WITH);
    let met = value_of(&mut committed, to).await;
    ensure!(number_of(met)? == Some(1213));
    ensure!(value_of(&mut committed, to).await? == BEGIN_WITH);
    ensure!(transferring.await? == Some(1213), "the transfer did not abort");
    bank.is_quiet().await?;
    stop.trigger();
    let mut seen = Vec::new();
    for reader in readers {
        seen.push(reader.await??);
    }
    // Left over at `local`: what never was.
    ensure!(seen[0].0 == [BEGIN_WITH, BEGIN_WITH + 1, BEGIN_WITH], "{seen:?}");
    for (values, totals) in &seen[1..] {
        ensure!(values == &[BEGIN_WITH] && totals == &[TOTAL], "{seen:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_aborted_is_never_read() -> Result<()> {
    aborted_transfer(&programs()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_aborted_is_never_read_on_mysql() -> Result<()> {
    match mysql_programs()? {
        Some(programs) => aborted_transfer(&programs).await,
        None => Ok(()),
    }
}

/// Transfers between the shards, both ways and over both proxies, until it is stopped.
async fn load(bank: &Bank, stop: &Shutdown) -> Result<Vec<JoinHandle<u64>>> {
    let mut clients = Vec::new();
    for number in 0..4 {
        let mut client = bank.cluster.connect(number % 2).await?;
        let (keys, stop) = (bank.keys.clone(), stop.clone());
        clients.push(tokio::spawn(async move {
            let mut done = 0;
            for step in number.. {
                if stop.is_triggered() {
                    break;
                }
                let (one, other) = (&keys[step % 2], &keys[(step + 1) % 2]);
                // Keys of its own, so that no deadlock hinders it.
                let of = |keys: &[i64]| keys[(number + 4 * (step % 3)) % keys.len()];
                done += u64::from(transfer(&mut client, of(one), of(other)).await.is_none());
            }
            done
        }));
    }
    Ok(clients)
}

async fn totals_under_load(programs: &Programs) -> Result<()> {
    let bank = Bank::start(programs).await?;
    let stop = Shutdown::new();
    let clients = load(&bank, &stop).await?;
    let until = Instant::now() + LOAD;
    let mut readers = Vec::new();
    for (proxy, by_keys) in [(0, false), (1, true), (1, false)] {
        let mut client = bank.cluster.connect(proxy).await?;
        client.query_drop("SET shardline_read_consistency = atomic").await?;
        readers.push(tokio::spawn(async move {
            let (mut reads, mut given_up) = (0, 0);
            while Instant::now() < until {
                let sum =
                    if by_keys { by_key(&mut client).await } else { total(&mut client).await };
                match sum {
                    Ok(sum) => ensure!(sum == TOTAL, "{sum} after {reads} reads"),
                    Err(error) => {
                        ensure!(number_of::<()>(Err(error))? == Some(1205));
                        given_up += 1;
                    }
                }
                reads += 1;
            }
            Ok((reads, given_up))
        }));
    }
    let mut fractured = 0;
    let mut local = bank.reader("local").await?;
    while Instant::now() < until {
        fractured += u64::from(total(&mut local).await? != TOTAL);
    }
    for reader in readers {
        let (reads, given_up): (u64, u64) = reader.await??;
        println!("{reads} atomic reads, {given_up} given up");
        ensure!(reads - given_up > 5, "{given_up} of {reads} reads were given up");
    }
    stop.trigger();
    let mut done = 0;
    for client in clients {
        done += client.await?;
    }
    println!("{done} transfers; {fractured} local reads saw one in part");
    ensure!(done > 20, "only {done} transfers");
    let mut atomic = bank.reader("atomic").await?;
    ensure!(total(&mut atomic).await? == TOTAL);
    Ok(())
}

/// The total by keyed reads in one transaction.
async fn by_key(client: &mut Conn) -> Result<i64> {
    client.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
    let mut sum = 0;
    for key in 0..KEYS {
        sum += value_of(client, key).await?;
    }
    client.query_drop("COMMIT").await?;
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn atomic_totals_are_constant_under_load() -> Result<()> {
    totals_under_load(&programs()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn atomic_totals_are_constant_under_load_on_mysql() -> Result<()> {
    match mysql_programs()? {
        Some(programs) => totals_under_load(&programs).await,
        None => Ok(()),
    }
}

/// Left over at `atomic`: of two transactions on one shard each, the later one without the
/// earlier, when it commits between two snapshots.
#[tokio::test(flavor = "multi_thread")]
async fn atomic_reads_may_see_single_shard_writes_out_of_order() -> Result<()> {
    let mut bank = Bank::start(&programs()?).await?;
    bank.set_faults(0, "read.before_snapshot/2=pause:3000").await?;
    let mut atomic = bank.reader("atomic").await?;
    let mut writer = bank.cluster.connect(1).await?;
    let mut direct = bank.cluster.shards[0].connect().await?;
    let reading = tokio::spawn(async move {
        let rows = sql::rows(&mut atomic, "SELECT id, v FROM d.t ORDER BY id").await;
        rows.map(|rows| rows.into_iter().map(|row| row[1].clone()).collect::<Vec<_>>())
    });
    // The first shard's snapshot is open, and the second's is held up.
    let opened = "SELECT COUNT(*) FROM information_schema.innodb_trx";
    let limit = Instant::now() + SOON;
    while sql::value(&mut direct, opened).await? == "0" {
        ensure!(Instant::now() < limit, "no snapshot is opened");
        // The server shows the same picture to those who look again too soon.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for keys in &bank.keys {
        writer.query_drop(format!("UPDATE d.t SET v = 7 WHERE id = {}", keys[0])).await?;
    }
    let seen = reading.await??;
    let of = |key: i64| seen[key as usize].clone();
    ensure!((of(bank.keys[0][0]), of(bank.keys[1][0])) == ("100".into(), "7".into()), "{seen:?}");
    Ok(())
}
