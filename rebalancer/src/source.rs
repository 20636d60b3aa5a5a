//! Reads a server's binlog from a position on, and asks a server about its log.

use crate::{
    error::{MoveError, Side},
    position::Position,
    session::{Endpoint, Session, lost, text},
};
use bytes::Bytes;
use shardline_binlog::{
    Collector, Decoder, Event, Family, TableMap, Transaction,
    control::Checksum,
    decoder::Body,
    request::{self, DumpFlags, StreamPacket},
    transaction::{Limits, Progress},
};
use shardline_wire::ErrPacket;
use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// How often a server that has nothing new says so.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A server that says nothing for so long is lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// What one transaction may bring of the tables that move.
const LIMITS: Limits = Limits { rows_max: 5_000_000, bytes_max: 1 << 30 };
/// The server's error when a file of the log is gone, or a position is none.
const FATAL_READ: u16 = 1236;
/// A file that follows a position, for the count of bytes that are left.
const FILES_MAX: usize = 100_000;

/// What a server calls itself: a flow's positions mean something on this one only.
pub(crate) async fn server_name(session: &mut Session, side: Side) -> Result<String, MoveError> {
    const WHAT: &str = "its own name";
    let sql = match session.family() {
        Family::Mysql => "SELECT @@server_uuid",
        Family::Mariadb => "SELECT CONCAT(@@hostname, ':', @@port, ':', @@server_id)",
    };
    let name = session.one(WHAT, sql).await?.text(0);
    name.ok_or(MoveError::Answer { side, what: WHAT })
}

/// Where a server's log ends now.
pub(crate) async fn end_of_log(session: &mut Session, side: Side) -> Result<Position, MoveError> {
    const WHAT: &str = "the end of its binlog";
    let mut numbers = session.version().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let sql = match session.family() {
        Family::Mysql if version >= (8, 2) => "SHOW BINARY LOG STATUS",
        Family::Mysql | Family::Mariadb => "SHOW MASTER STATUS",
    };
    let answer = session.one(WHAT, sql).await?;
    let position =
        || Some(Position { file: answer.text(0)?, offset: answer.text(1)?.parse().ok()? });
    position().ok_or(MoveError::Answer { side, what: WHAT })
}

/// Bytes of a log between two positions.
pub(crate) async fn bytes_between(
    session: &mut Session,
    from: &Position,
    to: &Position,
) -> Result<u64, MoveError> {
    if from.file == to.file {
        return Ok(to.offset.saturating_sub(from.offset));
    }
    let files = session.one("the files of its binlog", "SHOW BINARY LOGS").await?.rows;
    let mut bytes = to.offset;
    for row in files.iter().take(FILES_MAX) {
        let file = text(row, 0).unwrap_or_default();
        let size: u64 = text(row, 1).and_then(|size| size.parse().ok()).unwrap_or(0);
        let start = Position { file: file.clone(), offset: 0 };
        if file == from.file {
            bytes += size.saturating_sub(from.offset);
        } else if start > *from && file != to.file && start < *to {
            bytes += size;
        }
    }
    Ok(bytes)
}

/// A stream of transactions.
pub(crate) struct Stream {
    side: Side,
    session: Session,
    decoder: Decoder,
    collector: Collector,
    file: String,
    position: Position,
}

/// What comes out of a stream.
pub(crate) enum Arrival {
    /// A transaction, and the position after it.
    Transaction(Transaction, Position),
    /// Nothing more up to here.
    Position(Position),
}

