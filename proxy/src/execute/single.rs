//! `Single` plans: one shard answers, its packets are forwarded undecoded.

use super::{
    outgoing::Outgoing,
    relay::{Relay, RelayFailure, Relaying, Sent},
};
use crate::{
    backend::{BackendConnection, KillKind, PoolSet, PooledConnection, TextResult},
    error::{SqlError, number},
    session::{
        Position, Session,
        diagnostics::WARNINGS_SQL,
        failure::{BackendFailure, Failure, server_error},
        transaction::Access,
    },
};
use bytes::Bytes;
use shardline_model::id::ShardId;
use shardline_router::plan::{InsertId, Traits};
use shardline_wire::{
    ErrPacket, OkPacket, Status,
    relay::{End, EndKind, EndPacket, Request},
    response,
};
use std::sync::Arc;

/// What is asked of one shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SingleRun<'a> {
    /// The shard.
    pub(crate) shard: ShardId,
    /// The statement.
    pub(crate) outgoing: Outgoing<'a>,
    /// What it does.
    pub(crate) traits: Traits,
    /// Its insert id.
    pub(crate) insert_id: InsertId,
    /// Where its result stands among those of the command.
    pub(crate) position: Position,
    /// Whether its last packet waits for a commit.
    pub(crate) held: bool,
}

impl SingleRun<'_> {
    /// Whether it reads or writes.
    pub(crate) fn access(&self) -> Access {
        Access::of(self.traits)
    }

    /// How its response is forwarded.
    pub(crate) fn relay(&self, connection: &BackendConnection) -> Relay {
        Relay {
            request: Request::Query,
            capabilities: connection.capabilities(),
            end_packet: self.end_packet(),
        }
    }

    /// Whether the last packet is changed before it is sent.
    fn end_packet(&self) -> EndPacket {
        match self.insert_id {
            _ if self.held => EndPacket::Hold,
            InsertId::Generated(_) | InsertId::Explicit { .. } => EndPacket::Hold,
            InsertId::None | InsertId::FromServer => EndPacket::Forward,
        }
    }
}

/// A response that was followed to its end.
pub(crate) struct Forwarded {
    /// How it ended.
    pub(crate) end: End,
    /// The end packet, when it was not sent yet.
    pub(crate) held: Option<Bytes>,
    /// The error, when it was all of the response.
    pub(crate) error: Option<ErrPacket>,
    /// Its warnings, when they were read already.
    pub(crate) warnings: Option<TextResult>,
}

/// How one attempt ended.
pub(crate) enum Attempt {
    /// The response was forwarded, or its end packet is still to be sent.
    Answered(Forwarded),
    /// The backend refused what came before the statement.
    Told(crate::error::SqlError),
    /// The backend is lost.
    Lost(String, Sent),
    /// The client is gone.
    Client(crate::session::client::ClientLost),
}

impl Session {
    /// Runs a statement on one shard and forwards the response.
    pub(crate) async fn run_single(&mut self, run: SingleRun<'_>) -> Result<(), Failure> {
        let access = run.access();
        // A read that broke before its answer began is sent once more, on a connection
        // that is certainly new enough; in a transaction there is no other connection.
        let attempts = if !access.writes { 2 } else { 1 };
        self.run_attempts(&run, attempts).await
    }

    /// Runs a statement that may run, so often at most.
    pub(crate) async fn run_attempts(
        &mut self,
        run: &SingleRun<'_>,
        attempts: usize,
    ) -> Result<(), Failure> {
        let mut attempts_left = attempts;
        loop {
            attempts_left -= 1;
            let mut connection = self.connection(run.shard).await?;
            let attempt = self.attempt(&mut connection, run).await;
            if let Some(outcome) = self.attempted(connection, run, attempt, attempts_left > 0).await
            {
                return outcome;
            }
        }
    }

