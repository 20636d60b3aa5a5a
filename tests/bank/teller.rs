//! A client of the bank: one operation after the other, each noted with what it was told.

use crate::{
    bank::{Bank, SHARDS, TRIOS},
    deed::{Deed, Fate, Kind, Transfer, Unknown},
    random::Random,
    steps::{Steps, Wanted},
};
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, Opts, prelude::Queryable};
use shardline_base::Shutdown;
use shardline_tests::sql;
use std::{sync::Arc, time::Duration};

/// How long a client waits for an answer before it hangs up. A commit may take 17 s: for locks, for
/// its branches, for its anchor, for its outcome.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long it waits for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Before it tries again.
const PAUSE: Duration = Duration::from_millis(100);
/// One in so many acknowledged transactions is asked about.
const ASKED: u64 = 40;

/// One client.
pub(crate) struct Teller {
    pub(crate) bank: Arc<Bank>,
    /// From 0.
    pub(crate) number: usize,
    /// The proxies, its own first.
    pub(crate) proxies: Vec<Opts>,
    pub(crate) random: Random,
    pub(crate) stop: Shutdown,
    /// The next number for the journal; each client has a range of its own.
    pub(crate) next: u64,
}

impl Teller {
    /// Works until told to stop.
    pub(crate) async fn work(mut self) -> Result<Vec<Deed>> {
        let mut deeds = Vec::new();
        let (mut connection, mut turn) = (None, 0);
        while !self.stop.is_triggered() {
            let Some(open) = &mut connection else {
                let proxy = self.proxies[turn % self.proxies.len()].clone();
                turn += 1;
                match tokio::time::timeout(CONNECT, Conn::new(proxy)).await {
                    Ok(Ok(open)) => connection = Some(open),
                    Ok(Err(_)) | Err(_) => tokio::time::sleep(PAUSE).await,
                }
                continue;
            };
            let (deed, usable) = self.one(open).await?;
            if !matches!(deed.fate, Fate::Acknowledged) {
                tokio::time::sleep(PAUSE / 4).await;
            }
            deeds.push(deed);
            if !usable {
                connection = None;
            }
        }
        Ok(deeds)
    }

    /// One operation, and whether the connection is of further use.
    async fn one(&mut self, connection: &mut Conn) -> Result<(Deed, bool)> {
        match self.random.below(100) {
            0..15 => self.move_pockets(connection).await,
            15..27 => self.round(connection).await,
            _ => self.transfer(connection).await,
        }
    }

    /// One row on one shard, by itself.
    async fn move_pockets(&mut self, connection: &mut Conn) -> Result<(Deed, bool)> {
        let trio = self.random.below(TRIOS as u64) as usize;
        let account = self.bank.account(trio, self.random.below(SHARDS as u64) as usize);
        let statement = format!(
            "UPDATE bank.account SET balance = balance - 1, saved = saved + 1, \
             moves = moves + 1 WHERE id = {account}"
        );
        let kind = Kind::Move { account };
        self.alone(connection, kind, "one row", &statement, 1).await
    }

    /// Rows on all shards by one statement. Each client has a trio that only it goes round.
    async fn round(&mut self, connection: &mut Conn) -> Result<(Deed, bool)> {
        let trio = self.number;
        let [a, b, c] = self.bank.trio(trio);
        let (way, which) = match self.random.per_mille(850) {
            true => ("rows by key", format!("id IN ({a}, {b}, {c})")),
            false => ("rows without key", format!("trio = {trio}")),
        };
        let statement = format!(
            "UPDATE bank.account SET balance = balance - 1, saved = saved + 1, \
             rounds = rounds + 1 WHERE {which}"
        );
        self.alone(connection, Kind::Round { trio }, way, &statement, SHARDS as u64).await
    }

    async fn alone(
        &mut self,
        connection: &mut Conn,
        kind: Kind,
        way: &'static str,
        statement: &str,
        rows: u64,
    ) -> Result<(Deed, bool)> {
        let sent = send(connection, statement, self.random.per_mille(300)).await;
        let (fate, usable) = match sent {
            Ok(()) => {
                let changed = connection.affected_rows();
                ensure!(changed == rows, "{statement} changed {changed} rows");
                (Fate::Acknowledged, true)
            }
            Err(error) => self.ended(connection, &error).await,
        };
        Ok((Deed { kind, fate, way }, usable))
    }

    /// Money between two accounts, with a row in the journal that lies wherever chance wants it.
    async fn transfer(&mut self, connection: &mut Conn) -> Result<(Deed, bool)> {
        let random = &mut self.random;
        let one_shard = random.per_mille(150);
        let from = random.below(SHARDS as u64) as usize;
        let to = if one_shard { from } else { random.below(SHARDS as u64) as usize };
        let on = if one_shard { from } else { random.below(SHARDS as u64) as usize };
        let first = random.below(TRIOS as u64) as usize;
        let second = (first + 1 + random.below(TRIOS as u64 - 1) as usize) % TRIOS;
        let id = self.bank.journal_on(on, self.next)?;
        self.next = id + 1;
        let (source, target) = (self.bank.account(first, from), self.bank.account(second, to));
        let amount = random.between(1, 50) as i64;
        let transfer = Transfer { id, source, target, amount };
        let steps = Steps::of(&self.bank, transfer, &mut self.next, &mut self.random)?;
        let way = steps.way;
        let binary = self.random.per_mille(300);
        let hang_up = match self.random.below(100) {
            0 => Some(Duration::ZERO),
            1 => Some(Duration::from_millis(self.random.between(1, 40))),
            _ => None,
        };
        let (fate, usable) = self.run(connection, &steps, binary, hang_up).await?;
        let mut usable = usable;
        let wide = from != to || from != on;
        if matches!(fate, Fate::Acknowledged) && wide && self.random.below(ASKED) == 0 {
            usable = self.check_status(connection).await?;
        }
        Ok((Deed { kind: Kind::Transfer(transfer), fate, way }, usable))
    }

