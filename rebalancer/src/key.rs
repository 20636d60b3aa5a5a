//! The shard key of a row that comes as a server's text or out of a binlog, as the proxies make it of a
//! statement's literals: then both agree on the row's place.

use crate::error::MoveError;
use shardline_binlog::{Value, undo::SqlType};
use shardline_model::key::{KeyCharset, KeyCollation, KeyPart, KeyType, KeyUse, Literal};
use std::borrow::Cow;

/// The canonical value of a key column from what the server selects for it, or what a value of a row
/// image prints as: the same bytes.
pub(crate) fn part(key_type: &KeyType, stored: &[u8]) -> Option<KeyPart> {
    if let KeyType::Text { charset: KeyCharset::Latin1, collation, .. } = key_type {
        // The canonical form is the column's own bytes.
        let mut bytes = stored;
        while let [rest @ .., b' '] = bytes
            && *collation != KeyCollation::NopadBin
        {
            bytes = rest;
        }
        return Some(KeyPart::Text(bytes.to_vec())).filter(|part| key_type.holds(part));
    }
    if let KeyType::Binary { .. } = key_type {
        return key_type.canonical(&Literal::Bytes(Cow::Borrowed(stored)), KeyUse::Store).ok();
    }
    let text = std::str::from_utf8(stored).ok()?;
    let literal = match key_type {
        KeyType::Integer { .. } => Literal::Integer(text.parse().ok()?),
        KeyType::Decimal { .. } => Literal::Decimal(Cow::Borrowed(text)),
        KeyType::Text { .. } => Literal::Text(Cow::Borrowed(text)),
        KeyType::Binary { .. } => return None,
        KeyType::Date | KeyType::DateTime { .. } | KeyType::Time { .. } => {
            Literal::Temporal(Cow::Borrowed(text))
        }
    };
    key_type.canonical(&literal, KeyUse::Store).ok()
}

/// What the server would select for a value of a row image.
pub(crate) fn stored(value: &Value) -> Option<Cow<'_, [u8]>> {
    let text = |text: String| Some(Cow::Owned(text.into_bytes()));
    match value {
        Value::Int(number) => text(number.to_string()),
        Value::UInt(number) | Value::Bit(number) | Value::Set(number) => text(number.to_string()),
        Value::Enum(number) => text(number.to_string()),
        Value::Decimal(number) => Some(Cow::Borrowed(number.as_str().as_bytes())),
        Value::Year(year) => text(format!("{year:04}")),
        Value::Date(date) => text(date.to_string()),
        Value::Time(time) => text(time.to_string()),
        Value::DateTime(moment) => text(moment.to_string()),
        Value::Timestamp(moment) => text(moment.to_string()),
        Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        Value::Null | Value::Float(_) | Value::Double(_) | Value::Json(_) => None,
    }
}

/// Whether equal values of the type have one text only, so that rows can be told apart by it.
pub(crate) fn is_plain(kind: &SqlType) -> bool {
    matches!(kind, SqlType::Int { .. } | SqlType::Binary { .. } | SqlType::Bytes)
}

/// The number that a plain value is told apart by: digits without the zeros of ZEROFILL, or the bytes.
pub(crate) fn plain<'a>(kind: &SqlType, stored: &'a [u8]) -> &'a [u8] {
    match kind {
        SqlType::Int { .. } => {
            let zeros = stored.iter().take_while(|byte| **byte == b'0').count();
            &stored[zeros.min(stored.len().saturating_sub(1))..]
        }
        _ => stored,
    }
}

/// The error for a key that has no canonical form: no proxy has written it.
pub(crate) fn unplaceable(table: &str, column: &str, stored: &[u8]) -> MoveError {
    let shown = String::from_utf8_lossy(stored.get(..64).unwrap_or(stored)).into_owned();
    MoveError::Row {
        table: table.to_owned(),
        reason: format!(
            "its shard key {column} has the value '{shown}', whose place cannot be told"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_model::catalog::Column;

    fn key_type(column_type: &str, collation: Option<&str>) -> KeyType {
        let column = Column {
            name: "k".into(),
            column_type: column_type.into(),
            collation: collation.map(str::to_owned),
            nullable: false,
            default: None,
            generated: false,
            invisible: false,
        };
        KeyType::of_column(&column).expect("a key type")
    }

    #[test]
    fn keys_as_the_proxies_make_them() {
        for (column_type, collation, stored, literal) in [
            ("int(8) unsigned zerofill", None, "00000017", Literal::Integer(17)),
            ("decimal(8,3)", None, "-0.500", Literal::Decimal("-.5".into())),
            ("varchar(9)", Some("utf8mb4_general_ci"), "aé ", Literal::Text("AE".into())),
            ("char(9)", Some("ascii_general_ci"), "aB", Literal::Text("Ab ".into())),
            ("date", None, "2026-01-31", Literal::Text("2026-01-31".into())),
            (
                "datetime(3)",
                None,
                "2026-01-31 01:02:03.500",
                Literal::Text("2026-01-31 01:02:03.5".into()),
            ),
            ("time(1)", None, "-01:02:03.5", Literal::Text("-01:02:03.5".into())),
            ("year", None, "2026", Literal::Integer(2026)),
        ] {
            let key_type = key_type(column_type, collation);
            let expected = key_type.canonical(&literal, KeyUse::Store).expect("a key");
            assert_eq!(part(&key_type, stored.as_bytes()), Some(expected), "{column_type}");
        }
    }

    #[test]
    fn bytes_of_latin1_and_of_binary() {
        let latin1 = key_type("varchar(9)", Some("latin1_bin"));
        let euro = latin1.canonical(&Literal::Text("€".into()), KeyUse::Store).expect("a key");
        assert_eq!(part(&latin1, b"\x80 "), Some(euro));
        let binary = key_type("binary(3)", None);
        assert_eq!(part(&binary, b"a\0\0"), Some(KeyPart::Bytes(b"a\0\0".to_vec())));
        assert_eq!(part(&key_type("date", None), b"0000-00-00"), None);
    }

    #[test]
    fn plain_values_lose_their_zeros() {
        let int = SqlType::Int { bytes: 4, unsigned: true };
        assert_eq!(plain(&int, b"00017"), b"17");
        assert_eq!(plain(&int, b"000"), b"0");
        assert_eq!(plain(&SqlType::Bytes, b"000"), b"000");
    }
}
