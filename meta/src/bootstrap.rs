//! The first start of a cluster: the member with the lowest id initialises it, unless
//! another member already knows of a leader, in which case this one lost its disk and must
//! be brought up to date instead.

use crate::{command::MetaRaft, config::Config};
use openraft::{BasicNode, Raft};
use shardline_meta_client::{
    ClusterStatus,
    frame::FrameError,
    rpc::{Request, Response},
    transport::{self, Channel},
};
use std::{collections::BTreeMap, time::Duration};
use tokio_rustls::TlsConnector;

/// For one member's answer.
const ASK_LIMIT: Duration = Duration::from_millis(500);

/// Initialises the cluster when that is this node's to do.
pub(crate) async fn initialise(
    raft: &Raft<MetaRaft>,
    config: &Config,
    tls: Option<&TlsConnector>,
) -> Result<(), String> {
    let initialised = raft.is_initialized().await.map_err(|error| error.to_string())?;
    if initialised || !config.is_lowest() {
        return Ok(());
    }
    for (id, address) in config.members.iter().filter(|(id, _)| **id != config.node_id) {
        if let Some(status) = ask(address, tls).await
            && status.applied_index.is_some()
        {
            tracing::warn!(member = id, "this node is empty in a cluster that is not: it rejoins");
            return Ok(());
        }
    }
    let members: BTreeMap<u64, BasicNode> = config
        .members
        .iter()
        .map(|(&id, address)| (id, BasicNode { addr: address.clone() }))
        .collect();
    tracing::info!(members = members.len(), "initialising a new metadata cluster");
    raft.initialize(members).await.map_err(|error| error.to_string())
}

/// A member's status; None when it does not answer (yet), which is normal at a first start.
async fn ask(address: &str, tls: Option<&TlsConnector>) -> Option<ClusterStatus> {
    let mut frames = transport::connect(address, tls, Channel::Client, ASK_LIMIT).await.ok()?;
    let asking = async {
        frames.send(&Request::ClusterStatus).await?;
        frames.receive::<Response>().await
    };
    let answered: Result<_, FrameError> = tokio::time::timeout(ASK_LIMIT, asking).await.ok()?;
    match answered.ok()?? {
        Response::Status(status) => Some(*status),
        _ => None,
    }
}
