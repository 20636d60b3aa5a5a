//! The servers, with the same accounts in two databases: one whose guard goes up and one whose
//! guard never does.

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_tests::{Cluster, ClusterConfig, sql};
use std::fmt::Write;

/// Shards; a transfer uses the accounts of two of them.
const SHARDS: usize = 3;
/// Accounts, over all shards.
const ACCOUNTS: u32 = 30_000;
/// Rows of one INSERT.
const INSERT_ROWS: u32 = 1_000;

/// Transfers and guarded writes are made here.
pub(super) const GUARDED: &str = "guarded";
/// Only single writes are made here.
pub(super) const PLAIN: &str = "plain";

/// The running servers.
pub(super) struct Bed {
    cluster: Cluster,
    /// The accounts of each shard.
    pub(super) accounts: Vec<Vec<u32>>,
}

impl Bed {
    pub(super) async fn start() -> Result<Self> {
        let config = ClusterConfig { shards: SHARDS, meta: 1, proxies: 1, ..Default::default() };
        let cluster = Cluster::start(config).await?;
        let mut client = cluster.connect(0).await?;
        for database in [GUARDED, PLAIN] {
            let create = format!(
                "CREATE TABLE {database}.account (id INT NOT NULL PRIMARY KEY, \
                 balance BIGINT NOT NULL, writes BIGINT NOT NULL) SHARD BY HASH (id)"
            );
            sql::run(&mut client, &[&format!("CREATE DATABASE {database}"), &create]).await?;
        }
        for first in (0..ACCOUNTS).step_by(INSERT_ROWS as usize) {
            let mut insert = format!("INSERT INTO {GUARDED}.account VALUES ");
            for id in first..first + INSERT_ROWS {
                let comma = if id > first { "," } else { "" };
                write!(insert, "{comma}({id},0,0)").context("making an INSERT")?;
            }
            client.query_drop(insert).await?;
        }
        client.disconnect().await?;
        let mut accounts = Vec::new();
        for shard in &cluster.shards {
            let mut direct = shard.connect().await?;
            // Through the proxy these would be writes on several shards, which raise the guard.
            let copy = format!("INSERT INTO {PLAIN}.account SELECT * FROM {GUARDED}.account");
            direct.query_drop(copy).await?;
            let ids: Vec<u32> = direct.query(format!("SELECT id FROM {PLAIN}.account")).await?;
            ensure!(ids.len() > 1_000, "a shard has {} accounts only", ids.len());
            accounts.push(ids);
            direct.disconnect().await?;
        }
        Ok(Self { cluster, accounts })
    }

    /// A session with the proxy.
    pub(super) async fn session(&self) -> Result<Conn> {
        self.cluster.connect(0).await
    }

    /// A session with each shard's server.
    pub(super) async fn direct(&self) -> Result<Vec<Conn>> {
        let mut all = Vec::new();
        for shard in &self.cluster.shards {
            all.push(shard.connect().await?);
        }
        Ok(all)
    }

    /// Whether transfers have kept the total.
    pub(super) async fn check(&self) -> Result<()> {
        let mut client = self.session().await?;
        let sum = format!("SELECT SUM(balance) FROM {GUARDED}.account");
        let sum = sql::value(&mut client, &sum).await?;
        ensure!(sum == "0", "the total of all accounts is {sum} and was 0");
        Ok(())
    }
}
