//! Events that are not rows: where the log goes on, statements, the ends of transactions.

use bytes::Bytes;

use crate::compress;
use crate::error::DecodeError;
use crate::reader::{Reader, text};

/// The two families of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// MariaDB.
    Mariadb,
    /// MySQL.
    Mysql,
}

/// How events end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Without checksum.
    None,
    /// With the CRC-32 of all bytes before it.
    Crc32,
}

/// The first event of every file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatDescription {
    /// The server's version, such as `10.11.6-MariaDB-log`.
    pub server_version: Box<str>,
    /// How the file's events end.
    pub checksum: Checksum,
    /// Bytes of a table's id in table maps and rows events.
    pub(crate) table_id_length: usize,
}

impl FormatDescription {
    /// Reads a body with the checksum at its end, which this event always has room for.
    pub(crate) fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let field = "format description";
        let mut reader = Reader::new(body);
        if reader.u16(field)? != 4 {
            return Err(DecodeError::Invalid { field: "binlog version" });
        }
        let version = reader.bytes(50, field)?;
        let end = version.iter().position(|byte| *byte == 0).unwrap_or(version.len());
        let server_version = text(&version[..end], "server version")?;
        reader.skip(4, field)?;
        if usize::from(reader.u8(field)?) != crate::header::HEADER_LENGTH {
            return Err(DecodeError::Invalid { field: "header length" });
        }
        let count = reader.remaining().checked_sub(5).ok_or(DecodeError::Truncated { field })?;
        let lengths = reader.bytes(count, field)?;
        // Types are counted from 1; a table map's header is its id and two bytes of flags.
        let table_id_length = match lengths.get(18) {
            Some(8) => 6,
            Some(6) => 4,
            _ => return Err(DecodeError::Invalid { field: "table map's header" }),
        };
        let checksum = match reader.u8(field)? {
            0 => Checksum::None,
            1 => Checksum::Crc32,
            _ => return Err(DecodeError::Invalid { field: "checksum algorithm" }),
        };
        Ok(Self { server_version, checksum, table_id_length })
    }

    /// Which family's server wrote the file.
    pub fn family(&self) -> Family {
        if self.server_version.contains("MariaDB") { Family::Mariadb } else { Family::Mysql }
    }
}

/// Where the log goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// Position in the next file.
    pub position: u64,
    /// The next file's name.
    pub file: Box<str>,
}

impl Rotate {
    pub(crate) fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let position = reader.u64("next position")?;
        Ok(Self { position, file: text(&reader.rest(), "next file")? })
    }
}

/// Sent while there is nothing new: the server is there, and this is how far the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The file.
    pub file: Box<str>,
    /// The position in it.
    pub position: u64,
}

impl Heartbeat {
    pub(crate) fn decode(body: Bytes, end: u32) -> Result<Self, DecodeError> {
        Ok(Self { file: text(&body, "heartbeat's file")?, position: u64::from(end) })
    }

    /// The form for positions of more than 32 bits: fields of a type, a length and a value.
    pub(crate) fn decode_v2(body: Bytes) -> Result<Self, DecodeError> {
        let field = "heartbeat";
        let mut reader = Reader::new(body);
        let mut found = Self { file: "".into(), position: 0 };
        while !reader.is_empty() {
            let kind = reader.lenenc(field)?;
            if kind == 0 {
                break;
            }
            let mut value = Reader::new(reader.lenenc_bytes(field)?);
            match kind {
                1 => found.file = text(&value.rest(), field)?,
                2 => found.position = value.lenenc(field)?,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// A statement: `BEGIN`, `COMMIT`, DDL, and changes that are not logged as rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The session's number.
    pub thread_id: u32,
    /// The error that the statement ended with; 0 for none.
    pub error: u16,
    /// The default database; empty for none.
    pub database: Box<str>,
    /// The statement in the session's character set.
    pub sql: Bytes,
}

impl Query {
    pub(crate) fn decode(body: Bytes, compressed: bool) -> Result<Self, DecodeError> {
        let field = "query";
        let mut reader = Reader::new(body);
        let thread_id = reader.u32(field)?;
        reader.skip(4, field)?;
        let database_length = usize::from(reader.u8(field)?);
        let error = reader.u16(field)?;
        let variables = usize::from(reader.u16(field)?);
        reader.skip(variables, "query's variables")?;
        let database = reader.bytes(database_length, "default database")?;
        reader.skip(1, "default database")?;
        let sql = if compressed { compress::event_rest(&mut reader)? } else { reader.rest() };
        Ok(Self { thread_id, error, database: text(&database, "default database")?, sql })
    }

    /// Whether the statement is this one, in any case and with spaces around it.
    pub fn is(&self, statement: &str) -> bool {
        self.sql.trim_ascii().eq_ignore_ascii_case(statement.as_bytes())
    }

    /// Whether the statement begins with these words.
    pub fn starts_with(&self, words: &str) -> bool {
        let head = self.sql.trim_ascii().get(..words.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(words.as_bytes()))
    }
}

/// An incident as an error.
pub(crate) fn incident(body: Bytes) -> Result<DecodeError, DecodeError> {
    let mut reader = Reader::new(body);
    let number = reader.u16("incident")?;
    let length = usize::from(reader.u8("incident")?);
    let message = reader.bytes(length, "incident")?;
    Ok(DecodeError::Incident { number, message: String::from_utf8_lossy(&message).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_with_variables_and_database() {
        let mut body = vec![9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 1, 2, 3];
        body.extend(b"d\0begin ");
        let query = Query::decode(Bytes::from(body), false).expect("a query");
        assert_eq!((query.thread_id, &*query.database), (9, "d"));
        assert!(query.is("BEGIN") && query.starts_with("be") && !query.is("COMMIT"));
    }

    #[test]
    fn heartbeats_of_both_forms() {
        let old = Heartbeat::decode(Bytes::from_static(b"log.1"), 7);
        assert_eq!(old, Ok(Heartbeat { file: "log.1".into(), position: 7 }));
        let new = Heartbeat::decode_v2(Bytes::from_static(b"\x01\x05log.1\x02\x01\x09\0"));
        assert_eq!(new, Ok(Heartbeat { file: "log.1".into(), position: 9 }));
    }
}
