//! Integration: real servers, real processes, real clients.

mod accounts;
mod api;
mod backend_pool;
mod binlog;
mod compute;
mod merge_agreement;
mod moves;
mod operations;
mod placement;
mod placement_agreement;
mod rehearsed;
mod servers;
mod sysbench;
mod txn_audit;
mod txn_compensation;
mod txn_deadlock;
mod txn_fencing;
mod txn_reads;
mod txn_session;
mod txn_setup;
mod txn_sql;
mod up;
