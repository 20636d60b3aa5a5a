//! What the API shows of a cluster that is in use: how it is, tables, sessions, statements and what they cost, events.

use super::http::{Caller, text};
use crate::operations::{ends_with, json as told};
use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};
use shardline_tests::{UpCluster, wait};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const SOON: Duration = Duration::from_secs(20);

async fn filled() -> Result<(UpCluster, Caller)> {
    let cluster = UpCluster::start(&["--shards", "2"], None).await?;
    let mut client = cluster.connect().await?;
    for sql in [
        "CREATE DATABASE shop",
        "USE shop",
        "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, amount INT) SHARD BY HASH (id)",
        "CREATE TABLE rates (id INT PRIMARY KEY) BROADCAST",
    ] {
        client.query_drop(sql).await?;
    }
    for id in 0..40 {
        client.query_drop(format!("INSERT INTO orders VALUES ({id}, {id})")).await?;
        let sql = format!("SELECT amount FROM orders WHERE id = {id}");
        let _: Option<i64> = client.query_first(sql).await?;
    }
    let _: Option<i64> = client.query_first("SELECT COUNT(*) FROM orders").await?;
    client
        .query_drop("SELECT no_such_column FROM orders WHERE id = 1")
        .await
        .err()
        .context("an error")?;
    let local = Caller::local(&cluster)?;
    Ok((cluster, local))
}

