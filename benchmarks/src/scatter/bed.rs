//! The servers of a measurement, with their rows.

use super::spider;
use crate::random::Random;
use anyhow::{Context, Result};
use mysql_async::{Conn, prelude::Queryable};
use shardline_console::local::settings::ServerTuning;
use shardline_tests::{Cluster, ClusterConfig, Server, sql};
use std::fmt::Write as _;

/// Servers under Shardline and under Spider.
const SHARDS: usize = 3;
/// Rows of one INSERT.
const INSERT_ROWS: u32 = 1_000;
/// Different values of `g`.
const GROUPS: u64 = 100;
/// InnoDB's cache of each server: the whole table fits.
const CACHE_MIB: u32 = 192;

/// As sysbench makes it, with a column of few values for GROUP BY.
const COLUMNS: &str = "id INT NOT NULL, k INT NOT NULL, g INT NOT NULL, c CHAR(120) NOT NULL, \
                       pad CHAR(60) NOT NULL, PRIMARY KEY (id), KEY k_1 (k)";

/// The running servers.
pub(super) struct Bed {
    cluster: Cluster,
    spider: Server,
    plain: Server,
}

impl Bed {
    /// Starts all peers with a table of `rows` rows.
    pub(super) async fn start(rows: u32) -> Result<Self> {
        let config = ClusterConfig { shards: SHARDS, meta: 1, proxies: 1, ..Default::default() };
        let cluster = Cluster::start(config).await?;
        let tuning = ServerTuning { buffer_pool_mib: CACHE_MIB, ..ServerTuning::default() };
        let plain = Server::start_with(tuning, 98).await?;
        for shard in &cluster.shards {
            let resize = format!("SET GLOBAL innodb_buffer_pool_size = {}", CACHE_MIB << 20);
            let mut conn = shard.connect().await?;
            sql::run(&mut conn, &[&resize]).await?;
            conn.disconnect().await?;
        }
        let (mut one, mut many) = (plain.connect().await?, cluster.connect(0).await?);
        let database = ["CREATE DATABASE sbtest", "USE sbtest"];
        sql::run(&mut one, &database).await?;
        sql::run(&mut many, &database).await?;
        let create = format!("CREATE TABLE sbtest1 ({COLUMNS})");
        sql::run(&mut one, &[&create]).await?;
        sql::run(&mut many, &[&format!("{create} SHARD BY HASH (id)")]).await?;
        let mut random = Random::new(0x2545_f491_4f6c_dd1d);
        for first in (1..=rows).step_by(INSERT_ROWS as usize) {
            let insert = insert(first..(first + INSERT_ROWS).min(rows + 1), rows, &mut random);
            let (one, many) = tokio::join!(one.query_drop(&insert), many.query_drop(&insert));
            one.context("filling the one server")?;
            many.context("filling the shards")?;
        }
        sql::run(&mut one, &["ANALYZE TABLE sbtest1"]).await?;
        for shard in &cluster.shards {
            let mut conn = shard.connect().await?;
            sql::run(&mut conn, &["ANALYZE TABLE sbtest.sbtest1"]).await?;
            conn.disconnect().await?;
        }
        one.disconnect().await?;
        many.disconnect().await?;
        let spider = spider::start(&cluster.shards, COLUMNS).await?;
        Ok(Self { cluster, spider, plain })
    }

    /// A session of each peer.
    pub(super) async fn peers(&self) -> Result<Vec<(&'static str, Conn)>> {
        let mut plain = self.plain.connect().await?;
        let mut shardline = self.cluster.connect(0).await?;
        sql::run(&mut plain, &["USE sbtest"]).await?;
        sql::run(&mut shardline, &["USE sbtest"]).await?;
        let spider = spider::connect(&self.spider).await?;
        Ok(vec![("one server", plain), ("spider", spider), ("shardline", shardline)])
    }

    /// The proxy's process.
    pub(super) fn proxy_pid(&self) -> Result<u32> {
        self.cluster.proxies.first().context("no proxy")?.process.pid()
    }
}

fn insert(ids: std::ops::Range<u32>, rows: u32, random: &mut Random) -> String {
    let mut text = "INSERT INTO sbtest1 VALUES ".to_owned();
    for id in ids.clone() {
        let comma = if id > ids.start { "," } else { "" };
        let (k, g) = (1 + random.below(u64::from(rows / 10).max(1)), random.below(GROUPS));
        let _ = write!(text, "{comma}({id},{k},{g},'");
        random.digits(10, &mut text);
        text.push_str("','");
        random.digits(5, &mut text);
        text.push_str("')");
    }
    text
}
