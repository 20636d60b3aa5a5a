//! Values on their way from one server to the other: what is selected, what the insert says. Every
//! value arrives exact to the byte, whatever the type, character set and length.

use shardline_binlog::{
    Value,
    undo::{ColumnDefinition, SqlType, TableDefinition, UndoError, image},
};

/// How a column's selected text becomes a part of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Digits as they are.
    Number,
    /// Single precision, selected as double.
    Float,
    /// Double precision.
    Double,
    /// ASCII in quotes.
    Quoted,
    /// Bytes in quotes.
    Binary,
    /// A text's bytes in quotes, in its column's character set.
    Text,
    /// UTF-8 in quotes, for what the server parses.
    Utf8,
}

impl Encoding {
    /// Of a column.
    pub(crate) fn of(kind: &SqlType) -> Self {
        match kind {
            SqlType::Int { .. }
            | SqlType::Decimal
            | SqlType::Bit
            | SqlType::Enum
            | SqlType::Set => Encoding::Number,
            SqlType::Float => Encoding::Float,
            SqlType::Double => Encoding::Double,
            SqlType::Year
            | SqlType::Date
            | SqlType::Time { .. }
            | SqlType::DateTime { .. }
            | SqlType::Timestamp { .. }
            | SqlType::Uuid
            | SqlType::Inet4
            | SqlType::Inet6 => Encoding::Quoted,
            SqlType::Text { .. } => Encoding::Text,
            SqlType::Binary { .. } | SqlType::Bytes | SqlType::Geometry | SqlType::Vector => {
                Encoding::Binary
            }
            SqlType::Json => Encoding::Utf8,
        }
    }
}

/// What is selected so that nothing of the value is lost in its text.
pub(crate) fn selected(column: &ColumnDefinition) -> String {
    let name = shardline_binlog::literal::name(&column.name);
    match column.kind {
        // The text of a float is rounded; that of a product is not.
        SqlType::Float | SqlType::Double => format!("{name} * 1e0"),
        SqlType::Bit | SqlType::Enum | SqlType::Set => format!("CAST({name} AS UNSIGNED)"),
        SqlType::Int { .. }
        | SqlType::Decimal
        | SqlType::Year
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime { .. }
        | SqlType::Timestamp { .. }
        | SqlType::Text { .. }
        | SqlType::Binary { .. }
        | SqlType::Bytes
        | SqlType::Json
        | SqlType::Geometry
        | SqlType::Vector
        | SqlType::Uuid
        | SqlType::Inet4
        | SqlType::Inet6 => name,
    }
}

/// Appends a selected value; None is NULL.
pub(crate) fn push_selected(
    out: &mut Vec<u8>,
    definition: &TableDefinition,
    column: &ColumnDefinition,
    value: Option<&[u8]>,
) -> Result<(), UndoError> {
    let Some(value) = value else {
        out.extend_from_slice(b"NULL");
        return Ok(());
    };
    match Encoding::of(&column.kind) {
        Encoding::Number => out.extend_from_slice(value),
        Encoding::Quoted => {
            out.push(b'\'');
            out.extend_from_slice(value);
            out.push(b'\'');
        }
        Encoding::Binary => push_quoted(out, "binary", value),
        Encoding::Text => push_quoted(out, charset(&column.kind), value),
        Encoding::Utf8 => push_quoted(out, "utf8mb4", value),
        Encoding::Float | Encoding::Double => {
            let value = double(&column.kind, value).ok_or_else(|| UndoError::Value {
                table: definition.full_name(),
                column: column.name.clone(),
            })?;
            out.extend_from_slice(image::written(definition, column, &value)?.as_bytes());
        }
    }
    Ok(())
}

fn double(kind: &SqlType, text: &[u8]) -> Option<Value> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(if *kind == SqlType::Float { Value::Float(number as f32) } else { Value::Double(number) })
}

/// Appends a value of a row image.
pub(crate) fn push_value(
    out: &mut Vec<u8>,
    definition: &TableDefinition,
    column: &ColumnDefinition,
    value: &Value,
) -> Result<(), UndoError> {
    match (Encoding::of(&column.kind), value) {
        // Half as long as digits.
        (Encoding::Binary, Value::Bytes(bytes)) => push_quoted(out, "binary", bytes),
        (Encoding::Text, Value::Bytes(bytes)) => push_quoted(out, charset(&column.kind), bytes),
        _ => out.extend_from_slice(image::written(definition, column, value)?.as_bytes()),
    }
    Ok(())
}

/// A selected value of a key as SQL that compares with its column as the value itself.
pub(crate) fn key_literal(
    definition: &TableDefinition,
    column: &ColumnDefinition,
    value: &[u8],
) -> Result<String, UndoError> {
    use shardline_binlog::literal::{binary, text};
    Ok(match &column.kind {
        SqlType::Text { charset } => text(charset, value),
        SqlType::Binary { .. } | SqlType::Bytes | SqlType::Geometry | SqlType::Vector => {
            binary(value)
        }
        _ => {
            let mut out = Vec::with_capacity(value.len() + 2);
            push_selected(&mut out, definition, column, Some(value))?;
            String::from_utf8_lossy(&out).into_owned()
        }
    })
}

/// The character set that a text is read and written in.
fn charset(kind: &SqlType) -> &str {
    match kind {
        SqlType::Text { charset } => charset,
        _ => "binary",
    }
}

/// Appends a string literal. The session's character set is UTF-8, in which no byte of a longer
/// character looks like a quote or a backslash, and backslashes escape.
fn push_quoted(out: &mut Vec<u8>, charset: &str, bytes: &[u8]) {
    out.push(b'_');
    out.extend_from_slice(charset.as_bytes());
    out.push(b'\'');
    let mut rest = bytes;
    while let Some(place) = memchr::memchr2(b'\'', b'\\', rest) {
        out.extend_from_slice(&rest[..place]);
        out.extend_from_slice(&[b'\\', rest[place]]);
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_escapes_what_would_end_a_literal() {
        let mut out = Vec::new();
        push_quoted(&mut out, "binary", b"a'\\\0\x1a\xff\n");
        assert_eq!(out, b"_binary'a\\'\\\\\0\x1a\xff\n'");
    }

    #[test]
    fn doubles_keep_every_bit() {
        let parsed = double(&SqlType::Float, b"0.10000000149011612");
        assert_eq!(parsed, Some(Value::Float(0.1)));
        assert_eq!(double(&SqlType::Double, b"1e"), None);
    }
}
