//! The binlog of real servers: decoded, gathered to transactions, and undone.

mod columns;
mod differences;
mod random;
mod reading;
mod round_trip;
mod stream;
mod table;
mod undoing;
