//! Compensation of branches on real servers: undone byte by byte, once, or left alone and reported.

mod bench;
mod resolving;
mod settling;
mod stuck;
