//! Deadlocks over several shards are found within a second and end the youngest transaction; waits that
//! are none are left alone, and end after the short time that transactions over shards have.

use crate::accounts;
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_console::local::settings::ServerTuning;
use shardline_tests::{Cluster, ClusterConfig, Server, server::mysql_programs, sql as run, wait};
use std::time::{Duration, Instant};

/// What crossing transfers may take to their end.
const LIMIT: Duration = Duration::from_secs(2);
const ACCOUNTS: u64 = 60;
const DEADLOCK: Option<u16> = Some(1213);
const TIMEOUT: Option<u16> = Some(1205);

/// A cluster with accounts of 100 each, and one account of each shard.
struct Bank {
    cluster: Cluster,
    of_shard: Vec<u32>,
}

impl Bank {
    async fn start(shards: usize) -> Result<Self> {
        let config = ClusterConfig { shards, meta: 1, ..ClusterConfig::default() };
        Self::over(Cluster::start(config).await?).await
    }

    async fn over(cluster: Cluster) -> Result<Self> {
        let mut client = cluster.connect(0).await?;
        accounts::make(&mut client, ACCOUNTS).await?;
        let mut of_shard = Vec::new();
        for shard in &cluster.shards {
            let mut direct = shard.connect().await?;
            of_shard
                .push(run::value(&mut direct, "SELECT MIN(id) FROM bank.account").await?.parse()?);
        }
        Ok(Bank { cluster, of_shard })
    }

    /// Adds to the account on a shard, counted from 0.
    fn add(&self, shard: usize, amount: i32) -> String {
        format!("UPDATE bank.account SET v = v + {amount} WHERE id = {}", self.of_shard[shard])
    }

    async fn total(&self) -> Result<String> {
        let mut client = self.cluster.connect(0).await?;
        run::value(&mut client, "SELECT SUM(v) FROM bank.account").await
    }

    async fn value(&self, shard: usize) -> Result<i32> {
        let mut client = self.cluster.connect(1).await?;
        let sql = format!("SELECT v FROM bank.account WHERE id = {}", self.of_shard[shard]);
        Ok(run::value(&mut client, &sql).await?.parse()?)
    }

    /// Transfers, each from its first to its second shard, that wait for each other in a ring. Which of
    /// them ended with 1213, and how long it took all to end.
    async fn ring(&self, clients: Vec<(Conn, usize, usize)>) -> Result<(Vec<usize>, Duration)> {
        let mut ready = Vec::new();
        for (mut client, from, to) in clients {
            run::run(&mut client, &["BEGIN", &self.add(from, -1)]).await?;
            ready.push((client, self.add(to, 1)));
        }
        let begun = Instant::now();
        let tasks: Vec<_> = ready
            .into_iter()
            .map(|(mut client, sql)| {
                tokio::spawn(async move {
                    let added = client.query_drop(sql).await;
                    let answered = begun.elapsed();
                    if added.is_ok() {
                        client.query_drop("COMMIT").await?;
                    }
                    anyhow::Ok((client, added, answered))
                })
            })
            .collect();
        let mut victims = Vec::new();
        for (at, task) in tasks.into_iter().enumerate() {
            let (mut client, added, answered) = task.await??;
            println!("{at}: {answered:?} {added:?}");
            ensure!(answered < LIMIT, "transfer {at} waited {answered:?}");
            if let Err(error) = added {
                ensure!(run::error_number(&error) == DEADLOCK, "{error}");
                let text = error.to_string();
                ensure!(text.contains("40001") && text.contains("Deadlock found"), "{text}");
                victims.push(at);
                // Nothing of it is left, and the session goes on.
                run::run(&mut client, &[&self.add(0, 0), "COMMIT"]).await?;
            }
        }
        Ok((victims, begun.elapsed()))
    }
}

