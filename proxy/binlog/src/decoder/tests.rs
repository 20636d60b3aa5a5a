//! Streams made by hand.

use super::*;

pub(crate) fn event(kind: u8, flags: u16, body: &[u8], checksum: bool) -> Bytes {
    let length = HEADER_LENGTH + body.len() + if checksum { 4 } else { 0 };
    let mut bytes = vec![0, 0, 0, 0, kind, 1, 0, 0, 0];
    bytes.extend((length as u32).to_le_bytes());
    bytes.extend([9, 0, 0, 0]);
    bytes.extend(flags.to_le_bytes());
    bytes.extend(body);
    if checksum {
        let sum = crc32fast::hash(&bytes);
        bytes.extend(sum.to_le_bytes());
    }
    Bytes::from(bytes)
}

pub(crate) fn format_body(checksum: u8) -> Vec<u8> {
    let mut body = vec![4, 0];
    body.extend(b"10.11.6-MariaDB-log");
    body.resize(52, 0);
    body.extend([0, 0, 0, 0, 19]);
    body.extend([8u8; 40]);
    body.push(checksum);
    body
}

fn decoder() -> Decoder {
    Decoder::new(Checksum::Crc32)
}

#[test]
fn the_files_first_event_decides_on_checksums() {
    let mut decoder = decoder();
    let rotate = event(4, 0x20, b"\x04\0\0\0\0\0\0\0log.7", true);
    let Body::Rotate(rotate) = decoder.decode(rotate).expect("a rotate").body else { panic!() };
    assert_eq!((rotate.position, &*rotate.file), (4, "log.7"));
    let format = decoder.decode(event(15, 0, &format_body(1), true)).expect("a format");
    assert!(matches!(format.body, Body::Format(format) if format.family() == Family::Mariadb));
    assert!(decoder.decode(event(16, 0, &[5; 8], true)).is_ok());
    let mut broken = event(16, 0, &[5; 8], true).to_vec();
    broken[20] ^= 1;
    let error = decoder.decode(Bytes::from(broken)).expect_err("a flipped bit");
    assert_eq!(error, DecodeError::Checksum { kind: 16, end: 9 });
    // The next file has none; its first event has room for one.
    let mut body = format_body(0);
    body.extend([0; 4]);
    assert!(decoder.decode(event(15, 0, &body, false)).is_ok());
    let Ok(Event { body: Body::Xid(5), .. }) =
        decoder.decode(event(16, 0, &[5, 0, 0, 0, 0, 0, 0, 0], false))
    else {
        panic!("without checksum")
    };
}

#[test]
fn the_flag_of_an_open_file_is_not_in_its_checksum() {
    let mut bytes = event(15, 0, &format_body(1), true).to_vec();
    bytes[17] |= EventFlags::IN_USE as u8;
    assert!(decoder().decode(Bytes::from(bytes)).is_ok());
}

#[test]
fn unknown_events_are_errors_unless_they_may_be_ignored() {
    let mut decoder = decoder();
    let error = decoder.decode(event(200, 0, &[], true)).expect_err("unknown");
    assert_eq!(error, DecodeError::UnknownEvent { kind: 200, end: 9 });
    let ignored = decoder.decode(event(200, EventFlags::IGNORABLE, &[], true));
    assert!(matches!(ignored, Ok(Event { body: Body::Nothing, .. })));
    for (kind, word) in [(39, "PARTIAL_JSON"), (38, "XA"), (164, "encrypt"), (13, "ROW")] {
        let error = decoder.decode(event(kind, EventFlags::IGNORABLE, &[], true));
        let text = error.expect_err("refused").to_string();
        assert!(text.contains(word), "{text}");
    }
    let error = decoder.decode(event(26, 0, b"\x01\0\x04lost", true)).expect_err("an incident");
    assert_eq!(error, DecodeError::Incident { number: 1, message: "lost".into() });
}

#[test]
fn rows_need_their_table_until_the_statement_ends() {
    let mut decoder = decoder();
    let table = b"\x07\0\0\0\0\0\x01\0\x01d\0\x01t\0\x01\x01\0\0";
    let rows = |flags: u8| {
        event(30, 0, &[&[7, 0, 0, 0, 0, 0, flags, 0, 2, 0][..], &[1, 1, 0, 5]].concat(), true)
    };
    let error = decoder.decode(rows(0)).expect_err("no table");
    assert_eq!(error, DecodeError::UnknownTable { table_id: 7 });
    decoder.decode(event(19, 0, table, true)).expect("a table");
    assert!(matches!(decoder.decode(rows(0)), Ok(Event { body: Body::Rows(_), .. })));
    assert!(matches!(decoder.decode(rows(1)), Ok(Event { body: Body::Rows(_), .. })));
    assert!(decoder.decode(rows(1)).is_err());
    let dummy = [0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 2, 0];
    let end = decoder.decode(event(30, 0, &dummy, true));
    assert!(matches!(end, Ok(Event { body: Body::StatementEnd, .. })));
}

#[test]
fn payloads_hold_a_transactions_events() {
    let inner = [event(16, 0, &[5, 0, 0, 0, 0, 0, 0, 0], false), event(16, 0, &[6; 8], false)];
    let inner = inner.concat();
    let packed = zstd::encode_all(&inner[..], 3).expect("memory");
    let payload = |original: u8, method: u8, packed: &[u8]| {
        let size = packed.len() as u8;
        let head = [2, 3, 0xfc, method, 0, 3, 1, original, 1, 1, size, 0];
        event(40, 0, &[&head[..], packed].concat(), true)
    };
    let body = |event| decoder().decode(event).map(|event| event.body);
    for event in [payload(inner.len() as u8, 0, &packed), payload(0, 255, &inner)] {
        let body = body(event);
        assert!(matches!(&body, Ok(Body::Payload(events)) if events.len() == 2), "{body:?}");
    }
    assert!(body(payload(inner.len() as u8 - 1, 0, &packed)).is_err());
    assert!(body(payload(0, 255, &inner[..inner.len() - 1])).is_err());
    assert!(body(payload(0, 7, &inner)).is_err());
    let nested = payload(0, 255, &inner);
    assert!(body(payload(0, 255, &nested)).is_err());
}
