//! Values that were read back from a server, as SQL literals that give the same value,
//! type and collation again. All of them are ASCII and mean the same in every sql_mode
//! and character set.

use shardline_wire::{
    column::{BINARY_CHARSET, ColumnDefinition},
    value::{ColumnType, Layout},
};
use std::fmt::{self, Write as _};

/// The text of one literal; only the constructors here make one, so that it can be
/// spliced into a statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SqlLiteral(Box<str>);

/// Why a value has no literal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiteralError {
    /// The text is no number of the column's type.
    #[error("the server's text '{text}' is not a number")]
    Number {
        /// The text.
        text: String,
    },
    /// The name is none of a collation.
    #[error("'{name}' is not the name of a collation")]
    Collation {
        /// The name.
        name: String,
    },
    /// The word is none that SET takes without quotes.
    #[error("'{word}' is not a plain word")]
    Word {
        /// The word.
        word: String,
    },
}

impl SqlLiteral {
    /// NULL.
    pub fn null() -> Self {
        SqlLiteral("NULL".into())
    }

    /// A text's characters, where it was made of one; the literal itself otherwise.
    pub(crate) fn plain_text(&self) -> std::borrow::Cow<'_, str> {
        let digits = self.0.strip_prefix("_utf8mb4 x'").and_then(|rest| rest.split('\'').next());
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes = digits.and_then(|digits| {
            let (pairs, _) = digits.as_bytes().as_chunks::<2>();
            pairs.iter().map(byte).collect::<Option<Vec<u8>>>()
        });
        match bytes {
            Some(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
            None => self.0.trim_matches('\'').into(),
        }
    }

    /// A signed integer.
    pub fn integer(value: i64) -> Self {
        SqlLiteral(value.to_string().into())
    }

    /// An unsigned integer, with its type.
    pub fn unsigned(value: u64) -> Self {
        SqlLiteral(format!("CAST({value} AS UNSIGNED)").into())
    }

    /// A number as the server prints it, without its type: for system variables.
    ///
    /// # Errors
    /// When the text is no number.
    pub fn number(text: &str) -> Result<Self, LiteralError> {
        let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
        if finite
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        {
            Ok(SqlLiteral(text.into()))
        } else {
            Err(LiteralError::Number { text: text.into() })
        }
    }

    /// A DOUBLE, from the server's text.
    ///
    /// # Errors
    /// When the text is no number.
    pub fn double(text: &str) -> Result<Self, LiteralError> {
        let number = Self::number(text)?;
        if text.contains(['e', 'E']) {
            Ok(number)
        } else {
            Ok(SqlLiteral(format!("{text}e0").into()))
        }
    }

    /// A DECIMAL, from the server's text.
    ///
    /// # Errors
    /// When the text is no number.
    pub fn decimal(text: &str) -> Result<Self, LiteralError> {
        let number = Self::number(text)?;
        if text.contains(['e', 'E']) {
            return Err(LiteralError::Number { text: text.into() });
        }
        // Without a point the literal would be an integer.
        if text.contains('.') { Ok(number) } else { Ok(SqlLiteral(format!("{text}.").into())) }
    }

    /// A character string given in UTF-8; `collation` is the value's own.
    ///
    /// # Errors
    /// When `collation` is no name.
    pub fn text(utf8: &[u8], collation: Option<&str>) -> Result<Self, LiteralError> {
        let mut literal = String::with_capacity(utf8.len() * 2 + 64);
        let Some(collation) = collation else {
            push_hex(&mut literal, "_utf8mb4 ", utf8);
            return Ok(SqlLiteral(literal.into()));
        };
        let is_name = !collation.is_empty()
            && collation.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            return Err(LiteralError::Collation { name: collation.into() });
        }
        let charset = collation.split('_').next().unwrap_or(collation);
        match charset {
            "binary" => push_hex(&mut literal, "", utf8),
            "utf8mb4" => push_hex(&mut literal, "_utf8mb4 ", utf8),
            _ => {
                push_hex(&mut literal, "CONVERT(_utf8mb4 ", utf8);
                // Writing to a String cannot fail.
                let _ = write!(literal, " USING {charset})");
            }
        }
        if charset != "binary" {
            let _ = write!(literal, " COLLATE {collation}");
        }
        Ok(SqlLiteral(literal.into()))
    }

    /// A binary string.
    pub fn binary(bytes: &[u8]) -> Self {
        let mut literal = String::with_capacity(bytes.len() * 2 + 4);
        push_hex(&mut literal, "", bytes);
        SqlLiteral(literal.into())
    }

    /// A word that SET takes without quotes: `ON`, `OFF`, `utf8mb4`, `STRICT_ALL_TABLES`.
    ///
    /// # Errors
    /// When it has other characters than letters, digits and `_`.
    pub fn word(word: &str) -> Result<Self, LiteralError> {
        let plain = word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if plain {
            Ok(SqlLiteral(word.into()))
        } else {
            Err(LiteralError::Word { word: word.into() })
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        &*self.0 == "NULL"
    }
}

