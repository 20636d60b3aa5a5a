//! MariaDB's transaction ids. The event that carries one also begins its transaction.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::reader::Reader;

/// `domain-server-sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MariadbGtid {
    /// Replication domain.
    pub domain: u32,
    /// The server that first executed the transaction.
    pub server: u32,
    /// Number within the domain.
    pub sequence: u64,
}

impl fmt::Display for MariadbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

/// The text is not `domain-server-sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a MariaDB transaction id, which is domain-server-sequence")]
pub struct NotAGtid;

impl FromStr for MariadbGtid {
    type Err = NotAGtid;

    fn from_str(text: &str) -> Result<Self, NotAGtid> {
        let mut parts = text.trim().split('-');
        let (Some(domain), Some(server), Some(sequence), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAGtid);
        };
        let found = || {
            Some(Self {
                domain: domain.parse().ok()?,
                server: server.parse().ok()?,
                sequence: sequence.parse().ok()?,
            })
        };
        found().ok_or(NotAGtid)
    }
}

/// The start of a transaction, or the mark before one statement that is its own transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MariadbGtidEvent {
    /// Its id.
    pub gtid: MariadbGtid,
    /// One event follows and there is no commit: DDL, mostly.
    pub standalone: bool,
    /// Whether all of it can be rolled back: no table of an engine without transactions.
    pub transactional: bool,
    /// Whether it is DDL.
    pub ddl: bool,
    /// What XA does here.
    pub xa: Option<XaStep>,
}

/// The part of an XA transaction that an event stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XaStep {
    /// The changes follow, ended by XA PREPARE.
    Prepare,
    /// XA COMMIT or XA ROLLBACK of what was prepared before.
    Complete,
}

impl MariadbGtidEvent {
    pub(crate) fn decode(body: Bytes, server: u32) -> Result<Self, DecodeError> {
        let field = "transaction id";
        let mut reader = Reader::new(body);
        let sequence = reader.u64(field)?;
        let domain = reader.u32(field)?;
        let flags = reader.u8(field)?;
        Ok(Self {
            gtid: MariadbGtid { domain, server, sequence },
            standalone: flags & 1 != 0,
            transactional: flags & 4 != 0,
            ddl: flags & 32 != 0,
            xa: match flags & 0xc0 {
                0 => None,
                0x40 => Some(XaStep::Prepare),
                _ => Some(XaStep::Complete),
            },
        })
    }
}

/// The last id of each domain before a file begins.
pub(crate) fn decode_list(body: Bytes) -> Result<Vec<MariadbGtid>, DecodeError> {
    let field = "list of transaction ids";
    let mut reader = Reader::new(body);
    let count = reader.u32(field)? & 0x0fff_ffff;
    if reader.remaining() / 16 < count as usize {
        return Err(DecodeError::Truncated { field });
    }
    let one = |_| {
        let domain = reader.u32(field)?;
        let server = reader.u32(field)?;
        Ok(MariadbGtid { domain, server, sequence: reader.u64(field)? })
    };
    (0..count).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_events() {
        let gtid = MariadbGtid { domain: 0, server: 3, sequence: 99 };
        assert_eq!("0-3-99".parse(), Ok(gtid));
        assert_eq!(gtid.to_string(), "0-3-99");
        for wrong in ["", "0-3", "0-3-9-1", "a-1-2", "4294967296-1-1"] {
            assert!(wrong.parse::<MariadbGtid>().is_err(), "{wrong}");
        }
        let body = [99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0];
        let event = MariadbGtidEvent::decode(Bytes::copy_from_slice(&body), 3).expect("an event");
        assert_eq!((event.gtid, event.standalone, event.transactional), (gtid, false, true));
    }

    #[test]
    fn lists_say_how_long_they_are() {
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0];
        let list = decode_list(Bytes::from(body.clone())).expect("a list");
        assert_eq!(list, [MariadbGtid { domain: 0, server: 3, sequence: 99 }]);
        body[0] = 2;
        assert!(decode_list(Bytes::from(body)).is_err());
    }
}
