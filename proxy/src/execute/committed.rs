//! Reads that show nothing undecided (`shardline_read_consistency = committed`): the locks of the
//! rows that are read are looked up in the snapshot that the rows come from. Whoever has one
//! there is asked for at its anchor, and waited for while it is undecided.

use super::{
    scatter::drain,
    single::{Forwarded, SingleRun},
};
use crate::{
    backend::{BackendConnection, PacketAnswer, PooledConnection, TextLimits},
    distributed::{
        anchor::holder_of,
        reads::{Met, Patience},
    },
    error::SqlError,
    session::{
        Session,
        branches::Entry,
        failure::{BackendFailure, Failure, server_error},
        transaction::{Access, Chain, Verb},
    },
    txn::{
        lock_key::LockCheck,
        outcome::ReadVerdict,
        sql::{self, HOLDERS_MAX, Packet, Part},
    },
};
use bytes::Bytes;
use shardline_model::id::ShardId;
use shardline_wire::relay::EndKind;

/// All that one transaction reads on a shard is of one snapshot, whatever the server's default
/// is. Outside of one that is what each level reads by.
const REPEATABLE_READ: &[u8] = b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
const BEGIN: &[u8] = b"START TRANSACTION";
/// Shardline's tables are not there: no transaction over several shards ever wrote here.
const NO_TABLE: [u16; 2] = [1146, 1049];
/// Bytes of an answer that is given up, and read all the same to keep the connection.
const DRAIN_BYTES_MAX: usize = 256 * 1024;

impl Session {
    /// Runs a read on one shard outside a transaction, in one write: BEGIN, the look at the
    /// locks, the statement. What is looked up is answered first, so that no row is passed on
    /// that does not count.
    pub(crate) async fn run_checked_read(
        &mut self,
        run: SingleRun<'_>,
        check: &LockCheck,
    ) -> Result<(), Failure> {
        let run = SingleRun { held: true, ..run };
        let look = look(check);
        let (mut patience, mut lost_before) = (Patience::new(), false);
        loop {
            let mut connection = self.connection(run.shard).await?;
            let met = match self.send_checked_read(&mut connection, &run, &look).await {
                Ok(met) => met,
                // As any read: once more when its answer had not begun.
                Err(BackendFailure::Lost(_)) if !lost_before => {
                    connection.poison();
                    lost_before = true;
                    continue;
                }
                Err(failure) => {
                    connection.poison();
                    return Err(self.lost(run.shard, Access::READ, failure).await);
                }
            };
            let verdict = match self.verdict(met.as_deref(), &mut patience).await {
                Ok(verdict) => verdict,
                Err(failure) => {
                    connection.poison();
                    return Err(failure);
                }
            };
            if verdict == ReadVerdict::Valid {
                let forwarded = self.forward_held(&mut connection, &run).await?;
                return self.end_checked_read(connection, &run, forwarded).await;
            }
            let drained = drain(&mut connection, false, DRAIN_BYTES_MAX).await.is_ok();
            if !drained || connection.query_ok(sql::ROLLBACK.as_bytes()).await.is_err() {
                connection.poison();
            }
            drop(connection);
            if verdict == ReadVerdict::Wait || !self.watched(patience.pause()).await? {
                return Err(SqlError::read_undecided(&self.shard_name(run.shard)).into());
            }
        }
    }

    /// Sends all of it; whose locks were met. The statement's answer is next.
    async fn send_checked_read(
        &mut self,
        connection: &mut PooledConnection,
        run: &SingleRun<'_>,
        look: &Packet,
    ) -> Result<Option<Vec<Met>>, BackendFailure> {
        let number = self.number_on(connection, run.outgoing).await?;
        let mut entry = self.queue_entry(connection, Access::READ).await?;
        self.queue_before(connection, &mut entry, REPEATABLE_READ);
        self.queue_before(connection, &mut entry, BEGIN);
        connection.queue_statements(look);
        run.outgoing.queue(connection, number)?;
        connection.flush().await?;
        let met = self.read_look(connection, entry, look).await?;
        connection.response_resumes();
        Ok(met)
    }

    async fn read_look(
        &mut self,
        connection: &mut PooledConnection,
        entry: Entry,
        look: &Packet,
    ) -> Result<Option<Vec<Met>>, BackendFailure> {
        self.read_entry(connection, entry).await?;
        let answer = connection.read_packet_answer(look, TextLimits::default()).await?;
        let rows = shown_rows(answer)?;
        // There may be more.
        if rows.len() >= HOLDERS_MAX {
            return Ok(None);
        }
        Ok(rows.iter().map(|row| holder_of(row)).collect())
    }

