//! Settles one branch of an aborted transaction: fences it if it has not committed, else undoes it from
//! the binlog, together with its locks and its row, in one local transaction.
//!
//! Any number of proxies may settle the same branch at once: the lock on its row lets one in, and the
//! others find it gone.

use super::{
    anchor::number,
    binlog::{Logs, SearchError, prepared_us},
    control::{Control, ControlConnection, ControlError, DUPLICATE},
    definitions::{self, Checked, DefinitionError},
    stuck::{Choice, StuckBranches, Unstuck},
    telemetry::Telemetry,
    undo::{Survey, Trouble, Undo},
};
use crate::{
    backend::PoolSet,
    fault,
    txn::{
        lock_key::LockSet,
        outcome::{Settlement, Standing},
        sql::{self, FENCED, Names, PREPARED},
        xid::Xid,
    },
};
use shardline_binlog::{RowChange, undo::SESSION};
use shardline_model::id::ShardId;
use std::sync::Arc;

/// Settles branches.
pub(crate) struct Settler {
    pub(super) control: Arc<Control>,
    pub(super) logs: Logs,
    pub(crate) stuck: StuckBranches,
    pub(crate) checked: Checked,
    pub(super) telemetry: Telemetry,
}

/// A branch whose row is locked in a local transaction that is open.
struct Held {
    connection: ControlConnection,
    locks: LockSet,
    packet_max: usize,
    prepared_us: Option<u64>,
}

/// Why an operator's choice could not be carried out. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnstuckError {
    /// No such branch is known to be stuck.
    #[error("transaction {xid} is not stuck on {shard}, as far as this proxy knows")]
    NotStuck {
        /// The transaction.
        xid: Xid,
        /// The shard.
        shard: ShardId,
    },
    /// Only aborted transactions are undone, and their anchor must say so.
    #[error("the anchor of transaction {xid} does not say now that it is aborted: {standing:?}")]
    NotAborted {
        /// The transaction.
        xid: Xid,
        /// What it says.
        standing: Option<Standing>,
    },
    /// It may be possible later.
    #[error("not now: {0}")]
    Later(#[from] ControlError),
    /// It is not possible as things are.
    #[error("{0}")]
    Impossible(String),
}

impl From<Trouble> for UnstuckError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Later(error) => UnstuckError::Later(error),
            Trouble::Never(reason) => UnstuckError::Impossible(reason),
        }
    }
}

impl Settler {
    pub(crate) fn new(control: Arc<Control>, pools: Arc<PoolSet>) -> Self {
        Settler {
            logs: Logs::new(control.clone(), pools),
            control,
            stuck: StuckBranches::default(),
            checked: Checked::default(),
            telemetry: Telemetry::default(),
        }
    }

    /// Settles a branch of a transaction whose anchor says ABORTED.
    pub(crate) async fn settle(&self, names: Names<'_>, shard: ShardId) -> Settlement {
        if self.stuck.is_fresh(names.xid, shard) {
            return Settlement::Stuck;
        }
        let settled = match self.try_settle(names, shard).await {
            Ok(settled) => settled,
            Err(error) => {
                tracing::debug!(xid = %names.xid, %shard, %error, "cannot settle a branch yet");
                Settlement::Failed
            }
        };
        self.telemetry.settled(settled);
        settled
    }

    async fn try_settle(
        &self,
        names: Names<'_>,
        shard: ShardId,
    ) -> Result<Settlement, ControlError> {
        fault::point("settle.before_fence", shard).await?;
        match self.control.query(shard, &sql::fence_branch(names)).await {
            Ok(_) => {
                fault::point("settle.after_fence", shard).await?;
                return Ok(Settlement::Done);
            }
            Err(error) if error.number() == Some(DUPLICATE) => {}
            Err(error) => return Err(error),
        }
        let Some(mut held) = self.hold(names.xid, shard).await? else {
            self.stuck.remove(names.xid, shard);
            return Ok(Settlement::Done);
        };
        match self.undo(names.xid, shard, &mut held).await {
            Ok(true) => return self.end(names.xid, shard, held).await,
            Ok(false) => {}
            Err(Trouble::Later(error)) => {
                held.roll_back().await;
                return Err(error);
            }
            Err(Trouble::Never(reason)) => {
                held.roll_back().await;
                self.found_stuck(names, shard, reason, Survey::default());
                return Ok(Settlement::Stuck);
            }
        }
        held.roll_back().await;
        self.survey(names, shard).await
    }

