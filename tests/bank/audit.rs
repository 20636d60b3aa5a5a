//! The end: what the shards hold, against what the clients were told.

use crate::{
    bank::{BALANCE, Bank, SHARDS, TRIOS},
    deed::{Deed, Fate, Kind, Transfer, Unknown},
    teller,
};
use anyhow::{Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_tests::Cluster;
use std::collections::{BTreeMap, BTreeSet};

/// Violations that are listed.
const LISTED_MAX: usize = 20;

/// A row of the journal and its state.
type Journal = BTreeMap<u64, (Transfer, i64)>;

/// An account.
struct Account {
    balance: i64,
    moves: u64,
    rounds: u64,
}

/// How many operations ended how, over all clients.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    pub(crate) unknown_done: u64,
    pub(crate) asked: u64,
}

/// Compares. Everything is up, and nothing is under way.
pub(crate) async fn audit(cluster: &Cluster, bank: &Bank, deeds: &[Deed]) -> Result<Told> {
    let mut audit = Audit::read(cluster).await?;
    audit.money(bank);
    let mut client = cluster.connect(0).await?;
    let mut told = Told::default();
    for deed in deeds {
        match &deed.fate {
            Fate::Acknowledged => told.acknowledged += 1,
            Fate::Refused(_) => told.refused += 1,
            Fate::Unknown(_) => told.unknown += 1,
        }
        if let Kind::Transfer(transfer) = deed.kind {
            audit.transfer(&mut client, deed, transfer, &mut told).await?;
        }
    }
    audit.strangers(deeds);
    audit.counters(bank, deeds);
    let count = audit.violations.len();
    audit.violations.truncate(LISTED_MAX);
    ensure!(count == 0, "{count} violations:\n{}", audit.violations.join("\n"));
    Ok(told)
}

struct Audit {
    accounts: BTreeMap<u64, Account>,
    journal: Journal,
    violations: Vec<String>,
}

impl Audit {
    async fn read(cluster: &Cluster) -> Result<Self> {
        let (mut accounts, mut journal) = (BTreeMap::new(), Journal::new());
        for shard in &cluster.shards {
            let mut server: Conn = shard.connect().await?;
            let rows: Vec<(u64, i64, u64, u64)> =
                server.query("SELECT id, balance + saved, moves, rounds FROM bank.account").await?;
            for (id, balance, moves, rounds) in rows {
                let twice = accounts.insert(id, Account { balance, moves, rounds });
                ensure!(twice.is_none(), "account {id} is on two shards");
            }
            let rows: Vec<(u64, u64, u64, i64, i64)> =
                server.query("SELECT id, source, target, amount, state FROM bank.journal").await?;
            for (id, source, target, amount, state) in rows {
                let transfer = Transfer { id, source, target, amount };
                let twice = journal.insert(id, (transfer, state));
                ensure!(twice.is_none(), "row {id} of the journal is on two shards");
            }
        }
        Ok(Audit { accounts, journal, violations: Vec::new() })
    }

    /// Each account holds what the journal says, so the total is what it was.
    fn money(&mut self, bank: &Bank) {
        let mut due: BTreeMap<u64, i64> =
            (0..TRIOS).flat_map(|trio| bank.trio(trio)).map(|id| (id, BALANCE)).collect();
        for (transfer, _) in self.journal.values() {
            *due.entry(transfer.source).or_default() -= transfer.amount;
            *due.entry(transfer.target).or_default() += transfer.amount;
        }
        for (id, due) in &due {
            let found = self.accounts.get(id).map(|account| account.balance);
            if found != Some(*due) {
                self.violations.push(format!("account {id} holds {found:?}, not {due}"));
            }
        }
        let total: i64 = self.accounts.values().map(|account| account.balance).sum();
        let wanted = BALANCE * (TRIOS * SHARDS) as i64;
        if total != wanted {
            self.violations.push(format!("the total is {total}, not {wanted}"));
        }
    }

    async fn transfer(
        &mut self,
        client: &mut Conn,
        deed: &Deed,
        transfer: Transfer,
        told: &mut Told,
    ) -> Result<()> {
        let found = self.journal.get(&transfer.id).copied();
        if let Some(found) = found
            && found != (transfer, 1)
        {
            self.violations.push(format!("{deed:?} left {found:?}"));
        }
        match (&deed.fate, found.is_some()) {
            (Fate::Acknowledged, true) | (Fate::Refused(_), false) => {}
            (Fate::Acknowledged, false) => self.violations.push(format!("missing: {deed:?}")),
            (Fate::Refused(_), true) => self.violations.push(format!("not refused: {deed:?}")),
            (Fate::Unknown(unknown), there) => {
                told.unknown_done += u64::from(there);
                if let Some(xid) = &unknown.xid {
                    told.asked += 1;
                    let status = teller::status_of(client, xid).await?;
                    self.status(deed, unknown, there, &status);
                }
            }
        }
        Ok(())
    }

    /// What SHOW TRANSACTION STATUS says agrees with what is there, and with what it said before.
    fn status(&mut self, deed: &Deed, unknown: &Unknown, there: bool, now: &str) {
        let agrees = match now {
            "committed" | "forgotten" => there,
            "aborted" => !there,
            _ => false,
        };
        let kept = match unknown.status.as_deref() {
            Some("committed" | "forgotten") => there,
            Some("aborted") => !there,
            _ => true,
        };
        if !agrees || !kept {
            self.violations.push(format!("there: {there}, status now {now:?}: {deed:?}"));
        }
    }

    /// No row of the journal that nobody wrote.
    fn strangers(&mut self, deeds: &[Deed]) {
        let known: BTreeSet<u64> = deeds
            .iter()
            .filter_map(|deed| match deed.kind {
                Kind::Transfer(transfer) => Some(transfer.id),
                Kind::Move { .. } | Kind::Round { .. } => None,
            })
            .collect();
        for id in self.journal.keys().filter(|id| !known.contains(id)) {
            self.violations.push(format!("nobody wrote row {id} of the journal"));
        }
    }

    /// Operations without a row in the journal are counted by the accounts.
    fn counters(&mut self, bank: &Bank, deeds: &[Deed]) {
        let mut moves: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let mut rounds: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for deed in deeds {
            let entry = match deed.kind {
                Kind::Transfer(_) => continue,
                Kind::Move { account } => moves.entry(account).or_default(),
                Kind::Round { trio } => rounds.entry(trio).or_default(),
            };
            match deed.fate {
                Fate::Acknowledged => entry.0 += 1,
                Fate::Refused(_) => {}
                Fate::Unknown(_) => entry.1 += 1,
            }
        }
        for (id, account) in &self.accounts {
            let (done, unknown) = moves.get(id).copied().unwrap_or_default();
            if !(done..=done + unknown).contains(&account.moves) {
                let seen = account.moves;
                let text = format!("account {id} has {seen} moves, {done} and {unknown} unknown");
                self.violations.push(text);
            }
        }
        for trio in 0..TRIOS {
            let seen = bank.trio(trio).map(|id| self.accounts.get(&id).map_or(0, |one| one.rounds));
            let (done, unknown) = rounds.get(&trio).copied().unwrap_or_default();
            let same = seen.iter().all(|one| *one == seen[0]);
            if !same || !(done..=done + unknown).contains(&seen[0]) {
                let text = format!("trio {trio} has {seen:?}, {done} and {unknown} unknown");
                self.violations.push(text);
            }
        }
    }
}
