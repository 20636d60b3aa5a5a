//! The pure domain of Shardline: identifiers, shard keys and sharding functions,
//! placements, the catalog and its validation. No I/O, no clock, no randomness: the
//! metadata service, the proxies and the rebalancer all call the same functions.

pub mod catalog;
pub mod id;
pub mod key;
pub mod placement;
