//! Entry points for fuzzing: each takes any bytes and must not panic, nor take more memory than the
//! bytes justify. `corpus/<entry>/` holds inputs that a test runs each time.

use bytes::{Bytes, BytesMut};

use crate::control::{Checksum, Family};
use crate::decoder::{Body, Decoder, Event};
use crate::gtid::mysql::GtidSet;
use crate::json::Json;
use crate::literal;
use crate::table_map::TableMap;
use crate::transaction::{Collector, Limits, Progress};

/// An entry point.
pub type Entry = fn(&[u8]);

/// All entry points by the names of their corpus folders.
pub const ENTRIES: [(&str, Entry); 4] =
    [("stream", stream), ("json", json), ("gtid_set", gtid_set), ("table_map", table_map)];

/// Events one after the other as in a file, without checksums until an event says otherwise: decoded,
/// their rows too, and gathered to transactions.
pub fn stream(bytes: &[u8]) {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut decoder = Decoder::new(Checksum::None);
    let mut collector = Collector::new(Limits { rows_max: 1_000, bytes_max: 1 << 20 });
    while let Some(length) = rest.get(9..13).and_then(|length| length.try_into().ok()) {
        let length = u32::from_le_bytes(length) as usize;
        let event = rest.split_to(length.clamp(13, rest.len()));
        let Ok(event) = decoder.decode(event) else { continue };
        decode_rows(&event);
        match collector.push(event, &|_| true) {
            Ok(Progress::Transaction(transaction)) => assert!(transaction.changes.len() <= 1_000),
            Ok(Progress::None | Progress::File(_)) => {}
            Err(_) => collector = Collector::new(Limits::default()),
        }
    }
}

fn decode_rows(event: &Event) {
    match &event.body {
        Body::Rows(rows) => {
            let count = rows.clone().take_while(Result::is_ok).count();
            assert!(count <= event.header.length as usize * 1_100);
        }
        Body::Payload(events) => events.iter().for_each(decode_rows),
        _ => {}
    }
}

/// A binary JSON: what is decoded prints and has an expression or none.
pub fn json(bytes: &[u8]) {
    if let Ok(json) = Json::decode(&Bytes::copy_from_slice(bytes)) {
        let text = json.to_string();
        // A control character is six bytes of text.
        assert!(text.len() <= 400 + bytes.len() * 400, "{} from {}", text.len(), bytes.len());
        let _ = literal::json(&json);
    }
}

/// A set of transaction ids: decoded, it encodes to a set that is equal.
pub fn gtid_set(bytes: &[u8]) {
    if let Ok(set) = GtidSet::decode(Bytes::copy_from_slice(bytes)) {
        let mut out = BytesMut::new();
        set.encode(&mut out);
        assert_eq!(GtidSet::decode(out.freeze()), Ok(set));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(set) = text.parse::<GtidSet>()
    {
        assert_eq!(set.to_string().parse(), Ok(set));
    }
}

/// A table map's body.
pub fn table_map(bytes: &[u8]) {
    for (family, id_length) in [(Family::Mariadb, 6), (Family::Mysql, 6), (Family::Mysql, 4)] {
        let _ = TableMap::decode(Bytes::copy_from_slice(bytes), family, id_length);
    }
}
