//! The HTTP API: what it answers, and whom it refuses.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use shardline_tests::UpCluster;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One request; its status and what it says.
async fn call(
    cluster: &UpCluster,
    request: &str,
    headers: &[&str],
    body: &str,
) -> Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", cluster.console_port())).await?;
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.0\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok((status, serde_json::from_str(body).with_context(|| answer.clone())?))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_in_json_and_refuses_strangers() -> Result<()> {
    let cluster = UpCluster::start(&["--shards", "2"], None).await?;
    let (host, kind) = ("Host: 127.0.0.1", "Content-Type: application/json");
    let (status, shards) = call(&cluster, "GET /api/v1/shards", &[host], "").await?;
    ensure!(status == 200 && shards["kind"] == "ShardList", "{shards}");
    ensure!(shards["items"][1]["name"] == "s2" && shards["items"][1]["up"] == true, "{shards}");

    let (status, refused) = call(&cluster, "GET /api/v1/jobs/99", &[host], "").await?;
    ensure!(status == 404 && refused["code"] == "not_found", "{refused}");
    ensure!(refused["hint"].is_string() && refused["status"] == 404, "{refused}");

    // A page of another site cannot call it by a browser.
    let (status, _) = call(&cluster, "GET /api/v1/shards", &["Host: evil.example"], "").await?;
    ensure!(status == 400, "{status}");
    let add = "POST /api/v1/shards:add";
    let body = r#"{"name":"s3","local":true}"#;
    let (status, _) = call(&cluster, add, &[host, "Content-Type: text/plain"], body).await?;
    ensure!(status == 400, "{status}");
    let (status, wrong) = call(&cluster, add, &[host, kind], r#"{"nmae":"s3"}"#).await?;
    ensure!(status == 400 && wrong["code"] == "usage", "{wrong}");

    let (status, added) = call(&cluster, add, &[host, kind], body).await?;
    ensure!(status == 200 && added["state"] == "serving", "{added}");
    let (status, again) = call(&cluster, add, &[host, kind], body).await?;
    ensure!(status == 409 && again["code"] == "exists", "{again}");
    let goal = json!({"goal": {"all": true}}).to_string();
    let (status, started) = call(&cluster, "POST /api/v1/rebalances", &[host, kind], &goal).await?;
    ensure!(status == 202 && started["job"].is_null(), "there is nothing to move: {started}");
    Ok(())
}
