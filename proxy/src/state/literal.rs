//! Values that were read back from a server, as SQL literals that give the same value,
//! type and collation again. All of them are ASCII and mean the same in every sql_mode
//! and character set.

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
        if finite && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
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
        if text.contains(['e', 'E']) { Ok(number) } else { Ok(SqlLiteral(format!("{text}e0").into())) }
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
    /// When it has other characters than letters, digits, `_` and `-`.
    pub fn word(word: &str) -> Result<Self, LiteralError> {
        let plain = word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if plain { Ok(SqlLiteral(word.into())) } else { Err(LiteralError::Word { word: word.into() }) }
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

fn push_hex(literal: &mut String, prefix: &str, bytes: &[u8]) {
    literal.push_str(prefix);
    literal.push_str("x'");
    for byte in bytes {
        let _ = write!(literal, "{byte:02x}");
    }
    literal.push('\'');
}
