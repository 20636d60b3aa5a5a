//! The API against its own document: requests of every shape that the document allows, and of many that it does not,
//! find no 5xx and nothing that is not documented.

use super::built;
use anyhow::{Context, Result, ensure};
use shardline_tests::UpCluster;
use std::{fs, process::Stdio, time::Duration};

const LIMIT: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn the_api_does_what_its_document_says() -> Result<()> {
    let cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let token = fs::read_to_string(cluster.dir().join("console.token"))?;
    let document = format!("http://127.0.0.1:{}/openapi.json", cluster.console_port());
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    let run = tokio::process::Command::new(built("venv-schema/bin/st"))
        .args(["run", &document, "--header", &format!("Authorization: Bearer {}", token.trim())])
        .args(["--checks", checks, "--phases", "coverage,fuzzing", "--max-examples", "15"])
        // The one would end in the middle, the other one never.
        .args(["--exclude-operation-id", "logout", "--exclude-operation-id", "streamEvents"])
        .args(["--continue-on-failure", "--workers", "2", "--seed", "20261122"])
        .current_dir(cluster.dir())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, run)
        .await
        .context("schemathesis does not end")?
        .context("running schemathesis (see `make test-clients`)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}\n{said}", output.status);
    ensure!(said.contains(" passed"), "{said}");
    Ok(())
}
