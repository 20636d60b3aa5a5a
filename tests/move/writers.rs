//! Clients that write two tables of one group all the time: new rows, changed rows, rows that go, that change
//! their primary key, their unique value or their unit; in transactions, some of which are rolled back.

use crate::{bench::Bench, random::Random};
use anyhow::Result;
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use shardline_tests::sql;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use tokio::task::JoinHandle;

/// The tables; `key` is the shard key's type.
pub(crate) fn tables(key: &str) -> [String; 2] {
    [
        format!(
            "CREATE TABLE d.account (k {key} NOT NULL, name VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL, \
             amount DECIMAL(12,2) NOT NULL, twice DECIMAL(13,2) AS (amount * 2) VIRTUAL, \
             body VARBINARY(200), PRIMARY KEY (k, name)) ENGINE=InnoDB"
        ),
        format!(
            "CREATE TABLE d.entry (k {key} NOT NULL, n INT NOT NULL, code INT NOT NULL, note TEXT, \
             PRIMARY KEY (k, n), UNIQUE KEY by_code (k, code)) ENGINE=InnoDB CHARACTER SET utf8mb4"
        ),
    ]
}

/// The literal of the shard key with a number.
pub(crate) type KeyLiteral = fn(u64) -> String;

/// Keys that clients use.
pub(crate) const KEYS: u64 = 400;

/// Clients at work until they are stopped.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<()>>>,
    pub(crate) statements: Arc<AtomicU64>,
}

/// Makes the tables on both servers and fills them on the source.
pub(crate) async fn fill(bench: &Bench, key: &str, literal: KeyLiteral) -> Result<()> {
    let [account, entry] = tables(key);
    bench.both(&["DROP TABLE IF EXISTS d.account, d.entry", &account, &entry]).await?;
    let mut source = bench.source.connect().await?;
    let mut random = Random::new(7);
    for start in (0..KEYS).step_by(50) {
        let accounts: Vec<String> = (start..start + 50)
            .map(|key| {
                format!("({}, 'a{key}', {}.25, x'00ff27')", literal(key), random.below(1000))
            })
            .collect();
        let entries: Vec<String> = (start..start + 50)
            .flat_map(|key| (0..20).map(move |n| (key, n)))
            .map(|(key, n)| format!("({}, {n}, {n}, REPEAT('é', {}))", literal(key), n * 3))
            .collect();
        sql::run(
            &mut source,
            &[
                &format!(
                    "INSERT INTO d.account (k, name, amount, body) VALUES {}",
                    accounts.join(", ")
                ),
                &format!("INSERT INTO d.entry VALUES {}", entries.join(", ")),
            ],
        )
        .await?;
    }
    Ok(())
}

impl Writers {
    /// Starts them on a server.
    pub(crate) fn start(options: OptsBuilder, clients: u64, literal: KeyLiteral) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let statements = Arc::new(AtomicU64::new(0));
        let task = |client| {
            let (stop, statements, options) = (stop.clone(), statements.clone(), options.clone());
            tokio::spawn(async move {
                let mut connection = sql::connect(options).await?;
                let mut random = Random::new(client + 1);
                while !stop.load(Ordering::Relaxed) {
                    write(&mut connection, &mut random, literal).await?;
                    statements.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let tasks = (0..clients).map(task).collect();
        Self { stop, tasks, statements }
    }

    /// Stops them.
    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(())
    }
}

async fn write(connection: &mut Conn, random: &mut Random, literal: KeyLiteral) -> Result<()> {
    let statements = 1 + random.below(4);
    if statements > 1 {
        connection.query_drop("BEGIN").await?;
    }
    for _ in 0..statements {
        let sql = statement(random, literal);
        match connection.query_drop(&sql).await {
            Ok(()) => {}
            // Deadlocks and lock waits roll back; what is there already is no matter here.
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1213 | 1205 | 1062) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if statements > 1 {
        let end = if random.below(8) == 0 { "ROLLBACK" } else { "COMMIT" };
        connection.query_drop(end).await?;
    }
    Ok(())
}

fn statement(random: &mut Random, literal: KeyLiteral) -> String {
    let (key, other) = (literal(random.below(KEYS)), literal(random.below(KEYS)));
    let (n, m) = (random.below(30), random.below(30));
    match random.below(11) {
        0 => {
            format!("INSERT IGNORE INTO d.account (k, name, amount) VALUES ({key}, 'n{n}', {n}.5)")
        }
        1 => format!("DELETE FROM d.account WHERE k = {key} AND name = 'N{n}'"),
        // The same name to the collation, and not the same bytes.
        2 => format!("UPDATE d.account SET name = UPPER(name) WHERE k = {key}"),
        3 => format!("UPDATE IGNORE d.account SET k = {other} WHERE k = {key} LIMIT 2"),
        4 => format!("INSERT IGNORE INTO d.entry VALUES ({key}, {n}, {m}, 'new')"),
        5 => format!("DELETE FROM d.entry WHERE k = {key} AND n BETWEEN {n} AND {}", n + 2),
        6 => format!("UPDATE IGNORE d.entry SET n = {m} WHERE k = {key} AND n = {n}"),
        // Unique values go round.
        7 => format!("UPDATE d.entry SET code = code + 1 WHERE k = {key} ORDER BY code DESC"),
        8 => format!("UPDATE IGNORE d.entry SET code = {m} WHERE k = {key} AND n = {n}"),
        9 => format!("REPLACE INTO d.entry VALUES ({key}, {n}, {m}, 'replaced')"),
        _ => format!("UPDATE d.account SET amount = amount + 1 WHERE k = {key}"),
    }
}
