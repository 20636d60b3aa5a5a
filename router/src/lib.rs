//! Pure and synchronous: SQL text to digest, to statement, to plan. No I/O.

pub mod lexer;
pub mod plan;
pub mod template;