fn named<'a>(list: &'a Value, name: &str) -> Result<&'a Value> {
    let items = list["items"].as_array().context("items")?;
    items.iter().find(|one| one["name"] == name).with_context(|| format!("{name} in {list}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_and_its_tables() -> Result<()> {
    let (cluster, local) = filled().await?;
    let port = cluster.console_port();
    let get = async |path: &str| {
        local.call(port, &format!("GET {path}"), "").await?.with_status(200)?.json()
    };
    let shown = get("/cluster").await?;
    ensure!(shown["health"]["level"] == "ok", "{shown}");
    ensure!(shown["shards"] == json!({"up": 2, "all": 2}), "{shown}");
    ensure!(shown["meta_nodes"] == json!({"up": 1, "all": 1}) && shown["leader"] == 1, "{shown}");
    let servers = get("/servers").await?;
    ensure!(servers["items"][1]["shard"] == "s2" && servers["items"][1]["up"] == true, "{servers}");
    ensure!(servers["items"][0]["version"].is_string(), "{servers}");
    let proxies = get("/proxies").await?;
    ensure!(
        proxies["items"][0]["here"] == true && proxies["items"][0]["sessions"].is_u64(),
        "{proxies}"
    );
    ensure!(get("/meta-nodes").await?["items"][0]["role"] == "leader");
    ensure!(named(&get("/databases").await?, "shop")?["tables"] == 2);

    let tables = get("/databases/shop/tables").await?;
    let orders = named(&tables, "orders")?;
    ensure!(orders["kind"] == "sharded" && orders["method"] == "hash", "{orders}");
    ensure!(orders["shard_key"] == json!(["id"]), "{orders}");
    let clause = orders["clause"].as_str().unwrap_or_default();
    ensure!(clause.starts_with("SHARD BY HASH") && !clause.contains("/*"), "{orders}");
    ensure!(orders["shards"].as_array().is_some_and(|all| all.len() == 2), "{orders}");
    ensure!(orders["shards"][0]["share"] == "8192 slots", "{orders}");
    let rates = named(&tables, "rates")?;
    ensure!(rates["kind"] == "broadcast" && rates["shards"][1]["share"] == "copy", "{rates}");
    let one = told(&cluster, &["table", "show", "shop.orders"]).await?;
    ensure!(one["name"] == "orders", "{one}");
    ends_with(&cluster, 1, &["table", "show", "shop.nothing"]).await?;
    let plan =
        told(&cluster, &["explain", "SELECT * FROM orders WHERE id = 7", "--database", "shop"]);
    ensure!(!plan.await?["plan"].as_array().context("a plan")?.is_empty());
    ends_with(&cluster, 3, &["explain", "SELEC 1"]).await?;

    let mut cluster = cluster;
    cluster.connect_shard("s2").await?.query_drop("SHUTDOWN").await.ok();
    wait::until("the cluster says that it is not well", SOON, || async {
        let shown = local.call(port, "GET /cluster", "").await?.json()?;
        ensure!(shown["health"]["level"] == "bad", "{shown}");
        ensure!(shown["health"]["reasons"][0]["code"] == "shard_down", "{shown}");
        Ok(())
    })
    .await?;
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_sessions_and_events() -> Result<()> {
    let (cluster, local) = filled().await?;
    let port = cluster.console_port();
    let mut events = TcpStream::connect(("127.0.0.1", port)).await?;
    let token = std::fs::read_to_string(cluster.dir().join("console.token"))?;
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let request = text("GET /api/v1/events", &["Host: 127.0.0.1", &bearer], "");
    events.write_all(request.as_bytes()).await?;

    let top =
        told(&cluster, &["sql-stats", "top", "--database", "shop", "--order", "calls"]).await?;
    let items = top["items"].as_array().context("items")?;
    let of = |text: &str| {
        let found =
            items.iter().find(|one| one["text"].as_str().is_some_and(|it| it.contains(text)));
        found.with_context(|| format!("{text} in {top}"))
    };
    let point = of("SELECT amount FROM orders WHERE id = ?")?;
    ensure!(point["calls"] == 40 && point["errors"] == 0, "{point}");
    ensure!(point["shards_touched"] == 1.0 && point["p99_us"].is_u64(), "{point}");
    ensure!(of("SELECT COUNT(*)")?["several_shards"] == 1, "{top}");
    ensure!(of("no_such_column")?["errors"] == 1, "{top}");
    let id = point["id"].as_str().context("an id")?;
    ensure!(told(&cluster, &["sql-stats", "show", id]).await?["calls"] == 40);

    // A slow one, as it happens, and over several shards.
    let mut client = cluster.connect().await?;
    client.query_drop("SELECT SLEEP(0.3), 'secret' FROM shop.orders WHERE id = 1").await?;
    client.query_drop("SELECT SLEEP(0.02) FROM shop.orders").await?;
    let slow = told(&cluster, &["sql-stats", "slow"]).await?;
    let text = slow.to_string();
    ensure!(slow["items"].as_array().is_some_and(|all| all.len() >= 2), "{slow}");
    ensure!(!text.contains("secret"), "{slow}");
    let several = &slow["items"][0];
    let shards = several["shards"].as_array().context("shards")?;
    ensure!(shards.len() == 2 && shards.iter().all(|one| one["ms"].is_f64()), "{several}");
    let one = &slow["items"][1];
    ensure!(one["ms"].as_f64().is_some_and(|ms| ms >= 300.0), "{one}");
    ensure!(one["shards"].as_array().is_some_and(|shards| shards.len() == 1), "{one}");

    // Sessions: seen without values, and ended.
    let killed = tokio::spawn(async move {
        client.query_drop("SELECT SLEEP(30), 'secret' FROM shop.orders WHERE id = 1").await
    });
    let mut session = 0;
    wait::until("the session is seen", SOON, || async {
        let all = local.call(port, "GET /sessions", "").await?.with_status(200)?;
        ensure!(!all.body.contains("secret"), "{}", all.body);
        let all = all.json()?;
        let sleeping =
            |one: &&Value| one["statement"].as_str().is_some_and(|it| it.contains("SLEEP"));
        let found = all["items"].as_array().and_then(|all| all.iter().find(sleeping));
        found.and_then(|one| one["id"].as_u64()).with_context(|| all.to_string()).map(|_| ())
    })
    .await?;
    let all = local.call(port, "GET /sessions", "").await?.json()?;
    for one in all["items"].as_array().context("sessions")? {
        if one["statement"].as_str().is_some_and(|it| it.contains("SLEEP")) {
            session = one["id"].as_u64().context("an id")?;
        }
    }
    ends_with(&cluster, 0, &["session", "kill", &session.to_string()]).await?;
    ensure!(killed.await?.is_err());
    ends_with(&cluster, 1, &["session", "kill", "1"]).await?;
    ensure!(told(&cluster, &["txn", "list"]).await?["kind"] == "TransactionList");

    // Rates, and the same in SQL.
    let rates = told(&cluster, &["cluster", "rates", "--minutes", "1"]).await?;
    ensure!(rates["step_s"] == 1, "{rates}");
    let points = rates["points"].as_array().context("points")?;
    let sum: f64 = points.iter().filter_map(|point| point["statements_per_s"].as_f64()).sum();
    ensure!(sum >= 80.0, "{rates}");
    let mut client = cluster.connect().await?;
    let sql =
        "SELECT calls FROM shardline.top_sql WHERE statement LIKE 'SELECT amount FROM orders%'";
    let calls: Option<u64> = client.query_first(sql).await?;
    ensure!(calls == Some(40), "{calls:?}");
    let slow: Option<u64> =
        client.query_first("SELECT COUNT(*) FROM shardline.slow_sql WHERE ms >= 300").await?;
    ensure!(slow >= Some(1), "{slow:?}");
    let sessions: Option<u64> =
        client.query_first("SELECT COUNT(*) FROM shardline.sessions").await?;
    ensure!(sessions >= Some(1), "{sessions:?}");

    let mut lines = BufReader::new(events).lines();
    let mut wanted = vec!["hello", "metrics", "jobs", "cluster", "slow"];
    let read = async {
        while let Some(line) = lines.next_line().await? {
            if let Some(name) = line.strip_prefix("event: ") {
                wanted.retain(|wanted| *wanted != name);
            }
            if wanted.is_empty() {
                break;
            }
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(SOON, read).await??;
    ensure!(wanted.is_empty(), "no {wanted:?}");
    Ok(())
}
