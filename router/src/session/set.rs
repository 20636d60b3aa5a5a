//! SET and its many forms.

use crate::{
    cursor::Cursor,
    lexer::{CommentKind, TokenKind, charset},
    plan::{Assignment, Plan, Refusal, SessionStatement},
    reserved,
    session::{Prefix, Recognised},
};

/// Most assignments in one statement.
const ASSIGNMENTS_MAX: usize = 1_000;

#[derive(Clone, Copy, PartialEq)]
enum Scope {
    Implied,
    Session,
    Global,
}

pub(super) fn recognise(cursor: &mut Cursor<'_, '_>) -> Result<Recognised, Refusal> {
    super::refused::statement(cursor)?;
    cursor.index += 1;
    if cursor.accept("STATEMENT") {
        return set_statement(cursor);
    }
    let mut assignments = Vec::new();
    loop {
        assignments.push(assignment(cursor)?);
        if assignments.len() > ASSIGNMENTS_MAX {
            return Err(Refusal::not_supported(
                format!("SET has more than {ASSIGNMENTS_MAX} assignments"),
                "split it into several statements",
            ));
        }
        if !cursor.accept_kind(TokenKind::Comma) {
            break;
        }
    }
    super::end(cursor)?;
    Ok(Recognised::Plan(Plan::Session(SessionStatement::Set { assignments })))
}

/// `SET STATEMENT name = value, .. FOR statement`.
fn set_statement(cursor: &mut Cursor<'_, '_>) -> Result<Recognised, Refusal> {
    while !cursor.at_end() && !cursor.is("FOR") {
        if let Some(name) = cursor.tokens.identifier(cursor.index) {
            reserved::variable(&name)?;
        }
        if !cursor.skip_parentheses() {
            cursor.index += 1;
        }
    }
    if !cursor.accept("FOR") {
        return Err(cursor.unexpected("FOR"));
    }
    let starts = ["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "VALUES"];
    if cursor.kind() == Some(TokenKind::LeftParen) || starts.iter().any(|word| cursor.is(word)) {
        let statement = cursor.index;
        return Ok(Recognised::Prefixed { prefix: Prefix::Executed, statement });
    }
    Err(Refusal::not_supported(
        "SET STATEMENT stands before a statement that is no query and changes no rows",
        "set the variables with SET SESSION before it and put them back after it",
    ))
}

fn assignment(cursor: &mut Cursor<'_, '_>) -> Result<Assignment, Refusal> {
    match cursor.kind() {
        Some(TokenKind::UserVariable) => {
            let name = user_variable(cursor)?;
            return Ok(Assignment::UserVariable { name, value: value(cursor)? });
        }
        Some(TokenKind::SystemVariable) => return system_variable(cursor),
        _ => {}
    }
    if cursor.accept("NAMES") {
        return names(cursor, false);
    }
    if cursor.accept_any(&["CHARACTER SET", "CHARSET"]) {
        return names(cursor, true);
    }
    let scope = if cursor.accept("GLOBAL") {
        Scope::Global
    } else if cursor.accept_any(&["SESSION", "LOCAL"]) {
        Scope::Session
    } else {
        Scope::Implied
    };
    if cursor.is("TRANSACTION") && !is_assigned(cursor, cursor.index + 1) {
        cursor.index += 1;
        return transaction(cursor, scope);
    }
    if cursor.kind() == Some(TokenKind::SystemVariable) {
        return Err(cursor.unexpected("a variable's name"));
    }
    let mut name = cursor.identifier().ok_or_else(|| cursor.unexpected("a variable's name"))?;
    if cursor.accept_kind(TokenKind::Dot) {
        let part = cursor.identifier().ok_or_else(|| cursor.unexpected("a variable's name"))?;
        name = format!("{name}.{part}");
    }
    scoped(cursor, scope, name)
}

fn is_assigned(cursor: &Cursor<'_, '_>, index: usize) -> bool {
    matches!(cursor.tokens.kind(index), Some(TokenKind::Equal | TokenKind::Assign))
}

fn scoped(cursor: &mut Cursor<'_, '_>, scope: Scope, name: String) -> Result<Assignment, Refusal> {
    reserved::variable(&name)?;
    let name = name.to_ascii_lowercase();
    let value = value(cursor)?;
    if name == "character_set_client" {
        check_charset(value.trim_matches(['\'', '"', '`']))?;
    }
    Ok(match scope {
        Scope::Global => Assignment::Global { name, value },
        Scope::Implied | Scope::Session => Assignment::Session { name, value },
    })
}

/// The name in `@name`, `@'name'` and `` @`name` ``. Case does not matter to the server.
pub(super) fn user_variable(cursor: &mut Cursor<'_, '_>) -> Result<String, Refusal> {
    let text = std::str::from_utf8(&cursor.tokens.text(cursor.index)[1..]).map_err(|_| {
        Refusal::not_supported(
            "the name of a user variable is not UTF-8",
            "use letters of ASCII, or SET NAMES utf8mb4",
        )
    })?;
    let name = unquoted(text);
    if name.is_empty() {
        return Err(cursor.unexpected("a variable's name"));
    }
    cursor.index += 1;
    Ok(name)
}

fn unquoted(text: &str) -> String {
    match text.chars().next() {
        Some(quote @ ('`' | '\'' | '"')) if text.len() >= 2 && text.ends_with(quote) => {
            text[1..text.len() - 1].replace(&format!("{quote}{quote}"), &quote.to_string())
        }
        _ => text.to_owned(),
    }
}

fn system_variable(cursor: &mut Cursor<'_, '_>) -> Result<Assignment, Refusal> {
    let text = String::from_utf8_lossy(&cursor.tokens.text(cursor.index)[2..]).into_owned();
    cursor.index += 1;
    let (scope, name) = match text.split_once('.') {
        Some((scope, name)) if scope.eq_ignore_ascii_case("global") => (Scope::Global, name),
        Some((scope, name))
            if scope.eq_ignore_ascii_case("session") || scope.eq_ignore_ascii_case("local") =>
        {
            (Scope::Session, name)
        }
        _ => (Scope::Implied, text.as_str()),
    };
    let name: Vec<String> = name.split('.').map(unquoted).collect();
    scoped(cursor, scope, name.join("."))
}

fn names(cursor: &mut Cursor<'_, '_>, character_set_only: bool) -> Result<Assignment, Refusal> {
    if cursor.accept("DEFAULT") {
        return Ok(Assignment::Names { charset: None, collation: None, character_set_only });
    }
    if cursor.kind() == Some(TokenKind::Equal) {
        return Err(cursor.unexpected("a character set"));
    }
    let wanted = "a character set";
    let charset = cursor.name_or_string().ok_or_else(|| cursor.unexpected(wanted))?;
    check_charset(&charset)?;
    let mut collation = None;
    if !character_set_only && cursor.accept("COLLATE") && !cursor.accept("DEFAULT") {
        let name = cursor.name_or_string().ok_or_else(|| cursor.unexpected("a collation"))?;
        collation = Some(name);
    }
    Ok(Assignment::Names { charset: Some(charset), collation, character_set_only })
}

fn check_charset(name: &str) -> Result<(), Refusal> {
    if charset::is_ascii_safe(name) {
        return Ok(());
    }
    Err(Refusal::not_supported(
        format!(
            "statements in the character set {name} cannot be read byte by byte: its \
             characters may hold quotes and backslashes"
        ),
        "use utf8mb4; the servers convert to the columns' character sets",
    ))
}

fn transaction(cursor: &mut Cursor<'_, '_>, scope: Scope) -> Result<Assignment, Refusal> {
    let first = cursor.index;
    loop {
        let levels = ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];
        let known = if cursor.accept("ISOLATION LEVEL") {
            cursor.accept_any(&levels)
        } else {
            cursor.accept_any(&["READ ONLY", "READ WRITE"])
        };
        if !known {
            return Err(cursor.unexpected("ISOLATION LEVEL, READ ONLY or READ WRITE"));
        }
        let comma = cursor.kind() == Some(TokenKind::Comma);
        let next = cursor.index + 1;
        let more =
            cursor.tokens.is_keyword(next, "READ") || cursor.tokens.is_keyword(next, "ISOLATION");
        if !comma || !more {
            break;
        }
        cursor.index = next;
    }
    let words: Vec<_> = (first..cursor.index)
        .map(|i| String::from_utf8_lossy(cursor.tokens.text(i)).to_ascii_uppercase())
        .collect();
    Ok(Assignment::Transaction {
        next_only: scope == Scope::Implied,
        global: scope == Scope::Global,
        characteristics: words.join(" ").replace(" ,", ","),
    })
}

