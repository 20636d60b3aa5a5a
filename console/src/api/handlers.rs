//! The routes and what they call. A verb stands behind a colon: `POST /api/v1/jobs/42:pause`.

use super::Refused;
use crate::{
    operations::{
        EventView, JobVerb, JobView, OperationError, Operations, PlanRequest, Problem, ShardView,
        StartRequest, Started, ThrottleRequest, joining::AddRequest, view::Listing,
    },
    up::admin::Readiness,
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Serialize, de::DeserializeOwned};
use shardline_rebalancer::plan::RebalancePlan;
use std::{future::Future, sync::Arc};

/// The largest request, in bytes: a plan lists all that moves.
const BODY_BYTES_MAX: usize = 16 << 20;

#[derive(Clone)]
struct Shared {
    operations: Arc<Operations>,
    readiness: Readiness,
}

type Answer<T> = Result<Json<T>, Refused>;

/// The routes of the API.
pub fn routes(operations: Arc<Operations>, readiness: Readiness) -> Router {
    let shared = Shared { operations, readiness };
    Router::new()
        .route("/api/v1/shards", get(shards))
        .route("/api/v1/shards:add", post(add_shard))
        .route("/api/v1/shards/{name}", get(shard).post(shard_verb))
        .route("/api/v1/rebalances:plan", post(plan))
        .route("/api/v1/rebalances", get(jobs).post(start))
        .route("/api/v1/jobs", get(jobs))
        .route("/api/v1/jobs/{id}", get(job).post(job_verb))
        .route("/api/v1/jobs/{id}/events", get(events))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// No page of another site may call this: a browser would send that site's name as the host, or could not
/// say that it sends JSON.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let refuse = |error: OperationError| Refused(error).into_response();
    if !is_local_host(request.headers()) {
        let message = "the API is for this machine: call it by 127.0.0.1 or localhost";
        return refuse(OperationError::new(Problem::Usage, "host", message));
    }
    if request.method() == Method::POST && !is_json(request.headers()) {
        let message = "requests are JSON: send Content-Type: application/json";
        return refuse(OperationError::new(Problem::Usage, "content_type", message));
    }
    if !shared.readiness.get() {
        let error = OperationError::unavailable("not_ready", "the cluster is starting or stopping");
        return refuse(error.hint("try again in a moment"));
    }
    next.run(request).await
}

fn is_local_host(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    ["localhost", "127.0.0.1", "::1"].contains(&name)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
}

/// The body of a request; an empty one is the default.
fn body<T: DeserializeOwned + Default>(bytes: &Bytes) -> Result<T, Refused> {
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(bytes)
        .map_err(|error| Refused(OperationError::usage(format!("the request: {error}"))))
}

/// Runs to the end also when the caller goes away.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, OperationError>> + Send + 'static,
) -> Result<T, Refused> {
    match tokio::spawn(work).await {
        Ok(done) => done.map_err(Refused),
        Err(error) => {
            let message = format!("the operation broke off: {error}");
            Err(Refused(OperationError::failed("broken_off", message)))
        }
    }
}

async fn shards(State(shared): State<Shared>) -> Json<Listing<ShardView>> {
    Json(Listing::of("ShardList", shared.operations.shards().await))
}

async fn shard(State(shared): State<Shared>, Path(name): Path<String>) -> Answer<ShardView> {
    Ok(Json(shared.operations.shard(&name).await?))
}

async fn add_shard(State(shared): State<Shared>, bytes: Bytes) -> Answer<ShardView> {
    let request: AddRequest = body(&bytes)?;
    let operations = shared.operations;
    to_the_end(async move { operations.add_shard(&request).await }).await.map(Json)
}

/// What stands before and behind the colon.
fn split(path: &str) -> Result<(String, String), Refused> {
    let split = path.rsplit_once(':').map(|(name, verb)| (name.to_owned(), verb.to_owned()));
    split.ok_or_else(|| Refused(OperationError::usage("a verb is missing: .../NAME:VERB")))
}

async fn shard_verb(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    bytes: Bytes,
) -> Result<Response, Refused> {
    let (name, verb) = split(&path)?;
    let operations = shared.operations;
    match verb.as_str() {
        "drain" => {
            let request: StartRequest = body(&bytes)?;
            let drain = async move { operations.drain_shard(&name, request).await };
            Ok(accepted(&to_the_end(drain).await?))
        }
        "undrain" => Ok(Json(operations.undrain_shard(&name).await?).into_response()),
        "remove" => {
            let remove = async move { operations.remove_shard(&name).await };
            Ok(Json(to_the_end(remove).await?).into_response())
        }
        _ => Err(OperationError::not_found("verb of shards", verb).into()),
    }
}

/// 202: there is a job now.
fn accepted(value: &impl Serialize) -> Response {
    (StatusCode::ACCEPTED, Json(value)).into_response()
}

async fn plan(State(shared): State<Shared>, bytes: Bytes) -> Answer<RebalancePlan> {
    let request: PlanRequest = body(&bytes)?;
    Ok(Json(shared.operations.plan(&request).await?))
}

async fn start(State(shared): State<Shared>, bytes: Bytes) -> Result<Response, Refused> {
    let request: StartRequest = body(&bytes)?;
    let operations = shared.operations;
    let started: Started = to_the_end(async move { operations.start(request).await }).await?;
    Ok(accepted(&started))
}

async fn jobs(State(shared): State<Shared>) -> Json<Listing<JobView>> {
    Json(Listing::of("JobList", shared.operations.jobs().await))
}

fn number(text: &str) -> Result<u64, Refused> {
    text.parse().map_err(|_| Refused(OperationError::usage(format!("{text:?} is no job's number"))))
}

async fn job(State(shared): State<Shared>, Path(id): Path<String>) -> Answer<JobView> {
    Ok(Json(shared.operations.job(number(&id)?).await?))
}

async fn events(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Answer<Listing<EventView>> {
    Ok(Json(Listing::of("EventList", shared.operations.job_events(number(&id)?)?)))
}

async fn job_verb(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    bytes: Bytes,
) -> Answer<JobView> {
    let (id, verb) = split(&path)?;
    let id = number(&id)?;
    if verb == "throttle" {
        let request: ThrottleRequest = body(&bytes)?;
        return Ok(Json(shared.operations.throttle(id, &request).await?));
    }
    if verb == "verify" {
        let operations = shared.operations;
        return to_the_end(async move { operations.verify(id).await }).await.map(Json);
    }
    let verb = JobVerb::of(&verb).ok_or_else(|| OperationError::not_found("verb of jobs", verb))?;
    Ok(Json(shared.operations.job_verb(id, verb).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    #[test]
    fn only_this_machine_calls_and_only_with_json() {
        for good in ["localhost:4380", "127.0.0.1", "[::1]:4380"] {
            assert!(is_local_host(&headers(header::HOST, good)), "{good}");
        }
        for wrong in ["evil.example:4380", "127.0.0.1.evil.example", ""] {
            assert!(!is_local_host(&headers(header::HOST, wrong)), "{wrong}");
        }
        assert!(is_json(&headers(header::CONTENT_TYPE, "application/json; charset=utf-8")));
        assert!(!is_json(&headers(header::CONTENT_TYPE, "text/plain")));
    }

    #[test]
    fn verbs_stand_behind_a_colon() {
        let found = split("42:pause").map_err(|refused| refused.0);
        assert_eq!(found, Ok(("42".to_owned(), "pause".to_owned())));
        assert!(split("42").is_err());
    }
}
