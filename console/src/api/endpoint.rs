//! One operation of the API: its name, its path, who may call it, the command that does the same, and what
//! runs it. The table of all of them is what is routed, documented and tested: there is no way past it.

use super::call::{Call, Reply};
use crate::operations::OperationError;
use axum::http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use shardline_model::access::Scope;
use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

/// What comes of a call.
pub type Outcome = Pin<Box<dyn Future<Output = Result<Reply, OperationError>> + Send>>;
/// What runs a call.
pub type Handler = Arc<dyn Fn(Arc<Call>) -> Outcome + Send + Sync>;
/// The schema of a body.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Everybody, also who is not known: to log in.
    Anyone,
    /// Everybody who is known.
    Known,
    /// Who has one of these.
    Any(&'static [Scope]),
}

/// A parameter behind the question mark.
#[derive(Clone, Copy, Debug)]
pub struct QueryParameter {
    /// Its name.
    pub name: &'static str,
    /// `string` or `integer`.
    pub kind: &'static str,
    /// What it is.
    pub text: &'static str,
}

/// One operation.
#[derive(Clone)]
pub struct Endpoint {
    /// The operationId.
    pub id: &'static str,
    /// GET or POST.
    pub method: Method,
    /// Behind `/api/v1`, with parts like `{name}`; the last part may end with a colon and a verb.
    pub path: &'static str,
    /// Who may call it.
    pub rule: Rule,
    /// The command that does the same.
    pub cli: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// What may stand behind the question mark.
    pub query: &'static [QueryParameter],
    /// What is sent.
    pub takes: Option<SchemaOf>,
    /// What is answered.
    pub answers: SchemaOf,
    /// The status of success.
    pub status: u16,
    /// Whether it is noted in the audit log.
    pub audited: bool,
    /// Whether an Idempotency-Key is understood.
    pub keyed: bool,
    /// Whether it answers before the cluster is ready.
    pub early: bool,
    /// Whether it goes on for as long as the caller listens.
    pub streams: bool,
    /// What runs it.
    pub handler: Handler,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.id, self.method, self.path)
    }
}

impl Endpoint {
    /// Something that is read.
    pub fn get<A: JsonSchema, F>(
        id: &'static str,
        path: &'static str,
        rule: Rule,
        handler: fn(Arc<Call>) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Reply, OperationError>> + Send + 'static,
    {
        Self {
            id,
            method: Method::GET,
            path,
            rule,
            cli: "",
            summary: "",
            query: &[],
            takes: None,
            answers: |schemas| schemas.subschema_for::<A>(),
            status: 200,
            audited: false,
            keyed: false,
            early: false,
            streams: false,
            handler: Arc::new(move |call| Box::pin(handler(call))),
        }
    }

    /// Something that is done; it is noted.
    pub fn post<T: JsonSchema, A: JsonSchema, F>(
        id: &'static str,
        path: &'static str,
        rule: Rule,
        handler: fn(Arc<Call>) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Reply, OperationError>> + Send + 'static,
    {
        Self {
            method: Method::POST,
            takes: Some(|schemas| schemas.subschema_for::<T>()),
            audited: true,
            ..Self::get::<A, F>(id, path, rule, handler)
        }
    }

    /// The command that does the same.
    pub fn cli(mut self, cli: &'static str) -> Self {
        self.cli = cli;
        self
    }

    /// What it does.
    pub fn does(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// What may stand behind the question mark.
    pub fn query(mut self, query: &'static [QueryParameter]) -> Self {
        self.query = query;
        self
    }

    /// It makes a job: 202, and an Idempotency-Key is understood.
    pub fn makes_job(mut self) -> Self {
        (self.status, self.keyed) = (202, true);
        self
    }

    /// An Idempotency-Key is understood.
    pub fn keyed(mut self) -> Self {
        self.keyed = true;
        self
    }

    /// It changes nothing, though it is a POST.
    pub fn unnoted(mut self) -> Self {
        self.audited = false;
        self
    }

    /// It answers before the cluster is ready.
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }

    /// It goes on for as long as the caller listens.
    pub fn streams(mut self) -> Self {
        self.streams = true;
        self
    }

    /// The values of the path's parts when the path is this one's.
    pub fn matches(&self, path: &str) -> Option<BTreeMap<&'static str, String>> {
        let (mine, verb) = match self.path.rsplit_once(':') {
            Some((mine, verb)) => (mine, Some(verb)),
            None => (self.path, None),
        };
        let path = match verb {
            Some(verb) => path.strip_suffix(verb)?.strip_suffix(':')?,
            None => path,
        };
        let (mut mine, mut parts) = (mine.split('/'), path.split('/'));
        let mut values = BTreeMap::new();
        loop {
            match (mine.next(), parts.next()) {
                (None, None) => return Some(values),
                (Some(mine), Some(part)) => match name_of(mine) {
                    Some(name) if !part.is_empty() => {
                        values.insert(name, decoded(part)?);
                    }
                    None if mine == part => {}
                    Some(_) | None => return None,
                },
                (Some(_), None) | (None, Some(_)) => return None,
            }
        }
    }

    /// The names of the path's parts.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        let path = self.path.rsplit_once(':').map_or(self.path, |(path, _)| path);
        path.split('/').filter_map(name_of)
    }
}

fn name_of(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

/// A part of a path or of a query, without percent signs.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(path: &'static str) -> Endpoint {
        async fn nothing(_: Arc<Call>) -> Result<Reply, OperationError> {
            Err(OperationError::usage("nothing"))
        }
        Endpoint::get::<String, _>("x", path, Rule::Known, nothing)
    }

    #[test]
    fn paths_and_verbs() {
        let drain = endpoint("/shards/{name}:drain");
        let found = drain.matches("/shards/s%201:drain").expect("found");
        assert_eq!(found.get("name").map(String::as_str), Some("s 1"));
        for wrong in ["/shards/s1", "/shards/:drain", "/shards/a/b:drain", "/shards/%zz:drain"] {
            assert!(drain.matches(wrong).is_none(), "{wrong}");
        }
        assert!(endpoint("/shards:add").matches("/shards:add").is_some());
        let table = endpoint("/databases/{db}/tables/{table}");
        assert_eq!(table.parameters().collect::<Vec<_>>(), ["db", "table"]);
        let found = table.matches("/databases/a/tables/b%2Fc").expect("found");
        assert_eq!(found.get("table").map(String::as_str), Some("b/c"));
    }
}
