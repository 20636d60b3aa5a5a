//! Sharding clauses: `SHARD BY HASH | RANGE | LIST`, `BROADCAST` and `SINGLE`. They are
//! read from the tokens of a statement, from an executable comment that no server
//! executes, and from a table's COMMENT, and rendered for SHOW CREATE TABLE. The grammar
//! is in `docs/sql-surface.md`.

mod find;
mod render;
#[cfg(test)]
mod tests;

pub(crate) use find::find;
pub use render::{carrier, render};

use crate::{
    cursor::Cursor,
    lexer::{Lexer, LiteralKind, LiteralSpan, SqlMode, TokenKind, literal::unquote},
    plan::{ListClauseUnit, RangeClauseUnit, Refusal, ShardingClause, TableName},
};
use shardline_model::key::Literal;

/// Most columns of a shard key.
pub const KEY_COLUMNS_MAX: usize = 16;
/// Most units of one clause.
pub const UNITS_MAX: usize = 4_096;
/// Most values in one clause.
pub const VALUES_MAX: usize = 65_536;

/// Whether a clause may start here: enough to tell it from a table option.
pub(crate) fn starts(cursor: &Cursor<'_, '_>) -> bool {
    cursor.are("SHARD BY") || cursor.is("BROADCAST") || cursor.is("SINGLE")
}

/// Reads a clause; `SHARD BY` may be left out when `short`. A colocated table without a
/// database is in `database`.
pub(crate) fn parse(
    cursor: &mut Cursor<'_, '_>,
    database: &str,
    short: bool,
) -> Result<ShardingClause, Refusal> {
    if cursor.accept("BROADCAST") {
        return Ok(ShardingClause::Broadcast);
    }
    if cursor.accept("SINGLE") {
        let shard = if cursor.accept("ON") { Some(shard_name(cursor)?) } else { None };
        return Ok(ShardingClause::Single { shard });
    }
    if !cursor.accept("SHARD BY") && !short {
        return Err(cursor.unexpected("SHARD BY, BROADCAST or SINGLE"));
    }
    if cursor.accept("HASH") {
        let columns = columns(cursor)?;
        let colocate = colocate(cursor, database)?;
        return Ok(ShardingClause::Hash { columns, colocate });
    }
    if cursor.accept("RANGE") {
        let columns = columns(cursor)?;
        let units = range_units(cursor, columns.len())?;
        let colocate = colocate(cursor, database)?;
        return Ok(ShardingClause::Range { columns, units, colocate });
    }
    if cursor.accept("LIST") {
        let columns = columns(cursor)?;
        let (units, default) = list_units(cursor, columns.len())?;
        let colocate = colocate(cursor, database)?;
        return Ok(ShardingClause::List { columns, units, default, colocate });
    }
    Err(cursor.unexpected("HASH, RANGE or LIST"))
}

/// Reads a clause that stands alone.
pub(crate) fn parse_alone(
    text: &[u8],
    mode: SqlMode,
    database: &str,
) -> Result<ShardingClause, Refusal> {
    let tokens = Lexer::tokenize(text, mode)?;
    let mut cursor = Cursor::new(&tokens);
    let clause = parse(&mut cursor, database, true)?;
    if !cursor.at_end() {
        return Err(cursor.unexpected("the end of the sharding clause"));
    }
    Ok(clause)
}

fn expect(cursor: &mut Cursor<'_, '_>, kind: TokenKind, wanted: &str) -> Result<(), Refusal> {
    if cursor.accept_kind(kind) { Ok(()) } else { Err(cursor.unexpected(wanted)) }
}

fn expect_words(cursor: &mut Cursor<'_, '_>, words: &str) -> Result<(), Refusal> {
    if cursor.accept(words) { Ok(()) } else { Err(cursor.unexpected(words)) }
}

fn columns(cursor: &mut Cursor<'_, '_>) -> Result<Vec<String>, Refusal> {
    expect(cursor, TokenKind::LeftParen, "( and the shard key's columns")?;
    let mut columns = Vec::new();
    loop {
        columns.push(cursor.identifier().ok_or_else(|| cursor.unexpected("a column's name"))?);
        if columns.len() > KEY_COLUMNS_MAX {
            return Err(too_many("columns of a shard key", KEY_COLUMNS_MAX));
        }
        if !cursor.accept_kind(TokenKind::Comma) {
            break;
        }
    }
    expect(cursor, TokenKind::RightParen, ") after the shard key's columns")?;
    Ok(columns)
}

fn too_many(what: &str, limit: usize) -> Refusal {
    Refusal::not_supported(
        format!("there are more than {limit} {what} in one sharding clause"),
        "use fewer; units can be split later",
    )
}

