//! One value from a row image.

use bytes::{Bytes, BytesMut};

use super::{Date, DateTime, Decimal, Time, Timestamp, Value, compressed};
use crate::column::ColumnType;
use crate::error::DecodeError;
use crate::reader::Reader;
use crate::table_map::{BINARY, Column};

/// Reads a value that is not NULL.
pub(crate) fn decode(reader: &mut Reader, column: &Column) -> Result<Value, DecodeError> {
    Ok(match column.kind {
        ColumnType::Int { bytes } => integer(reader, bytes, column.unsigned)?,
        ColumnType::Float => Value::Float(f32::from_bits(reader.u32("float")?)),
        ColumnType::Double => Value::Double(f64::from_bits(reader.u64("double")?)),
        ColumnType::Decimal { precision, scale } => {
            Value::Decimal(Decimal::decode(reader, precision, scale)?)
        }
        ColumnType::Bit { bits } => bit(reader, bits)?,
        ColumnType::Year => Value::Year(match reader.u8("year")? {
            0 => 0,
            year => 1900 + u16::from(year),
        }),
        ColumnType::Date => Value::Date(Date::decode(reader)?),
        ColumnType::OldTime => Value::Time(Time::decode_old(reader)?),
        ColumnType::OldDateTime => Value::DateTime(DateTime::decode_old(reader)?),
        ColumnType::OldTimestamp => Value::Timestamp(Timestamp::decode_old(reader)?),
        ColumnType::Time { digits } => Value::Time(Time::decode(reader, digits)?),
        ColumnType::DateTime { digits } => Value::DateTime(DateTime::decode(reader, digits)?),
        ColumnType::Timestamp { digits } => Value::Timestamp(Timestamp::decode(reader, digits)?),
        ColumnType::Char { bytes } => Value::Bytes(character(reader, bytes, column.charset)?),
        ColumnType::VarChar { bytes, compressed } => {
            let length = reader.uint(if bytes < 256 { 1 } else { 2 }, "string's length")?;
            text(reader, length, compressed, usize::from(bytes))?
        }
        ColumnType::Blob { length_bytes, compressed } => {
            let length = reader.uint(usize::from(length_bytes), "string's length")?;
            let length_max = (1usize << (8 * u32::from(length_bytes))) - 1;
            text(reader, length, compressed, length_max)?
        }
        ColumnType::Enum { bytes } => Value::Enum(reader.uint(usize::from(bytes), "enum")? as u16),
        ColumnType::Set { bytes } => Value::Set(reader.uint(usize::from(bytes), "set")?),
        ColumnType::Json { length_bytes } => Value::Json(blob(reader, length_bytes)?),
        ColumnType::Geometry { length_bytes } | ColumnType::Vector { length_bytes } => {
            Value::Bytes(blob(reader, length_bytes)?)
        }
    })
}

fn integer(reader: &mut Reader, bytes: u8, unsigned: Option<bool>) -> Result<Value, DecodeError> {
    let bits = reader.uint(usize::from(bytes), "integer")?;
    if unsigned == Some(true) {
        return Ok(Value::UInt(bits));
    }
    let shift = 64 - 8 * u32::from(bytes.clamp(1, 8));
    Ok(Value::Int((bits << shift) as i64 >> shift))
}

fn bit(reader: &mut Reader, bits: u8) -> Result<Value, DecodeError> {
    let value = reader.uint_be(usize::from(bits.div_ceil(8)), "bits")?;
    if bits < 64 && value >> bits != 0 {
        return Err(DecodeError::Invalid { field: "bits" });
    }
    Ok(Value::Bit(value))
}

/// CHAR without the spaces, or BINARY without the zeros, that fill it up; the latter are put back
/// when the column is known to be binary.
fn character(reader: &mut Reader, bytes: u16, charset: Option<u32>) -> Result<Bytes, DecodeError> {
    let length = reader.uint(if bytes < 256 { 1 } else { 2 }, "string's length")?;
    let stored = reader.bytes_of(length, "string")?;
    if stored.len() > usize::from(bytes) {
        return Err(DecodeError::Invalid { field: "string's length" });
    }
    Ok(if charset == Some(BINARY) { padded(&stored, usize::from(bytes)) } else { stored })
}

