//! Everything that one measurement needs, running: servers and, in front of them, the
//! targets that were asked for.

use super::{
    data::{self, Sizes, TableSet},
    foreign::Foreign,
    haproxy::HaProxy,
    program, servers, spider,
    target::{Tables, Target},
};
use anyhow::{Context, Result, bail, ensure};
use mysql_async::Conn;
use shardline_tests::{Cluster, Server, folder::Folder, port::Port, process::Process, server, sql};
use std::time::Duration;

/// How long a proxy may take to end.
const PROXY_END: Duration = Duration::from_secs(30);

/// The targets that are started here, in the order in which they are measured.
pub const NAMES: &[&str] =
    &["direct", "relay", "haproxy", "shardline-1", "shardline-1-unix", "shardline-3", "spider-3"];

/// Those that are measured unless a flag says otherwise.
pub const USUAL: &[&str] =
    &["direct", "relay", "haproxy", "shardline-1", "shardline-3", "spider-3"];

/// The running processes. They end with it.
#[derive(Debug)]
pub struct Bed {
    /// What is measured, in order.
    pub targets: Vec<Target>,
    _relay: Option<Relay>,
    _haproxy: Option<HaProxy>,
    clusters: Vec<Cluster>,
    /// The servers of Spider, when no cluster has them.
    plain_shards: Vec<Server>,
    spider: Option<Server>,
    server: Option<Server>,
}

/// The relay, as a process of its own.
#[derive(Debug)]
struct Relay {
    process: Process,
    port: Port,
    _folder: Folder,
}

impl Relay {
    async fn start(server_port: u16) -> Result<Self> {
        let (folder, port) = (Folder::new()?, Port::take()?);
        let this = std::env::current_exe().context("finding this program's own path")?;
        let arguments = vec![
            "relay".into(),
            format!("--listen=127.0.0.1:{}", port.number()).into(),
            format!("--to=127.0.0.1:{server_port}").into(),
        ];
        let log = folder.path().join("relay.log");
        let mut process = Process::start("relay", &this, arguments, Vec::new(), &log).await?;
        program::wait_listening(&mut process, port.number()).await?;
        Ok(Self { process, port, _folder: folder })
    }
}

impl Bed {
    /// Starts what the wanted targets need.
    ///
    /// # Errors
    /// A target is unknown, or a process does not start.
    pub async fn start(wanted: &[String]) -> Result<Self> {
        for name in wanted {
            ensure!(NAMES.contains(&name.as_str()), "no target {name}: there are {NAMES:?}");
        }
        let wants = |name: &str| wanted.iter().any(|wanted| wanted == name);
        let mut bed = Self {
            targets: Vec::new(),
            _relay: None,
            _haproxy: None,
            clusters: Vec::new(),
            plain_shards: Vec::new(),
            spider: None,
            server: None,
        };
        // The one server that everything with one server shares is a shard's, so that all
        // find the same state of the same process.
        let mut one = None;
        if wants("shardline-1") {
            let cluster = servers::cluster(1, false).await?;
            let shard = cluster.shards.first().context("a shard")?;
            one = Some((shard.port(), shard.process()?.pid()?));
            let target = bed.add_cluster("shardline-1", cluster)?;
            bed.targets.push(target);
        }
        if wants("shardline-1-unix") {
            let target = bed.add_cluster("shardline-1-unix", servers::cluster(1, true).await?)?;
            bed.targets.push(target);
        }
        if wants("shardline-3") {
            let target = bed.add_cluster("shardline-3", servers::cluster(3, false).await?)?;
            bed.targets.push(target);
        }
        if wants("spider-3") {
            let target = bed.start_spider().await?;
            bed.targets.push(target);
        }
        if ["direct", "relay", "haproxy"].iter().any(|name| wants(name)) {
            let (port, pid) = match one {
                Some(found) => found,
                None => bed.start_server().await?,
            };
            bed.start_plain(&wants, port, pid).await?;
        }
        bed.targets.sort_by_key(|target| NAMES.iter().position(|name| *name == target.name));
        Ok(bed)
    }

    async fn start_server(&mut self) -> Result<(u16, u32)> {
        let server = self.server.insert(Server::start_with(servers::tuning(), 1).await?);
        Ok((server.port(), server.process()?.pid()?))
    }

    async fn start_plain(
        &mut self,
        wants: &impl Fn(&str) -> bool,
        port: u16,
        pid: u32,
    ) -> Result<()> {
        if wants("direct") {
            self.targets.push(plain("direct", port, None, pid));
        }
        if wants("relay") {
            let relay = Relay::start(port).await?;
            let proxy = relay.process.pid()?;
            self.targets.push(plain("relay", relay.port.number(), Some(proxy), pid));
            self._relay = Some(relay);
        }
        if wants("haproxy") {
            let haproxy = HaProxy::start(port).await?;
            let proxy = haproxy.process.pid()?;
            self.targets.push(plain("haproxy", haproxy.port(), Some(proxy), pid));
            self._haproxy = Some(haproxy);
        }
        Ok(())
    }

