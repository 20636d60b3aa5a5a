//! Values as SQL, exact to the byte. Nothing here depends on the session's character set: strings are
//! hexadecimal, everything else is ASCII. The session must have what [`crate::undo::SESSION`] sets.

use std::fmt::Write;

use crate::json::Json;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A binary string.
pub fn binary(bytes: &[u8]) -> String {
    introduced("binary", bytes)
}

/// A text in a character set, of bytes in that set.
pub fn text(charset: &str, bytes: &[u8]) -> String {
    introduced(charset, bytes)
}

fn introduced(charset: &str, bytes: &[u8]) -> String {
    let mut out = String::with_capacity(charset.len() + 5 + 2 * bytes.len());
    out.push('_');
    out.push_str(charset);
    out.push_str(" x'");
    for byte in bytes {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
    out.push('\'');
    out
}

/// An identifier between backticks.
pub fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A floating-point number with an exponent and as many digits as give the same number again. Single
/// precision is widened first: the server compares such a column with a literal as doubles, and
/// only the widened number is equal to it (0.1 is not). The exponent matters too: for columns with a
/// fixed count of decimals the servers compare literals that have such a count only roughly.
pub fn double(number: f64) -> String {
    format!("{number:e}")
}

/// MySQL's binary JSON as an expression that gives the same types again; `None` if there is none. Text
/// would turn decimals to doubles, dates to strings and small unsigned integers to signed ones.
pub fn json(value: &Json) -> Option<String> {
    if value.is_plain() {
        let text = text("utf8mb4", value.to_string().as_bytes());
        return Some(format!("CAST({text} AS JSON)"));
    }
    match value {
        Json::Array(_) | Json::Object(_) => json_part(value),
        // A scalar by itself would be taken for a JSON text.
        scalar => Some(format!("JSON_EXTRACT(JSON_ARRAY({}), '$[0]')", json_part(scalar)?)),
    }
}

fn json_part(value: &Json) -> Option<String> {
    if value.is_plain() {
        return json(value);
    }
    Some(match value {
        Json::UInt(number) => format!("CAST({number} AS UNSIGNED)"),
        Json::Decimal(number) => number.to_string(),
        Json::Date(date) => format!("CAST('{date}' AS DATE)"),
        Json::Time(time) => format!("CAST('{time}' AS TIME(6))"),
        Json::DateTime(moment) => format!("CAST('{moment}' AS DATETIME(6))"),
        Json::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(json_part).collect();
            format!("JSON_ARRAY({})", items?.join(", "))
        }
        Json::Object(members) => {
            let mut out = String::from("JSON_OBJECT(");
            for (place, (key, value)) in members.iter().enumerate() {
                let key = text("utf8mb4", key.as_bytes());
                let comma = if place == 0 { "" } else { ", " };
                write!(out, "{comma}{key}, {}", json_part(value)?).ok()?;
            }
            out.push(')');
            out
        }
        _ => return None,
    })
}

/// MariaDB's UUID as text. Those of versions 1 to 5 are stored with their parts turned round, which a
/// set highest bit in byte 6 beside a clear one in byte 8 tells.
pub fn uuid(stored: &[u8; 16]) -> String {
    let turned = stored[6] & 0x80 != 0 && (1..=0x80).contains(&stored[8]);
    let mut bytes = *stored;
    if turned {
        bytes[..4].copy_from_slice(&stored[12..]);
        bytes[4..6].copy_from_slice(&stored[10..12]);
        bytes[6..8].copy_from_slice(&stored[8..10]);
        bytes[8..10].copy_from_slice(&stored[6..8]);
        bytes[10..].copy_from_slice(&stored[..6]);
    }
    let mut out = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
    out
}

/// MariaDB's INET6 as text.
pub fn inet6(stored: &[u8; 16]) -> String {
    let groups = stored.as_chunks::<2>().0.iter();
    groups.map(|[a, b]| format!("{a:02x}{b:02x}")).collect::<Vec<_>>().join(":")
}

/// MariaDB's INET4 as text.
pub fn inet4([a, b, c, d]: &[u8; 4]) -> String {
    format!("{a}.{b}.{c}.{d}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_names_and_numbers() {
        assert_eq!(binary(b"a\0'"), "_binary x'610027'");
        assert_eq!(text("latin1", &[0xe9]), "_latin1 x'e9'");
        assert_eq!(name("a`b"), "`a``b`");
        assert_eq!(double(f64::from(0.1f32)), "1.0000000149011612e-1");
        assert_eq!(double(-0.0), "-0e0");
    }

    #[test]
    fn json_keeps_its_types() {
        let plain = json(&Json::Array(vec![Json::Int(1)])).expect("plain");
        assert_eq!(plain, "CAST(_utf8mb4 x'5b315d' AS JSON)");
        let mixed = Json::Object(vec![("a".into(), Json::UInt(1))]);
        let mixed = json(&mixed).expect("an expression");
        assert_eq!(mixed, "JSON_OBJECT(_utf8mb4 x'61', CAST(1 AS UNSIGNED))");
        let scalar = json(&Json::UInt(7)).expect("an expression");
        assert_eq!(scalar, "JSON_EXTRACT(JSON_ARRAY(CAST(7 AS UNSIGNED)), '$[0]')");
        assert_eq!(json(&Json::Opaque { kind: 252, bytes: "x".into() }), None);
    }

    #[test]
    fn addresses_and_uuids() {
        assert_eq!(inet4(&[10, 0, 0, 255]), "10.0.0.255");
        assert!(inet6(&[0; 16]).starts_with("0000:0000:"));
        // 6ccd780c-baba-1026-9564-5b8c656024db as it is stored.
        let stored = [
            0x5b, 0x8c, 0x65, 0x60, 0x24, 0xdb, 0x95, 0x64, 0x10, 0x26, 0xba, 0xba, 0x6c, 0xcd,
            0x78, 0x0c,
        ];
        assert_eq!(uuid(&stored), "6ccd780c-baba-1026-9564-5b8c656024db");
        assert_eq!(uuid(&[0; 16]), "00000000-0000-0000-0000-000000000000");
    }
}
