//! The MySQL protocol, both sides: synchronous codecs, thin async I/O.
//!
//! Everything that reads or writes bytes is a pure function or a sans-io state machine; only
//! `stream`, `connection`, `server` and `client` touch sockets, and they decide nothing.
//! Modules are listed in reading order. Nothing here knows SQL, shards or sessions.

pub mod capability;
pub mod column;
pub mod command;
pub mod cursor;
pub mod lenenc;
pub mod packet;
pub mod response;
pub mod row;
pub mod session_track;
pub mod statement;
pub mod status;
pub mod temporal;
pub mod value;

pub mod relay;

pub mod auth;
pub mod handshake;

pub mod client;
pub mod connection;
pub mod server;
mod slab;
pub mod stream;
pub mod tls;

pub mod fuzz;

pub use capability::Capabilities;
pub use connection::{Connection, ConnectionError};
pub use cursor::{DecodeError, Reader};
pub use response::{EofPacket, ErrPacket, OkPacket};
pub use status::Status;
