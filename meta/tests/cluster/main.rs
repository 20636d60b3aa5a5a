//! Whole metadata clusters in one process, over real loopback TCP and real files. Each node
//! has a runtime of its own; killing a node drops the runtime with everything on it.

#![expect(clippy::unwrap_used, reason = "the harness of a test fails with its test")]

mod failover;
mod harness;
mod leases;
mod restart;
mod tls;
mod watching;
