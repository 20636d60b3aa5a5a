//! Shard keys: which column types can be keys, and the canonical form of a value, on
//! which the proxy and the servers' SQL agree.

use serde::{Deserialize, Serialize};

/// The type of one shard-key column, as far as placement needs to know it.
///
/// Shard-key columns are NOT NULL. Types that are not here cannot be shard keys
/// (FLOAT, TIMESTAMP, ENUM, JSON, TEXT, collations without a proven canonical form).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyType {
    /// TINYINT to BIGINT, YEAR, BOOL. `min` and `max` are the column's range.
    Integer { min: i128, max: i128 },
    /// DECIMAL(precision, scale).
    Decimal { precision: u8, scale: u8, unsigned: bool },
    /// CHAR and VARCHAR of `chars_max` characters under an accepted collation.
    Text { collation: KeyCollation, chars_max: u32, padded_char: bool },
    /// VARBINARY(n), and BINARY(n) when `fixed` (values are padded with 0x00).
    Binary { bytes_max: u32, fixed: bool },
    /// DATE.
    Date,
    /// DATETIME(fsp).
    DateTime { fsp: u8 },
    /// TIME(fsp).
    Time { fsp: u8 },
}

/// The collations under which a text shard key is accepted: those whose equality this
/// crate reproduces exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyCollation {
    /// `utf8mb4_bin`, `utf8mb3_bin`, `latin1_bin`, `ascii_bin`: code points, PAD SPACE.
    Bin,
    /// `utf8mb4_nopad_bin` and its kin: code points, NO PAD.
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
    /// A character string, already unescaped, in UTF-8. Raw bytes that are not UTF-8
    /// come as [`Literal::Bytes`].
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
    #[error("the value {value} is not exactly a {column_type}")]
    Inexact {
        /// The literal as text.
        value: String,
        /// The key column's type in SQL.
        column_type: String,
    },
}

/// The canonical value of one key column. Equal keys, under the column's own
/// equality, have equal canonical values; the order is the column's order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyPart {
    /// Integers and years.
    Integer(i128),
    /// A decimal as its unscaled integer, at the column's scale.
    Decimal(i128),
    /// A text's collation-canonical bytes, trailing pad removed; compares as the collation does.
    Text(Vec<u8>),
    /// Bytes, at full length for BINARY(n).
    Bytes(Vec<u8>),
    /// DATE, DATETIME, TIME: microseconds on the type's own axis.
    Temporal(i64),
}

/// A whole shard key: one part for each key column, in declared order.
pub type Key = smallvec::SmallVec<[KeyPart; 2]>;
