//! One metadata node and one proxy over the first servers of a row of them. Several such
//! fronts share the servers, each with databases of its own, so that clusters of
//! different sizes can be measured in turn without loading anything again.

use crate::peers::processor;
use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_tests::{
    Server, folder::Folder, port::Port, process, process::Process, sql, up, wait,
};
use std::{ffi::OsString, fs, path::Path, time::Duration};

/// How long a process may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// A running metadata node and proxy, which end with this value.
#[derive(Debug)]
pub(super) struct Front {
    name: String,
    shards: usize,
    // The order of the fields is the order in which they end.
    proxy: Process,
    proxy_port: Port,
    _meta: Process,
    _meta_port: Port,
    _folder: Folder,
}

impl Front {
    /// Starts a cluster over all of `servers`. `name` becomes part of its databases' names;
    /// `more` are further lines of its `cluster.yaml`.
    pub(super) async fn start(name: &str, servers: &[Server], more: &str) -> Result<Self> {
        let folder = Folder::new()?;
        let (meta_port, proxy_port) = (Port::take()?, Port::take()?);
        let yaml = folder.path().join("cluster.yaml");
        fs::write(&yaml, cluster_yaml(name, servers, more)).context("writing cluster.yaml")?;
        let password = folder.path().join("password");
        let account = shardline_tests::server::account();
        fs::write(&password, account.password).context("writing the password")?;

        let address = format!("127.0.0.1:{}", meta_port.number());
        let meta: [OsString; 9] = [
            "meta".into(),
            "--node-id=1".into(),
            "--listen".into(),
            address.clone().into(),
            "--data-dir".into(),
            folder.path().join("meta").into(),
            "--bootstrap".into(),
            yaml.clone().into(),
            "--log=warn".into(),
        ];
        let meta = start("meta", &meta, folder.path()).await?;
        wait_for_catalog(&address, servers.len()).await?;
        let proxy: [OsString; 10] = [
            "proxy".into(),
            "--meta".into(),
            address.into(),
            "--listen".into(),
            format!("127.0.0.1:{}", proxy_port.number()).into(),
            "--backend-password-file".into(),
            password.into(),
            "--config".into(),
            yaml.into(),
            "--log=warn".into(),
        ];
        let proxy = start("proxy", &proxy, folder.path()).await?;
        let mut front = Self {
            name: name.to_owned(),
            shards: servers.len(),
            proxy,
            proxy_port,
            _meta: meta,
            _meta_port: meta_port,
            _folder: folder,
        };
        front.wait().await?;
        Ok(front)
    }

    async fn wait(&mut self) -> Result<()> {
        let options = up::client_options(self.port());
        let process = &mut self.proxy;
        wait::until("the proxy answers", READY, || {
            let (alive, options) = (process.check_running(), options.clone());
            async move {
                alive?;
                let mut connection = Conn::new(options).await?;
                connection.query_drop("SHOW SHARDS").await?;
                Ok(connection.disconnect().await?)
            }
        })
        .await
    }

    /// How many shards it has.
    pub(super) fn shards(&self) -> usize {
        self.shards
    }

    /// The proxy's port.
    pub(super) fn port(&self) -> u16 {
        self.proxy_port.number()
    }

    /// The name of one of its databases.
    pub(super) fn database(&self, purpose: &str) -> String {
        format!("{}_{purpose}", self.name)
    }

    /// Creates one of its databases.
    pub(super) async fn create_database(&self, purpose: &str) -> Result<String> {
        let name = self.database(purpose);
        let mut connection = self.connect().await?;
        connection.query_drop(format!("CREATE DATABASE {name}")).await?;
        connection.disconnect().await?;
        Ok(name)
    }

    /// A client connection.
    pub(super) async fn connect(&self) -> Result<Conn> {
        sql::connect(up::client_options(self.port())).await
    }

    /// The processor time that the proxy has used until now, in microseconds.
    pub(super) fn proxy_cpu_us(&self) -> Result<u64> {
        processor::used_us(self.proxy.pid()?)
    }
}

async fn start(name: &str, arguments: &[OsString], folder: &Path) -> Result<Process> {
    let log = folder.join(format!("{name}.log"));
    Process::start(name, &process::shardline()?, arguments.to_vec(), Vec::new(), &log).await
}

/// A proxy that starts before the first catalog would greet nobody.
async fn wait_for_catalog(meta: &str, shards: usize) -> Result<()> {
    wait::until("the first catalog", READY, || async {
        let output = up::run_shardline(["status", "--meta", meta, "-o", "json"]).await?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let known = status["shards"].as_array().map_or(0, Vec::len);
        ensure!(known == shards, "{known} of {shards} shards");
        Ok(())
    })
    .await
}

fn cluster_yaml(name: &str, servers: &[Server], more: &str) -> String {
    let mut yaml = format!("apiVersion: shardline/v1\ncluster: {name}\nshards:\n");
    for (number, server) in (1..).zip(servers) {
        yaml.push_str(&format!(
            "  s{number}: {{primary: '127.0.0.1:{}', socket: '{}'}}\n",
            server.port(),
            server.socket().display()
        ));
    }
    yaml.push_str("databases:\n");
    yaml.push_str(&format!("  '{name}_*': {{tables: {{'sbtest*': {{shard_by: hash(id)}}}}}}\n"));
    yaml.push_str("users: {root: {password: ''}}\n");
    yaml + more
}
