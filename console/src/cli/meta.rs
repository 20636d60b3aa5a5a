//! `shardline meta`: one metadata node.

use super::arguments::MetaArguments;
use crate::{
    config::{self, Seed, seed},
    exit::{Failure, Reason, chain},
    up::{
        admin::Readiness,
        nodes::{self, Parts},
        sow,
    },
};
use shardline_base::{BackoffConfig, Shutdown};
use shardline_meta_client::{ClientConfig, MetaClient};
use std::{collections::BTreeMap, env, time::Duration};

/// How long the node may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(8);
/// Between tries to reach a service that has no leader yet.
const SOW_PAUSES: BackoffConfig = BackoffConfig { first_ms: 100, longest_ms: 2_000 };

/// Runs the node until a signal.
pub(super) fn run(arguments: &MetaArguments) -> Result<(), Failure> {
    let members = members(arguments)?;
    let seed = match &arguments.bootstrap {
        Some(path) => {
            let file = config::load(path, |name| env::var(name).ok())?;
            let seed = seed::of_servers(&file).map_err(|message| {
                Failure::new(Reason::Usage, format!("{}: {message}", path.display()))
            })?;
            Some(seed)
        }
        None => None,
    };
    let telemetry = super::telemetry(&arguments.log)?;
    super::runtime("control", 2)?.block_on(async {
        let parts = Parts::new("metadata node");
        let readiness = Readiness::default();
        if let Some(wanted) = arguments.admin.wanted(None) {
            nodes::start_admin(&parts, &wanted, readiness.clone(), telemetry, None).await?;
        }
        let config = shardline_meta::Config {
            node_id: arguments.node_id,
            listen: arguments.listen,
            data_dir: arguments.data_dir.clone(),
            members: members.clone(),
            tls: arguments.tls.files(),
            timing: shardline_meta::Timing::default(),
        };
        nodes::start_meta(&parts, config).await?;
        readiness.set(true);
        if let Some(seed) = seed {
            let mut client = ClientConfig::new(members.into_values());
            client.tls = arguments.tls.files();
            let stop = parts.shutdown().clone();
            parts.run("first catalog", bootstrap(client, seed, stop));
        }
        println!("✓ metadata node {} on {}", arguments.node_id, arguments.listen);
        let result = tokio::select! {
            signal = nodes::stop_signal() => signal.map(|_| ()),
            failure = parts.failed() => Err(failure),
        };
        parts.stop(STOP_LIMIT).await;
        result
    })
}

fn members(arguments: &MetaArguments) -> Result<BTreeMap<u64, String>, Failure> {
    if arguments.peers.is_empty() {
        return Ok([(arguments.node_id, arguments.listen.to_string())].into());
    }
    let parse = |peer: &String| {
        let (id, address) = peer.split_once('=')?;
        Some((id.trim().parse().ok()?, address.trim().to_owned()))
    };
    let mut members = BTreeMap::new();
    for peer in &arguments.peers {
        let (id, address) = parse(peer).ok_or_else(|| {
            Failure::new(Reason::Usage, format!("--peers: {peer:?} is not N=HOST:PORT"))
        })?;
        if members.insert(id, address).is_some() {
            return Err(Failure::new(Reason::Usage, format!("--peers: node {id} is there twice")));
        }
    }
    Ok(members)
}

/// Why the first catalog was not written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BootstrapError(String);

/// Writes the first catalog once the service has a leader. Later starts find nothing to do:
/// a cluster that has shards is left as it is.
async fn bootstrap(
    client: ClientConfig,
    seed: Seed,
    shutdown: Shutdown,
) -> Result<(), BootstrapError> {
    let mut pauses = SOW_PAUSES.build();
    let sown = loop {
        match MetaClient::connect(client.clone(), &shutdown).await {
            Ok(client) if client.catalog().shards.is_empty() => {
                break sow::sow(&client, &seed).await.map_err(|failure| failure.message);
            }
            Ok(_) => break Ok(()),
            Err(error) => tracing::info!(error = %chain(&error), "no metadata service yet"),
        }
        if shutdown.or(tokio::time::sleep(pauses.next_delay())).await.is_none() {
            return Ok(());
        }
    };
    sown.map_err(BootstrapError)?;
    tracing::info!("the first catalog is written");
    // This part has done its work; it stays until the end, as every part does.
    shutdown.triggered().await;
    Ok(())
}
