//! OK, ERR and EOF packets, both directions, with and without the capabilities that change them.

use bytes::{BufMut, Bytes, BytesMut};

use crate::capability::Capabilities;
use crate::cursor::{DecodeError, Reader};
use crate::lenenc;
use crate::session_track::{self, SessionChange};
use crate::status::Status;

/// First byte of an OK packet.
pub const OK: u8 = 0x00;
/// First byte of an EOF packet, and of an OK packet that ends rows under DEPRECATE_EOF.
pub const EOF: u8 = 0xfe;
/// First byte of an ERR packet.
pub const ERR: u8 = 0xff;
/// First byte of a LOCAL INFILE request.
pub const LOCAL_INFILE: u8 = 0xfb;

/// Longest message that is sent in an ERR packet, in bytes (MySQL's own limit).
pub const MESSAGE_MAX: usize = 512;

/// A statement ended well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OkPacket {
    /// Rows changed (or found, with FOUND_ROWS).
    pub affected_rows: u64,
    /// The first generated AUTO_INCREMENT value, 0 if none.
    pub last_insert_id: u64,
    /// Status flags. `SESSION_STATE_CHANGED` is set and cleared by `encode`.
    pub status: Status,
    /// Number of warnings.
    pub warnings: u16,
    /// Text such as `Rows matched: 1  Changed: 1  Warnings: 0`.
    pub info: Bytes,
    /// Changes of session state; sent only with SESSION_TRACK.
    pub session: Vec<SessionChange>,
}

impl OkPacket {
    /// An OK packet with nothing but a status.
    pub fn with_status(status: Status) -> Self {
        Self { status, ..Self::default() }
    }

    /// Appends the payload, led by `0x00`.
    pub fn encode(&self, capabilities: Capabilities, out: &mut BytesMut) {
        self.encode_led_by(OK, capabilities, out);
    }

    /// Appends the payload of the packet that ends a result set under DEPRECATE_EOF, led by `0xfe`.
    pub fn encode_as_eof(&self, capabilities: Capabilities, out: &mut BytesMut) {
        self.encode_led_by(EOF, capabilities, out);
    }

    fn encode_led_by(&self, lead: u8, capabilities: Capabilities, out: &mut BytesMut) {
        let track = capabilities.contains(Capabilities::SESSION_TRACK) && !self.session.is_empty();
        let mut status = self.status.without(Status::SESSION_STATE_CHANGED);
        if track {
            status = status | Status::SESSION_STATE_CHANGED;
        }
        out.put_u8(lead);
        lenenc::put_integer(out, self.affected_rows);
        lenenc::put_integer(out, self.last_insert_id);
        out.put_u16_le(status.bits());
        out.put_u16_le(self.warnings);
        // Servers write the info with its length in both forms, and clients read it so, although
        // the documentation calls it a string to the end without SESSION_TRACK.
        if track || !self.info.is_empty() {
            lenenc::put_bytes(out, &self.info);
        }
        if track {
            session_track::encode(&self.session, out);
        }
    }

    /// Decodes a payload led by `0x00` or `0xfe`.
    pub fn decode(payload: &[u8], capabilities: Capabilities) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        if !matches!(reader.u8("OK lead")?, OK | EOF) {
            return Err(DecodeError::Invalid { field: "OK lead" });
        }
        let affected_rows = reader.lenenc("affected rows")?;
        let last_insert_id = reader.lenenc("last insert id")?;
        let status = Status::from_bits(reader.u16("status")?);
        let warnings = reader.u16("warnings")?;
        let mut ok = Self { affected_rows, last_insert_id, status, warnings, ..Self::default() };
        if capabilities.contains(Capabilities::SESSION_TRACK) {
            if !reader.is_empty() {
                ok.info = Bytes::copy_from_slice(reader.lenenc_bytes("info")?);
            }
            if status.contains(Status::SESSION_STATE_CHANGED) && !reader.is_empty() {
                ok.session = session_track::decode(reader.lenenc_bytes("session state")?)?;
            }
        } else {
            ok.info = Bytes::copy_from_slice(info_without_session_track(reader));
        }
        Ok(ok)
    }
}

/// The info text with its length, or the whole rest for servers that follow the documentation.
fn info_without_session_track(reader: Reader<'_>) -> &[u8] {
    let mut counted = reader;
    match counted.lenenc_bytes("info") {
        Ok(text) if counted.is_empty() => text,
        _ => {
            let mut plain = reader;
            plain.rest()
        }
    }
}

