//! Plans and jobs are made, steered and shown, by every way there is.

use super::{check, ends_with, json};
use anyhow::{Result, ensure};
use mysql_async::Conn;
use shardline_tests::{UpCluster, folder::Folder, sql};

const LIMIT_S: &str = "120";

/// Two shards with a table of each function.
async fn start() -> Result<(UpCluster, Conn)> {
    let cluster = UpCluster::start(&["--shards", "2"], None).await?;
    let mut client = cluster.connect().await?;
    let statements = [
        "CREATE DATABASE d",
        "CREATE TABLE d.h (id INT NOT NULL PRIMARY KEY, v INT) SHARD BY HASH (id)",
        "CREATE TABLE d.r (id INT NOT NULL PRIMARY KEY, v INT) SHARD BY RANGE (id) \
         (VALUES LESS THAN (1000) ON s1, VALUES LESS THAN (MAXVALUE) ON s2)",
        "CREATE TABLE d.l (k VARCHAR(5) COLLATE utf8mb4_bin NOT NULL, id INT NOT NULL, PRIMARY KEY (k, id)) \
         SHARD BY LIST (k) (VALUES IN ('a', 'b') ON s1, VALUES IN ('c') ON s2)",
        "INSERT INTO d.l VALUES ('a', 1), ('a', 2), ('b', 1), ('c', 1)",
    ];
    sql::run(&mut client, &statements).await?;
    for table in ["h", "r"] {
        let values: Vec<String> = (0..2_000).map(|id| format!("({id}, {id})")).collect();
        let insert = format!("INSERT INTO d.{table} VALUES {}", values.join(","));
        sql::run(&mut client, &[&insert]).await?;
    }
    Ok((cluster, client))
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_kept_and_refused_when_they_are_stale() -> Result<()> {
    let (cluster, mut client) = start().await?;
    let folder = Folder::new()?;
    let file = folder.path().join("plan.json");
    let file = file.to_str().unwrap_or_default();
    ends_with(&cluster, 3, &["rebalance", "plan"]).await?;
    ends_with(&cluster, 1, &["rebalance", "plan", "--all", "--table", "d.nothing"]).await?;
    let plan = ["rebalance", "plan", "--table", "d.r", "--split", "500", "--to", "s2"];
    let said = ends_with(&cluster, 0, &[&plan[..], &["--out", file]].concat()).await?;
    ensure!(said.contains("1 moves"), "{said}");
    let dry = ["rebalance", "start", file, "--dry-run"];
    ends_with(&cluster, 0, &dry).await?;
    sql::run(&mut client, &["CREATE TABLE d.another (id INT NOT NULL PRIMARY KEY)"]).await?;
    let stale = ends_with(&cluster, 5, &["rebalance", "start", file]).await?;
    ensure!(stale.contains("make a new one"), "{stale}");

    let start = [&["rebalance", "start"], &plan[2..], &["--timeout-s", LIMIT_S]].concat();
    ends_with(&cluster, 0, &start).await?;
    let isolate = ["rebalance", "start", "--table", "d.l", "--isolate", "a", "--to", "s2"];
    ends_with(&cluster, 0, &[&isolate[..], &["--timeout-s", LIMIT_S]].concat()).await?;
    let again = ends_with(&cluster, 0, &isolate).await?;
    ensure!(again.contains("nothing to move"), "{again}");
    // Both jobs are over for their tables, and could still go back.
    for id in ["1", "2"] {
        ends_with(&cluster, 0, &["rebalance", "finish", id, "--yes"]).await?;
        ends_with(&cluster, 0, &["job", "wait", id, "--timeout-s", LIMIT_S]).await?;
    }
    ensure!(check(&cluster, "d", &["h", "r", "l"]).await? == [2_000, 2_000, 4], "rows");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_steered_by_commands_and_in_sql() -> Result<()> {
    let (cluster, mut client) = start().await?;
    let start = ["rebalance", "start", "--table", "d.h", "--slots", "0-1999", "--to", "s2"];
    ends_with(&cluster, 0, &[&start[..], &["--until", "ready", "--timeout-s", LIMIT_S]].concat())
        .await?;
    let job = json(&cluster, &["rebalance", "status", "1"]).await?;
    ensure!(job["phase"] == "ready" && job["percent"] == 100.0, "{job}");
    let steps = job["next_steps"].to_string();
    ensure!(steps.contains("cutover 1") && steps.contains("cancel 1"), "{steps}");
    ends_with(&cluster, 5, &["rebalance", "finish", "1", "--yes"]).await?;
    // What moves already is left to that job.
    let other = ["rebalance", "start", "--table", "d.h", "--slots", "1999", "--to", "s2"];
    let overlap = ends_with(&cluster, 5, &other).await?;
    ensure!(overlap.contains("job"), "{overlap}");

    let shown = sql::rows(&mut client, "SHOW JOBS").await?;
    ensure!(shown.len() == 2, "{shown:?}");
    let query = "SELECT j.phase, m.from_shard FROM shardline.jobs j JOIN shardline.moves AS m ON m.job = j.id \
                 WHERE j.id = 1 AND m.rows_copied > 100 ORDER BY m.id LIMIT 5";
    let read = sql::rows(&mut client, query).await?;
    ensure!(read == [["ready", "s1"]], "{read:?}");
    let shards = "SELECT COUNT(*) FROM shardline.shards WHERE up AND state = 'serving'";
    ensure!(sql::value(&mut client, shards).await? == "2", "shards");
    let none = "SELECT COUNT(*) FROM shardline.jobs WHERE phase = 'failed'";
    ensure!(sql::value(&mut client, none).await? == "0", "no failed job");

    sql::rows(&mut client, "CALL shardline.job('cutover', 1)").await?;
    ends_with(&cluster, 0, &["job", "wait", "1", "--timeout-s", LIMIT_S]).await?;
    ensure!(check(&cluster, "d", &["r"]).await? == [2_000], "rows");
    ends_with(&cluster, 5, &["rebalance", "cancel", "1", "--yes"]).await?;
    sql::rows(&mut client, "CALL shardline.rebalance_rollback(1)").await?;
    ends_with(&cluster, 0, &["rebalance", "watch", "1", "--timeout-s", LIMIT_S]).await?;
    let job = json(&cluster, &["job", "show", "1"]).await?;
    ensure!(job["phase"] == "rolled back", "{job}");
    ensure!(check(&cluster, "d", &["h"]).await? == [2_000], "rows");
    let logs = ends_with(&cluster, 0, &["job", "logs", "1"]).await?;
    ensure!(logs.contains("copying") && logs.contains("rolled back"), "{logs}");

    let called =
        "CALL shardline.rebalance_start('table=d.h', 'slots=0-99', 'to=s2', 'until=finished')";
    sql::rows(&mut client, called).await?;
    ends_with(&cluster, 0, &["job", "wait", "3", "--timeout-s", LIMIT_S]).await?;
    ensure!(check(&cluster, "d", &["h"]).await? == [2_000], "rows");
    let wrong = sql::rows(&mut client, "CALL shardline.job('explode', 3)").await;
    let wrong = wrong.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(wrong.contains("pause, resume"), "{wrong}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_goes_on_and_a_cancelled_one_leaves_nothing() -> Result<()> {
    let (cluster, _client) = start().await?;
    let start =
        ["rebalance", "start", "--table", "d.h", "--slots", "0-999", "--to", "s2", "--no-wait"];
    ends_with(&cluster, 0, &[&start[..], &["--until", "ready"]].concat()).await?;
    ends_with(&cluster, 0, &["rebalance", "pause", "1"]).await?;
    ends_with(&cluster, 0, &["rebalance", "watch", "1", "--timeout-s", LIMIT_S]).await?;
    let job = json(&cluster, &["job", "show", "1"]).await?;
    ensure!(job["phase"] == "paused", "{job}");
    ends_with(&cluster, 0, &["rebalance", "throttle", "1", "--max-mbps", "50"]).await?;
    ends_with(&cluster, 0, &["rebalance", "resume", "1"]).await?;
    ends_with(&cluster, 0, &["job", "wait", "1", "--timeout-s", LIMIT_S]).await?;
    let job = json(&cluster, &["job", "show", "1"]).await?;
    ensure!(job["phase"] == "ready" && job["max_mbps"] == 50, "{job}");
    ends_with(&cluster, 0, &["rebalance", "cancel", "1", "--yes"]).await?;
    ends_with(&cluster, 0, &["job", "wait", "1", "--timeout-s", LIMIT_S]).await?;
    let jobs = json(&cluster, &["job", "list"]).await?;
    ensure!(jobs["items"][0]["phase"] == "cancelled", "{jobs}");
    ensure!(check(&cluster, "d", &["h"]).await? == [2_000], "rows");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_somebody_has_changed_is_found_and_named() -> Result<()> {
    let (cluster, _client) = start().await?;
    let start = ["rebalance", "start", "--table", "d.h", "--slots", "0-1999", "--to", "s2"];
    ends_with(&cluster, 0, &[&start[..], &["--until", "ready", "--timeout-s", LIMIT_S]].concat())
        .await?;
    ends_with(&cluster, 0, &["rebalance", "verify", "1"]).await?;
    let mut source = cluster.connect_shard("s1").await?;
    let one = "SELECT MIN(id) FROM d.h WHERE CRC32(id + 0) MOD 16384 < 2000";
    let one = sql::value(&mut source, one).await?;
    let mut target = cluster.connect_shard("s2").await?;
    sql::run(&mut target, &[&format!("UPDATE d.h SET v = v + 1 WHERE id = {one}")]).await?;
    let found = ends_with(&cluster, 2, &["rebalance", "verify", "1"]).await?;
    ensure!(found.contains("d.h") && found.contains(&one), "{found}");
    ends_with(&cluster, 0, &["rebalance", "cancel", "1", "--yes"]).await?;
    ends_with(&cluster, 0, &["job", "wait", "1", "--timeout-s", LIMIT_S]).await?;
    ensure!(check(&cluster, "d", &["h"]).await? == [2_000], "rows");
    Ok(())
}
