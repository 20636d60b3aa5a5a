//! A MariaDB server with the Spider engine over three servers, tuned fairly: its
//! connections to them stay open, and nothing is sent that a statement does not need.

use super::{data::TableName, program, servers};
use anyhow::{Context, Result, ensure};
use mysql_async::Conn;
use shardline_tests::{Server, server, sql, wait};
use std::{fmt::Write as _, time::Duration};

/// Servers under it.
pub const SERVERS: usize = 3;

/// How long the engine may take to be there.
const READY: Duration = Duration::from_secs(30);

const OPTIONS: &[&str] = &[
    "--plugin-load-add=ha_spider",
    "--loose-spider-conn-recycle-mode=2",
    "--loose-spider-sync-autocommit=0",
    "--loose-spider-sync-trx-isolation=0",
    "--loose-spider-sync-sql-mode=0",
    "--loose-spider-semi-trx=0",
];

/// Starts it over these ports.
///
/// # Errors
/// The plugin is not installed, or a server does not start.
pub async fn start(ports: &[u16]) -> Result<Server> {
    ensure!(ports.len() == SERVERS, "Spider is measured over {SERVERS} servers");
    let mut tuning = servers::tuning();
    tuning.options.extend(OPTIONS.iter().map(|option| (*option).to_owned()));
    let spider = Server::start_with(tuning, 99).await?;
    // The engine makes its own tables after the server has begun to answer.
    wait::until("the Spider engine", READY, || async {
        let mut conn = spider.connect().await?;
        let engines = "SELECT COUNT(*) FROM information_schema.engines WHERE engine = 'SPIDER'";
        let found = sql::value(&mut conn, engines).await?;
        conn.disconnect().await?;
        ensure!(found == "1", "no such engine: apt-get install mariadb-plugin-spider");
        Ok(())
    })
    .await?;
    let account = server::account();
    for (number, port) in (1..).zip(ports) {
        let create = format!(
            "CREATE SERVER s{number} FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1', \
             PORT {port}, USER '{}', PASSWORD '{}')",
            account.user, account.password
        );
        wait::until("Spider's list of servers", READY, || async {
            let mut conn = spider.connect().await?;
            sql::run(&mut conn, &[&create]).await?;
            Ok(conn.disconnect().await?)
        })
        .await?;
    }
    Ok(spider)
}

/// The end of CREATE TABLE for a table with a partition on each server.
pub(super) fn suffix(table: &TableName, key: &str) -> String {
    let mut text = format!("ENGINE=SPIDER PARTITION BY KEY ({key}) (");
    for number in 1..=SERVERS {
        let comma = if number > 1 { ", " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{comma}PARTITION p{number} COMMENT = 'wrapper \"mysql\", server \"s{number}\", \
             database \"{}\", table \"{}\"'",
            table.database, table.name
        );
    }
    text + ")"
}

/// Reads from all servers at once, or not: threads for that cost statements of one server
/// something, so new sessions get them only when statements are over all rows.
///
/// # Errors
/// The server refuses.
pub async fn set_parallel(options: &mysql_async::Opts, parallel: bool) -> Result<()> {
    let mut conn = Conn::new(options.clone()).await.context("connecting to Spider")?;
    let mode = if parallel { 3 } else { 0 };
    sql::run(&mut conn, &[&format!("SET GLOBAL spider_bgs_mode = {mode}")]).await?;
    Ok(conn.disconnect().await?)
}

/// An error that says what to install when Spider is not there.
///
/// # Errors
/// It is not installed.
pub fn check_installed() -> Result<()> {
    let plugin = "ha_spider.so";
    let folders = ["/usr/lib/mysql/plugin", "/usr/lib/x86_64-linux-gnu/mariadb/plugin"];
    let here = folders.iter().any(|folder| std::path::Path::new(folder).join(plugin).is_file());
    let other = program::find("mariadbd", "mariadb-server-core")?;
    let beside = other.ancestors().nth(2).map(|base| base.join("lib/mysql/plugin").join(plugin));
    ensure!(
        here || beside.is_some_and(|path| path.is_file()),
        "{plugin} is not installed: apt-get install mariadb-plugin-spider"
    );
    Ok(())
}
