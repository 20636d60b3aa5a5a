//! Everything in one process: servers, metadata nodes, proxy and HTTP port, started in
//! this order and stopped in the reverse one.

use super::{
    admin::Readiness,
    folder::{CONSOLE_TOKEN, Folder, FolderState, RunState},
    nodes::{self, Parts},
    plan,
    servers::{self, LocalShards, Servers},
    sow, summary, tls,
};
use crate::{
    config::{ClusterFile, seed},
    demo,
    exit::{Failure, Reason, chain},
    local::{Account, Programs},
    operations::Operations,
    ports,
};
use mysql_async::{Opts, OptsBuilder, prelude::Queryable};
use shardline_base::{Policy, Shutdown, Tasks, Telemetry};
use shardline_meta_client::{ClientConfig, MetaClient};
use shardline_proxy::config::{BackendAccount, ClientTls, ProxyConfig};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

/// Clients of the demo's load.
const LOAD_CLIENTS: u64 = 4;
/// How long the metadata nodes may take to stop.
const META_STOP: Duration = Duration::from_secs(8);

/// A cluster that is to run.
pub struct Cluster {
    /// Its folder, locked by this process.
    pub folder: Folder,
    /// What the user asked for.
    pub wishes: plan::Wishes,
    /// Its `cluster.yaml`.
    pub file: Option<ClusterFile>,
    /// The server programs.
    pub programs: Programs,
    /// Logs and metrics.
    pub telemetry: Telemetry,
    /// Whether the demo is to be loaded.
    pub demo: bool,
    /// Whether the demo is to be under load.
    pub load: bool,
}

/// What has been started, in order.
#[derive(Default)]
struct Running {
    servers: Option<Arc<LocalShards>>,
    meta: Option<Parts>,
    client: Option<Arc<MetaClient>>,
    proxy: Option<Parts>,
    admin: Option<Parts>,
    load: Option<Tasks>,
    readiness: Readiness,
}

impl Cluster {
    /// Runs the cluster until a signal or a failure. `data` is the runtime of the proxy;
    /// this is to be called on another one, so that load does not hold up heartbeats.
    pub async fn run(self, data: tokio::runtime::Handle) -> Result<(), Failure> {
        let stop = Shutdown::new();
        let signal = {
            let stop = stop.clone();
            tokio::spawn(async move {
                let signal = nodes::stop_signal().await;
                stop.trigger();
                signal
            })
        };
        let mut running = Running::default();
        let result = match stop.or(self.start(&mut running, &data)).await {
            Some(Ok(())) => tokio::select! {
                () = stop.triggered() => Ok(()),
                failure = running.failed() => Err(failure),
            },
            Some(Err(failure)) => Err(failure),
            None => Ok(()),
        };
        if stop.is_triggered() {
            let name = signal.await.map_err(|error| Failure::new(Reason::Failed, error))??;
            tracing::info!(signal = name, "draining");
        }
        self.folder.unpublish();
        running.stop().await;
        if result.is_ok() {
            println!("✓ stopped · data kept in {}", self.folder.root().display());
        }
        result
    }

