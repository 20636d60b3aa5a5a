//! Literals: where they are in a text, and their values.

use crate::lexer::{Scanner, Span, SqlMode, TokenKind};
use shardline_model::key::Literal;
use std::borrow::Cow;

/// A literal's place in a text. A string with an introducer or with adjacent parts
/// (`'a' 'b'`) is one literal, from the introducer to the last part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiteralSpan {
    /// Where it is.
    pub span: Span,
    /// What it is.
    pub kind: LiteralKind,
    /// The index of its first token.
    pub token: u32,
}

/// What a literal is. Signs are operators, NULL, TRUE and FALSE are words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LiteralKind {
    /// Digits.
    Integer,
    /// Digits with a point.
    Decimal,
    /// A number with an exponent.
    Float,
    /// A string, perhaps of several parts.
    String,
    /// `N'..'`.
    National,
    /// `x'..'` or `0x..`.
    Hex,
    /// `b'..'` or `0b..`.
    Bit,
    /// `_charset` and a string or a hexadecimal or bit literal.
    Introduced,
}

impl LiteralSpan {
    /// Its value; None when it is too large for its kind, or when its character set
    /// (that of an introducer) is not one in which ASCII is ASCII.
    pub fn value<'a>(&self, sql: &'a [u8], mode: SqlMode) -> Option<Literal<'a>> {
        let text = self.span.of(sql);
        match self.kind {
            LiteralKind::Integer => Some(integer(text)),
            LiteralKind::Decimal => Some(Literal::Decimal(ascii(text)?)),
            LiteralKind::Float => ascii(text)?.parse().ok().map(Literal::Float),
            LiteralKind::String => Some(string_literal(unquote(text, mode))),
            LiteralKind::National => Some(string_literal(unquote(&text[1..], mode))),
            LiteralKind::Hex => Some(Literal::Bytes(Cow::Owned(hex(text)?))),
            LiteralKind::Bit => Some(Literal::Bytes(Cow::Owned(bits(text)?))),
            LiteralKind::Introduced => introduced(text, mode),
        }
    }
}

fn ascii(text: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(text).ok().map(Cow::Borrowed)
}

/// An integer of more digits than i128 holds is a decimal, as on the server.
fn integer(text: &[u8]) -> Literal<'_> {
    let text = String::from_utf8_lossy(text);
    match text.parse() {
        Ok(value) => Literal::Integer(value),
        Err(_) => Literal::Decimal(text),
    }
}

fn string_literal(bytes: Cow<'_, [u8]>) -> Literal<'_> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Literal::Text(Cow::Borrowed(text)),
            Err(_) => Literal::Bytes(Cow::Borrowed(bytes)),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Literal::Text(Cow::Owned(text)),
            Err(error) => Literal::Bytes(Cow::Owned(error.into_bytes())),
        },
    }
}

/// The value of `_charset'..'`: text for UTF-8 and ASCII, bytes for binary, else None.
fn introduced(text: &[u8], mode: SqlMode) -> Option<Literal<'_>> {
    let mut scanner = Scanner::new(text, mode).ok()?;
    let introducer = scanner.token().ok()??;
    scanner.skip_trivia(&mut |_| {}).ok()?;
    let first = scanner.token().ok()??;
    let value = &text[first.span.start as usize..];
    let bytes = match first.kind {
        TokenKind::Hex => Cow::Owned(hex(value)?),
        TokenKind::Bit => Cow::Owned(bits(value)?),
        TokenKind::String => unquote(value, mode),
        _ => return None,
    };
    match introducer.span.of(text).to_ascii_lowercase().as_slice() {
        b"_binary" => Some(Literal::Bytes(bytes)),
        b"_utf8mb4" | b"_utf8" | b"_utf8mb3" => Some(string_literal(bytes)),
        b"_ucs2" | b"_utf16" | b"_utf16le" | b"_utf32" => None,
        _ if bytes.is_ascii() => Some(string_literal(bytes)),
        _ => None,
    }
}

/// The digits of `x'41'`, `0x41` and the like.
fn digits(text: &[u8]) -> &[u8] {
    match text {
        [_, b'\'', digits @ .., b'\''] => digits,
        [b'0', _, digits @ ..] => digits,
        _ => &[],
    }
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    let digits = digits(text);
    let mut bytes = Vec::with_capacity(digits.len().div_ceil(2));
    let (first, rest) = digits.split_at(digits.len() % 2);
    for &b in first {
        bytes.push(digit(b)?);
    }
    for pair in rest.chunks_exact(2) {
        bytes.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(bytes)
}

fn bits(text: &[u8]) -> Option<Vec<u8>> {
    let digits = digits(text);
    let mut bytes = vec![0; digits.len().div_ceil(8)];
    for (index, b) in digits.iter().rev().enumerate() {
        let place = bytes.len() - 1 - index / 8;
        bytes[place] |= (b - b'0') << (index % 8);
    }
    Some(bytes)
}

/// The value of a string token, or of several with whitespace and comments between them.
/// `text` starts with a quote.
pub fn unquote(text: &[u8], mode: SqlMode) -> Cow<'_, [u8]> {
    let Some(&quote) = text.first() else { return Cow::Borrowed(text) };
    let escapes = !mode.no_backslash_escapes;
    let content = &text[1..text.len().max(2) - 1];
    let escaped = escapes && content.contains(&b'\\');
    if !content.contains(&quote) && !escaped {
        return Cow::Borrowed(content);
    }
    let mut value = Vec::with_capacity(text.len());
    let mut scanner = match Scanner::new(text, mode) {
        Ok(scanner) => scanner,
        Err(_) => return Cow::Borrowed(content),
    };
    while scanner.skip_trivia(&mut |_| {}).is_ok() {
        let Ok(Some(token)) = scanner.token() else { break };
        unescape(token.span.of(text), escapes, &mut value);
    }
    Cow::Owned(value)
}

/// Appends the value of one string token, quotes included.
fn unescape(token: &[u8], escapes: bool, value: &mut Vec<u8>) {
    let quote = token[0];
    let mut bytes = token[1..token.len() - 1].iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == quote {
            bytes.next();
            value.push(quote);
        } else if byte == b'\\' && escapes {
            match bytes.next() {
                Some(b'0') => value.push(0),
                Some(b'b') => value.push(8),
                Some(b'n') => value.push(b'\n'),
                Some(b'r') => value.push(b'\r'),
                Some(b't') => value.push(b'\t'),
                Some(b'Z') => value.push(0x1a),
                Some(other @ (b'%' | b'_')) => value.extend([b'\\', other]),
                Some(other) => value.push(other),
                None => value.push(b'\\'),
            }
        } else {
            value.push(byte);
        }
    }
}