    /// Spider over the servers of the cluster with three shards, if there is one.
    async fn start_spider(&mut self) -> Result<Target> {
        spider::check_installed()?;
        let ports: Vec<u16> = self.spider_shards().iter().map(Server::port).collect();
        if ports.is_empty() {
            for number in 1..=spider::SERVERS {
                let server = Server::start_with(servers::tuning(), number as u32).await?;
                self.plain_shards.push(server);
            }
        }
        let shards = self.spider_shards();
        let ports: Vec<u16> = shards.iter().map(Server::port).collect();
        let pids = shards.iter().map(|shard| shard.process()?.pid());
        let pids = pids.collect::<Result<Vec<_>>>()?;
        let head = self.spider.insert(spider::start(&ports).await?);
        let pid = head.process()?.pid()?;
        let target = plain("spider-3", head.port(), Some(pid), 0);
        let database = "spider".to_owned();
        Ok(Target { database, servers: pids, tables: Tables::Spider, ..target })
    }

    fn spider_shards(&self) -> &[Server] {
        let cluster = self.clusters.iter().find(|cluster| cluster.shards.len() == spider::SERVERS);
        cluster.map_or(&self.plain_shards, |cluster| &cluster.shards)
    }

    /// Adds a peer that others have started.
    pub fn add_foreign(&mut self, peer: &Foreign, user: &str, password: &str) {
        let target = peer.target(self.targets.len(), user, password);
        self.targets.push(target);
    }

    fn add_cluster(&mut self, name: &str, cluster: Cluster) -> Result<Target> {
        let proxy = cluster.proxies.first().context("a proxy")?;
        let servers = cluster.shards.iter().map(|shard| shard.process()?.pid());
        let target = Target {
            name: name.to_owned(),
            host: "127.0.0.1".to_owned(),
            port: proxy.port(),
            user: "root".to_owned(),
            password: String::new(),
            database: "sbtest".to_owned(),
            proxy: Some(proxy.process.pid()?),
            servers: servers.collect::<Result<_>>()?,
            tables: Tables::Shardline(self.clusters.len()),
        };
        self.clusters.push(cluster);
        Ok(target)
    }

    /// Makes and fills a set of tables on every target.
    ///
    /// # Errors
    /// A target refuses a statement.
    pub async fn load(&self, set: TableSet, sizes: Sizes) -> Result<()> {
        let mut loaded: Vec<Tables> = Vec::new();
        for target in &self.targets {
            if loaded.contains(&target.tables) {
                continue;
            }
            loaded.push(target.tables);
            if target.tables == Tables::Spider {
                let nothing = Sizes { table: 0, scatter: 0 };
                for shard in self.spider_shards() {
                    let shard = plain("a server under Spider", shard.port(), None, 0);
                    data::load(&shard, &target.database, set, nothing).await?;
                }
            }
            data::load(target, &target.database, set, sizes)
                .await
                .with_context(|| format!("making tables on {}", target.name))?;
        }
        Ok(())
    }

    async fn empty(&self, target: &Target, set: TableSet) -> Result<()> {
        let mut conn = Conn::new(target.options()).await.context("connecting")?;
        for table in data::names(set, &target.database) {
            let truncate = format!("TRUNCATE TABLE {}.{}", table.database, table.name);
            sql::run(&mut conn, &[&truncate]).await?;
        }
        Ok(conn.disconnect().await?)
    }

    /// Starts the proxy of a Shardline target anew, with the memory of a fresh process.
    ///
    /// # Errors
    /// The target has no such proxy, or it does not start.
    pub async fn restart_proxy(&mut self, name: &str) -> Result<()> {
        let target = self.targets.iter_mut().find(|target| target.name == name);
        let target = target.with_context(|| format!("no target {name}"))?;
        let Tables::Shardline(number) = target.tables else {
            bail!("{name} has no proxy of Shardline's");
        };
        let cluster = &mut self.clusters[number];
        let proxy = cluster.proxies.first_mut().context("a proxy")?;
        proxy.process.terminate(PROXY_END).await?;
        proxy.restart().await?;
        target.proxy = Some(proxy.process.pid()?);
        cluster.wait_proxy(0).await
    }

    /// Prepares a target for runs on a set of tables.
    ///
    /// # Errors
    /// The target refuses.
    pub async fn prepare(&self, target: &Target, set: TableSet) -> Result<()> {
        if target.tables == Tables::Spider {
            spider::set_parallel(&target.options(), set == TableSet::Scatter).await?;
        }
        if set == TableSet::Empty { self.empty(target, set).await } else { Ok(()) }
    }
}

fn plain(name: &str, port: u16, proxy: Option<u32>, server: u32) -> Target {
    let account = server::account();
    Target {
        name: name.to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
        user: account.user,
        password: account.password,
        database: "plain".to_owned(),
        proxy,
        servers: vec![server],
        tables: Tables::Plain,
    }
}
