//! A connection to one of a move's servers: statements, several in one packet, and rows as they come.
//! It has no opinion; sessions that write rows run [`WRITING`] first.

use crate::error::{MoveError, Side};
use bytes::Bytes;
use shardline_binlog::Family;
use shardline_wire::{
    Capabilities, ErrPacket, OkPacket, Status,
    client::{self, Backend, ConnectOptions},
    column, response,
    row::TextRow,
};
use std::{error::Error, time::Duration};

/// How long a server may take for the next packet of an answer.
const PACKET_MAX: Duration = Duration::from_secs(300);
/// Rows that an answer may have which is kept as a whole.
const ROWS_MAX: usize = 1_000_000;
/// Bytes of the same.
const BYTES_MAX: usize = 256 << 20;

const OK: u8 = 0;
const ERR: u8 = 0xff;
const LOCAL_INFILE: u8 = 0xfb;

/// Settings of a session that writes rows: they are not strict, since what is in a table may be what
/// today's modes would not let in; whether each value arrived is for the checksums to say.
pub(crate) const WRITING: &str = "SET NAMES utf8mb4; \
    SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', \
    sql_safe_updates = 0, foreign_key_checks = 0, unique_checks = 1, autocommit = 1, \
    innodb_lock_wait_timeout = 20; \
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
/// Settings of a session that reads rows as they are: texts come in their own character sets.
pub(crate) const READING: &str = "SET NAMES utf8mb4; \
    SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', \
    character_set_results = binary, net_write_timeout = 600; \
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Address and account.
    pub options: ConnectOptions,
}

/// One row: `None` is NULL.
pub(crate) type Row = Vec<Option<Bytes>>;

/// The answer to one statement.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Its rows.
    pub(crate) rows: Vec<Row>,
    /// Rows found by a writing statement.
    pub(crate) affected: u64,
}

impl Answer {
    /// The value of the first row, as text.
    pub(crate) fn text(&self, place: usize) -> Option<String> {
        text(self.rows.first()?, place)
    }
}

/// A value as text.
pub(crate) fn text(row: &Row, place: usize) -> Option<String> {
    Some(String::from_utf8_lossy(row.get(place)?.as_ref()?).into_owned())
}

/// A logged-in connection. Dropping it inside an answer closes it, and the server rolls back.
#[derive(Debug)]
pub(crate) struct Session {
    side: Side,
    backend: Backend,
}

impl Session {
    /// Connects and runs the settings.
    pub(crate) async fn open(
        side: Side,
        endpoint: &Endpoint,
        settings: &str,
    ) -> Result<Self, MoveError> {
        let mut options = endpoint.options.clone();
        options.capabilities = options.capabilities.with(Capabilities::FOUND_ROWS);
        let backend = client::connect(&options).await;
        let backend = backend.map_err(|error| lost(side, &error))?;
        let mut session = Self { side, backend };
        session.run("settings of a session", settings.as_bytes()).await?;
        if session.family() == Family::Mariadb && settings == WRITING {
            // A row that is there may break a check that was added later.
            let checks = b"SET SESSION check_constraint_checks = 0";
            session.run("settings of a session", checks).await?;
        }
        Ok(session)
    }

    /// The server's family.
    pub(crate) fn family(&self) -> Family {
        if self.backend.mariadb { Family::Mariadb } else { Family::Mysql }
    }

    /// The server's version, as it greets.
    pub(crate) fn version(&self) -> &str {
        &self.backend.server_version
    }

    /// The raw connection, for the replication protocol.
    pub(crate) fn backend(&mut self) -> &mut Backend {
        &mut self.backend
    }

    async fn send(&mut self, sql: &[u8]) -> Result<(), MoveError> {
        let side = self.side;
        let connection = &mut self.backend.connection;
        connection.set_sequence(0);
        connection.queue_with(|out| {
            out.extend_from_slice(&[3]);
            out.extend_from_slice(sql);
        });
        connection.flush().await.map_err(|error| lost(side, &error))
    }

    async fn packet(&mut self) -> Result<Bytes, MoveError> {
        let side = self.side;
        let packet = tokio::time::timeout(PACKET_MAX, self.backend.connection.read_packet()).await;
        let silent = || MoveError::Lost { side, reason: "it is silent".to_owned() };
        packet.map_err(|_| silent())?.map_err(|error| lost(side, &error))
    }

