//! Integration: real servers, real processes, real clients.

mod placement;
mod servers;
mod sysbench;
mod up;
