//! What a node is told, and the checks on it.

use shardline_meta_client::TlsFiles;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

/// One node of the metadata service.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's id, a key of `members`.
    pub node_id: u64,
    /// Where to listen, for nodes and clients alike. Beyond the loopback only with `tls`.
    pub listen: SocketAddr,
    /// Log and snapshot; made when missing. One node's alone.
    pub data_dir: PathBuf,
    /// The 1 or 3 initial members: where the others and the clients reach each, `HOST:PORT`.
    pub members: BTreeMap<u64, String>,
    /// Mutual TLS for the port and for the ways to the other nodes.
    pub tls: Option<TlsFiles>,
    /// Times.
    pub timing: Timing,
}

/// Times of a node; the same on all nodes of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A follower that hears nothing for a random time between this ...
    pub election_timeout_min_ms: u64,
    /// ... and this, in milliseconds, stands for election.
    pub election_timeout_max_ms: u64,
    /// The leader is heard from this often, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// How long a proxy keeps its id without a renewal, in milliseconds. Also how long the
    /// data plane goes on when the whole service is down.
    pub lease_ttl_ms: u64,
    /// A snapshot is made after so many log entries.
    pub snapshot_entries: u64,
    /// So many entries before the snapshot are kept, for followers that are a little behind.
    pub kept_entries: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            election_timeout_min_ms: 300,
            election_timeout_max_ms: 600,
            heartbeat_interval_ms: 100,
            lease_ttl_ms: 15_000,
            snapshot_entries: 5_000,
            kept_entries: 1_000,
        }
    }
}

/// What is wrong with a [`Config`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Neither 1 nor 3 members.
    #[error("a metadata service has 1 or 3 members, not {count}")]
    Members {
        /// How many.
        count: usize,
    },
    /// The node is not a member.
    #[error("node {node_id} is not among the members")]
    NotAMember {
        /// The node.
        node_id: u64,
    },
    /// Anyone on the network could rewrite the catalog.
    #[error(
        "refusing to listen on {listen} without TLS: use a loopback address or configure certificates"
    )]
    Open {
        /// The address.
        listen: SocketAddr,
    },
    /// Times that contradict each other.
    #[error("{reason}")]
    Timing {
        /// How.
        reason: &'static str,
    },
}

impl Config {
    /// Checks what can be checked without touching disk or network.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let count = self.members.len();
        if count != 1 && count != 3 {
            return Err(ConfigError::Members { count });
        }
        if !self.members.contains_key(&self.node_id) {
            return Err(ConfigError::NotAMember { node_id: self.node_id });
        }
        if !self.listen.ip().is_loopback() && self.tls.is_none() {
            return Err(ConfigError::Open { listen: self.listen });
        }
        self.timing.check().map_err(|reason| ConfigError::Timing { reason })
    }

    /// Whether this node is the one that starts a new cluster.
    pub(crate) fn is_lowest(&self) -> bool {
        self.members.keys().next() == Some(&self.node_id)
    }
}

impl Timing {
    fn check(&self) -> Result<(), &'static str> {
        if self.heartbeat_interval_ms == 0
            || self.election_timeout_min_ms < 2 * self.heartbeat_interval_ms
        {
            return Err("the election timeout must be at least two heartbeat intervals");
        }
        if self.election_timeout_max_ms <= self.election_timeout_min_ms {
            return Err("the largest election timeout must be over the smallest");
        }
        if self.lease_ttl_ms < self.election_timeout_max_ms {
            return Err("a lease must outlast an election");
        }
        if self.snapshot_entries == 0 {
            return Err("a snapshot needs at least one log entry");
        }
        Ok(())
    }

    /// These times in Raft's own configuration.
    pub(crate) fn raft(&self) -> openraft::Config {
        openraft::Config {
            cluster_name: "shardline".to_owned(),
            election_timeout_min: self.election_timeout_min_ms,
            election_timeout_max: self.election_timeout_max_ms,
            heartbeat_interval: self.heartbeat_interval_ms,
            install_snapshot_timeout: 10_000,
            max_payload_entries: 256,
            replication_lag_threshold: self.snapshot_entries.saturating_add(self.kept_entries),
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(self.snapshot_entries),
            snapshot_max_chunk_size: 1 << 20,
            max_in_snapshot_log_to_keep: self.kept_entries,
            ..openraft::Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &str, members: u64) -> Config {
        Config {
            node_id: 1,
            listen: listen.parse().unwrap(),
            data_dir: PathBuf::new(),
            members: (1..=members).map(|id| (id, format!("127.0.0.1:{id}"))).collect(),
            tls: None,
            timing: Timing::default(),
        }
    }

    #[test]
    fn what_is_unsafe_or_impossible_is_refused() {
        assert_eq!(config("127.0.0.1:1", 3).check(), Ok(()));
        assert_eq!(config("[::1]:1", 1).check(), Ok(()));
        assert!(matches!(config("0.0.0.0:1", 1).check(), Err(ConfigError::Open { .. })));
        assert_eq!(config("127.0.0.1:1", 2).check(), Err(ConfigError::Members { count: 2 }));
        let stranger = Config { node_id: 9, ..config("127.0.0.1:1", 3) };
        assert_eq!(stranger.check(), Err(ConfigError::NotAMember { node_id: 9 }));
        let mut hasty = config("127.0.0.1:1", 1);
        hasty.timing.heartbeat_interval_ms = 200;
        assert!(matches!(hasty.check(), Err(ConfigError::Timing { .. })));
    }
}
