//! Jobs begin, and are steered: what is wanted of them goes into the catalog, where whoever drives them
//! finds it.

use super::{
    JobVerb, JobView, OperationError, Operations, PlanRequest, StartRequest, Started,
    ThrottleRequest, UntilRequest, unix_s,
};
use shardline_meta_client::{ProposeError, RejectionKind};
use shardline_model::{
    catalog::Catalog,
    change::{Change, JOB_TEXT_BYTES_MAX},
    id::{JobId, MoveId},
    moves::{Job, JobKind, JobPhase, JobState, MoveState, Throttle, Until, Wish},
};
use shardline_rebalancer::{plan::RebalancePlan, workflow::Step};
use std::time::Duration;

/// Attempts at a change of a job, which its driver changes too.
const ATTEMPTS_MAX: usize = 50;
/// Plans that are made anew since the cluster has changed meanwhile.
const PLANS_MAX: usize = 10;
/// How long comparing may take.
const VERIFY_MAX: Duration = Duration::from_secs(3_600);
/// How long a driver takes to tell of a failure.
const FAILURE_WAIT: Duration = Duration::from_millis(500);
/// The state of moves that have not changed their owner.
const INCOMING: &str = "incoming";
/// In the summary of a job that waits for its cutover: a resumed one does too.
const WAITS_FOR_CUTOVER: &str = " (waits for cutover)";

