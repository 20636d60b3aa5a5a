//! The level `strict`: what its reads show, and for how long writers are held up, also when proxies are
//! stopped or die while a barrier stands.

use super::{BEGIN_WITH, Bank, SOON, TOTAL, load, number_of, total, value_of};
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_base::Shutdown;
use shardline_console::local::Programs;
use shardline_tests::{
    server::{mysql_programs, programs},
    sql, wait,
};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long writers may be held up by one barrier, with room for a busy machine: it is taken away
/// after half a second.
const HELD_MAX: Duration = Duration::from_millis(1_500);
const LOAD: Duration = Duration::from_secs(5);
const STRICT: &str = "SET shardline_read_consistency = strict";

/// How long statements took.
#[derive(Debug, Default)]
struct Times(Vec<Duration>);

impl Times {
    async fn of<T>(&mut self, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = work.await;
        self.0.push(begun.elapsed());
        done
    }

    fn at(&mut self, hundredth: usize) -> Duration {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * hundredth / 100).copied().unwrap_or_default()
    }

    fn print(&mut self, what: &str) {
        let (p50, p99, most) = (self.at(50), self.at(99), self.at(100));
        println!(
            "{what}: {} times, p50 {p50:.1?}, p99 {p99:.1?}, at most {most:.1?}",
            self.0.len()
        );
    }
}

/// Counts up: first on a key of the one shard by the first proxy, then on a key of the other by the
/// second, each by a statement of its own.
async fn count_up(bank: &Bank, stop: &Shutdown) -> Result<JoinHandle<Result<Times>>> {
    let mut clients = [bank.cluster.connect(0).await?, bank.cluster.connect(1).await?];
    let (keys, stop) = (counters(bank), stop.clone());
    Ok(tokio::spawn(async move {
        let mut times = Times::default();
        for number in BEGIN_WITH + 1.. {
            if stop.is_triggered() {
                break;
            }
            for (client, key) in clients.iter_mut().zip(keys) {
                let update = format!("UPDATE d.t SET v = {number} WHERE id = {key}");
                times.of(client.query_drop(update)).await?;
            }
        }
        Ok(times)
    }))
}

/// Keys that the load does not touch: the last of each shard.
fn counters(bank: &Bank) -> [i64; 2] {
    [0, 1].map(|shard| *bank.keys[shard].last().unwrap_or(&0))
}

/// Two clients that want the same row, one in transactions and one without: whoever waits for the
/// row waits for a COMMIT.
async fn contend(bank: &Bank, stop: &Shutdown) -> Result<Vec<JoinHandle<Result<Times>>>> {
    let key = bank.keys[0][bank.keys[0].len() - 2];
    let update = format!("UPDATE d.t SET v = v WHERE id = {key}");
    let mut clients = Vec::new();
    for proxy in [0, 1] {
        let mut client = bank.cluster.connect(proxy).await?;
        let (update, stop) = (update.clone(), stop.clone());
        clients.push(tokio::spawn(async move {
            let mut times = Times::default();
            while !stop.is_triggered() {
                if proxy == 0 {
                    times.of(client.query_drop(&update)).await?;
                    continue;
                }
                sql::run(&mut client, &["BEGIN", &update]).await?;
                tokio::time::sleep(Duration::from_millis(3)).await;
                times.of(client.query_drop("COMMIT")).await?;
            }
            Ok(times)
        }));
    }
    Ok(clients)
}

/// Both counters, and the sum of all other keys, by one statement.
async fn look(client: &mut Conn, [first, second]: [i64; 2]) -> Result<(i64, i64, i64)> {
    let read = format!(
        "SELECT SUM(IF(id = {first}, v, 0)), SUM(IF(id = {second}, v, 0)), \
         SUM(IF(id IN ({first}, {second}), {BEGIN_WITH}, v)) FROM d.t"
    );
    let row: (i64, i64, i64) = client.exec_first(read, ()).await?.context("no row")?;
    Ok(row)
}

/// The same by one key after the other, in one transaction.
async fn look_by_key(client: &mut Conn, [first, second]: [i64; 2]) -> Result<(i64, i64, i64)> {
    client.query_drop("BEGIN").await?;
    // The second counter first: without a snapshot of one moment the first would be ahead.
    let second = value_of(client, second).await;
    let values = async {
        let second = second?;
        Ok((value_of(client, first).await?, second, TOTAL))
    };
    let values = values.await;
    client.query_drop("COMMIT").await?;
    values
}

