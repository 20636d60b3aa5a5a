//! One client's session: the command loop, and all state that a single server would keep
//! for the connection. One task owns the client's socket and the backend connections.

mod admit;
pub(crate) mod answer;
pub(crate) mod branches;
pub(crate) mod client;
mod commands;
mod commit;
mod computed;
mod ddl;
pub(crate) mod diagnostics;
pub(crate) mod failure;
mod held;
mod idle;
mod named;
mod operations;
mod parameters;
mod prepared;
mod preparing;
mod query;
mod reads;
mod schema;
mod session_statement;
mod set;
mod settings;
pub(crate) mod shared;
mod short;
pub(crate) mod show;
mod spread;
pub mod transaction;
pub(crate) mod transactions;
pub(crate) mod written;

use crate::{
    backend::{ConnClass, Wanted},
    error::SqlError,
    registry::{Kill, Registration},
    state::SessionState,
    stats::{Ended, Observed},
    txn::xid::Xid,
    worker::Seat,
};
use client::{Client, ClientLost};
use diagnostics::Diagnostics;
use failure::Failure;
use idle::IdleTimer;
use prepared::Statements;
use settings::Settings;
use shardline_model::catalog::{Catalog, Table};
use shardline_router::{lexer::SqlMode, router::Scratch, template::SessionValues};
use shardline_wire::{
    auth::Scramble,
    capability::Capabilities,
    connection::{ConnectionError, Payload},
    handshake::Login,
    packet::FrameError,
};
use shared::Shared;
use spread::Spread;
use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};
use transaction::Transaction;
use written::Written;

/// What ends the wait for a command.
enum Event {
    Command(Result<Payload, ConnectionError>),
    Killed,
    Drained,
    Idle,
}

/// Where a result stands among the results of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The command has one result.
    Only,
    /// Others come after it.
    MoreFollow,
    /// Others came before it, none comes after it.
    Last,
}

/// A client's session.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: Client,
    pub(crate) registration: Registration,
    /// The thread that serves the session.
    seat: Seat,
    pub(crate) user: String,
    pub(crate) host: String,
    /// The challenge of the greeting, for COM_CHANGE_USER.
    scramble: Scramble,
    /// What the session has set on the servers.
    pub(crate) state: SessionState,
    /// How statements are read, from `sql_mode`.
    pub(crate) mode: SqlMode,
    /// Variables of Shardline's own.
    settings: Settings,
    pub(crate) transaction: Transaction,
    pub(crate) branches: branches::Branches,
    /// What the open transaction has written.
    pub(crate) written: Written,
    /// The catalog of a read that several shards have not all begun to answer.
    pub(crate) in_use: Option<Arc<Catalog>>,
    /// The shards that it is on, as others see them.
    entered: held::Entered,
    /// The same once it is on several shards.
    spread: Spread,
    /// Its last commit on several shards.
    last_xid: Option<Xid>,
    statements: Statements,
    /// LAST_INSERT_ID() and its kin.
    pub(crate) values: SessionValues,
    pub(crate) diagnostics: Diagnostics,
    /// The router's buffers.
    scratch: Scratch,
    idle: IdleTimer,
    /// The running statement, for statistics.
    pub(crate) observed: Observed,
    /// When the statement ended, if the clock was read already.
    ended: Option<Instant>,
    /// COM_SET_OPTION may turn several statements in one command on and off.
    multi_statements: bool,
}

/// A client that was let in.
pub(crate) struct Admitted {
    pub(crate) client: Client,
    pub(crate) registration: Registration,
    pub(crate) seat: Seat,
    pub(crate) login: Login,
    pub(crate) host: String,
    pub(crate) scramble: Scramble,
}

impl Session {
    /// The session of a client that has proved who it is.
    ///
    /// # Errors
    /// Its database does not exist.
    pub(crate) fn new(
        shared: Arc<Shared>,
        admitted: Admitted,
    ) -> Result<Self, Box<(Client, SqlError)>> {
        let Admitted { client, registration, seat, login, host, scramble } = admitted;
        let statements = Statements::new(&shared.config.limits);
        let names = settings::names_of_collation(login.charset);
        let mut session = Session {
            multi_statements: client.capabilities.contains(Capabilities::MULTI_STATEMENTS),
            user: login.user.clone(),
            host: host.clone(),
            scramble,
            state: SessionState::new(names, None),
            mode: SqlMode::default(),
            settings: Settings::new(&shared.config),
            transaction: Transaction::default(),
            branches: branches::Branches::default(),
            written: Written::default(),
            in_use: None,
            entered: held::Entered::new(),
            spread: Spread::default(),
            last_xid: None,
            statements,
            values: SessionValues {
                connection_id: registration.id.into(),
                user: format!("{}@{host}", login.user),
                current_user: format!("{}@%", login.user),
                read_consistency: shared.config.read_consistency.name(),
                socket: shared.socket.clone(),
                port: shared.port,
                ..SessionValues::default()
            },
            diagnostics: Diagnostics::default(),
            scratch: Scratch::new(),
            idle: IdleTimer::default(),
            observed: Observed::default(),
            ended: None,
            shared,
            client,
            registration,
            seat,
        };
        session.registration.set_user(&session.user);
        if let Some(database) = login.database.as_deref().filter(|name| !name.is_empty())
            && let Err(error) = session.use_database(database)
        {
            return Err(Box::new((session.client, error)));
        }
        Ok(session)
    }

