//! Shard keys: which column types can be keys, and the canonical form of a value, on
//! which the proxy and the servers' SQL agree.

use crate::{collation, temporal};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, fmt};

/// The type of one shard-key column, as far as placement needs to know it.
///
/// Shard-key columns are NOT NULL. Types that are not here cannot be shard keys
/// (FLOAT, TIMESTAMP, ENUM, JSON, TEXT, collations without a proven canonical form).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyType {
    /// TINYINT to BIGINT, YEAR, BOOL.
    Integer {
        /// Smallest value of the column.
        min: i128,
        /// Largest value of the column.
        max: i128,
    },
    /// DECIMAL(precision, scale).
    Decimal {
        /// Digits in all, at most [`DECIMAL_DIGITS_MAX`].
        precision: u8,
        /// Digits after the point.
        scale: u8,
        /// No negative values.
        unsigned: bool,
    },
    /// CHAR and VARCHAR under an accepted collation.
    Text {
        /// What the column can hold and how its bytes look.
        charset: KeyCharset,
        /// Which texts are equal.
        collation: KeyCollation,
        /// Length in characters.
        chars_max: u32,
        /// CHAR: trailing spaces are not stored.
        padded_char: bool,
    },
    /// VARBINARY(n) and BINARY(n).
    Binary {
        /// Length in bytes.
        bytes_max: u32,
        /// BINARY(n): values are padded with 0x00 to their full length.
        fixed: bool,
    },
    /// DATE.
    Date,
    /// DATETIME(fsp).
    DateTime {
        /// Digits of the fraction of a second.
        fsp: u8,
    },
    /// TIME(fsp).
    Time {
        /// Digits of the fraction of a second.
        fsp: u8,
    },
}

/// The longest DECIMAL that can be a key, in digits: what an `i128` holds.
pub const DECIMAL_DIGITS_MAX: u8 = 38;
/// The longest text key, in characters.
pub const TEXT_CHARS_MAX: u32 = 1_024;
/// The longest binary key, in bytes.
pub const BINARY_BYTES_MAX: u32 = 3_072;
/// The smallest YEAR that is accepted as a key; 0000 is not, and one or two digits mean
/// another year than they say. No other integer type starts above zero.
pub(crate) const YEAR_MIN: i128 = 1_901;

/// The character set of a text key column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyCharset {
    /// `ascii`.
    Ascii,
    /// `latin1`: code page 1252 with its five gaps filled by the C1 controls.
    Latin1,
    /// `utf8mb3`: the Basic Multilingual Plane.
    Utf8mb3,
    /// `utf8mb4`.
    Utf8mb4,
}

/// The collations under which a text shard key is accepted: those whose equality and
/// order this crate reproduces exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyCollation {
    /// `utf8mb4_bin`, `utf8mb3_bin`, `latin1_bin`, `ascii_bin`: code points (bytes for
    /// latin1), PAD SPACE.
    Bin,
    /// `utf8mb4_nopad_bin`, `utf8mb4_0900_bin` and their kin: code points, NO PAD.
    NopadBin,
    /// `utf8mb4_general_ci`, `utf8mb3_general_ci`: simple case and accent folding, PAD SPACE.
    GeneralCi,
    /// `ascii_general_ci`: ASCII case folding, PAD SPACE.
    AsciiCi,
}

/// A literal of a statement or a parameter of a prepared one, before it is converted
/// to a shard-key column's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal<'a> {
    /// SQL NULL.
    Null,
    /// An integer without fraction or exponent, sign included.
    Integer(i128),
    /// A number with a decimal point and no exponent, as written, sign included.
    Decimal(std::borrow::Cow<'a, str>),
    /// A number with an exponent, or a FLOAT or DOUBLE parameter.
    Float(f64),
    /// A character string, already unescaped, in UTF-8: the statement's own character set
    /// is UTF-8, or the caller transcoded it (a text of ASCII alone is safe in any). Raw
    /// bytes that are not UTF-8 come as [`Literal::Bytes`].
    Text(std::borrow::Cow<'a, str>),
    /// A hexadecimal or bit literal, `_binary'..'`, or a binary parameter.
    Bytes(std::borrow::Cow<'a, [u8]>),
    /// DATE, DATETIME or TIME parameter in MySQL's text form.
    Temporal(std::borrow::Cow<'a, str>),
}

/// What a literal is converted for: it decides what a lossy conversion means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// `key = literal` in a predicate: the comparison rules of the server apply.
    Compare,
    /// A value stored in the column by INSERT or UPDATE: assignment rules apply.
    Store,
}

/// Why a literal gives no canonical key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The literal is NULL: it equals no key and cannot be stored in one.
    #[error("the value is NULL")]
    Null,
    /// The literal would be changed by conversion to the column (rounded, truncated,
    /// clipped, parsed leniently), so its place cannot be told from its text.
    #[error("the value {value} is not exactly of the type {column_type}")]
    Inexact {
        /// The literal as text.
        value: String,
        /// The key column's type in SQL.
        column_type: String,
    },
}

/// The canonical value of one key column. Equal keys, under the column's own
/// equality, have equal canonical values. The derived order is for maps only;
/// [`KeyType::compare`] is the column's order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyPart {
    /// Integers and years.
    Integer(i128),
    /// A decimal as its unscaled integer, at the column's scale.
    Decimal(i128),
    /// A text as its collation sees it: folded (one representative character for all that
    /// are equal), trailing pad removed; in UTF-8, or the column's bytes for latin1.
    Text(Vec<u8>),
    /// Bytes, at full length for BINARY(n).
    Bytes(Vec<u8>),
    /// DATE, DATETIME, TIME: microseconds on the type's own axis ([`crate::temporal`]).
    Temporal(i64),
}

