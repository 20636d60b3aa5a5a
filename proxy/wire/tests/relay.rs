//! The relay follows every shape of response: byte by byte as whole, to its exact end.

use bytes::BytesMut;
use proptest::prelude::*;
use shardline_wire::column::ColumnDefinition;
use shardline_wire::packet::{self, PAYLOAD_MAX};
use shardline_wire::relay::{End, EndKind, EndPacket, RelayError, Request, ResponseTracker};
use shardline_wire::response::encode_rows_end;
use shardline_wire::statement::PrepareOk;
use shardline_wire::{Capabilities, EofPacket, ErrPacket, OkPacket, Status, lenenc, row};

const NEW: Capabilities = Capabilities::SERVER;
const OLD: Capabilities = Capabilities::SERVER.without(Capabilities::DEPRECATE_EOF);

#[derive(Clone, Debug)]
enum Part {
    Ok(u64),
    Rows { columns: usize, rows: Vec<Vec<u8>>, fails: bool },
    Err,
}

struct Writer {
    out: BytesMut,
    sequence: u8,
    capabilities: Capabilities,
    last: usize,
}

impl Writer {
    fn new(capabilities: Capabilities) -> Self {
        Self { out: BytesMut::new(), sequence: 1, capabilities, last: 0 }
    }

    fn put(&mut self, write: impl FnOnce(&mut BytesMut)) {
        self.last = self.out.len();
        packet::encode_with(&mut self.out, &mut self.sequence, write);
    }

    fn definitions(&mut self, count: usize, status: Status) {
        for index in 0..count {
            self.put(|out| ColumnDefinition::text(format!("c{index}"), 80).encode(out));
        }
        if !self.capabilities.deprecate_eof() && count > 0 {
            self.put(|out| EofPacket { warnings: 0, status }.encode(out));
        }
    }

    fn part(&mut self, part: &Part, more: bool) {
        let capabilities = self.capabilities;
        let status = Status::AUTOCOMMIT | if more { Status::MORE_RESULTS } else { Status::NONE };
        let ok = OkPacket { status, warnings: 3, ..OkPacket::default() };
        match part {
            Part::Ok(affected_rows) => {
                let ok = OkPacket { affected_rows: *affected_rows, last_insert_id: 9, ..ok };
                self.put(|out| ok.encode(capabilities, out));
            }
            Part::Err => self.err(),
            Part::Rows { columns, rows, fails } => {
                self.put(|out| lenenc::put_integer(out, *columns as u64));
                self.definitions(*columns, status);
                for value in rows {
                    self.put(|out| {
                        for index in 0..*columns {
                            let null = value.first() == Some(&(index as u8));
                            row::put_text(out, (!null).then_some(value));
                        }
                    });
                }
                if *fails {
                    self.err();
                } else {
                    self.put(|out| encode_rows_end(&ok, capabilities, out));
                }
            }
        }
    }

    fn err(&mut self) {
        let error = ErrPacket::new(1317, b"70100", "Query execution was interrupted");
        self.put(|out| error.encode(NEW, out));
    }
}

/// Feeds `bytes` in steps and gives the forwarded length and the end.
fn follow(
    bytes: &[u8],
    request: Request,
    capabilities: Capabilities,
    end_packet: EndPacket,
    step: usize,
) -> Result<(usize, End), RelayError> {
    let mut tracker = ResponseTracker::new(request, capabilities, end_packet);
    let (mut start, mut end) = (0, 0);
    loop {
        end = (end + step).min(bytes.len());
        let progress = tracker.feed(&bytes[start..end])?;
        start += progress.forward;
        if progress.complete {
            assert!(tracker.is_complete());
            return Ok((start, *tracker.end()));
        }
        assert!(end < bytes.len(), "the end was missed");
    }
}

fn part() -> impl Strategy<Value = Part> {
    let value = prop::collection::vec(any::<u8>(), 0..400);
    prop_oneof![
        any::<u64>().prop_map(Part::Ok),
        Just(Part::Err),
        (1usize..6, prop::collection::vec(value, 0..8), any::<bool>())
            .prop_map(|(columns, rows, fails)| Part::Rows { columns, rows, fails }),
    ]
}

