//! `shardline status`: what the metadata service knows, and whether the shards' servers
//! answer.

use super::arguments::{Output, StatusArguments};
use crate::{
    exit::{Failure, Reason, chain},
    up::folder::Folder,
};
use comfy_table::{Table, presets};
use serde::Serialize;
use shardline_base::Shutdown;
use shardline_meta_client::{ClientConfig, ClusterStatus, MetaClient, NodeRole};
use shardline_model::catalog::{Catalog, ServerAddress};
use std::time::{Duration, Instant};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// How long a server may take to greet.
const PROBE_WAIT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    api_version: &'static str,
    kind: &'static str,
    cluster: String,
    epoch: u64,
    leader: Option<u64>,
    term: u64,
    shards: Vec<ShardLine>,
    meta: Vec<MetaLine>,
    proxies: Vec<ProxyLine>,
    databases: usize,
    tables: usize,
}

#[derive(Serialize)]
struct ShardLine {
    name: String,
    primary: String,
    replicas: usize,
    state: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct MetaLine {
    node: u64,
    address: String,
    role: &'static str,
    log_index: Option<u64>,
}

#[derive(Serialize)]
struct ProxyLine {
    proxy: String,
    address: String,
    version: String,
    epoch: Option<u64>,
    renewed_ms_ago: Option<u64>,
}

/// Shows the cluster.
pub(super) fn run(arguments: &StatusArguments) -> Result<(), Failure> {
    let endpoints = endpoints(arguments)?;
    let report = super::runtime("status", 1)?.block_on(gather(endpoints, arguments))?;
    match arguments.output {
        Output::Json => {
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Failure::new(Reason::Failed, error))?;
            println!("{text}");
        }
        Output::Table => print_tables(&report),
    }
    Ok(())
}

fn endpoints(arguments: &StatusArguments) -> Result<Vec<String>, Failure> {
    if !arguments.meta.is_empty() {
        return Ok(arguments.meta.clone());
    }
    let dir = &arguments.dir.dir;
    let running = match Folder::open(dir)? {
        Some(folder) if folder.lock()?.is_none() => folder.run_state()?,
        _ => None,
    };
    running.map(|run| run.meta).ok_or_else(|| {
        Failure::new(Reason::Unavailable, format!("no cluster is running in {}", dir.display()))
            .hint("start one: shardline up; or name another with --dir or --meta")
    })
}

async fn gather(endpoints: Vec<String>, arguments: &StatusArguments) -> Result<Report, Failure> {
    let unreachable = |error: &dyn std::error::Error| {
        Failure::new(Reason::Unavailable, format!("the metadata service: {}", chain(error)))
    };
    let mut config = ClientConfig::new(endpoints);
    config.tls = arguments.tls.files();
    let shutdown = Shutdown::new();
    let client =
        MetaClient::connect(config, &shutdown).await.map_err(|error| unreachable(&error))?;
    let status = client.cluster_status().await.map_err(|error| unreachable(&error))?;
    let catalog = client.catalog();
    let mut shards = Vec::new();
    for shard in catalog.shards.values() {
        let (state, detail) = probe(&shard.primary).await;
        let ServerAddress { host, port, .. } = &shard.primary;
        shards.push(ShardLine {
            name: shard.name.clone(),
            primary: format!("{host}:{port}"),
            replicas: shard.replicas.len(),
            state,
            detail,
        });
    }
    client.stop().await;
    Ok(report(&catalog, &status, shards))
}

fn report(catalog: &Catalog, status: &ClusterStatus, shards: Vec<ShardLine>) -> Report {
    let meta = status.nodes.iter().map(|node| MetaLine {
        node: node.id,
        address: node.address.clone(),
        role: match node.role {
            NodeRole::Leader => "leader",
            NodeRole::Follower => "follower",
            NodeRole::Learner => "learner",
        },
        log_index: node.matched_index,
    });
    let proxies = status.leases.iter().map(|lease| ProxyLine {
        proxy: lease.proxy.to_string(),
        address: lease.registration.address.clone(),
        version: lease.registration.version.clone(),
        epoch: lease.acknowledged.map(|epoch| epoch.0),
        renewed_ms_ago: lease.renewed_ms_ago,
    });
    Report {
        api_version: "shardline/v1",
        kind: "ClusterStatus",
        cluster: catalog.cluster.clone(),
        epoch: catalog.epoch.0,
        leader: status.leader,
        term: status.term,
        shards,
        meta: meta.collect(),
        proxies: proxies.collect(),
        databases: catalog.databases.len(),
        tables: catalog.tables().count(),
    }
}

/// Whether a server greets, and how soon or why not.
async fn probe(address: &ServerAddress) -> (&'static str, String) {
    let begun = Instant::now();
    let greeting = async {
        let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.read_u8().await
    };
    match timeout(PROBE_WAIT, greeting).await {
        Ok(Ok(_)) => ("up", format!("{:.1} ms", begun.elapsed().as_secs_f64() * 1_000.0)),
        Ok(Err(error)) => ("down", error.to_string()),
        Err(_) => ("down", format!("silent for {} s", PROBE_WAIT.as_secs())),
    }
}

fn print_tables(report: &Report) {
    println!(
        "Cluster {} · epoch {} · {} databases · {} tables\n",
        report.cluster, report.epoch, report.databases, report.tables
    );
    let mut shards = table(&["SHARD", "PRIMARY", "REPLICAS", "STATE", "DETAIL"]);
    for line in &report.shards {
        let replicas = line.replicas.to_string();
        shards.add_row([&line.name, &line.primary, &replicas, line.state, &line.detail]);
    }
    let mut meta = table(&["META NODE", "ADDRESS", "ROLE", "LOG INDEX"]);
    for line in &report.meta {
        let (node, index) = (line.node.to_string(), optional(line.log_index));
        meta.add_row([&node, &line.address, line.role, &index]);
    }
    let mut proxies = table(&["PROXY", "ADDRESS", "VERSION", "EPOCH", "RENEWED MS AGO"]);
    for line in &report.proxies {
        let (epoch, renewed) = (optional(line.epoch), optional(line.renewed_ms_ago));
        proxies.add_row([&line.proxy, &line.address, &line.version, &epoch, &renewed]);
    }
    println!("{shards}\n\n{meta}\n\n{proxies}");
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn optional(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
