//! The cluster as a whole: what is up, and one sentence about it.

use super::{OperationError, Operations, ShardView, servers::number};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_meta_client::rpc::NodeRole;
use shardline_meta_client::{IncarnationState, rpc::ClusterStatus};
use shardline_model::{
    catalog::{Catalog, ServerAddress},
    moves::JobPhase,
};
use shardline_proxy::stats::Point;
use std::time::Duration;

/// How long a server may take to say how it is.
const ASK_MAX: Duration = Duration::from_secs(4);
/// A proxy that has not renewed its lease for so long is late.
const RENEWAL_LATE_MS: u64 = 3_000;

/// How good or bad it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum HealthLevel {
    /// Everything is up.
    #[default]
    Ok,
    /// Somebody should look.
    Warn,
    /// Statements fail.
    Bad,
}

/// Why it is not good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReason {
    /// For programs: `shard_down`, `no_leader` ...
    pub code: String,
    /// For people.
    pub text: String,
    /// Where to look.
    pub link: String,
}

/// How the cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// In a word.
    pub level: HealthLevel,
    /// In a sentence.
    pub sentence: String,
    /// Why it is not good.
    pub reasons: Vec<HealthReason>,
}

/// How many of something are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpCount {
    /// Those that are.
    pub up: u64,
    /// All.
    pub all: u64,
}

/// Rates of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointView {
    /// Its end, in seconds since 1970.
    pub unix_s: u64,
    /// Statements that ended in a second.
    pub statements_per_s: f64,
    /// Those that failed.
    pub errors_per_s: f64,
    /// Half of them took no longer, in microseconds.
    pub p50_us: Option<u64>,
    /// Of a hundred all but one took no longer.
    pub p99_us: Option<u64>,
    /// The most sessions.
    pub sessions: u64,
    /// The most statements that ran at a time.
    pub running: u64,
}

impl From<&Point> for PointView {
    fn from(point: &Point) -> Self {
        let rate = |count: u64| count as f64 / point.seconds.max(1) as f64;
        Self {
            unix_s: point.unix_s,
            statements_per_s: rate(point.statements),
            errors_per_s: rate(point.errors),
            p50_us: point.p50_us,
            p99_us: point.p99_us,
            sessions: point.sessions,
            running: point.running,
        }
    }
}

/// The cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// The version of the process that answers.
    pub version: String,
    /// The catalog's version.
    pub epoch: u64,
    /// The version of all that plans depend on: the ETag.
    pub plans_epoch: u64,
    /// How it is.
    pub health: Health,
    /// Shards whose primary answers.
    pub shards: UpCount,
    /// Proxies that hold a lease.
    pub proxies: UpCount,
    /// Metadata nodes that follow the leader; all when only some are asked.
    pub meta_nodes: UpCount,
    /// The leading metadata node.
    pub leader: Option<u64>,
    /// Jobs that are not over.
    pub jobs_running: u64,
    /// Databases.
    pub databases: u64,
    /// Tables and views.
    pub tables: u64,
    /// How long the proxy of this process has been up.
    pub uptime_s: u64,
    /// The last second.
    pub now: Option<PointView>,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerView {
    /// Its shard.
    pub shard: String,
    /// `primary` or `replica`.
    pub role: String,
    /// Its address.
    pub address: String,
    /// Whether it answers.
    pub up: bool,
    /// Why it does not.
    pub problem: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// How long it has been up.
    pub uptime_s: Option<u64>,
    /// Its connections.
    pub connections: Option<u64>,
    /// The most it takes.
    pub connections_max: Option<u64>,
    /// Whether it takes no writes.
    pub read_only: Option<bool>,
    /// How far a replica is behind; None when it does not replicate, or does not say.
    pub lag_ms: Option<u64>,
}

/// A proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyView {
    /// Its id.
    pub id: u32,
    /// This life of it.
    pub incarnation: u64,
    /// Where it listens.
    pub address: String,
    /// Its version.
    pub version: String,
    /// `live`.
    pub state: String,
    /// The catalog that it acts by.
    pub acknowledged_epoch: Option<u64>,
    /// Since its last renewal.
    pub renewed_ms_ago: Option<u64>,
    /// Whether it is in the process that answers.
    pub here: bool,
    /// Its sessions; None for one elsewhere.
    pub sessions: Option<u64>,
}

/// A metadata node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetaNodeView {
    /// Its id.
    pub id: u64,
    /// Its address.
    pub address: String,
    /// `leader`, `follower` or `learner`.
    pub role: String,
    /// The last entry of the log that it has, as far as the leader knows.
    pub matched_index: Option<u64>,
    /// The last entry of the log.
    pub last_index: Option<u64>,
}

