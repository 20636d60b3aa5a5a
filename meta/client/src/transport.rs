//! Connections of the service's one port: TCP, TLS when configured, then eight bytes that
//! say which protocol follows, then frames.

use crate::frame::FrameStream;
use rustls_pki_types::ServerName;
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The first bytes of a connection, before the [`Channel`]'s number: name and version.
const PREFACE: [u8; 7] = *b"SLMETA\x01";

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// [`crate::rpc`]: requests of clients.
    Client,
    /// Raft messages between nodes, which the service defines.
    Raft,
}

/// TCP or TLS.
pub trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static> Transport for T {}

/// Frames over TCP or TLS.
pub type Frames = FrameStream<Box<dyn Transport>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The TCP connection or the TLS handshake failed.
    #[error("cannot connect to {endpoint}")]
    Connect {
        /// Where to.
        endpoint: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// It took too long.
    #[error("cannot connect to {endpoint} within {limit_ms} ms")]
    Timeout {
        /// Where to.
        endpoint: String,
        /// The limit.
        limit_ms: u64,
    },
    /// The host part of an endpoint is neither a DNS name nor an IP address.
    #[error("{endpoint} is not HOST:PORT with a host that TLS can verify")]
    Name {
        /// The endpoint.
        endpoint: String,
    },
    /// The peer's first bytes are not ours, or the TLS handshake failed.
    #[error("cannot accept a connection from {peer}: {reason}")]
    Accept {
        /// The peer.
        peer: String,
        /// What went wrong.
        reason: String,
    },
}

/// Connects to `endpoint` (`HOST:PORT`) and says what follows.
pub async fn connect(
    endpoint: &str,
    tls: Option<&TlsConnector>,
    channel: Channel,
    limit: Duration,
) -> Result<Frames, TransportError> {
    match tokio::time::timeout(limit, connect_unbounded(endpoint, tls, channel)).await {
        Ok(connected) => connected,
        Err(_) => Err(TransportError::Timeout {
            endpoint: endpoint.to_owned(),
            limit_ms: limit.as_millis() as u64,
        }),
    }
}

async fn connect_unbounded(
    endpoint: &str,
    tls: Option<&TlsConnector>,
    channel: Channel,
) -> Result<Frames, TransportError> {
    let failed = |source| TransportError::Connect { endpoint: endpoint.to_owned(), source };
    let tcp = TcpStream::connect(endpoint).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let mut stream: Box<dyn Transport> = match tls {
        None => Box::new(tcp),
        Some(connector) => {
            Box::new(connector.connect(server_name(endpoint)?, tcp).await.map_err(failed)?)
        }
    };
    let mut preface = [0; PREFACE.len() + 1];
    preface[..PREFACE.len()].copy_from_slice(&PREFACE);
    preface[PREFACE.len()] = channel.number();
    stream.write_all(&preface).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    Ok(FrameStream::new(stream))
}

/// Takes the listening side of a fresh connection, within `limit`.
pub async fn accept(
    tcp: TcpStream,
    tls: Option<&TlsAcceptor>,
    limit: Duration,
) -> Result<(Channel, Frames), TransportError> {
    let peer = tcp.peer_addr().map_or_else(|_| "a closed peer".to_owned(), |it| it.to_string());
    let failed = |reason: String| TransportError::Accept { peer: peer.clone(), reason };
    let accepting = async {
        tcp.set_nodelay(true)?;
        let mut stream: Box<dyn Transport> = match tls {
            None => Box::new(tcp),
            Some(acceptor) => Box::new(acceptor.accept(tcp).await?),
        };
        let mut preface = [0; PREFACE.len() + 1];
        stream.read_exact(&mut preface).await?;
        Ok::<_, std::io::Error>((preface, stream))
    };
    let (preface, stream) = match tokio::time::timeout(limit, accepting).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("nothing said within {} ms", limit.as_millis()))),
    };
    let channel = preface
        .strip_prefix(&PREFACE)
        .and_then(|rest| rest.first())
        .and_then(|&number| Channel::of_number(number))
        .ok_or_else(|| failed(format!("its first bytes are {}", preface.escape_ascii())))?;
    Ok((channel, FrameStream::new(stream)))
}

fn server_name(endpoint: &str) -> Result<ServerName<'static>, TransportError> {
    let unverifiable = || TransportError::Name { endpoint: endpoint.to_owned() };
    let (host, _port) = endpoint.rsplit_once(':').ok_or_else(unverifiable)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| unverifiable())
}

impl Channel {
    fn number(self) -> u8 {
        match self {
            Self::Client => 1,
            Self::Raft => 2,
        }
    }

    fn of_number(number: u8) -> Option<Self> {
        [Self::Client, Self::Raft].into_iter().find(|channel| channel.number() == number)
    }
}
