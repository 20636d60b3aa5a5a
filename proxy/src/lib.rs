//! Sessions, backend pools, execution, merge and transactions: the data plane, which
//! clients take for one MySQL server. Modules in reading order.

pub mod config;
pub mod error;
pub mod server;

mod worker;

pub mod registry;
pub mod session;

mod execute;
pub mod merge;

pub mod txn;

pub mod distributed;
mod fault;
#[cfg(feature = "fault-points")]
pub mod testing;

pub mod backend;
pub mod state;

pub mod auto_increment;
pub mod holds;
pub mod inside;
pub mod metrics;
pub mod operations;
pub mod stats;

pub use config::{BackendAccount, ClientTls, Limits, ProxyConfig};
pub use server::{Proxy, ProxyError};