impl Operations {
    /// Begins a job of a plan, or of a goal that is planned now.
    ///
    /// # Errors
    /// The plan was made for another state of the cluster, or moves touch those of another job.
    pub async fn start(&self, request: StartRequest) -> Result<Started, OperationError> {
        let throttle = throttled(Throttle::default(), &request.throttle)?;
        let plan = match (request.plan, &request.goal) {
            (Some(plan), None) => plan,
            (None, Some(goal)) => self.plan_of_now(goal).await?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(OperationError::usage("give a plan, or say what is wanted"));
            }
        };
        if !plan.is_current(&self.catalog()) {
            return Err(OperationError::new(
                super::Problem::Stale,
                "stale_plan",
                format!(
                    "the plan was made for catalog {}, and shards, tables or placements have changed since",
                    plan.epoch
                ),
            )
            .hint("make a new one: shardline rebalance plan"));
        }
        if plan.moves.is_empty() {
            return Ok(Started { job: None, plan });
        }
        let id = self.create(&plan, request.until, throttle).await?;
        Ok(Started { job: Some(self.job(id.0).await?), plan })
    }

    /// A plan that is current: other jobs may end while sizes are measured.
    async fn plan_of_now(&self, goal: &PlanRequest) -> Result<RebalancePlan, OperationError> {
        let mut plan = self.plan(goal).await?;
        for _ in 0..PLANS_MAX {
            if plan.is_current(&self.catalog()) {
                break;
            }
            plan = self.plan(goal).await?;
        }
        Ok(plan)
    }

    async fn create(
        &self,
        plan: &RebalancePlan,
        until: UntilRequest,
        throttle: Throttle,
    ) -> Result<JobId, OperationError> {
        let wish = match until {
            UntilRequest::Ready => Wish::GoOn(Until::Ready),
            UntilRequest::Moved => Wish::GoOn(Until::Moved),
            UntilRequest::Finished => Wish::Finish,
        };
        let state =
            JobState { phase: JobPhase::Planned, wish, owner: None, throttle, last_error: None };
        let mut summary = plan.goal.clone();
        let marker = if until == UntilRequest::Ready { WAITS_FOR_CUTOVER } else { "" };
        summary.truncate(summary.floor_char_boundary(JOB_TEXT_BYTES_MAX - marker.len()));
        summary.push_str(marker);
        let create =
            Change::CreateJob { kind: JobKind::Partial, summary, created_unix_s: unix_s(), state };
        let id = self.propose(create).await?.job;
        let id = id.ok_or_else(|| OperationError::failed("metadata", "the job has no number"))?;
        let begin = Change::BeginMoves { job: id, moves: plan.new_moves() };
        if let Err(error) = self.propose(begin).await {
            self.change_job(id, |_, job| {
                let mut reason = error.message.clone();
                reason.truncate(reason.floor_char_boundary(JOB_TEXT_BYTES_MAX));
                let phase = JobPhase::Cancelled;
                Ok(JobState { phase, last_error: Some(reason), ..job.state.clone() })
            })
            .await?;
            return Err(error.hint("shardline job list shows who is at work there"));
        }
        Ok(id)
    }

    /// Says what is wanted of a job from now on.
    ///
    /// # Errors
    /// It is not possible as the job stands.
    pub async fn job_verb(&self, id: u64, verb: JobVerb) -> Result<JobView, OperationError> {
        self.change_job(JobId(id), |catalog, job| wished(catalog, job, verb)).await?;
        self.job(id).await
    }

    /// Compares both sides of a job's moves again and tells how the job is then: failed, with the row in
    /// its error, when they differ.
    ///
    /// # Errors
    /// Nothing can be compared now, or another process drives the job.
    pub async fn verify(&self, id: u64) -> Result<JobView, OperationError> {
        let catalog = self.catalog();
        let job = super::jobs::found(&catalog, id)?;
        check_open(job)?;
        let copied: Vec<_> = self.job(id).await?.moves;
        let copied = copied.iter().filter(|one| one.copied && one.state == INCOMING);
        let copied: Vec<MoveId> = copied.map(|one| MoveId(one.id)).collect();
        if copied.is_empty() {
            let message =
                format!("job {id} has nothing that is copied and has not changed its owner");
            return Err(OperationError::precondition("not_now", message)
                .hint("both sides are compared before each change of owner anyway"));
        }
        let driver = self
            .driver
            .get()
            .filter(|driver| copied.iter().all(|id| driver.status().contains_key(id)));
        let driver = driver.ok_or_else(|| {
            let who = job.state.owner.map_or_else(|| "nobody".to_owned(), |one| one.to_string());
            OperationError::precondition(
                "elsewhere",
                format!("job {id} is driven by {who}, not here"),
            )
            .hint("ask that proxy's API: shardline --api HOST:PORT; shardline status shows proxies")
        })?;
        driver.verify_again(copied.iter().copied());
        let verifies = || {
            let status = driver.status();
            let at_it = |id: &MoveId| {
                let step = status.get(id).map(|one| one.step);
                driver.is_to_verify(*id) || step == Some(Step::Verify)
            };
            copied.iter().any(at_it)
        };
        let begun = std::time::Instant::now();
        while verifies() {
            if begun.elapsed() > VERIFY_MAX {
                let message = format!("job {id} is still being compared");
                return Err(OperationError::timed_out("verify", message)
                    .hint(format!("shardline rebalance status {id}")));
            }
            tokio::time::sleep(super::LOOK_PAUSE).await;
        }
        // A difference is in the catalog a moment later.
        tokio::time::sleep(FAILURE_WAIT).await;
        self.job(id).await
    }

    /// Says how fast a job may be from now on.
    ///
    /// # Errors
    /// The job is over, or the window is none.
    pub async fn throttle(
        &self,
        id: u64,
        request: &ThrottleRequest,
    ) -> Result<JobView, OperationError> {
        self.change_job(JobId(id), |_, job| {
            check_open(job)?;
            let throttle = throttled(job.state.throttle, request)?;
            Ok(JobState { throttle, ..job.state.clone() })
        })
        .await?;
        self.job(id).await
    }

    async fn change_job(
        &self,
        id: JobId,
        change: impl Fn(&Catalog, &Job) -> Result<JobState, OperationError>,
    ) -> Result<(), OperationError> {
        for _ in 0..ATTEMPTS_MAX {
            let catalog = self.catalog();
            let job = super::jobs::found(&catalog, id.0)?;
            let state = change(&catalog, job)?;
            if state == job.state {
                return Ok(());
            }
            let from = job.since;
            match self.meta.propose(Change::SetJob { id, from, state }).await {
                Ok(_) => return Ok(()),
                // Its driver has been faster.
                Err(ProposeError::Rejected(why)) if why.kind == RejectionKind::Moved => {
                    tokio::time::sleep(super::LOOK_PAUSE).await;
                }
                Err(ProposeError::Rejected(why)) => return Err(OperationError::rejected(&why)),
                Err(error) => {
                    let reason = crate::exit::chain(&error);
                    return Err(OperationError::unavailable("metadata", reason));
                }
            }
        }
        Err(OperationError::failed("busy", format!("job {} changes all the time", id.0)))
    }
}

fn check_open(job: &Job) -> Result<(), OperationError> {
    match job.state.phase.is_over() {
        true => Err(OperationError::precondition(
            "over",
            format!("job {} is {}", job.id.0, job.state.phase),
        )
        .hint("start another one: shardline rebalance start")),
        false => Ok(()),
    }
}

/// The verbs that are possible now.
pub(super) fn possible(catalog: &Catalog, job: &Job) -> Vec<JobVerb> {
    JobVerb::ALL.into_iter().filter(|verb| wished(catalog, job, *verb).is_ok()).collect()
}

