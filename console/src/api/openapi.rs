//! The OpenAPI 3.1 document, made from the table of operations and the types of their bodies.

use super::{
    ProblemDocument,
    endpoint::{Endpoint, Rule},
};
use axum::http::Method;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// What may go wrong with any call: the status and what it means.
const PROBLEMS: [(&str, &str); 12] = [
    ("400", "The request makes no sense"),
    ("401", "Nobody is logged in"),
    ("403", "The caller may not do this"),
    ("404", "There is nothing of that name"),
    ("405", "The path takes another method"),
    ("409", "The state of things forbids it"),
    ("412", "The catalog is not what If-Match says"),
    ("429", "Too many attempts"),
    ("500", "It was tried and failed"),
    ("503", "Something needed cannot be reached"),
    ("504", "A bounded wait ended"),
    ("default", "Another problem"),
];

/// The document.
pub fn document(endpoints: &[Endpoint]) -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<ProblemDocument>();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints {
        let path = format!("/api/v1{}", endpoint.path);
        let item = paths.entry(path).or_insert_with(|| json!({}));
        let method = if endpoint.method == Method::GET { "get" } else { "post" };
        item[method] = operation(endpoint, &mut schemas, &problem.clone().to_value());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Shardline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What operators do with a cluster. Every operation has a command that does the same.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"session": []}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": super::gate::COOKIE,
                    "description": "Changes also need the header X-CSRF-Token"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    })
}

fn operation(endpoint: &Endpoint, schemas: &mut SchemaGenerator, problem: &Value) -> Value {
    let part = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
    let mut parameters: Vec<Value> = endpoint.parameters().map(part).collect();
    parameters.extend(endpoint.query.iter().map(|one| {
        json!({"name": one.name, "in": "query", "required": false, "description": one.text,
            "schema": {"type": one.kind}})
    }));
    if endpoint.keyed {
        parameters.push(json!({"name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Sent again with the same key it is answered and not done again",
            "schema": {"type": "string", "minLength": 1, "maxLength": 128}}));
    }
    let kind = if endpoint.streams { "text/event-stream" } else { "application/json" };
    let mut responses = Map::new();
    responses.insert(endpoint.status.to_string(), json!({
        "description": "Done",
        "headers": {"ETag": {"description": "The catalog's version", "schema": {"type": "string"}}},
        "content": {kind: {"schema": (endpoint.answers)(schemas)}},
    }));
    for (status, description) in PROBLEMS {
        let content = json!({"application/problem+json": {"schema": problem}});
        responses
            .insert(status.to_owned(), json!({"description": description, "content": content}));
    }
    let mut all = json!({
        "operationId": endpoint.id,
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": responses,
        "x-cli": endpoint.cli,
        "x-scopes": match endpoint.rule {
            Rule::Anyone | Rule::Known => Vec::new(),
            Rule::Any(scopes) => scopes.iter().map(|scope| scope.name()).collect(),
        },
    });
    if let Some(takes) = endpoint.takes {
        let schema = takes(schemas);
        all["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    if endpoint.rule == Rule::Anyone {
        all["security"] = json!([]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::handlers, cli::Cli};
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_is_documented_once_with_a_command() {
        let all = handlers::all();
        let ids: BTreeSet<&str> = all.iter().map(|endpoint| endpoint.id).collect();
        assert_eq!(ids.len(), all.len(), "two operations have one name");
        let document = document(&all);
        for endpoint in &all {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            let found = &document["paths"][format!("/api/v1{}", endpoint.path)][method];
            assert_eq!(found["operationId"], endpoint.id);
            assert!(!endpoint.cli.is_empty() && !endpoint.summary.is_empty(), "{endpoint:?}");
        }
        assert!(document["components"]["schemas"]["ProblemDocument"].is_object());
    }

    #[test]
    fn every_operation_has_a_command() {
        let cli = Cli::command();
        for endpoint in handlers::all() {
            let mut command = &cli;
            for word in endpoint.cli.split(' ') {
                let found = command.find_subcommand(word);
                command = found.unwrap_or_else(|| panic!("{endpoint:?}: no {:?}", endpoint.cli));
            }
            assert!(!command.has_subcommands(), "{endpoint:?}: {} is not whole", endpoint.cli);
        }
    }
}
