//! `shardline up` and its verbs, as a person uses them.

use anyhow::{Context, Result, ensure};
use shardline_console::local::leftover;
use shardline_tests::{
    UpCluster, folder::Folder, port::Port, process::Process, sql, up::run_shardline, wait,
};
use std::{net::TcpListener, process::Output, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].concat().iter().map(|byte| *byte as char).collect()
}

fn ended_with(output: &Output, code: i32) -> Result<()> {
    ensure!(output.status.code() == Some(code), "{}: {}", output.status, text(output));
    Ok(())
}

async fn http_get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn data_survives_an_orderly_stop_and_a_kill() -> Result<()> {
    let mut cluster = UpCluster::start(&["--shards", "2"], None).await?;
    let mut client = cluster.connect().await?;
    let statements = [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT NOT NULL PRIMARY KEY) SHARD BY HASH (id)",
        "INSERT INTO d.t VALUES (1), (2), (3), (4)",
    ];
    sql::run(&mut client, &statements).await?;
    cluster.stop().await?;

    cluster.restart(&[]).await?;
    let mut client = cluster.connect().await?;
    ensure!(sql::value(&mut client, "SELECT COUNT(*) FROM d.t").await? == "4", "after a stop");
    sql::run(&mut client, &["INSERT INTO d.t VALUES (5), (6)"]).await?;

    cluster.process().kill().await?;
    cluster.restart(&[]).await?;
    let mut client = cluster.connect().await?;
    ensure!(sql::value(&mut client, "SELECT COUNT(*) FROM d.t").await? == "6", "after a kill");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_end_with_their_supervisor_and_are_restarted_by_it() -> Result<()> {
    let mut cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let data = cluster.dir().canonicalize()?.join("shards/s1/data");
    let first = leftover::find(&data);
    ensure!(first.len() == 1, "one server: {first:?}");
    let mut client = cluster.connect().await?;
    sql::run(&mut client, &["CREATE DATABASE d"]).await?;

    leftover::end(first[0], rustix::process::Signal::KILL, Duration::from_secs(5)).await;
    wait::until("statements run again", Duration::from_secs(20), || async {
        let mut client = cluster.connect().await?;
        sql::run(&mut client, &["CREATE TABLE IF NOT EXISTS d.t (id INT)"]).await
    })
    .await?;
    let second = leftover::find(&data);
    ensure!(second.len() == 1 && second != first, "a new server: {second:?}");

    cluster.process().kill().await?;
    wait::until("the server has ended", Duration::from_secs(20), || async {
        ensure!(leftover::find(&data).is_empty(), "still there");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_up_says_who_runs_and_down_stops_and_removes() -> Result<()> {
    let mut cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let pid = cluster.process().pid()?;
    let again = cluster.command("up", &[]).await?;
    ended_with(&again, 0)?;
    ensure!(
        text(&again).contains(&format!("already running (pid {pid})"))
            || text(&again).contains(&pid.to_string()),
        "{}",
        text(&again)
    );
    ended_with(&cluster.command("up", &["--shards", "2"]).await?, 5)?;

    let status = cluster.command("status", &["-o", "json"]).await?;
    ended_with(&status, 0)?;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    ensure!(status["shards"][0]["state"] == "up", "{status}");
    ensure!(status["leader"] == 1, "{status}");
    ensure!(status["proxies"].as_array().is_some_and(|all| all.len() == 1), "{status}");
    let table = cluster.command("status", &[]).await?;
    ensure!(text(&table).contains("SHARD"), "{}", text(&table));

    let select = cluster.command("sql", &["-e", "SELECT 40 + 2"]).await?;
    ended_with(&select, 0)?;
    ensure!(text(&select).contains("42"), "{}", text(&select));

    ended_with(&cluster.command("down", &[]).await?, 0)?;
    ensure!(cluster.process().ended(Duration::from_secs(5)).await?.success(), "an orderly end");
    ended_with(&cluster.command("status", &[]).await?, 4)?;
    ended_with(&cluster.command("down", &["--purge"]).await?, 0)?;
    ensure!(!cluster.dir().exists(), "the folder is removed");
    ended_with(&cluster.command("down", &["--purge"]).await?, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn detached_it_goes_on_in_the_background() -> Result<()> {
    let (folder, sql_port, console) = (Folder::new()?, Port::take()?, Port::take()?);
    let dir = folder.path().join("c");
    let (sql_text, console_text) = (sql_port.number().to_string(), console.number().to_string());
    let dir_text = dir.to_str().context("UTF-8")?.to_owned();
    let up = ["up", "--detach", "--shards", "1", "--dir", &dir_text];
    let output = run_shardline(up.iter().copied().chain([
        "--sql-port",
        &sql_text,
        "--console-port",
        &console_text,
    ]))
    .await?;
    ended_with(&output, 0)?;
    let ready = http_get(console.number(), "/readyz").await?;
    ensure!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    let metrics = http_get(console.number(), "/metrics").await?;
    ensure!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    ended_with(&run_shardline(["down", "--purge", "--dir", &dir_text]).await?, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_names_its_holder() -> Result<()> {
    let holder = TcpListener::bind("127.0.0.1:0")?;
    let port = holder.local_addr()?.port().to_string();
    let folder = Folder::new()?;
    let dir = folder.path().join("c");
    let dir = dir.to_str().context("UTF-8")?;
    for more in [&[][..], &["--detach"]] {
        let up = ["up", "--dir", dir, "--sql-port", &port];
        let output = run_shardline(up.iter().chain(more)).await?;
        ended_with(&output, 1)?;
        let said = text(&output);
        ensure!(said.contains(&port), "{said}");
        ensure!(said.contains(&format!("(pid {})", std::process::id())), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_server_names_the_package() -> Result<()> {
    let folder = Folder::new()?;
    let (empty, dir) = (folder.path().join("empty"), folder.path().join("c"));
    std::fs::create_dir(&empty)?;
    let output = run_shardline([
        "up".as_ref(),
        "--dir".as_ref(),
        dir.as_os_str(),
        "--search-path".as_ref(),
        empty.as_os_str(),
    ])
    .await?;
    ended_with(&output, 4)?;
    ensure!(text(&output).contains("mariadb-server-core"), "{}", text(&output));
    ensure!(!dir.exists(), "nothing is left behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_files_and_strange_folders_are_refused() -> Result<()> {
    let folder = Folder::new()?;
    let (yaml, dir) = (folder.path().join("cluster.yaml"), folder.path().join("c"));
    std::fs::write(&yaml, "apiVersion: shardline/v1\nshards: 2\nsharding: {}\n")?;
    let arguments = ["up".as_ref(), "--dir".as_ref(), dir.as_os_str(), "--config".as_ref()];
    let output = run_shardline(arguments.into_iter().chain([yaml.as_os_str()])).await?;
    ended_with(&output, 3)?;
    ensure!(text(&output).contains("cluster.yaml:3:"), "{}", text(&output));

    let strange = run_shardline(["up".as_ref(), "--dir".as_ref(), folder.path().as_os_str()]);
    ended_with(&strange.await?, 5)?;
    ended_with(&run_shardline(["frobnicate"]).await?, 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_users_of_cluster_yaml_apply() -> Result<()> {
    let yaml = "apiVersion: shardline/v1\nshards: 2\ndatabases:\n  shop:\n    tables:\n      \
                'order*': {shard_by: hash(customer_id)}\n      country: {broadcast: true}\n\
                users: {root: {password: ''}, app: {password: 'pw'}}\n";
    let cluster = UpCluster::start(&[], Some(yaml)).await?;
    let options = cluster.options().user(Some("app")).pass(Some("pw")).db_name(Some("shop"));
    let mut client = sql::connect(options).await?;
    let create = "(customer_id BIGINT NOT NULL, v INT)";
    for table in ["orders", "order_items", "country", "other"] {
        sql::run(&mut client, &[&format!("CREATE TABLE {table} {create}")]).await?;
    }
    for (table, clause) in [
        ("orders", "SHARD BY HASH (`customer_id`)"),
        ("order_items", "SHARD BY HASH (`customer_id`)"),
        ("country", "BROADCAST"),
    ] {
        let rows = sql::rows(&mut client, &format!("SHOW CREATE TABLE {table}")).await?;
        ensure!(rows[0][1].contains(clause), "{table}: {rows:?}");
    }
    let stranger = cluster.options().user(Some("app")).pass(Some("wrong"));
    let error = mysql_async::Conn::new(stranger).await.err().context("let in")?;
    ensure!(sql::error_number(&error) == Some(1045), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_loaded_once_and_spread() -> Result<()> {
    let mut cluster = UpCluster::start(&["--demo"], None).await?;
    for round in 0..2 {
        let options = cluster.options().db_name(Some("bank"));
        let mut client = sql::connect(options).await?;
        let count = sql::value(&mut client, "SELECT COUNT(*) FROM account").await?;
        ensure!(count == "30000", "{count} accounts in round {round}");
        let branches = "SELECT branch_id, SUM(balance) FROM account GROUP BY branch_id";
        ensure!(sql::rows(&mut client, branches).await?.len() == 60, "branches");
        for shard in ["s1", "s2", "s3"] {
            let mut direct = cluster.connect_shard(shard).await?;
            for table in ["account", "txn", "ledger", "branch", "currency"] {
                let count = format!("SELECT COUNT(*) FROM bank.{table}");
                let rows: u64 = sql::value(&mut direct, &count).await?.parse()?;
                ensure!(rows > 0, "{table} has no rows on {shard}");
            }
        }
        if round == 0 {
            cluster.stop().await?;
            cluster.restart(&["--demo"]).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_and_version_need_no_cluster() -> Result<()> {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = run_shardline(["completion", shell]).await?;
        ended_with(&output, 0)?;
        ensure!(text(&output).contains("shardline"), "{shell}");
    }
    ended_with(&run_shardline(["version"]).await?, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_the_harness_ends_with_it() -> Result<()> {
    let folder = Folder::new()?;
    let log = folder.path().join("log");
    let sleep = std::path::Path::new("/bin/sleep");
    let process = Process::start("sleep", sleep, vec!["60".into()], Vec::new(), &log).await?;
    let pid = process.pid()?;
    ensure!(leftover::is_alive(pid), "it runs");
    drop(process);
    wait::until("the process has ended", Duration::from_secs(5), || async {
        ensure!(!leftover::is_alive(pid), "still there");
        Ok(())
    })
    .await
}
