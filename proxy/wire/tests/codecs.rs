//! What one side encodes, the other decodes: responses, rows, statements, commands.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use shardline_wire::response::{MESSAGE_MAX, decode_rows_end, encode_rows_end, ends_rows};
use shardline_wire::row::{self, BinaryColumn, BinaryRow, TextRow};
use shardline_wire::session_track::SessionChange;
use shardline_wire::statement::{Execute, LongData, Parameter, ParameterType, encode_execute};
use shardline_wire::temporal::{DateTime, Time};
use shardline_wire::value::{ColumnType, Value};
use shardline_wire::{Capabilities, ErrPacket, OkPacket, Status};

#[derive(Clone, Debug)]
enum Owned {
    Null,
    Int(i64),
    UInt(u64),
    Double(f64),
    Bytes(Vec<u8>),
    Date(u16),
    Time(bool, u32),
}

impl Owned {
    fn typed(&self) -> (ColumnType, bool, Value<'_>) {
        match self {
            Self::Null => (ColumnType::VarString, false, Value::Null),
            Self::Int(number) => (ColumnType::LongLong, false, Value::Int(*number)),
            Self::UInt(number) => (ColumnType::LongLong, true, Value::UInt(*number)),
            Self::Double(number) => (ColumnType::Double, false, Value::Double(*number)),
            Self::Bytes(bytes) => (ColumnType::Blob, false, Value::Bytes(bytes)),
            Self::Date(year) => {
                let date = DateTime { year: *year, month: 2, day: 3, ..DateTime::default() };
                (ColumnType::DateTime, false, Value::DateTime(date))
            }
            Self::Time(negative, micros) => {
                let time =
                    Time { negative: *negative, days: 3, micros: *micros, ..Time::default() };
                (ColumnType::Time, false, Value::Time(time))
            }
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    prop_oneof![
        Just(Owned::Null),
        any::<i64>().prop_map(Owned::Int),
        any::<u64>().prop_map(Owned::UInt),
        (-1e9..1e9).prop_map(Owned::Double),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Owned::Bytes),
        (0u16..9999).prop_map(Owned::Date),
        (any::<bool>(), 0u32..1_000_000)
            .prop_map(|(negative, micros)| Owned::Time(negative, micros)),
    ]
}

proptest! {
    #[test]
    fn statements_and_binary_rows(given in prop::collection::vec(owned(), 0..20)) {
        let typed: Vec<_> = given.iter().map(Owned::typed).collect();
        let types: Vec<_> =
            typed.iter().map(|(kind, unsigned, _)| ParameterType { kind: *kind, unsigned: *unsigned }).collect();
        let values: Vec<_> = typed.iter().map(|(_, _, value)| Parameter::Value(*value)).collect();
        let mut out = BytesMut::new();
        encode_execute(9, 0, &types, &values, &mut out).unwrap();
        let long = LongData::new();
        let execute = Execute::decode(&out, types.len(), None, &long).unwrap();
        prop_assert_eq!(execute.statement_id, 9);
        prop_assert_eq!(execute.values.as_slice(), values.as_slice());
        drop(execute);
        for cut in 0..out.len() {
            let _ = Execute::decode(&out[..cut], types.len(), None, &long);
        }

        let columns: Vec<_> =
            types.iter().map(|p| BinaryColumn { kind: p.kind, unsigned: p.unsigned }).collect();
        let plain: Vec<_> = typed.iter().map(|(_, _, value)| *value).collect();
        out.clear();
        row::put_binary(&mut out, &columns, &plain).unwrap();
        let found: Result<Vec<_>, _> = BinaryRow::new(&out, &columns).unwrap().collect();
        prop_assert_eq!(found.unwrap(), plain);
    }

    #[test]
    fn text_rows(given in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..300)), 0..9)) {
        let mut out = BytesMut::new();
        given.iter().for_each(|value| row::put_text(&mut out, value.as_deref()));
        let found: Result<Vec<_>, _> = TextRow::new(&out).collect();
        let expected: Vec<_> = given.iter().map(Option::as_deref).collect();
        prop_assert_eq!(found.unwrap(), expected);
    }
}

