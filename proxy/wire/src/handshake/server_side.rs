//! The server's side of a login as a state machine: packets in, steps out.
//!
//! An unknown user walks the same path as a wrong password, against verifiers of a password that
//! nobody knows.

use bytes::{Bytes, BytesMut};

use super::change_user::ChangeUser;
use super::exchange::{self, AuthSwitch};
use super::greeting::Greeting;
use super::response::{Attributes, HandshakeResponse, SslRequest};
use crate::auth::scramble::{check_native, check_sha2};
use crate::auth::{Plugin, RsaKey, Scramble, Sha2Verifier, Verifiers};
use crate::capability::Capabilities;
use crate::cursor::{DecodeError, Reader};
use crate::response::ErrPacket;

/// What a client said about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Database to start with.
    pub database: Option<String>,
    /// Capabilities of both sides.
    pub capabilities: Capabilities,
    /// The client's collation.
    pub charset: u16,
    /// Largest payload that the client takes, by its own account.
    pub max_packet: u32,
    /// Connection attributes.
    pub attributes: Attributes,
}

/// What the driver has to do next.
#[derive(Debug)]
pub enum ServerStep {
    /// Start TLS, then hand in the next packet.
    StartTls,
    /// Look the user up, then call `account`.
    LookUp,
    /// Send the payload, then hand in the answer.
    Send(Bytes),
    /// Check the password, away from the event loop, then call `checked`.
    Check(Box<FullCheck>),
    /// The login is good. The payload, if any, is sent before the final OK, which is the
    /// caller's.
    Accept(Option<Bytes>),
    /// Send the error and close.
    Reject(ErrPacket),
}

/// A password that is to be checked against a verifier.
pub struct FullCheck {
    secret: Secret,
    scramble: Scramble,
    verifier: Sha2Verifier,
}

enum Secret {
    Clear(Vec<u8>),
    Encrypted(Vec<u8>),
}

impl std::fmt::Debug for FullCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FullCheck(..)")
    }
}

impl FullCheck {
    /// Checks the password: its proof for the cache when it is right. Takes a millisecond or two.
    pub fn run(&self, rsa: &RsaKey) -> Option<[u8; 32]> {
        let decrypted;
        let password = match &self.secret {
            Secret::Clear(password) => Some(password),
            Secret::Encrypted(message) => {
                decrypted = rsa.decrypt(message, &self.scramble).ok();
                decrypted.as_ref()
            }
        };
        let right = self.verifier.check(password.map_or(b"", Vec::as_slice));
        let password = password.filter(|_| right)?;
        Some(crate::auth::scramble::sha2_proof(password))
    }

    /// The verifier of the check, for the cache.
    pub fn verifier(&self) -> &Sha2Verifier {
        &self.verifier
    }
}

#[derive(Debug)]
enum State {
    /// The answer to the greeting, or a request for TLS, is due.
    Response,
    /// The answer to the greeting is due, within TLS.
    ResponseInTls,
    /// The driver looks the user up.
    LookUp,
    /// An answer to a change of plugin is due.
    Switched,
    /// The password is due.
    Password,
    /// The driver checks the password.
    Checking,
    /// Nothing is due any more.
    Done,
}

/// A login as the server sees it. See the module's text.
#[derive(Debug)]
pub struct ServerHandshake {
    state: State,
    offered: Capabilities,
    default_plugin: Plugin,
    confidential: bool,
    tls_required: bool,
    host: String,
    public_key: Bytes,
    scramble: Scramble,
    fresh_scramble: Scramble,
    decoy: Verifiers,
    login: Login,
    plugin: Option<Plugin>,
    auth: Vec<u8>,
    password_used: bool,
    known: bool,
    verifiers: Verifiers,
    cached: Option<[u8; 32]>,
}

/// What a login needs to know about the server and the connection.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Capabilities that are offered.
    pub offered: Capabilities,
    /// The plugin that is offered first.
    pub default_plugin: Plugin,
    /// Nobody else can read the connection: TLS or a Unix socket.
    pub confidential: bool,
    /// Clients must use TLS or a Unix socket.
    pub tls_required: bool,
    /// The client's address, for error texts.
    pub host: String,
    /// The public key in PEM, for clients that ask for it.
    pub public_key: Bytes,
    /// The challenge of the greeting.
    pub scramble: Scramble,
    /// The challenge for a change of plugin.
    pub fresh_scramble: Scramble,
    /// Verifiers of a password that nobody knows.
    pub decoy: Verifiers,
}

