//! Typed values of the binary protocol: column types, parameters and binary rows.

use bytes::{BufMut, BytesMut};

use crate::cursor::{DecodeError, Reader};
use crate::lenenc;
use crate::temporal::{DateTime, Time};

/// A column's or parameter's type as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum ColumnType {
    Decimal = 0,
    Tiny = 1,
    Short = 2,
    Long = 3,
    Float = 4,
    Double = 5,
    Null = 6,
    Timestamp = 7,
    LongLong = 8,
    Int24 = 9,
    Date = 10,
    Time = 11,
    DateTime = 12,
    Year = 13,
    NewDate = 14,
    VarChar = 15,
    Bit = 16,
    Timestamp2 = 17,
    DateTime2 = 18,
    Time2 = 19,
    TypedArray = 20,
    Vector = 242,
    Invalid = 243,
    Bool = 244,
    Json = 245,
    NewDecimal = 246,
    Enum = 247,
    Set = 248,
    TinyBlob = 249,
    MediumBlob = 250,
    LongBlob = 251,
    Blob = 252,
    VarString = 253,
    String = 254,
    Geometry = 255,
}

impl ColumnType {
    /// The type with this number.
    pub fn from_byte(byte: u8) -> Result<Self, DecodeError> {
        Ok(match byte {
            0 => Self::Decimal,
            1 => Self::Tiny,
            2 => Self::Short,
            3 => Self::Long,
            4 => Self::Float,
            5 => Self::Double,
            6 => Self::Null,
            7 => Self::Timestamp,
            8 => Self::LongLong,
            9 => Self::Int24,
            10 => Self::Date,
            11 => Self::Time,
            12 => Self::DateTime,
            13 => Self::Year,
            14 => Self::NewDate,
            15 => Self::VarChar,
            16 => Self::Bit,
            17 => Self::Timestamp2,
            18 => Self::DateTime2,
            19 => Self::Time2,
            20 => Self::TypedArray,
            242 => Self::Vector,
            243 => Self::Invalid,
            244 => Self::Bool,
            245 => Self::Json,
            246 => Self::NewDecimal,
            247 => Self::Enum,
            248 => Self::Set,
            249 => Self::TinyBlob,
            250 => Self::MediumBlob,
            251 => Self::LongBlob,
            252 => Self::Blob,
            253 => Self::VarString,
            254 => Self::String,
            255 => Self::Geometry,
            _ => return Err(DecodeError::Invalid { field: "column type" }),
        })
    }

    /// How values of this type travel in the binary protocol; `None` if they cannot.
    pub fn layout(self) -> Option<Layout> {
        Some(match self {
            Self::Tiny | Self::Bool => Layout::Int1,
            Self::Short | Self::Year => Layout::Int2,
            Self::Long | Self::Int24 => Layout::Int4,
            Self::LongLong => Layout::Int8,
            Self::Float => Layout::Float,
            Self::Double => Layout::Double,
            Self::Null => Layout::Nothing,
            Self::Date | Self::NewDate => Layout::Date,
            Self::DateTime | Self::Timestamp | Self::DateTime2 | Self::Timestamp2 => {
                Layout::DateTime
            }
            Self::Time | Self::Time2 => Layout::Time,
            Self::Decimal
            | Self::NewDecimal
            | Self::VarChar
            | Self::VarString
            | Self::String
            | Self::Bit
            | Self::Json
            | Self::Vector
            | Self::Enum
            | Self::Set
            | Self::TinyBlob
            | Self::MediumBlob
            | Self::LongBlob
            | Self::Blob
            | Self::Geometry => Layout::Bytes,
            Self::TypedArray | Self::Invalid => return None,
        })
    }
}

