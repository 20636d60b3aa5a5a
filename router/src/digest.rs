//! The digest: one pass over a statement that gives its normalised text, a fingerprint
//! and its literals. Two texts with one normalised text have one plan: they differ in
//! whitespace, comments and the values of literals only. Identifiers and keywords stay
//! as written, since the servers compare table names byte by byte.
//!
//! A literal becomes a mark of its kind (`?` for an integer, `'?'` for a string ...), a
//! parameter becomes `?p`. Tokens are separated by one space, except around parentheses,
//! commas and dots; whether a gap stood before `(` and around `.` is kept, because the
//! server reads `count (x)` and `t .1` in another way than `count(x)` and `t.1`.

use crate::lexer::{LexError, LiteralKind, LiteralSpan, Scanner, Span, SqlMode, Token, TokenKind};
use xxhash_rust::xxh3::xxh3_128;

/// Literals beyond this many make a statement too long for one template.
pub const LITERALS_MAX: usize = 1 << 20;

/// The result of a scan; its buffers are used again for the next statement.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    /// A hash of `text`.
    pub fingerprint: u128,
    /// The normalised text.
    pub text: Vec<u8>,
    /// The literals, in the text's order.
    pub literals: Vec<LiteralSpan>,
    /// How many `?` there are.
    pub parameters: usize,
}

impl Digest {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scans `sql`. No allocation once the buffers are large enough.
    ///
    /// # Errors
    /// The text cannot be split into tokens; the digest is then of no use.
    pub fn scan(&mut self, sql: &[u8], mode: SqlMode) -> Result<(), LexError> {
        self.text.clear();
        self.literals.clear();
        self.parameters = 0;
        self.text.reserve(sql.len() + sql.len() / 4);
        let mut scanner = Scanner::new(sql, mode)?;
        let mut previous: Option<Token> = None;
        let mut index = 0;
        loop {
            let gap = scanner.skip_trivia(&mut |_| {})?;
            let Some(token) = scanner.token()? else { break };
            self.push(sql, previous, token, gap, index)?;
            previous = Some(token);
            index += 1;
        }
        self.fingerprint = xxh3_128(&self.text);
        Ok(())
    }

    #[inline]
    fn push(
        &mut self,
        sql: &[u8],
        previous: Option<Token>,
        token: Token,
        gap: bool,
        index: u32,
    ) -> Result<(), LexError> {
        let before = previous.map(|previous| previous.kind);
        if token.kind.is_literal() {
            return self.push_literal(previous, token, index);
        }
        if let Some(before) = before
            && separated(before, token.kind, gap)
        {
            self.text.push(b' ');
        }
        if token.kind == TokenKind::Parameter {
            self.parameters += 1;
            self.text.extend_from_slice(b"?p");
        } else {
            self.text.extend_from_slice(token.span.of(sql));
        }
        Ok(())
    }

    #[inline]
    fn push_literal(
        &mut self,
        previous: Option<Token>,
        token: Token,
        index: u32,
    ) -> Result<(), LexError> {
        let (kind, mark): (_, &[u8]) = match token.kind {
            TokenKind::Integer => (LiteralKind::Integer, b"?"),
            TokenKind::Decimal => (LiteralKind::Decimal, b"?d"),
            TokenKind::Float => (LiteralKind::Float, b"?f"),
            TokenKind::Hex => (LiteralKind::Hex, b"x'?'"),
            TokenKind::Bit => (LiteralKind::Bit, b"b'?'"),
            TokenKind::NationalString => (LiteralKind::National, b"N'?'"),
            _ => (LiteralKind::String, b"'?'"),
        };
        let mut literal = LiteralSpan { span: token.span, kind, token: index };
        if let Some(previous) = previous {
            if self.continues(previous, token.kind) {
                if let Some(last) = self.literals.last_mut() {
                    last.span.end = token.span.end;
                }
                return Ok(());
            }
            if previous.kind == TokenKind::Introducer
                && !matches!(kind, LiteralKind::National)
                && token_is_text(token.kind)
            {
                literal.span = Span { start: previous.span.start, end: token.span.end };
                literal.kind = LiteralKind::Introduced;
                literal.token = index - 1;
            }
            if separated(previous.kind, token.kind, true) {
                self.text.push(b' ');
            }
        }
        if self.literals.len() >= LITERALS_MAX {
            return Err(LexError::TooLong);
        }
        self.text.extend_from_slice(mark);
        self.literals.push(literal);
        Ok(())
    }

    /// Whether a token is a further part of the string literal before it.
    fn continues(&self, previous: Token, kind: TokenKind) -> bool {
        kind == TokenKind::String
            && matches!(previous.kind, TokenKind::String | TokenKind::NationalString)
            && self.literals.last().is_some_and(|last| last.span.end == previous.span.end)
    }
}

fn token_is_text(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::String | TokenKind::Hex | TokenKind::Bit)
}

/// Whether the normalised text has a space between two tokens.
#[inline]
fn separated(before: TokenKind, kind: TokenKind, gap: bool) -> bool {
    use TokenKind::{Comma, Dot, LeftParen, RightParen, Semicolon, Word};
    match (before, kind) {
        (_, Comma | RightParen | Semicolon) | (LeftParen, _) => false,
        (Dot, _) | (_, Dot) | (Word, LeftParen) => gap,
        _ => true,
    }
}
