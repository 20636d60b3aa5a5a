//! Sessions, backend pools, execution, merge and transactions.

pub mod backend;
pub mod config;
pub mod merge;
pub mod state;
