//! Every fuzz entry runs its corpus, mutations of it and random bytes. `UPDATE_CORPUS=1` writes the
//! corpus anew from packets that the crate's own encoders make.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shardline_wire::auth::{RsaKey, Scramble};
use shardline_wire::column::ColumnDefinition;
use shardline_wire::command::Command;
use shardline_wire::fuzz::{self, ENTRIES};
use shardline_wire::handshake::response::SslRequest;
use shardline_wire::handshake::{AuthSwitch, ChangeUser, Greeting, HandshakeResponse};
use shardline_wire::packet;
use shardline_wire::response::encode_rows_end;
use shardline_wire::row::{self, BinaryColumn};
use shardline_wire::session_track::SessionChange;
use shardline_wire::statement::{self, Parameter, ParameterType, PrepareOk};
use shardline_wire::temporal::{DateTime, Time};
use shardline_wire::value::{ColumnType, Value};
use shardline_wire::{Capabilities, EofPacket, ErrPacket, OkPacket, Status, lenenc};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn seeds(entry: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = std::fs::read_dir(corpus().join(entry))
        .unwrap_or_else(|error| panic!("no corpus for {entry}: {error}"))
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {entry} is empty");
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn corpus_and_mutations() {
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        write_corpus();
    }
    let mutation = (any::<prop::sample::Index>(), any::<u8>(), 0u8..4);
    for (name, entry) in ENTRIES {
        let seeds = seeds(name);
        seeds.iter().for_each(|seed| entry(seed));
        let mut runner =
            TestRunner::new(Config { cases: 1500, failure_persistence: None, ..Config::default() });
        let mutated = (prop::sample::select(seeds), prop::collection::vec(mutation.clone(), 1..6));
        let outcome = runner.run(&mutated, |(mut bytes, mutations)| {
            for (place, byte, kind) in mutations {
                let place = place.index(bytes.len() + 1);
                match (kind, bytes.get_mut(place)) {
                    (0, _) => bytes.truncate(place),
                    (1, _) => bytes.insert(place, byte),
                    (2, Some(_)) => drop(bytes.remove(place)),
                    (_, Some(found)) => *found = byte,
                    (_, None) => bytes.push(byte),
                }
            }
            entry(&bytes);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        let random = prop::collection::vec(any::<u8>(), 0..200);
        let outcome = runner.run(&random, |bytes| {
            entry(&bytes);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_key_takes_any_message() {
    let key = RsaKey::generate().unwrap();
    for length in [0, 1, 255, 256, 257] {
        fuzz::rsa(&vec![7; length], &key);
    }
}

fn write(entry: &str, name: &str, build: impl FnOnce(&mut BytesMut)) {
    let mut out = BytesMut::new();
    build(&mut out);
    let folder = corpus().join(entry);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), &out).unwrap();
}

fn framed(payloads: &[&[u8]], mut sequence: u8) -> BytesMut {
    let mut out = BytesMut::new();
    payloads.iter().for_each(|payload| packet::encode(payload, &mut sequence, &mut out));
    out
}

fn payload(build: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    build(&mut out);
    out
}

fn response(plugin: &str, capabilities: Capabilities) -> HandshakeResponse {
    HandshakeResponse {
        fixed: SslRequest { capabilities, max_packet: 1 << 24, charset: 45 },
        user: b"alice".to_vec(),
        auth: vec![9; 20],
        database: Some(b"bank".to_vec()),
        plugin: Some(plugin.into()),
        attributes: vec![("_client_name".into(), "libmariadb".into())],
    }
}

fn write_corpus() {
    write_logins();
    write_commands();
    write_answers();
}

fn write_logins() {
    let greeting = Greeting {
        server_version: "5.5.5-10.11.19-MariaDB".to_owned(),
        connection_id: 7,
        scramble: Scramble([b'a'; 20]),
        capabilities: Capabilities::SERVER,
        charset: 45,
        status: Status::AUTOCOMMIT,
        plugin: "mysql_native_password".to_owned(),
    };
    let switch = AuthSwitch { plugin: b"caching_sha2_password".to_vec(), data: vec![b'b'; 20] };
    let greeting = payload(|out| greeting.encode(out));
    let switch = payload(|out| switch.encode(out));
    let ok = payload(|out| OkPacket::default().encode(Capabilities::CLIENT, out));
    write("greeting", "mariadb", |out| out.extend_from_slice(&greeting));
    write("greeting", "switch", |out| out.extend_from_slice(&switch));
    for (name, plugin) in [("native", "mysql_native_password"), ("sha2", "caching_sha2_password")] {
        for capabilities in [Capabilities::SERVER, Capabilities::PROTOCOL_41] {
            let name = format!("{name}_{:08x}", capabilities.bits());
            let response = payload(|out| response(plugin, capabilities).encode(out));
            write("handshake_response", &name, |out| out.extend_from_slice(&response));
            let login = framed(&[&response, &[2], &[5; 256]], 0);
            write("server_login", &name, |out| out.extend_from_slice(&login));
        }
    }
    let full = framed(&[&greeting, &switch, &[1, 4], b"\x01no key", &ok], 0);
    write("client_login", "full", |out| out.extend_from_slice(&full));
    let fast = framed(&[&greeting, &switch, &[1, 3], &ok], 0);
    write("client_login", "fast", |out| out.extend_from_slice(&fast));
    let change = ChangeUser {
        user: b"bob".to_vec(),
        auth: vec![3; 20],
        database: None,
        charset: Some(45),
        plugin: Some(b"mysql_native_password".to_vec()),
        attributes: vec![("a".into(), "b".into())],
    };
    let change = payload(|out| change.encode(Capabilities::SERVER, out));
    write("change_user", "native", |out| out.extend_from_slice(&change[1..]));
}

fn write_commands() {
    let commands: [(&str, Command<'_>); 7] = [
        ("query", Command::Query(b"SELECT 1")),
        ("prepare", Command::StmtPrepare(b"SELECT ?")),
        ("field_list", Command::FieldList { table: b"t", pattern: b"%" }),
        ("fetch", Command::StmtFetch { statement_id: 1, rows: 10 }),
        ("long_data", Command::StmtSendLongData { statement_id: 1, parameter: 0, data: b"abc" }),
        ("set_option", Command::SetOption(0)),
        ("init_db", Command::InitDb(b"bank")),
    ];
    for (name, command) in commands {
        write("command", name, |out| command.encode(out));
    }
    let types = [ColumnType::LongLong, ColumnType::VarString, ColumnType::Time]
        .map(|kind| ParameterType { kind, unsigned: false });
    let time = Time { negative: true, hours: 5, micros: 7, ..Time::default() };
    let values = [Value::Int(-5), Value::Bytes(b"text"), Value::Time(time)].map(Parameter::Value);
    write("command", "execute", |out| {
        statement::encode_execute(1, 0, &types, &values, out).unwrap();
    });
}

fn write_answers() {
    let session = vec![
        SessionChange::Schema("bank".into()),
        SessionChange::SystemVariable { name: "autocommit".into(), value: "ON".into() },
        SessionChange::StateChanged(true),
        SessionChange::Gtids { encoding: 0, gtids: "0-1-5".into() },
        SessionChange::TransactionState("T_____W_".into()),
        SessionChange::TransactionCharacteristics("START TRANSACTION;".into()),
        SessionChange::Other { kind: 99, data: "x".into() },
    ];
    let ok = OkPacket {
        affected_rows: 300,
        info: "Rows matched: 1".into(),
        session,
        ..OkPacket::default()
    };
    let error = ErrPacket::new(1146, b"42S02", "Table 'bank.nope' doesn't exist");
    let column = ColumnDefinition::integer("id", true);
    write("response", "ok", |out| ok.encode(Capabilities::SERVER, out));
    write("response", "ok_plain", |out| ok.encode(Capabilities::PROTOCOL_41, out));
    write("response", "err", |out| error.encode(Capabilities::SERVER, out));
    write("response", "eof", |out| EofPacket::default().encode(out));
    write("response", "column", |out| column.encode(out));
    write("response", "prepare", |out| {
        PrepareOk { statement_id: 1, columns: 2, parameters: 3, warnings: 0 }.encode(out);
    });
    write("rows", "text", |out| {
        out.extend_from_slice(&[3]);
        [Some(&b"a"[..]), None, Some(b"")].iter().for_each(|value| row::put_text(out, *value));
    });
    let columns = [ColumnType::LongLong, ColumnType::DateTime]
        .map(|kind| BinaryColumn { kind, unsigned: false });
    write("rows", "binary", |out| {
        out.extend_from_slice(&[2]);
        let date =
            Value::DateTime(DateTime { year: 2026, month: 1, day: 2, ..DateTime::default() });
        row::put_binary(out, &columns, &[Value::Int(5), date]).unwrap();
    });
    let (new, old) =
        (Capabilities::SERVER, Capabilities::SERVER.without(Capabilities::DEPRECATE_EOF));
    for (shape, capabilities) in [(0u8, new), (6, old), (0x80, new), (0x86, old)] {
        let count = payload(|out| lenenc::put_integer(out, 1));
        let definition = payload(|out| column.encode(out));
        let eof = payload(|out| EofPacket::default().encode(out));
        let value = payload(|out| row::put_text(out, Some(b"5")));
        let end = payload(|out| encode_rows_end(&ok, capabilities, out));
        let mut parts: Vec<&[u8]> = vec![&count, &definition];
        if !capabilities.deprecate_eof() {
            parts.push(&eof);
        }
        parts.extend([&value[..], &value[..], &end[..]]);
        write("relay", &format!("rows_{shape:02x}"), |out| {
            out.extend_from_slice(&[shape]);
            out.extend_from_slice(&framed(&parts, 1));
        });
    }
    let error = payload(|out| error.encode(new, out));
    write("relay", "error", |out| {
        out.extend_from_slice(&[0]);
        out.extend_from_slice(&framed(&[&error], 1));
    });
    let prepared = PrepareOk { statement_id: 1, columns: 1, parameters: 1, warnings: 0 };
    let prepared = payload(|out| prepared.encode(out));
    let definition = payload(|out| column.encode(out));
    write("relay", "prepare", |out| {
        out.extend_from_slice(&[1]);
        out.extend_from_slice(&framed(&[&prepared, &definition, &definition], 1));
    });
}
