//! A client that reads the whole bank at the levels `atomic` and `strict`, again and again: the money is all there in
//! each read, and a trio goes round together.

use crate::{
    bank::{BALANCE, SHARDS, TRIOS},
    random::Random,
};
use anyhow::{Result, ensure};
use mysql_async::{Conn, Opts, prelude::Queryable};
use shardline_base::Shutdown;
use shardline_tests::sql;
use std::time::Duration;

/// How long it waits for a connection or an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two reads, and before it tries again.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads until told to stop; how many reads were answered.
pub(crate) async fn read(proxies: Vec<Opts>, mut random: Random, stop: Shutdown) -> Result<u64> {
    let total = (BALANCE * (TRIOS * SHARDS) as i64).to_string();
    let (mut reads, mut turn, mut level) = (0, 0, "");
    let mut connection: Option<Conn> = None;
    while !stop.is_triggered() {
        tokio::time::sleep(PAUSE).await;
        let Some(open) = &mut connection else {
            let proxy = proxies[turn % proxies.len()].clone();
            turn += 1;
            level = if random.per_mille(500) { "atomic" } else { "strict" };
            let opened = tokio::time::timeout(PATIENCE, open_at(proxy, level)).await;
            connection = opened.ok().and_then(Result::ok);
            continue;
        };
        let trio = random.below(TRIOS as u64);
        let both = [
            "SELECT SUM(balance + saved), COUNT(*) FROM bank.account".to_owned(),
            format!("SELECT MIN(rounds), MAX(rounds) FROM bank.account WHERE trio = {trio}"),
        ];
        let [money, rounds] = both;
        let (statement, is_money) =
            if random.per_mille(700) { (money, true) } else { (rounds, false) };
        let asked = tokio::time::timeout(PATIENCE, sql::rows(open, &statement)).await;
        let Ok(Ok(rows)) = asked else {
            connection = None;
            continue;
        };
        reads += 1;
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let [one, other] = row else { anyhow::bail!("{statement}: {rows:?}") };
        let count = (TRIOS * SHARDS).to_string();
        let fine = if is_money { *one == total && *other == count } else { one == other };
        ensure!(fine, "{statement} at the level {level}: {rows:?}");
    }
    Ok(reads)
}

async fn open_at(proxy: Opts, level: &str) -> Result<Conn> {
    let mut connection = Conn::new(proxy).await?;
    connection.query_drop(format!("SET SESSION shardline_read_consistency = {level}")).await?;
    Ok(connection)
}
