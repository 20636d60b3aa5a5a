//! Taking in a client: the driver of `handshake::server_side`, with time limit and error packets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::auth::scramble::RandomError;
use crate::auth::{Plugin, RsaError, RsaKey, Scramble, Sha2Cache, Verifiers};
use crate::capability::Capabilities;
use crate::connection::{Connection, ConnectionError};
use crate::cursor::DecodeError;
use crate::handshake::server_side::Terms;
use crate::handshake::{self, ChangeUser, Greeting, Login, ServerHandshake, ServerStep};
use crate::packet::FrameError;
use crate::response::ErrPacket;
use crate::stream::Stream;

/// Knows the accounts.
pub trait Authenticator: Sync {
    /// The verifiers of a user, `None` if there is no such user. Must not wait.
    fn look_up(&self, user: &str) -> Option<Verifiers>;
}

/// How clients are taken in. Shared by all connections of a listener.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The version, as `SELECT VERSION()` would show it. The greeting puts `5.5.5-` before a MariaDB 10,
    /// as MariaDB 10 itself does.
    pub server_version: String,
    /// Capabilities that are offered; SSL is added and removed as `tls` says.
    pub capabilities: Capabilities,
    /// The collation that is offered.
    pub charset: u8,
    /// The plugin that is offered first. Clients that start with the other one are served too. The
    /// default is the one of MariaDB, which needs neither TLS nor a public key.
    pub default_plugin: Plugin,
    /// TLS, if there is a certificate.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Whether clients on TCP must use TLS.
    pub tls_required: bool,
    /// Key pair for passwords over open connections.
    pub rsa: Arc<RsaKey>,
    /// Proofs of passwords that were checked.
    pub cache: Arc<Sha2Cache>,
    /// Verifiers that stand in for unknown users.
    pub decoy: Verifiers,
    /// Time for the whole login.
    pub login_timeout: Duration,
    /// Largest payload that is taken after the login, in bytes.
    pub max_allowed_packet: usize,
}