    /// Runs a transaction. `hang_up`: the client goes away so long after it said COMMIT, and without
    /// saying it at zero.
    async fn run(
        &mut self,
        connection: &mut Conn,
        steps: &Steps,
        binary: bool,
        hang_up: Option<Duration>,
    ) -> Result<(Fate, bool)> {
        let (fate, mut open) = self.run_open(connection, steps, binary, hang_up).await?;
        if let Some(after) = steps.after
            && open
        {
            open = send(connection, after, false).await.is_ok();
        }
        Ok((fate, open))
    }

    async fn run_open(
        &mut self,
        connection: &mut Conn,
        steps: &Steps,
        binary: bool,
        hang_up: Option<Duration>,
    ) -> Result<(Fate, bool)> {
        for statement in &steps.begin {
            if let Err(error) = send(connection, statement, false).await {
                return Ok((Fate::Refused(error.to_string()), is_open(&error)));
            }
        }
        for (statement, wanted) in &steps.statements {
            let binary = binary && *wanted != Wanted::Any;
            match send(connection, statement, binary).await {
                Ok(()) => {
                    let changed = connection.affected_rows();
                    let fine = match wanted {
                        Wanted::Rows(rows) => *rows == changed,
                        Wanted::Any => true,
                        Wanted::Error(_) => false,
                    };
                    ensure!(fine, "{statement} changed {changed} rows, {}", steps.way);
                }
                Err(error) if *wanted == Wanted::Error(error_number(&error)) => {}
                Err(error) => {
                    let mut open = is_open(&error);
                    if open {
                        open = send(connection, "ROLLBACK", false).await.is_ok();
                    }
                    return Ok((Fate::Refused(format!("{statement}: {error}")), open));
                }
            }
        }
        if hang_up == Some(Duration::ZERO) {
            return Ok((Fate::Refused("the client went away".to_owned()), false));
        }
        let commit = send(connection, "COMMIT", false);
        let Ok(sent) = tokio::time::timeout(hang_up.unwrap_or(PATIENCE * 2), commit).await else {
            let text = "the client went away during COMMIT".to_owned();
            return Ok((Fate::Unknown(Unknown { text, ..Unknown::default() }), false));
        };
        Ok(match sent {
            Ok(()) => (Fate::Acknowledged, true),
            Err(error) => self.ended(connection, &error).await,
        })
    }

    /// What an error says that came in answer to what was to be committed.
    async fn ended(&self, connection: &mut Conn, error: &mysql_async::Error) -> (Fate, bool) {
        let mut fate = Fate::of_commit(error);
        let mut open = is_open(error);
        if let Fate::Unknown(Unknown { xid: Some(xid), status, .. }) = &mut fate {
            match status_of(connection, xid).await {
                Ok(word) => *status = Some(word),
                Err(_) => open = false,
            }
        }
        (fate, open)
    }

    /// The transaction just acknowledged is not said to be anything but committed.
    async fn check_status(&self, connection: &mut Conn) -> Result<bool> {
        let asked = sql::rows(connection, "SHOW TRANSACTION STATUS");
        let Ok(Ok(rows)) = tokio::time::timeout(PATIENCE, asked).await else { return Ok(false) };
        let word = rows.first().and_then(|row| row.get(1)).context("no status")?;
        let fine = ["committed", "forgotten", "unreachable"].contains(&word.as_str());
        ensure!(fine, "acknowledged, and then {rows:?}");
        Ok(true)
    }
}

/// The word of SHOW TRANSACTION STATUS.
pub(crate) async fn status_of(connection: &mut Conn, xid: &str) -> Result<String> {
    let statement = format!("SHOW TRANSACTION STATUS '{xid}'");
    let asked = sql::rows(connection, &statement);
    let rows = tokio::time::timeout(PATIENCE, asked).await.context("no answer")??;
    rows.first().and_then(|row| row.get(1).cloned()).context("no status")
}

async fn send(
    connection: &mut Conn,
    statement: &str,
    binary: bool,
) -> Result<(), mysql_async::Error> {
    let sent = async {
        match binary {
            true => connection.exec_drop(statement, ()).await,
            false => connection.query_drop(statement).await,
        }
    };
    match tokio::time::timeout(PATIENCE, sent).await {
        Ok(done) => done,
        Err(_) => Err(mysql_async::Error::Other("no answer; the client hangs up".into())),
    }
}

fn error_number(error: &mysql_async::Error) -> u16 {
    sql::error_number(error).unwrap_or_default()
}

fn is_open(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(_))
}
