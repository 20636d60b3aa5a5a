//! Units change their owner while statements on them wait. Whatever fails on the way, the hold ends: by
//! the new owner in the catalog, by its release, or by proxies that have waited too long.

use super::unit_move::{MoveRun, owner};
use crate::state::Direction;
use shardline_model::{
    change::Change,
    id::Epoch,
    moves::{MoveState, UnitMove},
};
use std::time::{Duration, Instant};

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
        let begun = Instant::now();
        let hold = Change::SetMove { id: self.id, from: (one.state, one.since), to: Some(held) };
        let since = match self.driver.change(hold).await {
            Ok(Some(applied)) => applied.epoch,
            Ok(None) => return Err("somebody else has moved it on".into()),
            Err(error) => return Err(error.to_string()),
        };
        let budget = HOLD_BUDGET.saturating_sub(begun.elapsed());
        let ready = tokio::time::timeout(budget, self.while_held(direction, since)).await;
        let (to, why) = match ready {
            Ok(Ok(())) => (moved, None),
            Ok(Err(why)) => (held.released(), Some(why)),
            Err(_) => {
                let why = format!("it was not done within {} ms", HOLD_BUDGET.as_millis());
                (held.released(), Some(why))
            }
        };
        let end = Change::SetMove { id: self.id, from: (held, since), to: Some(to) };
        match (self.driver.change(end).await, why) {
            (Ok(Some(_)), None) => {
                self.pause = Some(begun.elapsed());
                tracing::info!(unit_move = %self.id, pause = ?begun.elapsed(), "units have changed their owner");
                Ok(())
            }
            (Ok(Some(_)), Some(why)) => Err(why),
            (Ok(None), why) => Err(why.unwrap_or_else(|| "the hold was taken back".into())),
            (Err(error), _) => Err(error.to_string()),
        }
    }

    /// Everything between the hold and the catalog's new owner. When it is over, nothing can reach the
    /// old owner any more, the new one has all of it, and says so.
    async fn while_held(&mut self, direction: Direction, since: Epoch) -> Result<(), String> {
        while !self.driver.is_acknowledged(since).await {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        // Only now no more of them can come.
        let side = owner(direction);
        let undecided = self.mover.undecided(side).await.map_err(|error| error.to_string())?;
        while !undecided.is_empty() {
            let now = self.mover.undecided(side).await.map_err(|error| error.to_string())?;
            if undecided.is_disjoint(&now) {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        let recorded = self.mover.record_switch(since.0, HOLD_BUDGET).await;
        recorded.map_err(|error| error.to_string())
    }
}
