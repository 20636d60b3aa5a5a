//! Tables that are spread anew: another key, another function, another kind, there and back and there for
//! good, while clients write and check every answer.

use super::Bench;
use anyhow::{Context, Result, bail, ensure};
use mysql_async::{Conn, Opts, prelude::Queryable};
use shardline_base::Shutdown;
use shardline_model::{
    change::Change,
    id::JobId,
    moves::{JobPhase, JobState, Wish},
};
use shardline_tests::{rows, sql};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Long enough for a machine under load.
const LIMIT: Duration = Duration::from_secs(60);
const ROWS: u64 = 600;
const CLIENTS: u64 = 4;
/// Rows from here on come and go.
const PASSING: u64 = 100_000;
const HASH_A: &str = "SHARD BY HASH (a)";
const HASH_B: &str = "SHARD BY HASH (b)";
const RANGE_A: &str = "SHARD BY RANGE (a) (VALUES LESS THAN (150) ON s2, VALUES LESS THAN (400) ON s3, \
                       VALUES LESS THAN MAXVALUE ON s1)";
const LIST_B: &str = "SHARD BY LIST (b) (VALUES IN (0, 1, 2, 3, 4, 5, 6, 7) ON s3, \
                      VALUES IN (8, 9, 10, 11) ON s1, DEFAULT ON s2)";

/// The second key of a row.
fn b(a: u64) -> u64 {
    a * 7 % 40
}

async fn start(clause: &str) -> Result<Bench> {
    let bench = Bench::start(2).await?;
    let mut client = bench.cluster.connect(0).await?;
    let create = format!(
        "CREATE TABLE f (a INT NOT NULL, b INT NOT NULL, v BIGINT NOT NULL, owner INT NOT NULL, \
         twice BIGINT AS (v * 2) VIRTUAL, PRIMARY KEY (a, b)) {clause}"
    );
    sql::run(&mut client, &["CREATE DATABASE d", "USE d", &create]).await?;
    let rows: Vec<String> =
        (0..ROWS).map(|a| format!("({a}, {}, 0, {})", b(a), a % CLIENTS)).collect();
    let insert = format!("INSERT INTO f (a, b, v, owner) VALUES {}", rows.join(", "));
    client.query_drop(insert).await?;
    Ok(bench)
}

/// Clients that check every answer.
struct Clients {
    stop: Shutdown,
    statements: Arc<AtomicU64>,
    longest_us: Arc<AtomicU64>,
    running: Vec<JoinHandle<Result<u64>>>,
}

impl Clients {
    fn start(bench: &Bench) -> Self {
        let (stop, statements, longest_us) = (Shutdown::new(), Arc::default(), Arc::default());
        let mut clients = Self { stop, statements, longest_us, running: Vec::new() };
        for number in 0..CLIENTS {
            let options: Opts = bench.cluster.options(number as usize % 2).into();
            let client = Client {
                number,
                own: vec![0; ROWS as usize],
                stop: clients.stop.clone(),
                statements: clients.statements.clone(),
                longest_us: clients.longest_us.clone(),
            };
            clients.running.push(tokio::spawn(client.run(options)));
        }
        clients
    }

    /// What all rows together must have.
    async fn finish(self) -> Result<u64> {
        self.stop.trigger();
        let mut sum = 0;
        for client in self.running {
            sum += client.await.context("a client panicked")??;
        }
        let statements = self.statements.load(Ordering::Relaxed);
        let longest = Duration::from_micros(self.longest_us.load(Ordering::Relaxed));
        println!("{statements} statements, the longest {longest:?}");
        ensure!(statements > 100, "only {statements} statements ran");
        ensure!(longest < Duration::from_secs(3), "a statement took {longest:?}");
        Ok(sum)
    }
}

struct Client {
    number: u64,
    own: Vec<u64>,
    stop: Shutdown,
    statements: Arc<AtomicU64>,
    longest_us: Arc<AtomicU64>,
}

impl Client {
    async fn run(mut self, options: Opts) -> Result<u64> {
        let mut connection = Conn::new(options).await?;
        let mut round = 0_u64;
        while !self.stop.is_triggered() {
            round += 1;
            let began = Instant::now();
            let done = self.step(&mut connection, round).await;
            done.with_context(|| format!("client {}, round {round}", self.number))?;
            let took = u64::try_from(began.elapsed().as_micros())?;
            self.longest_us.fetch_max(took, Ordering::Relaxed);
            self.statements.fetch_add(1, Ordering::Relaxed);
        }
        connection.disconnect().await?;
        Ok(self.own.iter().sum())
    }