impl ServerHandshake {
    /// A login on a new connection.
    pub fn new(terms: Terms) -> Self {
        Self {
            state: State::Response,
            offered: terms.offered,
            default_plugin: terms.default_plugin,
            confidential: terms.confidential,
            tls_required: terms.tls_required,
            host: terms.host,
            public_key: terms.public_key,
            scramble: terms.scramble,
            fresh_scramble: terms.fresh_scramble,
            verifiers: terms.decoy.clone(),
            decoy: terms.decoy,
            login: Login::default(),
            plugin: None,
            auth: Vec::new(),
            password_used: false,
            known: false,
            cached: None,
        }
    }

    /// A login by COM_CHANGE_USER on a connection with `capabilities`. The next step is to look the
    /// user up, as `ServerStep::LookUp` says.
    pub fn change_user(terms: Terms, change: ChangeUser, capabilities: Capabilities) -> Self {
        let mut handshake = Self::new(terms);
        handshake.login = Login {
            user: text(change.user),
            database: change.database.map(text),
            capabilities,
            charset: change.charset.unwrap_or(0),
            max_packet: 0,
            attributes: change.attributes,
        };
        handshake.plugin = named(change.plugin.as_deref());
        handshake.auth = change.auth;
        handshake.state = State::LookUp;
        handshake
    }

    /// The greeting.
    pub fn greeting(&self, server_version: &str, connection_id: u32, charset: u8) -> Greeting {
        Greeting {
            server_version: Greeting::version_for_clients(server_version),
            connection_id,
            scramble: self.scramble,
            capabilities: self.offered,
            charset,
            status: crate::status::Status::AUTOCOMMIT,
            plugin: self.default_plugin.name().to_owned(),
        }
    }

    /// What the client said about itself so far.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Takes a packet of the client.
    pub fn receive(&mut self, payload: &[u8]) -> ServerStep {
        match self.state {
            State::Response if self.asks_for_tls(payload) => {
                self.state = State::ResponseInTls;
                self.confidential = true;
                ServerStep::StartTls
            }
            State::Response | State::ResponseInTls => self.response(payload),
            State::Switched => {
                self.auth = payload.to_vec();
                self.judge()
            }
            State::Password => self.password(payload),
            State::LookUp | State::Checking | State::Done => self.reject(bad_handshake()),
        }
    }

    fn asks_for_tls(&self, payload: &[u8]) -> bool {
        let asked = SslRequest::decode(&mut Reader::new(payload));
        payload.len() == SslRequest::LENGTH
            && self.offered.contains(Capabilities::SSL)
            && asked.is_ok_and(|request| request.capabilities.contains(Capabilities::SSL))
    }

    fn response(&mut self, payload: &[u8]) -> ServerStep {
        let response = match HandshakeResponse::decode(payload, self.offered) {
            Ok(response) => response,
            Err(error) => return self.reject(undecodable(error)),
        };
        if self.tls_required && !self.confidential {
            return self.reject(ErrPacket::new(
                3159,
                b"HY000",
                "Connections using insecure transport are prohibited here. Connect with TLS \
                 (--ssl) or over the Unix socket.",
            ));
        }
        self.plugin = match &response.plugin {
            None => Some(Plugin::Native),
            plugin => named(plugin.as_deref()),
        };
        self.auth = response.auth;
        self.login = Login {
            user: text(response.user),
            database: response.database.map(text),
            capabilities: response.fixed.capabilities,
            charset: u16::from(response.fixed.charset),
            max_packet: response.fixed.max_packet,
            attributes: response.attributes,
        };
        self.state = State::LookUp;
        ServerStep::LookUp
    }

