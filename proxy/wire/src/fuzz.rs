//! Entry points for fuzzing: each takes any bytes, must not panic, and checks that what was decoded is
//! decoded again from its own encoding. `corpus/<entry>/` holds inputs that a test runs each time.

use bytes::{Bytes, BytesMut};

use crate::auth::{RsaKey, Scramble, Sha2Verifier, Verifiers};
use crate::capability::Capabilities;
use crate::column::ColumnDefinition;
use crate::command::Command;
use crate::handshake::client_side::Credentials;
use crate::handshake::server_side::Terms;
use crate::handshake::{self, ChangeUser, ClientHandshake, Greeting, HandshakeResponse};
use crate::handshake::{AuthSwitch, ClientStep, ServerHandshake, ServerStep};
use crate::packet::Deframer;
use crate::relay::{EndPacket, Request, ResponseTracker};
use crate::response::{self, EofPacket, ErrPacket, OkPacket};
use crate::row::{BinaryColumn, BinaryRow, TextRow};
use crate::statement::{Execute, LongData, PrepareOk};
use crate::value::ColumnType;

/// An entry point.
pub type Entry = fn(&[u8]);

/// All entry points by the names of their corpus folders.
pub const ENTRIES: [(&str, Entry); 9] = [
    ("greeting", greeting),
    ("handshake_response", handshake_response),
    ("change_user", change_user),
    ("server_login", server_login),
    ("client_login", client_login),
    ("command", command),
    ("response", response),
    ("rows", rows),
    ("relay", relay),
];

const CAPABILITIES: [Capabilities; 3] = [
    Capabilities::SERVER,
    Capabilities::SERVER.without(Capabilities::DEPRECATE_EOF),
    Capabilities::PROTOCOL_41,
];

/// A server's greeting, as a client decodes it.
pub fn greeting(bytes: &[u8]) {
    if let Ok(greeting) = Greeting::decode(bytes) {
        let mut out = BytesMut::new();
        greeting.encode(&mut out);
        let again = Greeting::decode(&out).map(|again| again.server_version);
        assert_eq!(again.as_ref(), Ok(&greeting.server_version));
    }
    if let Ok(switch) = AuthSwitch::decode(bytes) {
        let mut out = BytesMut::new();
        switch.encode(&mut out);
        assert_eq!(AuthSwitch::decode(&out), Ok(switch));
    }
}

/// A client's answer to the greeting, as a server decodes it.
pub fn handshake_response(bytes: &[u8]) {
    let offered = Capabilities::SERVER.with(Capabilities::SSL);
    if let Ok(response) = HandshakeResponse::decode(bytes, offered) {
        let mut out = BytesMut::new();
        response.encode(&mut out);
        assert_eq!(HandshakeResponse::decode(&out, offered), Ok(response));
    }
}

/// A COM_CHANGE_USER without its command byte.
pub fn change_user(bytes: &[u8]) {
    for capabilities in CAPABILITIES {
        if let Ok(change) = ChangeUser::decode(bytes, capabilities) {
            let mut out = BytesMut::new();
            change.encode(capabilities, &mut out);
            assert_eq!(ChangeUser::decode(&out[1..], capabilities), Ok(change));
        }
    }
}

/// A sequence of packets to a server's login. Nobody gets in by chance.
pub fn server_login(bytes: &[u8]) {
    // A verifier of no password at all: making a real one takes too long here.
    let text = [b"$A$005$".as_slice(), &[b'x'; 63]].concat();
    let Ok(sha2) = Sha2Verifier::parse(&text) else { return };
    let decoy = Verifiers::Password { native: [7; 20], sha2 };
    let terms = Terms {
        offered: Capabilities::SERVER.with(Capabilities::SSL),
        default_plugin: crate::auth::Plugin::CachingSha2,
        confidential: false,
        tls_required: false,
        host: "localhost".to_owned(),
        public_key: Bytes::from_static(b"key"),
        scramble: Scramble([b'a'; 20]),
        fresh_scramble: Scramble([b'b'; 20]),
        decoy: decoy.clone(),
    };
    let mut login = ServerHandshake::new(terms);
    for packet in packets(bytes) {
        let mut step = login.receive(&packet);
        if matches!(step, ServerStep::LookUp) {
            step = login.account(Some(decoy.clone()), None);
        }
        match step {
            ServerStep::Check(_) => step = login.checked(false),
            ServerStep::StartTls | ServerStep::Send(_) | ServerStep::LookUp => continue,
            ServerStep::Accept(_) | ServerStep::Reject(_) => {}
        }
        assert!(!matches!(step, ServerStep::Accept(_)), "a login without the password");
        return;
    }
}

/// A sequence of packets to a client's login.
pub fn client_login(bytes: &[u8]) {
    let mut login = ClientHandshake::new(Credentials {
        user: "u".to_owned(),
        password: "p".to_owned(),
        database: Some("d".to_owned()),
        capabilities: Capabilities::CLIENT,
        charset: 45,
        max_packet: 1 << 24,
        attributes: vec![("a".to_owned(), "b".to_owned())],
        tls: false,
        local: false,
        ask_public_key: true,
    });
    for packet in packets(bytes) {
        match login.receive(&packet) {
            Ok(ClientStep::Done(_)) | Err(_) => return,
            Ok(ClientStep::Send(_) | ClientStep::Wait | ClientStep::StartTls(_)) => {}
        }
    }
}