/// The end of metadata or of rows, without DEPRECATE_EOF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EofPacket {
    /// Number of warnings.
    pub warnings: u16,
    /// Status flags.
    pub status: Status,
}

impl EofPacket {
    /// Appends the payload.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u8(EOF);
        out.put_u16_le(self.warnings);
        out.put_u16_le(self.status.bits());
    }

    /// Decodes a payload led by `0xfe` and shorter than 9 bytes.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        if reader.u8("EOF lead")? != EOF || payload.len() >= 9 {
            return Err(DecodeError::Invalid { field: "EOF lead" });
        }
        let warnings = reader.u16("warnings")?;
        Ok(Self { warnings, status: Status::from_bits(reader.u16("status")?) })
    }
}

/// Appends the payload that ends the rows of a result set, in the form the client asked for.
pub fn encode_rows_end(ok: &OkPacket, capabilities: Capabilities, out: &mut BytesMut) {
    if capabilities.deprecate_eof() {
        ok.encode_as_eof(capabilities, out);
    } else {
        let status = ok.status.without(Status::SESSION_STATE_CHANGED);
        EofPacket { warnings: ok.warnings, status }.encode(out);
    }
}

/// Decodes the payload that ends the rows of a result set, in either form.
pub fn decode_rows_end(
    payload: &[u8],
    capabilities: Capabilities,
) -> Result<OkPacket, DecodeError> {
    if capabilities.deprecate_eof() {
        return OkPacket::decode(payload, capabilities);
    }
    let eof = EofPacket::decode(payload)?;
    Ok(OkPacket { status: eof.status, warnings: eof.warnings, ..OkPacket::default() })
}

/// Whether `payload`, met where a row could be, ends the rows: a row led by `0xfe` has a first value
/// of 16 MiB or more, so its packet is full.
pub fn ends_rows(payload: &[u8], capabilities: Capabilities) -> bool {
    let limit = if capabilities.deprecate_eof() { crate::packet::PAYLOAD_MAX } else { 9 };
    payload.first() == Some(&EOF) && payload.len() < limit
}

/// A statement or a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrPacket {
    /// MySQL's error number.
    pub code: u16,
    /// SQLSTATE.
    pub sql_state: [u8; 5],
    /// What happened; not always UTF-8 when it comes from a server.
    pub message: Bytes,
}

impl ErrPacket {
    /// An error with a text of our own.
    pub fn new(code: u16, sql_state: &[u8; 5], message: impl Into<String>) -> Self {
        Self { code, sql_state: *sql_state, message: Bytes::from(message.into()) }
    }

    /// Appends the payload. Messages over `MESSAGE_MAX` bytes are cut at a character's end.
    pub fn encode(&self, capabilities: Capabilities, out: &mut BytesMut) {
        out.put_u8(ERR);
        out.put_u16_le(self.code);
        if capabilities.contains(Capabilities::PROTOCOL_41) {
            out.put_u8(b'#');
            out.extend_from_slice(&self.sql_state);
        }
        out.extend_from_slice(cut_message(&self.message));
    }

    /// Decodes a payload led by `0xff`, with or without SQLSTATE (errors before the handshake have
    /// none).
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        if reader.u8("ERR lead")? != ERR {
            return Err(DecodeError::Invalid { field: "ERR lead" });
        }
        let code = reader.u16("error number")?;
        let mut sql_state = *b"HY000";
        if reader.peek() == Some(b'#') && reader.remaining() >= 6 {
            reader.u8("SQLSTATE marker")?;
            sql_state = reader.array("SQLSTATE")?;
        }
        Ok(Self { code, sql_state, message: Bytes::copy_from_slice(reader.rest()) })
    }

    /// The message for people: bytes that are not UTF-8 are replaced.
    pub fn message_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.message)
    }
}

fn cut_message(message: &[u8]) -> &[u8] {
    if message.len() <= MESSAGE_MAX {
        return message;
    }
    let mut end = MESSAGE_MAX;
    while end > MESSAGE_MAX - 4 && message[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &message[..end]
}

impl std::fmt::Display for ErrPacket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = String::from_utf8_lossy(&self.sql_state);
        write!(f, "ERROR {} ({state}): {}", self.code, self.message_text())
    }
}

impl std::error::Error for ErrPacket {}
