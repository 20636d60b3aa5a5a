//! One call of an operation, and its answer.

use super::{Api, endpoint, identity::Identity};
use crate::operations::{OperationError, Operations};
use axum::{
    Json,
    body::Bytes,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use shardline_model::access::Scope;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// The longest text that is noted of a state, in bytes.
const NOTED_BYTES_MAX: usize = 2_048;
/// What is never noted.
const SECRETS: [&str; 6] = ["password", "old", "new", "secret", "link", "csrf"];

/// One call.
pub struct Call {
    /// What all calls share.
    pub(super) api: Arc<Api>,
    /// The operationId.
    pub operation: &'static str,
    /// Who calls. Somebody without a scope where an operation is for anyone.
    pub identity: Identity,
    /// The caller's address.
    pub source: IpAddr,
    /// The secret of the caller's session.
    pub(super) session_key: Option<String>,
    pub(super) path: BTreeMap<&'static str, String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Bytes,
    pub(super) notes: Mutex<Notes>,
}

/// What is noted of a change.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) target: Option<String>,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// A value.
    Json(StatusCode, Value),
    /// Something else.
    Other(Response),
}

impl Reply {
    /// 200 and a value.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn of(value: &impl Serialize) -> Result<Self, OperationError> {
        Self::with(StatusCode::OK, value)
    }

    /// 202: there is a job now.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn accepted(value: &impl Serialize) -> Result<Self, OperationError> {
        Self::with(StatusCode::ACCEPTED, value)
    }

    fn with(status: StatusCode, value: &impl Serialize) -> Result<Self, OperationError> {
        let value = serde_json::to_value(value)
            .map_err(|error| OperationError::failed("answer", error.to_string()))?;
        Ok(Self::Json(status, value))
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match self {
            Reply::Json(status, value) => (status, Json(value)).into_response(),
            Reply::Other(response) => response,
        }
    }
}

impl Call {
    /// The operations.
    pub fn operations(&self) -> Arc<Operations> {
        self.api.operations.clone()
    }

    /// A part of the path.
    ///
    /// # Errors
    /// The table of operations has no such part: a mistake of ours.
    pub fn part(&self, name: &str) -> Result<&str, OperationError> {
        let part = self.path.get(name).map(String::as_str);
        part.ok_or_else(|| OperationError::failed("path", format!("the path has no {name}")))
    }

    /// A part of the path that is a number.
    ///
    /// # Errors
    /// It is none.
    pub fn number(&self, name: &str) -> Result<u64, OperationError> {
        let text = self.part(name)?;
        text.parse().map_err(|_| OperationError::usage(format!("{text:?} is no number")))
    }

    /// A parameter behind the question mark.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The same as a number within bounds.
    ///
    /// # Errors
    /// It is no number, or beyond them.
    pub fn query_number(&self, name: &str, usual: u64, max: u64) -> Result<u64, OperationError> {
        let Some(text) = self.query(name) else { return Ok(usual) };
        let number = text.parse().ok().filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| {
            OperationError::usage(format!("{name} is a number from 1 to {max}, not {text:?}"))
        })
    }

    /// The body; an empty one is the default.
    ///
    /// # Errors
    /// It is not what is asked for.
    pub fn body<T: DeserializeOwned + Default>(&self) -> Result<T, OperationError> {
        if self.body.is_empty() || *self.body == *b"null" {
            return Ok(T::default());
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| OperationError::usage(format!("the request: {error}")))
    }

    /// Whether the caller has a scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.identity.scopes.contains(&scope)
    }

    /// Notes what is changed.
    pub fn note_target(&self, target: &str) {
        self.notes.lock().target = Some(target.to_owned());
    }

    /// Notes how something was.
    pub fn note_before(&self, state: &impl Serialize) {
        self.notes.lock().before = serde_json::to_value(state).ok().map(|state| noted(&state));
    }

    /// Notes how it is now.
    pub fn note_after(&self, state: &impl Serialize) {
        self.notes.lock().after = serde_json::to_value(state).ok().map(|state| noted(&state));
    }
}

/// A query's parameters.
pub(super) fn parameters(query: Option<&str>) -> Result<BTreeMap<String, String>, OperationError> {
    let mut all = BTreeMap::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let wrong = || OperationError::usage(format!("the query {pair:?} is not understood"));
        let value = endpoint::decoded(&value.replace('+', " ")).ok_or_else(wrong)?;
        all.insert(endpoint::decoded(name).ok_or_else(wrong)?, value);
    }
    Ok(all)
}

/// A state as it is noted: without secrets, and not too long.
pub(super) fn noted(state: &Value) -> String {
    let text = masked(state).to_string();
    if text.len() <= NOTED_BYTES_MAX {
        return text;
    }
    let cut = text.floor_char_boundary(NOTED_BYTES_MAX);
    format!("{}... ({} bytes)", &text[..cut], text.len())
}

fn masked(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let hidden = SECRETS.contains(&name.as_str()) && !value.is_null();
                let value = if hidden { Value::from("***") } else { masked(value) };
                (name.clone(), value)
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(masked).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_not_noted() {
        let body = json!({"name": "li", "password": "hush", "more": [{"secret": "hush"}]});
        let text = noted(&body);
        assert!(!text.contains("hush") && text.contains("li"), "{text}");
        assert!(noted(&json!("x".repeat(9_000))).len() < 2_100);
    }

    #[test]
    fn queries_are_taken_apart() {
        let all = parameters(Some("a=1&b=x%20y+z&&c")).expect("understood");
        assert_eq!((all["a"].as_str(), all["b"].as_str(), all["c"].as_str()), ("1", "x y z", ""));
        assert!(parameters(Some("a=%f")).is_err());
    }
}
