//! Rows change their owners while statements on them wait. Whatever fails on the way, the hold ends: by the
//! new owners in the catalog, by its release, or by proxies that have waited too long.

use super::{sequence, transfer::TransferRun};
use crate::{MoveError, fault::point, state::Direction, turn::Turn};
use futures_util::future::try_join_all;
use shardline_model::{change::Change, id::Epoch, moves::MoveState, reshard::Transfer};
use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

/// How long statements may be held, all in all; proxies take a hold back after half a second.
const HOLD_BUDGET: Duration = Duration::from_millis(400);
/// Between two looks at proxies and undecided transactions.
const LOOK_PAUSE: Duration = Duration::from_millis(3);

impl TransferRun {
    /// One attempt.
    ///
    /// # Errors
    /// Why it was given up; nothing has changed then, or the next look at the catalog and the servers
    /// says how far it has come.
    pub(super) async fn cut_over(
        &mut self,
        one: &Transfer,
        direction: Direction,
    ) -> Result<(), String> {
        let (held, moved) = match direction {
            Direction::Forward => (MoveState::Held, MoveState::Outgoing),
            Direction::Reverse => (MoveState::HeldBack, MoveState::Incoming),
        };
        let turns = self.pairs.iter().map(|pair| pair.mover.turn(self.driver.shards()));
        let mut turns = try_join_all(turns).await.map_err(text)?;
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
        let ready = self.while_held(direction, &mut turns, since, &mut laps);
        let ready = tokio::time::timeout(budget, ready).await;
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
                tracing::info!(transfer = %self.id, pause = ?begun.elapsed(), %laps, "rows have changed their owners");
                Ok(())
            }
            (Ok(Some(_)), Some(why)) => Err(why),
            (Ok(None), why) => Err(why.unwrap_or_else(|| "the hold was taken back".into())),
            (Err(error), _) => Err(text(error)),
        }
    }

    /// Everything between the hold and the catalog's new owners. When it is over, nothing can reach the
    /// old owners any more, the new ones have all rows, and say so.
    async fn while_held(
        &mut self,
        direction: Direction,
        turns: &mut [Turn],
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
        // Only now no more of them can come. An owner that sends nothing to anybody keeps all of its rows.
        let mut seen = BTreeSet::new();
        let senders = self.pairs.iter().zip(turns.iter_mut()).filter(|(pair, _)| {
            seen.insert(match direction {
                Direction::Forward => pair.source,
                Direction::Reverse => pair.target,
            })
        });
        try_join_all(senders.map(|(_, turn)| settle(turn))).await.map_err(text)?;
        let catalog = self.driver.meta.catalog();
        sequence::advance(&self.driver, &catalog, self.id, direction).await?;
        drop(catalog);
        laps.settled = Some(lap.elapsed());
        lap = Instant::now();
        let recorded = self.pairs.iter_mut().zip(turns.iter_mut());
        let recorded =
            recorded.map(|(pair, turn)| pair.mover.record_switch(turn, since.0, HOLD_BUDGET));
        try_join_all(recorded).await.map_err(text)?;
        let drained = turns.iter().map(Turn::drained).max().unwrap_or_default();
        laps.drained = Some(drained);
        laps.recorded = Some(lap.elapsed().saturating_sub(drained));
        Ok(())
    }
}

/// Waits until what was undecided on a shard is decided.
async fn settle(turn: &mut Turn) -> Result<(), MoveError> {
    let undecided = turn.undecided().await?;
    while !undecided.is_empty() && !undecided.is_disjoint(&turn.undecided().await?) {
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Ok(())
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
