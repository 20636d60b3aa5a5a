//! Parameters of prepared statements as the literals that routing and splicing take.

use shardline_model::key::Literal;
use shardline_wire::{
    statement::{Parameter, ParameterType},
    value::{ColumnType, Value},
};
use smallvec::SmallVec;
use std::borrow::Cow;

/// The literals of an execution's parameters. Text is taken as UTF-8 where it is; other
/// bytes stay bytes.
pub(crate) fn literals<'a>(
    types: &[ParameterType],
    values: &[Parameter<'a>],
) -> SmallVec<[Literal<'a>; 4]> {
    types.iter().zip(values).map(|(kind, value)| literal(kind.kind, *value)).collect()
}

fn literal(kind: ColumnType, value: Parameter<'_>) -> Literal<'_> {
    let value = match value {
        Parameter::Value(value) => value,
        Parameter::Long(bytes) => Value::Bytes(bytes),
    };
    match value {
        Value::Null => Literal::Null,
        Value::Int(number) => Literal::Integer(number.into()),
        Value::UInt(number) => Literal::Integer(number.into()),
        Value::Float(number) => Literal::Float(number.into()),
        Value::Double(number) => Literal::Float(number),
        Value::Date(date) => Literal::Temporal(Cow::Owned(date.date_text())),
        Value::DateTime(moment) => Literal::Temporal(Cow::Owned(moment.to_string())),
        Value::Time(time) => Literal::Temporal(Cow::Owned(time.to_string())),
        Value::Bytes(bytes) => bytes_literal(kind, bytes),
    }
}

fn bytes_literal(kind: ColumnType, bytes: &[u8]) -> Literal<'_> {
    let binary = matches!(
        kind,
        ColumnType::TinyBlob
            | ColumnType::MediumBlob
            | ColumnType::LongBlob
            | ColumnType::Blob
            | ColumnType::Bit
            | ColumnType::Geometry
    );
    let Ok(text) = std::str::from_utf8(bytes) else { return Literal::Bytes(bytes.into()) };
    match kind {
        _ if binary => Literal::Bytes(bytes.into()),
        ColumnType::Decimal | ColumnType::NewDecimal => decimal(text),
        _ => Literal::Text(text.into()),
    }
}

fn decimal(text: &str) -> Literal<'_> {
    let plain = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = !plain.is_empty()
        && plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && plain.bytes().filter(|byte| *byte == b'.').count() <= 1;
    if digits { Literal::Decimal(text.into()) } else { Literal::Text(text.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_kind() {
        let text = |kind, bytes| literal(kind, Parameter::Value(Value::Bytes(bytes)));
        assert_eq!(text(ColumnType::VarString, b"a"), Literal::Text("a".into()));
        assert_eq!(text(ColumnType::Blob, b"a"), Literal::Bytes(b"a"[..].into()));
        assert_eq!(text(ColumnType::VarString, b"\xff"), Literal::Bytes(b"\xff"[..].into()));
        assert_eq!(text(ColumnType::NewDecimal, b"-1.5"), Literal::Decimal("-1.5".into()));
        assert_eq!(text(ColumnType::NewDecimal, b"1e5"), Literal::Text("1e5".into()));
        assert_eq!(
            literal(ColumnType::LongLong, Parameter::Value(Value::UInt(u64::MAX))),
            Literal::Integer(u64::MAX.into())
        );
        assert_eq!(literal(ColumnType::Long, Parameter::Value(Value::Null)), Literal::Null);
    }
}
