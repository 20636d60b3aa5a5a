//! The packets after the greeting and its answer: a change of plugin, and a plugin's own data.

use bytes::{BufMut, BytesMut};

use crate::auth::Scramble;
use crate::cursor::{DecodeError, Reader};

/// First byte of a packet that changes the plugin.
pub const SWITCH: u8 = 0xfe;
/// First byte of a server's packet with a plugin's data.
pub const MORE_DATA: u8 = 0x01;
/// `caching_sha2_password`, server: the answer was taken, OK follows.
pub const FAST_OK: u8 = 0x03;
/// `caching_sha2_password`, server: send the password.
pub const FULL: u8 = 0x04;
/// `caching_sha2_password`, client: send the public key.
pub const WANT_PUBLIC_KEY: u8 = 0x02;

/// The server wants another plugin than the client chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSwitch {
    /// Name of the plugin.
    pub plugin: Vec<u8>,
    /// The plugin's data, for ours a new challenge.
    pub data: Vec<u8>,
}

impl AuthSwitch {
    /// Appends the payload.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u8(SWITCH);
        out.put_slice(&self.plugin);
        out.put_u8(0);
        out.put_slice(&self.data);
        out.put_u8(0);
    }

    /// Decodes a payload led by `0xfe`. The old form without a name, which asks for a pre-4.1 password,
    /// is refused.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        if reader.u8("auth switch")? != SWITCH {
            return Err(DecodeError::Invalid { field: "auth switch" });
        }
        let plugin = reader.null_terminated("plugin")?.to_vec();
        let data = reader.rest();
        let data = data.strip_suffix(&[0]).unwrap_or(data).to_vec();
        Ok(Self { plugin, data })
    }

    /// The new challenge, for the plugins of this crate.
    pub fn scramble(&self) -> Result<Scramble, DecodeError> {
        <[u8; 20]>::try_from(self.data.as_slice())
            .map(Scramble)
            .map_err(|_| DecodeError::Invalid { field: "challenge" })
    }
}

/// Appends a server's packet with a plugin's data.
pub fn encode_more_data(data: &[u8], out: &mut BytesMut) {
    out.put_u8(MORE_DATA);
    out.put_slice(data);
}
