//! The client's side of a login as a state machine: packets in, steps out.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::exchange::{self, AuthSwitch};
use super::greeting::Greeting;
use super::response::{Attributes, HandshakeResponse, SslRequest};
use crate::auth::rsa::{self, RsaError};
use crate::auth::scramble::{native_answer, sha2_answer};
use crate::auth::{Plugin, Scramble};
use crate::capability::Capabilities;
use crate::cursor::DecodeError;
use crate::response::{self, ErrPacket, OkPacket};

/// How a client logs in.
#[derive(Clone)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password; empty for none.
    pub password: String,
    /// Database to start with.
    pub database: Option<String>,
    /// Capabilities that are wanted; those that the server lacks are left out. SSL and
    /// CONNECT_WITH_DB follow from the other options.
    pub capabilities: Capabilities,
    /// Collation number.
    pub charset: u8,
    /// Largest payload that this side takes, in bytes.
    pub max_packet: u32,
    /// Connection attributes.
    pub attributes: Attributes,
    /// Whether to use TLS; if so, a server without it is refused.
    pub tls: bool,
    /// The connection is a Unix socket.
    pub local: bool,
    /// Whether to take a public key from the server over an open connection. Someone in the middle could
    /// put in a key of their own and read the password.
    pub ask_public_key: bool,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why a login failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The server says no.
    #[error("the server refuses the connection: {0}")]
    Refused(ErrPacket),
    /// A packet of the server makes no sense.
    #[error("cannot read the server's handshake")]
    Malformed(#[from] DecodeError),
    /// The server does not speak the protocol of 4.1.
    #[error("the server {version} is too old")]
    TooOld {
        /// The server's version.
        version: String,
    },
    /// TLS is wanted and the server does not offer it.
    #[error("the server offers no TLS; configure it there or connect without")]
    NoTls,
    /// The server wants a plugin that this crate does not know.
    #[error(
        "the server wants the authentication plugin {name:?}; use mysql_native_password or caching_sha2_password for this account"
    )]
    Plugin {
        /// Name of the plugin.
        name: String,
    },
    /// The server wants the password, and the connection is neither TLS nor a Unix socket.
    #[error(
        "the server wants the password over an open connection; use TLS, or allow to ask for its public key"
    )]
    Exposed,
    /// The server's public key cannot be used.
    #[error("cannot encrypt the password for the server")]
    PublicKey(#[source] RsaError),
    /// A packet came that is not due.
    #[error("the server sent a packet that is not due")]
    Unexpected,
}

/// What the driver has to do next.
#[derive(Debug)]
pub enum ClientStep {
    /// Send the payload, start TLS, then call `in_tls`.
    StartTls(Bytes),
    /// Send the payload, then hand in the answer.
    Send(Bytes),
    /// Hand in the next packet.
    Wait,
    /// The login is complete.
    Done(OkPacket),
}

#[derive(Debug)]
enum State {
    Greeting,
    Tls,
    Answer,
    PublicKey,
    Done,
}

/// A login as the client sees it. See the module's text.
#[derive(Debug)]
pub struct ClientHandshake {
    state: State,
    credentials: Credentials,
    greeting: Option<Greeting>,
    capabilities: Capabilities,
    scramble: Scramble,
    plugin: Plugin,
}