/// How a value is laid out in the binary protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One byte.
    Int1,
    /// Two bytes.
    Int2,
    /// Four bytes.
    Int4,
    /// Eight bytes.
    Int8,
    /// IEEE 754 of four bytes.
    Float,
    /// IEEE 754 of eight bytes.
    Double,
    /// A packed date, whose time part is not significant.
    Date,
    /// A packed date and time.
    DateTime,
    /// A packed span.
    Time,
    /// A length-encoded string.
    Bytes,
    /// No bytes: always NULL.
    Nothing,
}

/// One value of a parameter or of a binary row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A single-precision number.
    Float(f32),
    /// A double-precision number.
    Double(f64),
    /// Text, bytes, decimals, enums, bits and so on.
    Bytes(&'a [u8]),
    /// A date.
    Date(DateTime),
    /// A date and time.
    DateTime(DateTime),
    /// A span.
    Time(Time),
}

impl<'a> Value<'a> {
    /// Reads one value that is not NULL.
    pub fn decode(
        reader: &mut Reader<'a>,
        kind: ColumnType,
        unsigned: bool,
    ) -> Result<Self, DecodeError> {
        let field = "value";
        let layout = kind.layout().ok_or(DecodeError::Invalid { field })?;
        Ok(match (layout, unsigned) {
            (Layout::Int1, false) => Self::Int(i64::from(reader.u8(field)? as i8)),
            (Layout::Int1, true) => Self::UInt(u64::from(reader.u8(field)?)),
            (Layout::Int2, false) => Self::Int(i64::from(reader.u16(field)? as i16)),
            (Layout::Int2, true) => Self::UInt(u64::from(reader.u16(field)?)),
            (Layout::Int4, false) => Self::Int(i64::from(reader.u32(field)? as i32)),
            (Layout::Int4, true) => Self::UInt(u64::from(reader.u32(field)?)),
            (Layout::Int8, false) => Self::Int(reader.u64(field)? as i64),
            (Layout::Int8, true) => Self::UInt(reader.u64(field)?),
            (Layout::Float, _) => Self::Float(f32::from_bits(reader.u32(field)?)),
            (Layout::Double, _) => Self::Double(f64::from_bits(reader.u64(field)?)),
            (Layout::Date, _) => Self::Date(DateTime::decode(reader)?),
            (Layout::DateTime, _) => Self::DateTime(DateTime::decode(reader)?),
            (Layout::Time, _) => Self::Time(Time::decode(reader)?),
            (Layout::Bytes, _) => Self::Bytes(reader.lenenc_bytes(field)?),
            (Layout::Nothing, _) => Self::Null,
        })
    }

    /// Appends the value as a column or parameter of type `kind`. Integers are cut to the type's
    /// width; a value whose shape the type cannot carry is refused.
    pub fn encode(&self, kind: ColumnType, out: &mut BytesMut) -> Result<(), DecodeError> {
        let field = "value";
        let layout = kind.layout().ok_or(DecodeError::Invalid { field })?;
        let bits = match *self {
            Self::Int(number) => Some(number as u64),
            Self::UInt(number) => Some(number),
            _ => None,
        };
        match (layout, *self, bits) {
            (Layout::Int1, _, Some(bits)) => out.put_u8(bits as u8),
            (Layout::Int2, _, Some(bits)) => out.put_u16_le(bits as u16),
            (Layout::Int4, _, Some(bits)) => out.put_u32_le(bits as u32),
            (Layout::Int8, _, Some(bits)) => out.put_u64_le(bits),
            (Layout::Float, Self::Float(number), _) => out.put_f32_le(number),
            (Layout::Double, Self::Double(number), _) => out.put_f64_le(number),
            (Layout::Date | Layout::DateTime, Self::Date(date) | Self::DateTime(date), _) => {
                date.encode(out);
            }
            (Layout::Time, Self::Time(time), _) => time.encode(out),
            (Layout::Bytes, Self::Bytes(bytes), _) => lenenc::put_bytes(out, bytes),
            (Layout::Nothing, Self::Null, _) => {}
            _ => return Err(DecodeError::Invalid { field }),
        }
        Ok(())
    }
}
