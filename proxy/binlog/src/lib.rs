//! Binlog events of MariaDB (10.6 and later) and MySQL (8.0 and later), from bytes to values, and the
//! statements that undo a transaction's row changes.
//!
//! Synchronous, without I/O, and without panics on any input. Whoever reads a server's binlog sends
//! what [`request`] builds, gives each event to a [`Decoder`], gathers a transaction's rows with
//! [`transaction`] and undoes it with [`undo`]. What cannot be decoded exactly is an error, never
//! skipped. Modules are listed in reading order.

mod reader;

pub mod error;
pub mod header;

pub mod column;
pub mod value;

pub mod json;

pub mod rows;
pub mod table_map;

pub mod control;
pub mod gtid;

mod compress;

pub mod decoder;
pub mod request;
pub mod transaction;

pub mod find;

pub mod literal;
pub mod undo;

pub mod fuzz;

pub use control::Family;
pub use decoder::{Body, Decoder, Event};
pub use error::DecodeError;
pub use header::{EventHeader, EventKind};
pub use rows::{ChangeKind, Row, Rows};
pub use table_map::TableMap;
pub use transaction::{Collector, RowChange, Transaction};
pub use value::Value;