fn colocate(cursor: &mut Cursor<'_, '_>, database: &str) -> Result<Option<TableName>, Refusal> {
    if !cursor.accept("COLOCATE") {
        return Ok(None);
    }
    cursor.accept("WITH");
    let parenthesis = cursor.accept_kind(TokenKind::LeftParen);
    let table = cursor.table(Some(database))?;
    if parenthesis {
        expect(cursor, TokenKind::RightParen, ") after the table's name")?;
    }
    Ok(Some(table))
}

/// `s1` or `(s1)`.
fn shard_name(cursor: &mut Cursor<'_, '_>) -> Result<String, Refusal> {
    let parenthesis = cursor.accept_kind(TokenKind::LeftParen);
    let name = cursor.identifier().ok_or_else(|| cursor.unexpected("a shard's name"))?;
    if parenthesis {
        expect(cursor, TokenKind::RightParen, ") after the shard's name")?;
    }
    Ok(name)
}

fn on_shard(cursor: &mut Cursor<'_, '_>) -> Result<String, Refusal> {
    expect_words(cursor, "ON")?;
    shard_name(cursor)
}

fn range_units(
    cursor: &mut Cursor<'_, '_>,
    columns: usize,
) -> Result<Vec<RangeClauseUnit>, Refusal> {
    let mut units = Vec::new();
    if !cursor.accept_kind(TokenKind::LeftParen) {
        return Ok(units);
    }
    loop {
        expect_words(cursor, "VALUES LESS THAN")?;
        let less_than = if cursor.accept("MAXVALUE") {
            None
        } else {
            expect(cursor, TokenKind::LeftParen, "( and a bound")?;
            let bound = if cursor.accept("MAXVALUE") { None } else { Some(key(cursor, columns)?) };
            expect(cursor, TokenKind::RightParen, ") after the bound")?;
            bound
        };
        units.push(RangeClauseUnit { less_than, shard: on_shard(cursor)? });
        if units.len() > UNITS_MAX {
            return Err(too_many("units", UNITS_MAX));
        }
        if !cursor.accept_kind(TokenKind::Comma) {
            break;
        }
    }
    expect(cursor, TokenKind::RightParen, ", or ) after a unit")?;
    Ok(units)
}

type ListUnits = (Vec<ListClauseUnit>, Option<String>);

fn list_units(cursor: &mut Cursor<'_, '_>, columns: usize) -> Result<ListUnits, Refusal> {
    let mut units = Vec::new();
    let mut default = None;
    if !cursor.accept_kind(TokenKind::LeftParen) {
        return Ok((units, default));
    }
    let mut count = 0;
    loop {
        if cursor.accept("DEFAULT") {
            let shard = on_shard(cursor)?;
            if default.replace(shard).is_some() {
                return Err(Refusal::syntax("DEFAULT is given twice", "leave one of them out"));
            }
        } else {
            expect_words(cursor, "VALUES IN")?;
            expect(cursor, TokenKind::LeftParen, "( and values")?;
            let mut values = Vec::new();
            loop {
                values.push(list_key(cursor, columns)?);
                count += 1;
                if count > VALUES_MAX {
                    return Err(too_many("values", VALUES_MAX));
                }
                if !cursor.accept_kind(TokenKind::Comma) {
                    break;
                }
            }
            expect(cursor, TokenKind::RightParen, ", or ) after a value")?;
            units.push(ListClauseUnit { values, shard: on_shard(cursor)? });
        }
        if !cursor.accept_kind(TokenKind::Comma) {
            break;
        }
    }
    expect(cursor, TokenKind::RightParen, ", or ) after a unit")?;
    Ok((units, default))
}

/// A value of a list: `x`, or `(x, y)` for several columns.
fn list_key(cursor: &mut Cursor<'_, '_>, columns: usize) -> Result<Vec<String>, Refusal> {
    if !cursor.accept_kind(TokenKind::LeftParen) {
        return key(cursor, 1).and_then(|key| arity(key, columns));
    }
    let key = key(cursor, columns)?;
    expect(cursor, TokenKind::RightParen, ") after a value")?;
    Ok(key)
}

fn arity(key: Vec<String>, columns: usize) -> Result<Vec<String>, Refusal> {
    if key.len() == columns {
        return Ok(key);
    }
    Err(Refusal::syntax(
        format!("a value has {} parts, the shard key has {columns} columns", key.len()),
        "give one literal for each column, in parentheses",
    ))
}

/// Literals separated by commas, one for each column.
fn key(cursor: &mut Cursor<'_, '_>, columns: usize) -> Result<Vec<String>, Refusal> {
    let mut parts = vec![literal(cursor)?];
    while parts.len() < columns && cursor.accept_kind(TokenKind::Comma) {
        parts.push(literal(cursor)?);
    }
    arity(parts, columns)
}