    /// Runs one statement or several, and returns their answers. After the first error nothing
    /// of the rest was run.
    pub(crate) async fn run(
        &mut self,
        what: &'static str,
        sql: &[u8],
    ) -> Result<Vec<Answer>, MoveError> {
        self.send(sql).await?;
        let mut answers = Vec::new();
        let mut room = (ROWS_MAX, BYTES_MAX);
        loop {
            let (answer, status) = self.answer(what, &mut room).await?;
            answers.push(answer);
            if !status.contains(Status::MORE_RESULTS) {
                return Ok(answers);
            }
        }
    }

    /// Runs one statement.
    pub(crate) async fn one(&mut self, what: &'static str, sql: &str) -> Result<Answer, MoveError> {
        let mut answers = self.run(what, sql.as_bytes()).await?;
        answers.pop().ok_or(MoveError::Answer { side: self.side, what })
    }

    async fn answer(
        &mut self,
        what: &'static str,
        room: &mut (usize, usize),
    ) -> Result<(Answer, Status), MoveError> {
        let unreadable = MoveError::Answer { side: self.side, what };
        if let Some(ok) = self.head(what).await? {
            let answer = Answer { rows: Vec::new(), affected: ok.affected_rows };
            return Ok((answer, ok.status));
        }
        let mut answer = Answer::default();
        loop {
            match self.next_row(what).await? {
                Next::End(status) => return Ok((answer, status)),
                Next::Row(payload) => {
                    let rows = room.0.checked_sub(1);
                    let bytes = room.1.checked_sub(payload.len());
                    let (Some(rows), Some(bytes)) = (rows, bytes) else { return Err(unreadable) };
                    *room = (rows, bytes);
                    let values = TextRow::new(&payload)
                        .map(|value| Ok(value?.map(|value| payload.slice_ref(value))));
                    let row = values.collect::<Result<Row, shardline_wire::DecodeError>>();
                    answer.rows.push(row.map_err(|_| unreadable.clone())?);
                }
            }
        }
    }

    /// The start of an answer: the OK of a statement without rows, or None before rows.
    async fn head(&mut self, what: &'static str) -> Result<Option<OkPacket>, MoveError> {
        let unreadable = MoveError::Answer { side: self.side, what };
        let head = self.packet().await?;
        match head.first() {
            Some(&OK) => {
                let ok = OkPacket::decode(&head, self.backend.capabilities);
                Ok(Some(ok.map_err(|_| unreadable)?))
            }
            Some(&ERR) => Err(self.refused(what, &head)),
            Some(&LOCAL_INFILE) | None => Err(unreadable),
            Some(_) => {
                let count = column::decode_count(&head).map_err(|_| unreadable)?;
                let ends = usize::from(!self.backend.capabilities.deprecate_eof());
                for _ in 0..count + ends {
                    self.packet().await?;
                }
                Ok(None)
            }
        }
    }

    /// Sends a statement whose rows are then read one by one.
    pub(crate) async fn start_rows(
        &mut self,
        what: &'static str,
        sql: &str,
    ) -> Result<(), MoveError> {
        self.send(sql.as_bytes()).await?;
        match self.head(what).await? {
            None => Ok(()),
            Some(_) => Err(MoveError::Answer { side: self.side, what }),
        }
    }

    /// The next row as it came, or the end.
    pub(crate) async fn next_row(&mut self, what: &'static str) -> Result<Next, MoveError> {
        let payload = self.packet().await?;
        if payload.first() == Some(&ERR) {
            return Err(self.refused(what, &payload));
        }
        let capabilities = self.backend.capabilities;
        if response::ends_rows(&payload, capabilities) {
            let end = response::decode_rows_end(&payload, capabilities);
            let end = end.map_err(|_| MoveError::Answer { side: self.side, what })?;
            return Ok(Next::End(end.status));
        }
        Ok(Next::Row(payload))
    }

    fn refused(&self, what: &'static str, packet: &[u8]) -> MoveError {
        match ErrPacket::decode(packet) {
            Ok(error) => MoveError::refused(self.side, what, error),
            Err(_) => MoveError::Answer { side: self.side, what },
        }
    }
}

/// What comes next of an answer with rows.
#[derive(Debug)]
pub(crate) enum Next {
    /// A row's payload.
    Row(Bytes),
    /// The rows are over.
    End(Status),
}

/// A connection's error with its causes.
pub(crate) fn lost(side: Side, error: &dyn Error) -> MoveError {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        reason = format!("{reason}: {inner}");
        source = inner.source();
    }
    MoveError::Lost { side, reason }
}
