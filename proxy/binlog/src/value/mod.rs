//! Values of columns, owned by this crate, and their decoding from row images.

mod compressed;
mod decimal;
mod decode;
mod temporal;

use bytes::Bytes;

pub use decimal::Decimal;
pub(crate) use decode::{decode, padded};
pub use temporal::{Date, DateTime, Time, Timestamp};

/// The value of one column in one row image.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// An integer of a signed column, or of one whose table map does not tell the sign.
    Int(i64),
    /// An integer of an unsigned column.
    UInt(u64),
    /// Single precision.
    Float(f32),
    /// Double precision.
    Double(f64),
    /// A decimal with all digits of its scale.
    Decimal(Decimal),
    /// The bits of a `BIT` column as a number.
    Bit(u64),
    /// A year; 0 is `0000`.
    Year(u16),
    /// A date.
    Date(Date),
    /// A span of time.
    Time(Time),
    /// A date and time without zone.
    DateTime(DateTime),
    /// A moment.
    Timestamp(Timestamp),
    /// Texts in their column's character set, binary strings, geometries, vectors, and MariaDB's UUID,
    /// INET4 and INET6 in storage order.
    Bytes(Bytes),
    /// The place of an `ENUM`'s label, from 1; 0 is the empty value of a failed write.
    Enum(u16),
    /// The labels of a `SET` as bits, the first label lowest.
    Set(u64),
    /// MySQL's binary JSON; [`crate::json`] reads it.
    Json(Bytes),
}

impl Value {
    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether both are the same value bit by bit: minus zero is not zero, and a NaN is itself.
    pub fn is_identical(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            _ => self == other,
        }
    }
}
