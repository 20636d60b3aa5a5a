//! Tables that are spread anew over two servers: the rows of each that the other one will own cross over,
//! both ways at once, while clients write on both; then back, then over again.

use crate::{
    bench::{BIGINT, Bench, PATIENCE, endpoint},
    random::Random,
};
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use shardline_binlog::Family;
use shardline_model::{
    id::ShardId,
    key::{Key, KeyPart},
    placement::{Placement, RangeUnit, even_hash},
    reshard::{Crossing, RowOwner},
};
use shardline_rebalancer::{
    Direction, MoveSpec, Mover, Rows, Settings, Side, TableSpec, preflight::Severity,
};
use shardline_tests::sql;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

const SHARDS: [ShardId; 2] = [ShardId(1), ShardId(2)];
/// Values of both keys.
const KEYS: u64 = 60;
/// Every unique key has both shard keys in the first table, and none in the second.
const TABLES: [&str; 2] = [
    "CREATE TABLE d.whole (a BIGINT NOT NULL, b BIGINT NOT NULL, n INT NOT NULL, code INT NOT NULL, \
     note VARCHAR(60), PRIMARY KEY (a, b, n), UNIQUE KEY by_code (b, code, a)) ENGINE=InnoDB",
    "CREATE TABLE d.id (id BIGINT NOT NULL PRIMARY KEY, a BIGINT NOT NULL, b BIGINT NOT NULL, \
     note VARCHAR(60)) ENGINE=InnoDB",
];

fn key(value: u64) -> Key {
    std::iter::once(KeyPart::Integer(i128::from(value))).collect()
}

/// By a hash of `a`.
fn before() -> Result<RowOwner> {
    let placement = even_hash(&SHARDS).context("shards")?;
    Ok(RowOwner::ByKey { columns: vec!["a".into()], types: vec![BIGINT], placement })
}

/// By ranges of `b`.
fn afterwards() -> RowOwner {
    let unit = |less_than: Option<u64>, shard| RangeUnit { less_than: less_than.map(key), shard };
    let units = vec![unit(Some(KEYS / 3), SHARDS[1]), unit(None, SHARDS[0])];
    let placement = Placement::Range(units);
    RowOwner::ByKey { columns: vec!["b".into()], types: vec![BIGINT], placement }
}

/// A mover for each way.
fn movers(bench: &Bench, driver: &str) -> Result<Vec<Mover>> {
    let servers = [&bench.source, &bench.target];
    let mover = |(from, to): (usize, usize)| {
        let (source, target) = (SHARDS[from], SHARDS[to]);
        let crossing = Crossing { from: before()?, to: afterwards(), source, target };
        let table = |name: &str| TableSpec {
            database: "d".into(),
            table: name.into(),
            key_columns: crossing.columns(),
        };
        let spec = MoveSpec {
            id: format!("c.{source}.{target}"),
            owner: driver.into(),
            tables: vec![table("whole"), table("id")],
            key_types: crossing.types(),
            source: endpoint(servers[from]),
            target: endpoint(servers[to]),
            units: Rows::Crossing(crossing),
        };
        Ok(Mover::new(spec, Settings::default())?)
    };
    [(0, 1), (1, 0)].into_iter().map(mover).collect()
}

/// Clients of both servers, each with rows of its server alone.
struct Writers {
    stop: Arc<AtomicBool>,
    statements: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

/// The column by which a server owns its rows, and the other one.
#[derive(Clone, Copy)]
struct Columns {
    own: &'static str,
    other: &'static str,
}

impl Writers {
    /// By whom rows are owned now.
    fn start(bench: &Bench, owner: &RowOwner, seed: u64) -> Self {
        let (stop, statements) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let by_a = owner.key().0 == ["a"];
        let columns = match by_a {
            true => Columns { own: "a", other: "b" },
            false => Columns { own: "b", other: "a" },
        };
        let mut tasks = Vec::new();
        for (server, shard) in [&bench.source, &bench.target].into_iter().zip(SHARDS) {
            let own: Vec<u64> =
                (0..KEYS).filter(|value| owner.owns(&key(*value), shard) == Some(true)).collect();
            for client in 0..2 {
                let random = Random::new(seed * 100 + u64::from(shard.0) * 10 + client);
                let (own, stop, statements) = (own.clone(), stop.clone(), statements.clone());
                let options: OptsBuilder = server.options();
                tasks.push(tokio::spawn(write(options, random, own, columns, stop, statements)));
            }
        }
        Self { stop, statements, tasks }
    }

    async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        ensure!(self.statements.load(Ordering::Relaxed) > 50, "nobody wrote");
        Ok(())
    }
}

