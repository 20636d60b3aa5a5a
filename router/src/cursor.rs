//! A position in a statement's tokens, for the recognisers of clauses, session
//! statements and DDL. It goes forward only over what was asked for.

use crate::{
    lexer::{Span, TokenKind, Tokens},
    plan::{Refusal, TableName},
};

/// A position in tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'t, 'a> {
    pub(crate) tokens: &'t Tokens<'a>,
    pub(crate) index: usize,
}

impl<'t, 'a> Cursor<'t, 'a> {
    pub(crate) fn new(tokens: &'t Tokens<'a>) -> Self {
        Self { tokens, index: 0 }
    }

    pub(crate) fn kind(&self) -> Option<TokenKind> {
        self.tokens.kind(self.index)
    }

    pub(crate) fn at_end(&self) -> bool {
        self.index >= self.tokens.len()
    }

    /// Whether the next word is `keyword`.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.tokens.is_keyword(self.index, keyword)
    }

    /// Whether the next words are these, separated by spaces.
    pub(crate) fn are(&self, keywords: &str) -> bool {
        keywords
            .split(' ')
            .enumerate()
            .all(|(i, word)| self.tokens.is_keyword(self.index + i, word))
    }

    /// Goes behind these words if they come next.
    pub(crate) fn accept(&mut self, keywords: &str) -> bool {
        let accepted = self.are(keywords);
        if accepted {
            self.index += keywords.split(' ').count();
        }
        accepted
    }

    /// Goes behind the first of these words that comes next.
    pub(crate) fn accept_any(&mut self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.accept(keyword))
    }

    /// Goes behind a token of this kind if it comes next.
    pub(crate) fn accept_kind(&mut self, kind: TokenKind) -> bool {
        let accepted = self.kind() == Some(kind);
        self.index += usize::from(accepted);
        accepted
    }

    /// An identifier, unquoted.
    pub(crate) fn identifier(&mut self) -> Option<String> {
        let name = self.tokens.identifier(self.index)?.into_owned();
        self.index += 1;
        Some(name)
    }

    /// An identifier or a string, unquoted.
    pub(crate) fn name_or_string(&mut self) -> Option<String> {
        if self.kind() == Some(TokenKind::String) {
            return self.string();
        }
        self.identifier()
    }

    /// One string token's value; None when it is not UTF-8.
    pub(crate) fn string(&mut self) -> Option<String> {
        if self.kind() != Some(TokenKind::String) {
            return None;
        }
        let text = self.tokens.text(self.index);
        let value = crate::lexer::literal::unquote(text, self.tokens.mode);
        let value = String::from_utf8(value.into_owned()).ok()?;
        self.index += 1;
        Some(value)
    }

    /// Digits.
    pub(crate) fn integer(&mut self) -> Option<u64> {
        if self.kind() != Some(TokenKind::Integer) {
            return None;
        }
        let value = std::str::from_utf8(self.tokens.text(self.index)).ok()?.parse().ok()?;
        self.index += 1;
        Some(value)
    }

    /// `[database.]table`.
    pub(crate) fn table(&mut self, database: Option<&str>) -> Result<TableName, Refusal> {
        let first = self.identifier().ok_or_else(|| self.unexpected("a table's name"))?;
        if !self.accept_kind(TokenKind::Dot) {
            let database = database.ok_or_else(Refusal::no_database)?.to_owned();
            return Ok(TableName { database, table: first });
        }
        let table = self.identifier().ok_or_else(|| self.unexpected("a table's name"))?;
        Ok(TableName { database: first, table })
    }

    /// The bytes from token `first` to the last token before the position.
    pub(crate) fn source(&self, first: usize) -> &'a [u8] {
        self.span_from(first).of(self.tokens.sql)
    }

    /// The span from token `first` to the last token before the position.
    pub(crate) fn span_from(&self, first: usize) -> Span {
        match (self.tokens.get(first), self.index.checked_sub(1).and_then(|i| self.tokens.get(i))) {
            (Some(start), Some(end)) if first < self.index => {
                Span { start: start.span.start, end: end.span.end }
            }
            _ => Span::default(),
        }
    }

    /// Goes behind the parenthesis that closes the one at the position.
    pub(crate) fn skip_parentheses(&mut self) -> bool {
        if self.kind() != Some(TokenKind::LeftParen) {
            return false;
        }
        let mut depth = 0_usize;
        while let Some(kind) = self.kind() {
            self.index += 1;
            match kind {
                TokenKind::LeftParen => depth += 1,
                TokenKind::RightParen => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return true;
            }
        }
        false
    }

    /// Goes to the next comma outside parentheses, or to the end.
    pub(crate) fn skip_to_comma(&mut self) {
        while let Some(kind) = self.kind() {
            match kind {
                TokenKind::Comma => return,
                TokenKind::LeftParen if self.skip_parentheses() => {}
                _ => self.index += 1,
            }
        }
    }

    /// The next token as text, for messages.
    pub(crate) fn shown(&self) -> String {
        if self.at_end() {
            return "the end".into();
        }
        let text = String::from_utf8_lossy(self.tokens.text(self.index));
        let short: String = text.chars().take(40).collect();
        format!("'{short}'")
    }

    /// A syntax error at the position.
    pub(crate) fn unexpected(&self, wanted: &str) -> Refusal {
        Refusal::syntax(
            format!("expected {wanted} near {}", self.shown()),
            "see docs/sql-surface.md for the grammar",
        )
    }
}
