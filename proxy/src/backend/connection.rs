//! One connection to a shard's server: what it has applied and prepared, and whether it
//! may serve another session. It runs small commands of the proxy itself; a client's
//! commands are queued and relayed by the session through [`BackendConnection::wire`].

use super::{
    BackendError, ConnClass,
    statements::{BackendStatement, Statements},
};
use crate::{
    state::{Names, RestoreCommand, SessionState, diff},
    txn::xid::Incarnation,
};
use bytes::Bytes;
use shardline_model::id::ShardId;
use shardline_wire::{
    Capabilities, Connection, ConnectionError, ErrPacket, OkPacket, Status,
    column::ColumnDefinition,
    command::Command,
    cursor::DecodeError,
    relay::{End, EndKind},
    response::{ERR, OK},
    statement::PrepareOk,
    stream::Socket,
};
use std::{io, sync::Arc};

/// COM_QUIT as a packet.
const QUIT: [u8; 5] = [1, 0, 0, 0, 1];

/// How far a connection is with its commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// Every answer has been read.
    Quiet,
    /// An answer is outstanding.
    Answering,
    /// Of no further use.
    Broken,
}

/// What a handshake settled.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) capabilities: Capabilities,
    pub(crate) thread_id: u32,
    pub(crate) server_version: String,
    pub(crate) status: Status,
}

/// A connection to a shard's server.
#[derive(Debug)]
pub struct BackendConnection {
    shard: ShardId,
    name: Arc<str>,
    opened_class: ConnClass,
    connection: Connection,
    capabilities: Capabilities,
    thread_id: u32,
    server_version: String,
    status: Status,
    condition: Condition,
    applied: SessionState,
    /// Restore commands whose answers are outstanding, and the state they make.
    restoring: Option<(usize, SessionState)>,
    /// The number of the packet that answers the session's own command.
    after_command: u8,
    /// SET TRANSACTION was sent and no transaction has begun since.
    characteristics_pending: bool,
    statements: Statements,
    /// It has temporary tables.
    scratch: bool,
    /// Whose account it is logged in with.
    incarnation: Option<Incarnation>,
}

impl BackendConnection {
    pub(crate) fn new(
        shard: ShardId,
        name: Arc<str>,
        class: ConnClass,
        opened: Opened,
        statements_max: usize,
    ) -> Self {
        BackendConnection {
            shard,
            name,
            opened_class: ConnClass { database: false, ..class },
            connection: opened.connection,
            capabilities: opened.capabilities,
            thread_id: opened.thread_id,
            server_version: opened.server_version,
            status: opened.status,
            condition: Condition::Quiet,
            applied: SessionState::new(Names::utf8mb4(), None),
            restoring: None,
            after_command: 1,
            characteristics_pending: false,
            statements: Statements::new(statements_max),
            scratch: false,
            incarnation: None,
        }
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The shard's name.
    pub fn shard_name(&self) -> &Arc<str> {
        &self.name
    }

    /// The server's own number of the connection, for KILL.
    pub fn thread_id(&self) -> u32 {
        self.thread_id
    }

    /// The incarnation whose account it is logged in with; None for the configured account. What
    /// an incarnation writes in a transaction over several shards it writes with its own.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.incarnation
    }

    pub(crate) fn set_incarnation(&mut self, incarnation: Option<Incarnation>) {
        self.incarnation = incarnation;
    }