/// A BINARY(n) with the zeros at its end that the servers do not log.
pub(crate) fn padded(stored: &Bytes, length: usize) -> Bytes {
    if stored.len() >= length {
        return stored.clone();
    }
    let mut whole = BytesMut::with_capacity(length);
    whole.extend_from_slice(stored);
    whole.resize(length, 0);
    whole.freeze()
}

fn text(
    reader: &mut Reader,
    length: u64,
    compressed: bool,
    length_max: usize,
) -> Result<Value, DecodeError> {
    let stored = reader.bytes_of(length, "string")?;
    Ok(Value::Bytes(if compressed { compressed::original(stored, length_max)? } else { stored }))
}

fn blob(reader: &mut Reader, length_bytes: u8) -> Result<Bytes, DecodeError> {
    let length = reader.uint(usize::from(length_bytes), "value's length")?;
    reader.bytes_of(length, "value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: ColumnType) -> Column {
        Column::new(kind, true)
    }

    fn decoded(kind: ColumnType, bytes: &'static [u8]) -> Result<Value, DecodeError> {
        decode(&mut Reader::new(Bytes::from_static(bytes)), &column(kind))
    }

    #[test]
    fn integers_by_width_and_sign() {
        let int = |bytes| ColumnType::Int { bytes };
        assert_eq!(decoded(int(1), &[0xff]), Ok(Value::Int(-1)));
        assert_eq!(decoded(int(3), &[0, 0, 0x80]), Ok(Value::Int(-8_388_608)));
        assert_eq!(decoded(int(8), &[0xff; 8]), Ok(Value::Int(-1)));
        let unsigned = Column { unsigned: Some(true), ..column(int(3)) };
        let bytes = Bytes::from_static(&[0xff; 3]);
        let value = decode(&mut Reader::new(bytes), &unsigned);
        assert_eq!(value, Ok(Value::UInt(16_777_215)));
    }

    #[test]
    fn bits_and_years() {
        assert_eq!(decoded(ColumnType::Bit { bits: 11 }, &[4, 1]), Ok(Value::Bit(0x401)));
        assert!(decoded(ColumnType::Bit { bits: 11 }, &[8, 1]).is_err());
        assert_eq!(decoded(ColumnType::Bit { bits: 64 }, &[255; 8]), Ok(Value::Bit(u64::MAX)));
        assert_eq!(decoded(ColumnType::Year, &[0]), Ok(Value::Year(0)));
        assert_eq!(decoded(ColumnType::Year, &[255]), Ok(Value::Year(2155)));
    }

    #[test]
    fn binary_is_filled_up_again() {
        let mut binary = column(ColumnType::Char { bytes: 4 });
        let stored = Bytes::from_static(&[2, b'a', 0]);
        let value = decode(&mut Reader::new(stored.clone()), &binary);
        assert_eq!(value, Ok(Value::Bytes(Bytes::from_static(b"a\0"))));
        binary.charset = Some(BINARY);
        let value = decode(&mut Reader::new(stored), &binary);
        assert_eq!(value, Ok(Value::Bytes(Bytes::from_static(b"a\0\0\0"))));
        let long = Bytes::from_static(b"\x05abcde");
        assert!(decode(&mut Reader::new(long), &binary).is_err());
    }

    #[test]
    fn strings_by_the_size_of_their_length() {
        let varchar = |bytes| ColumnType::VarChar { bytes, compressed: false };
        let ab = Ok(Value::Bytes(Bytes::from_static(b"ab")));
        assert_eq!(decoded(varchar(255), b"\x02ab"), ab);
        assert_eq!(decoded(varchar(256), b"\x02\0ab"), ab);
        let blob = ColumnType::Blob { length_bytes: 3, compressed: false };
        assert_eq!(decoded(blob, b"\x02\0\0ab"), ab);
        assert!(decoded(blob, b"\x03\0\0ab").is_err());
    }
}
