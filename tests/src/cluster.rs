//! A cluster of processes: servers, metadata nodes and proxies that can be killed one by one.

use crate::{
    Server,
    folder::Folder,
    port::Port,
    process::{self, Process},
    relay::Relay,
    server, sql, up, wait,
};
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use serde::Deserialize;
use shardline_console::local::settings::ServerTuning;
use shardline_model::catalog::Catalog;
use std::{
    ffi::OsString,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long a process may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// How large a cluster is.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Shards, one server each.
    pub shards: usize,
    /// Metadata nodes: 1 or 3.
    pub meta: usize,
    /// Proxies.
    pub proxies: usize,
    /// More lines of `cluster.yaml`: databases, users, limits of the proxies.
    pub yaml: String,
    /// How the servers run.
    pub tuning: ServerTuning,
    /// How proxies reach the servers.
    pub links: Links,
}

/// How proxies reach the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// By unix socket.
    Sockets,
    /// By TCP.
    Tcp,
    /// By TCP over a relay for each server.
    Relays,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        let tuning = ServerTuning { buffer_pool_mib: 32, ..ServerTuning::default() };
        Self { shards: 3, meta: 3, proxies: 2, yaml: String::new(), tuning, links: Links::Sockets }
    }
}

/// The running cluster. Fields are public: a test kills what it likes.
#[derive(Debug)]
pub struct Cluster {
    /// Proxies, which end before the servers.
    pub proxies: Vec<Node>,
    /// Metadata nodes, number 1 first.
    pub meta: Vec<Node>,
    /// The shards' servers: `s1` first.
    pub shards: Vec<Server>,
    /// The relays before the servers, in the same order; none without [`Links::Relays`].
    pub relays: Vec<Relay>,
    folder: Folder,
}

/// A `shardline meta` or `shardline proxy` process.
#[derive(Debug)]
pub struct Node {
    name: String,
    port: Port,
    arguments: Vec<OsString>,
    log: PathBuf,
    /// The process, running or ended.
    pub process: Process,
}

impl Node {
    async fn start(name: &str, port: Port, arguments: Vec<OsString>, log: PathBuf) -> Result<Self> {
        let process =
            Process::start(name, &process::shardline()?, arguments.clone(), Vec::new(), &log)
                .await?;
        Ok(Self { name: name.to_owned(), port, arguments, log, process })
    }

    /// Starts it again with the same arguments.
    pub async fn restart(&mut self) -> Result<()> {
        self.restart_in(Vec::new()).await
    }

    /// Starts it again with the same arguments and with environment variables.
    pub async fn restart_in(&mut self, environment: Vec<(OsString, OsString)>) -> Result<()> {
        let (program, arguments) = (process::shardline()?, self.arguments.clone());
        self.process =
            Process::start(&self.name, &program, arguments, environment, &self.log).await?;
        Ok(())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }
}

impl Cluster {
    /// Starts everything and waits until every proxy answers.
    pub async fn start(config: ClusterConfig) -> Result<Self> {
        let mut shards = Vec::new();
        for number in 1..=config.shards {
            shards.push(Server::start_with(config.tuning.clone(), number as u32).await?);
        }
        Self::start_over(shards, config).await
    }

    /// The same over servers that run already, such as a MySQL's.
    pub async fn start_over(shards: Vec<Server>, config: ClusterConfig) -> Result<Self> {
        let folder = Folder::new()?;
        let mut relays = Vec::new();
        if config.links == Links::Relays {
            for shard in &shards {
                relays.push(Relay::start((Ipv4Addr::LOCALHOST, shard.port()).into()).await?);
            }
        }
        let yaml = folder.path().join("cluster.yaml");
        fs::write(&yaml, cluster_yaml(&shards, &relays, &config))
            .context("writing cluster.yaml")?;
        let password = folder.path().join("password");
        fs::write(&password, server::account().password).context("writing the password")?;

        let mut cluster = Self { proxies: Vec::new(), meta: Vec::new(), shards, relays, folder };
        cluster.start_meta(config.meta, &yaml).await?;
        for number in 1..=config.proxies {
            cluster.start_proxy(number, &yaml, &password).await?;
        }
        for number in 0..config.proxies {
            cluster.wait_proxy(number).await?;
        }
        Ok(cluster)
    }

