//! Connections to the shards' servers: pools with limits and waiting, health, prepared
//! statements, and the session state that is put back before a statement. What is
//! decided is in the pure parts (`pool_state`, `statements`, `crate::state`); the rest
//! moves bytes.

mod class;
mod connect;
mod connection;
mod health;
mod logins;
mod packet;
mod pool;
mod pool_set;
mod pool_state;
#[cfg(test)]
mod pool_state_test;
mod result;
mod statements;

pub use class::{ConnClass, Wanted, WorkerId};
pub use connection::BackendConnection;
pub(crate) use logins::{Login, LoginAnswer, Logins};
pub(crate) use packet::PacketAnswer;
pub use pool::PooledConnection;
pub use pool_set::{KillKind, PoolConfig, PoolSet, PoolStatus};
pub use pool_state::PoolLimits;
pub use result::{TextLimits, TextResult};
pub use statements::BackendStatement;

use crate::state::NotRestorable;
use shardline_model::id::ShardId;
use shardline_wire::{ConnectionError, ErrPacket, cursor::DecodeError};
use std::{sync::Arc, time::Duration};

/// Why a backend connection could not be had or used.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The catalog has no such shard.
    #[error("shard {shard} is not in the catalog")]
    UnknownShard {
        /// The shard.
        shard: ShardId,
    },
    /// The shard's server does not answer; it is tried again in the background.
    #[error("shard '{name}' at {address} is down: {reason}")]
    Down {
        /// The shard's name.
        name: Arc<str>,
        /// Where it is.
        address: Arc<str>,
        /// What the last probe said.
        reason: Arc<str>,
    },
    /// All connections are in use and as many wait as may.
    #[error(
        "all {limit} connections to shard '{name}' are in use and {waiters} statements wait already"
    )]
    QueueFull {
        /// The shard's name.
        name: Arc<str>,
        /// Connections at most.
        limit: usize,
        /// Waiters at most.
        waiters: usize,
    },
    /// All connections stayed in use.
    #[error("all {limit} connections to shard '{name}' were in use for {waited:?}")]
    CheckoutTimeout {
        /// The shard's name.
        name: Arc<str>,
        /// Connections at most.
        limit: usize,
        /// How long it waited.
        waited: Duration,
    },
    /// A connection could not be opened.
    #[error("cannot connect to shard '{name}' at {address}: {reason}")]
    Connect {
        /// The shard's name.
        name: Arc<str>,
        /// Where it is.
        address: Arc<str>,
        /// Why, with its causes.
        reason: String,
        /// What the server said, if it was the server.
        server: Option<ErrPacket>,
        /// The server was reached and did not take the login.
        at_login: bool,
    },
    /// An open connection broke.
    #[error("the connection to shard '{name}' broke")]
    Broken {
        /// The shard's name.
        name: Arc<str>,
        /// How.
        #[source]
        source: ConnectionError,
    },
    /// The server's answer could not be read.
    #[error("shard '{name}' sent an answer that cannot be read")]
    Answer {
        /// The shard's name.
        name: Arc<str>,
        /// Where.
        #[source]
        source: DecodeError,
    },
    /// The server's answer has another shape than the command calls for, or is too large.
    #[error("shard '{name}' sent an answer that was not expected: {what}")]
    Unexpected {
        /// The shard's name.
        name: Arc<str>,
        /// What came.
        what: &'static str,
    },
    /// The server answered with an error. The connection can be used further.
    #[error("shard '{name}' answered error {}: {}", error.code, error.message_text())]
    Server {
        /// The shard's name.
        name: Arc<str>,
        /// Its error.
        error: ErrPacket,
    },
    /// The session's state could not be put on the connection, which is closed.
    #[error("shard '{name}' did not take the session's settings: error {}: {}", error.code, error.message_text())]
    Restore {
        /// The shard's name.
        name: Arc<str>,
        /// Its error.
        error: ErrPacket,
    },
    /// The connection cannot be given the session's state; another one can.
    #[error("a connection to shard '{name}' cannot be given the session's state")]
    NotRestorable {
        /// The shard's name.
        name: Arc<str>,
        /// Why.
        #[source]
        source: NotRestorable,
    },
}

impl BackendError {
    /// What the server itself said, if it is that.
    pub fn server_error(&self) -> Option<&ErrPacket> {
        match self {
            BackendError::Server { error, .. } | BackendError::Restore { error, .. } => Some(error),
            BackendError::Connect { server, .. } => server.as_ref(),
            BackendError::UnknownShard { .. }
            | BackendError::Down { .. }
            | BackendError::QueueFull { .. }
            | BackendError::CheckoutTimeout { .. }
            | BackendError::Broken { .. }
            | BackendError::Answer { .. }
            | BackendError::Unexpected { .. }
            | BackendError::NotRestorable { .. } => None,
        }
    }
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
