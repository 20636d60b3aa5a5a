//! COM_CHANGE_USER: a login on a connection that is logged in already.

use bytes::{BufMut, BytesMut};

use super::response::{Attributes, decode_attributes, encode_attributes};
use crate::capability::Capabilities;
use crate::command::code;
use crate::cursor::{DecodeError, Reader};

/// A decoded COM_CHANGE_USER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeUser {
    /// User name.
    pub user: Vec<u8>,
    /// The plugin's answer to the challenge of the greeting.
    pub auth: Vec<u8>,
    /// Database to go on with.
    pub database: Option<Vec<u8>>,
    /// The client's collation; `None` leaves the server's default.
    pub charset: Option<u16>,
    /// The plugin that `auth` is of.
    pub plugin: Option<Vec<u8>>,
    /// Connection attributes.
    pub attributes: Attributes,
}

impl ChangeUser {
    /// Appends the payload, command byte included.
    pub fn encode(&self, capabilities: Capabilities, out: &mut BytesMut) {
        out.put_u8(code::CHANGE_USER);
        out.put_slice(&self.user);
        out.put_u8(0);
        let length = self.auth.len().min(usize::from(u8::MAX));
        out.put_u8(length as u8);
        out.put_slice(&self.auth[..length]);
        out.put_slice(self.database.as_deref().unwrap_or_default());
        out.put_u8(0);
        let Some(charset) = self.charset else { return };
        out.put_u16_le(charset);
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            let Some(plugin) = &self.plugin else { return };
            out.put_slice(plugin);
            out.put_u8(0);
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            encode_attributes(&self.attributes, out);
        }
    }

    /// Decodes what follows the command byte (`Command::ChangeUser`).
    pub fn decode(rest: &[u8], capabilities: Capabilities) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(rest);
        let user = reader.null_terminated("user")?.to_vec();
        let length = usize::from(reader.u8("authentication data")?);
        let auth = reader.bytes(length, "authentication data")?.to_vec();
        let database = reader.null_terminated_or_rest();
        let database = (!database.is_empty()).then(|| database.to_vec());
        let mut change =
            Self { user, auth, database, charset: None, plugin: None, attributes: Vec::new() };
        if reader.remaining() < 2 {
            return Ok(change);
        }
        change.charset = Some(reader.u16("charset")?);
        if capabilities.contains(Capabilities::PLUGIN_AUTH) && !reader.is_empty() {
            change.plugin = Some(reader.null_terminated_or_rest().to_vec());
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            change.attributes = decode_attributes(&mut reader)?;
        }
        Ok(change)
    }
}
