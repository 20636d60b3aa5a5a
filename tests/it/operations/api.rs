//! The HTTP API: what it answers about shards and jobs. Whom it refuses is in `api`.

use crate::api::http::Caller;
use anyhow::{Result, ensure};
use serde_json::json;
use shardline_tests::UpCluster;

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_in_json() -> Result<()> {
    let cluster = UpCluster::start(&["--shards", "2"], None).await?;
    let (port, local) = (cluster.console_port(), Caller::local(&cluster)?);
    let shards = local.call(port, "GET /shards", "").await?.with_status(200)?.json()?;
    ensure!(shards["kind"] == "ShardList", "{shards}");
    ensure!(shards["items"][1]["name"] == "s2" && shards["items"][1]["up"] == true, "{shards}");

    let refused =
        local.call(port, "GET /jobs/99", "").await?.with_code(404, "not_found")?.json()?;
    ensure!(refused["hint"].is_string() && refused["status"] == 404, "{refused}");
    let add = "POST /shards:add";
    local.call(port, add, r#"{"nmae":"s3"}"#).await?.with_code(400, "usage")?;

    let body = r#"{"name":"s3","local":true}"#;
    let added = local.call(port, add, body).await?.with_status(200)?.json()?;
    ensure!(added["state"] == "serving", "{added}");
    local.call(port, add, body).await?.with_code(409, "exists")?;
    let goal = json!({"goal": {"all": true}}).to_string();
    let started = local.call(port, "POST /rebalances", &goal).await?.with_status(202)?.json()?;
    ensure!(started["job"].is_null(), "there is nothing to move: {started}");
    Ok(())
}