    /// A row differs: which, and how? They may be as they were by now.
    async fn survey(&self, names: Names<'_>, shard: ShardId) -> Result<Settlement, ControlError> {
        let Some(mut held) = self.hold(names.xid, shard).await? else {
            return Ok(Settlement::Done);
        };
        match self.undo_matching(names.xid, shard, &mut held).await {
            Ok(survey) if survey.differing == 0 => self.end(names.xid, shard, held).await,
            Ok(survey) => {
                held.roll_back().await;
                let reason = "rows were changed by somebody else since".to_owned();
                self.found_stuck(names, shard, reason, survey);
                Ok(Settlement::Stuck)
            }
            Err(Trouble::Later(error)) => {
                held.roll_back().await;
                Err(error)
            }
            Err(Trouble::Never(reason)) => {
                held.roll_back().await;
                self.found_stuck(names, shard, reason, Survey::default());
                Ok(Settlement::Stuck)
            }
        }
    }

    fn found_stuck(&self, names: Names<'_>, shard: ShardId, reason: String, survey: Survey) {
        let xid = names.xid;
        let Survey { differing, rows, .. } = survey;
        if self.stuck.add(names, shard, reason.clone(), differing, rows.clone()) {
            tracing::error!(
                %xid, %shard, %reason, differing, ?rows,
                "a branch of an aborted transaction is stuck: its keys stay locked until \
                 CALL shardline.txn_resolve decides"
            );
        }
        self.telemetry.stuck_rows(self.stuck.rows());
    }

    /// Locks the branch row. None when there is nothing to undo (any more).
    async fn hold(&self, xid: Xid, shard: ShardId) -> Result<Option<Held>, ControlError> {
        let mut connection = self.control.connection(shard).await?;
        let mut answer = connection.run(&sql::settle_read(xid)).await?;
        if let Some((_, error)) = answer.failed {
            connection.query("ROLLBACK").await?;
            connection.release();
            return Err(ControlError::Refused(error));
        }
        let rows = answer.last_rows().rows;
        let state = rows.first().and_then(|row| number(row.first()?.as_ref()?));
        if state.is_none() || state == Some(u64::from(FENCED)) {
            connection.query("ROLLBACK").await?;
            connection.release();
            return Ok(None);
        }
        let strange = || ControlError::Lost(format!("the branch row of {xid} cannot be read"));
        if state != Some(u64::from(PREPARED)) {
            return Err(strange());
        }
        let locks = rows.first().and_then(|row| LockSet::from_bytes(row.get(1)?.as_ref()?));
        let locks = locks.ok_or_else(strange)?;
        for statement in SESSION {
            connection.query(statement).await?;
        }
        let prepared_us = prepared_us(&mut connection, xid).await?;
        let packet = connection.query("SELECT @@max_allowed_packet").await?.rows;
        let packet = packet.first().and_then(|row| number(row.first()?.as_ref()?));
        let packet_max = packet.and_then(|most| most.try_into().ok()).ok_or_else(strange)?;
        fault::point("settle.after_read", shard).await?;
        Ok(Some(Held { connection, locks, packet_max, prepared_us }))
    }

    /// What the branch changed.
    async fn changes(
        &self,
        xid: Xid,
        shard: ShardId,
        held: &Held,
    ) -> Result<(Vec<RowChange>, definitions::Definitions), Trouble> {
        let found = match self.logs.find(shard, xid, held.prepared_us).await {
            Ok(found) => found,
            Err(SearchError::Later(reason)) => {
                return Err(Trouble::Later(ControlError::Unreachable(reason)));
            }
            Err(SearchError::Never(reason)) => return Err(Trouble::Never(reason)),
        };
        if let Some(statement) = found.statements.first() {
            let text = String::from_utf8_lossy(&statement.sql).into_owned();
            return Err(Trouble::Never(format!("a part of it is logged as a statement: {text}")));
        }
        let definitions = match definitions::of_changes(&self.control, shard, &found.changes).await
        {
            Ok(definitions) => definitions,
            Err(DefinitionError::Control(error)) => return Err(error.into()),
            Err(DefinitionError::Undo(error)) => return Err(error.into()),
        };
        Ok((found.changes, definitions))
    }

