//! Why bytes are not events that can be used. A reader of a binlog stops at any of these: going on
//! would lose changes in silence.

use thiserror::Error;

/// Why an event, a row or a value cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("{field}: the event ends too early")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
    },
    /// A field holds what the format does not know.
    #[error("{field}: the value is not valid here")]
    Invalid {
        /// The field that was being read.
        field: &'static str,
    },
    /// A field is larger than a limit of this crate.
    #[error("{field}: more than {limit}")]
    TooLarge {
        /// The field that was being read.
        field: &'static str,
        /// The limit, in bytes or in items.
        limit: usize,
    },
    /// The event's checksum is not that of its bytes.
    #[error("event of type {kind} at end position {end}: its checksum does not fit its bytes")]
    Checksum {
        /// The event's type.
        kind: u8,
        /// The position after the event, as its header says.
        end: u32,
    },
    /// The event's type is not known and its header does not say that it may be ignored.
    #[error("event of unknown type {kind} at end position {end}")]
    UnknownEvent {
        /// The event's type.
        kind: u8,
        /// The position after the event, as its header says.
        end: u32,
    },
    /// The event is known and cannot be used.
    #[error("{event} event at end position {end}: {advice}")]
    Unsupported {
        /// The event's name.
        event: &'static str,
        /// The position after the event, as its header says.
        end: u32,
        /// Why, and what to do about it.
        advice: &'static str,
    },
    /// The server says that its log may lack changes.
    #[error("the server recorded an incident ({number}) in its binlog: {message}")]
    Incident {
        /// The server's number for it; 1 is lost events.
        number: u16,
        /// The server's text.
        message: String,
    },
    /// A rows event names a table that no event before it described.
    #[error("rows of table id {table_id}, which no event described")]
    UnknownTable {
        /// The server's id of the table.
        table_id: u64,
    },
    /// A column has a type that this crate does not decode.
    #[error("column {column} of {table} has type {kind}, which cannot be decoded")]
    UnsupportedColumn {
        /// `database.table`.
        table: String,
        /// Its place, from 0.
        column: usize,
        /// The type's number.
        kind: u8,
    },
}
