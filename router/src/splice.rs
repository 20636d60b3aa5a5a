//! Text for the shards: the client's own bytes with pieces replaced. Copies are made
//! piece by piece, so that a comment can never be cut in two; where two pieces stood
//! side by side they still do.

use crate::{lexer::TokenKind, parse::Pieces};
use shardline_model::key::Literal;
use std::ops::Range;

/// A replacement of pieces. An empty range inserts before its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) pieces: Range<usize>,
    pub(crate) text: Vec<u8>,
}

/// Pieces, edited and with parameters written out.
pub(crate) struct Splicer<'a> {
    pub(crate) pieces: &'a Pieces<'a>,
    /// In any order; they do not overlap.
    pub(crate) edits: Vec<Edit>,
    /// Values for `?`; None leaves them.
    pub(crate) params: Option<&'a [Literal<'a>]>,
}

impl<'a> Splicer<'a> {
    /// The same with more edits, which come before others at the same place.
    pub(crate) fn with(&self, more: Vec<Edit>) -> Splicer<'a> {
        let edits = more.into_iter().chain(self.edits.iter().cloned()).collect();
        Splicer { pieces: self.pieces, edits, params: self.params }
    }

    /// Appends a copy of `range`. Insertions at the range's end belong to it.
    pub(crate) fn copy(&self, range: Range<usize>, text: &mut Vec<u8>) {
        let mut index = range.start;
        while index <= range.end {
            for edit in self.edits.iter().filter(|e| e.pieces.is_empty() && e.pieces.start == index)
            {
                space(text);
                text.extend_from_slice(&edit.text);
                text.push(b' ');
            }
            if index == range.end {
                return;
            }
            let replaced =
                self.edits.iter().find(|e| !e.pieces.is_empty() && e.pieces.start == index);
            if let Some(edit) = replaced {
                space(text);
                text.extend_from_slice(&edit.text);
                text.push(b' ');
                index = edit.pieces.end.max(index + 1);
                continue;
            }
            self.piece(index, text);
            index += 1;
        }
    }

    /// A copy of `range`.
    pub(crate) fn text(&self, range: Range<usize>) -> Vec<u8> {
        let mut text = Vec::new();
        self.copy(range, &mut text);
        while text.last() == Some(&b' ') {
            text.pop();
        }
        text
    }

    fn piece(&self, index: usize, text: &mut Vec<u8>) {
        let Some(piece) = self.pieces.get(index) else { return };
        if piece.gap {
            space(text);
        }
        let parameter = (piece.kind == TokenKind::Parameter)
            .then_some(self.params)
            .flatten()
            .and_then(|params| params.get(piece.ordinal as usize));
        match parameter {
            Some(literal) => {
                space(text);
                write_literal(literal, self.pieces.mode.no_backslash_escapes, text);
                text.push(b' ');
            }
            None => text.extend_from_slice(piece.span.of(self.pieces.sql)),
        }
    }
}

fn space(text: &mut Vec<u8>) {
    if text.last().is_some_and(|last| *last != b' ') {
        text.push(b' ');
    }
}

/// Appends a value as SQL that gives the same value on the server.
pub(crate) fn write_literal(literal: &Literal<'_>, no_escapes: bool, text: &mut Vec<u8>) {
    match literal {
        Literal::Null => text.extend_from_slice(b"NULL"),
        Literal::Integer(value) => text.extend_from_slice(value.to_string().as_bytes()),
        Literal::Decimal(value) => text.extend_from_slice(value.as_bytes()),
        Literal::Float(value) => text.extend_from_slice(format!("{value:e}").as_bytes()),
        Literal::Text(value) | Literal::Temporal(value) => {
            write_string(value.as_bytes(), no_escapes, text);
        }
        Literal::Bytes(value) if value.is_empty() => text.extend_from_slice(b"''"),
        Literal::Bytes(value) => {
            text.extend_from_slice(b"_binary X'");
            for byte in value.iter() {
                text.extend_from_slice(format!("{byte:02X}").as_bytes());
            }
            text.push(b'\'');
        }
    }
}

/// Appends a quoted string.
pub(crate) fn write_string(value: &[u8], no_escapes: bool, text: &mut Vec<u8>) {
    text.push(b'\'');
    for &byte in value {
        match byte {
            b'\'' => text.extend_from_slice(b"''"),
            b'\\' if !no_escapes => text.extend_from_slice(b"\\\\"),
            0 if !no_escapes => text.extend_from_slice(b"\\0"),
            _ => text.push(byte),
        }
    }
    text.push(b'\'');
}
