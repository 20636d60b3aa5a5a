//! Real drivers of many languages, each with TLS and without, against one cluster: connect,
//! create tables by hash, range and list, insert, read, aggregate, prepare, commit, roll
//! back, fail. After each, every shard is read directly: rows are where the map says.
//!
//! `make test-clients` builds and installs what they need into `target/clients`.

mod cli;
mod rust;
mod schema;

use anyhow::{Context, Result, ensure};
use shardline_tests::{UpCluster, rows, sql};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

const USER: &str = "app";
const PASSWORD: &str = "s3cret pass";
const LIMIT: Duration = Duration::from_secs(120);
/// Rows that every client leaves in each of its tables.
const ROWS: u64 = 90;

/// Where and as whom a client connects.
#[derive(Clone, Debug)]
struct Target {
    port: u16,
    database: String,
    authority: Option<PathBuf>,
}

/// A cluster and what is needed to look at its shards.
struct Bench {
    cluster: UpCluster,
}

impl Bench {
    async fn start() -> Result<Self> {
        let yaml = format!(
            "apiVersion: shardline/v1\nshards: 3\nusers:\n  root: {{password: ''}}\n  \
             {USER}: {{password: '{PASSWORD}'}}\n"
        );
        Ok(Self { cluster: UpCluster::start(&[], Some(&yaml)).await? })
    }

    /// Creates a database for one client and says where to connect.
    async fn target(&self, client: &str, tls: bool) -> Result<Target> {
        let database = format!("{client}_{}", if tls { "tls" } else { "plain" });
        let mut root = self.cluster.connect().await?;
        sql::run(&mut root, &[&format!("CREATE DATABASE {database}")]).await?;
        let authority = tls.then(|| self.cluster.authority());
        Ok(Target { port: self.cluster.sql_port(), database, authority })
    }

    /// Checks that each table has its rows, on three shards, where the map says.
    async fn check(&self, target: &Target) -> Result<()> {
        let catalog = self.cluster.catalog().await?;
        let mut shards = BTreeMap::new();
        for shard in catalog.shards.values() {
            let connection = self.cluster.connect_shard(&shard.name).await?;
            shards.insert(shard.name.clone(), connection);
        }
        for table in ["t_hash", "t_range", "t_list"] {
            let found = rows::check(&catalog, &mut shards, &target.database, table).await?;
            ensure!(found.total() == ROWS, "{table}: {found:?}");
            ensure!(found.shards_used() == 3, "{table} is not spread: {found:?}");
        }
        Ok(())
    }

    /// Runs a program that goes through the steps by itself, with TLS and without.
    async fn run(&self, client: &str, program: &Path, arguments: &[&str]) -> Result<()> {
        for tls in [false, true] {
            let target = self.target(client, tls).await?;
            run_program(program, arguments, &target)
                .await
                .with_context(|| format!("{client}, TLS: {tls}"))?;
            self.check(&target).await.with_context(|| format!("{client}, TLS: {tls}"))?;
        }
        Ok(())
    }
}

async fn run_program(program: &Path, arguments: &[&str], target: &Target) -> Result<()> {
    let authority = target.authority.as_deref().unwrap_or(Path::new(""));
    let run = tokio::process::Command::new(program)
        .args(arguments)
        .env("SL_HOST", "127.0.0.1")
        .env("SL_PORT", target.port.to_string())
        .env("SL_USER", USER)
        .env("SL_PASSWORD", PASSWORD)
        .env("SL_DATABASE", &target.database)
        .env("SL_CA", authority)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, run)
        .await
        .context("the client does not end")?
        .with_context(|| format!("running {} (see `make test-clients`)", program.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success() && text(&output.stdout).trim().ends_with("ok"),
        "{}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(())
}

/// The sources of a client, and what `make test-clients` has built.
fn source(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(path).display().to_string()
}

fn built(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients").join(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn python_drivers() -> Result<()> {
    let (bench, python) = (Bench::start().await?, built("venv/bin/python"));
    bench.run("pymysql", &python, &[&source("python/pymysql_client.py")]).await?;
    bench.run("connector", &python, &[&source("python/connector_client.py")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn node_mysql2() -> Result<()> {
    let bench = Bench::start().await?;
    bench.run("mysql2", Path::new("node"), &[&source("node/client.js")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn go_sql_driver() -> Result<()> {
    Bench::start().await?.run("go", &built("go-client"), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_sqlx() -> Result<()> {
    Bench::start().await?.run("sqlx", &built("sqlx/debug/sqlx-client"), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_mysql_async() -> Result<()> {
    let bench = Bench::start().await?;
    for tls in [false, true] {
        let target = bench.target("mysql_async", tls).await?;
        rust::drive(&target).await.with_context(|| format!("mysql_async, TLS: {tls}"))?;
        bench.check(&target).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_command_line() -> Result<()> {
    let bench = Bench::start().await?;
    for tls in [false, true] {
        let target = bench.target("cli", tls).await?;
        cli::drive(&target).await.with_context(|| format!("mariadb, TLS: {tls}"))?;
        bench.check(&target).await?;
    }
    Ok(())
}