    async fn undo(&self, xid: Xid, shard: ShardId, held: &mut Held) -> Result<bool, Trouble> {
        let (changes, definitions) = self.changes(xid, shard, held).await?;
        fault::point("settle.before_undo", shard).await.map_err(ControlError::from)?;
        let undone = self.of(shard, &changes, &definitions, held).all(&mut held.connection).await?;
        if undone {
            self.telemetry.undone(changes.len());
        }
        Ok(undone)
    }

    async fn undo_matching(
        &self,
        xid: Xid,
        shard: ShardId,
        held: &mut Held,
    ) -> Result<Survey, Trouble> {
        let (changes, definitions) = self.changes(xid, shard, held).await?;
        self.of(shard, &changes, &definitions, held).matching(&mut held.connection).await
    }

    fn of<'a>(
        &'a self,
        shard: ShardId,
        changes: &'a [RowChange],
        definitions: &'a definitions::Definitions,
        held: &Held,
    ) -> Undo<'a> {
        Undo { control: &self.control, shard, changes, definitions, packet_max: held.packet_max }
    }

    /// Deletes the locks and the row, and commits it all.
    async fn end(
        &self,
        xid: Xid,
        shard: ShardId,
        mut held: Held,
    ) -> Result<Settlement, ControlError> {
        fault::point("settle.before_end", shard).await?;
        // A lock wait may end a whole transaction; the row must not go without the rest.
        if !held.connection.in_transaction() {
            return Err(ControlError::Lost("the undoing was rolled back".to_owned()));
        }
        let answer = held.connection.run(&sql::settle_end(xid, &held.locks)).await?;
        if let Some((_, error)) = answer.failed {
            held.roll_back().await;
            return Err(ControlError::Refused(error));
        }
        fault::point("settle.after_end", shard).await?;
        self.stuck.remove(xid, shard);
        self.telemetry.stuck_rows(self.stuck.rows());
        Ok(Settlement::Done)
    }

    /// Carries out what an operator has decided about a stuck branch.
    ///
    /// # Errors
    /// See [`UnstuckError`]; nothing was changed then.
    pub(crate) async fn unstick(
        &self,
        xid: Xid,
        shard: ShardId,
        choice: Choice,
    ) -> Result<Unstuck, UnstuckError> {
        let branch = self.stuck.get(xid, shard).ok_or(UnstuckError::NotStuck { xid, shard })?;
        match self.control.standing(xid, branch.anchor).await {
            Some(Standing::Aborted) => {}
            standing => return Err(UnstuckError::NotAborted { xid, standing }),
        }
        let Some(mut held) = self.hold(xid, shard).await? else {
            self.stuck.remove(xid, shard);
            return Err(UnstuckError::NotStuck { xid, shard });
        };
        match self.carry_out(xid, shard, choice, &mut held).await {
            Ok(done) => {
                held.connection.query(&sql::note_resolved(xid)).await?;
                self.end(xid, shard, held).await?;
                tracing::warn!(%xid, %shard, ?choice, ?done, "a stuck branch was resolved");
                Ok(done)
            }
            Err(trouble) => {
                held.roll_back().await;
                Err(trouble.into())
            }
        }
    }

    async fn carry_out(
        &self,
        xid: Xid,
        shard: ShardId,
        choice: Choice,
        held: &mut Held,
    ) -> Result<Unstuck, Trouble> {
        match choice {
            Choice::Keep => Ok(Unstuck::default()),
            Choice::Restore => {
                let (changes, definitions) = self.changes(xid, shard, held).await?;
                let undo = self.of(shard, &changes, &definitions, held);
                let undone = undo.overwrite(&mut held.connection).await?;
                Ok(Unstuck { undone, kept: 0 })
            }
            Choice::Merge => {
                let survey = self.undo_matching(xid, shard, held).await?;
                Ok(Unstuck { undone: survey.undone, kept: survey.differing })
            }
        }
    }
}

impl Held {
    /// Gives the lock up at once: a dropped connection might keep it for a moment. Its
    /// settings are not those of other control connections, so it is not kept.
    async fn roll_back(mut self) {
        if let Err(error) = self.connection.query("ROLLBACK").await {
            tracing::debug!(%error, "cannot roll an undoing back: its connection is closed");
        }
    }
}
