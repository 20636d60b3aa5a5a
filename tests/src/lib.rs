//! Harness that starts real servers, and the suites that use it.
//!
//! A test asks for a [`Server`] (one MariaDB server), a [`Cluster`] (real `shardline meta`
//! and `shardline proxy` processes over such servers) or an [`UpCluster`] (one
//! `shardline up`). Everything runs in temporary folders on ports that no other test has,
//! and ends with the value, or with the test process, however that ends. Waits are bounded
//! and on states. Logs of a test that fails are kept and named.

pub mod folder;
pub mod port;
pub mod process;
pub mod wait;

pub mod cluster;
pub mod server;
pub mod up;

pub mod load;
pub mod relay;
pub mod rows;
pub mod sql;

pub use cluster::{Cluster, ClusterConfig};
pub use relay::Relay;
pub use server::Server;
pub use up::UpCluster;
