//! `shardline up`: a whole cluster on this machine in one process, its servers beside it.

pub mod admin;
pub mod cluster;
pub mod detach;
pub mod folder;
pub mod listener;
pub mod nodes;
pub mod plan;
pub mod servers;
pub mod sow;
pub mod summary;
pub mod tls;