/// Why a configuration cannot be made.
#[derive(Clone, Copy, Debug, Error)]
pub enum ServerConfigError {
    /// No key pair.
    #[error("cannot make the key pair for passwords")]
    Rsa(#[from] RsaError),
    /// No random bytes.
    #[error("cannot make the stand-in for unknown users")]
    Random(#[from] RandomError),
}

impl ServerConfig {
    /// A configuration without TLS. Makes a key pair, which takes up to a second.
    pub fn new(server_version: impl Into<String>) -> Result<Self, ServerConfigError> {
        Ok(Self {
            server_version: server_version.into(),
            capabilities: Capabilities::SERVER,
            charset: crate::column::UTF8MB4_GENERAL_CI as u8,
            default_plugin: Plugin::Native,
            tls: None,
            tls_required: false,
            rsa: Arc::new(RsaKey::generate()?),
            cache: Arc::new(Sha2Cache::new()),
            decoy: Verifiers::decoy()?,
            login_timeout: Duration::from_secs(10),
            max_allowed_packet: 64 << 20,
        })
    }

    fn terms(&self, stream: &Stream, scramble: Scramble) -> Result<Terms, RandomError> {
        let offered = match self.tls {
            Some(_) => self.capabilities.with(Capabilities::SSL),
            None => self.capabilities.without(Capabilities::SSL),
        };
        Ok(Terms {
            offered,
            default_plugin: self.default_plugin,
            confidential: stream.is_confidential(),
            tls_required: self.tls_required,
            host: stream.peer_host(),
            public_key: Bytes::copy_from_slice(self.rsa.public_pem()),
            scramble,
            fresh_scramble: Scramble::random()?,
            decoy: self.decoy.clone(),
        })
    }
}

/// A client that proved who it is. It still waits: the caller answers with an OK packet, or with an
/// ERR packet (no such database, too many connections) and closes.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, ready for the OK packet.
    pub connection: Connection,
    /// What the client said about itself, with the capabilities of both sides.
    pub login: Login,
    /// The client's address, `localhost` for a Unix socket.
    pub host: String,
    /// The challenge of the greeting, for COM_CHANGE_USER.
    pub scramble: Scramble,
}

/// Why a client was not taken in. It was told, as far as it could be.
#[derive(Debug, Error)]
pub enum AcceptError {
    /// The login took too long.
    #[error("the login was not complete in time")]
    TimedOut,
    /// The connection broke.
    #[error("the connection broke during the login")]
    Connection(#[from] ConnectionError),
    /// TLS could not be started.
    #[error("cannot start TLS")]
    Tls(#[source] std::io::Error),
    /// The client was refused: wrong password, or packets that make no sense.
    #[error("the login was refused: {0}")]
    Refused(ErrPacket),
    /// A command that cannot be read.
    #[error("cannot read the command")]
    Malformed(#[from] DecodeError),
    /// The machine cannot do it.
    #[error("the system gives no random bytes")]
    Random(#[from] RandomError),
    /// The task that checks passwords ended.
    #[error("the password check was cancelled")]
    CheckCancelled,
}

/// Takes a client in. `connection_id` is what the client shows and kills by.
pub async fn accept(
    stream: impl Into<Stream>,
    connection_id: u32,
    config: &ServerConfig,
    authenticator: &impl Authenticator,
) -> Result<Accepted, AcceptError> {
    let stream = stream.into();
    let scramble = Scramble::random()?;
    let host = stream.peer_host();
    let mut handshake = ServerHandshake::new(config.terms(&stream, scramble)?);
    let mut connection = Some(Connection::new(stream, handshake::PAYLOAD_MAX));
    let greeting = handshake.greeting(&config.server_version, connection_id, config.charset);
    let run = async {
        let payload = greet(connection.as_mut(), &greeting).await?;
        let step = handshake.receive(&payload);
        drive(&mut handshake, &mut connection, step, config, authenticator).await
    };
    let outcome = timeout(config.login_timeout, run).await.unwrap_or(Err(AcceptError::TimedOut));
    finish(outcome, connection, handshake, host, scramble, config.max_allowed_packet)
}

async fn greet(
    connection: Option<&mut Connection>,
    greeting: &Greeting,
) -> Result<Bytes, AcceptError> {
    let connection = connection.ok_or(ConnectionError::Closed)?;
    connection.queue_with(|out| greeting.encode(out));
    connection.flush().await?;
    read(connection).await
}

fn finish(
    outcome: Result<(), AcceptError>,
    connection: Option<Connection>,
    handshake: ServerHandshake,
    host: String,
    scramble: Scramble,
    max_allowed_packet: usize,
) -> Result<Accepted, AcceptError> {
    outcome?;
    let mut connection = connection.ok_or(ConnectionError::Closed)?;
    connection.set_max_allowed_packet(max_allowed_packet);
    let login = handshake.login().clone();
    Ok(Accepted { connection, login, host, scramble })
}

/// Logs another user in on a connection, as COM_CHANGE_USER asks. `rest` is what follows the
/// command byte. On success the caller resets the session and answers with OK; otherwise it closes.
pub async fn change_user(
    connection: Connection,
    rest: &[u8],
    capabilities: Capabilities,
    scramble: Scramble,
    config: &ServerConfig,
    authenticator: &impl Authenticator,
) -> Result<Accepted, AcceptError> {
    let change = ChangeUser::decode(rest, capabilities)?;
    let host = connection.stream().peer_host();
    let max_allowed_packet = connection.max_allowed_packet();
    let terms = config.terms(connection.stream(), scramble)?;
    let mut handshake = ServerHandshake::change_user(terms, change, capabilities);
    let mut connection = Some(connection);
    let run = drive(&mut handshake, &mut connection, ServerStep::LookUp, config, authenticator);
    let outcome = timeout(config.login_timeout, run).await.unwrap_or(Err(AcceptError::TimedOut));
    finish(outcome, connection, handshake, host, scramble, max_allowed_packet)
}

async fn drive(
    handshake: &mut ServerHandshake,
    slot: &mut Option<Connection>,
    mut step: ServerStep,
    config: &ServerConfig,
    authenticator: &impl Authenticator,
) -> Result<(), AcceptError> {
    loop {
        if matches!(step, ServerStep::StartTls) {
            let connection = slot.take().ok_or(ConnectionError::Closed)?;
            *slot = Some(start_tls(connection, config).await?);
        }
        let connection = slot.as_mut().ok_or(ConnectionError::Closed)?;
        step = match step {
            ServerStep::StartTls => handshake.receive(&read(connection).await?),
            ServerStep::LookUp => {
                let user = &handshake.login().user;
                let verifiers = authenticator.look_up(user);
                let cached = match &verifiers {
                    Some(Verifiers::Password { sha2, .. }) => config.cache.get(user, sha2),
                    Some(Verifiers::Empty) | None => None,
                };
                handshake.account(verifiers, cached)
            }
            ServerStep::Send(payload) => {
                connection.queue_packet(&payload);
                connection.flush().await?;
                handshake.receive(&read(connection).await?)
            }
            ServerStep::Check(check) => {
                let rsa = Arc::clone(&config.rsa);
                let run = move || (check.run(&rsa), check);
                let (proof, check) = tokio::task::spawn_blocking(run)
                    .await
                    .map_err(|_| AcceptError::CheckCancelled)?;
                if let Some(proof) = proof {
                    config.cache.insert(&handshake.login().user, check.verifier(), proof);
                }
                handshake.checked(proof.is_some())
            }
            ServerStep::Accept(before) => {
                if let Some(payload) = before {
                    connection.queue_packet(&payload);
                }
                return Ok(());
            }
            ServerStep::Reject(error) => return Err(refuse(connection, error).await),
        };
    }
}

async fn read(connection: &mut Connection) -> Result<Bytes, AcceptError> {
    match connection.read_packet_exactly().await {
        Ok(payload) => Ok(payload),
        Err(ConnectionError::Frame(error)) => Err(refuse(connection, frame_error(&error)).await),
        Err(error) => Err(error.into()),
    }
}

/// MySQL's error for bytes that are not packets in order and within the limits.
pub fn frame_error(error: &FrameError) -> ErrPacket {
    match error {
        FrameError::OutOfOrder { .. } => ErrPacket::new(1156, b"08S01", "Got packets out of order"),
        FrameError::TooLarge { .. } => {
            let message = "Got a packet bigger than 'max_allowed_packet' bytes";
            ErrPacket::new(1153, b"08S01", message)
        }
    }
}

/// Tells the client, as far as it listens, and turns the error into the outcome.
async fn refuse(connection: &mut Connection, error: ErrPacket) -> AcceptError {
    connection.queue_with(|out| error.encode(Capabilities::PROTOCOL_41, out));
    match connection.shutdown().await {
        Ok(()) | Err(_) => AcceptError::Refused(error),
    }
}

async fn start_tls(
    connection: Connection,
    config: &ServerConfig,
) -> Result<Connection, AcceptError> {
    let sequence = connection.sequence();
    let (Some(tls), Stream::Plain(socket)) = (&config.tls, connection.into_stream()) else {
        return Err(AcceptError::Refused(ErrPacket::new(1043, b"08S01", "Bad handshake")));
    };
    let acceptor = TlsAcceptor::from(Arc::clone(tls));
    let stream = acceptor.accept(socket).await.map_err(AcceptError::Tls)?;
    let stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
    Ok(Connection::over(stream, sequence, handshake::PAYLOAD_MAX))
}
