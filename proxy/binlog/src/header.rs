//! The header that every event begins with, and the types of events that are known.
//!
//! Sources: "Binlog Event Header" in MySQL's internals documentation, "2-Binlog Event Header" and
//! the event pages of MariaDB's knowledge base.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::reader::Reader;

/// Bytes of a header; the same in every version that is read.
pub const HEADER_LENGTH: usize = 19;

/// Flags of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventFlags(pub u16);

impl EventFlags {
    /// The file was not closed; set in the first event of the file that is written now.
    pub const IN_USE: u16 = 0x01;
    /// The event is in no file: the server made it for this reader.
    pub const ARTIFICIAL: u16 = 0x20;
    /// A reader that does not know the type may go on.
    pub const IGNORABLE: u16 = 0x80;

    /// Whether the event is in no file.
    pub fn is_artificial(self) -> bool {
        self.0 & Self::ARTIFICIAL != 0
    }

    /// Whether a reader that does not know the type may go on.
    pub fn is_ignorable(self) -> bool {
        self.0 & Self::IGNORABLE != 0
    }
}

/// What precedes every event's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHeader {
    /// Seconds since 1970, UTC.
    pub timestamp: u32,
    /// The type's number.
    pub kind: u8,
    /// The server that first executed the change.
    pub server_id: u32,
    /// Bytes of the event with header and checksum.
    pub length: u32,
    /// The position after the event in its file; 0 in events that are in no file.
    pub end: u32,
    /// Flags.
    pub flags: EventFlags,
}

impl EventHeader {
    /// Reads the header of an event that is there whole, checksum included.
    pub fn decode(event: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(event.clone());
        let header = Self {
            timestamp: reader.u32("timestamp")?,
            kind: reader.u8("event type")?,
            server_id: reader.u32("server id")?,
            length: reader.u32("event length")?,
            end: reader.u32("end position")?,
            flags: EventFlags(reader.u16("event flags")?),
        };
        if usize::try_from(header.length) != Ok(event.len()) {
            return Err(DecodeError::Invalid { field: "event length" });
        }
        Ok(header)
    }
}

/// What a type's number means to this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the servers' own")]
pub enum EventKind {
    Query,
    Stop,
    Rotate,
    FormatDescription,
    Xid,
    TableMap,
    Rows(RowsKind),
    Incident,
    Heartbeat,
    HeartbeatV2,
    RowsQuery,
    MysqlGtid,
    AnonymousGtid,
    TaggedGtid,
    PreviousGtids,
    TransactionPayload,
    AnnotateRows,
    BinlogCheckpoint,
    MariadbGtid,
    MariadbGtidList,
    CompressedQuery,
    /// Known, without data, of no use here: made by group replication.
    GroupReplication,
    /// Marked by its type as ignorable.
    Ignorable,
    /// Known and refused: its name, and what to do.
    Refused(&'static str, &'static str),
}

/// Which rows event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsKind {
    /// What happened to the rows.
    pub change: crate::rows::ChangeKind,
    /// Version 2 has a field for more data in its header.
    pub extra: bool,
    /// Whether the rows are compressed (MariaDB's `log_bin_compress`).
    pub compressed: bool,
}

const STATEMENT: &str = "it is logged as a statement: set binlog_format=ROW for all sessions";
const XA: &str = "XA transactions are not followed: commit by other means";
const PARTIAL: &str = "set binlog_row_value_options='' (no PARTIAL_JSON) for all sessions";
const ENCRYPTED: &str =
    "the file is encrypted: read it through the server, or turn encrypt_binlog off";
const OLD: &str = "it is of a server older than this reader knows";

impl EventKind {
    /// The meaning of a type's number; `None` when it is not known.
    pub fn from_byte(byte: u8) -> Option<Self> {
        use crate::rows::ChangeKind::{Delete, Insert, Update};
        let rows = |change, extra, compressed| Self::Rows(RowsKind { change, extra, compressed });
        Some(match byte {
            1 => Self::Refused("START_EVENT_V3", OLD),
            2 => Self::Query,
            3 => Self::Stop,
            4 => Self::Rotate,
            5 => Self::Refused("INTVAR", STATEMENT),
            6..=12 => Self::Refused("LOAD", STATEMENT),
            13 => Self::Refused("RAND", STATEMENT),
            14 => Self::Refused("USER_VAR", STATEMENT),
            15 => Self::FormatDescription,
            16 => Self::Xid,
            17 => Self::Refused("BEGIN_LOAD_QUERY", STATEMENT),
            18 => Self::Refused("EXECUTE_LOAD_QUERY", STATEMENT),
            19 => Self::TableMap,
            20..=22 => Self::Refused("PRE_GA_ROWS", OLD),
            23 => rows(Insert, false, false),
            24 => rows(Update, false, false),
            25 => rows(Delete, false, false),
            26 => Self::Incident,
            27 => Self::Heartbeat,
            28 => Self::Ignorable,
            29 => Self::RowsQuery,
            30 => rows(Insert, true, false),
            31 => rows(Update, true, false),
            32 => rows(Delete, true, false),
            33 => Self::MysqlGtid,
            34 => Self::AnonymousGtid,
            35 => Self::PreviousGtids,
            36 | 37 => Self::GroupReplication,
            38 => Self::Refused("XA_PREPARE", XA),
            39 => Self::Refused("PARTIAL_UPDATE_ROWS", PARTIAL),
            40 => Self::TransactionPayload,
            41 => Self::HeartbeatV2,
            42 => Self::TaggedGtid,
            160 => Self::AnnotateRows,
            161 => Self::BinlogCheckpoint,
            162 => Self::MariadbGtid,
            163 => Self::MariadbGtidList,
            164 => Self::Refused("START_ENCRYPTION", ENCRYPTED),
            165 => Self::CompressedQuery,
            166 => rows(Insert, false, true),
            167 => rows(Update, false, true),
            168 => rows(Delete, false, true),
            169 => rows(Insert, true, true),
            170 => rows(Update, true, true),
            171 => rows(Delete, true, true),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_must_tell_the_events_length() {
        let mut bytes = vec![0u8; HEADER_LENGTH];
        bytes[4] = 16;
        bytes[9] = HEADER_LENGTH as u8;
        let header = EventHeader::decode(&Bytes::from(bytes.clone())).expect("a header");
        assert_eq!((header.kind, header.length), (16, 19));
        bytes.push(0);
        assert!(EventHeader::decode(&Bytes::from(bytes)).is_err());
        assert!(EventHeader::decode(&Bytes::from_static(&[0; 18])).is_err());
    }

    #[test]
    fn types_that_no_server_writes_are_unknown() {
        for byte in [0u8, 43, 100, 159, 172, 255] {
            assert_eq!(EventKind::from_byte(byte), None, "{byte}");
        }
    }
}
