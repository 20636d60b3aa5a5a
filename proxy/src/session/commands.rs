//! One command of the client: decoded and answered.

use super::{
    Position, Session, client::ClientLost, failure::Failure, prepared::Statements,
    query::Statement, settings,
};
use crate::{error::SqlError, registry::Kill, server::CatalogUsers, state::SessionState};
use shardline_wire::{
    OkPacket,
    command::Command,
    connection::Connection,
    server::{self, AcceptError},
    stream::Stream,
};
use std::time::Instant;

impl Session {
    /// Answers a command that came at `now`; what is queued for the client is sent by the
    /// caller.
    pub(super) async fn answer(&mut self, payload: &[u8], now: Instant) -> Result<(), Failure> {
        match Command::decode(payload) {
            Ok(Command::Query(sql)) => {
                self.registration.begin("Query", sql, now);
                match self.pieces(sql) {
                    None => self.statement(Statement::text(sql, Position::Only), None, now).await,
                    Some(pieces) => Box::pin(self.several(sql, &pieces)).await,
                }
            }
            Ok(Command::StmtExecute { statement_id, payload }) => {
                self.execute(statement_id, payload, now).await
            }
            Ok(command) => Box::pin(self.command(command, payload, now)).await,
            Err(error) => Err(SqlError::malformed_packet(&error.to_string()).into()),
        }
    }

    /// The commands that are not asked all the time.
    async fn command(
        &mut self,
        command: Command<'_>,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), Failure> {
        match command {
            Command::Quit => Err(ClientLost::Quit.into()),
            Command::Query(sql) => self.text(sql, Position::Only).await,
            Command::StmtPrepare(sql) => {
                self.registration.begin("Prepare", sql, now);
                self.diagnostics.clear();
                self.prepare(sql).await
            }
            Command::StmtExecute { statement_id, payload } => {
                self.execute(statement_id, payload, now).await
            }
            Command::StmtSendLongData { statement_id, parameter, data } => {
                self.statements.append_long(statement_id, parameter, data);
                Ok(())
            }
            Command::StmtClose(id) => {
                self.statements.remove(id);
                Ok(())
            }
            Command::StmtReset(id) => {
                let prepared = self.statements.get_mut(id, "mysqld_stmt_reset")?;
                prepared.long.clear();
                prepared.long_error = false;
                self.answer_ok()
            }
            Command::StmtFetch { statement_id, .. } => {
                Err(SqlError::unknown_statement(statement_id, "mysqld_stmt_fetch").into())
            }
            Command::InitDb(name) => {
                self.registration.begin("Init DB", name, now);
                self.diagnostics.clear();
                self.use_database(&String::from_utf8_lossy(name))?;
                self.answer_ok()
            }
            Command::Ping => {
                self.shared.check_lease(now)?;
                self.answer_ok()
            }
            Command::Statistics => {
                let line = self.statistics();
                self.client.connection.queue_packet(line.as_bytes());
                Ok(())
            }
            Command::FieldList { table, .. } => self.field_list(table).await,
            Command::ProcessKill(id) => {
                self.kill(u64::from(id), Kill::Connection)?;
                self.answer_ok()
            }
            Command::ProcessInfo => {
                self.show_processlist(false, super::answer::Protocol::Text, Position::Only)
            }
            Command::SetOption(option) => self.set_option(option),
            Command::ResetConnection => {
                self.reset().await?;
                self.answer_ok()
            }
            Command::ChangeUser(rest) => self.change_user(rest).await,
            Command::Debug => Err(SqlError::unknown_command(payload[0]).into()),
            Command::Unknown(code) => Err(SqlError::unknown_command(code).into()),
        }
    }

    /// Queues an OK packet with the session's status.
    pub(crate) fn answer_ok(&mut self) -> Result<(), Failure> {
        self.answer_ok_at(Position::Only)
    }

    /// The same for one of several results.
    pub(crate) fn answer_ok_at(&mut self, position: Position) -> Result<(), Failure> {
        let warnings = self.diagnostics.count();
        let ok = OkPacket { warnings, ..OkPacket::with_status(self.status(position)) };
        self.client.queue_ok(&ok);
        Ok(())
    }

    fn set_option(&mut self, option: u16) -> Result<(), Failure> {
        self.multi_statements = match option {
            0 => true,
            1 => false,
            _ => return Err(SqlError::unknown_command(0x1b).into()),
        };
        let ok = OkPacket::with_status(self.status(Position::Only));
        let capabilities = self.client.capabilities;
        self.client.connection.queue_with(|out| {
            shardline_wire::response::encode_rows_end(&ok, capabilities, out);
        });
        Ok(())
    }

