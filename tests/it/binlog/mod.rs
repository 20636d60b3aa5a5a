//! The binlog of real servers: decoded, gathered to transactions, and undone.

mod columns;
mod differences;
pub(crate) mod random;
mod reading;
mod round_trip;
mod stream;
pub(crate) mod table;
mod undoing;