/// The state of a job for which this is wanted.
fn wished(catalog: &Catalog, job: &Job, verb: JobVerb) -> Result<JobState, OperationError> {
    check_open(job)?;
    let moves: Vec<MoveState> =
        catalog.moves.values().filter(|one| one.job == job.id).map(|one| one.state).collect();
    let refuse = |why: String| Err(OperationError::precondition("not_now", why));
    let (id, phase) = (job.id.0, job.state.phase);
    let any_moved = moves.iter().any(|state| !state.is_owned_by_source());
    let any_purging = moves.contains(&MoveState::Purging);
    let all_moved = moves.iter().all(|state| !state.is_owned_by_source());
    if any_purging && verb != JobVerb::Resume {
        return refuse(format!("job {id} is being finished; nothing goes back any more"));
    }
    let wish = match verb {
        JobVerb::Pause => match job.state.wish {
            Wish::GoOn(_) | Wish::Finish => Wish::Pause,
            Wish::Pause => return refuse(format!("job {id} is paused already")),
            Wish::Cancel | Wish::RollBack => {
                return refuse(format!("job {id} is on its way back, which is not paused"));
            }
        },
        JobVerb::Resume => match (job.state.wish, phase) {
            (Wish::Pause, _) if any_moved => Wish::GoOn(Until::Moved),
            (Wish::Pause, _) if job.summary.ends_with(WAITS_FOR_CUTOVER) => {
                Wish::GoOn(Until::Ready)
            }
            (Wish::Pause, _) => Wish::GoOn(Until::Moved),
            (wish, JobPhase::Failed) => wish,
            (Wish::GoOn(_) | Wish::Finish | Wish::Cancel | Wish::RollBack, _) => {
                return refuse(format!("job {id} is {phase}; it is not paused and has not failed"));
            }
        },
        JobVerb::Cutover if all_moved => {
            return refuse(format!("everything of job {id} has changed its owner already"));
        }
        JobVerb::Cutover => Wish::GoOn(Until::Moved),
        JobVerb::Rollback if !any_moved => {
            return Err(OperationError::precondition(
                "not_now",
                format!("nothing of job {id} has changed its owner yet"),
            )
            .hint(format!("give it up: shardline rebalance cancel {id}")));
        }
        JobVerb::Rollback => Wish::RollBack,
        JobVerb::Finish if !all_moved || moves.is_empty() => {
            return Err(OperationError::precondition(
                "not_now",
                format!("not everything of job {id} has changed its owner yet"),
            )
            .hint(format!("shardline rebalance cutover {id}, or wait: shardline job wait {id}")));
        }
        JobVerb::Finish => Wish::Finish,
        JobVerb::Cancel if any_moved => {
            return Err(OperationError::precondition(
                "not_now",
                format!("data of job {id} has changed its owner already"),
            )
            .hint(format!("bring it back: shardline rebalance rollback {id}")));
        }
        JobVerb::Cancel => Wish::Cancel,
    };
    let mut state = JobState { wish, ..job.state.clone() };
    if moves.is_empty() {
        // It never had any, or its last step was not written.
        state.phase = JobPhase::Cancelled;
    } else if phase == JobPhase::Failed {
        // It is driven again.
        (state.phase, state.owner) = (JobPhase::Preparing, None);
    }
    Ok(state)
}

/// The throttle with what is named changed.
fn throttled(old: Throttle, request: &ThrottleRequest) -> Result<Throttle, OperationError> {
    let limit = |old: Option<u32>, new: Option<u32>| match new {
        None => old,
        Some(0) => None,
        Some(limit) => Some(limit),
    };
    let window = match request.window.as_deref() {
        None => old.window,
        Some("always" | "") => None,
        Some(text) => Some(window(text)?),
    };
    Ok(Throttle {
        max_mbps: limit(old.max_mbps, request.max_mbps),
        lag_max_ms: limit(old.lag_max_ms, request.lag_max_ms),
        window,
    })
}

/// `01:00-05:00`: minutes of the day.
fn window(text: &str) -> Result<(u16, u16), OperationError> {
    let wrong =
        || OperationError::usage(format!("{text:?} is no window; write 01:00-05:00 or always"));
    let minute = |text: &str| {
        let (hours, minutes) = text.trim().split_once(':')?;
        let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
        (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
    };
    let (from, until) = text.split_once('-').ok_or_else(wrong)?;
    Ok((minute(from).ok_or_else(wrong)?, minute(until).ok_or_else(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_limits() {
        let asked = ThrottleRequest {
            max_mbps: Some(50),
            lag_max_ms: Some(0),
            window: Some("01:00-05:30".into()),
        };
        let old = Throttle { max_mbps: None, lag_max_ms: Some(5), window: None };
        let new = throttled(old, &asked).expect("good");
        assert_eq!(new.max_mbps, Some(50));
        assert_eq!(new.lag_max_ms, None);
        assert_eq!(new.window, Some((60, 330)));
        let always = ThrottleRequest { window: Some("always".into()), ..Default::default() };
        assert_eq!(throttled(new, &always).expect("good").window, None);
        assert!(window("25:00-01:00").is_err());
    }
}
