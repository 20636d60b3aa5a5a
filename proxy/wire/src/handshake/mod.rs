//! Logging in: the packets of the handshake and the state machines of both sides. No I/O; the drivers
//! are `server` and `client`.

pub mod change_user;
pub mod client_side;
pub mod exchange;
pub mod greeting;
pub mod response;
pub mod server_side;

pub use change_user::ChangeUser;
pub use client_side::{ClientError, ClientHandshake, ClientStep};
pub use exchange::AuthSwitch;
pub use greeting::Greeting;
pub use response::{Attributes, HandshakeResponse, SslRequest};
pub use server_side::{FullCheck, Login, ServerHandshake, ServerStep};

/// Largest payload that either side takes before the login is complete, in bytes.
pub const PAYLOAD_MAX: usize = 128 * 1024;