async fn order_and_totals(programs: &Programs) -> Result<()> {
    let bank = Bank::start(programs).await?;
    let stop = Shutdown::new();
    let tellers = load(&bank, &stop).await?;
    let counting = count_up(&bank, &stop).await?;
    let contending = contend(&bank, &stop).await?;
    let keys = counters(&bank);
    let until = Instant::now() + LOAD;
    let mut readers = Vec::new();
    for (proxy, by_key) in [(0, false), (1, false), (1, true)] {
        let mut client = bank.cluster.connect(proxy).await?;
        client.query_drop(STRICT).await?;
        readers.push(tokio::spawn(async move {
            let (mut times, mut given_up, mut newest) = (Times::default(), 0, 0);
            while Instant::now() < until {
                let seen = match by_key {
                    true => times.of(look_by_key(&mut client, keys)).await,
                    false => times.of(look(&mut client, keys)).await,
                };
                let (first, second, total) = match seen {
                    Ok(seen) => seen,
                    Err(error) => {
                        println!("{error:#}");
                        ensure!(number_of::<()>(Err(error))? == Some(1205));
                        given_up += 1;
                        continue;
                    }
                };
                ensure!(total == TOTAL, "{total}");
                ensure!(first == second || first == second + 1, "{first} before {second}");
                ensure!(newest <= second, "{second} after {newest}");
                newest = second;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok((times, given_up))
        }));
    }
    for reader in readers {
        let (mut times, given_up) = reader.await??;
        times.print("strict reads");
        ensure!(given_up * 10 < times.0.len() && times.0.len() > 10, "{given_up} were given up");
    }
    stop.trigger();
    let mut writers = counting.await??;
    writers.print("writes on one shard");
    ensure!(writers.0.len() > 100 && writers.at(100) < HELD_MAX);
    for contender in contending {
        let mut times = contender.await??;
        times.print("writes on a row that others want");
        ensure!(times.0.len() > 20 && times.at(100) < HELD_MAX);
    }
    let mut done = 0;
    for teller in tellers {
        done += teller.await?;
    }
    println!("{done} transfers");
    ensure!(done > 20, "only {done} transfers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_reads_are_of_one_moment_under_load() -> Result<()> {
    order_and_totals(&programs()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_reads_are_of_one_moment_under_load_on_mysql() -> Result<()> {
    match mysql_programs()? {
        Some(programs) => order_and_totals(&programs).await,
        None => Ok(()),
    }
}

/// A moment passes between the two snapshots. What is left over at `atomic` then is not at `strict`.
#[tokio::test(flavor = "multi_thread")]
async fn strict_reads_see_single_shard_writes_in_order() -> Result<()> {
    let mut bank = Bank::start(&programs()?).await?;
    bank.set_faults(0, "read.before_snapshot/2=pause:100").await?;
    let stop = Shutdown::new();
    let counting = count_up(&bank, &stop).await?;
    let keys = counters(&bank);
    let mut client = bank.reader("atomic").await?;
    let mut disordered = 0;
    for _ in 0..10 {
        let (first, second, total) = look(&mut client, keys).await?;
        ensure!(total == TOTAL, "{total}");
        disordered += u64::from(second > first);
    }
    ensure!(disordered > 0, "the test cannot fail");
    client.query_drop(STRICT).await?;
    for _ in 0..10 {
        let (first, second, total) = look(&mut client, keys).await?;
        ensure!(total == TOTAL, "{total}");
        ensure!(first == second || first == second + 1, "{first} before {second}");
    }
    stop.trigger();
    let mut times = counting.await??;
    times.print("writes while snapshots take long");
    ensure!(times.at(100) < HELD_MAX);
    Ok(())
}

/// Snapshots that take longer than commits may be held up do not count.
#[tokio::test(flavor = "multi_thread")]
async fn a_strict_read_that_takes_too_long_gives_up() -> Result<()> {
    let mut bank = Bank::start(&programs()?).await?;
    bank.set_faults(0, "read.before_snapshot/2=pause:1600").await?;
    let stop = Shutdown::new();
    let counting = count_up(&bank, &stop).await?;
    let mut client = bank.reader("strict").await?;
    let seen = look(&mut client, counters(&bank)).await;
    ensure!(number_of(seen)? == Some(1205));
    // One shard alone needs no moment.
    ensure!(value_of(&mut client, bank.keys[0][0]).await? == BEGIN_WITH);
    stop.trigger();
    let mut times = counting.await??;
    times.print("writes");
    ensure!(times.at(100) < HELD_MAX);
    Ok(())
}

/// The proxy that asked for a barrier dies while it stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_barrier_whose_asker_dies_is_taken_away() -> Result<()> {
    for fault in ["barrier.after_raise=crash", "barrier.before_end=crash"] {
        let mut bank = Bank::start(&programs()?).await?;
        bank.set_faults(0, fault).await?;
        let mut writer = bank.cluster.connect(1).await?;
        let mut client = bank.reader("strict").await?;
        let lost = total(&mut client).await;
        ensure!(lost.is_err(), "{fault}: it did not die");
        let catalog = bank.cluster.catalog().await?;
        ensure!(catalog.barrier.is_some(), "{fault}: no barrier stands");
        let begun = Instant::now();
        let (from, to) = (bank.keys[0][0], bank.keys[1][0]);
        sql::run(&mut writer, &[&format!("UPDATE d.t SET v = v + 1 WHERE id = {from}")]).await?;
        let held = begun.elapsed();
        println!("{fault}: held up for {held:?}");
        ensure!(Duration::from_millis(300) < held && held < HELD_MAX, "{held:?}");
        ensure!(super::transfer(&mut writer, from, to).await.is_none());
        ensure!(bank.cluster.catalog().await?.barrier.is_none());
        // Until the dead one is cut off nobody can say that it commits nothing.
        writer.query_drop(STRICT).await?;
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            match total(&mut writer).await {
                Ok(seen) => {
                    ensure!(seen == TOTAL + 1, "{seen}");
                    break;
                }
                Err(error) => ensure!(number_of::<()>(Err(error))? == Some(1205)),
            }
            ensure!(Instant::now() < until, "the dead proxy is never cut off");
        }
    }
    Ok(())
}

/// A proxy that is stopped follows no barrier: there is none until it goes on or is cut off.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_proxy_holds_nobody_up_for_long() -> Result<()> {
    let bank = Bank::start(&programs()?).await?;
    let mut client = bank.reader("strict").await?;
    ensure!(total(&mut client).await? == TOTAL);
    let mut writer = bank.cluster.connect(0).await?;
    let mut waiting = bank.reader("strict").await?;
    let id = sql::value(&mut waiting, "SELECT CONNECTION_ID()").await?;
    bank.cluster.proxies[1].process.freeze()?;
    let stop = Shutdown::new();
    let writing = tokio::spawn({
        let (key, stop) = (bank.keys[0][1], stop.clone());
        async move {
            let mut times = Times::default();
            while !stop.is_triggered() {
                let update = format!("UPDATE d.t SET v = v WHERE id = {key}");
                times.of(writer.query_drop(update)).await?;
            }
            anyhow::Ok(times)
        }
    });
    let error = total(&mut client).await.err().context("there was a moment")?;
    let text = format!("{error:#}");
    ensure!(number_of::<()>(Err(error))? == Some(1205), "{text}");
    let stopped = format!("at {} has not", bank.cluster.proxies[1].address());
    ensure!(text.contains(&stopped), "{text}");
    // KILL ends the wait.
    let killed = tokio::spawn(async move {
        let begun = Instant::now();
        (number_of(total(&mut waiting).await), begun.elapsed())
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut other = bank.cluster.connect(0).await?;
    other.query_drop(format!("KILL QUERY {id}")).await?;
    let (number, waited) = killed.await?;
    ensure!(number? == Some(1317) && waited < Duration::from_secs(2), "{waited:?}");
    bank.cluster.proxies[1].process.thaw()?;
    let until = Instant::now() + SOON;
    while total(&mut client).await.is_err() {
        ensure!(Instant::now() < until, "the proxy goes on, and there is no moment");
    }
    stop.trigger();
    let mut times = writing.await??;
    times.print("writes beside a stopped proxy");
    ensure!(times.at(100) < HELD_MAX);
    Ok(())
}

/// A branch of an aborted transaction that cannot be undone hinders those alone who read its keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_branch_hinders_reads_of_its_keys_alone() -> Result<()> {
    let mut bank = Bank::start(&programs()?).await?;
    bank.set_faults(1, "commit.after_prepare=pause:500,commit.before_decide=error").await?;
    let (from, to) = (bank.keys[0][0], bank.keys[1][0]);
    let transferring = bank.transfer(from, to).await?;
    bank.is_prepared().await?;
    let mut direct = bank.cluster.shards[1].connect().await?;
    direct.query_drop(format!("UPDATE d.t SET v = 500 WHERE id = {to}")).await?;
    ensure!(transferring.await? == Some(1213), "the transfer did not abort");
    let bank = &bank;
    wait::until("the reading proxy knows of the stuck branch", SOON, || async {
        let mut client = bank.cluster.connect(0).await?;
        let shown = sql::rows(&mut client, "SHOW TRANSACTIONS").await?;
        ensure!(format!("{shown:?}").contains("stuck"), "{shown:?}");
        Ok(())
    })
    .await?;
    for level in ["committed", "atomic", "strict"] {
        let mut client = bank.reader(level).await?;
        for begin in [None, Some("BEGIN"), Some("START TRANSACTION WITH CONSISTENT SNAPSHOT")] {
            if let Some(begin) = begin {
                client.query_drop(begin).await?;
            }
            let begun = Instant::now();
            let others = [from, bank.keys[0][1], bank.keys[1][1]];
            for key in others {
                ensure!(value_of(&mut client, key).await? == BEGIN_WITH, "{level}");
            }
            let pair = format!("SELECT SUM(v) FROM d.t WHERE id IN ({from}, {})", bank.keys[1][1]);
            ensure!(sql::value(&mut client, &pair).await? == "200", "{level}");
            ensure!(begun.elapsed() < Duration::from_secs(2), "{level}: {:?}", begun.elapsed());
            // Those who meet it are told so.
            if level != "committed" || begin.is_none() {
                ensure!(number_of(value_of(&mut client, to).await)? == Some(1205), "{level}");
                ensure!(number_of(total(&mut client).await)? == Some(1205), "{level}");
                ensure!(value_of(&mut client, from).await? == BEGIN_WITH, "{level}");
            }
            client.query_drop("COMMIT").await?;
        }
    }
    Ok(())
}
