//! The HTTP API `/api/v1`: what operators do, in JSON, on the console port. One table names every operation with
//! who may call it and the command that does the same ([`handlers::all`]); one gate lets calls through. Errors are
//! as RFC 9457 has them, with a `code` for programs and a `hint` for people.

pub mod client;

pub mod call;
pub mod endpoint;
pub mod identity;
pub mod secret;

pub mod attempts;
pub mod keys;
pub mod logins;
pub mod passwords;

mod gate;
pub mod handlers;
mod headers;
pub mod openapi;

use crate::{
    operations::{OperationError, Operations},
    up::admin::Readiness,
};
use attempts::Attempts;
use axum::{
    Json, Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use endpoint::Endpoint;
use keys::Keys;
use logins::Logins;
use parking_lot::Mutex;
use passwords::Passwords;
use schemars::JsonSchema;
use secret::SecretHash;
use serde::{Deserialize, Serialize};
use shardline_base::Shutdown;
use std::{net::SocketAddr, sync::Arc, time::Instant};
use tokio::sync::Semaphore;

/// Streams of events at a time.
const STREAMS_MAX: usize = 64;

/// How the API is served.
#[derive(Clone)]
pub struct ApiSettings {
    /// The hash of a token that may do everything, for whoever may read the file it is in.
    pub local_token: Option<SecretHash>,
    /// Others than this machine may call; there is TLS then.
    pub beyond_loopback: bool,
    /// Ends streams.
    pub stop: Shutdown,
}

/// The API of a process.
pub struct Api {
    operations: Arc<Operations>,
    readiness: Readiness,
    settings: ApiSettings,
    endpoints: Vec<Endpoint>,
    passwords: Passwords,
    logins: Mutex<Logins>,
    attempts: Mutex<Attempts>,
    keys: Mutex<Keys>,
    /// Places for streams of events.
    streams: Arc<Semaphore>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("endpoints", &self.endpoints.len()).finish_non_exhaustive()
    }
}

impl Api {
    /// The API over the operations of this process.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn new(
        operations: Arc<Operations>,
        readiness: Readiness,
        settings: ApiSettings,
    ) -> Result<Arc<Self>, OperationError> {
        Ok(Arc::new(Self {
            operations,
            readiness,
            settings,
            endpoints: handlers::all(),
            passwords: Passwords::new()?,
            logins: Mutex::default(),
            attempts: Mutex::default(),
            keys: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }))
    }

    /// A link of one use that logs the local user in: what stands behind `/?login=`.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn login_link(&self) -> Result<String, OperationError> {
        self.logins.lock().link(Instant::now())
    }

    /// The routes.
    pub fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/api/v1/{*path}", any(answer))
            .route("/openapi.json", get(document))
            .with_state(self)
    }
}

/// Puts the headers that browsers heed on every answer of these routes.
pub fn secured(routes: Router) -> Router {
    routes.layer(middleware::map_response(headers::secure))
}

async fn answer(
    State(api): State<Arc<Api>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    api.answer(from, request).await
}

async fn document(State(api): State<Arc<Api>>) -> Json<serde_json::Value> {
    Json(openapi::document(&api.endpoints))
}

/// An error, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemDocument {
    /// Always `about:blank`: `code` says what it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of problem, in a word.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong.
    pub detail: String,
    /// The error itself.
    #[serde(flatten)]
    pub error: OperationError,
}

/// An operation's error on its way out.
pub(crate) struct Refused(pub(crate) OperationError);

impl From<OperationError> for Refused {
    fn from(error: OperationError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let error = self.0;
        let status = error.problem.http_status();
        let retry_after_s = error.retry_after_s;
        let document = ProblemDocument {
            kind: "about:blank".to_owned(),
            title: error.code.replace('_', " "),
            status,
            detail: error.message.clone(),
            error,
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, Json(document)).into_response();
        if let Some(wait_s) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        }
        response
    }
}
