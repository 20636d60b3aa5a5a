//! A column's value as a condition that only the very same value meets, and as what is written.

use bytes::Bytes;

use super::definition::ColumnDefinition;
use super::sql_type::SqlType;
use crate::json::Json;
use crate::literal;
use crate::value::Value;
use crate::value::padded;

/// Why a value has no expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The value's type is not the column's.
    Type,
    /// The value is JSON that cannot be read, or holds bytes of an SQL type that JSON functions
    /// cannot make.
    Json,
}

/// A value as the column's definition sees it: with its sign, and filled up to its length.
pub(super) fn normal(value: &Value, kind: &SqlType) -> Result<Value, Unfit> {
    Ok(match (value, kind) {
        (Value::Int(number), SqlType::Int { bytes, unsigned: true }) => {
            let shift = 64 - 8 * u32::from((*bytes).clamp(1, 8));
            Value::UInt((*number as u64) << shift >> shift)
        }
        (Value::UInt(_), SqlType::Int { unsigned: false, .. }) => return Err(Unfit::Type),
        (Value::Bytes(bytes), SqlType::Binary { length }) => Value::Bytes(padded(bytes, *length)),
        (Value::Bytes(bytes), SqlType::Uuid | SqlType::Inet6) => Value::Bytes(padded(bytes, 16)),
        (Value::Bytes(bytes), SqlType::Inet4) => Value::Bytes(padded(bytes, 4)),
        (value, _) => value.clone(),
    })
}

/// A condition that is true for this value only, bit by bit.
pub(super) fn is(column: &ColumnDefinition, value: &Value) -> Result<String, Unfit> {
    let name = literal::name(&column.name);
    let as_text = |text: &dyn std::fmt::Display| format!("CAST({name} AS CHAR) <=> '{text}'");
    let as_bytes = |bytes: &Bytes| format!("CAST({name} AS BINARY) <=> {}", literal::binary(bytes));
    Ok(match (&column.kind, value) {
        (_, Value::Null) => format!("{name} IS NULL"),
        (SqlType::Float, Value::Float(number)) => is_double(&name, f64::from(*number)),
        (SqlType::Double, Value::Double(number)) => is_double(&name, *number),
        (SqlType::Bit, Value::Bit(number)) => as_number(&name, *number),
        (SqlType::Enum, Value::Enum(number)) => as_number(&name, u64::from(*number)),
        (SqlType::Set, Value::Set(number)) => as_number(&name, *number),
        (SqlType::Year, Value::Year(year)) => as_text(&format_args!("{year:04}")),
        (SqlType::Date, Value::Date(date)) => as_text(date),
        (SqlType::Time { .. }, Value::Time(time)) => as_text(time),
        (SqlType::DateTime { .. }, Value::DateTime(moment)) => as_text(moment),
        (SqlType::Timestamp { .. }, Value::Timestamp(moment)) => as_text(moment),
        (SqlType::Text { .. } | SqlType::Binary { .. } | SqlType::Bytes, Value::Bytes(bytes)) => {
            as_bytes(bytes)
        }
        // No cast takes these everywhere.
        (SqlType::Geometry | SqlType::Vector, Value::Bytes(bytes)) => {
            format!("UNHEX(HEX({name})) <=> {}", literal::binary(bytes))
        }
        // The server prints both: it alone knows how it prints.
        (SqlType::Json, Value::Json(_)) => {
            format!("CAST({name} AS BINARY) <=> CAST({} AS BINARY)", written(column, value)?)
        }
        (
            SqlType::Int { .. }
            | SqlType::Decimal
            | SqlType::Uuid
            | SqlType::Inet4
            | SqlType::Inet6,
            value,
        ) => format!("{name} <=> {}", written(column, value)?),
        _ => return Err(Unfit::Type),
    })
}

/// For columns of a key: a condition that the key's index can be searched by, when the exact one
/// cannot. It is true for the value, and maybe for others.
pub(super) fn found_by(column: &ColumnDefinition, value: &Value) -> Option<String> {
    let name = literal::name(&column.name);
    let literal = match (&column.kind, value) {
        (SqlType::Text { charset }, Value::Bytes(bytes)) => {
            // A literal that is not well formed would be an error.
            let unicode = charset.starts_with("utf8");
            if unicode && std::str::from_utf8(bytes).is_err() {
                return None;
            }
            literal::text(charset, bytes)
        }
        (SqlType::Binary { .. } | SqlType::Bytes, Value::Bytes(bytes)) => literal::binary(bytes),
        (SqlType::Bit, Value::Bit(number)) => number.to_string(),
        // The number 0 and the text '0' mean other years.
        (SqlType::Year, Value::Year(year)) if *year != 0 => year.to_string(),
        (SqlType::Date, Value::Date(_))
        | (SqlType::Time { .. }, Value::Time(_))
        | (SqlType::DateTime { .. }, Value::DateTime(_))
        | (SqlType::Timestamp { .. }, Value::Timestamp(_)) => written(column, value).ok()?,
        _ => return None,
    };
    Some(format!("{name} = {literal}"))
}

