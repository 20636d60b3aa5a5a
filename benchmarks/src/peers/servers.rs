//! How the servers of a measurement run: all alike, with room for the tables, and with
//! commits that do not wait for the disk, so that processors are measured.

use anyhow::Result;
use shardline_console::local::settings::ServerTuning;
use shardline_tests::{Cluster, ClusterConfig, cluster::Links};

/// InnoDB's cache of each server: all tables of two targets fit.
const CACHE_MIB: u32 = 1_024;
/// Connections that each server takes: the most clients of a cell, and pools.
const CONNECTIONS_MAX: u32 = 2_000;
/// Clients that a proxy takes.
const SESSIONS_MAX: u32 = 12_000;

/// The settings of every server.
pub fn tuning() -> ServerTuning {
    let options = [
        "--innodb-flush-log-at-trx-commit=2",
        "--sync-binlog=0",
        "--innodb-log-file-size=512M",
        // 512 clients with the statements of read/write transactions on four tables.
        "--max-prepared-stmt-count=1000000",
        "--table-open-cache=8000",
        "--thread-cache-size=1000",
        "--back-log=2000",
    ];
    ServerTuning {
        buffer_pool_mib: CACHE_MIB,
        connections_max: CONNECTIONS_MAX,
        options: options.map(str::to_owned).to_vec(),
    }
}

/// A cluster of such servers with one metadata node and one proxy.
///
/// # Errors
/// A process does not start.
pub async fn cluster(shards: usize, sockets: bool) -> Result<Cluster> {
    let yaml = format!("limits: {{sessions_max: {SESSIONS_MAX}}}\n");
    let links = if sockets { Links::Sockets } else { Links::Tcp };
    let config = ClusterConfig { shards, meta: 1, proxies: 1, yaml, tuning: tuning(), links };
    Cluster::start(config).await
}