    /// One of this client's own rows.
    fn row(&self, number: u64) -> u64 {
        number % (ROWS / CLIENTS) * CLIENTS + self.number
    }

    async fn step(&mut self, connection: &mut Conn, round: u64) -> Result<()> {
        let (one, other) = (self.row(round * 7), self.row(round * 11 + 3));
        match round % 7 {
            0 => {
                let count = format!("SELECT COUNT(*) FROM d.f WHERE a < {PASSING}");
                let count = sql::value(connection, &count).await?;
                ensure!(count == ROWS.to_string(), "{count} rows");
            }
            1 => {
                let read = "SELECT v, twice FROM d.f WHERE a = ? AND b = ?";
                let found: Option<(u64, u64)> = connection.exec_first(read, (one, b(one))).await?;
                let own = self.own[one as usize];
                ensure!(found == Some((own, own * 2)), "{one}: {found:?}, not {own}");
            }
            2 if one != other => {
                connection.query_drop("BEGIN").await?;
                for a in [one.min(other), one.max(other)] {
                    self.add(connection, a).await?;
                }
                connection.query_drop("COMMIT").await?;
                self.own[one as usize] += 1;
                self.own[other as usize] += 1;
            }
            3 => {
                let sum = format!("SELECT SUM(v), COUNT(*) FROM d.f WHERE owner = {}", self.number);
                let found = sql::rows(connection, &sum).await?;
                let sum: u64 = self.own.iter().sum();
                let expected = [sum.to_string(), (ROWS / CLIENTS).to_string()];
                ensure!(found == [expected.clone()], "{found:?}, not {expected:?}");
            }
            4 => {
                let (a, b) = (PASSING + self.row(round), round % 40);
                let insert = format!("INSERT INTO d.f (a, b, v, owner) VALUES ({a}, {b}, 1, 99)");
                connection.query_drop(insert).await?;
                let change = format!("UPDATE d.f SET v = v + 1 WHERE a = {a} AND b = {b}");
                connection.query_drop(change).await?;
                ensure!(connection.affected_rows() == 1, "{a} is not there");
                let delete = format!("DELETE FROM d.f WHERE a = {a} AND b = {b} AND v = 2");
                connection.query_drop(delete).await?;
                ensure!(connection.affected_rows() == 1, "{a} could not be deleted");
            }
            _ => {
                self.add(connection, one).await?;
                self.own[one as usize] += 1;
            }
        }
        Ok(())
    }

    async fn add(&self, connection: &mut Conn, a: u64) -> Result<()> {
        let add = format!("UPDATE d.f SET v = v + 1 WHERE a = {a} AND b = {}", b(a));
        connection.query_drop(add).await?;
        ensure!(connection.affected_rows() == 1, "{a} is not there");
        Ok(())
    }
}

/// Asks for a job; the statement returns at once.
async fn begin(bench: &Bench, clause: &str) -> Result<JobId> {
    let mut client = bench.cluster.connect(0).await?;
    let alter = format!("ALTER TABLE d.f {clause} ASYNC");
    client.query_drop(&alter).await.with_context(|| alter.clone())?;
    let notes = sql::rows(&mut client, "SHOW WARNINGS").await?;
    let text = notes.first().and_then(|note| note.get(2)).context("no note of the job")?;
    let number = text.split_whitespace().nth(1).and_then(|id| id.strip_prefix('j')?.parse().ok());
    number.map(JobId).with_context(|| format!("no job in '{text}'"))
}

async fn wish(bench: &Bench, id: JobId, wish: Wish) -> Result<()> {
    // The driver writes the job too.
    for _ in 0..20 {
        let job = bench.meta.catalog().jobs.get(&id).cloned().context("the job")?;
        let state = JobState { wish, ..job.state.clone() };
        if bench.meta.propose(Change::SetJob { id, from: job.since, state }).await.is_ok() {
            return Ok(());
        }
    }
    bail!("the job changes all the time")
}