async fn write(
    options: OptsBuilder,
    mut random: Random,
    own: Vec<u64>,
    columns: Columns,
    stop: Arc<AtomicBool>,
    statements: Arc<AtomicU64>,
) -> Result<()> {
    let mut connection = sql::connect(options).await?;
    while !stop.load(Ordering::Relaxed) {
        let sql = statement(&mut random, &own, columns);
        match connection.query_drop(&sql).await {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1213 | 1205 | 1062) => {}
            Err(error) => return Err(error).context(sql),
        }
        statements.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn statement(random: &mut Random, own: &[u64], Columns { own: k, other: o }: Columns) -> String {
    let mine = own[random.below(own.len() as u64) as usize];
    let (one, two) = (random.below(KEYS), random.below(KEYS));
    let (n, m) = (random.below(6), random.below(6));
    let fresh = random.below(1 << 40);
    match random.below(12) {
        0 | 1 => format!(
            "INSERT IGNORE INTO d.whole ({k}, {o}, n, code, note) VALUES ({mine}, {one}, {n}, {m}, 'new')"
        ),
        2 => format!("DELETE FROM d.whole WHERE {k} = {mine} AND {o} = {one}"),
        // To another owner of the other spread.
        3 | 4 => format!(
            "UPDATE IGNORE d.whole SET {o} = {two}, note = 'crossed' WHERE {k} = {mine} AND {o} = {one}"
        ),
        5 => format!("UPDATE IGNORE d.whole SET code = {m} WHERE {k} = {mine} AND n = {n}"),
        6 => format!(
            "REPLACE INTO d.whole ({k}, {o}, n, code, note) VALUES ({mine}, {one}, {n}, {m}, 'replaced')"
        ),
        7 | 8 => {
            format!("INSERT INTO d.id (id, {k}, {o}, note) VALUES ({fresh}, {mine}, {one}, 'new')")
        }
        9 => format!("UPDATE d.id SET {o} = {two} WHERE {k} = {mine} ORDER BY id LIMIT 3"),
        10 => format!("DELETE FROM d.id WHERE {k} = {mine} ORDER BY id LIMIT 1"),
        _ => format!("UPDATE d.id SET note = 'changed {n}' WHERE {k} = {mine}"),
    }
}

/// The rows that a server has of those that are its own by an owner.
async fn rows(server: &mut Conn, owner: &RowOwner, shard: ShardId) -> Result<[Vec<String>; 2]> {
    let mut all: [Vec<String>; 2] = Default::default();
    for (all, (table, columns)) in
        all.iter_mut().zip([("whole", "a, b, n, code, note"), ("id", "id, a, b, note")])
    {
        let read = format!("SELECT {columns} FROM d.{table} WHERE {}", owner.sql(shard));
        *all = sql::rows(server, &read).await?.into_iter().map(|row| row.join(", ")).collect();
        all.sort();
    }
    Ok(all)
}

/// Both servers together have the same rows by both owners.
async fn same_by_both(bench: &Bench) -> Result<()> {
    let (mut source, mut target) = bench.connect().await?;
    let mut found: Vec<[Vec<String>; 2]> = Vec::new();
    for owner in [before()?, afterwards()] {
        let mut all = rows(&mut source, &owner, SHARDS[0]).await?;
        for (all, more) in all.iter_mut().zip(rows(&mut target, &owner, SHARDS[1]).await?) {
            all.extend(more);
            all.sort();
        }
        found.push(all);
    }
    for (table, (ours, theirs)) in ["whole", "id"].iter().zip(found[0].iter().zip(&found[1])) {
        ensure!(ours.len() > 50, "only {} rows in {table}", ours.len());
        let set = |rows: &[String]| rows.iter().cloned().collect::<BTreeSet<_>>();
        let (one, two) = (set(ours), set(theirs));
        let differ: Vec<_> = one.symmetric_difference(&two).take(5).collect();
        ensure!(ours == theirs, "{table} differs: {differ:?}");
    }
    Ok(())
}

/// Under writes until everything is compared; then the owners change.
async fn change_owners(
    bench: &Bench,
    movers: &mut [Mover],
    (direction, epoch): (Direction, u64),
) -> Result<()> {
    let owner = match direction {
        Direction::Forward => before()?,
        Direction::Reverse => afterwards(),
    };
    let writers = Writers::start(bench, &owner, epoch);
    tokio::time::sleep(Duration::from_millis(200)).await;
    for mover in movers.iter_mut() {
        mover.start(direction).await?;
    }
    for mover in movers.iter() {
        mover.copied().await?;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    for mover in movers.iter() {
        let verified = mover.verify().await?;
        ensure!(verified.differences.is_empty(), "{verified:#?}");
    }
    writers.stop().await?;
    for mover in movers.iter_mut() {
        let mut turn = mover.turn(std::iter::empty()).await?;
        mover.record_switch(&mut turn, epoch, PATIENCE).await?;
    }
    same_by_both(bench).await
}

async fn cross(family: Family) -> Result<()> {
    let Some(bench) = Bench::of(family, &[]).await? else { return Ok(()) };
    bench.both(&TABLES).await?;
    let writers = Writers::start(&bench, &before()?, 1);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut movers = movers(&bench, "first")?;
    for mover in &movers {
        let findings = mover.preflight().await?;
        ensure!(findings.iter().all(|one| one.severity == Severity::Warning), "{findings:#?}");
        mover.prepare().await?;
    }
    writers.stop().await?;
    change_owners(&bench, &mut movers, (Direction::Forward, 11)).await.context("over")?;
    change_owners(&bench, &mut movers, (Direction::Reverse, 12)).await.context("back")?;
    drop(movers);
    let mut movers = self::movers(&bench, "second")?;
    change_owners(&bench, &mut movers, (Direction::Forward, 13)).await.context("over again")?;
    for mover in &mut movers {
        mover.purge(Side::Source).await?;
        mover.forget().await?;
    }
    let (mut source, mut target) = bench.connect().await?;
    for (server, shard) in [(&mut source, SHARDS[0]), (&mut target, SHARDS[1])] {
        for table in ["whole", "id"] {
            let strangers =
                format!("SELECT COUNT(*) FROM d.{table} WHERE NOT {}", afterwards().sql(shard));
            let strangers = sql::value(server, &strangers).await?;
            ensure!(strangers == "0", "{shard} has {strangers} rows of others in {table}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_on_mariadb() -> Result<()> {
    cross(Family::Mariadb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_on_mysql() -> Result<()> {
    cross(Family::Mysql).await
}
