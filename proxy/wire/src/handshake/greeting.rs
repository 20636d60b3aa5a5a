//! The server's first packet (handshake version 10).

use bytes::{BufMut, BytesMut};

use crate::auth::Scramble;
use crate::capability::Capabilities;
use crate::cursor::{DecodeError, Reader};
use crate::status::Status;

/// Version of the handshake.
const VERSION: u8 = 10;

/// What MariaDB 10 puts before its version so that old replicas see a 5.5.
const REPLICATION_PREFIX: &str = "5.5.5-";

/// A server's first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The server's version, as it is sent.
    pub server_version: String,
    /// Number of the connection; 32 bits on the wire.
    pub connection_id: u32,
    /// The challenge.
    pub scramble: Scramble,
    /// What the server can do.
    pub capabilities: Capabilities,
    /// The server's collation.
    pub charset: u8,
    /// Status flags.
    pub status: Status,
    /// The plugin that the challenge is meant for.
    pub plugin: String,
}

impl Greeting {
    /// Appends the payload.
    pub fn encode(&self, out: &mut BytesMut) {
        let (first, second) = self.scramble.0.split_at(8);
        let bits = self.capabilities.bits();
        out.put_u8(VERSION);
        out.put_slice(self.server_version.as_bytes());
        out.put_u8(0);
        out.put_u32_le(self.connection_id);
        out.put_slice(first);
        out.put_u8(0);
        out.put_u16_le(bits as u16);
        out.put_u8(self.charset);
        out.put_u16_le(self.status.bits());
        out.put_u16_le((bits >> 16) as u16);
        out.put_u8(21);
        out.put_bytes(0, 10);
        out.put_slice(second);
        out.put_u8(0);
        out.put_slice(self.plugin.as_bytes());
        out.put_u8(0);
    }

    /// Decodes a payload. Servers without 4.1 challenges are refused.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        if reader.u8("handshake version")? != VERSION {
            return Err(DecodeError::Invalid { field: "handshake version" });
        }
        let version = reader.null_terminated("server version")?;
        let server_version = String::from_utf8_lossy(version).into_owned();
        let connection_id = reader.u32("connection id")?;
        let mut scramble = [0; 20];
        scramble[..8].copy_from_slice(reader.bytes(8, "challenge")?);
        reader.u8("filler")?;
        let low = reader.u16("capabilities")?;
        let charset = reader.u8("charset")?;
        let status = Status::from_bits(reader.u16("status")?);
        let high = reader.u16("capabilities")?;
        let capabilities = Capabilities::from_bits(u32::from(high) << 16 | u32::from(low));
        reader.u8("challenge length")?;
        reader.bytes(10, "reserved")?;
        scramble[8..].copy_from_slice(reader.bytes(12, "challenge")?);
        let plugin = if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            reader.u8("challenge end")?;
            String::from_utf8_lossy(reader.null_terminated_or_rest()).into_owned()
        } else {
            crate::auth::Plugin::Native.name().to_owned()
        };
        Ok(Self {
            server_version,
            connection_id,
            scramble: Scramble(scramble),
            capabilities,
            charset,
            status,
            plugin,
        })
    }

    /// Whether the server is a MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.server_version.contains("MariaDB")
            || !self.capabilities.contains(Capabilities::LONG_PASSWORD)
    }

    /// The version as MariaDB 10 sends it: with a prefix that old replicas need and that drivers go by.
    /// mysql-connector-python, for one, takes an unprefixed 10 for a MySQL newer than 8 and asks for
    /// collations that MariaDB does not have.
    pub fn version_for_clients(version: &str) -> String {
        if version.starts_with("10.") && version.contains("MariaDB") {
            format!("{REPLICATION_PREFIX}{version}")
        } else {
            version.to_owned()
        }
    }

    /// The version without the prefix that MariaDB 10 adds for old replicas.
    pub fn version(&self) -> &str {
        match self.server_version.strip_prefix(REPLICATION_PREFIX) {
            Some(version) if self.is_mariadb() => version,
            _ => &self.server_version,
        }
    }
}
