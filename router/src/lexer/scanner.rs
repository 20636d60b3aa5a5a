//! The scanner: one token at a time, shared by the tokenizer and the digest so that the
//! two can never disagree. The rules are those of the server's lexer; where it would
//! stop with a syntax error, this one stops with a [`LexError`].

use crate::lexer::{
    Comment, CommentKind, LexError, SQL_BYTES_MAX, Span, SqlMode, Token, TokenKind, charset,
};
use memchr::{memchr, memchr2, memmem};

/// What a byte can start or be.
const IDENT: u8 = 1;
const DIGIT: u8 = 2;
const SPACE: u8 = 4;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphabetic() || b == b'_' || b == b'$' || b >= 0x80 {
            table[byte] = IDENT;
        } else if b.is_ascii_digit() {
            table[byte] = IDENT | DIGIT;
        } else if matches!(b, b' ' | 0x09..=0x0d) {
            table[byte] = SPACE;
        }
        byte += 1;
    }
    table
};

#[inline]
fn has(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

/// A position in a text.
pub(crate) struct Scanner<'a> {
    sql: &'a [u8],
    position: usize,
    mode: SqlMode,
    /// Start of the executable comment that is open.
    executable: Option<usize>,
    /// The next token is an identifier whatever it looks like: it follows a dot directly.
    after_dot: bool,
    /// Where the last unquoted word ends: a dot there is a separator, not a decimal point.
    word_end: usize,
    tokens: u32,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(sql: &'a [u8], mode: SqlMode) -> Result<Self, LexError> {
        if sql.len() > SQL_BYTES_MAX {
            return Err(LexError::TooLong);
        }
        Ok(Self {
            sql,
            position: 0,
            mode,
            executable: None,
            after_dot: false,
            word_end: 0,
            tokens: 0,
        })
    }

    /// The byte at an offset from the position; 0 after the end, as the server reads it.
    #[inline]
    fn peek(&self, offset: usize) -> u8 {
        self.sql.get(self.position + offset).copied().unwrap_or(0)
    }

    #[inline]
    fn span(&self, start: usize) -> Span {
        Span { start: start as u32, end: self.position as u32 }
    }

    /// Skips whitespace and comments; true when there were any.
    #[inline]
    pub(crate) fn skip_trivia(
        &mut self,
        comments: &mut impl FnMut(Comment),
    ) -> Result<bool, LexError> {
        let start = self.position;
        loop {
            match self.peek(0) {
                b' ' | 0x09..=0x0d => self.position += 1,
                b'#' => self.line_comment(comments)?,
                b'-' if self.peek(1) == b'-' && is_space_or_control(self.peek(2)) => {
                    self.line_comment(comments)?;
                }
                b'/' if self.peek(1) == b'*' => self.block_comment(comments)?,
                b'*' if self.executable.is_some() && self.peek(1) == b'/' => {
                    self.executable = None;
                    let start = self.position;
                    self.position += 2;
                    self.report(CommentKind::ExecutableEnd, start, comments);
                }
                _ => return Ok(self.position > start),
            }
        }
    }

    fn report(&self, kind: CommentKind, start: usize, comments: &mut impl FnMut(Comment)) {
        comments(Comment { kind, span: self.span(start), before_token: self.tokens });
    }

    fn line_comment(&mut self, comments: &mut impl FnMut(Comment)) -> Result<(), LexError> {
        let start = self.position;
        let rest = &self.sql[start..];
        let length = memchr2(b'\n', 0, rest).unwrap_or(rest.len());
        if rest.get(length) == Some(&0) {
            return Err(LexError::UnexpectedByte { byte: 0, at: start + length });
        }
        self.position = start + length;
        self.report(CommentKind::Line, start, comments);
        Ok(())
    }

    fn block_comment(&mut self, comments: &mut impl FnMut(Comment)) -> Result<(), LexError> {
        let start = self.position;
        let own = self.peek(2) == b'M' && self.peek(3) == b'!';
        if !own && self.peek(2) != b'!' {
            self.position += 2;
            self.consume_comment(start, false)?;
            self.report(CommentKind::Block, start, comments);
            return Ok(());
        }
        self.position += if own { 4 } else { 3 };
        let digits = (0..6).take_while(|&i| self.peek(i).is_ascii_digit()).count();
        if digits >= 5 {
            let version = (0..digits).fold(0, |v, i| v * 10 + u32::from(self.peek(i) - b'0'));
            self.position += digits;
            if !self.mode.executes(version, own) {
                let content = self.position;
                self.consume_comment(start, true)?;
                let content = Span { start: content as u32, end: self.position as u32 - 2 };
                self.report(CommentKind::Skipped { version, content }, start, comments);
                return Ok(());
            }
        } else if own && self.mode.server_version < 100_000 {
            self.consume_comment(start, true)?;
            self.report(CommentKind::Block, start, comments);
            return Ok(());
        }
        self.executable = Some(start);
        self.report(CommentKind::ExecutableStart, start, comments);
        Ok(())
    }

    /// Goes behind the comment's end; `nested` comments are one level deep at most.
    fn consume_comment(&mut self, start: usize, nested: bool) -> Result<(), LexError> {
        let open = LexError::Unterminated { what: "the comment", at: start };
        loop {
            let rest = &self.sql[self.position..];
            if !nested {
                self.position += memmem::find(rest, b"*/").ok_or(open)? + 2;
                return Ok(());
            }
            self.position += memchr2(b'*', b'/', rest).ok_or(open)?;
            match (self.peek(0), self.peek(1)) {
                (b'*', b'/') => {
                    self.position += 2;
                    return Ok(());
                }
                (b'/', b'*') => {
                    self.position += 2;
                    self.consume_comment(start, false)?;
                }
                _ => self.position += 1,
            }
        }
    }

    /// The next token; the position must be behind whitespace and comments.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<Option<Token>, LexError> {
        let start = self.position;
        let Some(&byte) = self.sql.get(start) else {
            return match self.executable {
                Some(at) => Err(LexError::Unterminated { what: "the comment", at }),
                None => Ok(None),
            };
        };
        let after_dot = std::mem::take(&mut self.after_dot);
        let kind = if after_dot && has(byte, IDENT) {
            self.word(start)
        } else if has(byte, DIGIT) {
            self.number(start)?
        } else if has(byte, IDENT) {
            self.word_or_prefixed(start, byte)?
        } else {
            self.symbol(start, byte)?
        };
        self.tokens += 1;
        Ok(Some(Token { kind, span: self.span(start) }))
    }

    #[inline]
    fn skip_class(&mut self, class: u8) {
        let rest = &self.sql[self.position..];
        self.position += rest.iter().position(|&b| !has(b, class)).unwrap_or(rest.len());
    }

    /// An identifier or keyword from `start`.
    #[inline]
    fn word(&mut self, start: usize) -> TokenKind {
        self.skip_class(IDENT);
        self.word_end = self.position;
        let word = &self.sql[start..self.position];
        if word[0] == b'_' && charset::is_known(&word[1..]) {
            return TokenKind::Introducer;
        }
        TokenKind::Word
    }

    #[inline]
    fn word_or_prefixed(&mut self, start: usize, byte: u8) -> Result<TokenKind, LexError> {
        if self.peek(1) != b'\'' {
            return Ok(self.word(start));
        }
        match byte {
            b'n' | b'N' => {
                self.position += 1;
                self.string(b'\'', "the string")?;
                Ok(TokenKind::NationalString)
            }
            b'x' | b'X' => {
                let digits =
                    self.quoted_digits(start, "hexadecimal literal", |b| b.is_ascii_hexdigit())?;
                match digits % 2 {
                    0 => Ok(TokenKind::Hex),
                    _ => Err(LexError::Malformed { what: "hexadecimal literal", at: start }),
                }
            }
            b'b' | b'B' => {
                self.quoted_digits(start, "bit literal", |b| matches!(b, b'0' | b'1'))?;
                Ok(TokenKind::Bit)
            }
            _ => Ok(self.word(start)),
        }
    }

    fn quoted_digits(
        &mut self,
        start: usize,
        what: &'static str,
        is_digit: impl Fn(u8) -> bool,
    ) -> Result<usize, LexError> {
        let rest = &self.sql[start + 2..];
        let digits = rest.iter().take_while(|&&b| is_digit(b)).count();
        self.position = start + 2 + digits;
        if self.peek(0) != b'\'' {
            return Err(LexError::Malformed { what, at: start });
        }
        self.position += 1;
        Ok(digits)
    }

    #[inline]
    fn number(&mut self, start: usize) -> Result<TokenKind, LexError> {
        if self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'b') {
            return Ok(self.prefixed_number(start));
        }
        self.skip_class(DIGIT);
        match self.peek(0) {
            b'.' => {
                self.position += 1;
                self.fraction(start)
            }
            b'e' | b'E' => {
                let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
                if !has(self.peek(1 + sign), DIGIT) {
                    return Ok(self.word(start));
                }
                self.position += 1 + sign;
                self.skip_class(DIGIT);
                Ok(TokenKind::Float)
            }
            byte if has(byte, IDENT) => Ok(self.word(start)),
            _ => Ok(TokenKind::Integer),
        }
    }

    /// `0x..` and `0b..`; an identifier when other letters follow.
    fn prefixed_number(&mut self, start: usize) -> TokenKind {
        let hex = self.peek(1) == b'x';
        let rest = &self.sql[start + 2..];
        let is_digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { matches!(b, b'0' | b'1') };
        let digits = rest.iter().take_while(|&&b| is_digit(b)).count();
        if digits == 0 || has(rest.get(digits).copied().unwrap_or(0), IDENT) {
            return self.word(start);
        }
        self.position = start + 2 + digits;
        if hex { TokenKind::Hex } else { TokenKind::Bit }
    }

    /// What follows the point of a number.
    fn fraction(&mut self, start: usize) -> Result<TokenKind, LexError> {
        self.skip_class(DIGIT);
        if !matches!(self.peek(0), b'e' | b'E') {
            return Ok(TokenKind::Decimal);
        }
        let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
        if !has(self.peek(1 + sign), DIGIT) {
            return Err(LexError::Malformed { what: "number", at: start });
        }
        self.position += 1 + sign;
        self.skip_class(DIGIT);
        Ok(TokenKind::Float)
    }

    /// Goes behind a string or quoted identifier whose opening quote is at the position.
    #[inline]
    fn quoted(&mut self, quote: u8, escapes: bool, what: &'static str) -> Result<(), LexError> {
        let at = self.position;
        let open = LexError::Unterminated { what, at };
        self.position += 1;
        loop {
            let rest = &self.sql[self.position..];
            let found = if escapes { memchr2(quote, b'\\', rest) } else { memchr(quote, rest) };
            self.position += found.ok_or(open)?;
            if self.peek(0) != quote || self.peek(1) == quote {
                self.position += 2;
                if self.position > self.sql.len() {
                    self.position = self.sql.len();
                    return Err(open);
                }
                continue;
            }
            self.position += 1;
            return Ok(());
        }
    }

    fn string(&mut self, quote: u8, what: &'static str) -> Result<(), LexError> {
        self.quoted(quote, !self.mode.no_backslash_escapes, what)
    }

    fn identifier(&mut self, quote: u8) -> Result<(), LexError> {
        self.quoted(quote, false, "the quoted identifier")
    }

    #[inline]
    fn symbol(&mut self, start: usize, byte: u8) -> Result<TokenKind, LexError> {
        use TokenKind::*;
        match byte {
            b'\'' => {
                self.string(b'\'', "the string")?;
                return Ok(String);
            }
            b'"' if !self.mode.ansi_quotes => {
                self.string(b'"', "the string")?;
                return Ok(String);
            }
            b'`' | b'"' => {
                self.identifier(byte)?;
                return Ok(QuotedIdentifier);
            }
            b'@' => return self.variable(start),
            b'.' if has(self.peek(1), DIGIT) && !self.dot_separates(start) => {
                self.position += 1;
                return self.fraction(start);
            }
            _ => {}
        }
        let (kind, length) =
            self.operator(byte).ok_or(LexError::UnexpectedByte { byte, at: start })?;
        self.position += length;
        if kind == Dot {
            self.after_dot = has(self.peek(0), IDENT);
        }
        Ok(kind)
    }

    /// Whether the dot at `start` directly follows an unquoted identifier.
    #[inline]
    fn dot_separates(&self, start: usize) -> bool {
        self.word_end == start && start > 0
    }

    #[inline]
    fn operator(&self, byte: u8) -> Option<(TokenKind, usize)> {
        use TokenKind::*;
        let (second, third) = (self.peek(1), self.peek(2));
        Some(match (byte, second, third) {
            (b'<', b'=', b'>') => (NullSafeEqual, 3),
            (b'-', b'>', b'>') => (LongArrow, 3),
            (b'-', b'>', _) => (Arrow, 2),
            (b'<', b'=', _) => (LessEqual, 2),
            (b'<', b'>', _) | (b'!', b'=', _) => (NotEqual, 2),
            (b'<', b'<', _) => (ShiftLeft, 2),
            (b'>', b'=', _) => (GreaterEqual, 2),
            (b'>', b'>', _) => (ShiftRight, 2),
            (b'|', b'|', _) => (PipePipe, 2),
            (b'&', b'&', _) => (AmpersandAmpersand, 2),
            (b':', b'=', _) => (Assign, 2),
            (b'\\', b'N', _) => (BackslashN, 2),
            (b',', ..) => (Comma, 1),
            (b'(', ..) => (LeftParen, 1),
            (b')', ..) => (RightParen, 1),
            (b'=', ..) => (Equal, 1),
            (b'.', ..) => (Dot, 1),
            (b'?', ..) => (Parameter, 1),
            (b';', ..) => (Semicolon, 1),
            (b'*', ..) => (Star, 1),
            (b'+', ..) => (Plus, 1),
            (b'-', ..) => (Minus, 1),
            (b'/', ..) => (Slash, 1),
            (b'%', ..) => (Percent, 1),
            (b'<', ..) => (Less, 1),
            (b'>', ..) => (Greater, 1),
            (b'|', ..) => (Pipe, 1),
            (b'&', ..) => (Ampersand, 1),
            (b'^', ..) => (Caret, 1),
            (b'~', ..) => (Tilde, 1),
            (b'!', ..) => (Exclamation, 1),
            (b':', ..) => (Colon, 1),
            (b'{', ..) => (LeftBrace, 1),
            (b'}', ..) => (RightBrace, 1),
            _ => return None,
        })
    }

    /// `@name`, `@'name'`, `@@name`, `@@scope.name`.
    fn variable(&mut self, start: usize) -> Result<TokenKind, LexError> {
        self.position += 1;
        match self.peek(0) {
            b'@' => {
                self.position += 1;
                self.system_variable(start)?;
                Ok(TokenKind::SystemVariable)
            }
            quote @ (b'\'' | b'"') => {
                if quote == b'"' && self.mode.ansi_quotes {
                    self.identifier(quote)?;
                } else {
                    self.string(quote, "the variable's name")?;
                }
                Ok(TokenKind::UserVariable)
            }
            b'`' => {
                self.identifier(b'`')?;
                Ok(TokenKind::UserVariable)
            }
            _ => {
                while has(self.peek(0), IDENT) || self.peek(0) == b'.' {
                    self.position += 1;
                }
                Ok(TokenKind::UserVariable)
            }
        }
    }

    fn system_variable(&mut self, start: usize) -> Result<(), LexError> {
        loop {
            if self.peek(0) == b'`' {
                self.identifier(b'`')?;
            } else if has(self.peek(0), IDENT) {
                self.skip_class(IDENT);
            } else {
                return Err(LexError::Malformed { what: "system variable", at: start });
            }
            if self.peek(0) != b'.' {
                return Ok(());
            }
            self.position += 1;
        }
    }
}

fn is_space_or_control(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}
