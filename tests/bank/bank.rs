//! The bank: its tables, and which account is on which shard.

use anyhow::{Context, Result};
use mysql_async::Conn;
use shardline_model::{catalog::Catalog, key::KeyPart};
use shardline_tests::{Cluster, sql};
use std::sync::Arc;

/// Shards.
pub(crate) const SHARDS: usize = 3;
/// Trios: accounts that one operation changes alike, one on each shard.
pub(crate) const TRIOS: usize = 16;
/// What each account begins with.
pub(crate) const BALANCE: i64 = 1_000;

/// `saved` belongs to the balance too; `moves` and `rounds` count operations.
const TABLES: [&str; 3] = [
    "CREATE DATABASE bank",
    "CREATE TABLE bank.account (id BIGINT NOT NULL PRIMARY KEY, trio INT NOT NULL, \
     balance BIGINT NOT NULL, saved BIGINT NOT NULL DEFAULT 0, moves BIGINT NOT NULL DEFAULT 0, \
     rounds BIGINT NOT NULL DEFAULT 0) SHARD BY HASH (id)",
    "CREATE TABLE bank.journal (id BIGINT NOT NULL PRIMARY KEY, source BIGINT NOT NULL, \
     target BIGINT NOT NULL, amount BIGINT NOT NULL, state INT NOT NULL) SHARD BY HASH (id)",
];

/// Where everything is.
pub(crate) struct Bank {
    catalog: Arc<Catalog>,
    /// The accounts of a trio, by shard.
    trios: Vec<[u64; SHARDS]>,
}

impl Bank {
    /// Makes the tables and the accounts.
    pub(crate) async fn open(cluster: &Cluster) -> Result<Self> {
        let mut client: Conn = cluster.connect(0).await?;
        sql::run(&mut client, &TABLES).await?;
        let mut bank = Bank { catalog: cluster.catalog().await?, trios: Vec::new() };
        let mut by_shard: [Vec<u64>; SHARDS] = Default::default();
        for id in 1.. {
            let shard = bank.shard("account", id)?;
            by_shard[shard].push(id);
            if by_shard.iter().all(|ids| ids.len() >= TRIOS) {
                break;
            }
        }
        let trio = |number: usize| std::array::from_fn(|shard| by_shard[shard][number]);
        bank.trios = (0..TRIOS).map(trio).collect();
        let row = |(number, ids): (usize, &[u64; SHARDS])| {
            ids.map(|id| format!("({id}, {number}, {BALANCE})")).join(", ")
        };
        let rows: Vec<_> = bank.trios.iter().enumerate().map(row).collect();
        // The first write on several shards raises the guard, which waits for proxies that have
        // just died: before any does.
        let insert =
            format!("INSERT INTO bank.account (id, trio, balance) VALUES {}", rows.join(", "));
        sql::run(&mut client, &[&insert]).await?;
        client.disconnect().await?;
        Ok(bank)
    }

    /// The shard of a row, from 0.
    fn shard(&self, table: &str, id: u64) -> Result<usize> {
        let table = self.catalog.table("bank", table).context("a table")?;
        let group = table.group(&self.catalog).context("its group")?;
        let key = [KeyPart::Integer(id.into())];
        let owner = group.placement.owner(&key, &group.key_types).context("an owner")?;
        let name = &self.catalog.shards[&owner].name;
        let number: usize = name.trim_start_matches('s').parse()?;
        Ok(number - 1)
    }

    /// The first journal number from `from` on that lies on the shard.
    pub(crate) fn journal_on(&self, shard: usize, from: u64) -> Result<u64> {
        for id in from.. {
            if self.shard("journal", id)? == shard {
                return Ok(id);
            }
        }
        anyhow::bail!("no number is on shard {shard}")
    }

    /// An account.
    pub(crate) fn account(&self, trio: usize, shard: usize) -> u64 {
        self.trios[trio][shard]
    }

    /// All accounts of a trio.
    pub(crate) fn trio(&self, trio: usize) -> [u64; SHARDS] {
        self.trios[trio]
    }
}