async fn reaches(bench: &Bench, id: JobId, phase: JobPhase) -> Result<()> {
    let began = Instant::now();
    loop {
        let job = bench.meta.catalog().jobs.get(&id).cloned().context("the job")?;
        if job.state.phase == phase {
            return Ok(());
        }
        ensure!(job.state.phase != JobPhase::Failed, "it failed: {:?}", job.state.last_error);
        ensure!(began.elapsed() < LIMIT, "it is {}, not {phase}", job.state.phase);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each row is on its owner and nowhere else.
async fn check(bench: &Bench, table: &str, total: u64) -> Result<()> {
    let catalog = bench.meta.catalog();
    ensure!(catalog.reshards.is_empty(), "a table is on its way");
    let mut shards = BTreeMap::new();
    for shard in catalog.shards.values() {
        shards.insert(shard.name.clone(), bench.shard(shard.id).await?);
    }
    let found = rows::check(&catalog, &mut shards, "d", table).await?;
    println!("{table}: {:?}", found.rows);
    let copies = match catalog.table("d", table).context("the table")?.kind {
        shardline_model::catalog::TableKind::Broadcast => catalog.shards.len() as u64,
        _ => 1,
    };
    ensure!(found.total() == total * copies, "{} rows", found.total());
    Ok(())
}

/// There, back, there again and for good, while clients write.
async fn cycle(bench: &Bench, clause: &str) -> Result<()> {
    let began = Instant::now();
    let mut client = bench.cluster.connect(0).await?;
    client.query_drop("UPDATE d.f SET v = 0").await?;
    let clients = Clients::start(bench);
    let job = begin(bench, clause).await?;
    reaches(bench, job, JobPhase::Watching).await.context("there")?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    wish(bench, job, Wish::RollBack).await?;
    reaches(bench, job, JobPhase::RolledBack).await.context("back")?;
    check_kind(bench, clause, false).await?;
    let again = begin(bench, clause).await?;
    reaches(bench, again, JobPhase::Watching).await.context("there again")?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    wish(bench, again, Wish::Finish).await?;
    reaches(bench, again, JobPhase::Finished).await.context("for good")?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sum = clients.finish().await?;
    println!("{clause}: {:?}", began.elapsed());
    check_kind(bench, clause, true).await?;
    check(bench, "f", ROWS).await?;
    let mut client = bench.cluster.connect(1).await?;
    let stored = sql::value(&mut client, "SELECT SUM(v) FROM d.f").await?;
    ensure!(stored == sum.to_string(), "{stored} is stored, {sum} were answered");
    Ok(())
}

/// Whether the table says that it is spread so.
async fn check_kind(bench: &Bench, clause: &str, is: bool) -> Result<()> {
    let mut client = bench.cluster.connect(1).await?;
    let shown = sql::rows(&mut client, "SHOW CREATE TABLE d.f").await?;
    let shown = &shown[0][1];
    let words: String = clause.split(" (").take(2).collect::<Vec<_>>().join(" (");
    let shown = shown.replace('`', "").to_uppercase();
    let found = shown.contains(words.to_uppercase().trim_end_matches(" (VALUES"));
    ensure!(found == is, "'{words}' in {shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_and_another_function() -> Result<()> {
    let bench = start(HASH_A).await?;
    for clause in [HASH_B, RANGE_A, LIST_B] {
        if let Err(error) = cycle(&bench, clause).await {
            panic!("{clause}: {error:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_kind_of_table() -> Result<()> {
    let bench = start("SINGLE ON s2").await?;
    for clause in [HASH_A, "BROADCAST", "SINGLE ON s3"] {
        if let Err(error) = cycle(&bench, clause).await {
            panic!("{clause}: {error:?}");
        }
    }
    Ok(())
}

/// A statement that a proxy refuses: its number and text.
async fn refused(client: &mut Conn, statement: &str) -> Result<(u16, String)> {
    match client.query_drop(statement).await {
        Err(mysql_async::Error::Server(error)) => Ok((error.code, error.message)),
        other => bail!("{statement}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_tables_are_waited_for_and_ids_stay_unique() -> Result<()> {
    let bench = Bench::start(2).await?;
    let mut client = bench.cluster.connect(0).await?;
    let mut other = bench.cluster.connect(1).await?;
    sql::run(
        &mut client,
        &[
            "CREATE DATABASE d",
            "USE d",
            "CREATE TABLE g (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL, note VARCHAR(20))",
        ],
    )
    .await?;
    let mut total = 0;
    for clause in [
        "SHARD BY HASH (k)",
        "SINGLE ON s3",
        "SHARD BY HASH (id)",
        "BROADCAST",
        "SHARD BY RANGE (k) (VALUES LESS THAN (4) ON s2, VALUES LESS THAN MAXVALUE ON s1)",
        "SINGLE",
        "BROADCAST",
        "SINGLE ON s2",
    ] {
        for (k, first) in [(1, true), (5, false), (9, true), (13, false)] {
            let values: Vec<String> =
                (0..5).map(|add| format!("({}, 'before')", k + add)).collect();
            let insert = format!("INSERT INTO d.g (k, note) VALUES {}", values.join(", "));
            let client = if first { &mut client } else { &mut other };
            client.query_drop(insert).await?;
            total += 5;
        }
        let alter = format!("ALTER TABLE d.g {clause}");
        client.query_drop(&alter).await.with_context(|| alter.clone())?;
        check(&bench, "g", total).await.with_context(|| alter.clone())?;
        for client in [&mut client, &mut other] {
            let ids = "SELECT COUNT(*), COUNT(DISTINCT id) FROM d.g";
            let ids = sql::rows(client, ids).await?;
            ensure!(ids == [[total.to_string(), total.to_string()]], "{alter}: {ids:?}");
        }
    }
    let left = sql::value(&mut bench.shard(shardline_model::id::ShardId(1)).await?, LEFT).await?;
    ensure!(left == "0", "{left} rows of moves are left");
    Ok(())
}

const LEFT: &str = "SELECT (SELECT COUNT(*) FROM _shardline.move_flow) + \
                    (SELECT COUNT(*) FROM _shardline.move_lane) + (SELECT COUNT(*) FROM _shardline.move_mark)";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_and_leaves_nothing() -> Result<()> {
    let bench = start(HASH_A).await?;
    let mut client = bench.cluster.connect(0).await?;
    sql::run(
        &mut client,
        &[
            "USE d",
            "CREATE TABLE bare (a INT NOT NULL, b INT NOT NULL) SHARD BY HASH (a)",
            "CREATE TABLE lone (a INT NOT NULL PRIMARY KEY, b INT NOT NULL)",
            "CREATE TABLE parent (a INT NOT NULL PRIMARY KEY)",
            "CREATE TABLE child (a INT NOT NULL PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (a))",
            "INSERT INTO parent VALUES (1), (2)",
            "INSERT INTO child VALUES (1, 1), (2, 2)",
        ],
    )
    .await?;
    for (statement, words) in [
        ("ALTER TABLE bare SHARD BY HASH (b)", "no primary key"),
        ("ALTER TABLE lone SHARD BY HASH (b)", "unique key"),
        ("ALTER TABLE f SHARD BY HASH (note)", "no column"),
        ("ALTER TABLE f SHARD BY HASH (b), ADD c INT", "together"),
        ("ALTER TABLE f SHARD BY RANGE (b) (VALUES LESS THAN (5) ON s1)", "MAXVALUE"),
        ("ALTER TABLE f SINGLE ON s9", "s9"),
        ("ALTER TABLE f SHARD BY HASH (b) COLOCATE WITH lone", "not sharded"),
        ("ALTER TABLE nothing BROADCAST", "nothing"),
        // Only the servers know of them.
        ("ALTER TABLE child BROADCAST", "foreign"),
    ] {
        let (_, text) = refused(&mut client, statement).await?;
        ensure!(text.contains(words), "{statement}: {text}");
    }
    // What was begun is given up by itself.
    shardline_tests::wait::until("nothing is on its way", Duration::from_secs(30), || async {
        ensure!(bench.meta.catalog().reshards.is_empty());
        Ok(())
    })
    .await?;
    let job = begin(&bench, HASH_B).await?;
    for statement in ["ALTER TABLE f ADD c INT", "DROP TABLE f", "ALTER TABLE f BROADCAST"] {
        let (number, text) = refused(&mut client, statement).await?;
        ensure!(number == 1235 && text.contains(&job.to_string()), "{number} {text}");
    }
    reaches(&bench, job, JobPhase::Watching).await?;
    wish(&bench, job, Wish::Finish).await?;
    reaches(&bench, job, JobPhase::Finished).await?;
    sql::run(&mut client, &["ALTER TABLE f ADD c INT", "ALTER TABLE f SHARD BY HASH (b)"]).await?;
    check(&bench, "f", ROWS).await
}
