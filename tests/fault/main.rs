//! Faults: processes killed and frozen, links cut, garbage sent. What still must work does,
//! and what cannot work says so.

mod links;
mod meta;
mod packets;
mod proxy;
mod shard;

use anyhow::Result;
use shardline_tests::{Cluster, ClusterConfig, sql};

/// A cluster with a table `d.t` by hash and a table `d.a` with generated ids.
async fn cluster_with_tables(config: ClusterConfig) -> Result<Cluster> {
    let cluster = Cluster::start(config).await?;
    let mut client = cluster.connect(0).await?;
    let statements = [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id BIGINT NOT NULL PRIMARY KEY, v INT NOT NULL) SHARD BY HASH (id)",
        "CREATE TABLE d.a (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, c BIGINT NOT NULL, \
         KEY (c)) SHARD BY HASH (c)",
    ];
    sql::run(&mut client, &statements).await?;
    Ok(cluster)
}
