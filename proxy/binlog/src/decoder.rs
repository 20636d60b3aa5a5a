//! From a stream of events' bytes to events: checks each checksum, keeps the tables that rows events
//! refer to, decompresses, and refuses what it does not understand.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::compress;
use crate::control::{self, Checksum, Family, FormatDescription, Heartbeat, Query, Rotate};
use crate::error::DecodeError;
use crate::gtid::mariadb::{self, MariadbGtid, MariadbGtidEvent};
use crate::gtid::mysql::{GtidSet, MysqlGtidEvent};
use crate::header::{EventFlags, EventHeader, EventKind, HEADER_LENGTH, RowsKind};
use crate::reader::Reader;
use crate::rows::{RawRows, Rows};
use crate::table_map::TableMap;

/// The most bytes that an event may have, also after decompression: the servers' own limit on packets.
pub const EVENT_MAX: usize = 1 << 30;
/// The most tables that one statement may describe.
const TABLES_MAX: usize = 16_384;
const CHECKSUM_LENGTH: usize = 4;

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its header.
    pub header: EventHeader,
    /// What it says.
    pub body: Body,
}

/// What an event says.
#[derive(Clone, Debug)]
pub enum Body {
    /// The first event of a file.
    Format(FormatDescription),
    /// The log goes on elsewhere; also the first event of a stream, which names the file.
    Rotate(Rotate),
    /// The server shut down; the log goes on in the next file.
    Stop,
    /// Nothing new.
    Heartbeat(Heartbeat),
    /// A statement.
    Query(Query),
    /// The commit of a transaction.
    Xid(u64),
    /// A transaction of a MariaDB begins.
    MariadbGtid(MariadbGtidEvent),
    /// The last transaction of each domain before this file.
    MariadbGtidList(Vec<MariadbGtid>),
    /// A transaction of a MySQL begins.
    MysqlGtid(MysqlGtidEvent),
    /// All transactions before this file, encoded: [`GtidSet::decode`].
    PreviousGtids(Bytes),
    /// The statement whose rows follow, when the server logs it.
    Statement(Bytes),
    /// The rows events that follow are of this table.
    TableMap(Arc<TableMap>),
    /// Rows.
    Rows(Rows),
    /// A statement ends without rows.
    StatementEnd,
    /// A whole transaction in one event, decompressed.
    Payload(Vec<Event>),
    /// Nothing that changes data.
    Nothing,
}

/// Decodes the events of one stream, in order.
#[derive(Clone, Debug)]
pub struct Decoder {
    checksum: Checksum,
    family: Family,
    table_id_length: usize,
    tables: HashMap<u64, Arc<TableMap>>,
}

impl Decoder {
    /// A decoder at the start of a stream whose reader asked for this kind of checksum. The first event
    /// of each file tells what the file really has.
    pub fn new(asked: Checksum) -> Self {
        Self { checksum: asked, family: Family::Mysql, table_id_length: 6, tables: HashMap::new() }
    }

    /// Decodes one whole event, checksum included.
    pub fn decode(&mut self, event: Bytes) -> Result<Event, DecodeError> {
        if event.len() > EVENT_MAX {
            return Err(DecodeError::TooLarge { field: "event", limit: EVENT_MAX });
        }
        let header = EventHeader::decode(&event)?;
        if EventKind::from_byte(header.kind) == Some(EventKind::FormatDescription) {
            return self.format(header, &event);
        }
        let end = match self.checksum {
            Checksum::None => event.len(),
            Checksum::Crc32 => verified(&event, header)?,
        };
        let body = if end < HEADER_LENGTH {
            return Err(DecodeError::Truncated { field: "checksum" });
        } else {
            event.slice(HEADER_LENGTH..end)
        };
        let body = self.body(header, body, false)?;
        Ok(Event { header, body })
    }

    /// The event that says how the others end. A server that sends one without checksums still leaves
    /// room for its own.
    fn format(&mut self, header: EventHeader, event: &Bytes) -> Result<Event, DecodeError> {
        let format = FormatDescription::decode(event.slice(HEADER_LENGTH..))?;
        if format.checksum == Checksum::Crc32 {
            verified(event, header)?;
        }
        self.checksum = format.checksum;
        self.family = format.family();
        self.table_id_length = format.table_id_length;
        self.tables.clear();
        Ok(Event { header, body: Body::Format(format) })
    }

    fn body(
        &mut self,
        header: EventHeader,
        body: Bytes,
        in_payload: bool,
    ) -> Result<Body, DecodeError> {
        let Some(kind) = EventKind::from_byte(header.kind) else {
            if header.flags.is_ignorable() {
                return Ok(Body::Nothing);
            }
            return Err(DecodeError::UnknownEvent { kind: header.kind, end: header.end });
        };
        Ok(match kind {
            EventKind::Query => Body::Query(Query::decode(body, false)?),
            EventKind::CompressedQuery => Body::Query(Query::decode(body, true)?),
            EventKind::Stop => Body::Stop,
            EventKind::Rotate => Body::Rotate(Rotate::decode(body)?),
            EventKind::FormatDescription => {
                return Err(DecodeError::Invalid { field: "format description in a payload" });
            }
            EventKind::Xid => Body::Xid(Reader::new(body).u64("transaction's number")?),
            EventKind::TableMap => Body::TableMap(self.table(body)?),
            EventKind::Rows(kind) => self.rows(body, kind)?,
            EventKind::Incident => return Err(control::incident(body)?),
            EventKind::Heartbeat => Body::Heartbeat(Heartbeat::decode(body, header.end)?),
            EventKind::HeartbeatV2 => Body::Heartbeat(Heartbeat::decode_v2(body)?),
            EventKind::RowsQuery => {
                let mut reader = Reader::new(body);
                // A byte of length that is too small for most statements.
                reader.skip(1, "statement")?;
                Body::Statement(reader.rest())
            }
            EventKind::AnnotateRows => Body::Statement(body),
            EventKind::MysqlGtid => Body::MysqlGtid(MysqlGtidEvent::decode(body, false)?),
            EventKind::AnonymousGtid => Body::MysqlGtid(MysqlGtidEvent::decode(body, true)?),
            EventKind::TaggedGtid => Body::MysqlGtid(MysqlGtidEvent::decode_tagged(body)?),
            EventKind::PreviousGtids => {
                GtidSet::decode(body.clone())?;
                Body::PreviousGtids(body)
            }
            EventKind::TransactionPayload if in_payload => {
                return Err(DecodeError::Invalid { field: "payload in a payload" });
            }
            EventKind::TransactionPayload => Body::Payload(self.payload(body)?),
            EventKind::MariadbGtid => {
                Body::MariadbGtid(MariadbGtidEvent::decode(body, header.server_id)?)
            }
            EventKind::MariadbGtidList => Body::MariadbGtidList(mariadb::decode_list(body)?),
            EventKind::BinlogCheckpoint | EventKind::GroupReplication | EventKind::Ignorable => {
                Body::Nothing
            }
            EventKind::Refused(event, advice) => {
                return Err(DecodeError::Unsupported { event, end: header.end, advice });
            }
        })
    }

