//! The front door: one node, from its configuration to its end.

use crate::{
    bootstrap,
    command::MetaRaft,
    config::{Config, ConfigError},
    lease_board::LeaseBoard,
    lease_driver,
    log_store::LogStore,
    machine::{Machine, MachineError},
    network::Network,
    server::Server,
    service::{Context, SNAPSHOTS_AT_ONCE},
};
use openraft::Raft;
use parking_lot::Mutex;
use shardline_base::{Policy, Shutdown, Tasks};
use shardline_meta_client::TlsError;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long the node's tasks get to end.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration is wrong.
    #[error("the metadata node's configuration is wrong")]
    Config(#[from] ConfigError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS for the metadata node")]
    Tls(#[from] TlsError),
    /// The data folder cannot be made.
    #[error("cannot make the data folder {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The log cannot be opened: another process has it, or the disk or file is damaged.
    #[error("cannot open the metadata log in {} (is another node using it?)", folder.display())]
    Log {
        /// The folder.
        folder: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<redb::Error>,
    },
    /// The snapshot cannot be used.
    #[error("cannot load the metadata snapshot")]
    Snapshot(#[from] MachineError),
    /// The port cannot be had.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// Raft did not start.
    #[error("cannot start Raft: {reason}")]
    Raft {
        /// Why.
        reason: String,
    },
}

/// Why a node stopped by itself. It acknowledged nothing that it could not store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Raft met something it cannot go on from: above all a disk that fails or is full.
    #[error("metadata node {node_id} stopped, its storage in {} cannot be trusted: {reason}", folder.display())]
    Fatal {
        /// The node.
        node_id: u64,
        /// Its data folder.
        folder: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The first start failed.
    #[error("metadata node {node_id} could not initialise the cluster: {reason}")]
    Initialise {
        /// The node.
        node_id: u64,
        /// Why.
        reason: String,
    },
    /// One of its tasks ended unasked; the log has the reason.
    #[error("metadata node {node_id} lost one of its tasks")]
    TaskLost {
        /// The node.
        node_id: u64,
    },
}

/// A node that is ready to run.
///
/// Build and run it on a small runtime of its own (two threads): on one that also serves
/// data, load could hold back heartbeats for longer than the election timeout.
pub struct MetaNode {
    config: Config,
    context: Arc<Context>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    connector: Option<TlsConnector>,
}

impl Config {
    /// Opens the data folder, resumes from what is there, and takes the port. Raft starts
    /// to work at once; [`MetaNode::run`] lets it be heard.
    pub async fn build(self) -> Result<MetaNode, BuildError> {
        self.check()?;
        let acceptor = self.tls.as_ref().map(|files| files.acceptor()).transpose()?;
        let connector = self.tls.as_ref().map(|files| files.connector()).transpose()?;
        let folder = self.data_dir.clone();
        std::fs::create_dir_all(&folder)
            .map_err(|source| BuildError::Folder { folder: folder.clone(), source })?;
        let log = LogStore::open(&folder.join("log.redb"))
            .map_err(|source| BuildError::Log { folder, source: Box::new(source) })?;
        let machine = Machine::open(&self.data_dir)?;
        let listen = self.listen;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|source| BuildError::Listen { listen, source })?;
        self.assemble(log, machine, listener, acceptor, connector).await
    }

    pub(crate) async fn assemble(
        self,
        log: LogStore,
        machine: Machine,
        listener: TcpListener,
        acceptor: Option<TlsAcceptor>,
        connector: Option<TlsConnector>,
    ) -> Result<MetaNode, BuildError> {
        let network = Network { tls: connector.clone() };
        let settings = Arc::new(self.timing.raft());
        let raft = Raft::<MetaRaft>::new(self.node_id, settings, network, log, machine.clone())
            .await
            .map_err(|error| BuildError::Raft { reason: error.to_string() })?;
        let lease_ttl = Duration::from_millis(self.timing.lease_ttl_ms);
        let context = Arc::new(Context {
            node_id: self.node_id,
            raft,
            machine,
            board: Mutex::new(LeaseBoard::new(lease_ttl)),
            lease_ttl,
            quorum_silence: Duration::from_millis(self.timing.election_timeout_max_ms * 2),
            snapshots: Semaphore::new(SNAPSHOTS_AT_ONCE),
        });
        Ok(MetaNode { config: self, context, listener, acceptor, connector })
    }
}

impl MetaNode {
    /// Where it listens; tells the port when port 0 was asked for.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until told to stop (Ok) or until it cannot go on.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), NodeError> {
        let Self { config, context, listener, acceptor, connector } = self;
        let node_id = config.node_id;
        let tasks = Tasks::new("meta node", &shutdown);
        let stop = tasks.shutdown().clone();
        let server = Server { listener, tls: acceptor, context: context.clone() };
        tasks.spawn("server", Policy::Essential, server.run(stop.clone()));
        tasks.spawn("leases", Policy::Essential, lease_driver::run(context.clone(), stop.clone()));
        tracing::info!(node_id, "metadata node started");

        let initialised = bootstrap::initialise(&context.raft, &config, connector.as_ref()).await;
        let ended =
            match initialised {
                Ok(()) => stop.or(fatal_reason(&context.raft)).await.map(|reason| {
                    NodeError::Fatal { node_id, folder: config.data_dir.clone(), reason }
                }),
                Err(reason) => Some(NodeError::Initialise { node_id, reason }),
            };
        let lost = (ended.is_none() && !shutdown.is_triggered())
            .then_some(NodeError::TaskLost { node_id });
        tasks.stop_within(STOP_LIMIT).await;
        if tokio::time::timeout(STOP_LIMIT, context.raft.shutdown()).await.is_err() {
            tracing::warn!(node_id, "raft takes long to stop");
        }
        match ended.or(lost) {
            None => {
                tracing::info!(node_id, "metadata node stopped");
                Ok(())
            }
            Some(error) => {
                tracing::error!(%error, "metadata node failed");
                Err(error)
            }
        }
    }
}

/// Returns when Raft cannot go on, with the reason.
async fn fatal_reason(raft: &Raft<MetaRaft>) -> String {
    let mut metrics = raft.metrics();
    loop {
        if let Err(fatal) = &metrics.borrow_and_update().running_state {
            return fatal.to_string();
        }
        if metrics.changed().await.is_err() {
            return "raft ended without a reason".to_owned();
        }
    }
}