    async fn start(
        &self,
        running: &mut Running,
        data: &tokio::runtime::Handle,
    ) -> Result<(), Failure> {
        let (folder, file) = (&self.folder, self.file.as_ref());
        let old = folder.state()?;
        if let Some(old) = &old {
            servers::end_leftovers(folder, old).await?;
        }
        let begun = Instant::now();
        let resumed = old.is_some();
        let turn = ports::choosing_turn().await;
        let mut state = plan::decide(&self.wishes, file, folder, old)?;
        folder.save(&state)?;
        folder.publish(&run_state(&state, false))?;
        let account = Account::load_or_create(&folder.path("backend.password"))?;

        let tuning = plan::tuning(file);
        let servers = Servers::start(folder, &state, &self.programs, &account, &tuning).await?;
        let local = Arc::new(LocalShards::new(folder.clone(), servers));
        running.servers.insert(local.clone()).ready().await?;
        let shards_took = begun.elapsed();

        let meta = self.start_meta(running, &state).await?;
        sow::sow(&meta, &plan::seed(file, folder, &state)?).await?;
        let operations = self.start_proxy(running, &state, &account, meta, data).await?;
        operations.set_local(local);
        let admin = running.admin.insert(Parts::new("admin"));
        let wanted = nodes::Admin {
            listen: loopback(state.console_port),
            tls: None,
            token_file: Some(folder.path(CONSOLE_TOKEN)),
        };
        let (readiness, telemetry) = (running.readiness.clone(), self.telemetry.clone());
        let operations = Some(operations);
        let api = nodes::start_admin(admin, &wanted, readiness, telemetry, operations).await?;
        drop(turn);
        if let Some(file) = file {
            create_databases(&state, &seed::plain_databases(file)).await?;
        }
        state.progress.seeded = true;
        folder.save(&state)?;
        let demo = self.start_demo(running, &mut state).await?;
        running.readiness.set(true);

        let mut run = run_state(&state, true);
        let took_s = shards_took.as_secs_f32();
        run.headline = format!(
            "✓ {} {} ({})   ✓ ports free   ✓ shards {} up ({took_s:.1} s)   ✓ {}{demo}",
            self.programs.server.file_name().unwrap_or_default().display(),
            self.programs.short_version(),
            self.programs.server.display(),
            run.shards.join(" "),
            if resumed { "resumed" } else { "new cluster" },
        );
        folder.publish(&run)?;
        let link = api.map(|api| api.login_link()).transpose()?;
        println!("{}", summary::lines(folder, &run, link.as_deref()));
        println!("Ready in {:.1} s · Ctrl-C stops, data is kept", begun.elapsed().as_secs_f32());
        Ok(())
    }

    async fn start_meta(
        &self,
        running: &mut Running,
        state: &FolderState,
    ) -> Result<Arc<MetaClient>, Failure> {
        let parts = running.meta.insert(Parts::new("metadata"));
        let members: BTreeMap<u64, String> = (1..)
            .zip(&state.meta_ports)
            .map(|(id, port)| (id, loopback(*port).to_string()))
            .collect();
        for (id, port) in (1..).zip(&state.meta_ports) {
            let config = shardline_meta::Config {
                node_id: id,
                listen: loopback(*port),
                data_dir: self.folder.path("meta").join(id.to_string()),
                members: members.clone(),
                tls: None,
                timing: shardline_meta::Timing::default(),
            };
            nodes::start_meta(parts, config).await?;
        }
        // The client outlives the proxy, which gives its lease back through it.
        let config = ClientConfig::new(members.into_values());
        let client = MetaClient::connect(config, &Shutdown::new()).await.map_err(|error| {
            Failure::new(Reason::Failed, format!("the metadata service: {}", chain(&error)))
        })?;
        running.client = Some(client.clone());
        Ok(client)
    }

    async fn start_proxy(
        &self,
        running: &mut Running,
        state: &FolderState,
        account: &Account,
        meta: Arc<MetaClient>,
        data: &tokio::runtime::Handle,
    ) -> Result<Arc<Operations>, Failure> {
        let paths = tls::load_or_create(&self.folder)?;
        let backend =
            BackendAccount { user: account.user.clone(), password: account.password.clone() };
        let mut config = ProxyConfig::new(loopback(state.sql_port), backend);
        config.tls = ClientTls::Files { certificate: paths.certificate, key: paths.key };
        config.server_version = server_version(&self.programs);
        if let Some(file) = &self.file {
            nodes::apply(&mut config, file);
        }
        let parts = running.proxy.insert(Parts::new("proxy"));
        nodes::start_proxy(parts, config, meta, data).await
    }

