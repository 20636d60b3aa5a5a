//! Holds made by hand while clients write: nothing fails, nothing on the units reaches the owner
//! once all have acknowledged, statements go on to the new owner after the switch, and a hold
//! that nobody ends is taken back.

use super::Bench;
use anyhow::{Context, Result, bail, ensure};
use mysql_async::{Conn, Opts, prelude::Queryable};
use shardline_base::Shutdown;
use shardline_model::{
    hash,
    id::{MoveId, ShardId},
    key::{Key, KeyPart},
    moves::MoveState,
    placement::Units,
};
use shardline_tests::{sql, wait};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

const ROWS: u64 = 600;
const SOURCE: ShardId = ShardId(1);
const TARGET: ShardId = ShardId(3);
/// A hold may stand so long; see the proxy's `HOLD_MAX`, and time for a machine under load.
const TAKEN_BACK: Duration = Duration::from_millis(2_500);

fn slots() -> Units {
    Units::Slots(std::iter::once(0..3_000).collect())
}

fn in_units(id: u64) -> bool {
    let key = Key::from_iter([KeyPart::Integer(i128::from(id))]);
    let types = [shardline_model::key::KeyType::Integer { min: 0, max: 1_000_000 }];
    slots().contains(&key, &types)
}

/// Ids that move.
fn moving() -> Vec<u64> {
    (0..ROWS).filter(|id| in_units(*id)).collect()
}

async fn start() -> Result<Bench> {
    let bench = Bench::start(2).await?;
    let mut client = bench.cluster.connect(0).await?;
    sql::run(
        &mut client,
        &[
            "CREATE DATABASE d",
            "USE d",
            "CREATE TABLE h (id INT NOT NULL PRIMARY KEY, v BIGINT NOT NULL) SHARD BY HASH (id)",
        ],
    )
    .await?;
    let rows: Vec<String> = (0..ROWS).map(|id| format!("({id}, 0)")).collect();
    client.query_drop(format!("INSERT INTO h VALUES {}", rows.join(", "))).await?;
    Ok(bench)
}

/// Clients that check every answer.
struct Clients {
    stop: Shutdown,
    increments: Arc<AtomicU64>,
    statements: Arc<AtomicU64>,
    longest_us: Arc<AtomicU64>,
    running: Vec<JoinHandle<Result<()>>>,
}

impl Clients {
    /// Six of them over both proxies; each changes rows of its own.
    fn start(bench: &Bench) -> Self {
        let mut clients = Self {
            stop: Shutdown::new(),
            increments: Arc::default(),
            statements: Arc::default(),
            longest_us: Arc::default(),
            running: Vec::new(),
        };
        for number in 0..6 {
            let options: Opts = bench.cluster.options(number as usize % 2).into();
            let client = Client {
                number,
                stop: clients.stop.clone(),
                increments: clients.increments.clone(),
                statements: clients.statements.clone(),
                longest_us: clients.longest_us.clone(),
            };
            clients.running.push(tokio::spawn(client.run(options)));
        }
        clients
    }

    async fn finish(self) -> Result<(u64, Duration)> {
        self.stop.trigger();
        for client in self.running {
            client.await.context("a client panicked")??;
        }
        let statements = self.statements.load(Ordering::Relaxed);
        let longest = Duration::from_micros(self.longest_us.load(Ordering::Relaxed));
        println!("{statements} statements, the longest {longest:?}");
        Ok((self.increments.load(Ordering::Relaxed), longest))
    }
}

struct Client {
    number: u64,
    stop: Shutdown,
    increments: Arc<AtomicU64>,
    statements: Arc<AtomicU64>,
    longest_us: Arc<AtomicU64>,
}

impl Client {
    async fn run(self, options: Opts) -> Result<()> {
        let mut connection = Conn::new(options).await?;
        let mut own = [0_u64; ROWS as usize];
        let mut round = 0_u64;
        while !self.stop.is_triggered() {
            round += 1;
            // Ids of this client alone.
            let id = (round * 7 % (ROWS / 6)) * 6 + self.number;
            let other = (round * 11 % (ROWS / 6)) * 6 + self.number;
            let began = Instant::now();
            self.step(&mut connection, round, (id, other), &mut own)
                .await
                .with_context(|| format!("client {}, round {round}", self.number))?;
            let took = u64::try_from(began.elapsed().as_micros())?;
            self.longest_us.fetch_max(took, Ordering::Relaxed);
            self.statements.fetch_add(1, Ordering::Relaxed);
        }
        connection.disconnect().await?;
        Ok(())
    }

