//! Who is nobody, and what is nonsense: refused, with the headers that browsers heed.

use super::http::{Caller, raw};
use anyhow::{Result, ensure};
use shardline_console::api::{endpoint::Rule, handlers};
use shardline_tests::UpCluster;

/// A path with something in place of its parts.
fn filled(path: &str) -> String {
    path.replace("{name}", "s1").replace("{id}", "1").replace("{db}", "d").replace("{table}", "t")
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_and_every_answer_has_the_headers() -> Result<()> {
    let cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let port = cluster.console_port();
    let stranger = Caller::default();
    let wrong = Caller::token("sl_00000000_00");
    for endpoint in handlers::all() {
        let request = format!("{} {}", endpoint.method, filled(endpoint.path));
        let answer = stranger.call(port, &request, "{}").await?;
        if endpoint.rule == Rule::Anyone {
            ensure!([200, 400].contains(&answer.status), "{request}: {}", answer.status);
        } else {
            answer.with_code(401, "unauthenticated")?;
            wrong.call(port, &request, "{}").await?.with_code(401, "unauthenticated")?;
        }
    }
    // What is not there is told to nobody either.
    stranger.call(port, "GET /nothing", "").await?.with_code(401, "unauthenticated")?;
    for path in ["/api/v1/shards", "/healthz", "/openapi.json", "/metrics", "/nothing"] {
        let answer = raw(port, &format!("GET {path}"), &["Host: localhost"], "").await?;
        let policy = answer.header("content-security-policy").unwrap_or_default();
        ensure!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        ensure!(policy.contains("frame-ancestors 'none'"), "{policy}");
        let expected = [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ];
        for (name, value) in expected {
            ensure!(answer.header(name) == Some(value), "{path}: {}", answer.head);
        }
        ensure!(answer.header("access-control-allow-origin").is_none(), "{}", answer.head);
        ensure!(answer.header("cache-control").is_some(), "{}", answer.head);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_and_does_no_harm() -> Result<()> {
    let cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let port = cluster.console_port();
    let local = Caller::local(&cluster)?;
    for nonsense in [
        "%27%20OR%201=1--",
        "..%2F..%2Fetc%2Fpasswd",
        "%00",
        "%3Cscript%3E",
        "a%22b",
        "%E2%80%AE",
        "s1;DROP",
        "%60%60",
        "s1%0d%0aSet-Cookie:x",
    ] {
        let known = ["/shards/X", "/jobs/X", "/jobs/X/events"];
        for path in known {
            let request = format!("GET {}", path.replace('X', nonsense));
            let answer = local.call(port, &request, "").await?;
            ensure!([400, 404].contains(&answer.status), "{request}: {}", answer.head);
            ensure!(answer.header("set-cookie").is_none(), "{}", answer.head);
            ensure!(
                answer.header("content-type") == Some("application/problem+json"),
                "{}",
                answer.head
            );
        }
        let list = local.call(port, &format!("GET /audit?user={nonsense}"), "").await?;
        ensure!([200, 400].contains(&list.status), "{}", list.head);
    }
    local.call(port, "GET /shards?x=1", "").await?.with_code(400, "usage")?;
    local.call(port, "GET /audit?limit=0", "").await?.with_code(400, "usage")?;
    local.call(port, "GET /audit?limit=%zz", "").await?.with_code(400, "usage")?;
    local.call(port, "GET /nothing", "").await?.with_code(404, "not_found")?;
    local.call(port, "GET /shards:add", "").await?.with_code(405, "method")?;
    local.call(port, "POST /shards:add", "[[[").await?.with_code(400, "usage")?;
    local
        .call(port, "POST /shards:add", r#"{"name":"x'; DROP","local":true,"z":1}"#)
        .await?
        .with_code(400, "usage")?;
    let host = ["Host: evil.example"];
    raw(port, "GET /api/v1/session", &host, "").await?.with_code(400, "host")?;
    let token = std::fs::read_to_string(cluster.dir().join("console.token"))?;
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let plain = ["Host: localhost", &bearer, "Content-Type: text/plain"];
    raw(port, "POST /api/v1/shards:add", &plain, "{}").await?.with_code(400, "content_type")?;
    local.call(port, "GET /shards", "").await?.with_status(200)?;
    Ok(())
}