/// `= expression` or `:= expression`: the expression's source text.
fn value(cursor: &mut Cursor<'_, '_>) -> Result<String, Refusal> {
    if !is_assigned(cursor, cursor.index) {
        return Err(cursor.unexpected("="));
    }
    cursor.index += 1;
    let first = cursor.index;
    cursor.skip_to_comma();
    if cursor.index == first {
        return Err(cursor.unexpected("an expression"));
    }
    let text = expression_source(cursor, first);
    String::from_utf8(text).map_err(|_| {
        Refusal::not_supported(
            "the value of a SET is not UTF-8",
            "write the bytes as a hexadecimal literal, such as x'E9'",
        )
    })
}

/// The tokens' text from `first` to the position. Where one end of an executable comment
/// lies within, the tokens are put together without it.
fn expression_source(cursor: &Cursor<'_, '_>, first: usize) -> Vec<u8> {
    let is_end = |kind| matches!(kind, CommentKind::ExecutableStart | CommentKind::ExecutableEnd);
    let inside = |at: u32| (at as usize) > first && (at as usize) < cursor.index;
    let crossed = cursor.tokens.comments.iter().any(|c| is_end(c.kind) && inside(c.before_token));
    if !crossed {
        return cursor.source(first).to_vec();
    }
    let mut text = Vec::new();
    for index in first..cursor.index {
        if index > first && !cursor.tokens.is_adjacent(index) {
            text.push(b' ');
        }
        text.extend_from_slice(cursor.tokens.text(index));
    }
    text
}
