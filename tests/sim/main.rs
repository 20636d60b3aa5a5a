//! Simulation of distributed transactions: the machines of `shardline_proxy::txn`, the same
//! as in production, over simulated servers, a network that loses, delays and repeats, and
//! processes that stop and die between any two steps. Everything follows from a seed. The
//! invariants are in `invariants/`, one file each; `seeds.rs` says how to repeat a failure.

mod engine;
mod random;

mod oracle;
mod packet;

mod server;
mod statements;

mod network;

mod guard;
mod proxy;

mod client;
mod supervisor;

mod world;

mod moment;

mod invariants;
mod seeds;