/// Two transfers cross each other, so many times.
async fn crossing(bank: &Bank, proxies: [usize; 2], rounds: usize) -> Result<()> {
    let total = bank.total().await?;
    for _ in 0..rounds {
        let first = bank.cluster.connect(proxies[0]).await?;
        let second = bank.cluster.connect(proxies[1]).await?;
        let before = (bank.value(0).await?, bank.value(1).await?);
        let (victims, took) = bank.ring(vec![(first, 0, 1), (second, 1, 0)]).await?;
        println!("{victims:?} after {took:?}");
        let after = (bank.value(0).await?, bank.value(1).await?);
        match victims.as_slice() {
            [1] => ensure!(after == (before.0 - 1, before.1 + 1), "{before:?} {after:?}"),
            [0] if proxies[0] != proxies[1] => {
                ensure!(after == (before.0 + 1, before.1 - 1), "{before:?} {after:?}");
            }
            other => anyhow::bail!("{other:?} ended instead of the youngest"),
        }
    }
    ensure!(bank.total().await? == total, "money is gone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn crossing_transfers_end_with_one_deadlock() -> Result<()> {
    let bank = Bank::start(3).await?;
    crossing(&bank, [0, 0], 3).await?;
    crossing(&bank, [0, 1], 3).await?;
    // Three in a ring, on both proxies.
    let total = bank.total().await?;
    let clients = [0, 1, 0].map(|proxy| bank.cluster.connect(proxy));
    let [one, two, three] = clients;
    let clients = vec![(one.await?, 0, 1), (two.await?, 1, 2), (three.await?, 2, 0)];
    let (victims, took) = bank.ring(clients).await?;
    println!("a ring of three: {victims:?} after {took:?}");
    ensure!(victims.len() == 1, "{victims:?}");
    ensure!(bank.total().await? == total, "money is gone");
    // Nothing stays on the board.
    wait::until("the board is empty", Duration::from_secs(5), || async {
        let mut direct = bank.cluster.shards[0].connect().await?;
        let count = run::value(&mut direct, "SELECT COUNT(*) FROM _shardline.lock_wait").await?;
        ensure!(count == "0", "{count} entries");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn crossing_transfers_end_on_mysql_too() -> Result<()> {
    let Some(programs) = mysql_programs()? else { return Ok(()) };
    let options = vec!["--performance-schema=ON".to_owned()];
    let mut servers = Vec::new();
    for number in 1..=2 {
        let tuning = ServerTuning {
            buffer_pool_mib: 32,
            options: options.clone(),
            ..ServerTuning::default()
        };
        servers.push(Server::start_of(programs.clone(), tuning, number, Vec::new()).await?);
    }
    let config = ClusterConfig { shards: 2, meta: 1, ..ClusterConfig::default() };
    let bank = Bank::over(Cluster::start_over(servers, config).await?).await?;
    crossing(&bank, [0, 0], 2).await?;
    crossing(&bank, [0, 1], 2).await
}

/// Statements of sessions with several shards, and what reads with locks do.
#[tokio::test(flavor = "multi_thread")]
async fn reads_for_update_and_whole_statements_are_seen_too() -> Result<()> {
    let bank = Bank::start(2).await?;
    let (x, y) = (bank.of_shard[0], bank.of_shard[1]);
    let mut first = bank.cluster.connect(0).await?;
    let mut second = bank.cluster.connect(1).await?;
    let read = |id: u32| format!("SELECT v FROM bank.account WHERE id = {id} FOR UPDATE");
    // One answer has begun when its wait does: it reads several rows of which the last is locked.
    let several = format!("SELECT v FROM bank.account WHERE id IN ({x}, {y}) FOR UPDATE");
    for (one, other) in [(read(y), read(x)), (several.clone(), bank.add(0, 0)), (read(y), several)]
    {
        run::run(&mut first, &["BEGIN", &read(x)]).await?;
        run::run(&mut second, &["BEGIN", &read(y)]).await?;
        let begun = Instant::now();
        let waiting = async {
            let done = first.query_drop(&one).await;
            let end = if done.is_ok() { "COMMIT" } else { "SELECT 1" };
            first.query_drop(end).await?;
            anyhow::Ok(done)
        };
        let crossing = async {
            let done = second.query_drop(&other).await;
            let end = if done.is_ok() { "COMMIT" } else { "SELECT 1" };
            second.query_drop(end).await?;
            anyhow::Ok(done)
        };
        let (one, other) = tokio::try_join!(waiting, crossing)?;
        println!("{one:?} {other:?} after {:?}", begun.elapsed());
        ensure!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
        let error = one.err().into_iter().chain(other.err()).collect::<Vec<_>>();
        let [error] = error.as_slice() else { anyhow::bail!("{error:?}") };
        ensure!(run::error_number(error) == DEADLOCK, "{error}");
    }
    Ok(())
}

/// What the connection of a session says on a shard.
async fn lock_wait(bank: &Bank, client: &mut Conn, shard: usize) -> Result<String> {
    let sql = format!(
        "SELECT @@innodb_lock_wait_timeout FROM bank.account WHERE id = {}",
        bank.of_shard[shard]
    );
    run::value(client, &sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_no_deadlock_lasts_as_long_as_it_may() -> Result<()> {
    let bank = Bank::start(3).await?;
    let total = bank.total().await?;
    let mut holder = bank.cluster.connect(0).await?;
    run::run(&mut holder, &["BEGIN", &bank.add(0, -5), &bank.add(1, 5)]).await?;
    // A transaction on its first shard waits as long as servers let it.
    let mut patient = bank.cluster.connect(1).await?;
    let (on_first, update) = (bank.add(0, 0), bank.add(0, 1));
    let patient = tokio::spawn(async move {
        let begun = Instant::now();
        run::run(&mut patient, &["BEGIN", &update, "COMMIT"]).await?;
        anyhow::Ok(begun.elapsed())
    });
    // From the second shard on it is three seconds, and only the statement is undone.
    let mut client = bank.cluster.connect(1).await?;
    run::run(&mut client, &["BEGIN", &bank.add(2, -1)]).await?;
    let begun = Instant::now();
    let refused = client.query_drop(&on_first).await.err().context("it does not wait")?;
    let waited = begun.elapsed();
    println!("{refused} after {waited:?}");
    ensure!(run::error_number(&refused) == TIMEOUT, "{refused}");
    ensure!((Duration::from_secs(2)..Duration::from_secs(5)).contains(&waited), "{waited:?}");
    run::run(&mut client, &[&bank.add(2, 1), "COMMIT"]).await?;
    run::run(&mut holder, &["COMMIT"]).await?;
    let waited = patient.await??;
    println!("the patient one waited {waited:?}");
    ensure!(waited > Duration::from_secs(3), "{waited:?}");
    ensure!(bank.total().await? == (total.parse::<i64>()? + 1).to_string(), "money is gone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_short_wait_leaves_no_trace() -> Result<()> {
    let bank = Bank::start(2).await?;
    let mut client = bank.cluster.connect(0).await?;
    for round in 0..2 {
        run::run(&mut client, &["BEGIN", &bank.add(0, -1)]).await?;
        ensure!(lock_wait(&bank, &mut client, 0).await? == "50", "one shard is no reason");
        client.query_drop(bank.add(1, 1)).await?;
        ensure!(lock_wait(&bank, &mut client, 1).await? == "3", "on the second shard");
        ensure!(lock_wait(&bank, &mut client, 0).await? == "3", "on the first one from then on");
        client.query_drop(if round == 0 { "COMMIT" } else { "ROLLBACK" }).await?;
        let mut other = bank.cluster.connect(0).await?;
        for shard in [0, 1] {
            for client in [&mut client, &mut other] {
                ensure!(lock_wait(&bank, client, shard).await? == "50", "it leaks");
            }
        }
    }
    // What a client has set counts when it is less, and comes back when it is more.
    for (set, short) in [("1", "1"), ("20", "3")] {
        client.query_drop(format!("SET innodb_lock_wait_timeout = {set}")).await?;
        run::run(&mut client, &["BEGIN", &bank.add(0, -1), &bank.add(1, 1)]).await?;
        ensure!(lock_wait(&bank, &mut client, 1).await? == short, "{set} became something else");
        client.query_drop("COMMIT").await?;
        ensure!(lock_wait(&bank, &mut client, 1).await? == set, "{set} is lost");
    }
    // Set inside such a transaction.
    run::run(&mut client, &["BEGIN", &bank.add(0, -1), &bank.add(1, 1)]).await?;
    client.query_drop("SET innodb_lock_wait_timeout = 30").await?;
    for shard in [0, 1] {
        ensure!(lock_wait(&bank, &mut client, shard).await? == "3", "set inside");
    }
    client.query_drop("COMMIT").await?;
    ensure!(lock_wait(&bank, &mut client, 0).await? == "30", "set inside is lost");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn open_transactions_over_shards_are_shown() -> Result<()> {
    let bank = Bank::start(2).await?;
    let mut client = bank.cluster.connect(0).await?;
    let mut other = bank.cluster.connect(0).await?;
    run::run(&mut client, &["BEGIN", &bank.add(0, -1)]).await?;
    ensure!(run::rows(&mut other, "SHOW TRANSACTIONS").await?.is_empty(), "it is on one shard");
    client.query_drop(bank.add(1, 1)).await?;
    client.query_drop(bank.add(1, 0)).await?;
    let session = run::value(&mut client, "SELECT CONNECTION_ID()").await?;
    let shown = run::rows(&mut other, "SHOW TRANSACTIONS").await?;
    let [row] = shown.as_slice() else { anyhow::bail!("{shown:?}") };
    let expected = ["NULL", "open", "NULL", "s1,s2", "0", "its client", session.as_str()];
    ensure!(row[..7] == expected, "{row:?}");
    ensure!(row[7].parse::<u32>()? >= 3, "{row:?}");
    client.query_drop("COMMIT").await?;
    ensure!(run::rows(&mut other, "SHOW TRANSACTIONS").await?.is_empty(), "it is over");
    // A client that is gone has no transaction.
    run::run(&mut client, &["BEGIN", &bank.add(0, -1), &bank.add(1, 1)]).await?;
    ensure!(run::rows(&mut other, "SHOW TRANSACTIONS").await?.len() == 1, "it is open");
    drop(client);
    let other = std::sync::Arc::new(tokio::sync::Mutex::new(other));
    wait::until("it is gone", Duration::from_secs(5), || async {
        let shown = run::rows(&mut *other.lock().await, "SHOW TRANSACTIONS").await?;
        ensure!(shown.is_empty(), "{shown:?}");
        Ok(())
    })
    .await?;
    Ok(())
}