impl fmt::Display for SqlLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The literal of a user variable's value as a text row has it, in UTF-8 unless it is
/// binary. `collation` is what `COLLATION(@name)` says; without it a character string gets
/// the default of utf8mb4.
///
/// # Errors
/// When the value is none of the column's type.
pub fn user_variable_literal(
    column: &ColumnDefinition,
    value: Option<&[u8]>,
    collation: Option<&str>,
) -> Result<SqlLiteral, LiteralError> {
    let Some(value) = value else { return Ok(SqlLiteral::null()) };
    let text = || std::str::from_utf8(value).map_err(|_| not_a_number(value));
    match (column.kind.layout(), column.kind) {
        (Some(Layout::Int1 | Layout::Int2 | Layout::Int4 | Layout::Int8), _) => {
            let (text, wrong) = (text()?, |_| not_a_number(value));
            if column.unsigned() {
                text.parse().map(SqlLiteral::unsigned).map_err(wrong)
            } else {
                text.parse().map(SqlLiteral::integer).map_err(wrong)
            }
        }
        (Some(Layout::Float | Layout::Double), _) => SqlLiteral::double(text()?),
        (_, ColumnType::Decimal | ColumnType::NewDecimal) => SqlLiteral::decimal(text()?),
        _ if column.charset == BINARY_CHARSET && is_bytes(column.kind) => {
            Ok(SqlLiteral::binary(value))
        }
        _ => SqlLiteral::text(value, collation),
    }
}

/// The literal of a session variable's value (`@@session.name`) as a text row has it in
/// UTF-8: a number or a string, without a type of its own.
///
/// # Errors
/// When the value is none of the column's type.
pub fn system_variable_literal(
    column: &ColumnDefinition,
    value: Option<&[u8]>,
) -> Result<SqlLiteral, LiteralError> {
    let Some(value) = value else { return Ok(SqlLiteral::null()) };
    let text = || std::str::from_utf8(value).map_err(|_| not_a_number(value));
    match (column.kind.layout(), column.kind) {
        (
            Some(
                Layout::Int1
                | Layout::Int2
                | Layout::Int4
                | Layout::Int8
                | Layout::Float
                | Layout::Double,
            ),
            _,
        )
        | (_, ColumnType::Decimal | ColumnType::NewDecimal) => SqlLiteral::number(text()?),
        _ => SqlLiteral::text(value, None),
    }
}

/// Whether values of the type are bytes as they are; dates, which are binary to the
/// protocol too, are text.
fn is_bytes(kind: ColumnType) -> bool {
    kind.layout() == Some(Layout::Bytes)
}

fn not_a_number(value: &[u8]) -> LiteralError {
    LiteralError::Number { text: String::from_utf8_lossy(value).into_owned() }
}

fn push_hex(literal: &mut String, prefix: &str, bytes: &[u8]) {
    literal.push_str(prefix);
    literal.push_str("x'");
    for byte in bytes {
        let _ = write!(literal, "{byte:02x}");
    }
    literal.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: ColumnType, flags: u16, charset: u16) -> ColumnDefinition {
        ColumnDefinition { kind, flags, charset, ..ColumnDefinition::text("v", 10) }
    }

    #[test]
    fn a_literal_has_the_type_of_the_value() {
        use shardline_wire::column::UNSIGNED;
        let utf8 = 45;
        let check = |column: &ColumnDefinition, value: &str, expected: &str| {
            let literal = user_variable_literal(column, Some(value.as_bytes()), None).unwrap();
            assert_eq!(literal.as_str(), expected);
        };
        check(&column(ColumnType::LongLong, 0, 63), "-7", "-7");
        check(
            &column(ColumnType::LongLong, UNSIGNED, 63),
            "18446744073709551615",
            "CAST(18446744073709551615 AS UNSIGNED)",
        );
        check(&column(ColumnType::Double, 0, 63), "1.5", "1.5e0");
        check(&column(ColumnType::Double, 0, 63), "1e20", "1e20");
        check(&column(ColumnType::NewDecimal, 0, 63), "1.50", "1.50");
        check(&column(ColumnType::NewDecimal, 0, 63), "12", "12.");
        check(&column(ColumnType::VarString, 0, utf8), "it's", "_utf8mb4 x'69742773'");
        check(&column(ColumnType::LongBlob, 0, 63), "a", "x'61'");
        check(&column(ColumnType::DateTime, 0, 63), "2026", "_utf8mb4 x'32303236'");
        let null = user_variable_literal(&column(ColumnType::VarString, 0, utf8), None, None);
        assert!(null.unwrap().is_null());
    }

    #[test]
    fn a_literal_has_the_collation_of_the_value() {
        let text = |collation| SqlLiteral::text("é".as_bytes(), Some(collation)).unwrap();
        assert_eq!(text("utf8mb4_bin").as_str(), "_utf8mb4 x'c3a9' COLLATE utf8mb4_bin");
        assert_eq!(
            text("latin1_german1_ci").as_str(),
            "CONVERT(_utf8mb4 x'c3a9' USING latin1) COLLATE latin1_german1_ci"
        );
        assert_eq!(text("binary").as_str(), "x'c3a9'");
        assert!(SqlLiteral::text(b"a", Some("x; DROP TABLE t")).is_err());
    }

    #[test]
    fn a_text_is_told_as_it_was() {
        let told = |literal: SqlLiteral| literal.plain_text().into_owned();
        assert_eq!(told(SqlLiteral::text(b"READ-COMMITTED", None).unwrap()), "READ-COMMITTED");
        assert_eq!(told(SqlLiteral::text(b"a", Some("utf8mb4_bin")).unwrap()), "a");
        assert_eq!(told(SqlLiteral::integer(7)), "7");
    }

    #[test]
    fn nothing_but_literals_gets_through() {
        for wrong in ["", "1;", "nan", "inf", "0x10", "1 or 1", "--1", "1e999"] {
            assert!(SqlLiteral::number(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "a b", "1a", "a'", "a-b", "a;"] {
            assert!(SqlLiteral::word(wrong).is_err(), "{wrong}");
        }
        assert_eq!(SqlLiteral::word("STRICT_ALL_TABLES").unwrap().as_str(), "STRICT_ALL_TABLES");
    }
}
