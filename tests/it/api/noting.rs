//! What is noted of changes; requests that are sent twice; versions that are out of date.

use super::http::Caller;
use crate::operations::{ends_with, json as told};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use shardline_tests::UpCluster;
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_noted_and_a_forged_line_is_found() -> Result<()> {
    let mut cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let port = cluster.console_port();
    let local = Caller::local(&cluster)?;
    let add = r#"{"name":"s2","local":true}"#;
    local.call(port, "POST /shards:add", add).await?.with_status(200)?;
    local.call(port, "POST /shards:add", add).await?.with_code(409, "exists")?;
    ends_with(&cluster, 0, &["shard", "remove", "s2", "--yes"]).await?;

    let log = told(&cluster, &["audit", "list"]).await?;
    let lines = log["items"].as_array().context("lines")?;
    let of = |seq: u64| lines.iter().find(|line| line["seq"] == seq).cloned().unwrap_or_default();
    let (asked, done) = (of(1), of(2));
    ensure!(asked["operation"] == "addShard" && asked["phase"] == "asked", "{asked}");
    ensure!(asked["user"] == "local" && asked["source"] == "127.0.0.1", "{asked}");
    ensure!(asked["detail"].as_str().unwrap_or_default().contains("s2"), "{asked}");
    ensure!(done["phase"] == "done" && done["request"] == asked["request"], "{done}");
    ensure!(done["target"] == "s2" && done["after"].is_string(), "{done}");
    ensure!(
        of(4)["phase"] == "refused"
            && of(4)["detail"].as_str().unwrap_or_default().contains("exists"),
        "{}",
        of(4)
    );
    ensure!(of(6)["operation"] == "removeShard" && of(6)["before"].is_string(), "{}", of(6));

    let verdict = told(&cluster, &["audit", "verify"]).await?;
    ensure!(verdict["intact"] == true && verdict["last_seq"] == 6, "{verdict}");
    // The same from what was printed, and forged.
    let path = cluster.dir().with_file_name("audit.json");
    let name = path.to_string_lossy().into_owned();
    let verify = ["audit", "verify", "--file", &name];
    fs::write(&path, log.to_string())?;
    ends_with(&cluster, 0, &verify).await?;
    let mut forged = log.clone();
    let line = forged["items"].as_array_mut().context("lines")?;
    let at = line.iter().position(|line| line["seq"] == 4).context("a line")?;
    line[at]["user"] = json!("somebody.else");
    fs::write(&path, forged.to_string())?;
    let said = ends_with(&cluster, 2, &verify).await?;
    ensure!(said.contains("line 4"), "{said}");
    let mut cut: Value = log.clone();
    cut["items"].as_array_mut().context("lines")?.remove(at);
    fs::write(&path, cut.to_string())?;
    ends_with(&cluster, 2, &verify).await?;

    // It outlives the process.
    cluster.stop().await?;
    cluster.restart(&[]).await?;
    let again = told(&cluster, &["audit", "verify"]).await?;
    ensure!(again == verdict, "{again} {verdict}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sent_twice_is_done_once_and_what_is_out_of_date_is_refused() -> Result<()> {
    let cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let port = cluster.console_port();
    let local = Caller::local(&cluster)?;
    let seen = local.call(port, "GET /shards", "").await?.with_status(200)?;
    let tag = seen.header("etag").context("a tag")?.to_owned();
    let add = r#"{"name":"s2","local":true}"#;
    let keyed = local.clone().with("Idempotency-Key: k-1").with(&format!("If-Match: {tag}"));
    let first = keyed.call(port, "POST /shards:add", add).await?.with_status(200)?;
    keyed.call(port, "POST /shards:add", add).await?.with_code(412, "stale")?;
    let keyed = local.clone().with("Idempotency-Key: k-1");
    let again = keyed.call(port, "POST /shards:add", add).await?.with_status(200)?;
    ensure!(again.body == first.body, "{} {}", again.body, first.body);
    let other = r#"{"name":"s3","local":true}"#;
    keyed.call(port, "POST /shards:add", other).await?.with_code(409, "key_reused")?;
    let empty = local.clone().with("Idempotency-Key: ");
    empty.call(port, "POST /shards:add", other).await?.with_code(400, "usage")?;
    // What was refused may be tried again with the same key.
    let refused = local.clone().with("Idempotency-Key: k-2");
    refused.call(port, "POST /shards:add", add).await?.with_code(409, "exists")?;
    refused.call(port, "POST /shards:add", other).await?.with_status(200)?;
    Ok(())
}
