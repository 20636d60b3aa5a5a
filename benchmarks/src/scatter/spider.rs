//! A MariaDB server with the Spider engine over the shards' own tables, tuned fairly: its
//! connections to the shards stay open, nothing is sent that one read does not need, and
//! the shards are asked at the same time.

use anyhow::{Context, Result};
use mysql_async::Conn;
use shardline_console::local::settings::ServerTuning;
use shardline_tests::{Server, server, sql, wait};
use std::time::Duration;

/// Session settings of the tuned Spider.
const SETTINGS: &[&str] = &[
    "SET SESSION spider_conn_recycle_mode = 2",
    "SET SESSION spider_sync_autocommit = 0",
    "SET SESSION spider_sync_trx_isolation = 0",
    "SET GLOBAL spider_sync_sql_mode = 0",
    "SET SESSION spider_sync_sql_mode = 0",
    "SET SESSION spider_semi_trx = 0",
    "SET SESSION spider_bgs_mode = 3",
];

/// How long the engine may take to be there.
const READY: Duration = Duration::from_secs(30);

/// Starts it. Its table `sbtest.sbtest1` has a partition on each shard.
pub(super) async fn start(shards: &[Server], columns: &str) -> Result<Server> {
    let options = vec!["--plugin-load-add=ha_spider".to_owned()];
    let tuning = ServerTuning { options, ..ServerTuning::default() };
    let spider = Server::start_with(tuning, 99).await?;
    let mut conn = spider.connect().await?;
    sql::run(&mut conn, &["CREATE DATABASE sbtest"]).await?;
    let account = server::account();
    let mut partitions = Vec::new();
    for (number, shard) in (1..).zip(shards) {
        let server = format!(
            "CREATE SERVER s{number} FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'localhost', SOCKET '{}', \
             DATABASE 'sbtest', USER '{}', PASSWORD '{}')",
            shard.socket().display(),
            account.user,
            account.password
        );
        wait::until("the Spider engine", READY, || {
            let (options, server) = (spider.connect(), server.clone());
            async move {
                let mut conn = options.await?;
                sql::run(&mut conn, &[&server]).await?;
                Ok(conn.disconnect().await?)
            }
        })
        .await?;
        partitions.push(format!(
            "PARTITION p{number} COMMENT = 'wrapper \"mysql\", server \"s{number}\", table \"sbtest1\"'"
        ));
    }
    let create = format!(
        "CREATE TABLE sbtest.sbtest1 ({columns}) ENGINE=SPIDER PARTITION BY KEY (id) ({})",
        partitions.join(", ")
    );
    sql::run(&mut conn, &[&create]).await.context("making the Spider table")?;
    conn.disconnect().await?;
    Ok(spider)
}

/// A tuned session.
pub(super) async fn connect(spider: &Server) -> Result<Conn> {
    let mut conn = spider.connect().await?;
    sql::run(&mut conn, SETTINGS).await?;
    sql::run(&mut conn, &["USE sbtest"]).await?;
    Ok(conn)
}