impl Operations {
    /// The cluster as a whole.
    ///
    /// # Errors
    /// None: what cannot be reached is what it says.
    pub async fn cluster(&self) -> ClusterView {
        let catalog = self.catalog();
        let (shards, status) =
            tokio::join!(self.shards_by_catalog(&catalog), self.meta.cluster_status());
        let status = status.ok();
        let inside = self.inside.get();
        let running =
            |job: &&std::sync::Arc<shardline_model::moves::Job>| !job.state.phase.is_over();
        let up = |shards: &[ShardView]| shards.iter().filter(|shard| shard.up).count() as u64;
        let proxies = status.as_ref().map_or(0, |status| status.leases.len() as u64);
        let nodes = status.as_ref().map_or(0, |status| status.nodes.len() as u64);
        let behind = status.as_ref().map_or(0, |status| late_nodes(status).len() as u64);
        ClusterView {
            name: catalog.cluster.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: catalog.epoch.0,
            plans_epoch: catalog.planned.0,
            health: health(&catalog, &shards, status.as_ref()),
            shards: UpCount { up: up(&shards), all: shards.len() as u64 },
            proxies: UpCount { up: proxies, all: proxies },
            meta_nodes: UpCount { up: nodes - behind, all: nodes },
            leader: status.as_ref().and_then(|status| status.leader),
            jobs_running: catalog.jobs.values().filter(running).count() as u64,
            databases: catalog.databases.len() as u64,
            tables: catalog.tables().count() as u64,
            uptime_s: inside.map_or(0, |inside| inside.uptime().as_secs()),
            now: inside
                .and_then(|inside| inside.statistics().last_point())
                .map(|point| PointView::from(&point)),
        }
    }

    /// All servers of all shards.
    pub async fn server_views(&self) -> Vec<ServerView> {
        let catalog = self.catalog();
        let mut asked = Vec::new();
        for shard in catalog.shards.values() {
            asked.push(self.server_view(&shard.name, "primary", &shard.primary));
            for replica in &shard.replicas {
                asked.push(self.server_view(&shard.name, "replica", replica));
            }
        }
        join_all(asked).await
    }

    async fn server_view(&self, shard: &str, role: &str, address: &ServerAddress) -> ServerView {
        let mut view = ServerView {
            shard: shard.to_owned(),
            role: role.to_owned(),
            address: format!("{}:{}", address.host, address.port),
            ..ServerView::default()
        };
        let asked = tokio::time::timeout(ASK_MAX, self.ask_server(shard, address, &mut view)).await;
        match asked {
            Ok(Ok(())) => view.up = true,
            Ok(Err(error)) => view.problem = Some(error.message),
            Err(_) => view.problem = Some(format!("no answer within {} s", ASK_MAX.as_secs())),
        }
        view
    }

    async fn ask_server(
        &self,
        shard: &str,
        address: &ServerAddress,
        view: &mut ServerView,
    ) -> Result<(), OperationError> {
        let mut server = self.server(shard, address).await?;
        let row = server.texts("SELECT VERSION(), @@max_connections, @@read_only").await?;
        let mut values = row.into_iter().next().unwrap_or_default().into_iter();
        view.version = values.next();
        view.connections_max = values.next().map(|text| number(&text));
        view.read_only = values.next().map(|text| number(&text) == 1);
        let status = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime', 'Threads_connected')";
        for row in server.texts(status).await? {
            match &row[..] {
                [name, value] if name == "Uptime" => view.uptime_s = Some(number(value)),
                [_, value] => view.connections = Some(number(value)),
                _ => {}
            }
        }
        Ok(())
    }

    /// All proxies, and the lives of former ones that still matter.
    ///
    /// # Errors
    /// The metadata service does not answer.
    pub async fn proxies(&self) -> Result<Vec<ProxyView>, OperationError> {
        let status = self.meta_status().await?;
        let here = self.inside.get().and_then(|inside| inside.proxy());
        let sessions = self.inside.get().map(|inside| inside.sessions().len() as u64);
        let live = status.leases.iter().map(|lease| ProxyView {
            id: lease.proxy.0,
            incarnation: lease.incarnation.0,
            address: lease.registration.address.clone(),
            version: lease.registration.version.clone(),
            state: "live".to_owned(),
            acknowledged_epoch: lease.acknowledged.map(|epoch| epoch.0),
            renewed_ms_ago: lease.renewed_ms_ago,
            here: here == Some(lease.proxy),
            sessions: sessions.filter(|_| here == Some(lease.proxy)),
        });
        Ok(live.collect())
    }

