//! Pure and synchronous: SQL text to digest, to statement, to plan. No I/O.

pub mod lexer;
pub mod digest;
pub mod view;
pub mod plan;
pub mod template;
pub mod cache;
