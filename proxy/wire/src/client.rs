//! Connecting to a server: the driver of `handshake::client_side`, with time limit.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::capability::Capabilities;
use crate::connection::{Connection, ConnectionError};
use crate::handshake::client_side::Credentials;
use crate::handshake::{self, Attributes, ClientError, ClientHandshake, ClientStep};
use crate::response::OkPacket;
use crate::status::Status;
use crate::stream::Stream;
use crate::tls::{self, TlsError};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Host name or address, and port.
    Tcp(String, u16),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

/// How TLS is used.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// The configuration, from `tls::client_config`.
    pub config: Arc<rustls::ClientConfig>,
    /// The name in the server's certificate.
    pub server_name: String,
}

/// How to connect.
#[derive(Clone)]
pub struct ConnectOptions {
    /// Where the server is.
    pub address: Address,
    /// User name.
    pub user: String,
    /// Password; empty for none.
    pub password: String,
    /// Database to start with.
    pub database: Option<String>,
    /// TLS; a server without it is refused then.
    pub tls: Option<ClientTls>,
    /// Capabilities that are wanted; those that the server lacks are left out.
    pub capabilities: Capabilities,
    /// Collation number.
    pub charset: u8,
    /// Connection attributes.
    pub attributes: Attributes,
    /// Whether to take a public key from the server over an open connection. Someone in the middle
    /// could put in a key of their own and read the password.
    pub ask_public_key: bool,
    /// Time for connecting and logging in.
    pub connect_timeout: Duration,
    /// Largest payload that is taken, in bytes.
    pub max_allowed_packet: usize,
}

impl ConnectOptions {
    /// Options with defaults: no password, no database, no TLS.
    pub fn new(address: Address, user: impl Into<String>) -> Self {
        Self {
            address,
            user: user.into(),
            password: String::new(),
            database: None,
            tls: None,
            capabilities: Capabilities::CLIENT,
            charset: crate::column::UTF8MB4_GENERAL_CI as u8,
            attributes: Attributes::new(),
            ask_public_key: false,
            connect_timeout: Duration::from_secs(10),
            max_allowed_packet: 1 << 30,
        }
    }
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("address", &self.address)
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// A connection to a server, logged in and idle.
#[derive(Debug)]
pub struct Backend {
    /// The connection.
    pub connection: Connection,
    /// The server's version without MariaDB's `5.5.5-`.
    pub server_version: String,
    /// Whether the server is a MariaDB.
    pub mariadb: bool,
    /// The server's number of the connection, for KILL.
    pub connection_id: u32,
    /// Capabilities of both sides.
    pub capabilities: Capabilities,
    /// The collation that was asked for.
    pub charset: u8,
    /// Status flags after the login.
    pub status: Status,
}

/// Why a connection could not be made.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The socket could not be connected.
    #[error("cannot connect to {address:?}")]
    Socket {
        /// Where to.
        address: Address,
        /// The error.
        #[source]
        source: std::io::Error,
    },
    /// It took too long.
    #[error("no connection to {address:?} in time")]
    TimedOut {
        /// Where to.
        address: Address,
    },
    /// The connection broke during the login.
    #[error("the connection broke during the login")]
    Connection(#[from] ConnectionError),
    /// The login failed.
    #[error("cannot log in")]
    Login(#[from] ClientError),
    /// TLS could not be started.
    #[error("cannot start TLS")]
    Tls(#[source] std::io::Error),
    /// The TLS options make no sense.
    #[error("cannot use the TLS options")]
    TlsOptions(#[from] TlsError),
}

/// Connects and logs in.
pub async fn connect(options: &ConnectOptions) -> Result<Backend, ConnectError> {
    let late = || ConnectError::TimedOut { address: options.address.clone() };
    timeout(options.connect_timeout, connect_now(options)).await.map_err(|_| late())?
}

async fn connect_now(options: &ConnectOptions) -> Result<Backend, ConnectError> {
    let stream = open(&options.address)
        .await
        .map_err(|source| ConnectError::Socket { address: options.address.clone(), source })?;
    log_in(stream, options).await
}

async fn open(address: &Address) -> std::io::Result<Stream> {
    Ok(match address {
        Address::Tcp(host, port) => TcpStream::connect((host.as_str(), *port)).await?.into(),
        Address::Unix(path) => UnixStream::connect(path).await?.into(),
    })
}

/// Logs in over a stream that is connected already. No time limit.
pub async fn log_in(
    stream: impl Into<Stream>,
    options: &ConnectOptions,
) -> Result<Backend, ConnectError> {
    let stream = stream.into();
    let mut handshake = ClientHandshake::new(Credentials {
        user: options.user.clone(),
        password: options.password.clone(),
        database: options.database.clone(),
        capabilities: options.capabilities,
        charset: options.charset,
        max_packet: u32::try_from(options.max_allowed_packet).unwrap_or(u32::MAX),
        attributes: options.attributes.clone(),
        tls: options.tls.is_some(),
        local: stream.is_confidential(),
        ask_public_key: options.ask_public_key,
    });
    let mut connection = Connection::new(stream, handshake::PAYLOAD_MAX);
    let ok = loop {
        let payload = connection.read_packet_exactly().await?;
        match handshake.receive(&payload)? {
            ClientStep::Wait => {}
            ClientStep::Done(ok) => break ok,
            ClientStep::Send(payload) => {
                connection.queue_packet(&payload);
                connection.flush().await?;
            }
            ClientStep::StartTls(payload) => {
                connection.queue_packet(&payload);
                connection.flush().await?;
                connection = start_tls(connection, options).await?;
                connection.queue_packet(&handshake.in_tls());
                connection.flush().await?;
            }
        }
    };
    Ok(backend(connection, &handshake, ok, options))
}

fn backend(
    mut connection: Connection,
    handshake: &ClientHandshake,
    ok: OkPacket,
    options: &ConnectOptions,
) -> Backend {
    connection.set_max_allowed_packet(options.max_allowed_packet);
    let greeting = handshake.greeting();
    Backend {
        connection,
        server_version: greeting.map_or_else(String::new, |g| g.version().to_owned()),
        mariadb: greeting.is_some_and(handshake::Greeting::is_mariadb),
        connection_id: greeting.map_or(0, |g| g.connection_id),
        capabilities: handshake.capabilities(),
        charset: options.charset,
        status: ok.status,
    }
}

async fn start_tls(
    connection: Connection,
    options: &ConnectOptions,
) -> Result<Connection, ConnectError> {
    let sequence = connection.sequence();
    let (Some(tls), Stream::Plain(socket)) = (&options.tls, connection.into_stream()) else {
        return Err(ClientError::Unexpected.into());
    };
    let name = tls::server_name(&tls.server_name)?;
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let stream = connector.connect(name, socket).await.map_err(ConnectError::Tls)?;
    let stream = Stream::Tls(Box::new(TlsStream::Client(stream)));
    Ok(Connection::over(stream, sequence, handshake::PAYLOAD_MAX))
}
