//! Pure and synchronous: SQL text to digest, to statement, to plan. No I/O.

pub mod cache;
pub mod clause;
mod cursor;
mod ddl;
pub mod digest;
mod explain;
#[cfg(test)]
mod golden;
pub mod lexer;
pub mod plan;
#[cfg(test)]
mod properties;
pub mod refusal;
pub mod rule;
mod session;
pub mod template;
pub mod view;
