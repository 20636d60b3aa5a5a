//! What a client is told: where the service is and how long to wait for it.

use crate::TlsFiles;
use shardline_base::BackoffConfig;

/// How a process reaches the metadata service.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The nodes, `HOST:PORT` each; one that answers is enough to find the leader.
    pub endpoints: Vec<String>,
    /// Mutual TLS; required by a service that listens beyond the loopback.
    pub tls: Option<TlsFiles>,
    /// Limits on waiting.
    pub timing: ClientTiming,
}

impl ClientConfig {
    /// Endpoints without TLS and with the usual limits.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            tls: None,
            timing: ClientTiming::default(),
        }
    }
}

/// Limits on waiting.
#[derive(Clone, Copy, Debug)]
pub struct ClientTiming {
    /// For a connection to one node, TLS included, in milliseconds.
    pub connect_timeout_ms: u64,
    /// For one node's answer, in milliseconds; then another node is asked.
    pub attempt_timeout_ms: u64,
    /// For a whole operation with its retries, in milliseconds. Longer than an election.
    pub call_timeout_ms: u64,
    /// A watched node that is silent for so long is left, in milliseconds.
    pub silence_timeout_ms: u64,
    /// Waits between attempts.
    pub backoff: BackoffConfig,
}

impl Default for ClientTiming {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 1_000,
            attempt_timeout_ms: 3_000,
            call_timeout_ms: 10_000,
            silence_timeout_ms: 2_500,
            backoff: BackoffConfig { first_ms: 10, longest_ms: 300 },
        }
    }
}
