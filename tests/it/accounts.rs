//! Accounts on several shards, for suites that transfer between them.

use anyhow::Result;
use mysql_async::Conn;
use shardline_tests::sql;

/// What each account has at first.
pub(crate) const BALANCE: u64 = 100;

/// Makes `bank.account` by hash with accounts 1 to `count`.
pub(crate) async fn make(client: &mut Conn, count: u64) -> Result<()> {
    let rows: Vec<String> = (1..=count).map(|id| format!("({id}, {BALANCE})")).collect();
    let statements = [
        "CREATE DATABASE bank",
        "CREATE TABLE bank.account (id BIGINT NOT NULL PRIMARY KEY, v INT NOT NULL) \
         SHARD BY HASH (id)",
        &format!("INSERT INTO bank.account VALUES {}", rows.join(", ")),
    ];
    sql::run(client, &statements).await
}
