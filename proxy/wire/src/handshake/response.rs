//! The client's answer to the greeting, and the request for TLS that may come before it.

use bytes::{BufMut, BytesMut};

use crate::capability::Capabilities;
use crate::cursor::{DecodeError, Reader};
use crate::lenenc;

/// Connection attributes taken at most.
pub const ATTRIBUTES_MAX: usize = 128;
/// Bytes of all connection attributes at most (MySQL's own limit).
pub const ATTRIBUTES_LENGTH_MAX: usize = 64 * 1024;

/// Names and values that a client tells about itself, such as `program_name`.
pub type Attributes = Vec<(String, String)>;

/// The fixed part of the answer, which is the whole of a request for TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SslRequest {
    /// What the client wants to use.
    pub capabilities: Capabilities,
    /// Largest payload that the client takes.
    pub max_packet: u32,
    /// The client's collation.
    pub charset: u8,
}

impl SslRequest {
    /// Bytes of the payload.
    pub const LENGTH: usize = 32;

    /// Appends the payload.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u32_le(self.capabilities.bits());
        out.put_u32_le(self.max_packet);
        out.put_u8(self.charset);
        out.put_bytes(0, 23);
    }

    /// Decodes the fixed part.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let capabilities = Capabilities::from_bits(reader.u32("capabilities")?);
        if !capabilities.contains(Capabilities::PROTOCOL_41) {
            return Err(DecodeError::Invalid { field: "capabilities" });
        }
        let max_packet = reader.u32("largest packet")?;
        let charset = reader.u8("charset")?;
        reader.bytes(23, "reserved")?;
        Ok(Self { capabilities, max_packet, charset })
    }
}

/// A client's answer to the greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeResponse {
    /// The part that a request for TLS repeats.
    pub fixed: SslRequest,
    /// User name.
    pub user: Vec<u8>,
    /// The plugin's answer to the challenge.
    pub auth: Vec<u8>,
    /// Database to start with.
    pub database: Option<Vec<u8>>,
    /// The plugin that `auth` is of; `None` if the client does not know plugins.
    pub plugin: Option<Vec<u8>>,
    /// Connection attributes.
    pub attributes: Attributes,
}

impl HandshakeResponse {
    /// Appends the payload; which fields are written follows from the capabilities.
    pub fn encode(&self, out: &mut BytesMut) {
        let capabilities = self.fixed.capabilities;
        self.fixed.encode(out);
        out.put_slice(&self.user);
        out.put_u8(0);
        if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            lenenc::put_bytes(out, &self.auth);
        } else if !capabilities.contains(Capabilities::SECURE_CONNECTION) {
            out.put_slice(&self.auth);
            out.put_u8(0);
        } else {
            let length = self.auth.len().min(usize::from(u8::MAX));
            out.put_u8(length as u8);
            out.put_slice(&self.auth[..length]);
        }
        if capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            out.put_slice(self.database.as_deref().unwrap_or_default());
            out.put_u8(0);
        }
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            out.put_slice(self.plugin.as_deref().unwrap_or_default());
            out.put_u8(0);
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            encode_attributes(&self.attributes, out);
        }
    }

    /// Decodes a payload, for a server that offered `offered`.
    pub fn decode(payload: &[u8], offered: Capabilities) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let mut fixed = SslRequest::decode(&mut reader)?;
        fixed.capabilities = fixed.capabilities & offered;
        let capabilities = fixed.capabilities;
        let user = reader.null_terminated("user")?.to_vec();
        let auth = if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            reader.lenenc_bytes("authentication data")?
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = usize::from(reader.u8("authentication data")?);
            reader.bytes(length, "authentication data")?
        } else {
            reader.null_terminated("authentication data")?
        };
        let auth = auth.to_vec();
        let mut database = None;
        if capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            let name = reader.null_terminated_or_rest();
            database = (!name.is_empty()).then(|| name.to_vec());
        }
        let mut plugin = None;
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            plugin = Some(reader.null_terminated_or_rest().to_vec());
        }
        let mut attributes = Attributes::new();
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            attributes = decode_attributes(&mut reader)?;
        }
        Ok(Self { fixed, user, auth, database, plugin, attributes })
    }
}

pub(super) fn encode_attributes(attributes: &Attributes, out: &mut BytesMut) {
    let mut block = BytesMut::new();
    for (name, value) in attributes {
        lenenc::put_bytes(&mut block, name.as_bytes());
        lenenc::put_bytes(&mut block, value.as_bytes());
    }
    lenenc::put_bytes(out, &block);
}

/// Attributes over the limits make the packet invalid, rather than being dropped in silence.
pub(super) fn decode_attributes(reader: &mut Reader<'_>) -> Result<Attributes, DecodeError> {
    let field = "connection attributes";
    let block = reader.lenenc_bytes(field)?;
    if block.len() > ATTRIBUTES_LENGTH_MAX {
        return Err(DecodeError::TooLarge { field, limit: ATTRIBUTES_LENGTH_MAX });
    }
    let mut block = Reader::new(block);
    let mut attributes = Attributes::new();
    while !block.is_empty() {
        if attributes.len() == ATTRIBUTES_MAX {
            return Err(DecodeError::TooLarge { field, limit: ATTRIBUTES_MAX });
        }
        let name = String::from_utf8_lossy(block.lenenc_bytes(field)?).into_owned();
        let value = String::from_utf8_lossy(block.lenenc_bytes(field)?).into_owned();
        attributes.push((name, value));
    }
    Ok(attributes)
}
