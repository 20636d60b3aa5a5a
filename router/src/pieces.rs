//! A statement as pieces: tokens, except that a literal of several tokens is one piece.
//! Texts of one fingerprint have the same pieces, so places in a plan are piece numbers.

use crate::{
    lexer::{Lexer, Span, SqlMode, TokenKind, Tokens},
    word::{self, Marks},
};
use sqlparser::keywords::Keyword;
use std::{borrow::Cow, ops::Range};

/// A token, or a whole literal of several tokens (`_utf8mb4'a' 'b'`): texts of one
/// fingerprint have the same pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
    /// The literal's or parameter's number.
    pub(crate) ordinal: u32,
    /// Whether whitespace or a comment stands before it.
    pub(crate) gap: bool,
    /// What a word may be.
    pub(crate) marks: Marks,
    /// What sqlparser calls a word.
    pub(crate) keyword: Keyword,
}

/// A statement as pieces.
#[derive(Clone, Debug)]
pub(crate) struct Pieces<'a> {
    pub(crate) sql: &'a [u8],
    pub(crate) mode: SqlMode,
    list: Vec<Piece>,
    pub(crate) literals: usize,
    pub(crate) parameters: usize,
    /// The marks of all pieces.
    marks: Marks,
}

impl<'a> Pieces<'a> {
    /// Tokenises `sql` again, as the digest did.
    pub(crate) fn of(sql: &'a [u8], mode: SqlMode) -> Result<Self, crate::lexer::LexError> {
        Ok(Self::from_tokens(&Lexer::tokenize(sql, mode)?))
    }

    pub(crate) fn from_tokens(tokens: &Tokens<'a>) -> Self {
        let mut pieces = Self {
            sql: tokens.sql,
            mode: tokens.mode,
            list: Vec::with_capacity(tokens.len()),
            literals: 0,
            parameters: 0,
            marks: Marks::default(),
        };
        let mut index = 0;
        while index < tokens.len() {
            let length = literal_length(tokens, index);
            let first = tokens[index];
            let mut piece = Piece {
                kind: first.kind,
                span: Span {
                    start: first.span.start,
                    end: tokens[index + length.max(1) - 1].span.end,
                },
                ordinal: 0,
                gap: !tokens.is_adjacent(index),
                marks: Marks::default(),
                keyword: Keyword::NoKeyword,
            };
            if length > 0 {
                piece.ordinal = pieces.literals as u32;
                pieces.literals += 1;
                if first.kind == TokenKind::Introducer {
                    piece.kind = TokenKind::String;
                }
            } else if first.kind == TokenKind::Parameter {
                piece.ordinal = pieces.parameters as u32;
                pieces.parameters += 1;
            } else if first.kind == TokenKind::Word {
                let known = word::look_up(first.span.of(tokens.sql));
                (piece.marks, piece.keyword) = (known.marks, known.keyword);
            } else if first.kind == TokenKind::SystemVariable {
                piece.marks = Marks::CALL;
            }
            pieces.marks = pieces.marks.and(piece.marks);
            pieces.list.push(piece);
            index += length.max(1);
        }
        if pieces.list.last().is_some_and(|p| p.kind == TokenKind::Semicolon) {
            pieces.list.pop();
        }
        pieces
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.list.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<Piece> {
        self.list.get(index).copied()
    }

    pub(crate) fn kind(&self, index: usize) -> Option<TokenKind> {
        self.list.get(index).map(|piece| piece.kind)
    }

    pub(crate) fn is(&self, index: usize, kind: TokenKind) -> bool {
        self.kind(index) == Some(kind)
    }

    /// Whether piece `index` is a word with one of these marks.
    pub(crate) fn is_marked(&self, index: usize, marks: Marks) -> bool {
        self.list.get(index).is_some_and(|piece| piece.marks.any(marks))
    }

    /// Whether any piece is.
    pub(crate) fn has_marked(&self, marks: Marks) -> bool {
        self.marks.any(marks)
    }

    pub(crate) fn text(&self, index: usize) -> &'a [u8] {
        self.list.get(index).map_or(&[], |piece| piece.span.of(self.sql))
    }

