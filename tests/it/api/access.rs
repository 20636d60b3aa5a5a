//! Users, sessions, tokens and links: how one gets in, and how one does not any more.

use super::http::{Answer, Caller};
use crate::operations::{ends_with, json as told};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use shardline_tests::UpCluster;
use std::{fs, os::unix::fs::PermissionsExt};

const CANARY: &str = "canary-5fe1-password";

async fn log_in(port: u16, user: &str, password: &str) -> Result<Answer> {
    let body = json!({"user": user, "password": password}).to_string();
    Caller::default().call(port, "POST /login", &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_and_go() -> Result<()> {
    let mut cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let port = cluster.console_port();
    let local = Caller::local(&cluster)?;
    let add = |name: &str, role: &str, password: &str| {
        json!({"name": name, "role": role, "password": password}).to_string()
    };
    let weak = add("li", "dba", "short");
    local.call(port, "POST /users", &weak).await?.with_code(400, "weak_password")?;
    for (name, role) in [("", "dba"), ("local", "dba"), ("a b", "dba"), ("li", "king")] {
        let wrong = add(name, role, CANARY);
        local.call(port, "POST /users", &wrong).await?.with_code(400, "usage")?;
    }
    let good = add("li", "dba", CANARY);
    local.call(port, "POST /users", &good).await?.with_status(200)?;
    local.call(port, "POST /users", &good).await?.with_code(409, "exists")?;

    let begun = log_in(port, "li", CANARY).await?.with_status(200)?;
    let cookie = begun.header("set-cookie").context("a cookie")?;
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        ensure!(cookie.contains(part), "{cookie}");
    }
    let li = Caller::session(&begun.cookie()?);
    let who = li.call(port, "GET /session", "").await?.with_status(200)?.json()?;
    ensure!(who["user"] == "li" && who["role"] == "dba" && who["via"] == "password", "{who}");
    ensure!(who["scopes"] == json!(["read", "statements", "operate", "change"]), "{who}");
    li.call(port, "GET /shards", "").await?.with_status(200)?;
    li.call(port, "GET /users", "").await?.with_code(403, "forbidden")?;

    // A change needs the header that other sites cannot know.
    let csrf = who["csrf"].as_str().context("a value")?;
    li.call(port, "POST /rebalances:plan", "{}").await?.with_code(403, "csrf")?;
    let wrong = li.clone().with("X-CSRF-Token: 0000");
    wrong.call(port, "POST /rebalances:plan", "{}").await?.with_code(403, "csrf")?;
    let page = li.clone().with(&format!("X-CSRF-Token: {csrf}"));
    page.call(port, "POST /rebalances:plan", r#"{"all":true}"#).await?.with_status(200)?;
    let other = page.clone().with("Origin: http://evil.example");
    other.call(port, "POST /rebalances:plan", r#"{"all":true}"#).await?.with_code(403, "csrf")?;

    // One's own password; the session goes on, others do not.
    let second = Caller::session(&log_in(port, "li", CANARY).await?.cookie()?);
    let wrong = json!({"old": "wrong wrong wrong", "new": "another good password"}).to_string();
    page.call(port, "POST /session:password", &wrong).await?.with_code(403, "wrong_password")?;
    let right = json!({"old": CANARY, "new": "another good password"}).to_string();
    page.call(port, "POST /session:password", &right).await?.with_status(200)?;
    page.call(port, "GET /shards", "").await?.with_status(200)?;
    second.call(port, "GET /shards", "").await?.with_code(401, "unauthenticated")?;
    log_in(port, "li", CANARY).await?.with_code(401, "unauthenticated")?;

    page.call(port, "POST /logout", "{}").await?.with_status(200)?;
    page.call(port, "GET /shards", "").await?.with_code(401, "unauthenticated")?;

    // Kept out, and gone, at once.
    let again = Caller::session(&log_in(port, "li", "another good password").await?.cookie()?);
    let out = r#"{"disabled":true}"#;
    local.call(port, "POST /users/li:update", out).await?.with_status(200)?;
    again.call(port, "GET /shards", "").await?.with_code(401, "unauthenticated")?;
    log_in(port, "li", "another good password").await?.with_status(401)?;
    local.call(port, "POST /users/li:remove", "{}").await?.with_status(200)?;
    local.call(port, "POST /users/li:remove", "{}").await?.with_code(404, "not_found")?;

    // The password stands in no file: not in the log of the metadata, not in a snapshot, not in what was printed.
    cluster.stop().await?;
    let needles = [CANARY, "another good password"];
    let files = walk(&cluster.dir())?;
    ensure!(files.len() > 10, "{files:?}");
    for path in files {
        let bytes = fs::read(&path)?;
        for needle in needles {
            let found = bytes.windows(needle.len()).any(|part| part == needle.as_bytes());
            ensure!(!found, "{needle} stands in {}", path.display());
        }
    }
    Ok(())
}

/// All files below a folder, and the output of the process beside it.
fn walk(folder: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = vec![folder.with_file_name("up.log")];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_tokens() -> Result<()> {
    let cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let port = cluster.console_port();
    let file = fs::metadata(cluster.dir().join("console.token"))?;
    ensure!(file.permissions().mode() & 0o777 == 0o600, "{:o}", file.permissions().mode());

    let made = told(&cluster, &["console"]).await?;
    let link = json!({"link": made["link"]}).to_string();
    let nobody = Caller::default();
    let begun = nobody.call(port, "POST /login", &link).await?.with_status(200)?;
    ensure!(begun.json()?["user"] == "local" && begun.json()?["role"] == "admin", "{}", begun.body);
    nobody.call(port, "POST /login", &link).await?.with_code(401, "unauthenticated")?;
    let session = Caller::session(&begun.cookie()?);
    session.call(port, "GET /audit", "").await?.with_status(200)?;

    // Programs: by the command line, with what a user has, and never more.
    let words = ["user", "add", "ops", "--role", "operator"];
    ends_with(&cluster, 3, &words).await?;
    let path = cluster.dir().with_file_name("password");
    fs::write(&path, "a good password\n")?;
    let path = path.to_string_lossy().into_owned();
    ends_with(&cluster, 0, &["user", "add", "ops", "--role", "operator", "--password-file", &path])
        .await?;
    let refused = ["token", "add", "ci", "--user", "ops", "--scope", "read,change"];
    let said = ends_with(&cluster, 3, &refused).await?;
    ensure!(said.contains("change") && said.contains("hint"), "{said}");
    let words = ["token", "add", "ci", "--user", "ops", "--scope", "read", "--days", "1"];
    let token = told(&cluster, &words).await?;
    let secret = token["secret"].as_str().context("a secret")?;
    let ci = Caller::token(secret);
    ci.call(port, "GET /shards", "").await?.with_status(200)?;
    ci.call(port, "POST /jobs/1:pause", "{}").await?.with_code(403, "forbidden")?;
    let listed = told(&cluster, &["token", "list"]).await?;
    ensure!(listed["items"][0]["id"] == token["id"], "{listed}");
    ensure!(listed["items"][0]["secret"].is_null(), "{listed}");
    ends_with(&cluster, 0, &["user", "update", "ops", "--disable"]).await?;
    ci.call(port, "GET /shards", "").await?.with_code(401, "unauthenticated")?;
    ends_with(&cluster, 0, &["user", "update", "ops", "--enable"]).await?;
    ci.call(port, "GET /shards", "").await?.with_status(200)?;
    let id = token["id"].as_str().context("an id")?;
    ends_with(&cluster, 0, &["token", "revoke", id]).await?;
    ci.call(port, "GET /shards", "").await?.with_code(401, "unauthenticated")?;
    ends_with(&cluster, 4, &["shard", "list", "--token-file", &path]).await?;
    ends_with(&cluster, 0, &["user", "remove", "ops", "--yes"]).await?;
    let users = told(&cluster, &["user", "list"]).await?;
    ensure!(users["items"] == json!([]), "{users}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slow() -> Result<()> {
    let cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let port = cluster.console_port();
    for _ in 0..5 {
        log_in(port, "li", "wrong wrong wrong").await?.with_code(401, "unauthenticated")?;
    }
    let slowed =
        log_in(port, "li", "wrong wrong wrong").await?.with_code(429, "too_many_attempts")?;
    let wait_s: u64 = slowed.header("retry-after").context("a header")?.parse()?;
    ensure!((1..=2).contains(&wait_s), "{wait_s}");
    Ok(())
}
