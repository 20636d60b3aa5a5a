//! The tokenizer: SQL bytes to tokens with byte spans. It reads text as the server's own
//! lexer does (sql_mode, executable comments, raw bytes that are not UTF-8), because all
//! that follows trusts its spans. It builds no tree and knows no grammar.

pub mod charset;
pub mod literal;
pub mod mode;
mod scanner;
#[cfg(test)]
mod tests;
pub mod token;

pub use literal::{LiteralKind, LiteralSpan};
pub use mode::{SqlMode, SqlModeError};
pub(crate) use scanner::Scanner;
pub use token::{Comment, CommentKind, Span, Token, TokenKind, Tokens};

/// The longest statement text that is read at all; `max_allowed_packet` is smaller.
pub const SQL_BYTES_MAX: usize = 1 << 30;

/// Why a text is no sequence of tokens. The server would refuse it as well, or this
/// lexer cannot tell how the server would read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LexError {
    /// A string, quoted identifier or comment has no end.
    #[error("{what} that starts at byte {at} does not end")]
    Unterminated {
        /// What was left open.
        what: &'static str,
        /// Where it starts.
        at: usize,
    },
    /// A byte that starts no token.
    #[error("unexpected byte 0x{byte:02x} at byte {at}")]
    UnexpectedByte {
        /// The byte.
        byte: u8,
        /// Where.
        at: usize,
    },
    /// `x'..'` or `b'..'` with wrong digits, or `1.5e` without an exponent.
    #[error("malformed {what} at byte {at}")]
    Malformed {
        /// What it looks like.
        what: &'static str,
        /// Where it starts.
        at: usize,
    },
    /// More than [`SQL_BYTES_MAX`] bytes.
    #[error("the statement is longer than {SQL_BYTES_MAX} bytes")]
    TooLong,
}

/// The tokenizer's entry points.
#[derive(Clone, Copy, Debug)]
pub struct Lexer;

impl Lexer {
    /// Splits `sql` into tokens. Whitespace and comments lie between the tokens;
    /// comments are listed apart.
    pub fn tokenize(sql: &[u8], mode: SqlMode) -> Result<Tokens<'_>, LexError> {
        let mut scanner = Scanner::new(sql, mode)?;
        let mut tokens = Vec::with_capacity(sql.len() / 5 + 4);
        let mut comments = Vec::new();
        loop {
            scanner.skip_trivia(&mut |comment| comments.push(comment))?;
            match scanner.token()? {
                Some(token) => tokens.push(token),
                None => break,
            }
        }
        Ok(Tokens { sql, mode, tokens, comments })
    }

    /// Splits a text with several statements at its top-level semicolons into byte
    /// ranges without the semicolons. Statements without any token are left out.
    pub fn split(sql: &[u8], mode: SqlMode) -> Result<Vec<std::ops::Range<usize>>, LexError> {
        let mut scanner = Scanner::new(sql, mode)?;
        let mut statements = Vec::new();
        let mut start = 0;
        let mut empty = true;
        loop {
            scanner.skip_trivia(&mut |_| {})?;
            let token = scanner.token()?;
            let end = match token {
                Some(Token { kind: TokenKind::Semicolon, span }) => span.start as usize,
                Some(_) => {
                    empty = false;
                    continue;
                }
                None => sql.len(),
            };
            if !empty {
                statements.push(start..end);
            }
            empty = true;
            match token {
                Some(token) => start = token.span.end as usize,
                None => return Ok(statements),
            }
        }
    }
}
