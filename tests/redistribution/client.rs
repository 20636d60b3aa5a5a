//! Clients that know what every answer must be: each writes rows of its own alone, and keeps a copy of
//! them. Where servers and proxies fail, a write may end unknown; then the rows tell, and they must all
//! be as before or all as after.

use crate::world::{BALANCE, IDS, KEYS};
use anyhow::{Context, Result, bail, ensure};
use mysql_async::{Conn, Opts, prelude::Queryable};
use shardline_base::Shutdown;
use shardline_tests::{Cluster, sql};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// How many there are.
const CLIENTS: u32 = 6;
/// How long it may take until a write that ended unknown is decided.
const DECIDED: Duration = Duration::from_secs(40);
/// A statement that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Whose rows of a key are.
pub(crate) fn owner(k: u32) -> u32 {
    k % CLIENTS
}

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nothing.
    Calm,
    /// Anything but a wrong answer.
    Rough,
}

/// What all clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) statements: u64,
    /// Transactions that were done again since they had a snapshot of the new owner from before: the one
    /// case in which a client sees something of a move.
    pub(crate) too_old: u64,
    /// Statements that failed in rough weather.
    pub(crate) failed: u64,
    /// Microseconds of the operations, ascending once all are in.
    pub(crate) took_us: Vec<u64>,
}

impl Seen {
    /// A line for people.
    pub(crate) fn text(&self) -> String {
        let at = |share: f64| {
            let last = self.took_us.len().saturating_sub(1);
            let place = (last as f64 * share) as usize;
            self.took_us.get(place).copied().unwrap_or_default() as f64 / 1_000.0
        };
        format!(
            "{} operations, {} with a snapshot too old, {} failed; p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, longest {:.1} ms",
            self.statements,
            self.too_old,
            self.failed,
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        )
    }
}

/// All clients.
pub(crate) struct Clients {
    stop: Shutdown,
    running: Vec<JoinHandle<Result<Seen>>>,
}

impl Clients {
    pub(crate) fn start(cluster: &Cluster, weather: Weather) -> Self {
        let stop = Shutdown::new();
        let options: Vec<Opts> =
            (0..cluster.proxies.len()).map(|proxy| cluster.options(proxy).into()).collect();
        let start = |number| {
            let client = Client::new(number, weather, options.clone(), stop.clone());
            tokio::spawn(async move {
                let number = client.number;
                client.run().await.with_context(|| format!("client {number}"))
            })
        };
        let running = (0..CLIENTS).map(start).collect();
        Self { stop, running }
    }

    /// Whether one has ended, which is by an error.
    pub(crate) fn ended(&self) -> bool {
        self.running.iter().any(JoinHandle::is_finished)
    }

    pub(crate) async fn finish(self) -> Result<Seen> {
        self.stop.trigger();
        let mut all = Seen::default();
        for client in self.running {
            let seen = client.await.context("a client panicked")??;
            all.statements += seen.statements;
            all.too_old += seen.too_old;
            all.failed += seen.failed;
            all.took_us.extend(seen.took_us);
        }
        all.took_us.sort_unstable();
        Ok(all)
    }
}

/// A row's key.
type RowKey = (u32, u32);
/// Its balance and v.
type Values = (i64, u64);

/// What a write changes.
#[derive(Clone, Debug, Default)]
struct Write {
    /// Rows: balance and v before and after.
    rows: BTreeMap<RowKey, (Values, Values)>,
    /// An entry that comes or goes.
    entry: Option<(RowKey, bool)>,
}

struct Client {
    number: u32,
    weather: Weather,
    options: Vec<Opts>,
    stop: Shutdown,
    rows: BTreeMap<RowKey, Values>,
    entries: BTreeSet<RowKey>,
    round: u64,
    seen: Seen,
}

impl Client {
    fn new(number: u32, weather: Weather, options: Vec<Opts>, stop: Shutdown) -> Self {
        let own = (0..KEYS).filter(|k| owner(*k) == number);
        let rows = own.flat_map(|k| (0..IDS).map(move |id| ((k, id), (BALANCE, 0)))).collect();
        let (entries, seen) = (BTreeSet::new(), Seen::default());
        Self { number, weather, options, stop, rows, entries, round: 0, seen }
    }

