//! The proxy's front: listeners, logins, the lease, and the drain at the end.

use crate::{
    auto_increment::Sequences,
    backend::{PoolConfig, PoolLimits, PoolSet},
    config::{ClientTls, ProxyConfig},
    distributed::{Distributed, audit, deadlock, janitor, setup::SetupError},
    error::SqlError,
    holds::{self, Holds},
    inside::Inside,
    metrics::Metrics,
    registry::{Registration, Registry},
    session::{Admitted, Session, client::Client, shared::Shared},
    stats::{self, Statistics},
    worker::{Seat, Workers},
};
use arc_swap::ArcSwapOption;
use shardline_base::{BackoffConfig, Policy, Shutdown, Tasks};
use shardline_meta_client::{LeaseError, MetaClient, ProxyLease, ProxyRegistration};
use shardline_model::id::Incarnation;
use shardline_model::{catalog::Catalog, id::Epoch};
use shardline_router::router::{Router, RouterConfig};
use shardline_wire::{
    Connection, ErrPacket, OkPacket,
    auth::Verifiers,
    capability::Capabilities,
    server::{self, AcceptError, Authenticator, ServerConfig, ServerConfigError},
    stream::Stream,
    tls::{self, TlsError},
};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpListener, UnixListener};

/// Prepared statements that one backend connection keeps.
const BACKEND_STATEMENTS_MAX: usize = 512;
/// How often it is looked whether old catalogs are still in use.
const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_millis(20);
/// How often a new lease is looked for, which knows of no catalog yet.
const LEASE_INTERVAL: Duration = Duration::from_secs(1);
/// A listener that cannot accept (no file descriptors) waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// An address cannot be listened on.
    #[error("cannot listen for clients on {address}")]
    Listen {
        /// The address or path.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The threads of the sessions cannot be started.
    #[error("cannot start the threads that serve sessions")]
    Threads(#[source] io::Error),
    /// The metadata service gives no lease.
    #[error("cannot take a lease for this proxy")]
    Lease(#[source] LeaseError),
    /// The incarnation cannot begin.
    #[error("cannot make the account of this proxy")]
    Incarnation(#[source] SetupError),
    /// A TLS file cannot be read.
    #[error("cannot read {path}")]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS for clients")]
    Tls(#[source] TlsError),
    /// No certificate can be made.
    #[error("cannot make a self-signed certificate: {reason}")]
    Certificate {
        /// Why.
        reason: String,
    },
    /// The keys for logins cannot be made.
    #[error("cannot prepare for logins")]
    Login(#[source] ServerConfigError),
}

/// A proxy that listens and does not serve yet.
pub struct Proxy {
    shared: Arc<Shared>,
    tcp: TcpListener,
    unix: Option<UnixListener>,
    address: SocketAddr,
    workers: Workers,
}

/// The accounts of a catalog.
pub(crate) struct CatalogUsers(pub(crate) Arc<Catalog>);

impl Authenticator for CatalogUsers {
    fn look_up(&self, user: &str) -> Option<Verifiers> {
        let user = self.0.users.get(user)?;
        match Verifiers::parse(&user.native_verifier, user.sha2_verifier.as_bytes()) {
            Ok(verifiers) => Some(verifiers),
            Err(error) => {
                tracing::error!(user = user.name, %error, "the catalog's verifiers cannot be read");
                None
            }
        }
    }
}

impl ProxyConfig {
    /// Listens, takes a lease and makes the pools.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub async fn build(self, meta: Arc<MetaClient>) -> Result<Proxy, ProxyError> {
        let listening = |address: String| move |source| ProxyError::Listen { address, source };
        let tcp =
            TcpListener::bind(self.listen).await.map_err(listening(self.listen.to_string()))?;
        let address = tcp.local_addr().map_err(listening(self.listen.to_string()))?;
        let unix = self
            .socket
            .as_deref()
            .map(|path| bind_socket(path).map_err(listening(path.display().to_string())));
        let unix = unix.transpose()?;
        let wire = self.wire_config()?;
        let workers = Workers::start(self.workers).map_err(ProxyError::Threads)?;
        let lease = meta.lease(registration(address)).await.map_err(ProxyError::Lease)?;
        let pools = PoolSet::new(self.pool_config());
        pools.apply_catalog(&meta.catalog());
        let limits = self.limits.clone();
        let distributed = Arc::new(Distributed::new(meta.clone(), pools.clone()));
        distributed.begin(lease.incarnation()).map_err(ProxyError::Incarnation)?;
        let socket = self.socket.as_deref().map(|path| path.display().to_string());
        let statistics = Statistics::new(self.workers, self.slow_from);
        let shared = Arc::new(Shared {
            socket: socket.unwrap_or_default().into(),
            port: address.port(),
            registry: Arc::new(Registry::new(limits.client_connections_max)),
            sequences: Sequences::new(meta.clone(), limits.sequence_block),
            config: self,
            meta,
            lease: ArcSwapOption::from_pointee(lease),
            router: Router::new(RouterConfig::default()),
            pools,
            distributed,
            holds: Holds::default(),
            metrics: Metrics::default(),
            statistics,
            wire,
            computing: tokio::sync::Semaphore::new((limits.backend_connections_max / 2).max(1)),
            schema_change: tokio::sync::Mutex::new(()),
        });
        Ok(Proxy { shared, tcp, unix, address, workers })
    }

    fn pool_config(&self) -> PoolConfig {
        let limits = &self.limits;
        let usual = PoolConfig::new(self.backend.clone());
        PoolConfig {
            limits: PoolLimits {
                connections_max: limits.backend_connections_max,
                waiters_max: limits.backend_waiters_max,
                ..usual.limits
            },
            checkout_timeout: limits.checkout_timeout,
            connect_timeout: limits.connect_timeout,
            statements_max: BACKEND_STATEMENTS_MAX,
            workers: self.workers,
            ..usual
        }
    }

    fn wire_config(&self) -> Result<ServerConfig, ProxyError> {
        let wire = ServerConfig::new(self.server_version.clone()).map_err(ProxyError::Login)?;
        let tls = match &self.tls {
            ClientTls::Off => None,
            ClientTls::Files { certificate, key } => {
                let (chain, key) = (read(certificate)?, read(key)?);
                Some(tls::server_config(&chain, &key).map_err(ProxyError::Tls)?)
            }
            ClientTls::SelfSigned => {
                let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
                let made = rcgen::generate_simple_self_signed(names)
                    .map_err(|error| ProxyError::Certificate { reason: error.to_string() })?;
                let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
                let config = tls::server_config(chain.as_bytes(), key.as_bytes());
                Some(config.map_err(ProxyError::Tls)?)
            }
        };
        Ok(ServerConfig {
            tls,
            login_timeout: self.limits.handshake_timeout,
            max_allowed_packet: self.limits.packet_bytes_max,
            ..wire
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ProxyError> {
    std::fs::read(path).map_err(|source| ProxyError::TlsFile { path: path.to_owned(), source })
}

/// A socket file that a killed process left behind is taken away first; a live one is in
/// use.
fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    UnixListener::bind(path)
}

fn registration(address: SocketAddr) -> ProxyRegistration {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    ProxyRegistration { address: address.to_string(), version }
}

impl Proxy {
    /// What others in this process may see of it.
    pub fn inside(&self) -> Inside {
        Inside::new(self.shared.clone())
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells under which lease the proxy serves, while it does.
    pub fn incarnation(&self) -> impl Fn() -> Option<Incarnation> + Send + Sync + use<> {
        let shared = self.shared.clone();
        move || {
            let lease = shared.lease.load();
            lease.as_ref().filter(|lease| lease.valid()).map(|lease| lease.incarnation())
        }
    }

    /// Serves until told to stop; then open transactions may end until the drain's
    /// deadline.
    ///
    /// # Errors
    /// None at present: what goes wrong concerns one session, or ends the process's tasks.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), ProxyError> {
        let Proxy { shared, tcp, unix, address, workers } = self;
        // The pools outlive the sessions, which still need them while they are drained.
        let background = Tasks::new("proxy", &Shutdown::new());
        let stop = background.shutdown().clone();
        background.spawn("pools", Policy::Essential, shared.pools.clone().run(stop.clone()));
        let lease = keep_lease(shared.clone(), address, stop.clone());
        background.spawn("lease", Policy::Essential, lease);
        let catalog = follow_catalog(shared.clone(), stop.clone());
        background.spawn("catalog", Policy::Essential, catalog);
        let (recovery, ledgers) = shared.distributed.background(stop.clone());
        background.spawn("recovery", Policy::Essential, recovery);
        background.spawn("forgetting", Policy::Essential, ledgers);
        background.spawn("janitor", Policy::Essential, janitor::run(shared.clone(), stop.clone()));
        let deadlocks = deadlock::watch::run(shared.clone(), stop.clone());
        background.spawn("deadlocks", Policy::Essential, deadlocks);
        if shared.config.auditor {
            let auditor = audit::follow::run(shared.clone(), stop.clone());
            background.spawn("auditor", Policy::Essential, auditor);
        }
        background.spawn(
            "statistics",
            Policy::Essential,
            make_points(shared.clone(), stop.clone()),
        );
        background.spawn("holds", Policy::Essential, holds::run(shared.clone(), stop.clone()));
        let warm = shared.clone();
        background.spawn("set shards up", Policy::Isolated, async move {
            stop.or(warm.distributed.warm()).await;
        });
        let sessions = Tasks::new("sessions", &shutdown);
        tracing::info!(%address, "proxy ready");
        loop {
            tokio::select! {
                () = shutdown.triggered() => break,
                accepted = tcp.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let socket = Accepted::Tcp(stream);
                        admit(&shared, &sessions, &workers, socket, peer.to_string());
                    }
                    Err(error) => pause(&error).await,
                },
                accepted = accept_unix(unix.as_ref()) => match accepted {
                    Ok(stream) => {
                        let socket = Accepted::Unix(stream);
                        admit(&shared, &sessions, &workers, socket, "localhost".into());
                    }
                    Err(error) => pause(&error).await,
                },
            }
        }
        drop((tcp, unix));
        tracing::info!(sessions = sessions.len(), "draining");
        shared.registry.drain();
        sessions.stop_within(shared.config.drain_timeout).await;
        // Their threads end at once: nothing is left on them.
        let _ = tokio::task::spawn_blocking(|| workers.stop()).await;
        background.stop_within(Duration::from_secs(2)).await;
        if let Some(lease) = shared.lease.swap(None)
            && let Ok(lease) = Arc::try_unwrap(lease)
        {
            lease.release().await;
        }
        Ok(())
    }
}

/// Makes a point of the statistics each second.
async fn make_points(shared: Arc<Shared>, stop: Shutdown) {
    let mut ticks = tokio::time::interval(stats::POINT_PAUSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.or(ticks.tick()).await.is_some() {
        let sessions = shared.registry.list();
        let running = sessions.iter().filter(|session| session.command != "Sleep").count();
        shared.statistics.make_point(sessions.len() as u64, running as u64);
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a client");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn accept_unix(listener: Option<&UnixListener>) -> io::Result<tokio::net::UnixStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// A client's socket, on the event loop of the listener.
enum Accepted {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Accepted {
    /// Takes the socket off that event loop.
    fn detach(self) -> io::Result<Detached> {
        match self {
            Accepted::Tcp(stream) => stream.into_std().map(Detached::Tcp),
            Accepted::Unix(stream) => stream.into_std().map(Detached::Unix),
        }
    }
}

/// A client's socket on its way to the thread of its session.
enum Detached {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Detached {
    /// Puts the socket on the current thread's event loop.
    fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            Detached::Tcp(stream) => tokio::net::TcpStream::from_std(stream)?.into(),
            Detached::Unix(stream) => tokio::net::UnixStream::from_std(stream)?.into(),
        })
    }
}

/// Gives a new connection a place, a thread and a task.
fn admit(
    shared: &Arc<Shared>,
    sessions: &Tasks,
    workers: &Workers,
    socket: Accepted,
    peer: String,
) {
    // A connection id is unique in the cluster by the id that the lease holds.
    let held = shared.lease.load_full().filter(|lease| lease.valid());
    let place = held
        .ok_or_else(SqlError::no_lease)
        .and_then(|lease| shared.registry.register(lease.proxy_id().0, peer));
    let socket = match socket.detach() {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, "cannot hand a client's socket to a thread");
            return;
        }
    };
    let (seat, runtime) = workers.seat();
    match place {
        Ok(registration) => {
            let shutdown = sessions.shutdown().child();
            let name = format!("session {}", registration.id);
            let serve = serve(shared.clone(), socket, registration, seat, shutdown);
            sessions.spawn_on(runtime, name, Policy::Isolated, serve);
        }
        Err(error) => {
            shared.metrics.error(&error);
            let told = turn_away(socket, error);
            sessions.spawn_on(runtime, "turn away a client", Policy::Isolated, told);
        }
    }
}

/// Tells a client before the greeting that there is no place.
async fn turn_away(socket: Detached, error: SqlError) {
    let Ok(stream) = socket.attach() else { return };
    let mut connection = Connection::new(stream, 0);
    let packet = packet_of(&error);
    connection.queue_with(|out| packet.encode(Capabilities::NONE, out));
    let told = tokio::time::timeout(Duration::from_secs(1), connection.shutdown());
    // The client may be gone already.
    let _ = told.await;
}

fn packet_of(error: &SqlError) -> ErrPacket {
    let message = bytes::Bytes::copy_from_slice(&error.message);
    ErrPacket { code: error.number, sql_state: error.state, message }
}

/// One client, from its login to its end.
async fn serve(
    shared: Arc<Shared>,
    socket: Detached,
    registration: Registration,
    seat: Seat,
    shutdown: Shutdown,
) {
    let id = registration.id;
    let stream = match socket.attach() {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(session = id, %error, "cannot watch a client's socket");
            return;
        }
    };
    let users = CatalogUsers(shared.meta.catalog());
    let login = server::accept(stream, id, &shared.wire, &users);
    // Apart, so that the session does not keep the room that its login took.
    let Some(accepted) = Box::pin(shutdown.or(login)).await else { return };
    // It would keep its catalog in use as long as the session lasts.
    drop(users);
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            log_refused(id, &error);
            return;
        }
    };
    let capabilities = accepted.login.capabilities;
    let client = Client { connection: accepted.connection, capabilities };
    let admitted = Admitted {
        client,
        registration,
        seat,
        login: accepted.login,
        host: accepted.host,
        scramble: accepted.scramble,
    };
    shared.metrics.connections.increment(1);
    shared.metrics.sessions.increment(1.0);
    match Session::new(shared.clone(), admitted) {
        Ok(mut session) => {
            if session.welcome().await.is_ok() {
                Box::pin(session.run()).await;
            }
        }
        Err(refused) => {
            let (mut client, error) = *refused;
            shared.metrics.error(&error);
            client.queue_error(&error);
            let told = tokio::time::timeout(Duration::from_secs(1), client.connection.shutdown());
            // The client may be gone already.
            let _ = told.await;
        }
    }
    shared.metrics.sessions.decrement(1.0);
}

fn log_refused(id: u32, error: &AcceptError) {
    match error {
        AcceptError::Refused(error) => tracing::info!(session = id, %error, "login refused"),
        error => tracing::debug!(session = id, %error, "login failed"),
    }
}

/// Takes a new lease whenever the old one has ended. Until then sessions refuse
/// statements. Each lease is an incarnation of its own on the shards.
async fn keep_lease(shared: Arc<Shared>, address: SocketAddr, stop: Shutdown) {
    loop {
        let held: Option<Arc<ProxyLease>> = shared.lease.load_full();
        if let Some(lease) = held {
            if stop.or(lease.lost()).await.is_none() {
                return;
            }
            tracing::error!("the lease was lost: statements are refused until there is a new one");
            shared.lease.store(None);
            shared.distributed.end();
        }
        let mut backoff = BackoffConfig { first_ms: 50, longest_ms: 1_000 }.build();
        loop {
            match stop.or(shared.meta.lease(registration(address))).await {
                None => return,
                Some(Ok(lease)) => {
                    let incarnation = lease.incarnation();
                    // First, so that no statement under it meets a connection of the old one.
                    match shared.distributed.begin(incarnation) {
                        Ok(()) => {
                            tracing::info!(proxy = %lease.proxy_id(), %incarnation, "lease taken");
                            shared.lease.store(Some(Arc::new(lease)));
                            break;
                        }
                        Err(error) => tracing::error!(%error, "cannot begin an incarnation"),
                    }
                }
                Some(Err(error)) => tracing::warn!(%error, "cannot take a lease"),
            }
            if stop.or(tokio::time::sleep(backoff.next_delay())).await.is_none() {
                return;
            }
        }
    }
}

/// Follows the catalog: pools, and the oldest version that a statement may still use.
async fn follow_catalog(shared: Arc<Shared>, stop: Shutdown) {
    let mut epochs = shared.meta.subscribe();
    let (mut applied, mut followed) = (None, Epoch::default());
    loop {
        let catalog = shared.meta.catalog();
        let newest = catalog.epoch;
        if applied != Some(newest) {
            shared.pools.apply_catalog(&catalog);
            holds::forget_sequences(&catalog, &shared.sequences);
            applied = Some(newest);
        }
        drop(catalog);
        let oldest = shared.meta.oldest_in_use();
        // Taken afterwards: it knows every hold that `oldest` knows and that still stands.
        let catalog = shared.meta.catalog();
        let is_held = holds::is_any(&catalog);
        let oldest = match is_held {
            true => holds::acknowledgeable(oldest, &catalog, &shared.registry),
            false => oldest,
        };
        drop(catalog);
        if let Some(lease) = &*shared.lease.load() {
            lease.acknowledge(oldest);
            // A schema change is not held up half-way.
            if shared.schema_change.try_lock().is_ok() {
                lease.admits_by(newest);
                followed = newest;
            }
        }
        let pause = match (oldest < newest || followed < newest, is_held) {
            (true, true) => holds::ACKNOWLEDGE_INTERVAL,
            (true, false) => ACKNOWLEDGE_INTERVAL,
            (false, _) => LEASE_INTERVAL,
        };
        tokio::select! {
            () = stop.triggered() => return,
            changed = epochs.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Session {
    /// The OK packet that ends the login.
    async fn welcome(&mut self) -> Result<(), crate::session::client::ClientLost> {
        let ok = OkPacket::with_status(self.status(crate::session::Position::Only));
        self.client.queue_ok(&ok);
        self.client.flush(&self.registration.kill).await
    }
}
