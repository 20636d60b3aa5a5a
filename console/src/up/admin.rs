//! The HTTP port of a process: liveness, readiness, metrics, and the API of operators.

use crate::web;
use axum::{Router, extract::State, http::StatusCode, routing::get};
use shardline_base::{Shutdown, Telemetry};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::net::TcpListener;

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
}

/// Serves `/healthz`, `/readyz`, `/metrics` and the API, if any, until told to stop.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    telemetry: Telemetry,
    api: Option<Router>,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(|State(shared): State<Shared>| async move { shared.telemetry.render() }),
        )
        .with_state(Shared { readiness, telemetry })
        .merge(api.map(|api| api.merge(web::routes())).unwrap_or_default());
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.triggered().await })
        .await
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.readiness.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}
