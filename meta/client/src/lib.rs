//! The client of the metadata service: watches the catalog, proposes changes, reserves
//! sequence numbers, holds leases. It also owns what the service and its clients say to
//! each other (messages, framing, transport, TLS), since the service depends on it.
//!
//! A process that has connected keeps its last catalog when the service is unreachable:
//! [`MetaClient::catalog`] never waits and never fails. What needs the service waits for
//! a bounded time and fails with an error that names the operation and the endpoints.

mod caller;
mod client;
mod config;
mod error;
pub mod frame;
mod lease;
mod replica;
pub mod rpc;
pub mod tls;
pub mod transport;
mod watcher;

#[cfg(test)]
mod frame_tests;
#[cfg(test)]
mod replica_tests;

pub use client::MetaClient;
pub use config::{ClientConfig, ClientTiming};
pub use error::{CallError, ConnectError, LeaseError, MarkError, ProposeError, ReserveError};
pub use lease::ProxyLease;
pub use rpc::{
    ClusterStatus, IncarnationState, IncarnationStatus, LeaseStatus, NodeRole, NodeStatus,
    ProxyRegistration, Rejection, RejectionKind,
};
pub use tls::{TlsError, TlsFiles};
