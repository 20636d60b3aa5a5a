//! The backend connections of a session: taken from the pools, brought into the
//! session's state and transaction, held while they are a part of it, and given back.

use super::{
    Session,
    client::ClientLost,
    failure::{BackendFailure, Failure, server_error},
    shared::shard_name,
    transaction::{Access, Answer, Finish, Next, Verb},
};
use crate::{
    backend::{BackendConnection, BackendError, PooledConnection, Wanted},
    error::SqlError,
    execute::{
        relay::{Interruption, interruption},
        single::spawn_kill,
    },
    registry::{Place, Places},
};
use shardline_model::id::ShardId;
use shardline_wire::{ErrPacket, OkPacket, Status, command::Command, response::ERR};
use smallvec::SmallVec;
use std::time::Instant;

/// Connections that the session holds between statements.
#[derive(Default)]
pub(crate) struct Branches {
    held: SmallVec<[PooledConnection; 2]>,
    /// The shard whose connection has state that nothing can put back.
    pinned: Option<ShardId>,
}

impl Branches {
    pub(super) fn take(&mut self, shard: ShardId) -> Option<PooledConnection> {
        let at = self.held.iter().position(|connection| connection.shard() == shard)?;
        Some(self.held.swap_remove(at))
    }

    pub(super) fn put(&mut self, connection: PooledConnection) {
        debug_assert!(self.held.iter().all(|held| held.shard() != connection.shard()));
        self.held.push(connection);
    }

    /// The shard that the session is pinned to.
    pub(crate) fn pinned(&self) -> Option<ShardId> {
        self.pinned
    }

    /// The session stays on this shard's connection.
    pub(crate) fn pin(&mut self, shard: ShardId) {
        self.pinned = Some(shard);
    }

    /// Where they are.
    pub(super) fn places(&self) -> Places {
        let place = |one: &PooledConnection| Place { shard: one.shard(), thread: one.thread_id() };
        self.held.iter().map(place).collect()
    }

    /// Gives everything up: what is not clean is closed.
    pub(crate) fn clear(&mut self) {
        for connection in &mut self.held {
            if self.pinned == Some(connection.shard()) {
                connection.poison();
            }
        }
        self.held.clear();
        self.pinned = None;
    }
}

/// How many answers come before a statement's own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    preamble: usize,
}

impl Session {
    /// A connection to the shard: the transaction's own, or one of the pool.
    pub(crate) async fn connection(&mut self, shard: ShardId) -> Result<PooledConnection, Failure> {
        if let Some(held) = self.branches.take(shard) {
            return Ok(held);
        }
        self.connection_aside(shard).await
    }

    /// A connection to the shard that is none of the transaction's.
    pub(crate) async fn connection_aside(
        &mut self,
        shard: ShardId,
    ) -> Result<PooledConnection, Failure> {
        let wanted = self.wanted();
        let shared = self.shared.clone();
        if let Some(idle) = shared.pools.try_checkout(shard, wanted) {
            return Ok(idle);
        }
        Box::pin(self.new_connection(shard, wanted)).await
    }

    async fn new_connection(
        &mut self,
        shard: ShardId,
        wanted: Wanted,
    ) -> Result<PooledConnection, Failure> {
        let shared = self.shared.clone();
        let pools = &shared.pools;
        let waiting = Instant::now();
        let checkout = pools.checkout(shard, wanted);
        tokio::pin!(checkout);
        let taken = tokio::select! {
            biased;
            taken = &mut checkout => taken,
            event = interruption(&mut self.client, &self.registration.kill, true) => {
                return Err(match event {
                    Interruption::Query => SqlError::interrupted().into(),
                    Interruption::Lost(lost) => lost.into(),
                });
            }
        };
        shared.metrics.checkout_seconds.record(waiting.elapsed().as_secs_f64());
        taken.map_err(|error| match BackendFailure::from(error) {
            BackendFailure::Told(error) => error.into(),
            BackendFailure::Lost(reason) => {
                SqlError::shard_unreachable(&self.shard_name(shard), &reason).into()
            }
        })
    }

    /// Queues what must come before a statement on the connection: the session's state,
    /// BEGIN and savepoints.
    pub(crate) async fn queue_entry(
        &mut self,
        connection: &mut BackendConnection,
        access: Access,
    ) -> Result<Entry, BackendFailure> {
        if !connection.wire().buffered().is_empty() {
            // Whatever it is, it would be taken for the answer to this statement.
            connection.poison();
            return Err(BackendFailure::Lost("the server spoke out of turn".into()));
        }
        self.enter(connection.shard(), connection.thread_id());
        connection.queue_restore(&self.state)?;
        // A write outside a transaction cannot be taken back, so it does not leave before
        // the state is known to be applied. With BEGIN between them it can.
        let undoable = self.transaction.is_explicit();
        if connection.is_restoring() && access.writes && !undoable {
            Box::pin(async {
                connection.flush().await?;
                connection.finish_restore().await
            })
            .await?;
        }
        let preamble = self.transaction.preamble(connection.shard());
        for sql in &preamble {
            connection.response_begins().queue_with(|out| Command::Query(sql).encode(out));
        }
        Ok(Entry { preamble: preamble.len() })
    }