impl Stream {
    /// Asks for everything from a position on.
    pub(crate) async fn open(
        side: Side,
        endpoint: &Endpoint,
        expected: &str,
        from: &Position,
    ) -> Result<Self, MoveError> {
        let mut session = Session::open(side, endpoint, "SET NAMES utf8mb4").await?;
        let found = server_name(&mut session, side).await?;
        if found != expected {
            return Err(MoveError::OtherServer { side, expected: expected.to_owned(), found });
        }
        for statement in request::settings(session.family(), HEARTBEAT) {
            session.one("settings of a reader of its binlog", &statement).await?;
        }
        let offset = u32::try_from(from.offset).map_err(|_| MoveError::Log {
            side,
            position: from.clone(),
            reason: "the file is larger than 4 GiB: set max_binlog_size to 1 GiB or less"
                .to_owned(),
        })?;
        // A second reader with the same number would end the first. Servers have small ones.
        let reader = RandomState::new().hash_one(Instant::now()) as u32 | 1 << 31;
        let dump = request::dump(reader, DumpFlags::default(), &from.file, offset);
        let connection = &mut session.backend().connection;
        connection.set_sequence(0);
        connection.queue_packet(&dump);
        connection.flush().await.map_err(|error| lost(side, &error))?;
        Ok(Self {
            side,
            session,
            decoder: Decoder::new(Checksum::Crc32),
            collector: Collector::new(LIMITS),
            file: from.file.clone(),
            position: from.clone(),
        })
    }

    /// What comes next. Rows of tables that are not wanted are left out.
    pub(crate) async fn next(
        &mut self,
        wanted: &(dyn Fn(&TableMap) -> bool + Sync),
    ) -> Result<Arrival, MoveError> {
        loop {
            let event = self.event().await?;
            let end = event.header.end;
            let artificial = event.header.flags.is_artificial();
            let heartbeat = match &event.body {
                Body::Heartbeat(heartbeat) => {
                    Some(Position { file: heartbeat.file.to_string(), offset: heartbeat.position })
                }
                _ => None,
            };
            let progress = self.collector.push(event, &|table| wanted(table));
            let progress =
                progress.map_err(|error| MoveError::log(self.side, &self.position, &error))?;
            if end > 0 && !artificial && heartbeat.is_none() {
                self.position = Position { file: self.file.clone(), offset: u64::from(end) };
            }
            match progress {
                Progress::Transaction(transaction) => {
                    let offset = u64::from(transaction.end);
                    let position = Position { file: self.file.clone(), offset };
                    return Ok(Arrival::Transaction(transaction, position));
                }
                Progress::File(rotate) => {
                    self.file = rotate.file.to_string();
                    self.position = Position { file: self.file.clone(), offset: rotate.position };
                    return Ok(Arrival::Position(self.position.clone()));
                }
                Progress::None => {
                    // Only between transactions is the log silent.
                    if let Some(position) = heartbeat.filter(|at| *at > self.position) {
                        return Ok(Arrival::Position(position));
                    }
                }
            }
        }
    }

    async fn event(&mut self) -> Result<Event, MoveError> {
        let side = self.side;
        let packet = self.session.backend().connection.read_packet();
        let packet = tokio::time::timeout(SILENCE_MAX, packet).await;
        let silent = || MoveError::Lost { side, reason: "its binlog is silent".to_owned() };
        let packet: Bytes = packet.map_err(|_| silent())?.map_err(|error| lost(side, &error))?;
        let reason = match StreamPacket::from_payload(packet) {
            StreamPacket::Event(event) => {
                let event = self.decoder.decode(event);
                return event.map_err(|error| MoveError::log(side, &self.position, &error.into()));
            }
            StreamPacket::Error(packet) => match ErrPacket::decode(&packet) {
                Ok(error) if error.code == FATAL_READ && !is_replaced(&error) => {
                    let position = self.position.clone();
                    return Err(MoveError::Purged { side, position, reason: error.to_string() });
                }
                Ok(error) => error.to_string(),
                Err(error) => error.to_string(),
            },
            StreamPacket::End => "its binlog ended".to_owned(),
            StreamPacket::Unknown => "a packet that is no event".to_owned(),
        };
        Err(MoveError::Lost { side, reason })
    }
}

/// Some of the server's reasons pass: it shuts down, or another reader took the number.
fn is_replaced(error: &ErrPacket) -> bool {
    let text = error.message_text().to_ascii_lowercase();
    ["same server_uuid", "same server_id", "shutdown", "killed"]
        .iter()
        .any(|word| text.contains(word))
}