/// The value as it is written to the column.
pub(super) fn written(column: &ColumnDefinition, value: &Value) -> Result<String, Unfit> {
    Ok(match (&column.kind, value) {
        (_, Value::Null) => "NULL".to_owned(),
        (SqlType::Int { .. }, Value::Int(number)) => number.to_string(),
        (SqlType::Int { .. }, Value::UInt(number)) => number.to_string(),
        // MariaDB takes the literal -0e0 for zero, and rounds this one to minus zero.
        (SqlType::Float, Value::Float(number)) if number.to_bits() == 1 << 31 => {
            "-1e-300".to_owned()
        }
        (SqlType::Float, Value::Float(number)) => literal::double(f64::from(*number)),
        (SqlType::Double, Value::Double(number)) => literal::double(*number),
        (SqlType::Decimal, Value::Decimal(number)) => number.to_string(),
        (SqlType::Bit, Value::Bit(number)) | (SqlType::Set, Value::Set(number)) => {
            number.to_string()
        }
        (SqlType::Enum, Value::Enum(number)) => number.to_string(),
        // Text of four digits: the number 0 is 0000 and the text '0' is 2000.
        (SqlType::Year, Value::Year(year)) => format!("'{year:04}'"),
        (SqlType::Date, Value::Date(date)) => format!("'{date}'"),
        (SqlType::Time { .. }, Value::Time(time)) => format!("'{time}'"),
        (SqlType::DateTime { .. }, Value::DateTime(moment)) => format!("'{moment}'"),
        (SqlType::Timestamp { .. }, Value::Timestamp(moment)) => format!("'{moment}'"),
        (SqlType::Text { charset }, Value::Bytes(bytes)) => literal::text(charset, bytes),
        (
            SqlType::Binary { .. } | SqlType::Bytes | SqlType::Geometry | SqlType::Vector,
            Value::Bytes(bytes),
        ) => literal::binary(bytes),
        (SqlType::Uuid, Value::Bytes(bytes)) => {
            let stored = <&[u8; 16]>::try_from(&bytes[..]).map_err(|_| Unfit::Type)?;
            format!("'{}'", literal::uuid(stored))
        }
        (SqlType::Inet6, Value::Bytes(bytes)) => {
            let stored = <&[u8; 16]>::try_from(&bytes[..]).map_err(|_| Unfit::Type)?;
            format!("'{}'", literal::inet6(stored))
        }
        (SqlType::Inet4, Value::Bytes(bytes)) => {
            let stored = <&[u8; 4]>::try_from(&bytes[..]).map_err(|_| Unfit::Type)?;
            format!("'{}'", literal::inet4(stored))
        }
        (SqlType::Json, Value::Json(bytes)) => {
            let json = Json::decode(bytes).map_err(|_| Unfit::Json)?;
            literal::json(&json).ok_or(Unfit::Json)?
        }
        _ => return Err(Unfit::Type),
    })
}

/// The value for people, as [`read`] has the server show it.
pub(super) fn readable(column: &ColumnDefinition, value: &Value) -> String {
    match (&column.kind, value) {
        (SqlType::Text { .. }, Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        (SqlType::Json, Value::Json(bytes)) => match Json::decode(bytes) {
            Ok(json) => json.to_string(),
            Err(error) => format!("({error})"),
        },
        (
            SqlType::Binary { .. } | SqlType::Bytes | SqlType::Geometry | SqlType::Vector,
            Value::Bytes(bytes),
        ) => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
        (_, Value::Float(number)) => f64::from(*number).to_string(),
        (_, Value::Double(number)) => number.to_string(),
        (_, value) => match written(column, value) {
            Ok(text) => text.trim_matches('\'').to_owned(),
            Err(Unfit::Type | Unfit::Json) => format!("{value:?}"),
        },
    }
}

/// An expression that reads the column in a form for people.
pub(super) fn read(column: &ColumnDefinition) -> String {
    let name = literal::name(&column.name);
    match column.kind {
        SqlType::Binary { .. } | SqlType::Bytes | SqlType::Geometry | SqlType::Vector => {
            format!("HEX({name})")
        }
        SqlType::Bit | SqlType::Enum | SqlType::Set | SqlType::Float => format!("{name} + 0"),
        SqlType::Int { .. }
        | SqlType::Double
        | SqlType::Decimal
        | SqlType::Year
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime { .. }
        | SqlType::Timestamp { .. }
        | SqlType::Text { .. }
        | SqlType::Json
        | SqlType::Uuid
        | SqlType::Inet4
        | SqlType::Inet6 => name,
    }
}

fn as_number(name: &str, number: u64) -> String {
    format!("CAST({name} AS UNSIGNED) <=> {number}")
}

/// Zero and minus zero are equal, but not the same, and print alike in columns with decimals. The angle
/// of a point just above or below the axis tells them apart.
fn is_double(name: &str, number: f64) -> String {
    let equal = format!("{name} <=> {}", literal::double(number));
    if number != 0.0 {
        return equal;
    }
    let side = if number.is_sign_negative() { '<' } else { '>' };
    format!("{equal} AND ATAN2({name}, -1) {side} 0")
}
