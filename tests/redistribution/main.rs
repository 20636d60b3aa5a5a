//! Units change their shard while clients that check every answer go on: for hash, range and list,
//! there, back, there again for good, and a whole shard emptied; with nothing failing, and with
//! everything failing at every named point.
//!
//! - `SHARDLINE_MOVES_SECONDS=600` goes there and back for so long, instead of once (nightly).
//! - `SHARDLINE_MOVES_FAULTS=all` has every kind of failure at every point, instead of one (nightly).

mod client;
mod jobs;
mod world;

mod failing;
mod steady;
mod trouble;
