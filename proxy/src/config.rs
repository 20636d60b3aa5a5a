//! The proxy's configuration and its limits.

use crate::operations::Operations;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

/// What a proxy is started with.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Where clients connect. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// A Unix socket for clients on this machine.
    pub socket: Option<PathBuf>,
    /// How the connections of clients are encrypted.
    pub tls: ClientTls,
    /// The account on the shards' servers.
    pub backend: BackendAccount,
    /// The version in the greeting; drivers branch on it.
    pub server_version: String,
    /// Limits.
    pub limits: Limits,
    /// Threads that serve sessions, each with an event loop of its own; see
    /// [`usual_workers`].
    pub workers: usize,
    /// How long a drain waits for open transactions.
    pub drain_timeout: Duration,
    /// What reads of sessions see that have not set it.
    pub read_consistency: ReadConsistency,
    /// Whether binlogs are read to prove that transactions over several shards are whole.
    pub auditor: bool,
    /// From here on a statement is listed as slow.
    pub slow_from: Duration,
    /// What operators ask of the cluster in SQL; None refuses it.
    pub operations: Option<Arc<dyn Operations>>,
}

/// What a session's reads see of transactions over several shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadConsistency {
    /// Each shard's own isolation.
    #[default]
    Local,
    /// Nothing that is not decided.
    Committed,
    /// Nothing in part.
    Atomic,
    /// All of one moment, at which no commit is admitted anywhere.
    Strict,
}

impl ReadConsistency {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            ReadConsistency::Local => "local",
            ReadConsistency::Committed => "committed",
            ReadConsistency::Atomic => "atomic",
            ReadConsistency::Strict => "strict",
        }
    }

    /// The level of this name.
    pub fn of(name: &str) -> Option<Self> {
        use ReadConsistency::{Atomic, Committed, Local, Strict};
        let all = [Local, Committed, Atomic, Strict];
        all.into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }
}

/// TLS towards clients.
#[derive(Clone, Debug, Default)]
pub enum ClientTls {
    /// Not offered.
    Off,
    /// Offered with this certificate chain and key, both PEM files.
    Files {
        /// Certificate chain.
        certificate: PathBuf,
        /// Private key.
        key: PathBuf,
    },
    /// Offered with a certificate that is made at the start and signed by itself: it
    /// encrypts, and proves nothing about who answers.
    #[default]
    SelfSigned,
}

/// The account by which the proxy connects to the shards.
#[derive(Clone)]
pub struct BackendAccount {
    /// User name.
    pub user: String,
    /// Password; empty for none.
    pub password: String,
}

impl std::fmt::Debug for BackendAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendAccount").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What bounds the proxy's memory, connections and waits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Client connections at once.
    pub client_connections_max: usize,
    /// Connections to one shard at once.
    pub backend_connections_max: usize,
    /// Statements that may wait for a connection of one shard at once.
    pub backend_waiters_max: usize,
    /// How long a statement waits for a connection.
    pub checkout_timeout: Duration,
    /// How long connecting to a shard may take.
    pub connect_timeout: Duration,
    /// Bytes of one command.
    pub packet_bytes_max: usize,
    /// Prepared statements of one session.
    pub statements_max: usize,
    /// Bytes of the texts and long data of one session's prepared statements.
    pub statement_bytes_max: usize,
    /// Bytes that one statement may keep while it merges.
    pub merge_bytes_max: usize,
    /// Rows that one statement may bring to one server.
    pub compute_rows_max: usize,
    /// Bytes of them.
    pub compute_bytes_max: usize,
    /// How long bringing them may take.
    pub compute_timeout: Duration,
    /// An idle session is closed after this time, unless it set `wait_timeout`.
    pub idle_timeout: Duration,
    /// How long the handshake may take.
    pub handshake_timeout: Duration,
    /// Numbers that are fetched at once from a table's sequence.
    pub sequence_block: u64,
    /// Statements that may wait at once for units that change their shard.
    pub held_statements_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            client_connections_max: 4_096,
            backend_connections_max: 64,
            backend_waiters_max: 8_192,
            checkout_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            packet_bytes_max: 64 << 20,
            statements_max: 16_382,
            statement_bytes_max: 64 << 20,
            merge_bytes_max: 256 << 20,
            compute_rows_max: 10_000_000,
            compute_bytes_max: 2 << 30,
            compute_timeout: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(28_800),
            handshake_timeout: Duration::from_secs(10),
            sequence_block: 1_000,
            held_statements_max: 4_096,
        }
    }
}

impl ProxyConfig {
    /// A configuration with default limits.
    pub fn new(listen: SocketAddr, backend: BackendAccount) -> Self {
        ProxyConfig {
            listen,
            socket: None,
            tls: ClientTls::default(),
            backend,
            server_version: format!("10.11.0-MariaDB-shardline-{}", env!("CARGO_PKG_VERSION")),
            limits: Limits::default(),
            workers: usual_workers(),
            drain_timeout: Duration::from_secs(8),
            read_consistency: ReadConsistency::default(),
            auditor: true,
            slow_from: crate::stats::SLOW_USUAL,
            operations: None,
        }
    }
}

/// Half of the processors, at least one: the kernel's share of a statement, its network
/// work and its wake-ups, runs beside the threads, and a thread that is seldom idle needs
/// fewer wake-ups for a statement. `docs/decisions` has the measurement.
pub fn usual_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}