    /// All metadata nodes.
    ///
    /// # Errors
    /// None of them answers.
    pub async fn meta_nodes(&self) -> Result<Vec<MetaNodeView>, OperationError> {
        let status = self.meta_status().await?;
        let view = |node: &shardline_meta_client::rpc::NodeStatus| MetaNodeView {
            id: node.id,
            address: node.address.clone(),
            role: match node.role {
                NodeRole::Leader => "leader",
                NodeRole::Follower => "follower",
                NodeRole::Learner => "learner",
            }
            .to_owned(),
            matched_index: node.matched_index,
            last_index: status.last_log_index,
        };
        Ok(status.nodes.iter().map(view).collect())
    }

    async fn meta_status(&self) -> Result<ClusterStatus, OperationError> {
        self.meta
            .cluster_status()
            .await
            .map_err(|error| OperationError::unavailable("metadata", crate::exit::chain(&error)))
    }
}

/// Nodes that lack entries that others have for long.
fn late_nodes(status: &ClusterStatus) -> Vec<u64> {
    const BEHIND_MAX: u64 = 1_000;
    let last = status.last_log_index.unwrap_or(0);
    let late = |index: Option<u64>| index.is_some_and(|index| index + BEHIND_MAX < last);
    let nodes = status.nodes.iter().filter(|node| late(node.matched_index));
    nodes.map(|node| node.id).collect()
}

fn health(catalog: &Catalog, shards: &[ShardView], status: Option<&ClusterStatus>) -> Health {
    let mut all: Vec<(HealthLevel, HealthReason)> = Vec::new();
    let mut add = |level, code: &str, text: String, link: String| {
        all.push((level, HealthReason { code: code.to_owned(), text, link }));
    };
    for shard in shards {
        let link = format!("/shards/{}", shard.name);
        if !shard.up {
            let why = shard.problem.as_deref().unwrap_or("it does not answer");
            add(HealthLevel::Bad, "shard_down", format!("shard {}: {why}", shard.name), link);
        } else if shard.state != "serving" {
            let code = format!("shard_{}", shard.state);
            add(HealthLevel::Warn, &code, format!("shard {} is {}", shard.name, shard.state), link);
        }
    }
    match status {
        None => add(
            HealthLevel::Bad,
            "no_leader",
            "the metadata service does not answer".to_owned(),
            "/meta-nodes".to_owned(),
        ),
        Some(status) => {
            if status.leader.is_none() {
                let text = "the metadata service has no leader".to_owned();
                add(HealthLevel::Bad, "no_leader", text, "/meta-nodes".to_owned());
            }
            for lease in &status.leases {
                if let Some(ms) = lease.renewed_ms_ago.filter(|ms| *ms > RENEWAL_LATE_MS) {
                    let text =
                        format!("proxy {} has not renewed its lease for {ms} ms", lease.proxy);
                    add(HealthLevel::Warn, "proxy_behind", text, "/proxies".to_owned());
                }
            }
            let ended = status.incarnations.iter();
            let ended = ended.filter(|one| one.state == IncarnationState::Ended).count();
            if ended > 0 {
                let text = format!("{ended} proxies have ended and are not fenced yet");
                add(HealthLevel::Warn, "incarnations_ended", text, "/proxies".to_owned());
            }
        }
    }
    for (id, job) in &catalog.jobs {
        if job.state.phase == JobPhase::Failed {
            let why = job.state.last_error.as_deref().unwrap_or("see its log");
            let text = format!("job {} has failed: {why}", id.0);
            add(HealthLevel::Warn, "job_failed", text, format!("/jobs/{}", id.0));
        }
    }
    all.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    let level = all.iter().map(|(level, _)| *level).max().unwrap_or_default();
    let reasons: Vec<HealthReason> = all.into_iter().map(|(_, reason)| reason).collect();
    let up = shards.iter().filter(|shard| shard.up).count();
    let counts = format!(
        "{up} of {} shards, {} and {} are up",
        shards.len(),
        counted(status.map_or(0, |status| status.leases.len()), "proxy", "proxies"),
        counted(status.map_or(0, |status| status.nodes.len()), "metadata node", "metadata nodes"),
    );
    let sentence = match &reasons[..] {
        [] => format!("Everything is well: {counts}."),
        [one] => format!("{counts}; {}.", one.text),
        [one, rest @ ..] => format!("{counts}; {} (and {} more).", one.text, rest.len()),
    };
    Health { level, sentence, reasons }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
