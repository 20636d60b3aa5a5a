//! One `shardline up` with everything in it, on ports of its own.

use crate::{folder::Folder, port::Port, process, process::Process, sql, wait};
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, OptsBuilder};
use serde::Deserialize;
use shardline_base::Shutdown;
use shardline_meta_client::{ClientConfig, MetaClient};
use shardline_model::catalog::Catalog;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

/// How long the cluster may take to be ready. The promise is 10 s on an idle machine.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(40);

/// A running `shardline up`, in the foreground of a process of ours.
#[derive(Debug)]
pub struct UpCluster {
    process: Process,
    folder: Folder,
    sql: Port,
    console: Port,
}

/// The part of a cluster's `run.json` that tests need.
#[derive(Debug, Deserialize)]
pub struct RunFile {
    /// The process.
    pub pid: u32,
    /// Whether it takes statements.
    pub ready: bool,
    /// The proxy's port.
    pub sql_port: u16,
    /// Addresses of metadata nodes.
    pub meta: Vec<String>,
}

impl UpCluster {
    /// Starts a cluster with more arguments and an optional `cluster.yaml`.
    pub async fn start(arguments: &[&str], yaml: Option<&str>) -> Result<Self> {
        let (folder, sql, console) = (Folder::new()?, Port::take()?, Port::take()?);
        let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        if let Some(yaml) = yaml {
            let path = folder.path().join("cluster.yaml");
            fs::write(&path, yaml).context("writing cluster.yaml")?;
            arguments.extend(["--config".into(), path.into_os_string()]);
        }
        let process = start_process(folder.path(), &sql, &console, &arguments).await?;
        let mut cluster = Self { process, folder, sql, console };
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    /// Starts it again on its folder, after it has ended.
    pub async fn restart(&mut self, arguments: &[&str]) -> Result<()> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        self.process =
            start_process(self.folder.path(), &self.sql, &self.console, &arguments).await?;
        self.wait_ready().await
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let (dir, process) = (self.dir(), &mut self.process);
        wait::until("the cluster is ready", READY, || {
            let state = process.check_running().and_then(|()| read_run(&dir));
            let pid = process.pid();
            async move {
                let (state, pid) = (state?, pid?);
                ensure!(state.pid == pid && state.ready, "not ready");
                Ok(())
            }
        })
        .await
    }

    /// The cluster's own folder.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("c")
    }

    /// What the process says of itself.
    pub fn run_file(&self) -> Result<RunFile> {
        read_run(&self.dir())
    }

    /// The proxy's port.
    pub fn sql_port(&self) -> u16 {
        self.sql.number()
    }

    /// The HTTP port.
    pub fn console_port(&self) -> u16 {
        self.console.number()
    }

    /// The certificate that clients can check the proxy with.
    pub fn authority(&self) -> PathBuf {
        self.dir().join("tls/ca.pem")
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// SIGTERM, and waits for an orderly end.
    pub async fn stop(&mut self) -> Result<()> {
        let status = self.process.terminate(STOP).await?;
        ensure!(status.success(), "ended with {status}: {}", self.process.log_tail());
        Ok(())
    }

    /// Options of a client connection as root.
    pub fn options(&self) -> OptsBuilder {
        client_options(self.sql_port())
    }

    /// A client connection as root.
    pub async fn connect(&self) -> Result<Conn> {
        sql::connect(self.options()).await
    }

    /// A connection to a shard's server, around the proxy.
    pub async fn connect_shard(&self, name: &str) -> Result<Conn> {
        let password = fs::read_to_string(self.dir().join("backend.password"))?;
        let socket = self.dir().join(format!("{name}.sock"));
        let options = OptsBuilder::default()
            .socket(Some(socket.display().to_string()))
            .user(Some("shardline"))
            .pass(Some(password.trim()));
        sql::connect(options).await
    }

    /// The catalog as the metadata service has it.
    pub async fn catalog(&self) -> Result<Arc<Catalog>> {
        catalog(self.run_file()?.meta).await
    }

    /// Runs `shardline VERB --dir <this cluster's> ...` to its end.
    pub async fn command(&self, verb: &str, arguments: &[&str]) -> Result<Output> {
        let dir = self.dir();
        let mut all = vec![verb.as_ref(), "--dir".as_ref(), dir.as_os_str()];
        all.extend(arguments.iter().map(std::ffi::OsStr::new));
        run_shardline(all).await
    }
}

/// The catalog of the metadata service at these addresses.
pub async fn catalog(endpoints: Vec<String>) -> Result<Arc<Catalog>> {
    let shutdown = Shutdown::new();
    let client = MetaClient::connect(ClientConfig::new(endpoints), &shutdown).await?;
    let catalog = client.catalog();
    client.stop().await;
    Ok(catalog)
}

/// Options of a client connection to a proxy, as root without a password.
pub fn client_options(port: u16) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .prefer_socket(false)
        .user(Some("root"))
}

/// Runs the binary to its end.
pub async fn run_shardline(
    arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>,
) -> Result<Output> {
    tokio::process::Command::new(process::shardline()?)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .context("running shardline")
}

async fn start_process(
    folder: &Path,
    sql: &Port,
    console: &Port,
    more: &[OsString],
) -> Result<Process> {
    let mut arguments: Vec<OsString> = vec!["up".into(), "--dir".into(), folder.join("c").into()];
    arguments.extend(["--sql-port".into(), sql.number().to_string().into()]);
    arguments.extend(["--console-port".into(), console.number().to_string().into()]);
    arguments.extend(more.iter().cloned());
    let log = folder.join("up.log");
    Process::start("shardline up", &process::shardline()?, arguments, Vec::new(), &log).await
}

fn read_run(dir: &Path) -> Result<RunFile> {
    let text = fs::read_to_string(dir.join("run.json")).context("reading run.json")?;
    serde_json::from_str(&text).context("understanding run.json")
}