    async fn run(mut self) -> Result<Seen> {
        let mut connection = self.connect().await?;
        while !self.stop.is_triggered() {
            self.round += 1;
            let began = Instant::now();
            let done = tokio::time::timeout(STUCK, self.step(&mut connection)).await;
            let took = began.elapsed();
            done.context("a statement is stuck")?
                .with_context(|| format!("round {}, after {took:?}", self.round))?;
            self.seen.statements += 1;
            self.seen.took_us.push(u64::try_from(took.as_micros())?);
        }
        self.all(&mut connection).await?;
        connection.disconnect().await?;
        Ok(self.seen)
    }

    /// A connection to this client's proxy, or in rough weather to one that is there.
    async fn connect(&self) -> Result<Conn> {
        let began = Instant::now();
        let mut at = self.number as usize;
        loop {
            let options = self.options[at % self.options.len()].clone();
            match tokio::time::timeout(Duration::from_secs(10), Conn::new(options)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) if self.weather == Weather::Calm => {
                    return Err(error).context("connecting");
                }
                Ok(Err(_)) | Err(_) => {
                    ensure!(began.elapsed() < DECIDED, "no proxy lets this client in");
                    at += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// A key of this client.
    fn pick(&self, salt: u64) -> RowKey {
        let mut mixed = (self.round + salt * 1_000_003).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 29;
        let keys = u64::from(KEYS / CLIENTS);
        let k = (mixed % keys) as u32 * CLIENTS + self.number;
        (k, ((mixed / keys) % u64::from(IDS)) as u32)
    }

    async fn step(&mut self, connection: &mut Conn) -> Result<()> {
        match self.round % 10 {
            0 => self.read(connection, Read::Sums).await,
            1 => self.read(connection, Read::Row(self.pick(0))).await,
            2 => self.read(connection, Read::Joined(self.pick(0))).await,
            3 => self.read(connection, Read::Count).await,
            4 => self.read(connection, Read::First).await,
            5 | 6 => {
                let mut write = Write::default();
                self.change(&mut write, self.pick(0), 0);
                self.write(connection, write).await
            }
            7 => {
                let mut write = Write::default();
                let amount = (self.round % 17) as i64;
                self.change(&mut write, self.pick(0), -amount);
                if self.pick(0) != self.pick(1) {
                    self.change(&mut write, self.pick(1), amount);
                } else {
                    write.rows.clear();
                    self.change(&mut write, self.pick(0), 0);
                }
                self.write(connection, write).await
            }
            8 => {
                let key = self.pick(0);
                let entry = Some((key, !self.entries.contains(&key)));
                self.write(connection, Write { entry, ..Write::default() }).await
            }
            _ => {
                let mut write = Write::default();
                let (_, id) = self.pick(0);
                let same: Vec<RowKey> =
                    self.rows.keys().copied().filter(|key| key.1 == id).collect();
                same.into_iter().for_each(|key| self.change(&mut write, key, 0));
                self.write(connection, write).await
            }
        }
    }

    fn change(&self, write: &mut Write, key: RowKey, amount: i64) {
        let before = self.rows[&key];
        write.rows.insert(key, (before, (before.0 + amount, before.1 + 1)));
    }

    /// A read, until it is answered.
    async fn read(&mut self, connection: &mut Conn, read: Read) -> Result<()> {
        let began = Instant::now();
        loop {
            let answer: Result<Vec<Vec<String>>> =
                sql::rows(connection, &read.sql(self.number)).await;
            match answer {
                Ok(answer) => {
                    let right = read.answer(&self.rows, &self.entries);
                    ensure!(answer == right, "{read:?}: {answer:?} is not {right:?}");
                    return Ok(());
                }
                Err(error) => self.bear(connection, error, began).await?,
            }
        }
    }

    /// A statement has failed, which only rough weather excuses.
    async fn bear(
        &mut self,
        connection: &mut Conn,
        error: anyhow::Error,
        began: Instant,
    ) -> Result<()> {
        if self.weather == Weather::Calm || error.is::<Wrong>() || began.elapsed() > DECIDED {
            return Err(error);
        }
        self.seen.failed += 1;
        tokio::time::sleep(Duration::from_millis(30)).await;
        *connection = self.connect().await?;
        Ok(())
    }

    /// A write, until it is there.
    async fn write(&mut self, connection: &mut Conn, write: Write) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.send(connection, &write).await {
                Ok(()) => break,
                Err(error) => {
                    if write.rows.len() == 2
                        && format!("{error:#}").contains("its snapshot does not")
                    {
                        self.seen.too_old += 1;
                        continue;
                    }
                    self.bear(connection, error, began).await?;
                    if self.is_there(connection, &write).await? {
                        break;
                    }
                }
            }
        }
        for (key, (_, after)) in write.rows {
            self.rows.insert(key, after);
        }
        match write.entry {
            Some((key, true)) => drop(self.entries.insert(key)),
            Some((key, false)) => drop(self.entries.remove(&key)),
            None => {}
        }
        Ok(())
    }

    fn met(&self, connection: &Conn, rows: usize, write: &Write) -> Result<()> {
        let met = connection.affected_rows();
        if met == rows as u64 {
            return Ok(());
        }
        bail!(Wrong(format!("{met} rows were met, not {rows}: {write:?}")))
    }

    async fn send(&self, connection: &mut Conn, write: &Write) -> Result<()> {
        if let Some(((k, n), comes)) = write.entry {
            let sql = match comes {
                true => format!("INSERT INTO d.entry VALUES ({k}, {n}, REPEAT('n', {}))", n * 5),
                false => format!("DELETE FROM d.entry WHERE k = {k} AND n = {n}"),
            };
            connection.query_drop(sql).await?;
            self.met(connection, 1, write)?;
            return Ok(());
        }
        let update = |(key, (before, after)): (&RowKey, &(Values, Values))| {
            let amount = after.0 - before.0;
            format!(
                "UPDATE d.account SET balance = balance + {amount}, v = v + 1 \
                 WHERE k = {} AND id = {}",
                key.0, key.1
            )
        };
        match write.rows.len() {
            1 => {
                for row in &write.rows {
                    connection.query_drop(update(row)).await?;
                    self.met(connection, 1, write)?;
                }
            }
            2 => {
                let mut transaction = vec!["BEGIN".to_owned()];
                for row in &write.rows {
                    transaction.push(update(row));
                    let (k, id) = row.0;
                    transaction
                        .push(format!("SELECT v FROM d.account WHERE k = {k} AND id = {id}"));
                }
                transaction.push("COMMIT".to_owned());
                for sql in transaction {
                    connection.query_drop(sql).await?;
                }
            }
            _ => {
                let id = write.rows.keys().next().context("a row")?.1;
                let keys: Vec<String> = write.rows.keys().map(|key| key.0.to_string()).collect();
                let sql = format!(
                    "UPDATE d.account SET v = v + 1 WHERE k IN ({}) AND id = {id}",
                    keys.join(", ")
                );
                connection.query_drop(sql).await?;
                self.met(connection, write.rows.len(), write)?;
            }
        }
        Ok(())
    }

    /// What became of a write that ended unknown; it is all there, or nothing of it is.
    async fn is_there(&mut self, connection: &mut Conn, write: &Write) -> Result<bool> {
        let began = Instant::now();
        loop {
            match self.look(connection, write).await {
                Ok(Some(there)) => {
                    // What it left behind may still come: the same answer once more, later.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    if self.look(connection, write).await.is_ok_and(|again| again == Some(there)) {
                        return Ok(there);
                    }
                }
                Ok(None) => {
                    ensure!(began.elapsed() < DECIDED, "half of {write:?} is there");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => {
                    if error.is::<Wrong>() || began.elapsed() > DECIDED {
                        return Err(error);
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    *connection = self.connect().await?;
                }
            }
        }
    }

    async fn look(&self, connection: &mut Conn, write: &Write) -> Result<Option<bool>> {
        if let Some(((k, n), comes)) = write.entry {
            let sql = format!("SELECT COUNT(*) FROM d.entry WHERE k = {k} AND n = {n} FOR UPDATE");
            let there = sql::value(connection, &sql).await? == "1";
            return Ok(Some(there == comes));
        }
        let (mut old, mut new) = (0, 0);
        for (key, (before, after)) in &write.rows {
            let sql = format!(
                "SELECT balance, v FROM d.account WHERE k = {} AND id = {} FOR UPDATE",
                key.0, key.1
            );
            let row = sql::rows(connection, &sql).await?;
            let is = |(balance, v): &Values| row == [[balance.to_string(), v.to_string()]];
            match (is(before), is(after)) {
                (true, _) => old += 1,
                (_, true) => new += 1,
                (false, false) => bail!(Wrong(format!("{key:?} is {row:?}: {write:?}"))),
            }
        }
        Ok(match (old, new) {
            (_, 0) => Some(false),
            (0, _) => Some(true),
            (_, _) => None,
        })
    }

    /// Every row of this client, at the end.
    async fn all(&mut self, connection: &mut Conn) -> Result<()> {
        self.read(connection, Read::All).await?;
        self.read(connection, Read::Sums).await
    }
}

/// An answer that nothing excuses.
#[derive(Debug)]
struct Wrong(String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// What is read.
#[derive(Clone, Copy, Debug)]
enum Read {
    Row(RowKey),
    Joined(RowKey),
    Sums,
    Count,
    First,
    All,
}

impl Read {
    fn sql(self, owner: u32) -> String {
        match self {
            Read::Row((k, id)) => {
                format!("SELECT balance, v FROM d.account WHERE k = {k} AND id = {id}")
            }
            Read::Joined((k, _)) => format!(
                "SELECT a.id, a.v, e.n FROM d.account a LEFT JOIN d.entry e ON e.k = a.k AND e.n = a.id \
                 WHERE a.k = {k} ORDER BY a.id"
            ),
            Read::Sums => format!(
                "SELECT COUNT(*), SUM(balance), SUM(v), MAX(v) FROM d.account WHERE owner = {owner}"
            ),
            Read::Count => "SELECT COUNT(*) FROM d.account".to_owned(),
            Read::First => format!(
                "SELECT k, id, v FROM d.account WHERE owner = {owner} ORDER BY k DESC, id LIMIT 20"
            ),
            Read::All => format!(
                "SELECT k, id, balance, v FROM d.account WHERE owner = {owner} ORDER BY k, id"
            ),
        }
    }

    fn answer(
        self,
        rows: &BTreeMap<RowKey, Values>,
        entries: &BTreeSet<RowKey>,
    ) -> Vec<Vec<String>> {
        let line =
            |values: &[&dyn ToString]| values.iter().map(|value| value.to_string()).collect();
        match self {
            Read::Row(key) => vec![line(&[&rows[&key].0, &rows[&key].1])],
            Read::Joined((k, _)) => (0..IDS)
                .map(|id| {
                    let there = entries.contains(&(k, id));
                    let entry = if there { id.to_string() } else { "NULL".to_owned() };
                    line(&[&id, &rows[&(k, id)].1, &entry])
                })
                .collect(),
            Read::Sums => {
                let balance: i64 = rows.values().map(|row| row.0).sum();
                let v: u64 = rows.values().map(|row| row.1).sum();
                let last = rows.values().map(|row| row.1).max().unwrap_or_default();
                vec![line(&[&rows.len(), &balance, &v, &last])]
            }
            Read::Count => vec![line(&[&(KEYS * IDS)])],
            Read::First => {
                let mut all: Vec<_> = rows.iter().collect();
                all.sort_by_key(|((k, id), _)| (std::cmp::Reverse(*k), *id));
                let first = all.into_iter().take(20);
                first.map(|((k, id), row)| line(&[k, id, &row.1])).collect()
            }
            Read::All => rows.iter().map(|((k, id), row)| line(&[k, id, &row.0, &row.1])).collect(),
        }
    }
}
