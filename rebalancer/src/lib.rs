//! Moves data between shards: plans of moves, and the movement of rows between two servers while both are
//! in use. Modules are listed in reading order.

pub mod plan;

pub mod error;
pub mod position;
pub mod session;
pub mod spec;

mod key;
mod units;

mod literal;
mod table;

mod batch;
mod tracker;

mod route;
mod source;

mod chunk;
mod copy;
mod lane;
mod run;
mod yielding;

pub mod pace;
pub mod progress;
pub mod state;

pub mod flow;
pub mod preflight;
mod purge;
pub mod verify;

pub mod driver;
pub mod fault;
pub mod mover;
pub mod turn;
pub mod workflow;

pub use error::{MoveError, Side};
pub use flow::{FlowState, Settings};
pub use mover::{Mover, Switches};
pub use pace::{Load, Pace, Throttle};
pub use position::Position;
pub use progress::Progress;
pub use session::Endpoint;
pub use spec::{MoveSpec, Rows, TableSpec};
pub use state::Direction;