    /// What an attempt has led to; None when there is to be another.
    pub(crate) async fn attempted(
        &mut self,
        mut connection: PooledConnection,
        run: &SingleRun<'_>,
        attempt: Attempt,
        others_left: bool,
    ) -> Option<Result<(), Failure>> {
        let access = run.access();
        match attempt {
            Attempt::Answered(forwarded) => Some(self.answered(connection, run, forwarded).await),
            Attempt::Told(error) => {
                let left = Box::pin(self.leave(connection, access, true)).await;
                Some(left.and(Err(error.into())))
            }
            Attempt::Lost(reason, sent) => {
                connection.poison();
                drop(connection);
                let retry =
                    sent == Sent::Nothing && others_left && !self.transaction.is_transactional();
                if retry {
                    return None;
                }
                let lost = self.lost(run.shard, access, BackendFailure::Lost(reason));
                let failure = Box::pin(lost).await;
                Some(Err(broken_off(sent, failure)))
            }
            Attempt::Client(lost) => Some(Err(lost.into())),
        }
    }

    async fn attempt(&mut self, connection: &mut PooledConnection, run: &SingleRun<'_>) -> Attempt {
        match self.send_statement(connection, run.access(), run.outgoing).await {
            Ok(()) => {}
            Err(BackendFailure::Told(error)) => return Attempt::Told(error),
            Err(BackendFailure::Lost(reason)) => return Attempt::Lost(reason, Sent::Nothing),
        }
        self.forward_answer(connection, run).await
    }

    /// Forwards the answer to a statement that was sent.
    pub(super) async fn forward_answer(
        &mut self,
        connection: &mut PooledConnection,
        run: &SingleRun<'_>,
    ) -> Attempt {
        if run.position == Position::Only {
            let mut relaying = run.relay(connection).begin();
            return self.follow(connection, run, &mut relaying).await;
        }
        let forwarded = Box::pin(self.forward_numbered(connection, run)).await;
        concluded(connection, forwarded)
    }

    /// Forwards a response, which may have been begun, to its end.
    pub(crate) async fn follow(
        &mut self,
        connection: &mut PooledConnection,
        run: &SingleRun<'_>,
        relaying: &mut Relaying,
    ) -> Attempt {
        let forwarded = self.forward(connection, run, relaying).await;
        concluded(connection, forwarded)
    }

    /// The number of a statement that is executed, prepared now if need be.
    pub(super) async fn number_on(
        &self,
        connection: &mut BackendConnection,
        outgoing: Outgoing<'_>,
    ) -> Result<u32, BackendFailure> {
        let Some(sql) = outgoing.needs_preparation() else { return Ok(0) };
        if let Some(number) = connection.prepared(sql, &self.state) {
            return Ok(number);
        }
        let prepared = Box::pin(async {
            connection.apply(&self.state).await?;
            connection.prepare(sql).await
        });
        Ok(prepared.await?.id)
    }

    /// Follows a response up to its last packet, which is kept; the answers to what was sent
    /// behind the statement are next.
    pub(super) async fn forward_held(
        &mut self,
        connection: &mut PooledConnection,
        run: &SingleRun<'_>,
    ) -> Result<Forwarded, Failure> {
        let forwarded = if run.position == Position::Only {
            let mut relaying = run.relay(connection).begin();
            self.forward(connection, run, &mut relaying).await
        } else {
            Box::pin(self.forward_numbered(connection, run)).await
        };
        match forwarded {
            Ok(forwarded) => {
                connection.response_resumes();
                Ok(forwarded)
            }
            Err(RelayFailure::Client(lost)) => Err(lost.into()),
            Err(RelayFailure::Backend { reason, sent }) => {
                connection.poison();
                let lost = BackendFailure::Lost(reason);
                let failure = Box::pin(self.lost(run.shard, run.access(), lost)).await;
                Err(broken_off(sent, failure))
            }
        }
    }

    /// Sends a statement with all that comes before it, and reads the answers to that.
    pub(crate) async fn send_statement(
        &mut self,
        connection: &mut BackendConnection,
        access: Access,
        outgoing: Outgoing<'_>,
    ) -> Result<(), BackendFailure> {
        let number = self.number_on(connection, outgoing).await?;
        let entry = self.queue_entry(connection, access).await?;
        outgoing.queue(connection, number)?;
        connection.flush().await?;
        self.read_entry(connection, entry).await
    }