    async fn step(
        &self,
        connection: &mut Conn,
        round: u64,
        (id, other): (u64, u64),
        own: &mut [u64],
    ) -> Result<()> {
        match round % 5 {
            0 => {
                let count = sql::value(connection, "SELECT COUNT(*) FROM d.h").await?;
                ensure!(count == ROWS.to_string(), "{count} rows");
            }
            1 => {
                let read = "SELECT v FROM d.h WHERE id = ?";
                let found: Option<u64> = connection.exec_first(read, (id,)).await?;
                ensure!(
                    found == Some(own[id as usize]),
                    "{id}: {found:?}, not {}",
                    own[id as usize]
                );
            }
            2 if id != other => {
                connection.query_drop("BEGIN").await?;
                for id in [id.min(other), id.max(other)] {
                    let add = format!("UPDATE d.h SET v = v + 1 WHERE id = {id}");
                    connection.query_drop(add).await?;
                    ensure!(connection.affected_rows() == 1, "{id} is not there");
                }
                connection.query_drop("COMMIT").await?;
                own[id as usize] += 1;
                own[other as usize] += 1;
                self.increments.fetch_add(2, Ordering::Relaxed);
            }
            _ => {
                let add = format!("UPDATE d.h SET v = v + 1 WHERE id = {id}");
                connection.query_drop(add).await?;
                ensure!(connection.affected_rows() == 1, "{id} is not there");
                own[id as usize] += 1;
                self.increments.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// What the source was asked about the table since its log was emptied, that is not about
/// single rows of others.
async fn met(source: &mut Conn) -> Result<Vec<String>> {
    let read = "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log \
                WHERE argument LIKE '%d.h%' AND argument NOT LIKE '%general_log%'";
    let all = sql::rows(source, read).await?;
    let is_other = |text: &str| {
        let id = text.rsplit_once("id = ").and_then(|(_, id)| id.trim().parse::<u64>().ok());
        id.is_some_and(|id| !in_units(id)) || text.contains("id = ?")
    };
    Ok(all.into_iter().flatten().filter(|text| !is_other(text)).collect())
}

/// Holds the units, copies their rows and switches. False when the hold was taken back: it is
/// to be tried again.
async fn cut_over(bench: &Bench, id: MoveId, source: &mut Conn) -> Result<bool> {
    let found = bench.found(id)?;
    let (from, to) = (found.owner(), found.stranger());
    let (hold, switch) = match found.state {
        MoveState::Incoming => (MoveState::Held, MoveState::Outgoing),
        MoveState::Outgoing => (MoveState::HeldBack, MoveState::Incoming),
        other => bail!("the move is {other}"),
    };
    let held = bench.set(id, hold).await?;
    let quiesced = Instant::now();
    while bench.is_acknowledged(held).await.is_err() {
        if bench.found(id)?.since != held {
            return Ok(false);
        }
        ensure!(quiesced.elapsed() < super::FOLLOWS, "nobody acknowledges or takes it back");
    }
    println!("{hold}: acknowledged after {:?}", quiesced.elapsed());
    source.query_drop("TRUNCATE TABLE mysql.general_log").await?;
    let condition = bench.condition("h", &slots())?;
    let delete = format!("DELETE FROM d.h WHERE {condition}");
    bench.shard(to).await?.query_drop(delete).await?;
    bench.copy("h", &slots(), from, to).await?;
    let met = if from == SOURCE { met(source).await? } else { Vec::new() };
    // What this test itself asks of the source.
    let met: Vec<_> = met.into_iter().filter(|text| !text.contains("SELECT * FROM d.h")).collect();
    let found = bench.found(id)?;
    if found.since != held {
        return Ok(false);
    }
    ensure!(met.is_empty(), "the owner was asked after all had acknowledged: {met:?}");
    match bench.set(id, switch).await {
        Ok(switched) => {
            bench.acknowledged(switched).await?;
            Ok(true)
        }
        // A release came first.
        Err(_) => Ok(false),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_notice_nothing_of_a_cutover_there_and_back() -> Result<()> {
    let bench = start().await?;
    let mut source = bench.shard(SOURCE).await?;
    sql::run(&mut source, &["SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = ON"])
        .await?;
    ensure!(moving().len() > 50, "too few rows move");
    let id = bench.begin("h", slots(), SOURCE.0, TARGET.0).await?;
    let clients = Clients::start(&bench);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut attempts = 0;
    for _ in 0..4 {
        while !cut_over(&bench, id, &mut source).await? {
            attempts += 1;
            ensure!(attempts < 40, "no attempt ends in a switch");
        }
        let found = bench.found(id)?;
        let mut stranger = bench.shard(found.stranger()).await?;
        let condition = bench.condition("h", &slots())?;
        // Whoever still reads the old copy now is found out.
        stranger.query_drop(format!("UPDATE d.h SET v = 1000000 WHERE {condition}")).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    println!("{attempts} attempts were given up");
    let (increments, longest) = clients.finish().await?;
    ensure!(longest < TAKEN_BACK, "a statement took {longest:?}");
    let mut client = bench.cluster.connect(1).await?;
    let sum = sql::value(&mut client, "SELECT SUM(v) FROM d.h").await?;
    ensure!(sum == increments.to_string(), "{sum} is stored, {increments} were answered");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_nobody_ends_is_taken_back_and_no_statement_fails() -> Result<()> {
    let bench = start().await?;
    let id = bench.begin("h", slots(), SOURCE.0, TARGET.0).await?;
    let clients = Clients::start(&bench);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let held = bench.set(id, MoveState::Held).await?;
        let began = Instant::now();
        wait::until("the hold is taken back", TAKEN_BACK, || async {
            ensure!(bench.found(id)?.since > held, "it is held");
            Ok(())
        })
        .await?;
        println!("taken back after {:?}", began.elapsed());
        ensure!(bench.found(id)?.state == MoveState::Incoming, "it was not released");
    }
    let (increments, longest) = clients.finish().await?;
    ensure!(longest < TAKEN_BACK, "a statement took {longest:?}");
    let mut client = bench.cluster.connect(1).await?;
    let sum = sql::value(&mut client, "SELECT SUM(v) FROM d.h").await?;
    ensure!(sum == increments.to_string(), "{sum} is stored, {increments} were answered");
    // Without anybody who waits it ends too.
    bench.set(id, MoveState::Held).await?;
    wait::until("the hold is taken back", Duration::from_secs(10), || async {
        ensure!(bench.found(id)?.state == MoveState::Incoming, "it is held");
        Ok(())
    })
    .await
}

/// The state that the process list shows of a session.
async fn state_of(other: &mut Conn, id: u32) -> Result<String> {
    let rows = sql::rows(other, "SHOW PROCESSLIST").await?;
    let own = rows.into_iter().find(|row| row[0] == id.to_string()).context("the session")?;
    Ok(own[6].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_there_before_goes_on_and_others_can_be_killed() -> Result<()> {
    let bench = start().await?;
    let key = moving()[0];
    let there: Vec<u64> = (0..ROWS)
        .filter(|id| {
            let key = [KeyPart::Integer(i128::from(*id))];
            let types = [shardline_model::key::KeyType::Integer { min: 0, max: 1_000_000 }];
            (3_000..5_000).contains(&hash::slot_of(&key, &types).0)
        })
        .collect();
    let mut older = bench.cluster.connect(0).await?;
    let read = format!("SELECT v FROM d.h WHERE id = {}", there[0]);
    sql::run(&mut older, &["BEGIN", &read]).await?;
    let id = bench.begin("h", slots(), SOURCE.0, TARGET.0).await?;
    let held = bench.set(id, MoveState::Held).await?;
    // It was on the owner before, so it goes on, and the hold waits for it.
    let began = Instant::now();
    older.query_drop(format!("UPDATE d.h SET v = v + 1 WHERE id = {key}")).await?;
    ensure!(began.elapsed() < Duration::from_millis(400), "it waited {:?}", began.elapsed());
    ensure!(bench.is_acknowledged(held).await.is_err(), "acknowledged all the same");
    // And who keeps it from being acknowledged for too long ends it.
    wait::until("the hold is taken back", TAKEN_BACK, || async {
        ensure!(bench.found(id)?.since > held, "it is held");
        Ok(())
    })
    .await?;
    older.query_drop("COMMIT").await?;
    let held = bench.set(id, MoveState::Held).await?;
    bench.acknowledged(held).await?;

    let (mut waits, mut other) = (bench.cluster.connect(0).await?, bench.cluster.connect(0).await?);
    let session: u32 = sql::value(&mut waits, "SELECT CONNECTION_ID()").await?.parse()?;
    let waiting = tokio::spawn(async move {
        let outcome = waits.query_drop(format!("UPDATE d.h SET v = 7 WHERE id = {key}")).await;
        outcome.err().and_then(|error| sql::error_number(&error))
    });
    let mut seen = String::new();
    while !waiting.is_finished() && seen.is_empty() {
        seen = state_of(&mut other, session).await?;
    }
    ensure!(seen == "waiting for cutover", "the process list says '{seen}'");
    other.query_drop(format!("KILL QUERY {session}")).await?;
    ensure!(waiting.await? == Some(1317), "it was not interrupted");
    // SET reads rows too.
    let held = bench.set(id, MoveState::Held).await.unwrap_or(held);
    other.query_drop(format!("SET @v = (SELECT v FROM d.h WHERE id = {key})")).await?;
    ensure!(bench.found(id)?.since > held, "SET did not wait for the hold's end");
    ensure!(sql::value(&mut other, "SELECT @v").await? == "1", "SET read something else");
    let stored = sql::value(&mut other, &format!("SELECT v FROM d.h WHERE id = {key}")).await?;
    ensure!(stored == "1", "{stored} is stored");
    Ok(())
}
