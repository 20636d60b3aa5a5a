//! The HTTP port of a process: liveness, readiness, metrics, and the API of operators. On the loopback it is
//! plain; beyond it there is TLS, and only liveness and readiness are told to whoever asks.

use super::listener::{self, AdminListener};
use crate::{
    api::{self, Api},
    web,
};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt,
};
use shardline_base::{Shutdown, Telemetry};
use shardline_model::access::Scope;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Whether the process takes new work. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    ready: Arc<AtomicBool>,
}

impl Readiness {
    /// Says whether new work is taken from now on.
    pub fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether new work is taken.
    pub fn get(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

#[derive(Clone)]
struct Shared {
    readiness: Readiness,
    telemetry: Telemetry,
    api: Option<Arc<Api>>,
    open_metrics: bool,
}

/// Serves `/healthz`, `/readyz`, `/metrics` and the API, if any, until told to stop.
pub async fn serve(
    listener: AdminListener,
    readiness: Readiness,
    telemetry: Telemetry,
    api: Option<Arc<Api>>,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let shared =
        Shared { readiness, telemetry, api: api.clone(), open_metrics: !listener.has_tls() };
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
        .merge(api.map(|api| api.routes().merge(web::routes())).unwrap_or_default());
    let routes = api::secured(routes).into_make_service_with_connect_info::<SocketAddr>();
    let stop = async move { shutdown.triggered().await };
    match listener {
        AdminListener::Plain(listener) => {
            axum::serve(listener, routes).with_graceful_shutdown(stop).await
        }
        AdminListener::Tls(listener, acceptor) => {
            // Nothing is done to a connection: this is what makes its address known.
            let listener = listener::TlsListener::new(listener, acceptor)?.tap_io(|_| {});
            axum::serve(listener, routes).with_graceful_shutdown(stop).await
        }
    }
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.readiness.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let known = |api: &Arc<Api>| api.permits(&headers, Scope::Read);
    if !shared.open_metrics && !shared.api.as_ref().is_some_and(known) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, "a token with the scope read is needed\n")
            .into_response();
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, shared.telemetry.render()).into_response()
}
