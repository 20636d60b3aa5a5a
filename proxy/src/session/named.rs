//! PREPARE and EXECUTE in SQL text: an execution is the statement's text with its
//! parameters replaced by the values of user variables.

use super::{Position, Session, failure::Failure};
use crate::error::SqlError;
use bytes::Bytes;
use shardline_router::{
    lexer::{Lexer, SqlMode, TokenKind},
    plan::{Argument, PreparedText, Refusal},
    router::Scratch,
};

impl Session {
    /// `PREPARE name FROM text`. As on the servers, a statement of that name is gone even
    /// when the new text cannot be prepared.
    pub(super) fn prepare_text(&mut self, name: String, text: PreparedText) -> Result<(), Failure> {
        self.statements.remove_named(&name);
        let text = match text {
            PreparedText::Literal(text) => text.into_bytes(),
            PreparedText::Variable(variable) => self.variable_text(&variable)?,
        };
        if starts_with_prepared_verb(&text, self.mode) {
            return Err(SqlError::not_preparable().into());
        }
        let catalog = self.catalog();
        let template = self.template(&text, &catalog, &mut Scratch::new())?;
        self.statements.insert_named(name, Bytes::from(text), template.parameter_count())?;
        Ok(())
    }

    /// `EXECUTE name USING ..`.
    pub(super) async fn execute_text(
        &mut self,
        name: &str,
        arguments: &[Argument],
        position: Position,
    ) -> Result<(), Failure> {
        let Some((sql, parameters)) = self.statements.named(name) else {
            return Err(SqlError::unknown_statement(name, "EXECUTE").into());
        };
        if arguments.len() != parameters {
            return Err(SqlError::wrong_arguments("EXECUTE").into());
        }
        let values: Vec<&str> = arguments.iter().map(|argument| self.value_of(argument)).collect();
        let sql = with_values(&sql, self.mode, &values)?;
        Box::pin(self.text(&sql, position)).await
    }

    fn value_of<'a>(&'a self, argument: &'a Argument) -> &'a str {
        let variable = match argument {
            Argument::Literal(text) => return text,
            Argument::Variable(name) => self.state.user_variable(&name.to_lowercase()),
        };
        let Some(literal) = variable else { return "NULL" };
        // A parameter has the connection's collation, and a bare literal can be routed by.
        match literal.as_str().split_once(" COLLATE ") {
            Some((text, _)) if text.starts_with("_utf8mb4 ") => text,
            _ => literal.as_str(),
        }
    }

    fn variable_text(&self, name: &str) -> Result<Vec<u8>, SqlError> {
        let literal = self.state.user_variable(&name.to_lowercase());
        let text = literal.and_then(|literal| {
            let tokens = Lexer::tokenize(literal.as_str().as_bytes(), self.mode).ok()?;
            let hex = tokens.iter().find(|token| token.kind == TokenKind::Hex)?;
            let digits = hex.span.of(literal.as_str().as_bytes());
            unhex(digits.strip_prefix(b"x'")?.strip_suffix(b"'")?)
        });
        let text = text.ok_or_else(|| {
            SqlError::refused(&Refusal::syntax(
                format!("the user variable '@{name}' holds no text to prepare"),
                "SET it to the text of a statement",
            ))
        })?;
        // The value is kept in UTF-8; the servers would read it in the client's character set.
        if text.is_ascii() || self.state.names().client().starts_with("utf8") {
            return Ok(text);
        }
        Err(SqlError::refused(&Refusal::not_supported(
            format!(
                "the user variable '@{name}' holds a text with other characters than ASCII, and \
                 the client's character set is {}",
                self.state.names().client()
            ),
            "SET NAMES utf8mb4, or write the text into PREPARE itself",
        )))
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

fn starts_with_prepared_verb(sql: &[u8], mode: SqlMode) -> bool {
    Lexer::tokenize(sql, mode).is_ok_and(|tokens| {
        ["PREPARE", "EXECUTE", "DEALLOCATE"].iter().any(|verb| tokens.is_keyword(0, verb))
    })
}

/// The text with its parameters replaced, in order.
fn with_values(sql: &[u8], mode: SqlMode, values: &[&str]) -> Result<Vec<u8>, SqlError> {
    let unreadable = |error: shardline_router::lexer::LexError| SqlError::refused(&error.into());
    let tokens = Lexer::tokenize(sql, mode).map_err(unreadable)?;
    let mut text = Vec::with_capacity(sql.len() + 32 * values.len());
    let mut copied = 0;
    let parameters = tokens.iter().filter(|token| token.kind == TokenKind::Parameter);
    for (token, value) in parameters.zip(values) {
        let span = token.span.range();
        text.extend_from_slice(&sql[copied..span.start]);
        // Spaces keep the value apart from what stands beside the parameter.
        text.push(b' ');
        text.extend_from_slice(value.as_bytes());
        text.push(b' ');
        copied = span.end;
    }
    text.extend_from_slice(&sql[copied..]);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_place_of_parameters() {
        let sql = b"SELECT '?', a FROM t /* ? */ WHERE id=? AND b IN(?,?)";
        let text = with_values(sql, SqlMode::default(), &["1", "NULL", "x'41'"]).unwrap();
        let expected = "SELECT '?', a FROM t /* ? */ WHERE id= 1  AND b IN( NULL , x'41' )";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn hex_is_read_back() {
        assert_eq!(unhex(b"53454c"), Some(b"SEL".to_vec()));
        assert_eq!(unhex(b"5"), None);
        assert_eq!(unhex(b"5g"), None);
    }
}