    /// Loads the demo when it is wanted and not there. Says what to add to the summary.
    async fn start_demo(
        &self,
        running: &mut Running,
        state: &mut FolderState,
    ) -> Result<String, Failure> {
        if !self.demo {
            return Ok(String::new());
        }
        let options = client_options(state.sql_port, None);
        let failed = |error: demo::DemoError| {
            Failure::new(Reason::Failed, format!("loading the demo: {}", chain(&error)))
        };
        if !state.progress.demo_loaded {
            if !state.progress.demo_begun {
                demo::check_name(&options).await.map_err(failed)?;
                state.progress.demo_begun = true;
                self.folder.save(state)?;
            }
            let shards: Vec<String> = state.shards.iter().map(|shard| shard.name.clone()).collect();
            demo::load(&options, &shards).await.map_err(failed)?;
            state.progress.demo_loaded = true;
            self.folder.save(state)?;
        }
        if self.load {
            let tasks = running.load.insert(Tasks::new("load", &Shutdown::new()));
            let options = client_options(state.sql_port, Some(demo::schema::DATABASE));
            for client in 1..=LOAD_CLIENTS {
                let work = demo::load::run(options.clone(), client, tasks.shutdown().clone());
                tasks.spawn(format!("load client {client}"), Policy::Isolated, work);
            }
        }
        let rows = demo::schema::ACCOUNTS;
        Ok(format!("   ✓ demo: bank.account {rows} rows on {} shards", state.shards.len()))
    }
}

impl Running {
    /// Waits until a part that must run has ended.
    async fn failed(&self) -> Failure {
        let (Some(meta), Some(proxy), Some(admin)) = (&self.meta, &self.proxy, &self.admin) else {
            return Failure::new(Reason::Failed, "not everything was started");
        };
        tokio::select! {
            failure = meta.failed() => failure,
            failure = proxy.failed() => failure,
            failure = admin.failed() => failure,
        }
    }

    /// Stops everything in order: no new work, open work to its end, then the rest.
    async fn stop(self) {
        self.readiness.set(false);
        if let Some(load) = self.load {
            load.stop_within(Duration::from_secs(2)).await;
        }
        if let Some(proxy) = self.proxy {
            proxy.stop(nodes::PROXY_STOP).await;
        }
        if let Some(client) = self.client {
            client.stop().await;
        }
        if let Some(meta) = self.meta {
            meta.stop(META_STOP).await;
        }
        if let Some(servers) = self.servers {
            servers.stop().await;
        }
        if let Some(admin) = self.admin {
            admin.stop(Duration::from_secs(3)).await;
        }
    }
}

/// What the greeting says: drivers look at the family and level of the shards' servers.
fn server_version(programs: &Programs) -> String {
    let (level, ours) = (programs.short_version(), env!("CARGO_PKG_VERSION"));
    if programs.is_mariadb() {
        format!("{level}-MariaDB-shardline-{ours}")
    } else {
        format!("{level}-shardline-{ours}")
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn run_state(state: &FolderState, ready: bool) -> RunState {
    RunState {
        pid: std::process::id(),
        ready,
        sql_port: state.sql_port,
        console_port: state.console_port,
        meta: state.meta_ports.iter().map(|port| loopback(*port).to_string()).collect(),
        shards: state.shards.iter().map(|shard| shard.name.clone()).collect(),
        demo: state.progress.demo_loaded,
        headline: String::new(),
    }
}

fn client_options(port: u16, database: Option<&str>) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .prefer_socket(false)
        .user(Some("root"))
        .db_name(database)
        .into()
}

/// Creates the databases that a file names, as any client would.
async fn create_databases(state: &FolderState, names: &[String]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let failed = |error: mysql_async::Error| {
        Failure::new(Reason::Failed, format!("creating databases: {}", chain(&error)))
    };
    let options = client_options(state.sql_port, None);
    let mut connection = mysql_async::Conn::new(options).await.map_err(failed)?;
    for name in names {
        let statement = format!("CREATE DATABASE IF NOT EXISTS `{}`", name.replace('`', "``"));
        connection.query_drop(statement).await.map_err(failed)?;
    }
    connection.disconnect().await.map_err(failed)
}