/// One literal in its canonical form, which is the same under every sql_mode: a number
/// as written, `'text'` without a backslash, `_utf8mb4 0x..` for other text, `0x..`.
fn literal(cursor: &mut Cursor<'_, '_>) -> Result<String, Refusal> {
    let typed = cursor.accept_any(&["DATE", "TIMESTAMP", "TIME"]);
    if typed && cursor.kind() != Some(TokenKind::String) {
        return bare_temporal(cursor);
    }
    let negative = match cursor.kind() {
        Some(TokenKind::Minus) => true,
        Some(TokenKind::Plus) => {
            cursor.index += 1;
            false
        }
        _ => false,
    };
    cursor.index += usize::from(negative);
    let sql = cursor.tokens.sql;
    let mode = cursor.tokens.mode;
    let text = cursor.tokens.text(cursor.index);
    let wanted = "a literal";
    match cursor.kind() {
        Some(TokenKind::Integer | TokenKind::Decimal | TokenKind::Float) => {
            cursor.index += 1;
            let number = String::from_utf8_lossy(text);
            Ok(if negative { format!("-{number}") } else { number.into_owned() })
        }
        Some(TokenKind::String) if !negative => {
            let first = cursor.index;
            while cursor.accept_kind(TokenKind::String) {}
            text_literal(&unquote(cursor.source(first), mode))
                .ok_or_else(|| cursor.unexpected(wanted))
        }
        Some(
            TokenKind::Hex | TokenKind::Bit | TokenKind::Introducer | TokenKind::NationalString,
        ) if !negative => {
            let first = cursor.index;
            let kind = match cursor.kind() {
                Some(TokenKind::Hex) => LiteralKind::Hex,
                Some(TokenKind::Bit) => LiteralKind::Bit,
                Some(TokenKind::Introducer) => LiteralKind::Introduced,
                _ => LiteralKind::National,
            };
            cursor.index += 1 + usize::from(kind == LiteralKind::Introduced);
            let span = cursor.span_from(first);
            let literal = LiteralSpan { span, kind, token: first as u32 };
            match literal.value(sql, mode) {
                Some(Literal::Text(text)) => text_literal(text.as_bytes()),
                Some(Literal::Bytes(bytes)) => Some(format!("0x{}", render::hex(&bytes))),
                _ => None,
            }
            .ok_or_else(|| cursor.unexpected(wanted))
        }
        _ => Err(cursor.unexpected(wanted)),
    }
}

fn text_literal(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    if text.contains('\\') || text.contains('\0') {
        return Some(format!("_utf8mb4 0x{}", render::hex(bytes)));
    }
    Some(format!("'{}'", text.replace('\'', "''")))
}

/// `2026-01-31 12:00:00` without quotes, as SHOW CREATE TABLE writes it after DATE or
/// TIMESTAMP.
fn bare_temporal(cursor: &mut Cursor<'_, '_>) -> Result<String, Refusal> {
    let first = cursor.index;
    while !matches!(cursor.kind(), None | Some(TokenKind::Comma | TokenKind::RightParen)) {
        cursor.index += 1;
    }
    let text = cursor.source(first);
    if text.is_empty() || !render::is_temporal(text) {
        cursor.index = first;
        return Err(cursor.unexpected("a date"));
    }
    Ok(format!("'{}'", String::from_utf8_lossy(text)))
}

/// The value of a literal of a [`ShardingClause`].
pub fn literal_value(text: &str) -> Option<Literal<'static>> {
    let mode = SqlMode::default();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut digest = crate::digest::Digest::new();
    digest.scan(rest.as_bytes(), mode).ok()?;
    let [literal] = digest.literals.as_slice() else { return None };
    if literal.span.range() != (0..rest.len()) {
        return None;
    }
    Some(match (literal.value(rest.as_bytes(), mode)?, negative) {
        (Literal::Integer(value), true) => Literal::Integer(-value),
        (Literal::Decimal(value), true) => Literal::Decimal(format!("-{value}").into()),
        (Literal::Float(value), true) => Literal::Float(-value),
        (_, true) => return None,
        (Literal::Null, false) => Literal::Null,
        (Literal::Integer(value), false) => Literal::Integer(value),
        (Literal::Float(value), false) => Literal::Float(value),
        (Literal::Decimal(value), false) => Literal::Decimal(value.into_owned().into()),
        (Literal::Text(value), false) => Literal::Text(value.into_owned().into()),
        (Literal::Bytes(value), false) => Literal::Bytes(value.into_owned().into()),
        (Literal::Temporal(value), false) => Literal::Temporal(value.into_owned().into()),
    })
}
