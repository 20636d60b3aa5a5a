//! Pure and synchronous: SQL text to digest, to statement, to plan. No I/O.

pub mod cache;
pub mod clause;
mod cursor;
pub mod digest;
pub mod lexer;
pub mod plan;
pub mod refusal;
pub mod rule;
pub mod template;
pub mod view;
