//! Units change their owner while statements on them wait. Whatever fails on the way, the hold ends: by
//! the new owner in the catalog, by its release, or by proxies that have waited too long.

use super::unit_move::MoveRun;
use crate::{fault::point, state::Direction, turn::Turn};
use shardline_model::{
    change::Change,
    id::Epoch,
    moves::{MoveState, UnitMove},
};
use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

/// How long statements may be held, all in all; proxies take a hold back after half a second.
const HOLD_BUDGET: Duration = Duration::from_millis(350);
/// Between two looks at proxies and undecided transactions.
const LOOK_PAUSE: Duration = Duration::from_millis(3);

impl MoveRun {
    /// One attempt.
    ///
    /// # Errors
    /// Why it was given up; nothing has changed then, or the next look at the catalog and the servers
    /// says how far it has come.
    pub(super) async fn cut_over(
        &mut self,
        one: &UnitMove,
        direction: Direction,
    ) -> Result<(), String> {
        let (held, moved) = match direction {
            Direction::Forward => (MoveState::Held, MoveState::Outgoing),
            Direction::Reverse => (MoveState::HeldBack, MoveState::Incoming),
        };
        let mut turn = self.mover.turn(self.driver.shards()).await.map_err(text)?;
        let mut laps = Laps::default();
        let begun = Instant::now();
        let hold = Change::SetMove { id: self.id, from: (one.state, one.since), to: Some(held) };
        let since = match self.driver.change(hold).await {
            Ok(Some(applied)) => applied.epoch,
            Ok(None) => return Err("somebody else has moved it on".into()),
            Err(error) => return Err(text(error)),
        };
        laps.held = begun.elapsed();
        point("cutover.held").await.map_err(text)?;
        let budget = HOLD_BUDGET.saturating_sub(begun.elapsed());
        let ready =
            tokio::time::timeout(budget, self.while_held(&mut turn, since, &mut laps)).await;
        let (to, why) = match ready {
            Ok(Ok(())) => (moved, None),
            Ok(Err(why)) => (held.released(), Some(why)),
            Err(_) => {
                let why = format!("it was not done within {} ms ({laps})", HOLD_BUDGET.as_millis());
                (held.released(), Some(why))
            }
        };
        point("cutover.before_switch").await.map_err(text)?;
        let end = Change::SetMove { id: self.id, from: (held, since), to: Some(to) };
        match (self.driver.change(end).await, why) {
            (Ok(Some(_)), None) => {
                self.pause = Some(begun.elapsed());
                point("cutover.switched").await.map_err(text)?;
                tracing::info!(unit_move = %self.id, pause = ?begun.elapsed(), %laps, "units have changed their owner");
                Ok(())
            }
            (Ok(Some(_)), Some(why)) => Err(why),
            (Ok(None), why) => Err(why.unwrap_or_else(|| "the hold was taken back".into())),
            (Err(error), _) => Err(text(error)),
        }
    }

    /// Everything between the hold and the catalog's new owner. When it is over, nothing can reach the
    /// old owner any more, the new one has all of it, and says so.
    async fn while_held(
        &mut self,
        turn: &mut Turn,
        since: Epoch,
        laps: &mut Laps,
    ) -> Result<(), String> {
        let mut lap = Instant::now();
        while !self.driver.is_acknowledged(since).await {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        laps.acknowledged = Some(lap.elapsed());
        point("cutover.acknowledged").await.map_err(text)?;
        lap = Instant::now();
        // Only now no more of them can come.
        let undecided = turn.undecided().await.map_err(text)?;
        while !undecided.is_empty() && !undecided.is_disjoint(&Self::still(turn).await?) {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        laps.settled = Some(lap.elapsed());
        lap = Instant::now();
        let recorded = self.mover.record_switch(turn, since.0, HOLD_BUDGET).await;
        recorded.map_err(text)?;
        laps.drained = Some(turn.drained());
        laps.recorded = Some(lap.elapsed().saturating_sub(turn.drained()));
        Ok(())
    }

    async fn still(turn: &mut Turn) -> Result<BTreeSet<Vec<u8>>, String> {
        turn.undecided().await.map_err(text)
    }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

/// Where the time of a hold went; None is what was not reached.
#[derive(Debug, Default)]
struct Laps {
    held: Duration,
    acknowledged: Option<Duration>,
    settled: Option<Duration>,
    drained: Option<Duration>,
    recorded: Option<Duration>,
}

impl fmt::Display for Laps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held in {} ms", self.held.as_millis())?;
        let laps = [
            ("acknowledged", self.acknowledged),
            ("settled", self.settled),
            ("drained", self.drained),
            ("recorded", self.recorded),
        ];
        for (what, lap) in laps {
            match lap {
                Some(lap) => write!(f, ", {what} in {} ms", lap.as_millis())?,
                None => return write!(f, ", not {what}"),
            }
        }
        Ok(())
    }
}