    /// The client has its answer before the transaction, which changed nothing, is ended.
    async fn end_checked_read(
        &mut self,
        mut connection: PooledConnection,
        run: &SingleRun<'_>,
        forwarded: Forwarded,
    ) -> Result<(), Failure> {
        let end = forwarded.end;
        let failed = end.kind == EndKind::Err;
        connection.answered(&end);
        self.tell(&mut connection, run, forwarded).await?;
        if connection.query_ok(sql::COMMIT.as_bytes()).await.is_err() {
            connection.poison();
        }
        if run.traits.assigns_variables && !failed {
            self.read_back_variables(&mut connection, run.outgoing.sql()).await?;
        }
        self.leave(connection, Access::READ, false).await?;
        if failed { Err(Failure::Answered) } else { Ok(()) }
    }

    /// In the open transaction: each shard shows no undecided row of these, or its snapshot is
    /// opened anew while nothing has been read there yet.
    pub(crate) async fn enter_checked(
        &mut self,
        checks: &[(ShardId, LockCheck)],
    ) -> Result<(), Failure> {
        let mut patience = Patience::new();
        for (shard, check) in checks.iter().filter(|(_, check)| *check != LockCheck::default()) {
            let look = look(check);
            while !self.enter_once(*shard, &look, &mut patience).await? {}
        }
        Ok(())
    }

    /// False when the shard has to be entered anew.
    async fn enter_once(
        &mut self,
        shard: ShardId,
        look: &Packet,
        patience: &mut Patience,
    ) -> Result<bool, Failure> {
        let mut connection = self.connection(shard).await?;
        let met = match self.send_look(&mut connection, look).await {
            Ok(met) => met,
            Err(failure) => {
                connection.poison();
                return Err(self.lost(shard, Access::READ, failure).await);
            }
        };
        let verdict = self.verdict(met.as_deref(), patience).await;
        let stays = self.transaction.is_branch(shard);
        if matches!(verdict, Ok(ReadVerdict::Valid)) || stays {
            self.leave(connection, Access::READ, false).await?;
        } else {
            self.take_back(connection).await;
        }
        let verdict = verdict?;
        let name = self.shard_name(shard);
        match verdict {
            ReadVerdict::Valid => Ok(true),
            ReadVerdict::Wait => Err(SqlError::read_undecided(&name).into()),
            // Known when the snapshots were opened: another statement may be answered.
            ReadVerdict::Reopen if stays && self.transaction.shows_undone() => {
                Err(SqlError::read_stuck(&name).into())
            }
            // What was read of the snapshot before stays true; the snapshot cannot be left.
            ReadVerdict::Reopen if stays => {
                let finish = self.transaction.finish(Verb::Rollback, Chain::No);
                // A failure closes the connection, which rolls back too.
                let _ = self.finish(finish).await;
                Err(SqlError::read_undone(&name).into())
            }
            ReadVerdict::Reopen => match self.watched(patience.pause()).await? {
                true => Ok(false),
                false => Err(SqlError::read_undecided(&name).into()),
            },
        }
    }

    /// What a snapshot is worth that shows the locks of these; None: of too many. Waits while they
    /// are undecided, unless the statement is killed or the client goes away.
    async fn verdict(
        &mut self,
        met: Option<&[Met]>,
        patience: &mut Patience,
    ) -> Result<ReadVerdict, Failure> {
        let distributed = self.shared.distributed.clone();
        match met {
            Some([]) => Ok(ReadVerdict::Valid),
            Some(met) => self.watched(distributed.decided(met, patience)).await,
            None => Ok(ReadVerdict::Reopen),
        }
    }

    async fn send_look(
        &mut self,
        connection: &mut PooledConnection,
        look: &Packet,
    ) -> Result<Option<Vec<Met>>, BackendFailure> {
        let entry = self.queue_entry(connection, Access::READ).await?;
        connection.queue_statements(look);
        connection.flush().await?;
        self.read_look(connection, entry, look).await
    }

    /// Gives up a snapshot that the transaction does not know of yet.
    pub(crate) async fn take_back(&mut self, mut connection: PooledConnection) {
        if !connection.is_broken() && connection.in_transaction() {
            roll_back(&mut connection).await;
        }
        self.hold_or_release(connection);
    }
}

/// Rolls back, or closes, which does too.
pub(super) async fn roll_back(connection: &mut BackendConnection) {
    if connection.query_ok(sql::ROLLBACK.as_bytes()).await.is_err() {
        connection.poison();
    }
}

/// The rows of what was looked up; none where Shardline's tables are missing.
pub(super) fn shown_rows(
    mut answer: PacketAnswer,
) -> Result<Vec<Vec<Option<Bytes>>>, BackendFailure> {
    match &answer.failed {
        None => Ok(answer.last_rows().rows),
        Some((_, error)) if NO_TABLE.contains(&error.code) => Ok(Vec::new()),
        Some((_, error)) => Err(BackendFailure::Told(server_error(error))),
    }
}

fn look(check: &LockCheck) -> Packet {
    Packet::default().then(Part::Plain, &sql::check_from_aside(check))
}