proptest! {
    #[test]
    fn query_responses_end_where_they_end(
        parts in prop::collection::vec(part(), 1..5),
        deprecate: bool,
        hold: bool,
        step in 1usize..300,
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut writer = Writer::new(if deprecate { NEW } else { OLD });
        let mut rows_expected = 0;
        let mut failed = false;
        for (index, part) in parts.iter().enumerate() {
            writer.part(part, index + 1 < parts.len());
            if let Part::Rows { rows, .. } = part {
                rows_expected += rows.len() as u64;
            }
            if matches!(part, Part::Err | Part::Rows { fails: true, .. }) {
                failed = true;
                break;
            }
        }
        let whole = writer.out.len();
        let mut bytes = writer.out.to_vec();
        bytes.extend(behind);
        let end_packet = if hold { EndPacket::Hold } else { EndPacket::Forward };
        let capabilities = writer.capabilities;
        let (length, end) = follow(&bytes, Request::Query, capabilities, end_packet, step).unwrap();
        prop_assert_eq!(length, if hold { writer.last } else { whole });
        prop_assert_eq!(end.rows, rows_expected);
        prop_assert_eq!(end.kind == EndKind::Err, failed);
        prop_assert_eq!(end.sequence, writer.sequence.wrapping_sub(1));
        if failed {
            prop_assert_eq!(end.error, Some((1317, *b"70100")));
        } else {
            prop_assert_eq!(end.warnings, 3);
            prop_assert_eq!(end.status, Status::AUTOCOMMIT);
        }
        let at_once = follow(&bytes, Request::Query, capabilities, end_packet, bytes.len());
        prop_assert_eq!(at_once, Ok((length, end)));
    }

    #[test]
    fn prepare_responses_end_where_they_end(
        parameters in 0u16..5, columns in 0u16..5, deprecate: bool, step in 1usize..60,
    ) {
        let mut writer = Writer::new(if deprecate { NEW } else { OLD });
        let prepared = PrepareOk { statement_id: 7, columns, parameters, warnings: 0 };
        writer.put(|out| prepared.encode(out));
        writer.definitions(usize::from(parameters), Status::AUTOCOMMIT);
        writer.definitions(usize::from(columns), Status::AUTOCOMMIT);
        let whole = writer.out.len();
        let mut bytes = writer.out.to_vec();
        bytes.extend([1, 0, 0, 1, 0]);
        let found = follow(&bytes, Request::Prepare, writer.capabilities, EndPacket::Hold, step);
        let (length, end) = found.unwrap();
        prop_assert_eq!((length, end.prepared), (whole, Some(prepared)));
    }
}

#[test]
fn a_row_led_by_fe_is_no_end() {
    for capabilities in [NEW, OLD] {
        for length in [PAYLOAD_MAX - 9, PAYLOAD_MAX - 8, PAYLOAD_MAX + 5, 2 * PAYLOAD_MAX - 9] {
            let mut writer = Writer::new(capabilities);
            // The value's length needs 8 bytes from 16 MiB on; a shorter one is written so on purpose,
            // and the second packet of the row begins like an EOF.
            let mut value = vec![0xfe; length];
            value[0] = 1;
            let rows = vec![value.clone(), b"x".to_vec()];
            writer.part(&Part::Rows { columns: 1, rows, fails: false }, false);
            let whole = writer.out.len();
            for step in [whole, 1 << 20, 77_777] {
                let (found, end) =
                    follow(&writer.out, Request::Query, capabilities, EndPacket::Forward, step)
                        .unwrap();
                assert_eq!((found, end.rows, end.kind), (whole, 2, EndKind::RowsEnd));
            }
        }
    }
}

#[test]
fn other_shapes() {
    for capabilities in [NEW, OLD] {
        let check = |bytes: &[u8], request| {
            let (length, end) =
                follow(bytes, request, capabilities, EndPacket::Forward, 1).unwrap();
            assert_eq!(length, bytes.len());
            end
        };
        let ok = OkPacket::with_status(Status::AUTOCOMMIT);
        let mut fields = Writer::new(capabilities);
        fields.put(|out| ColumnDefinition::integer("a", true).encode(out));
        fields.put(|out| ColumnDefinition::integer("b", true).encode(out));
        fields.put(|out| encode_rows_end(&ok, capabilities, out));
        assert_eq!(check(&fields.out, Request::FieldList).rows, 2);

        let mut text = Writer::new(capabilities);
        text.put(|out| out.extend_from_slice(b"Uptime: 5  Threads: 1"));
        check(&text.out, Request::Statistics);

        let mut set_option = Writer::new(capabilities);
        set_option.put(|out| encode_rows_end(&ok, capabilities, out));
        assert_eq!(check(&set_option.out, Request::Simple).status, Status::AUTOCOMMIT);

        let mut failed = Writer::new(capabilities);
        failed.err();
        for request in [
            Request::Query,
            Request::Prepare,
            Request::FieldList,
            Request::Fetch,
            Request::Statistics,
            Request::Simple,
        ] {
            assert_eq!(check(&failed.out, request).error, Some((1317, *b"70100")));
        }
        let mut infile = Writer::new(capabilities);
        infile.put(|out| out.extend_from_slice(b"\xfb/etc/passwd"));
        let found = follow(&infile.out, Request::Query, capabilities, EndPacket::Forward, 1);
        assert_eq!(found, Err(RelayError::LocalInfile));
    }
}

#[test]
fn an_open_cursor_ends_the_response() {
    let status = Status::AUTOCOMMIT | Status::CURSOR_EXISTS;
    let mut writer = Writer::new(OLD);
    writer.put(|out| lenenc::put_integer(out, 1));
    writer.definitions(1, status);
    let whole = writer.out.len();
    let found = follow(&writer.out, Request::Query, OLD, EndPacket::Forward, 1).unwrap();
    assert_eq!((found.0, found.1.status), (whole, status));
}