    /// Queues one more statement before the client's.
    pub(crate) fn queue_before(
        &mut self,
        connection: &mut BackendConnection,
        entry: &mut Entry,
        sql: &[u8],
    ) {
        connection.response_begins().queue_with(|out| Command::Query(sql).encode(out));
        entry.preamble += 1;
    }

    /// Reads the answers to what [`Session::queue_entry`] queued. The statement's own
    /// answer is next.
    pub(crate) async fn read_entry(
        &mut self,
        connection: &mut BackendConnection,
        entry: Entry,
    ) -> Result<(), BackendFailure> {
        if !connection.is_restoring() && entry.preamble == 0 {
            connection.finish_restore().await?;
            connection.response_resumes();
            return Ok(());
        }
        Box::pin(self.read_preamble(connection, entry)).await
    }

    async fn read_preamble(
        &mut self,
        connection: &mut BackendConnection,
        entry: Entry,
    ) -> Result<(), BackendFailure> {
        connection.finish_restore().await?;
        for _ in 0..entry.preamble {
            if let Err(error) = read_ok(connection).await? {
                // The statement was sent behind it; closing the connection undoes it.
                connection.poison();
                return Err(BackendFailure::Told(error));
            }
        }
        connection.response_resumes();
        Ok(())
    }

    /// A statement's answer was read to its end: the connection is held, or goes back.
    pub(crate) async fn leave(
        &mut self,
        mut connection: PooledConnection,
        access: Access,
        failed: bool,
    ) -> Result<(), Failure> {
        let shard = connection.shard();
        if connection.is_broken() {
            // What came before the statement was refused, and the statement is on its way
            // all the same: only closing the connection takes it back.
            let name = self.shard_name(shard);
            drop(connection);
            return match self.transaction.lost(shard) {
                Some(finish) => {
                    // A failure closes the connection, which rolls back too.
                    let _ = Box::pin(self.finish(finish)).await;
                    let reason = "it did not take the session's settings";
                    Err(SqlError::transaction_lost(&name, reason).into())
                }
                None => Ok(()),
            };
        }
        if failed && self.transaction.is_transactional() {
            // An ERR packet has no status flags: ask whether the transaction still lives.
            if let Err(error) = Box::pin(connection.ping()).await {
                return Err(Box::pin(self.lost(shard, access, error)).await);
            }
        }
        let answer = Answer { in_transaction: connection.in_transaction(), failed };
        match self.transaction.answered(shard, access, answer) {
            Next::Hold => self.branches.put(connection),
            Next::Release => {
                self.left(shard);
                if self.branches.pinned == Some(shard) {
                    self.branches.put(connection);
                }
            }
            Next::Ended(finish) => {
                if self.branches.pinned == Some(shard) {
                    self.branches.put(connection);
                }
                Box::pin(self.finish(finish)).await?;
            }
        }
        Ok(())
    }

    /// Gives a connection back that ran no statement of the client's.
    pub(crate) fn hold_or_release(&mut self, connection: PooledConnection) {
        let shard = connection.shard();
        let is_branch = self.transaction.is_branch(shard);
        if is_branch || self.branches.pinned == Some(shard) {
            self.branches.put(connection);
        }
        if !is_branch {
            self.left(shard);
        }
    }

    /// A connection broke during a statement: what the client is told. The other branches
    /// of its transaction are rolled back.
    pub(crate) async fn lost(
        &mut self,
        shard: ShardId,
        access: Access,
        error: impl Into<BackendFailure>,
    ) -> Failure {
        let reason = match error.into() {
            BackendFailure::Told(error) => return error.into(),
            BackendFailure::Lost(reason) => reason,
        };
        let name = self.shard_name(shard);
        if self.branches.pinned == Some(shard) {
            self.branches.pinned = None;
        }
        match self.transaction.lost(shard) {
            Some(finish) => {
                // Rolling back what is left: a failure there closes the connection, which
                // rolls back too.
                let _ = self.finish(finish).await;
                SqlError::transaction_lost(&name, &reason).into()
            }
            // The branch had only just been sent its BEGIN: nothing of it was committed.
            None if self.transaction.is_explicit() => {
                let finish = self.transaction.finish(Verb::Rollback, super::transaction::Chain::No);
                let _ = self.finish(finish).await;
                SqlError::transaction_lost(&name, &reason).into()
            }
            None => SqlError::shard_lost(&name, &reason, access.writes).into(),
        }
    }

    /// COMMIT or ROLLBACK on all branches; the written ones decide the answer.
    pub(crate) async fn finish(&mut self, finish: Finish) -> Result<(), Failure> {
        let written = std::mem::take(&mut self.written);
        self.ends(finish.verb);
        let finished = match finish.verb {
            Verb::Commit => Box::pin(self.commit(finish, written)).await,
            Verb::Rollback => self.finish_plainly(&finish).await,
        };
        self.ended();
        finished
    }