/// A whole shard key: one part for each key column, in declared order.
pub type Key = smallvec::SmallVec<[KeyPart; 2]>;

impl KeyType {
    /// The order of the column for two canonical values of it, padding included.
    pub fn compare(&self, left: &KeyPart, right: &KeyPart) -> Ordering {
        match (self, left, right) {
            (KeyType::Text { collation, .. }, KeyPart::Text(left), KeyPart::Text(right)) => {
                match collation {
                    KeyCollation::NopadBin => left.cmp(right),
                    KeyCollation::Bin | KeyCollation::GeneralCi | KeyCollation::AsciiCi => {
                        compare_padded(left, right)
                    }
                }
            }
            (_, left, right) => left.cmp(right),
        }
    }

    /// Whether keys of the two types can share a colocation group: equal values have the
    /// same canonical text, so they have the same place.
    pub fn colocates_with(&self, other: &KeyType) -> bool {
        match (self, other) {
            (KeyType::Integer { .. }, KeyType::Integer { .. }) | (KeyType::Date, KeyType::Date) => {
                true
            }
            (KeyType::Decimal { scale: a, .. }, KeyType::Decimal { scale: b, .. })
            | (KeyType::DateTime { fsp: a }, KeyType::DateTime { fsp: b })
            | (KeyType::Time { fsp: a }, KeyType::Time { fsp: b }) => a == b,
            (
                KeyType::Text { charset: charset_a, collation: a, .. },
                KeyType::Text { charset: charset_b, collation: b, .. },
            ) => a == b && charset_a.is_latin1() == charset_b.is_latin1(),
            (
                KeyType::Binary { bytes_max: max_a, fixed: a },
                KeyType::Binary { bytes_max: max_b, fixed: b },
            ) => a == b && (!a || max_a == max_b),
            (
                KeyType::Integer { .. }
                | KeyType::Decimal { .. }
                | KeyType::Text { .. }
                | KeyType::Binary { .. }
                | KeyType::Date
                | KeyType::DateTime { .. }
                | KeyType::Time { .. },
                _,
            ) => false,
        }
    }

    /// Whether `part` is a value that a column of this type can hold, in canonical form.
    pub fn holds(&self, part: &KeyPart) -> bool {
        match (self, part) {
            (KeyType::Integer { min, max }, KeyPart::Integer(value)) => {
                (min..=max).contains(&value)
            }
            (KeyType::Decimal { precision, unsigned, .. }, KeyPart::Decimal(value)) => {
                value.unsigned_abs() < 10_u128.pow(u32::from(*precision))
                    && (!unsigned || *value >= 0)
            }
            (KeyType::Text { charset, collation, chars_max, .. }, KeyPart::Text(bytes)) => {
                collation::is_canonical(*charset, *collation, *chars_max, bytes)
            }
            (KeyType::Binary { bytes_max, fixed }, KeyPart::Bytes(bytes)) => {
                bytes.len() <= *bytes_max as usize && (!fixed || bytes.len() == *bytes_max as usize)
            }
            (
                KeyType::Date | KeyType::DateTime { .. } | KeyType::Time { .. },
                KeyPart::Temporal(value),
            ) => temporal::is_canonical(self, *value),
            (
                KeyType::Integer { .. }
                | KeyType::Decimal { .. }
                | KeyType::Text { .. }
                | KeyType::Binary { .. }
                | KeyType::Date
                | KeyType::DateTime { .. }
                | KeyType::Time { .. },
                _,
            ) => false,
        }
    }
}

impl KeyCharset {
    /// Whether canonical bytes are latin1 rather than UTF-8.
    pub(crate) fn is_latin1(self) -> bool {
        self == KeyCharset::Latin1
    }
}

/// PAD SPACE: the shorter text is compared as if it ended in spaces.
fn compare_padded(left: &[u8], right: &[u8]) -> Ordering {
    let common = left.len().min(right.len());
    left[..common].cmp(&right[..common]).then_with(|| match (&left[common..], &right[common..]) {
        ([], []) => Ordering::Equal,
        (rest, []) => compare_with_spaces(rest),
        (_, rest) => compare_with_spaces(rest).reverse(),
    })
}

/// The order of `rest` against as many spaces.
fn compare_with_spaces(rest: &[u8]) -> Ordering {
    rest.iter().find(|byte| **byte != b' ').map_or(Ordering::Equal, |byte| byte.cmp(&b' '))
}

/// The type in SQL, for messages.
impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyType::Integer { min, .. } if *min == YEAR_MIN => write!(f, "YEAR"),
            KeyType::Integer { min, max } => write!(f, "integer from {min} to {max}"),
            KeyType::Decimal { precision, scale, unsigned } => {
                let unsigned = if *unsigned { " UNSIGNED" } else { "" };
                write!(f, "DECIMAL({precision},{scale}){unsigned}")
            }
            KeyType::Text { chars_max, padded_char: true, .. } => write!(f, "CHAR({chars_max})"),
            KeyType::Text { chars_max, padded_char: false, .. } => {
                write!(f, "VARCHAR({chars_max})")
            }
            KeyType::Binary { bytes_max, fixed: true } => write!(f, "BINARY({bytes_max})"),
            KeyType::Binary { bytes_max, fixed: false } => write!(f, "VARBINARY({bytes_max})"),
            KeyType::Date => write!(f, "DATE"),
            KeyType::DateTime { fsp } => write!(f, "DATETIME({fsp})"),
            KeyType::Time { fsp } => write!(f, "TIME({fsp})"),
        }
    }
}
