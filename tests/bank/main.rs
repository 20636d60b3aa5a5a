//! A bank on three shards behind two proxies, while servers, proxies and links fail: money is
//! constant, what was acknowledged is there whole, what was refused is not there at all.
//!
//! - `SHARDLINE_BANK_SECONDS=600` runs for so long instead of 60 s, and asks for 20 faults at each
//!   named point instead of one (nightly).
//! - `SHARDLINE_BANK_SEED=17` chooses the same operations and faults again. Real processes are
//!   not deterministic: the seed repeats the schedule, not what happens.

#[path = "../sim/random.rs"]
mod random;

mod bank;
mod deed;
mod steps;
mod teller;

mod reader;

mod failures;
mod faults;
mod uptime;

mod audit;
mod run;
