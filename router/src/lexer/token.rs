//! Tokens and where they are. A token holds no text: it is a kind and a span of the
//! statement's bytes.

use crate::lexer::SqlMode;
use std::{borrow::Cow, ops::Deref, ops::Range};

/// A range of bytes of the statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

impl Span {
    /// As a range of indexes.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Its bytes in `sql`.
    pub fn of(self, sql: &[u8]) -> &[u8] {
        &sql[self.range()]
    }
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is.
    pub span: Span,
}

/// What a token is. Keywords are words: which words are reserved is the parser's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// An unquoted identifier or keyword; may start with digits or hold `$` and bytes
    /// from 0x80.
    Word,
    /// `` `x` ``, or `"x"` under ANSI_QUOTES.
    QuotedIdentifier,
    /// `'x'`, or `"x"` without ANSI_QUOTES.
    String,
    /// `N'x'`.
    NationalString,
    /// `x'41'` or `0x41`.
    Hex,
    /// `b'01'` or `0b01`.
    Bit,
    /// Digits.
    Integer,
    /// Digits with a point.
    Decimal,
    /// A number with an exponent.
    Float,
    /// `_utf8mb4` and its kin: an underscore and a known character set.
    Introducer,
    /// `@name`, `` @`name` ``, `@'name'`; also the host part of an account.
    UserVariable,
    /// `@@name`, `@@scope.name`.
    SystemVariable,
    /// `?`.
    Parameter,
    /// `\N`, which is NULL.
    BackslashN,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `{`
    LeftBrace,
    /// `}`
    RightBrace,
    /// `.`
    Dot,
    /// `:`
    Colon,
    /// `:=`
    Assign,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Star,
    /// `/`
    Slash,
    /// `%`
    Percent,
    /// `=`
    Equal,
    /// `<=>`
    NullSafeEqual,
    /// `<>` or `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `|`
    Pipe,
    /// `||`: OR, or concatenation under PIPES_AS_CONCAT.
    PipePipe,
    /// `&`
    Ampersand,
    /// `&&`
    AmpersandAmpersand,
    /// `^`
    Caret,
    /// `~`
    Tilde,
    /// `!`
    Exclamation,
    /// `->`
    Arrow,
    /// `->>`
    LongArrow,
}

impl TokenKind {
    /// Whether it is a literal that the digest replaces.
    pub fn is_literal(self) -> bool {
        matches!(
            self,
            Self::String
                | Self::NationalString
                | Self::Hex
                | Self::Bit
                | Self::Integer
                | Self::Decimal
                | Self::Float
        )
    }
}

/// A comment, or one end of an executable comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment {
    /// What it is.
    pub kind: CommentKind,
    /// The whole of it, with its markers.
    pub span: Span,
    /// How many tokens stand before it.
    pub before_token: u32,
}

/// What a comment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentKind {
    /// `-- x` or `# x`, without the line's end.
    Line,
    /// `/* x */`.
    Block,
    /// `/*!999999 x */` and other executable comments that the server skips.
    Skipped {
        /// The version it names.
        version: u32,
        /// What is between the version and the end.
        content: Span,
    },
    /// `/*!`, `/*!40101`, `/*M!100100` whose content the server executes.
    ExecutableStart,
    /// The `*/` of such a comment.
    ExecutableEnd,
}

/// The tokens of one text.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    /// The text.
    pub sql: &'a [u8],
    /// How it was read.
    pub mode: SqlMode,
    /// The tokens in order.
    pub tokens: Vec<Token>,
    /// The comments in order.
    pub comments: Vec<Comment>,
}

impl Deref for Tokens<'_> {
    type Target = [Token];

    fn deref(&self) -> &[Token] {
        &self.tokens
    }
}

impl<'a> Tokens<'a> {
    /// The kind of token `index`; None after the last one.
    pub fn kind(&self, index: usize) -> Option<TokenKind> {
        self.tokens.get(index).map(|token| token.kind)
    }

    /// The bytes of token `index`; empty after the last one.
    pub fn text(&self, index: usize) -> &'a [u8] {
        self.tokens.get(index).map_or(&[], |token| token.span.of(self.sql))
    }

    /// Whether token `index` is this unquoted word, without regard to case.
    pub fn is_keyword(&self, index: usize, keyword: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| is_keyword(self.sql, *token, keyword))
    }

    /// The identifier that token `index` names, unquoted; None when it is none or not UTF-8.
    pub fn identifier(&self, index: usize) -> Option<Cow<'a, str>> {
        let token = self.tokens.get(index)?;
        let text = token.span.of(self.sql);
        match token.kind {
            TokenKind::Word | TokenKind::Introducer => {
                std::str::from_utf8(text).ok().map(Cow::Borrowed)
            }
            TokenKind::QuotedIdentifier => {
                let quote = *text.first()?;
                let content = std::str::from_utf8(text.get(1..text.len().checked_sub(1)?)?).ok()?;
                let quote = quote as char;
                if !content.contains(quote) {
                    return Some(Cow::Borrowed(content));
                }
                let doubled: String = [quote, quote].iter().collect();
                Some(Cow::Owned(content.replace(&doubled, quote.encode_utf8(&mut [0; 4]))))
            }
            _ => None,
        }
    }

    /// Whether nothing lies between token `index` and the one before it.
    pub fn is_adjacent(&self, index: usize) -> bool {
        match (index.checked_sub(1).and_then(|i| self.tokens.get(i)), self.tokens.get(index)) {
            (Some(before), Some(token)) => before.span.end == token.span.start,
            _ => false,
        }
    }
}

/// Whether `token` is this unquoted word, without regard to case.
pub fn is_keyword(sql: &[u8], token: Token, keyword: &str) -> bool {
    token.kind == TokenKind::Word && token.span.of(sql).eq_ignore_ascii_case(keyword.as_bytes())
}