/// A command, and the execution of a statement with known and with unknown types.
pub fn command(bytes: &[u8]) {
    if let Ok(command) = Command::decode(bytes) {
        let mut out = BytesMut::new();
        command.encode(&mut out);
        match command {
            Command::Unknown(_) => {}
            command => assert_eq!(Command::decode(&out), Ok(command)),
        }
    }
    let long = LongData::new();
    for parameters in [0, 1, 3, 9, 65_535] {
        let Ok(execute) = Execute::decode(bytes, parameters, None, &long) else { continue };
        let Some(types) = execute.new_types else { continue };
        let again = Execute::decode(bytes, parameters, Some(&types), &long);
        assert_eq!(again.map(|again| again.values.len()), Ok(parameters));
    }
}

/// Packets that a server answers with.
pub fn response(bytes: &[u8]) {
    for capabilities in CAPABILITIES {
        if let Ok(ok) = OkPacket::decode(bytes, capabilities) {
            let mut out = BytesMut::new();
            ok.encode(capabilities, &mut out);
            let again = OkPacket::decode(&out, capabilities).map(|again| again.affected_rows);
            assert_eq!(again, Ok(ok.affected_rows));
        }
        response::ends_rows(bytes, capabilities);
    }
    if let Ok(error) = ErrPacket::decode(bytes) {
        let mut out = BytesMut::new();
        error.encode(Capabilities::PROTOCOL_41, &mut out);
        assert_eq!(ErrPacket::decode(&out).map(|again| again.code), Ok(error.code));
    }
    let _ = (EofPacket::decode(bytes), PrepareOk::decode(bytes));
    let _ = crate::column::decode_count(bytes);
    if let Ok(column) = ColumnDefinition::decode(&Bytes::copy_from_slice(bytes)) {
        let mut out = BytesMut::new();
        column.encode(&mut out);
        assert_eq!(ColumnDefinition::decode(&out.freeze()), Ok(column));
    }
}

/// Rows of both protocols. The first byte says how many columns of which types.
pub fn rows(bytes: &[u8]) {
    let Some((&shape, payload)) = bytes.split_first() else { return };
    assert!(TextRow::new(payload).count() <= payload.len());
    let columns: Vec<BinaryColumn> = (0..usize::from(shape % 32))
        .filter_map(|index| {
            let byte = shape.wrapping_mul(31).wrapping_add(index as u8 * 7);
            let kind = ColumnType::from_byte(byte).ok()?;
            Some(BinaryColumn { kind, unsigned: index % 2 == 0 })
        })
        .collect();
    if let Ok(row) = BinaryRow::new(payload, &columns) {
        assert!(row.count() <= columns.len());
    }
}

/// A response's bytes, whole and byte by byte. The first byte chooses request and capabilities.
pub fn relay(bytes: &[u8]) {
    let Some((&shape, bytes)) = bytes.split_first() else { return };
    let request = match shape % 6 {
        0 => Request::Query,
        1 => Request::Prepare,
        2 => Request::FieldList,
        3 => Request::Fetch,
        4 => Request::Statistics,
        _ => Request::Simple,
    };
    let capabilities = CAPABILITIES[usize::from(shape / 6) % 3];
    let hold = if shape & 0x80 == 0 { EndPacket::Forward } else { EndPacket::Hold };
    let tracker = ResponseTracker::new(request, capabilities, hold);
    let (mut whole, mut slow) = (tracker.clone(), tracker);
    let expected = whole.feed(bytes);
    let (mut start, mut found) = (0, None);
    for end in 0..=bytes.len() {
        match slow.feed(&bytes[start..end]) {
            Ok(progress) => {
                assert!(progress.forward <= end - start);
                start += progress.forward;
                if progress.complete {
                    found = Some(Ok(()));
                    break;
                }
            }
            Err(error) => {
                found = Some(Err(error));
                break;
            }
        }
    }
    match (expected, found) {
        (Ok(progress), None) => assert!(!progress.complete && progress.forward == start),
        (Ok(progress), Some(Ok(()))) => assert!(progress.complete && progress.forward == start),
        (Err(expected), Some(Err(found))) => assert_eq!(expected, found),
        (expected, found) => panic!("whole {expected:?}, byte by byte {found:?}"),
    }
    assert_eq!(whole.end(), slow.end());
}

fn packets(bytes: &[u8]) -> Vec<Bytes> {
    let (mut slab, mut deframer, mut sequence) = (BytesMut::from(bytes), Deframer::new(), 0);
    let mut found = Vec::new();
    while let Ok(Some(packet)) = deframer.next(&mut slab, &mut sequence, handshake::PAYLOAD_MAX) {
        found.push(packet);
    }
    found
}

/// Decrypts any bytes with a real key.
pub fn rsa(bytes: &[u8], key: &RsaKey) {
    let _ = key.decrypt(bytes, &Scramble([b'a'; 20]));
}