    fn table(&mut self, body: Bytes) -> Result<Arc<TableMap>, DecodeError> {
        let table = Arc::new(TableMap::decode(body, self.family, self.table_id_length)?);
        if self.tables.len() >= TABLES_MAX {
            let field = "tables of a statement";
            return Err(DecodeError::TooLarge { field, limit: TABLES_MAX });
        }
        self.tables.insert(table.id, Arc::clone(&table));
        Ok(table)
    }

    fn rows(&mut self, body: Bytes, kind: RowsKind) -> Result<Body, DecodeError> {
        let raw = RawRows::decode(body, kind, self.table_id_length)?;
        let (table_id, ends) = (raw.table_id, raw.ends_statement());
        let body = match self.tables.get(&table_id) {
            Some(table) => Body::Rows(raw.of(Arc::clone(table), kind)?),
            None if raw.is_dummy() => Body::StatementEnd,
            None => return Err(DecodeError::UnknownTable { table_id }),
        };
        if ends {
            self.tables.clear();
        }
        Ok(body)
    }

    /// Fields of a type, a length and a value, up to a type of 0; then the compressed events, which have
    /// no checksums of their own.
    fn payload(&mut self, body: Bytes) -> Result<Vec<Event>, DecodeError> {
        let field = "transaction payload";
        let mut reader = Reader::new(body);
        let (mut method, mut size, mut original) = (None, None, None);
        loop {
            let kind = reader.lenenc(field)?;
            if kind == 0 {
                break;
            }
            let mut value = Reader::new(reader.lenenc_bytes(field)?);
            match kind {
                1 => size = Some(value.lenenc(field)?),
                2 => method = Some(value.lenenc(field)?),
                3 => original = Some(value.lenenc(field)?),
                _ => {}
            }
        }
        let packed = match size {
            Some(size) => reader.bytes_of(size, field)?,
            None => reader.rest(),
        };
        let events = match method {
            Some(0) => {
                let original = original.ok_or(DecodeError::Truncated { field })?;
                let original = usize::try_from(original)
                    .ok()
                    .filter(|length| *length <= EVENT_MAX)
                    .ok_or(DecodeError::TooLarge { field, limit: EVENT_MAX })?;
                compress::unzstd(&packed, original)?
            }
            Some(255) => packed,
            _ => return Err(DecodeError::Invalid { field: "payload's compression" }),
        };
        self.inner_events(events)
    }

    fn inner_events(&mut self, mut bytes: Bytes) -> Result<Vec<Event>, DecodeError> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let field = "event in a payload";
            let length = bytes.get(9..13).and_then(|length| length.try_into().ok());
            let length = length.map(u32::from_le_bytes).ok_or(DecodeError::Truncated { field })?;
            let length = usize::try_from(length)
                .ok()
                .filter(|length| (HEADER_LENGTH..=bytes.len()).contains(length))
                .ok_or(DecodeError::Truncated { field })?;
            let event = bytes.split_to(length);
            let header = EventHeader::decode(&event)?;
            let body = self.body(header, event.slice(HEADER_LENGTH..), true)?;
            events.push(Event { header, body });
        }
        Ok(events)
    }
}

/// Where the body of an event with a checksum ends. The first event of a file that is still written has
/// a flag that its checksum does not cover.
fn verified(event: &Bytes, header: EventHeader) -> Result<usize, DecodeError> {
    let end = event
        .len()
        .checked_sub(CHECKSUM_LENGTH)
        .filter(|end| *end >= HEADER_LENGTH)
        .ok_or(DecodeError::Truncated { field: "checksum" })?;
    let (bytes, checksum) = event.split_at(end);
    let expected = checksum.try_into().map(u32::from_le_bytes).ok();
    let found = if header.flags.0 & EventFlags::IN_USE == 0 {
        crc32fast::hash(bytes)
    } else {
        let mut hasher = crc32fast::Hasher::new();
        let flags = (header.flags.0 & !EventFlags::IN_USE).to_le_bytes();
        hasher.update(&bytes[..HEADER_LENGTH - 2]);
        hasher.update(&flags);
        hasher.update(&bytes[HEADER_LENGTH..]);
        hasher.finalize()
    };
    if expected == Some(found) {
        Ok(end)
    } else {
        Err(DecodeError::Checksum { kind: header.kind, end: header.end })
    }
}

#[cfg(test)]
mod tests;