    /// What was agreed at the handshake.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The server's version as it greets.
    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    /// The status of the last answer.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.status.contains(Status::IN_TRANS)
    }

    /// What the connection has applied.
    pub fn applied(&self) -> &SessionState {
        &self.applied
    }

    /// The class for the pool: the one it was opened with, and whether a database is
    /// chosen now.
    pub fn class(&self) -> ConnClass {
        ConnClass { database: self.applied.database().is_some(), ..self.opened_class }
    }

    /// The connection below, for queueing a client's command and relaying its answer.
    pub fn wire(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Start a command of the session: from here to [`Self::response_ended`] the
    /// connection cannot go back to the pool. The next packet queued has number 0.
    pub fn response_begins(&mut self) -> &mut Connection {
        self.mark_answering();
        self.connection.set_sequence(0);
        &mut self.connection
    }

    /// The answer was read to its end.
    pub fn response_ended(&mut self, status: Status) {
        self.status = status;
        if status.contains(Status::IN_TRANS) {
            self.characteristics_pending = false;
        }
        if self.condition == Condition::Answering {
            self.condition = Condition::Quiet;
        }
    }

    /// Answers to what went before it were read; that of the session's own command is next.
    /// Its number is the one that [`Self::finish_restore`] found: a large command has
    /// several packets.
    pub fn response_resumes(&mut self) {
        self.mark_answering();
        self.connection.set_sequence(self.after_command);
    }

    /// The answer was read to its end, and was an error: its packet has no status.
    pub fn response_failed(&mut self) {
        if self.condition == Condition::Answering {
            self.condition = Condition::Quiet;
        }
    }

    /// The answer was followed to its end.
    pub(crate) fn answered(&mut self, end: &End) {
        match end.kind {
            EndKind::Err => self.response_failed(),
            EndKind::Ok | EndKind::RowsEnd => self.response_ended(end.status),
        }
    }

    /// Whether a statement can be sent with nothing before it: the session's state is
    /// applied, and the server has said nothing out of turn.
    pub(crate) fn is_ready_for(&mut self, wanted: &SessionState) -> bool {
        if !self.connection.buffered().is_empty() || wanted.next_transaction().is_some() {
            return false;
        }
        if self.applied != *wanted {
            return false;
        }
        // Equal now: next time the comparison is that of two pointers.
        self.applied = wanted.clone();
        true
    }

    /// Note that a command of the session changed what is applied (COM_INIT_DB or SET that
    /// was sent as the client wrote it).
    pub fn note_applied(&mut self, applied: SessionState) {
        self.applied = applied;
    }

    /// Never give the connection to another session.
    pub fn poison(&mut self) {
        self.condition = Condition::Broken;
    }

    /// Whether it has temporary tables, which another session must not meet.
    pub fn set_scratch(&mut self, scratch: bool) {
        self.scratch = scratch;
    }

    /// Whether another session may use it: every answer is read, no transaction is open,
    /// and what was set can be put back.
    pub fn is_clean(&self) -> bool {
        self.condition == Condition::Quiet
            && !self.in_transaction()
            && !self.characteristics_pending
            && !self.scratch
            && self.restoring.is_none()
            && self.connection.unsent() == 0
            && self.connection.buffered().is_empty()
            && self.applied.is_restorable()
    }

    /// Whether an answer is outstanding: the server may still be at work.
    pub(crate) fn is_answering(&self) -> bool {
        self.condition == Condition::Answering
    }

    /// Whether it broke.
    pub(crate) fn is_broken(&self) -> bool {
        self.condition == Condition::Broken
    }

    /// Whether the server is silent, as it must be between commands: what it says then is
    /// that it closes. Costs no system call while nothing came.
    pub(crate) fn is_quiet(&self) -> bool {
        if !self.connection.buffered().is_empty() {
            return false;
        }
        if self.connection.stream().is_tls() {
            // TLS has messages of its own between commands.
            return true;
        }
        let mut byte = [0];
        let read = match self.connection.stream().socket() {
            Socket::Tcp(stream) => stream.try_read(&mut byte),
            Socket::Unix(stream) => stream.try_read(&mut byte),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Tell the server, if that is possible without waiting, and close.
    pub(crate) fn close(self) {
        if self.condition != Condition::Quiet || self.connection.stream().is_tls() {
            return;
        }
        // Without it the server only logs an aborted connection.
        let _ = match self.connection.stream().socket() {
            Socket::Tcp(stream) => stream.try_write(&QUIT),
            Socket::Unix(stream) => stream.try_write(&QUIT),
        };
    }
}

/// The session's state.
impl BackendConnection {
    /// Queue what makes `wanted` of the applied state; to be followed by a command in the
    /// same write and then by [`Self::finish_restore`]. Costs next to nothing when the
    /// state is applied already.
    ///
    /// # Errors
    /// When no command can do it: take another connection.
    pub fn queue_restore(&mut self, wanted: &SessionState) -> Result<(), BackendError> {
        let restore = diff(&self.applied, wanted)
            .map_err(|source| BackendError::NotRestorable { name: self.name.clone(), source })?;
        if restore.is_empty() {
            // Equal now: next time the comparison is that of two pointers.
            self.applied = wanted.clone();
            return Ok(());
        }
        self.mark_answering();
        for command in &restore.commands {
            let command = match command {
                RestoreCommand::InitDb(name) => Command::InitDb(name.as_bytes()),
                RestoreCommand::Query(text) => Command::Query(text.as_bytes()),
            };
            self.connection.set_sequence(0);
            self.connection.queue_with(|out| command.encode(out));
        }
        self.characteristics_pending |= wanted.next_transaction().is_some();
        let mut applied = wanted.clone();
        applied.set_next_transaction(None);
        self.restoring = Some((restore.commands.len(), applied));
        Ok(())
    }

    /// Whether answers of [`Self::queue_restore`] are outstanding.
    pub fn is_restoring(&self) -> bool {
        self.restoring.is_some()
    }

    /// Read the answers of what [`Self::queue_restore`] queued, after the flush. The
    /// answer of the command that follows is next, and its number is set. Not cancel-safe:
    /// a cancelled call costs the connection.
    ///
    /// # Errors
    /// When the server refused a setting; the connection is of no use then.
    pub async fn finish_restore(&mut self) -> Result<(), BackendError> {
        // Where the session's own command ended.
        self.after_command = self.connection.sequence();
        let Some((answers, applied)) = self.restoring.take() else { return Ok(()) };
        for _ in 0..answers {
            self.connection.set_sequence(1);
            match self.read_ok().await {
                Ok(ok) => self.status = ok.status,
                Err(BackendError::Server { name, error }) => {
                    self.poison();
                    return Err(BackendError::Restore { name, error });
                }
                Err(error) => return Err(error),
            }
        }
        self.connection.set_sequence(self.after_command);
        self.applied = applied;
        Ok(())
    }

    /// Apply `wanted` in a round trip of its own. Not cancel-safe.
    ///
    /// # Errors
    /// As [`Self::queue_restore`] and [`Self::finish_restore`].
    pub async fn apply(&mut self, wanted: &SessionState) -> Result<(), BackendError> {
        self.queue_restore(wanted)?;
        if self.is_restoring() {
            self.flush().await?;
            self.finish_restore().await?;
            self.condition = Condition::Quiet;
        }
        Ok(())
    }
}

/// Small commands of the proxy itself. None is cancel-safe: a cancelled one costs the
/// connection, never another session's answer.
impl BackendConnection {
    /// Run a statement that returns no rows.
    ///
    /// # Errors
    /// [`BackendError::Server`] leaves the connection usable; others do not.
    pub async fn query_ok(&mut self, sql: &[u8]) -> Result<OkPacket, BackendError> {
        self.send(Command::Query(sql)).await?;
        let ok = self.read_ok_and_end().await?;
        Ok(ok)
    }

    /// COM_PING.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn ping(&mut self) -> Result<(), BackendError> {
        self.send(Command::Ping).await?;
        self.read_ok_and_end().await.map(|_| ())
    }

    /// The number of the statement of this text, if it was prepared here under a state like
    /// `wanted`, which may still have to be applied. Allocates nothing.
    pub fn prepared(&mut self, sql: &[u8], wanted: &SessionState) -> Option<u32> {
        self.statements.find(sql, wanted).map(|statement| statement.id)
    }

    /// The statement of this text, if it is prepared here under the applied state.
    pub fn statement(&mut self, sql: &[u8]) -> Option<Arc<BackendStatement>> {
        self.statements.find(sql, &self.applied).cloned()
    }

    /// How many statements are prepared here.
    pub fn statement_count(&self) -> usize {
        self.statements.len()
    }

    /// Forget a statement that the server says it does not know or must have prepared anew.
    pub fn forget_statement(&mut self, id: u32) {
        self.statements.remove(id);
    }

    /// Prepare a statement under the applied state, or find it. Restore the session's
    /// state first.
    ///
    /// # Errors
    /// [`BackendError::Server`] leaves the connection usable; others do not.
    pub async fn prepare(&mut self, sql: &[u8]) -> Result<Arc<BackendStatement>, BackendError> {
        if let Some(found) = self.statement(sql) {
            return Ok(found);
        }
        if let Some(closed) = self.statements.make_room() {
            self.mark_answering();
            self.connection.set_sequence(0);
            self.connection.queue_with(|out| Command::StmtClose(closed).encode(out));
        }
        self.send(Command::StmtPrepare(sql)).await?;
        let head = self.read().await?;
        if head.first() == Some(&ERR) {
            return Err(self.server_error(&head));
        }
        let prepared = PrepareOk::decode(&head).map_err(|source| self.unreadable(source))?;
        let parameters = self.read_definitions(usize::from(prepared.parameters)).await?;
        let columns = self.read_definitions(usize::from(prepared.columns)).await?;
        self.response_ended(self.status);
        let statement = Arc::new(BackendStatement {
            id: prepared.statement_id,
            parameters,
            columns,
            warnings: prepared.warnings,
        });
        self.statements.insert(sql, &self.applied, statement.clone());
        Ok(statement)
    }

    pub(super) async fn send(&mut self, command: Command<'_>) -> Result<(), BackendError> {
        debug_assert!(self.restoring.is_none(), "restore answers must be read first");
        self.response_begins().queue_with(|out| command.encode(out));
        self.flush().await
    }

    /// Send what is queued. Cancel-safe as long as the answer is still awaited.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn flush(&mut self) -> Result<(), BackendError> {
        let flushed = self.connection.flush().await;
        flushed.map_err(|source| self.broke(source))
    }

    pub(super) async fn read(&mut self) -> Result<Bytes, BackendError> {
        let packet = self.connection.read_packet().await;
        packet.map_err(|source| self.broke(source))
    }

    /// An OK packet; an ERR packet is [`BackendError::Server`].
    async fn read_ok(&mut self) -> Result<OkPacket, BackendError> {
        let payload = self.read().await?;
        match payload.first() {
            Some(&ERR) => Err(match ErrPacket::decode(&payload) {
                Ok(error) => BackendError::Server { name: self.name.clone(), error },
                Err(source) => self.unreadable(source),
            }),
            Some(&OK) => {
                let ok = OkPacket::decode(&payload, self.capabilities);
                let ok = ok.map_err(|source| self.unreadable(source))?;
                if ok.status.contains(Status::MORE_RESULTS) {
                    return Err(self.unexpected("several results"));
                }
                Ok(ok)
            }
            _ => Err(self.unexpected("rows where none were due")),
        }
    }

    async fn read_ok_and_end(&mut self) -> Result<OkPacket, BackendError> {
        let answer = self.read_ok().await;
        match &answer {
            Ok(ok) => self.response_ended(ok.status),
            Err(BackendError::Server { .. }) => self.response_failed(),
            Err(_) => {}
        }
        answer
    }

    /// `count` definitions and, where it is still sent, the EOF behind them.
    pub(super) async fn read_definitions(
        &mut self,
        count: usize,
    ) -> Result<Box<[ColumnDefinition]>, BackendError> {
        if count == 0 {
            return Ok(Box::default());
        }
        let mut definitions = Vec::with_capacity(count);
        for _ in 0..count {
            // A copy, as definitions are kept for long and would keep the network's buffer.
            let payload = Bytes::copy_from_slice(&self.read().await?);
            let definition = ColumnDefinition::decode(&payload);
            definitions.push(definition.map_err(|source| self.unreadable(source))?);
        }
        if !self.capabilities.deprecate_eof() {
            self.read().await?;
        }
        Ok(definitions.into())
    }

    fn mark_answering(&mut self) {
        if self.condition == Condition::Quiet {
            self.condition = Condition::Answering;
        }
    }

    pub(super) fn server_error(&mut self, payload: &[u8]) -> BackendError {
        match ErrPacket::decode(payload) {
            Ok(error) => {
                self.response_failed();
                BackendError::Server { name: self.name.clone(), error }
            }
            Err(source) => self.unreadable(source),
        }
    }

    /// The connection broke while the session used [`Self::wire`] itself.
    pub fn broke(&mut self, source: ConnectionError) -> BackendError {
        self.poison();
        BackendError::Broken { name: self.name.clone(), source }
    }

    /// The server's answer cannot be read: the connection is of no use any more.
    pub fn unreadable(&mut self, source: DecodeError) -> BackendError {
        self.poison();
        BackendError::Answer { name: self.name.clone(), source }
    }

    /// The server's answer is none that was asked for: the connection is of no use any more.
    pub fn unexpected(&mut self, what: &'static str) -> BackendError {
        self.poison();
        BackendError::Unexpected { name: self.name.clone(), what }
    }
}