impl ClientHandshake {
    /// A login that waits for the greeting.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            state: State::Greeting,
            credentials,
            greeting: None,
            capabilities: Capabilities::NONE,
            scramble: Scramble([0; 20]),
            plugin: Plugin::Native,
        }
    }

    /// The greeting, once it came.
    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// The capabilities of both sides, once the greeting came.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Takes a packet of the server.
    pub fn receive(&mut self, payload: &[u8]) -> Result<ClientStep, ClientError> {
        if payload.first() == Some(&response::ERR) {
            self.state = State::Done;
            return Err(ClientError::Refused(ErrPacket::decode(payload)?));
        }
        match (&self.state, payload.first()) {
            (State::Greeting, _) => self.greet(payload),
            (State::Answer, Some(&response::OK)) => {
                self.state = State::Done;
                Ok(ClientStep::Done(OkPacket::decode(payload, self.capabilities)?))
            }
            (State::Answer, Some(&exchange::SWITCH)) => self.switch(payload),
            (State::Answer, Some(&exchange::MORE_DATA)) => self.more_data(&payload[1..]),
            (State::PublicKey, Some(&exchange::MORE_DATA)) => {
                let password = self.credentials.password.as_bytes();
                let message = rsa::encrypt(&payload[1..], password, &self.scramble)
                    .map_err(ClientError::PublicKey)?;
                self.state = State::Answer;
                Ok(ClientStep::Send(message.into()))
            }
            (State::Tls | State::Answer | State::PublicKey | State::Done, _) => {
                Err(ClientError::Unexpected)
            }
        }
    }

    fn greet(&mut self, payload: &[u8]) -> Result<ClientStep, ClientError> {
        let greeting = Greeting::decode(payload)?;
        let needed = Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION;
        if !greeting.capabilities.contains(needed) {
            return Err(ClientError::TooOld { version: greeting.server_version });
        }
        let wanted = self.credentials.capabilities.without(Capabilities::SSL);
        // MariaDB clears LONG_PASSWORD to offer its own extensions; setting it declines them.
        let mut capabilities = (wanted & greeting.capabilities) | needed;
        capabilities = capabilities | Capabilities::LONG_PASSWORD;
        if self.credentials.database.is_some() {
            capabilities = capabilities | Capabilities::CONNECT_WITH_DB;
        }
        // An unknown default is no reason to fail: the server may switch to one that is known.
        self.plugin = Plugin::named(greeting.plugin.as_bytes()).unwrap_or(Plugin::Native);
        self.scramble = greeting.scramble;
        let server = greeting.capabilities;
        self.greeting = Some(greeting);
        if !self.credentials.tls {
            self.capabilities = capabilities;
            return Ok(ClientStep::Send(self.response()));
        }
        if !server.contains(Capabilities::SSL) {
            return Err(ClientError::NoTls);
        }
        self.capabilities = capabilities | Capabilities::SSL;
        self.state = State::Tls;
        let mut out = BytesMut::new();
        self.fixed().encode(&mut out);
        Ok(ClientStep::StartTls(out.freeze()))
    }

    /// TLS was started: the payload to send in it.
    pub fn in_tls(&mut self) -> Bytes {
        self.response()
    }

    fn fixed(&self) -> SslRequest {
        SslRequest {
            capabilities: self.capabilities,
            max_packet: self.credentials.max_packet,
            charset: self.credentials.charset,
        }
    }

    fn response(&mut self) -> Bytes {
        self.state = State::Answer;
        let response = HandshakeResponse {
            fixed: self.fixed(),
            user: self.credentials.user.as_bytes().to_vec(),
            auth: self.answer(),
            database: self.credentials.database.as_ref().map(|name| name.as_bytes().to_vec()),
            plugin: Some(self.plugin.name().as_bytes().to_vec()),
            attributes: self.credentials.attributes.clone(),
        };
        let mut out = BytesMut::new();
        response.encode(&mut out);
        out.freeze()
    }

    fn answer(&self) -> Vec<u8> {
        let password = self.credentials.password.as_bytes();
        match self.plugin {
            Plugin::Native => native_answer(password, &self.scramble),
            Plugin::CachingSha2 if password.is_empty() => vec![0],
            Plugin::CachingSha2 => sha2_answer(password, &self.scramble),
        }
    }

    fn switch(&mut self, payload: &[u8]) -> Result<ClientStep, ClientError> {
        let switch = AuthSwitch::decode(payload)?;
        self.plugin = Plugin::named(&switch.plugin).ok_or_else(|| ClientError::Plugin {
            name: String::from_utf8_lossy(&switch.plugin).into_owned(),
        })?;
        self.scramble = switch.scramble()?;
        Ok(ClientStep::Send(self.answer().into()))
    }

    fn more_data(&mut self, data: &[u8]) -> Result<ClientStep, ClientError> {
        match (self.plugin, data) {
            (Plugin::CachingSha2, [exchange::FAST_OK]) => Ok(ClientStep::Wait),
            (Plugin::CachingSha2, [exchange::FULL]) => self.full(),
            _ => Err(ClientError::Unexpected),
        }
    }

    fn full(&mut self) -> Result<ClientStep, ClientError> {
        if self.credentials.tls || self.credentials.local {
            let mut password = self.credentials.password.as_bytes().to_vec();
            password.push(0);
            return Ok(ClientStep::Send(password.into()));
        }
        if !self.credentials.ask_public_key {
            return Err(ClientError::Exposed);
        }
        self.state = State::PublicKey;
        Ok(ClientStep::Send(Bytes::from_static(&[exchange::WANT_PUBLIC_KEY])))
    }
}
