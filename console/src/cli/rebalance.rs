//! `shardline rebalance`: plans, and jobs of them.

use super::{
    arguments::Output,
    consent,
    job::{find, print, print_json, watch},
    operator_arguments::{
        ConsentedJobArguments, JobArguments, PlanArguments, RebalanceVerb, StartArguments,
        WaitArguments,
    },
    shard::client,
    show,
};
use crate::{
    exit::{Failure, Reason},
    operations::{JobVerb, JobView, StartRequest, Started},
};
use shardline_rebalancer::plan::RebalancePlan;
use std::path::Path;

/// Runs one verb.
pub(super) async fn run(verb: &RebalanceVerb) -> Result<(), Failure> {
    match verb {
        RebalanceVerb::Plan(arguments) => plan(arguments).await,
        RebalanceVerb::Start(arguments) => start(arguments).await,
        RebalanceVerb::Status(arguments) => {
            print(&find(&client(&arguments.api)?, arguments.id).await?, arguments.api.output)
        }
        RebalanceVerb::Watch(arguments) => {
            let wait = WaitArguments { no_wait: false, timeout_s: arguments.timeout_s };
            watch(&client(&arguments.api)?, arguments.id, wait, arguments.api.output).await
        }
        RebalanceVerb::Pause(arguments) => act(arguments, JobVerb::Pause).await,
        RebalanceVerb::Resume(arguments) => act(arguments, JobVerb::Resume).await,
        RebalanceVerb::Cutover(arguments) => act(arguments, JobVerb::Cutover).await,
        RebalanceVerb::Verify(arguments) => {
            let (api, id) = (client(&arguments.api)?, arguments.id);
            let job: JobView = api.post(&format!("/api/v1/jobs/{id}:verify"), &()).await?;
            print(&job, arguments.api.output)?;
            match job.last_error.filter(|_| job.phase == "failed") {
                Some(why) => {
                    Err(Failure::new(Reason::Findings, why).hint(job.next_steps.join(" · ")))
                }
                None => Ok(()),
            }
        }
        RebalanceVerb::Throttle(arguments) => {
            let (api, id) = (client(&arguments.api)?, arguments.id);
            let path = format!("/api/v1/jobs/{id}:throttle");
            let job: JobView = api.post(&path, &arguments.throttle.request()).await?;
            print(&job, arguments.api.output)
        }
        RebalanceVerb::Rollback(arguments) => {
            agreed(arguments, JobVerb::Rollback, "bring back everything that has moved").await
        }
        RebalanceVerb::Finish(arguments) => {
            agreed(
                arguments,
                JobVerb::Finish,
                "remove the old copies: nothing goes back after that",
            )
            .await
        }
        RebalanceVerb::Cancel(arguments) => {
            agreed(arguments, JobVerb::Cancel, "give the job up and remove what is copied").await
        }
    }
}

async fn plan(arguments: &PlanArguments) -> Result<(), Failure> {
    let request = arguments.goal.request(arguments.max_mbps);
    let plan: RebalancePlan =
        client(&arguments.api)?.post("/api/v1/rebalances:plan", &request).await?;
    if let Some(path) = &arguments.out {
        write(path, &plan)?;
    }
    show::plan(&plan, arguments.api.output)?;
    if let (Some(path), Output::Table) = (&arguments.out, arguments.api.output) {
        println!("next: shardline rebalance start {}", path.display());
    }
    Ok(())
}

fn write(path: &Path, plan: &RebalancePlan) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(plan).map_err(|e| Failure::new(Reason::Failed, e))?;
    std::fs::write(path, text).map_err(|error| {
        Failure::new(Reason::Failed, format!("cannot write {}: {error}", path.display()))
    })
}

fn read(path: &Path) -> Result<RebalancePlan, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Reason::Usage, format!("cannot read the plan {}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

async fn start(arguments: &StartArguments) -> Result<(), Failure> {
    let (api, output) = (client(&arguments.api)?, arguments.api.output);
    let goal = arguments.goal.request(arguments.throttle.max_mbps);
    let mut request = StartRequest {
        until: arguments.until.into(),
        throttle: arguments.throttle.request(),
        ..StartRequest::default()
    };
    match &arguments.plan {
        Some(path) => request.plan = Some(read(path)?),
        None => request.goal = Some(goal.clone()),
    }
    if arguments.dry_run {
        let plan = match request.plan {
            Some(plan) => plan,
            None => api.post("/api/v1/rebalances:plan", &goal).await?,
        };
        return show::plan(&plan, output);
    }
    let started: Started = api.post("/api/v1/rebalances", &request).await?;
    let Some(job) = &started.job else {
        return match output {
            Output::Json => print_json(&started),
            Output::Table => {
                println!("✓ nothing to move: {}", started.plan.goal);
                Ok(())
            }
        };
    };
    if output == Output::Table {
        show::plan(&started.plan, output)?;
        println!("job {} has begun", job.id);
    }
    watch(&api, job.id, arguments.wait, output).await
}

async fn act(arguments: &JobArguments, verb: JobVerb) -> Result<(), Failure> {
    let path = format!("/api/v1/jobs/{}:{}", arguments.id, verb.name());
    let job: JobView = client(&arguments.api)?.post(&path, &()).await?;
    print(&job, arguments.api.output)
}

async fn agreed(
    arguments: &ConsentedJobArguments,
    verb: JobVerb,
    what: &str,
) -> Result<(), Failure> {
    let (api, id) = (client(&arguments.api)?, arguments.id);
    if arguments.consent.dry_run {
        let job = find(&api, id).await?;
        if !job.verbs.iter().any(|possible| possible == verb.name()) {
            let message = format!("job {id} is {}: {} is not possible now", job.phase, verb.name());
            return Err(
                Failure::new(Reason::Precondition, message).hint(job.next_steps.join(" · "))
            );
        }
        println!("would {what} ({} moves)", job.moves.len());
        return Ok(());
    }
    consent::ask(what, &id.to_string(), arguments.consent)?;
    let job: JobView = api.post(&format!("/api/v1/jobs/{id}:{}", verb.name()), &()).await?;
    print(&job, arguments.api.output)
}