    async fn start_meta(&mut self, count: usize, yaml: &Path) -> Result<()> {
        let ports = (0..count).map(|_| Port::take()).collect::<Result<Vec<_>>>()?;
        let peers: Vec<String> = (1..)
            .zip(&ports)
            .map(|(id, port): (u64, _)| format!("{id}=127.0.0.1:{}", port.number()))
            .collect();
        for (id, port) in (1..).zip(ports) {
            let data = self.folder.path().join(format!("meta{id}"));
            let mut arguments: Vec<OsString> = vec!["meta".into()];
            let listen = format!("127.0.0.1:{}", port.number());
            for (flag, value) in [
                ("--node-id", id.to_string().into()),
                ("--listen", listen.into()),
                ("--peers", peers.join(",").into()),
                ("--data-dir", data.into_os_string()),
            ] {
                arguments.extend([flag.into(), value]);
            }
            if id == 1 {
                arguments.extend(["--bootstrap".into(), yaml.as_os_str().to_owned()]);
            }
            let log = self.folder.path().join(format!("meta{id}.log"));
            self.meta.push(Node::start(&format!("meta {id}"), port, arguments, log).await?);
        }
        // Proxies that start before the first catalog would greet nobody: wait for it.
        wait::until("the first catalog", READY, || async {
            let status = self.status().await?;
            ensure!(status.shards.len() == self.shards.len(), "shards are missing");
            Ok(())
        })
        .await
    }

    async fn start_proxy(&mut self, number: usize, yaml: &Path, password: &Path) -> Result<()> {
        let port = Port::take()?;
        let mut arguments: Vec<OsString> = vec!["proxy".into()];
        for (flag, value) in [
            ("--meta", self.meta_addresses().into()),
            ("--listen", format!("127.0.0.1:{}", port.number()).into()),
            ("--backend-password-file", password.as_os_str().to_owned()),
            ("--config", yaml.as_os_str().to_owned()),
        ] {
            arguments.extend([flag.into(), value]);
        }
        let log = self.folder.path().join(format!("proxy{number}.log"));
        self.proxies.push(Node::start(&format!("proxy {number}"), port, arguments, log).await?);
        Ok(())
    }

    /// Waits until a proxy (number from 0) answers a statement.
    pub async fn wait_proxy(&mut self, number: usize) -> Result<()> {
        let proxy = &mut self.proxies[number];
        let options = up::client_options(proxy.port());
        wait::until("the proxy answers", READY, || {
            let (alive, options) = (proxy.process.check_running(), options.clone());
            async move {
                alive?;
                let mut connection = Conn::new(options).await?;
                connection.query_drop("SHOW SHARDS").await?;
                Ok(connection.disconnect().await?)
            }
        })
        .await
    }

    /// Options of a client connection to a proxy (number from 0).
    pub fn options(&self, proxy: usize) -> OptsBuilder {
        up::client_options(self.proxies[proxy].port())
    }

    /// A client connection to a proxy (number from 0).
    pub async fn connect(&self, proxy: usize) -> Result<Conn> {
        sql::connect(self.options(proxy)).await
    }

    /// Addresses of all metadata nodes, separated by commas.
    pub fn meta_addresses(&self) -> String {
        self.meta.iter().map(Node::address).collect::<Vec<_>>().join(",")
    }

    /// The catalog as the metadata service has it.
    pub async fn catalog(&self) -> Result<Arc<Catalog>> {
        up::catalog(self.meta.iter().map(Node::address).collect()).await
    }

    /// What `shardline status` tells.
    pub async fn status(&self) -> Result<Status> {
        let meta = self.meta_addresses();
        let output = up::run_shardline(["status", "--meta", &meta, "-o", "json"]).await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "status: {errors}");
        serde_json::from_slice(&output.stdout).context("understanding the status")
    }

    /// Waits for a leader among the running metadata nodes; its number from 0.
    pub async fn leader(&self) -> Result<usize> {
        wait::until("a leader", Duration::from_secs(20), || async {
            let leader = self.status().await?.leader.context("no leader")?;
            Ok(usize::try_from(leader)? - 1)
        })
        .await
    }
}

/// The part of `shardline status -o json` that tests need.
#[derive(Debug, Deserialize)]
pub struct Status {
    /// The leader's id.
    pub leader: Option<u64>,
    /// The shards.
    pub shards: Vec<ShardStatus>,
    /// The proxies with a lease.
    pub proxies: Vec<serde_json::Value>,
}

/// One shard of a [`Status`].
#[derive(Debug, Deserialize)]
pub struct ShardStatus {
    /// Its name.
    pub name: String,
    /// `up` or `down`.
    pub state: String,
}

fn cluster_yaml(shards: &[Server], relays: &[Relay], config: &ClusterConfig) -> String {
    let mut yaml = "apiVersion: shardline/v1\ncluster: test\nshards:\n".to_owned();
    for (number, shard) in (1..).zip(shards) {
        let port = relays.get(number - 1).map_or(shard.port(), |relay| relay.address().port());
        let socket = match config.links {
            Links::Sockets => format!(", socket: '{}'", shard.socket().display()),
            Links::Tcp | Links::Relays => String::new(),
        };
        yaml.push_str(&format!("  s{number}: {{primary: '127.0.0.1:{port}'{socket}}}\n"));
    }
    if !config.yaml.contains("users:") {
        yaml.push_str("users: {root: {password: ''}}\n");
    }
    yaml + &config.yaml
}