    async fn forward(
        &mut self,
        connection: &mut PooledConnection,
        run: &SingleRun<'_>,
        relaying: &mut Relaying,
    ) -> Result<Forwarded, RelayFailure> {
        let (pools, shard) = (self.shared.pools.clone(), run.shard);
        let thread = connection.thread_id();
        let mut killing = None;
        let interrupt = || killing = Some(spawn_kill(pools, shard, thread));
        let (client, kill) = (&mut self.client, &self.registration.kill);
        let relayed = relaying.run(connection.wire(), client, kill, interrupt).await;
        self.killed(connection, killing).await;
        relayed?;
        let (end, error) = relaying.end(connection.wire(), &mut self.client);
        if !relaying.holds_end() {
            return Ok(Forwarded { end, held: None, error, warnings: None });
        }
        let held = connection.wire().read_packet().await;
        let held = held.map_err(|error| RelayFailure::Backend {
            reason: error.to_string(),
            sent: Sent::Packets,
        })?;
        let error = ErrPacket::decode(&held).ok().filter(|_| end.kind == EndKind::Err);
        Ok(Forwarded { end, held: Some(held), error, warnings: None })
    }

    /// The same for one of several results, whose packets get numbers of their own.
    async fn forward_numbered(
        &mut self,
        connection: &mut PooledConnection,
        run: &SingleRun<'_>,
    ) -> Result<Forwarded, RelayFailure> {
        let relay = run.relay(connection);
        let (pools, shard) = (self.shared.pools.clone(), run.shard);
        let thread = connection.thread_id();
        let mut killing = None;
        let interrupt = || killing = Some(spawn_kill(pools, shard, thread));
        let (client, kill) = (&mut self.client, &self.registration.kill);
        let relayed = relay.run_numbered(connection.wire(), client, kill, interrupt).await;
        self.killed(connection, killing).await;
        let (end, payload) = relayed?;
        let error = ErrPacket::decode(&payload).ok().filter(|_| end.kind == EndKind::Err);
        Ok(Forwarded { end, held: Some(payload), error, warnings: None })
    }

    /// Waits for a kill that is on its way: it must not meet the connection's next statement.
    async fn killed(
        &self,
        connection: &mut PooledConnection,
        killing: Option<tokio::task::JoinHandle<()>>,
    ) {
        let Some(killing) = killing else { return };
        let _ = killing.await;
        if !self.transaction.is_transactional() {
            connection.poison();
        }
    }

    /// The response has come to its end: sends a held packet, keeps what the session must
    /// know, and gives the connection back.
    pub(crate) async fn answered(
        &mut self,
        mut connection: PooledConnection,
        run: &SingleRun<'_>,
        forwarded: Forwarded,
    ) -> Result<(), Failure> {
        let failed = forwarded.end.kind == EndKind::Err;
        let deadlocked = self.tell(&mut connection, run, forwarded).await?;
        if run.traits.pins_session {
            self.branches.pin(run.shard);
        }
        if run.traits.assigns_variables && !failed {
            Box::pin(self.read_back_variables(&mut connection, run.outgoing.sql())).await?;
        }
        self.leave(connection, run.access(), failed).await?;
        match failed {
            true if deadlocked => Err(SqlError::interrupted().into()),
            true => Err(Failure::Answered),
            false => Ok(()),
        }
    }

    /// Sends a held packet and keeps what the session must know of a response that has ended.
    /// True when it was ended because of a deadlock: what the client is told comes after the
    /// rollback.
    pub(super) async fn tell(
        &mut self,
        connection: &mut PooledConnection,
        run: &SingleRun<'_>,
        forwarded: Forwarded,
    ) -> Result<bool, Failure> {
        let end = forwarded.end;
        let failed = end.kind == EndKind::Err;
        if let Some(error) = &forwarded.error {
            self.diagnostics.error(&server_error(error));
        }
        let interrupted = end.error.is_some_and(|(code, _)| code == number::QUERY_INTERRUPTED);
        let deadlocked = failed && interrupted && self.registration.kill.is_deadlock();
        if let (Some(payload), false) = (forwarded.held, deadlocked) {
            self.send_end(connection, run, &end, &payload).await?;
        }
        self.note_result(run.insert_id, &end);
        if let Some(warnings) = forwarded.warnings {
            self.diagnostics.extend(warnings);
        } else if end.warnings > 0 && !failed {
            Box::pin(self.fetch_warnings(connection, end.warnings)).await;
        }
        Ok(deadlocked)
    }

