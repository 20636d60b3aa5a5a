//! The pure domain of Shardline: identifiers, shard keys and sharding functions,
//! placements, the catalog and its validation. No I/O, no clock, no randomness: the
//! metadata service, the proxies and the rebalancer all call the same functions.
//!
//! The function from a key to its shard exists once, here: a literal becomes a
//! [`key::KeyPart`] ([`canonical`]), a key becomes a slot ([`hash`]), and a
//! [`placement::Placement`] says the owner; [`predicate`] says the same in SQL.

pub mod access;
mod apply;
pub mod audit;
pub mod barrier;
pub mod canonical;
pub mod catalog;
pub mod change;
mod collation;
pub mod column_type;
pub mod declared;
pub mod guard;
pub mod hash;
pub mod id;
pub mod key;
pub mod lookup;
pub mod moves;
pub mod placement;
pub mod predicate;
pub mod reshard;
pub mod rule;
mod temporal;
mod validate;
mod weights;
