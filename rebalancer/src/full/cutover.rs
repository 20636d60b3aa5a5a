//! All rows of a table change their owners while statements on it wait. Whatever fails on the way, the hold
//! ends: by the new kind of the table in the catalog, by its release, or by proxies that have waited too long.

use super::FullRun;
use crate::{
    MoveError, Side,
    fault::point,
    session::{READING, Session},
    state::Direction,
    turn::Turn,
};
use futures_util::future::try_join_all;
use shardline_binlog::literal::name as quoted;
use shardline_model::{
    catalog::TableKind, change::Change, id::Epoch, moves::MoveState, reshard::Reshard,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How long statements may be held, all in all; proxies take a hold back after half a second.
const HOLD_BUDGET: Duration = Duration::from_millis(400);
/// Between two looks at proxies and undecided transactions.
const LOOK_PAUSE: Duration = Duration::from_millis(3);

impl FullRun {
    /// One attempt.
    ///
    /// # Errors
    /// Why it was given up; nothing has changed then, or the next look at the catalog and the servers
    /// says how far it has come.
    pub(super) async fn cut_over(
        &mut self,
        one: &Reshard,
        direction: Direction,
    ) -> Result<(), String> {
        let (held, moved) = match direction {
            Direction::Forward => (MoveState::Held, MoveState::Outgoing),
            Direction::Reverse => (MoveState::HeldBack, MoveState::Incoming),
        };
        let turns = self.pairs.iter().map(|pair| pair.mover.turn(self.driver.shards()));
        let mut turns = try_join_all(turns).await.map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let hold = Change::SetMove { id: self.id, from: (one.state, one.since), to: Some(held) };
        let since = match self.driver.change(hold).await {
            Ok(Some(applied)) => applied.epoch,
            Ok(None) => return Err("somebody else has moved it on".into()),
            Err(error) => return Err(error.to_string()),
        };
        point("cutover.held").await.map_err(|error| error.to_string())?;
        let budget = HOLD_BUDGET.saturating_sub(begun.elapsed());
        let mut reached = "it was held";
        let ready = self.while_held(one, direction, (since, &mut turns), &mut reached);
        let ready = tokio::time::timeout(budget, ready).await;
        let (to, why) = match ready {
            Ok(Ok(())) => (moved, None),
            Ok(Err(why)) => (held.released(), Some(why)),
            Err(_) => {
                let ms = HOLD_BUDGET.as_millis();
                (held.released(), Some(format!("after {ms} ms only this was done: {reached}")))
            }
        };
        point("cutover.before_switch").await.map_err(|error| error.to_string())?;
        let end = Change::SetMove { id: self.id, from: (held, since), to: Some(to) };
        match (self.driver.change(end).await, why) {
            (Ok(Some(_)), None) => {
                self.pause = Some(begun.elapsed());
                point("cutover.switched").await.map_err(|error| error.to_string())?;
                tracing::info!(table = %self.id, pause = ?begun.elapsed(), "a table's rows have changed their owners");
                Ok(())
            }
            (Ok(Some(_)), Some(why)) => Err(why),
            (Ok(None), why) => Err(why.unwrap_or_else(|| "the hold was taken back".into())),
            (Err(error), _) => Err(error.to_string()),
        }
    }

    /// Everything between the hold and the catalog's new epoch. When it is over, nothing can reach the
    /// old owners any more, the new ones have all rows, and every pair says so.
    async fn while_held(
        &mut self,
        one: &Reshard,
        direction: Direction,
        (since, turns): (Epoch, &mut [Turn]),
        reached: &mut &'static str,
    ) -> Result<(), String> {
        while !self.driver.is_acknowledged(since).await {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        *reached = "every proxy had acknowledged";
        point("cutover.acknowledged").await.map_err(|error| error.to_string())?;
        // Only now no more of them can come.
        let mut seen = BTreeSet::new();
        let senders = self.pairs.iter().zip(turns.iter_mut()).filter(|(pair, _)| {
            // An owner that sends nothing to anybody keeps all of its rows.
            seen.insert(match direction {
                Direction::Forward => pair.source,
                Direction::Reverse => pair.target,
            })
        });
        let settled = senders.map(|(_, turn)| settle(turn));
        try_join_all(settled).await.map_err(|error| error.to_string())?;
        *reached = "transactions were decided";
        self.advance_sequence(one, direction).await?;
        let recorded = self.pairs.iter_mut().zip(turns);
        let recorded =
            recorded.map(|(pair, turn)| pair.mover.record_switch(turn, since.0, HOLD_BUDGET));
        try_join_all(recorded).await.map(|_| ()).map_err(|error| error.to_string())
    }

    /// A single table's server has given its rows their ids; from here on the cluster's sequence does.
    async fn advance_sequence(&self, one: &Reshard, direction: Direction) -> Result<(), String> {
        let (before, afterwards) = match direction {
            Direction::Forward => (&one.from, &one.to),
            Direction::Reverse => (&one.to, &one.from),
        };
        let (TableKind::Single { shard }, TableKind::Sharded(_) | TableKind::Broadcast) =
            (before, afterwards)
        else {
            return Ok(());
        };
        let catalog = self.driver.meta().catalog();
        let table = catalog.table_by_id(one.table).ok_or("its table is gone")?;
        let Some(column) = table.auto_increment.and_then(|index| table.columns.get(index)) else {
            return Ok(());
        };
        let shard = catalog.shards.get(shard).ok_or("its shard is gone")?;
        let sql = format!(
            "SELECT MAX({}) FROM {}.{}",
            quoted(&column.name),
            quoted(&table.database),
            quoted(&table.name)
        );
        let endpoint = self.driver.endpoint(&shard.primary);
        let highest = async {
            let mut session = Session::open(Side::Source, &endpoint, READING).await?;
            session.one("the highest id of a table", &sql).await
        };
        let highest = highest.await.map_err(|error| error.to_string())?.text(0);
        let highest = match highest {
            // No row yet.
            None => 0,
            Some(text) => text.parse::<i128>().map_err(|_| {
                format!("the highest id of its table is {text}, which is no whole number")
            })?,
        };
        let next = u64::try_from(highest.max(0)).unwrap_or(u64::MAX).saturating_add(1);
        let reserved = self.driver.meta().reserve(one.table, 1, Some(next)).await;
        reserved.map(|_| ()).map_err(|error| error.to_string())
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
