//! Recognises PREPARE, EXECUTE and DEALLOCATE PREPARE: prepared statements in SQL text.

use super::end;
use crate::{
    cursor::Cursor,
    lexer::TokenKind,
    plan::{Argument, PreparedText, Refusal, SessionStatement},
};

/// One of the three.
pub(super) fn recognise(cursor: &mut Cursor<'_, '_>) -> Result<SessionStatement, Refusal> {
    super::refused::statement(cursor)?;
    let statement = if cursor.accept("EXECUTE") {
        execute(cursor)?
    } else if cursor.accept("DEALLOCATE PREPARE") || cursor.accept("DROP PREPARE") {
        SessionStatement::Deallocate { name: name(cursor)? }
    } else if cursor.accept("PREPARE") {
        let name = name(cursor)?;
        if !cursor.accept("FROM") {
            return Err(cursor.unexpected("FROM"));
        }
        SessionStatement::Prepare { name, text: text(cursor)? }
    } else {
        cursor.index += 1;
        return Err(cursor.unexpected("PREPARE"));
    };
    end(cursor)?;
    Ok(statement)
}

fn name(cursor: &mut Cursor<'_, '_>) -> Result<String, Refusal> {
    let name = cursor.identifier().ok_or_else(|| cursor.unexpected("a statement's name"))?;
    Ok(name.to_lowercase())
}

fn text(cursor: &mut Cursor<'_, '_>) -> Result<PreparedText, Refusal> {
    if cursor.kind() == Some(TokenKind::UserVariable) {
        return Ok(PreparedText::Variable(super::set::user_variable(cursor)?));
    }
    let text = cursor.string().ok_or_else(|| cursor.unexpected("a string or a user variable"))?;
    Ok(PreparedText::Literal(text))
}

fn execute(cursor: &mut Cursor<'_, '_>) -> Result<SessionStatement, Refusal> {
    let name = name(cursor)?;
    let mut arguments = Vec::new();
    if cursor.accept("USING") {
        loop {
            arguments.push(argument(cursor)?);
            if !cursor.accept_kind(TokenKind::Comma) {
                break;
            }
        }
    }
    Ok(SessionStatement::Execute { name, arguments })
}

fn argument(cursor: &mut Cursor<'_, '_>) -> Result<Argument, Refusal> {
    if cursor.kind() == Some(TokenKind::UserVariable) {
        return Ok(Argument::Variable(super::set::user_variable(cursor)?));
    }
    let first = cursor.index;
    cursor.skip_to_comma();
    if cursor.index == first {
        return Err(cursor.unexpected("a value or a user variable"));
    }
    let Ok(text) = String::from_utf8(cursor.source(first).to_vec()) else {
        return Err(Refusal::not_supported(
            "a literal of EXECUTE .. USING is not UTF-8",
            "SET a user variable to the value and use that",
        ));
    };
    let literal = cursor.index - first <= 2
        && cursor.tokens.kind(cursor.index - 1).is_some_and(TokenKind::is_literal);
    if !literal && !text.eq_ignore_ascii_case("NULL") {
        return Err(Refusal::not_supported(
            format!("EXECUTE .. USING takes user variables and literals here, not '{text}'"),
            "SET a user variable to the expression and use that",
        ));
    }
    Ok(Argument::Literal(text))
}
