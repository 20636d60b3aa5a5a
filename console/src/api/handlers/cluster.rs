//! The cluster as a whole, its servers, proxies, metadata nodes, databases and tables.

use crate::{
    api::{
        call::{Call, Reply},
        endpoint::{Endpoint, Rule},
    },
    operations::{
        OperationError,
        cluster::{ClusterView, MetaNodeView, ProxyView, ServerView},
        tables::{DatabaseView, TableView},
        view::Listing,
    },
};
use shardline_model::access::Scope;
use std::sync::Arc;

const READ: Rule = Rule::Any(&[Scope::Read]);

/// The operations.
pub(super) fn table() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<ClusterView, _>("getCluster", "/cluster", READ, cluster)
            .cli("cluster show")
            .does("What is up, and one sentence about it"),
        Endpoint::get::<Listing<ServerView>, _>("listServers", "/servers", READ, servers)
            .cli("cluster servers")
            .does("The servers of all shards"),
        Endpoint::get::<Listing<ProxyView>, _>("listProxies", "/proxies", READ, proxies)
            .cli("cluster proxies")
            .does("The proxies"),
        Endpoint::get::<Listing<MetaNodeView>, _>("listMetaNodes", "/meta-nodes", READ, nodes)
            .cli("cluster nodes")
            .does("The metadata nodes"),
        Endpoint::get::<Listing<DatabaseView>, _>("listDatabases", "/databases", READ, databases)
            .cli("database list")
            .does("The databases"),
        Endpoint::get::<Listing<TableView>, _>(
            "listTables",
            "/databases/{db}/tables",
            READ,
            tables,
        )
        .cli("table list")
        .does("The tables of a database, with rows and bytes by shard"),
        Endpoint::get::<TableView, _>("getTable", "/databases/{db}/tables/{table}", READ, one)
            .cli("table show")
            .does("One table"),
    ]
}

async fn cluster(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&call.operations().cluster().await)
}

async fn servers(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&Listing::of("ServerList", call.operations().server_views().await))
}

async fn proxies(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&Listing::of("ProxyList", call.operations().proxies().await?))
}

async fn nodes(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&Listing::of("MetaNodeList", call.operations().meta_nodes().await?))
}

async fn databases(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&Listing::of("DatabaseList", call.operations().databases()))
}

async fn tables(call: Arc<Call>) -> Result<Reply, OperationError> {
    let tables = call.operations().tables(call.part("db")?).await?;
    Reply::of(&Listing::of("TableList", tables))
}

async fn one(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&call.operations().table(call.part("db")?, call.part("table")?).await?)
}
