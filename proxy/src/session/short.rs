//! The short way of a statement, which nearly all of a busy session take: one shard has it
//! all, an idle connection to it has the session's state already, and the answer is
//! forwarded as it is. Nothing here waits but for the sockets. Whatever turns out to need
//! more goes on the long way, from where it stands.

use super::{
    Position, Session,
    failure::{BackendFailure, Failure, server_error},
    query::{Statement, outgoing},
    transaction::{Access, Answer, Next},
    written::Note,
};
use crate::{
    backend::PooledConnection,
    execute::{
        relay::{Quick, Relay, RelayFailure, Relaying, Sent},
        single::{Attempt, SingleRun},
    },
};
use shardline_model::id::ShardId;
use shardline_router::plan::{InsertId, Single, Target};
use shardline_wire::{
    Status,
    relay::{EndKind, EndPacket, Request},
};
use std::{
    task::{Context, Poll, ready},
    time::Instant,
};

/// A statement on its way to a shard and back.
pub(super) struct Running {
    connection: PooledConnection,
    relaying: Relaying,
    access: Access,
    insert_id: InsertId,
    /// Whether all of the statement was sent.
    sent: bool,
}

impl Running {
    pub(super) fn shard(&self) -> ShardId {
        self.connection.shard()
    }
}

impl Session {
    /// Queues a statement on a connection to its shard. None when it has to go the long way;
    /// nothing has happened then.
    pub(super) fn begin_short(
        &mut self,
        single: &Single,
        note: Option<&Note>,
        statement: &Statement<'_>,
    ) -> Option<Running> {
        let Target::Shard(shard) = single.target else { return None };
        let traits = single.traits;
        let plain = statement.position == Position::Only
            && statement.parameters.long.is_none()
            && !traits.assigns_variables
            && !traits.pins_session
            && matches!(single.insert_id, InsertId::None | InsertId::FromServer);
        let access = Access::of(traits);
        if !plain || !self.transaction.is_entered(shard) {
            return None;
        }
        if let Some(note) = note {
            // Outside a transaction it is checked.
            let kept =
                self.transaction.is_transactional() && self.written.note(shard, note).is_ok();
            if !kept {
                return None;
            }
        }
        let mut connection = match self.branches.take(shard) {
            Some(held) => held,
            None => self.shared.pools.try_checkout(shard, self.wanted())?,
        };
        if !self.queue_short(&mut connection, single, statement) {
            self.hold_or_release(connection);
            return None;
        }
        let relay = Relay {
            request: Request::Query,
            capabilities: connection.capabilities(),
            end_packet: EndPacket::Forward,
        };
        let (relaying, insert_id) = (relay.begin(), single.insert_id);
        Some(Running { connection, relaying, access, insert_id, sent: false })
    }

    fn queue_short(
        &self,
        connection: &mut PooledConnection,
        single: &Single,
        statement: &Statement<'_>,
    ) -> bool {
        if !connection.is_ready_for(&self.state) {
            return false;
        }
        let outgoing = outgoing(single, statement);
        let number = match outgoing.needs_preparation() {
            None => Some(0),
            Some(sql) => connection.prepared(sql, &self.state),
        };
        number.is_some_and(|number| outgoing.queue(connection, number).is_ok())
    }

    /// Sends the statement and forwards the answer.
    pub(super) fn poll_short(
        &mut self,
        running: &mut Running,
        cx: &mut Context<'_>,
    ) -> Poll<Quick> {
        let connection = &mut running.connection;
        if !running.sent {
            if let Err(error) = ready!(connection.wire().poll_flush(cx)) {
                let reason = match BackendFailure::from(connection.broke(error)) {
                    BackendFailure::Lost(reason) => reason,
                    BackendFailure::Told(error) => error.message_text(),
                };
                let failure = RelayFailure::Backend { reason, sent: Sent::Nothing };
                return Poll::Ready(Quick::Failed(failure));
            }
            running.sent = true;
        }
        let kill = &self.registration.kill;
        running.relaying.poll_quick(connection.wire(), &mut self.client, kill, cx)
    }

    /// Whether the answer has begun of a read outside a transaction, which then needs its
    /// catalog no more.
    pub(super) fn lets_go(&self, running: &Running) -> bool {
        !running.access.writes
            && running.relaying.has_begun()
            && !self.transaction.is_transactional()
    }

    /// Whether a response that was forwarded to its end leaves nothing to be asked, and ends
    /// no transaction.
    pub(super) fn is_plain_end(&self, running: &Running) -> bool {
        let end = running.relaying.followed();
        if end.kind == EndKind::Err {
            return !self.transaction.is_transactional();
        }
        let stays = end.status.contains(Status::IN_TRANS) || !self.transaction.is_transactional();
        stays && end.warnings == 0
    }

    /// After a plain end: keeps what the session must know, and gives the connection back.
    pub(super) fn end_short(&mut self, running: Running) -> Result<(), Failure> {
        let Running { mut connection, mut relaying, access, insert_id, .. } = running;
        let (end, error) = relaying.end(connection.wire(), &mut self.client);
        connection.answered(&end);
        if let Some(error) = &error {
            self.diagnostics.error(&server_error(error));
        }
        self.note_result(insert_id, &end);
        let (shard, failed) = (connection.shard(), end.kind == EndKind::Err);
        let answer = Answer { in_transaction: connection.in_transaction(), failed };
        let next = self.transaction.answered(shard, access, answer);
        if next == Next::Hold || self.branches.pinned() == Some(shard) {
            self.branches.put(connection);
        } else {
            let now = Instant::now();
            self.ended = Some(now);
            connection.give_back(now);
        }
        if failed { Err(Failure::Answered) } else { Ok(()) }
    }

    /// The long way from here on.
    pub(super) async fn leave_short(
        &mut self,
        running: Running,
        quick: Quick,
        run: SingleRun<'_>,
    ) -> Result<(), Failure> {
        let Running { mut connection, mut relaying, access, .. } = running;
        let attempt = match quick {
            Quick::Ended | Quick::Stuck => self.follow(&mut connection, &run, &mut relaying).await,
            Quick::Failed(RelayFailure::Backend { reason, sent }) => Attempt::Lost(reason, sent),
            Quick::Failed(RelayFailure::Client(lost)) => Attempt::Client(lost),
        };
        // As on the long way: a read whose answer has not begun is sent once more.
        let again = !access.writes;
        match self.attempted(connection, &run, attempt, again).await {
            Some(outcome) => outcome,
            None => self.run_attempts(&run, 1).await,
        }
    }
}
