//! Pure and synchronous: SQL text to digest, to statement, to plan. No I/O.

mod bind;
pub mod cache;
pub mod clause;
mod conjunct;
mod cursor;
mod ddl;
mod dialect;
pub mod digest;
mod explain;
#[cfg(test)]
mod golden;
pub mod lexer;
mod parse;
mod pieces;
pub mod plan;
mod planner;
#[cfg(test)]
mod properties;
pub mod refusal;
pub mod reserved;
mod route;
pub mod router;
pub mod rule;
mod session;
mod splice;
pub mod template;
pub mod touch;
pub mod view;
mod word;
