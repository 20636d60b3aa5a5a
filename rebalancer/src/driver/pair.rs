//! Two shards that rows go between, with their mover: what there is to see of it, and what it does by itself.

use crate::{
    FlowState, MoveError, Mover, Side, Switches,
    fault::point,
    preflight::Severity,
    state::Direction,
    workflow::{CALM, FlowView, LAG_MAX, Step, View},
};
use shardline_model::{
    id::{Epoch, ShardId},
    moves::MoveState,
    reshard::Transfer,
};
use std::time::{Duration, Instant};

/// One pair.
pub(super) struct Pair {
    pub(super) source: ShardId,
    pub(super) target: ShardId,
    pub(super) mover: Mover,
    checked: bool,
    verified: bool,
    /// What the servers say of switches, while nothing was done that changes it.
    switches: Option<(Epoch, Switches)>,
    calm_since: Option<Instant>,
}

/// What all pairs of a transfer have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// Every proxy acts by the state.
    pub(super) acknowledged: bool,
    /// No attempt to change the owners is made now.
    pub(super) backs_off: bool,
}

/// What there is to see when all rows stay where they are.
pub(super) fn nothing_to_carry(one: &Transfer, around: Around) -> View {
    let direction = match one.state {
        MoveState::Incoming | MoveState::Held | MoveState::Clearing => Direction::Forward,
        MoveState::Outgoing | MoveState::HeldBack | MoveState::Purging => Direction::Reverse,
    };
    View {
        state: one.state,
        since: one.since,
        acknowledged: around.acknowledged,
        switches: Switches::default(),
        checked: true,
        flow: FlowView::Running { direction, copied: true, calm: CALM },
        verified: true,
        backs_off: around.backs_off,
    }
}

impl Pair {
    pub(super) fn new(source: ShardId, target: ShardId, mover: Mover) -> Self {
        let (checked, verified, switches, calm_since) = (false, false, None, None);
        Self { source, target, mover, checked, verified, switches, calm_since }
    }

    pub(super) fn forget_what_was_seen(&mut self) {
        self.switches = None;
        self.calm_since = None;
    }

    /// Both sides are to be compared again.
    pub(super) fn forget_that_it_was_verified(&mut self) {
        self.verified = false;
    }

    pub(super) async fn view(&mut self, one: &Transfer, around: Around) -> Result<View, MoveError> {
        let known = self.switches.take().filter(|(since, _)| *since == one.since);
        let switches = match known {
            Some((_, switches)) => switches,
            None => self.mover.switches().await?,
        };
        self.switches = Some((one.since, switches.clone()));
        Ok(View {
            state: one.state,
            since: one.since,
            acknowledged: around.acknowledged,
            switches,
            checked: self.checked,
            flow: self.flow()?,
            verified: self.verified,
            backs_off: around.backs_off,
        })
    }

    fn flow(&mut self) -> Result<FlowView, MoveError> {
        let direction = match (self.mover.direction(), self.mover.state()) {
            (_, Some(FlowState::Failed(error))) => return Err(error),
            (
                Some(direction),
                Some(FlowState::Starting | FlowState::Running | FlowState::Waiting(_)),
            ) => direction,
            (_, None) | (None, _) => {
                self.calm_since = None;
                return Ok(FlowView::Stopped);
            }
        };
        let progress = self.mover.progress();
        let lag = progress.lag_ms.map(Duration::from_millis);
        if lag.is_none_or(|lag| lag > LAG_MAX) || !progress.copied {
            self.calm_since = None;
        } else if self.calm_since.is_none() {
            self.calm_since = Some(Instant::now());
        }
        let calm = self.calm_since.map(|since| since.elapsed()).unwrap_or_default();
        Ok(FlowView::Running { direction, copied: progress.copied, calm: calm.min(CALM) })
    }

    /// What a pair does by itself. Comparing ends early when `other_wish` does.
    pub(super) async fn perform(
        &mut self,
        step: Step,
        other_wish: impl Future<Output = ()>,
    ) -> Result<(), MoveError> {
        match step {
            Step::Check => self.check().await,
            Step::Start(direction) => {
                self.forget_what_was_seen();
                self.mover.start(direction).await
            }
            Step::Stop => {
                self.mover.stop().await;
                Ok(())
            }
            Step::Verify => tokio::select! {
                verified = self.verify() => verified,
                () = other_wish => Ok(()),
            },
            Step::Unrecord(direction) => {
                self.forget_what_was_seen();
                self.mover.unrecord_switch(direction).await
            }
            // The others are not so far.
            Step::Wait(_) | Step::Rest | Step::CutOver(_) | Step::Set(_) | Step::Clear(_) => Ok(()),
        }
    }

    /// Looks at servers and tables: since every proxy knows of the transfer no definition changes any more.
    async fn check(&mut self) -> Result<(), MoveError> {
        if !self.mover.is_prepared().await? {
            let findings = self.mover.preflight().await?;
            let blocking: Vec<String> = findings
                .iter()
                .filter(|finding| finding.severity == Severity::Blocking)
                .map(ToString::to_string)
                .collect();
            if !blocking.is_empty() {
                return Err(self.mover.step("begin", blocking.join("; ")));
            }
            self.mover.prepare().await?;
            point("move.prepared").await?;
        }
        self.checked = true;
        Ok(())
    }

    async fn verify(&mut self) -> Result<(), MoveError> {
        let verified = self.mover.verify().await?;
        if let Some(difference) = verified.differences.first() {
            let reason = format!(
                "both sides differ in {} rows, the first is {difference}; cancel the job, see who writes \
                 there around the proxies, and start it again",
                verified.differences.len()
            );
            return Err(self.mover.step("be verified", reason));
        }
        self.verified = true;
        Ok(())
    }

    /// Takes away what one side holds and does not own.
    pub(super) async fn clear(&mut self, side: Side) -> Result<(), MoveError> {
        self.mover.purge(side).await?;
        point("move.purged").await?;
        self.mover.forget().await?;
        point("move.forgotten").await
    }
}