#[test]
fn ok_packets_with_and_without_session_tracking() {
    let session = vec![
        SessionChange::Schema("bank".into()),
        SessionChange::SystemVariable { name: "autocommit".into(), value: "OFF".into() },
        SessionChange::TransactionState("T_____W_".into()),
        SessionChange::Gtids { encoding: 0, gtids: "0-1-9".into() },
    ];
    let tracked = Status::AUTOCOMMIT | Status::SESSION_STATE_CHANGED;
    let full = OkPacket { status: tracked, affected_rows: 70_000, session, ..OkPacket::default() };
    let plain = OkPacket { status: Status::AUTOCOMMIT, session: Vec::new(), ..full.clone() };
    for info in ["", "Rows matched: 1  Changed: 1  Warnings: 0"] {
        let (full, plain) = (
            OkPacket { info: info.into(), ..full.clone() },
            OkPacket { info: info.into(), ..plain.clone() },
        );
        let with = Capabilities::SERVER;
        let without = with.without(Capabilities::SESSION_TRACK);
        for (given, capabilities, expected) in
            [(&full, with, &full), (&plain, with, &plain), (&full, without, &plain)]
        {
            let mut out = BytesMut::new();
            given.encode(capabilities, &mut out);
            assert_eq!(&OkPacket::decode(&out, capabilities).unwrap(), expected);
            out.clear();
            encode_rows_end(given, capabilities, &mut out);
            assert!(ends_rows(&out, capabilities));
            assert_eq!(&decode_rows_end(&out, capabilities).unwrap(), expected);
        }
    }
    // A server that writes the info as the documentation says.
    let bytes = b"\x00\x01\x00\x02\x00\x00\x00Rows";
    let ok = OkPacket::decode(bytes, Capabilities::PROTOCOL_41).unwrap();
    assert_eq!(ok.info, Bytes::from_static(b"Rows"));
}

#[test]
fn long_messages_are_cut_between_characters() {
    let error = ErrPacket::new(1105, b"HY000", "ü".repeat(MESSAGE_MAX));
    let mut out = BytesMut::new();
    error.encode(Capabilities::SERVER, &mut out);
    let found = ErrPacket::decode(&out).unwrap();
    assert!(found.message.len() <= MESSAGE_MAX && std::str::from_utf8(&found.message).is_ok());
    assert_eq!(ErrPacket::decode(b"\xff\x10\x04Too many").unwrap().sql_state, *b"HY000");
}

#[test]
fn long_data_is_bounded_and_replaces_values() {
    let mut long = LongData::new();
    long.append(1, b"abc", 2, 5).unwrap();
    long.append(1, b"de", 2, 5).unwrap();
    assert!(long.append(0, b"f", 2, 5).is_err());
    assert!(long.append(2, b"", 2, 5).is_err());
    let types =
        [ColumnType::Long, ColumnType::Blob].map(|kind| ParameterType { kind, unsigned: false });
    let mut out = BytesMut::new();
    let values = [Parameter::Value(Value::Int(-7)), Parameter::Long(b"")];
    encode_execute(1, 0, &types, &values, &mut out).unwrap();
    let execute = Execute::decode(&out, 2, None, &long).unwrap();
    assert_eq!(execute.values[0], Parameter::Value(Value::Int(-7)));
    assert_eq!(execute.values[1], Parameter::Long(b"abcde"));
    drop(execute);
    long.clear();
    assert!(long.is_empty() && Execute::decode(&out, 2, None, &long).is_err());
    // Types that are neither sent nor known.
    let mut again = out.to_vec();
    again[11] = 0;
    assert!(Execute::decode(&again, 2, None, &long).is_err());
}
