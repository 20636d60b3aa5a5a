//! The Raft metadata node: log store, state machine, network, server.
//!
//! One or three [`MetaNode`]s hold the catalog, the sequences and the proxies' leases. A
//! change is acknowledged when a majority has it on disk. The data plane does not need the
//! service statement by statement: proxies go on with their last catalog while their lease
//! lasts.
//!
//! In reading order: [`config`] and [`node`] (the front door); `command`, `state` and
//! `incarnations` (what is replicated, and the pure function that applies it); `log_store`, `snapshot_file` and
//! `machine` (what is on disk); `network` and `server` (one port for nodes and clients);
//! `service`, `hub`, `lease_board` and `status` (what clients get).

mod bootstrap;
mod command;
pub mod config;
mod hub;
mod incarnations;
mod lease_board;
mod lease_driver;
mod log_store;
mod machine;
mod network;
pub mod node;
mod server;
mod service;
mod snapshot_file;
mod state;
mod status;
mod watch_stream;

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod hub_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod storage_tests;

pub use config::{Config, ConfigError, Timing};
pub use node::{BuildError, MetaNode, NodeError};