    /// Whether piece `index` is this unquoted word, and not a name behind a dot.
    pub(crate) fn is_word(&self, index: usize, word: &str) -> bool {
        self.is(index, TokenKind::Word)
            && self.text(index).eq_ignore_ascii_case(word.as_bytes())
            && !(index > 0 && self.is(index - 1, TokenKind::Dot))
    }

    pub(crate) fn is_any_word(&self, index: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(index, word))
    }

    /// Whether these words stand at `index` and after.
    pub(crate) fn are_words(&self, index: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| self.is_word(index + offset, word))
    }

    /// The identifier at `index`, unquoted.
    pub(crate) fn identifier(&self, index: usize) -> Option<Cow<'a, str>> {
        let text = self.text(index);
        match self.kind(index)? {
            TokenKind::Word | TokenKind::Introducer => {
                std::str::from_utf8(text).ok().map(Cow::Borrowed)
            }
            TokenKind::QuotedIdentifier => {
                let quote = char::from(*text.first()?);
                let content = std::str::from_utf8(text.get(1..text.len().checked_sub(1)?)?).ok()?;
                if !content.contains(quote) {
                    return Some(Cow::Borrowed(content));
                }
                let doubled: String = [quote, quote].iter().collect();
                Some(Cow::Owned(content.replace(&doubled, quote.encode_utf8(&mut [0; 4]))))
            }
            _ => None,
        }
    }

    /// The piece behind the parenthesis that closes the one at `open`; the end when
    /// nothing closes it.
    pub(crate) fn behind_parenthesis(&self, open: usize) -> usize {
        let mut depth = 0usize;
        for index in open..self.len() {
            match self.kind(index) {
                Some(TokenKind::LeftParen) => depth += 1,
                Some(TokenKind::RightParen) => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return index + 1;
                    }
                }
                _ => {}
            }
        }
        self.len()
    }

    /// The parts of `range` between commas outside parentheses.
    pub(crate) fn split_commas(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut start = range.start;
        let mut index = range.start;
        while index < range.end {
            match self.kind(index) {
                Some(TokenKind::LeftParen) => {
                    index = self.behind_parenthesis(index);
                    continue;
                }
                Some(TokenKind::Comma) => {
                    parts.push(start..index);
                    start = index + 1;
                }
                _ => {}
            }
            index += 1;
        }
        if start < range.end || !parts.is_empty() {
            parts.push(start..range.end);
        }
        parts
    }

    /// The first byte of piece `index`, or the text's end.
    pub(crate) fn start_of(&self, index: usize) -> usize {
        self.get(index).map_or_else(|| self.end_of_text(), |piece| piece.span.start as usize)
    }

    /// The byte behind the piece before `index`.
    pub(crate) fn end_of(&self, index: usize) -> usize {
        index.checked_sub(1).and_then(|i| self.get(i)).map_or(0, |piece| piece.span.end as usize)
    }

    /// The byte behind the last piece.
    pub(crate) fn end_of_text(&self) -> usize {
        self.list.last().map_or(0, |piece| piece.span.end as usize)
    }
}

/// How many tokens from `index` are one literal: an introducer and a literal, or strings
/// side by side; 0 when there is none.
fn literal_length(tokens: &Tokens<'_>, index: usize) -> usize {
    let kind = |i: usize| tokens.kind(i);
    let introduced = usize::from(
        kind(index) == Some(TokenKind::Introducer)
            && matches!(kind(index + 1), Some(TokenKind::String | TokenKind::Hex | TokenKind::Bit)),
    );
    let mut end = index + introduced;
    match kind(end) {
        Some(TokenKind::String | TokenKind::NationalString) => {
            end += 1;
            while kind(end) == Some(TokenKind::String) {
                end += 1;
            }
        }
        Some(kind) if kind.is_literal() => end += 1,
        _ => return 0,
    }
    end - index
}
