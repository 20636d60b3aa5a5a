//! Plans, and jobs: begun, steered, watched.

use super::Empty;
use crate::{
    api::{
        call::{Call, Reply},
        endpoint::{Endpoint, Rule},
    },
    operations::{
        EventView, JobVerb, JobView, OperationError, PlanRequest, StartRequest, Started,
        ThrottleRequest, view::Listing,
    },
};
use serde_json::Value;
use shardline_model::access::Scope;
use std::sync::Arc;

const READ: Rule = Rule::Any(&[Scope::Read]);
const OPERATE: Rule = Rule::Any(&[Scope::Operate]);
const CHANGE: Rule = Rule::Any(&[Scope::Change]);

/// The operations.
pub(super) fn table() -> Vec<Endpoint> {
    let mut all = vec![
        Endpoint::post::<PlanRequest, Value, _>("planRebalance", "/rebalances:plan", READ, plan)
            .cli("rebalance plan")
            .does("What would be moved; moves nothing")
            .unnoted(),
        Endpoint::get::<Listing<JobView>, _>("listRebalances", "/rebalances", READ, list)
            .cli("job list")
            .does("All jobs"),
        Endpoint::post::<StartRequest, Started, _>("startRebalance", "/rebalances", CHANGE, start)
            .cli("rebalance start")
            .does("Begins a job, of a plan or of a goal")
            .makes_job(),
        Endpoint::get::<Listing<JobView>, _>("listJobs", "/jobs", READ, list)
            .cli("job list")
            .does("All jobs, the newest first"),
        Endpoint::get::<JobView, _>("getJob", "/jobs/{id}", READ, show)
            .cli("job show")
            .does("One job"),
        Endpoint::get::<Listing<EventView>, _>("listJobEvents", "/jobs/{id}/events", READ, events)
            .cli("job logs")
            .does("What happened to a job, as this process saw it"),
        Endpoint::post::<ThrottleRequest, JobView, _>(
            "throttleJob",
            "/jobs/{id}:throttle",
            OPERATE,
            throttle,
        )
        .cli("rebalance throttle")
        .does("How fast a job may be"),
        Endpoint::post::<Empty, JobView, _>("verifyJob", "/jobs/{id}:verify", OPERATE, verify)
            .cli("rebalance verify")
            .does("Compares both sides of what is copied"),
    ];
    all.extend(verbs());
    all
}

fn verbs() -> [Endpoint; 6] {
    let verb = |id, path, rule, cli, does, run| {
        Endpoint::post::<Empty, JobView, _>(id, path, rule, run).cli(cli).does(does)
    };
    [
        verb(
            "pauseJob",
            "/jobs/{id}:pause",
            OPERATE,
            "rebalance pause",
            "Lets a job stand still",
            steer as fn(_) -> _,
        ),
        verb(
            "resumeJob",
            "/jobs/{id}:resume",
            OPERATE,
            "rebalance resume",
            "Lets a job go on",
            steer,
        ),
        verb(
            "cutoverJob",
            "/jobs/{id}:cutover",
            CHANGE,
            "rebalance cutover",
            "Changes the owners of what is moved",
            steer,
        ),
        verb(
            "rollbackJob",
            "/jobs/{id}:rollback",
            CHANGE,
            "rebalance rollback",
            "Brings everything back",
            steer,
        ),
        verb(
            "finishJob",
            "/jobs/{id}:finish",
            CHANGE,
            "rebalance finish",
            "Nothing goes back any more",
            steer,
        ),
        verb("cancelJob", "/jobs/{id}:cancel", CHANGE, "rebalance cancel", "Gives a job up", steer),
    ]
}

async fn plan(call: Arc<Call>) -> Result<Reply, OperationError> {
    let request: PlanRequest = call.body()?;
    Reply::of(&call.operations().plan(&request).await?)
}

async fn start(call: Arc<Call>) -> Result<Reply, OperationError> {
    let request: StartRequest = call.body()?;
    let started: Started = call.operations().start(request).await?;
    if let Some(job) = &started.job {
        call.note_target(&format!("job {}", job.id));
        call.note_after(&job.summary);
    }
    Reply::accepted(&started)
}

async fn list(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&Listing::of("JobList", call.operations().jobs().await))
}

async fn show(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&call.operations().job(call.number("id")?).await?)
}

async fn events(call: Arc<Call>) -> Result<Reply, OperationError> {
    let events = call.operations().job_events(call.number("id")?)?;
    Reply::of(&Listing::of("EventList", events))
}

async fn throttle(call: Arc<Call>) -> Result<Reply, OperationError> {
    let (id, request): (_, ThrottleRequest) = (call.number("id")?, call.body()?);
    noted_before(&call, id).await?;
    changed(&call, &call.operations().throttle(id, &request).await?)
}

async fn verify(call: Arc<Call>) -> Result<Reply, OperationError> {
    let Empty {} = call.body()?;
    changed(&call, &call.operations().verify(call.number("id")?).await?)
}

/// The verb is in the operation's name: `pauseJob`.
async fn steer(call: Arc<Call>) -> Result<Reply, OperationError> {
    let Empty {} = call.body()?;
    let id = call.number("id")?;
    let verb = call.operation.strip_suffix("Job").unwrap_or_default();
    let verb = JobVerb::of(verb).ok_or_else(|| OperationError::not_found("verb of jobs", verb))?;
    noted_before(&call, id).await?;
    changed(&call, &call.operations().job_verb(id, verb).await?)
}

/// A job as it is noted: how far it is, what is wanted of it, how fast it may be.
fn state(job: &JobView) -> Value {
    serde_json::json!({
        "phase": job.phase, "wish": job.wish, "max_mbps": job.max_mbps, "lag_max_ms": job.lag_max_ms,
        "window": job.window,
    })
}

async fn noted_before(call: &Call, id: u64) -> Result<(), OperationError> {
    call.note_before(&state(&call.operations().job(id).await?));
    Ok(())
}

fn changed(call: &Call, job: &JobView) -> Result<Reply, OperationError> {
    call.note_target(&format!("job {}", job.id));
    call.note_after(&state(job));
    Reply::of(job)
}
