//! Starts, kills and restarts nodes.

use shardline_base::Shutdown;
use shardline_meta::{Config, MetaNode, NodeError, Timing};
use shardline_meta_client::{ClientConfig, MetaClient, TlsFiles};
use shardline_model::{
    catalog::{Column, ServerAddress},
    change::Change,
    declared::{TableDefinition, TableSharding},
    id::{ShardId, TableId},
};
use std::{
    collections::BTreeMap,
    future::Future,
    net::TcpListener,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinHandle};

/// No wait in these tests is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Cluster {
    folder: TempDir,
    pub(crate) members: BTreeMap<u64, String>,
    pub(crate) timing: Timing,
    pub(crate) tls: Option<TlsFiles>,
    nodes: BTreeMap<u64, Node>,
    /// The clients' end of life.
    pub(crate) shutdown: Shutdown,
}

struct Node {
    runtime: Runtime,
    shutdown: Shutdown,
    running: JoinHandle<Result<(), NodeError>>,
}

impl Cluster {
    /// All nodes started.
    pub(crate) async fn start(size: u64, timing: Timing) -> Self {
        Self::start_with(size, timing, |_| None).await
    }

    pub(crate) async fn start_with(
        size: u64,
        timing: Timing,
        tls: impl FnOnce(&TempDir) -> Option<TlsFiles>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<_> = (0..size).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let members = (1..).zip(&ports);
        let members = members.map(|(id, port)| (id, port.local_addr().unwrap().to_string()));
        let mut cluster = Self {
            members: members.collect(),
            timing,
            tls: tls(&folder),
            folder,
            nodes: BTreeMap::new(),
            shutdown: Shutdown::new(),
        };
        drop(ports);
        for id in 1..=size {
            cluster.start_node(id).await;
        }
        cluster
    }

    pub(crate) fn data_dir(&self, id: u64) -> PathBuf {
        self.folder.path().join(format!("node{id}"))
    }

    fn config(&self, id: u64) -> Config {
        Config {
            node_id: id,
            listen: self.members[&id].parse().unwrap(),
            data_dir: self.data_dir(id),
            members: self.members.clone(),
            tls: self.tls.clone(),
            timing: self.timing,
        }
    }

    /// Starts a node, waiting for a killed one to let go of its port and files.
    pub(crate) async fn start_node(&mut self, id: u64) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let started = Instant::now();
        let node: MetaNode = loop {
            match runtime.spawn(self.config(id).build()).await.unwrap() {
                Ok(node) => break node,
                Err(error) if started.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    drop(error);
                }
                Err(error) => panic!("node {id} does not start: {error:?}"),
            }
        };
        let shutdown = Shutdown::new();
        let running = runtime.spawn(node.run(shutdown.clone()));
        self.nodes.insert(id, Node { runtime, shutdown, running });
    }

    /// Ends a node without a word.
    pub(crate) fn kill(&mut self, id: u64) {
        self.nodes.remove(&id).unwrap().runtime.shutdown_background();
    }

    /// Ends a node as an operator does.
    pub(crate) async fn stop(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        node.shutdown.trigger();
        node.running.await.unwrap().unwrap();
        node.runtime.shutdown_background();
    }

    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(self.members.values().cloned());
        config.tls = self.tls.clone();
        config
    }

    pub(crate) async fn client(&self) -> Arc<MetaClient> {
        MetaClient::connect(self.client_config(), &self.shutdown).await.unwrap()
    }

    /// The leader, once there is one.
    pub(crate) async fn leader(&self, client: &MetaClient) -> u64 {
        eventually("there is a leader", || async {
            client.cluster_status().await.ok()?.leader.filter(|id| self.nodes.contains_key(id))
        })
        .await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shutdown.trigger();
        for node in std::mem::take(&mut self.nodes).into_values() {
            node.runtime.shutdown_background();
        }
    }
}

/// Polls until there is a value.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut poll: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn rename(name: &str) -> Change {
    Change::SetCluster { name: name.to_owned() }
}

pub(crate) fn create_database(name: &str) -> Change {
    Change::CreateDatabase {
        name: name.to_owned(),
        home: None,
        collation: "utf8mb4_general_ci".to_owned(),
    }
}

pub(crate) fn add_shard(name: &str) -> Change {
    let primary = ServerAddress { host: "127.0.0.1".to_owned(), port: 3306, socket: None };
    Change::AddShard { name: name.to_owned(), primary, replicas: Vec::new() }
}

/// A shard, a database and a table.
pub(crate) async fn make_table(client: &MetaClient) -> TableId {
    let shard = client.propose(add_shard("s1")).await.unwrap().shard;
    assert_eq!(shard, Some(ShardId(1)));
    client.propose(create_database("bank")).await.unwrap();
    let id = Column {
        name: "id".to_owned(),
        column_type: "bigint(20)".to_owned(),
        collation: None,
        nullable: false,
        default: None,
        generated: false,
        invisible: false,
    };
    let table = TableDefinition {
        database: "bank".to_owned(),
        name: "account".to_owned(),
        columns: vec![id],
        unique_keys: Vec::new(),
        auto_increment: None,
        is_view: false,
    };
    let create = Change::CreateTable { table, sharding: TableSharding::Broadcast };
    client.propose(create).await.unwrap().table.unwrap()
}