    /// COM_RESET_CONNECTION: as after a new login.
    async fn reset(&mut self) -> Result<(), Failure> {
        let finish = self
            .transaction
            .finish(super::transaction::Verb::Rollback, super::transaction::Chain::No);
        let rolled_back = self.finish(finish).await;
        self.branches.clear();
        self.transaction = super::transaction::Transaction::default();
        self.statements = Statements::new(&self.shared.config.limits);
        let database = self.state.database().map(str::to_owned);
        self.state = SessionState::new(self.state.names().clone(), database.as_deref());
        self.mode = Default::default();
        self.settings = super::settings::Settings::new(&self.shared.config);
        self.values.read_consistency = self.settings.read_consistency.name();
        self.diagnostics.clear();
        self.values.last_insert_id = 0;
        self.values.found_rows = 0;
        self.values.row_count = 0;
        rolled_back
    }

    /// COM_CHANGE_USER: another login on the same connection.
    async fn change_user(&mut self, rest: &[u8]) -> Result<(), Failure> {
        self.reset().await?;
        let users = CatalogUsers(self.catalog());
        // The connection is lent to the login; a stand-in that is closed already takes
        // its place meanwhile.
        let lent = self.lend_connection()?;
        let shared = self.shared.clone();
        let accepted = server::change_user(
            lent,
            rest,
            self.client.capabilities,
            self.scramble,
            &shared.wire,
            &users,
        )
        .await;
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(AcceptError::Refused(error)) => {
                tracing::info!(session = self.registration.id, %error, "change of user refused");
                return Err(ClientLost::Told.into());
            }
            Err(error) => {
                tracing::debug!(session = self.registration.id, %error, "change of user failed");
                return Err(ClientLost::Told.into());
            }
        };
        self.client.connection = accepted.connection;
        let login = accepted.login;
        self.user = login.user.clone();
        self.values.user = format!("{}@{}", self.user, self.host);
        self.values.current_user = format!("{}@%", self.user);
        self.registration.set_user(&self.user);
        let names = settings::names_of_collation(login.charset);
        self.state = SessionState::new(names, None);
        self.registration.set_database(None);
        if let Some(database) = login.database.as_deref().filter(|name| !name.is_empty()) {
            self.use_database(database)?;
        }
        self.answer_ok()
    }

    fn lend_connection(&mut self) -> Result<Connection, Failure> {
        let (stand_in, _) = tokio::net::UnixStream::pair()
            .map_err(|error| SqlError::internal(format!("cannot make a socket pair: {error}")))?;
        let stand_in = Connection::new(Stream::from(stand_in), 0);
        Ok(std::mem::replace(&mut self.client.connection, stand_in))
    }

    /// Chooses a database.
    pub(crate) fn use_database(&mut self, name: &str) -> Result<(), SqlError> {
        if !settings::is_system_database(name) && !self.catalog().databases.contains_key(name) {
            return Err(SqlError::unknown_database(name));
        }
        if settings::is_hidden_database(name) {
            return Err(SqlError::unknown_database(name));
        }
        self.state.set_database(Some(name));
        self.registration.set_database(Some(name));
        Ok(())
    }

    /// KILL [CONNECTION | QUERY] of a session of this proxy.
    pub(crate) fn kill(&mut self, id: u64, kill: Kill) -> Result<(), SqlError> {
        let found = self.shared.registry.find(id).ok_or_else(|| SqlError::unknown_thread(id))?;
        if found.user() != self.user {
            return Err(SqlError::not_owner(id));
        }
        found.kill.throw(kill);
        match (found.id == self.registration.id, kill) {
            (true, Kill::Query) => Err(SqlError::interrupted()),
            (true, Kill::Connection) | (false, Kill::Query | Kill::Connection) => Ok(()),
        }
    }

    fn statistics(&self) -> String {
        let registry = &self.shared.registry;
        let uptime = registry.uptime().as_secs();
        let questions = self.shared.metrics.questions();
        let average = questions as f64 / uptime.max(1) as f64;
        format!(
            "Uptime: {uptime}  Threads: {}  Questions: {questions}  Slow queries: 0  Opens: 0  \
             Open tables: 0  Queries per second avg: {average:.3}",
            registry.connected()
        )
    }
}