    /// Takes the verifiers of the user, `None` if there is no such user, and the cached proof.
    pub fn account(
        &mut self,
        verifiers: Option<Verifiers>,
        cached: Option<[u8; 32]>,
    ) -> ServerStep {
        self.known = verifiers.is_some();
        self.verifiers = verifiers.unwrap_or_else(|| self.decoy.clone());
        self.cached = cached;
        let switches = self.login.capabilities.contains(Capabilities::PLUGIN_AUTH);
        let plugin =
            match self.plugin {
                // A client whose own plugin is not the one of the greeting holds its answer back.
                Some(plugin)
                    if switches && self.auth.is_empty() && plugin != self.default_plugin =>
                {
                    if self.confidential { plugin } else { self.default_plugin }
                }
                Some(_) => return self.judge(),
                None if switches => self.default_plugin,
                None => return self.reject(bad_handshake()),
            };
        self.plugin = Some(plugin);
        self.scramble = self.fresh_scramble;
        self.state = State::Switched;
        let data = self.scramble.0.to_vec();
        let switch = AuthSwitch { plugin: plugin.name().as_bytes().to_vec(), data };
        let mut out = BytesMut::new();
        switch.encode(&mut out);
        ServerStep::Send(out.freeze())
    }

    /// Decides on the answer to the challenge.
    fn judge(&mut self) -> ServerStep {
        let empty = matches!(self.auth.as_slice(), [] | [0]);
        self.password_used = !empty;
        let verifiers = match (&self.verifiers, empty) {
            (Verifiers::Empty, true) => return self.accept(None),
            (Verifiers::Password { .. }, true) => return self.deny(),
            // A password for an account without one: as wrong as any other.
            (Verifiers::Empty, false) => {
                self.known = false;
                self.decoy.clone()
            }
            (verifiers, false) => verifiers.clone(),
        };
        let Verifiers::Password { native, .. } = &verifiers else { return self.deny() };
        match self.plugin {
            Some(Plugin::Native) => {
                let right = check_native(&self.auth, &self.scramble, native);
                if right && self.known { self.accept(None) } else { self.deny() }
            }
            Some(Plugin::CachingSha2) => {
                let proof = self.cached.filter(|_| self.known);
                if proof.is_some_and(|proof| check_sha2(&self.auth, &self.scramble, &proof)) {
                    return self.accept(Some(more_data(&[exchange::FAST_OK])));
                }
                self.verifiers = verifiers;
                self.state = State::Password;
                ServerStep::Send(more_data(&[exchange::FULL]))
            }
            None => self.deny(),
        }
    }

    fn password(&mut self, payload: &[u8]) -> ServerStep {
        let secret = match (self.confidential, payload) {
            (false, [exchange::WANT_PUBLIC_KEY]) => {
                return ServerStep::Send(more_data(&self.public_key));
            }
            (false, message) => Secret::Encrypted(message.to_vec()),
            (true, [password @ .., 0]) => Secret::Clear(password.to_vec()),
            (true, _) => return self.reject(bad_handshake()),
        };
        let Verifiers::Password { sha2, .. } = &self.verifiers else { return self.deny() };
        let check = FullCheck { secret, scramble: self.scramble, verifier: sha2.clone() };
        self.state = State::Checking;
        ServerStep::Check(Box::new(check))
    }

    /// Takes the outcome of a check. Returns whether the login is good, as a step.
    pub fn checked(&mut self, right: bool) -> ServerStep {
        if right && self.known { self.accept(None) } else { self.deny() }
    }

    fn accept(&mut self, before: Option<Bytes>) -> ServerStep {
        self.state = State::Done;
        ServerStep::Accept(before)
    }

    fn deny(&mut self) -> ServerStep {
        let denied = access_denied(&self.login.user, &self.host, self.password_used);
        self.reject(denied)
    }

    fn reject(&mut self, error: ErrPacket) -> ServerStep {
        self.state = State::Done;
        ServerStep::Reject(error)
    }
}

fn named(plugin: Option<&[u8]>) -> Option<Plugin> {
    plugin.and_then(Plugin::named)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn more_data(data: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    exchange::encode_more_data(data, &mut out);
    out.freeze()
}

/// MySQL's error for a login that is refused.
pub fn access_denied(user: &str, host: &str, password_used: bool) -> ErrPacket {
    let password = if password_used { "YES" } else { "NO" };
    let message = format!("Access denied for user '{user}'@'{host}' (using password: {password})");
    ErrPacket::new(1045, b"28000", message)
}

fn bad_handshake() -> ErrPacket {
    ErrPacket::new(1043, b"08S01", "Bad handshake")
}

fn undecodable(error: DecodeError) -> ErrPacket {
    ErrPacket::new(1043, b"08S01", format!("Bad handshake ({error})"))
}
