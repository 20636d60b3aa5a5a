//! Every operation of the API: a rule that each role is tested against.

use super::http::Caller;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use shardline_console::api::{endpoint::Rule, handlers};
use shardline_model::access::Role;
use shardline_tests::UpCluster;

const PASSWORD: &str = "a password for tests";

/// What a call of something that is not there comes to when one may: none of these operations does
/// anything to a cluster with what is sent here.
fn harmless(path: &str) -> String {
    path.replace("{name}", "nobody")
        .replace("{id}", "999999999")
        .replace("{db}", "d")
        .replace("{table}", "t")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_may_what_the_table_says_and_no_more() -> Result<()> {
    let cluster = UpCluster::start(&["--shards", "1"], None).await?;
    let port = cluster.console_port();
    let local = Caller::local(&cluster)?;
    for role in Role::ALL {
        let name = format!("the-{role}");
        let user = json!({"name": name, "role": role.name(), "password": PASSWORD}).to_string();
        local.call(port, "POST /users", &user).await?.with_status(200)?;
        let scopes: Vec<&str> = role.scopes().iter().map(|scope| scope.name()).collect();
        let token = json!({"name": "t", "user": name, "scopes": scopes}).to_string();
        let token = local.call(port, "POST /tokens", &token).await?.with_status(200)?.json()?;
        let caller = Caller::token(token["secret"].as_str().context("a secret")?);
        for endpoint in handlers::all().into_iter().filter(|endpoint| !endpoint.streams) {
            let request = format!("{} {}", endpoint.method, harmless(endpoint.path));
            // Understood by no operation: whoever may comes as far as this being wrong.
            let body = if endpoint.takes.is_some() { r#"{"no such field":1}"# } else { "" };
            let answer = caller.call(port, &request, body).await?;
            let may = match endpoint.rule {
                Rule::Anyone | Rule::Known => true,
                Rule::Any(scopes) => scopes.iter().any(|scope| role.scopes().contains(scope)),
            };
            let refused = answer.status == 403;
            ensure!(refused != may, "{role} {}: {} {}", endpoint.id, answer.status, answer.body);
            ensure!(answer.status < 500, "{role} {}: {}", endpoint.id, answer.body);
            if may && endpoint.takes.is_some() {
                ensure!([400, 404].contains(&answer.status), "{}: {}", endpoint.id, answer.body);
            }
        }
    }
    Ok(())
}