    async fn send_end(
        &mut self,
        connection: &BackendConnection,
        run: &SingleRun<'_>,
        end: &End,
        payload: &Bytes,
    ) -> Result<(), Failure> {
        let capabilities = connection.capabilities();
        let unreadable = |error: shardline_wire::DecodeError| {
            crate::error::SqlError::internal(format!("a shard's answer cannot be read: {error}"))
        };
        if end.kind == EndKind::Err {
            self.client.connection.queue_packet(payload);
        } else {
            let rows = end.kind == EndKind::RowsEnd;
            let mut ok = if rows {
                response::decode_rows_end(payload, capabilities).map_err(unreadable)?
            } else {
                OkPacket::decode(payload, capabilities).map_err(unreadable)?
            };
            if let (InsertId::Generated(id), true) = (run.insert_id, ok.affected_rows > 0) {
                ok.last_insert_id = id;
            }
            if let InsertId::Explicit { shown, .. } = run.insert_id {
                ok.last_insert_id = shown;
            }
            if run.position == Position::MoreFollow {
                ok.status = ok.status | Status::MORE_RESULTS;
            }
            if run.held {
                // Its transaction is over by now.
                ok.status = ok.status.without(Status::IN_TRANS);
            }
            let capabilities = self.client.capabilities;
            self.client.connection.queue_with(|out| match rows {
                true => response::encode_rows_end(&ok, capabilities, out),
                false => ok.encode(capabilities, out),
            });
        }
        self.client.flush(&self.registration.kill).await?;
        Ok(())
    }

    /// What FOUND_ROWS(), ROW_COUNT() and LAST_INSERT_ID() say after the statement.
    pub(crate) fn note_result(&mut self, insert_id: InsertId, end: &End) {
        match end.kind {
            EndKind::Err => self.values.row_count = -1,
            EndKind::RowsEnd => {
                self.values.row_count = -1;
                self.values.found_rows = end.rows;
            }
            EndKind::Ok => self.values.row_count = end.affected_rows as i64,
        }
        if end.kind == EndKind::Err {
            return;
        }
        match insert_id {
            InsertId::Generated(id) if end.affected_rows > 0 => self.values.last_insert_id = id,
            // LAST_INSERT_ID(expr) of an UPDATE comes in the OK packet too.
            InsertId::FromServer | InsertId::None if end.last_insert_id > 0 => {
                self.values.last_insert_id = end.last_insert_id;
            }
            InsertId::None
            | InsertId::FromServer
            | InsertId::Generated(_)
            | InsertId::Explicit { .. } => {}
        }
    }

    /// Keeps a statement's warnings, which are on its connection. The client has its
    /// answer already.
    pub(crate) async fn fetch_warnings(&mut self, connection: &mut BackendConnection, count: u16) {
        let limits = crate::backend::TextLimits::default();
        match connection.query_rows(WARNINGS_SQL, limits).await {
            Ok(result) => self.diagnostics.extend(result),
            Err(error) => {
                tracing::debug!(%error, "cannot fetch the warnings of a statement");
                self.diagnostics.count_only(count);
            }
        }
    }
}

/// What follows when a response broke off: an error, if the client can still be told.
pub(super) fn broken_off(sent: Sent, failure: Failure) -> Failure {
    match sent {
        Sent::Nothing | Sent::Packets => failure,
        Sent::Broken => Failure::Client(crate::session::client::ClientLost::ResultBroken),
    }
}

/// The connection is between commands again, or lost.
fn concluded(
    connection: &mut BackendConnection,
    forwarded: Result<Forwarded, RelayFailure>,
) -> Attempt {
    match forwarded {
        Ok(forwarded) => {
            connection.answered(&forwarded.end);
            Attempt::Answered(forwarded)
        }
        Err(RelayFailure::Backend { reason, sent }) => Attempt::Lost(reason, sent),
        Err(RelayFailure::Client(lost)) => Attempt::Client(lost),
    }
}

/// Asks a shard to stop a statement, on a connection of its own.
pub(crate) fn spawn_kill(
    pools: Arc<PoolSet>,
    shard: ShardId,
    thread: u32,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = pools.kill(shard, thread, KillKind::Query).await {
            tracing::debug!(%error, "cannot kill a statement");
        }
    })
}