    /// COMMIT or ROLLBACK on all branches, at once.
    pub(super) async fn finish_plainly(&mut self, finish: &Finish) -> Result<(), Failure> {
        let mut sent: SmallVec<[PooledConnection; 4]> = SmallVec::new();
        let mut outcome = Ok(());
        for shard in finish.readers.iter().chain(&finish.writers).copied() {
            let Some(mut connection) = self.branches.take(shard) else { continue };
            let sql = finish.verb.sql();
            connection.response_begins().queue_with(|out| Command::Query(sql).encode(out));
            let flushed = connection.flush().await;
            match flushed {
                Ok(()) => sent.push(connection),
                Err(error) => {
                    outcome = outcome.and(self.finish_error(finish, shard, error));
                }
            }
        }
        for mut connection in sent {
            let shard = connection.shard();
            match read_ok(&mut connection).await {
                Ok(Ok(_)) => {
                    if self.branches.pinned == Some(shard) {
                        self.branches.put(connection);
                    }
                }
                Ok(Err(error)) => {
                    connection.poison();
                    if finish.writers.contains(&shard) {
                        outcome = Err(error.into());
                    }
                }
                Err(error) => outcome = outcome.and(self.finish_error(finish, shard, error)),
            }
        }
        outcome
    }

    /// A branch that breaks at the end of its transaction matters only when it was
    /// written and is to be committed.
    pub(super) fn finish_error(
        &self,
        finish: &Finish,
        shard: ShardId,
        error: BackendError,
    ) -> Result<(), Failure> {
        let reason = match BackendFailure::from(error) {
            BackendFailure::Told(error) => error.message_text(),
            BackendFailure::Lost(reason) => reason,
        };
        match finish.verb {
            Verb::Commit if finish.writers.contains(&shard) => {
                Err(SqlError::commit_unknown(&self.shard_name(shard), &reason).into())
            }
            Verb::Commit | Verb::Rollback => Ok(()),
        }
    }

    /// Sends a statement to every branch and waits: SAVEPOINT and its kin.
    pub(crate) async fn on_branches(&mut self, sql: &[u8]) -> Result<(), Failure> {
        for shard in self.transaction.branches() {
            let Some(mut connection) = self.branches.take(shard) else { continue };
            match connection.query_ok(sql).await {
                Ok(_) => self.branches.put(connection),
                Err(BackendError::Server { error, .. }) => {
                    self.branches.put(connection);
                    return Err(server_error(&error).into());
                }
                Err(error) => return Err(self.lost(shard, Access::READ, error).await),
            }
        }
        Ok(())
    }

    /// A shard's name for people.
    pub(crate) fn shard_name(&self, shard: ShardId) -> String {
        shard_name(&self.shared.meta.catalog(), shard)
    }
}

impl Session {
    /// Reads an answer that is an OK or an ERR packet, while the client and KILL are
    /// watched: a killed statement's error is then the answer.
    pub(crate) async fn read_ok_watched(
        &mut self,
        connection: &mut PooledConnection,
    ) -> Result<Result<OkPacket, SqlError>, WatchFailure> {
        let (shard, thread) = (connection.shard(), connection.thread_id());
        let mut killing = None;
        let answer = {
            let read = read_ok(connection);
            tokio::pin!(read);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut read => break answer,
                    event = interruption(
                        &mut self.client,
                        &self.registration.kill,
                        killing.is_none(),
                    ) => match event {
                        Interruption::Query => {
                            killing = Some(spawn_kill(self.shared.pools.clone(), shard, thread));
                        }
                        Interruption::Lost(lost) => return Err(WatchFailure::Client(lost)),
                    },
                }
            }
        };
        if let Some(killing) = killing {
            // The kill must not meet the connection's next statement.
            let _ = killing.await;
            if !self.transaction.is_transactional() {
                connection.poison();
            }
        }
        answer.map_err(|error| WatchFailure::Backend(error.into()))
    }
}

/// Why there is no answer.
pub(crate) enum WatchFailure {
    /// The backend failed.
    Backend(BackendFailure),
    /// The client is gone.
    Client(ClientLost),
}

/// Reads an answer that is an OK or an ERR packet.
pub(crate) async fn read_ok(
    connection: &mut BackendConnection,
) -> Result<Result<OkPacket, SqlError>, BackendError> {
    connection.wire().set_sequence(1);
    let payload = match connection.wire().read_packet().await {
        Ok(payload) => payload,
        Err(error) => return Err(connection.broke(error)),
    };
    let capabilities = connection.capabilities();
    if payload.first() == Some(&ERR) {
        let error = match ErrPacket::decode(&payload) {
            Ok(error) => error,
            Err(source) => return Err(connection.unreadable(source)),
        };
        connection.response_failed();
        return Ok(Err(server_error(&error)));
    }
    match OkPacket::decode(&payload, capabilities) {
        Ok(ok) if ok.status.contains(Status::MORE_RESULTS) || payload.first() != Some(&0) => {
            Err(connection.unexpected("something else than one OK"))
        }
        Ok(ok) => {
            connection.response_ended(ok.status);
            Ok(Ok(ok))
        }
        Err(source) => Err(connection.unreadable(source)),
    }
}
