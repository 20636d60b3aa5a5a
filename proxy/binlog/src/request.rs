//! What a reader sends to a server: settings of its session, and the commands that start the stream.
//!
//! A reader runs the [`settings`] as one-by-one statements, then sends [`register`] if it wants to be
//! listed, then one of the dump commands. From then on each packet is one [`StreamPacket`].

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::control::Family;
use crate::gtid::mysql::GtidSet;

/// How a reader wants the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DumpFlags {
    /// End the stream where the log ends, instead of waiting for more.
    pub non_blocking: bool,
    /// MariaDB: send the statements that rows come from.
    pub annotate_rows: bool,
}

impl DumpFlags {
    fn bits(self) -> u16 {
        u16::from(self.non_blocking) | u16::from(self.annotate_rows) << 1
    }
}

/// The statements that a reader's session must run before it asks for the stream. Checksums are always
/// asked for. Without the capability a MariaDB would rewrite its transaction ids to `BEGIN`, and
/// leave out what old readers do not know.
pub fn settings(family: Family, heartbeat: Duration) -> Vec<String> {
    let period = heartbeat.as_nanos();
    let both = |name: &str, value: &str| {
        [format!("SET @master_{name} = {value}"), format!("SET @source_{name} = {value}")]
    };
    match family {
        Family::Mariadb => vec![
            "SET @master_binlog_checksum = 'CRC32'".to_owned(),
            format!("SET @master_heartbeat_period = {period}"),
            "SET @mariadb_slave_capability = 4".to_owned(),
        ],
        Family::Mysql => {
            let mut all = Vec::with_capacity(4);
            all.extend(both("binlog_checksum", "'CRC32'"));
            all.extend(both("heartbeat_period", &period.to_string()));
            all
        }
    }
}

/// The statements that make a MariaDB start after these transactions (`0-1-5,1-1-7`) instead of at a
/// position; the dump command then has an empty file name. `None` if the text is no such list.
pub fn start_after(gtids: &str) -> Option<Vec<String>> {
    let all: Result<Vec<_>, _> = gtids
        .split(',')
        .filter(|gtid| !gtid.trim().is_empty())
        .map(str::parse::<crate::gtid::MariadbGtid>)
        .collect();
    let list: Vec<String> = all.ok()?.iter().map(ToString::to_string).collect();
    Some(vec![
        format!("SET @slave_connect_state = '{}'", list.join(",")),
        "SET @slave_gtid_strict_mode = 0".to_owned(),
        "SET @slave_gtid_ignore_duplicates = 0".to_owned(),
    ])
}

/// COM_REGISTER_SLAVE: lists the reader in `SHOW REPLICAS`. The server id must be no other reader's and
/// no server's: a second stream with the same id ends the first.
pub fn register(server_id: u32, port: u16) -> Bytes {
    let mut out = BytesMut::with_capacity(18);
    out.put_u8(0x15);
    out.put_u32_le(server_id);
    // Host, user and password: empty.
    out.put_slice(&[0, 0, 0]);
    out.put_u16_le(port);
    out.put_u32_le(0);
    out.put_u32_le(0);
    out.freeze()
}

/// COM_BINLOG_DUMP: from a position in a file, which is 4 at its start. MySQL and MariaDB both take
/// positions of 32 bits here.
pub fn dump(server_id: u32, flags: DumpFlags, file: &str, position: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(11 + file.len());
    out.put_u8(0x12);
    out.put_u32_le(position);
    out.put_u16_le(flags.bits());
    out.put_u32_le(server_id);
    out.put_slice(file.as_bytes());
    out.freeze()
}

/// MySQL's COM_BINLOG_DUMP_GTID: everything but the transactions of a set.
pub fn dump_gtid(server_id: u32, flags: DumpFlags, except: &GtidSet) -> Bytes {
    let mut set = BytesMut::new();
    except.encode(&mut set);
    let mut out = BytesMut::with_capacity(27 + set.len());
    out.put_u8(0x1e);
    out.put_u16_le(flags.bits() | 4);
    out.put_u32_le(server_id);
    // No file name; the position of a file's first event.
    out.put_u32_le(0);
    out.put_u64_le(4);
    out.put_u32_le(set.len() as u32);
    out.put_slice(&set);
    out.freeze()
}

/// One packet of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamPacket {
    /// An event, for the decoder.
    Event(Bytes),
    /// The log's end, of a stream that does not wait.
    End,
    /// The server's error as an ERR packet, which the client protocol's codec reads.
    Error(Bytes),
    /// None of these.
    Unknown,
}

impl StreamPacket {
    /// Tells by the first byte.
    pub fn from_payload(payload: Bytes) -> Self {
        match payload.first() {
            Some(0) => Self::Event(payload.slice(1..)),
            Some(0xfe) if payload.len() < 9 => Self::End,
            Some(0xff) => Self::Error(payload),
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_as_sent() {
        let flags = DumpFlags { non_blocking: true, annotate_rows: true };
        let dump = dump(7, flags, "log.1", 4);
        assert_eq!(dump.as_ref(), b"\x12\x04\0\0\0\x03\0\x07\0\0\0log.1");
        let gtid = dump_gtid(7, DumpFlags::default(), &GtidSet::default());
        assert_eq!(gtid.len(), 1 + 2 + 4 + 4 + 8 + 4 + 8);
        assert_eq!(register(7, 0).len(), 18);
    }

    #[test]
    fn what_is_no_list_of_ids_never_gets_into_a_statement() {
        let settings = start_after("0-1-5, 1-1-7").expect("a list");
        assert_eq!(settings[0], "SET @slave_connect_state = '0-1-5,1-1-7'");
        assert_eq!(start_after("0-1-5'; DROP TABLE t"), None);
    }

    #[test]
    fn packets_by_their_first_byte() {
        let packet = |bytes: &'static [u8]| StreamPacket::from_payload(Bytes::from_static(bytes));
        assert_eq!(packet(b"\0abc"), StreamPacket::Event(Bytes::from_static(b"abc")));
        assert_eq!(packet(b"\xfe\0\0\x02\0"), StreamPacket::End);
        assert!(matches!(packet(b"\xff\xd4\x04"), StreamPacket::Error(_)));
        assert_eq!(packet(b""), StreamPacket::Unknown);
    }
}
