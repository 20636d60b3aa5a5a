//! Opening a connection to a shard's server: by its Unix socket where that exists, else
//! over TCP; and the state that every connection begins with.

use super::{
    BackendError, ConnClass, chain,
    connection::{BackendConnection, Opened},
    pool::address_text,
    pool_set::PoolConfig,
};
use crate::config::BackendAccount;
use shardline_model::{catalog::ServerAddress, id::ShardId};
use shardline_wire::{
    Capabilities,
    client::{self, Address, Backend, ClientTls, ConnectError, ConnectOptions},
    handshake::ClientError,
};
use std::{
    io,
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// What makes `Names::utf8mb4` true whatever the server's configuration does to the
/// character set of the handshake.
const FIRST_STATEMENT: &[u8] = b"SET NAMES utf8mb4 COLLATE utf8mb4_general_ci";

/// Time between two attempts while a server's queue of connections is full.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(5);

/// Connect, log in, and bring the connection to the state that it is known to begin with.
pub(crate) async fn connect(
    shard: ShardId,
    name: &Arc<str>,
    address: &ServerAddress,
    config: &PoolConfig,
    class: ConnClass,
    account: &BackendAccount,
) -> Result<BackendConnection, BackendError> {
    let options = options(address, config, class, account);
    let backend = connect_patiently(&options).await.map_err(|error| BackendError::Connect {
        name: name.clone(),
        address: address_text(address).into(),
        reason: chain(&error),
        at_login: matches!(error, ConnectError::Login(_)),
        server: match error {
            ConnectError::Login(ClientError::Refused(packet)) => Some(packet),
            _ => None,
        },
    })?;
    let opened = Opened {
        connection: backend.connection,
        capabilities: backend.capabilities,
        thread_id: backend.connection_id,
        server_version: backend.server_version,
        status: backend.status,
    };
    let mut connection =
        BackendConnection::new(shard, name.clone(), class, opened, config.statements_max);
    connection.query_ok(FIRST_STATEMENT).await?;
    Ok(connection)
}

/// A Unix socket whose queue is full refuses at once where TCP would wait: wait here.
async fn connect_patiently(options: &ConnectOptions) -> Result<Backend, ConnectError> {
    let started = Instant::now();
    loop {
        match client::connect(options).await {
            Err(ConnectError::Socket { source, .. })
                if source.kind() == io::ErrorKind::WouldBlock
                    && started.elapsed() < options.connect_timeout =>
            {
                tokio::time::sleep(QUEUE_FULL_WAIT).await;
            }
            done => return done,
        }
    }
}

fn options(
    address: &ServerAddress,
    config: &PoolConfig,
    class: ConnClass,
    account: &BackendAccount,
) -> ConnectOptions {
    let socket = address.socket.as_deref().map(Path::new).filter(|socket| socket.exists());
    let place = match socket {
        Some(socket) => Address::Unix(socket.to_owned()),
        None => Address::Tcp(address.host.clone(), address.port),
    };
    let mut options = ConnectOptions::new(place, account.user.clone());
    options.password.clone_from(&account.password);
    options.capabilities = capabilities(class);
    options.connect_timeout = config.connect_timeout;
    options.max_allowed_packet = config.packet_bytes_max;
    // Nobody sits between two processes of one machine.
    options.ask_public_key = address.host == "localhost"
        || address.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if socket.is_none() {
        options.tls = config
            .tls
            .as_ref()
            .map(|tls| ClientTls { config: tls.clone(), server_name: address.host.clone() });
    }
    options
}

/// Without MULTI_STATEMENTS: a server that refuses a second statement is a second guard
/// behind the router's own splitting.
fn capabilities(class: ConnClass) -> Capabilities {
    let mut wanted = Capabilities::CLIENT
        .without(Capabilities::MULTI_STATEMENTS)
        .without(Capabilities::DEPRECATE_EOF)
        .without(Capabilities::SESSION_TRACK);
    if class.deprecate_eof {
        wanted = wanted.with(Capabilities::DEPRECATE_EOF);
    }
    if class.session_track {
        wanted = wanted.with(Capabilities::SESSION_TRACK);
    }
    if class.found_rows {
        wanted = wanted.with(Capabilities::FOUND_ROWS);
    }
    wanted
}