    /// Serves commands until the client leaves, is killed, or the proxy is drained.
    pub(crate) async fn run(mut self) {
        let reason = loop {
            let command = match self.next_command().await {
                Ok(command) => command,
                Err(lost) => break lost,
            };
            self.shared.metrics.question();
            let started = Instant::now();
            self.observed.begin(started);
            let mut outcome = self.answer(&command, started).await;
            drop(command);
            if outcome.is_err() && self.registration.kill.is_deadlock() {
                outcome = Box::pin(self.deadlocked(outcome)).await;
            }
            self.settle_shards();
            let ended = self.ended.take().unwrap_or_else(Instant::now);
            self.shared.metrics.statement_seconds.record((ended - started).as_secs_f64());
            self.count(&outcome, started, ended);
            if (outcome.is_err() || self.client.connection.may_flush())
                && let Err(lost) = self.conclude(outcome).await
            {
                break lost;
            }
            self.registration.idle(ended);
            self.idle.begin(ended);
        };
        tracing::debug!(session = self.registration.id, %reason, "session ended");
        self.branches.clear();
    }

    /// Counts a command that has ended.
    fn count(&self, outcome: &Result<(), Failure>, started: Instant, ended: Instant) {
        let error = match outcome {
            Ok(()) => None,
            Err(Failure::Sql(error)) => Some(error.number),
            Err(Failure::Answered) => self.diagnostics.last_error(),
            // Nobody was told.
            Err(Failure::Client(_)) => return,
        };
        let end = Ended {
            started,
            ended,
            error,
            user: &self.user,
            host: &self.host,
            session: self.registration.id,
        };
        self.shared.statistics.ended(self.seat.worker(), &self.observed, &end);
    }

    /// The next command. A drain ends a session that is idle and outside a transaction.
    async fn next_command(&mut self) -> Result<Payload, ClientLost> {
        let timeout = self.settings.idle_timeout(&self.shared.config.limits);
        let open = self.transaction.is_open();
        let (connection, kill) = (&mut self.client.connection, &self.registration.kill);
        let event = poll_fn(|cx| {
            if kill.is_draining() && !open {
                return Poll::Ready(Event::Drained);
            }
            if let Poll::Ready(command) = connection.poll_command(cx) {
                return Poll::Ready(Event::Command(command));
            }
            kill.watch(cx);
            // Once more: the switch may have been thrown before it was watched.
            if kill.is_draining() && !open {
                return Poll::Ready(Event::Drained);
            }
            if kill.state() == Some(Kill::Connection) {
                return Poll::Ready(Event::Killed);
            }
            self.idle.poll(timeout, cx).map(|()| Event::Idle)
        })
        .await;
        match event {
            Event::Command(Ok(command)) => {
                self.registration.kill.rearm();
                Ok(command)
            }
            Event::Command(Err(ConnectionError::Frame(error))) => {
                Err(Box::pin(self.bad_frame(error)).await)
            }
            Event::Command(Err(error)) => Err(error.into()),
            Event::Killed => {
                self.client.connection.set_sequence(0);
                Err(Box::pin(self.goodbye(SqlError::connection_killed())).await)
            }
            Event::Drained => {
                self.client.connection.set_sequence(0);
                Err(Box::pin(self.goodbye(SqlError::shutting_down())).await)
            }
            Event::Idle => Err(ClientLost::Idle),
        }
    }

    async fn bad_frame(&mut self, error: FrameError) -> ClientLost {
        let told = match error {
            FrameError::TooLarge { limit } => SqlError::packet_too_large(limit),
            FrameError::OutOfOrder { .. } => SqlError::packets_out_of_order(),
        };
        self.goodbye(told).await
    }

    /// Tells the client why the connection ends, if it listens.
    async fn goodbye(&mut self, error: SqlError) -> ClientLost {
        self.shared.metrics.error(&error);
        self.client.queue_error(&error);
        let connection = &mut self.client.connection;
        let told = async {
            connection.shutdown().await?;
            // A client that is still sending reads the error only when its bytes are
            // taken; closing at once would reset the connection.
            while connection.read_some().await? > 0 {
                connection.consume(connection.buffered().len());
            }
            Ok::<_, ConnectionError>(())
        };
        // The client may be gone already.
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, told).await;
        ClientLost::Told
    }

    /// Sends what is left of the answer, or the error.
    async fn conclude(&mut self, outcome: Result<(), Failure>) -> Result<(), ClientLost> {
        match outcome {
            Ok(()) | Err(Failure::Answered) => {}
            Err(Failure::Client(lost)) => return Err(lost),
            Err(Failure::Sql(error)) => {
                self.shared.metrics.error(&error);
                self.diagnostics.error(&error);
                self.values.row_count = -1;
                self.client.queue_error(&error);
            }
        }
        if self.registration.kill.state() == Some(Kill::Connection) {
            return Err(ClientLost::Killed);
        }
        self.client.flush(&self.registration.kill).await
    }

    /// What the session needs of its backend connections.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { class: self.class(), worker: self.seat.worker() }
    }

    fn class(&self) -> ConnClass {
        let has = |flag| self.client.capabilities.contains(flag);
        ConnClass {
            deprecate_eof: has(Capabilities::DEPRECATE_EOF),
            found_rows: has(Capabilities::FOUND_ROWS),
            session_track: has(Capabilities::SESSION_TRACK),
            database: self.state.database().is_some(),
        }
    }

    /// The catalog as it is now: taken once for each statement.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.shared.meta.catalog()
    }
}

/// How a table is spread, as it is written in CREATE TABLE; None where that is what is usual.
pub fn clause_text(table: &Table, catalog: &Catalog) -> Option<String> {
    let clause = ddl::sharding::clause_of(table, catalog)?;
    Some(shardline_router::clause::render(&clause, &table.database))
}

/// How long a client may take to read why its connection ends.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
