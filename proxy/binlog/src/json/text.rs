//! JSON's text as MySQL prints it.

use std::fmt::{self, Write};

use super::Json;

/// Digits before the point, or zeros after it, from which on MySQL prints an exponent.
const PLACES_MAX: i32 = 15;

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::UInt(number) => write!(f, "{number}"),
            Self::Double(number) => write_double(f, *number),
            Self::String(text) => write_string(f, text),
            Self::Decimal(number) => write!(f, "{number}"),
            Self::Date(date) => write!(f, "\"{date}\""),
            Self::Time(time) => write!(f, "\"{time}\""),
            Self::DateTime(moment) => write!(f, "\"{moment}\""),
            Self::Opaque { kind, bytes } => {
                write!(f, "\"base64:type{kind}:")?;
                write_base64(f, bytes)?;
                f.write_char('"')
            }
            Self::Array(items) => {
                f.write_char('[')?;
                for (place, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if place == 0 { "" } else { ", " })?;
                }
                f.write_char(']')
            }
            Self::Object(members) => {
                f.write_char('{')?;
                for (place, (key, value)) in members.iter().enumerate() {
                    f.write_str(if place == 0 { "" } else { ", " })?;
                    write_string(f, key)?;
                    write!(f, ": {value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\u{8}' => f.write_str("\\b")?,
            '\u{c}' => f.write_str("\\f")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// The fewest digits that give the same number again, with a point or an exponent.
fn write_double(f: &mut fmt::Formatter<'_>, number: f64) -> fmt::Result {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let places = exponent.parse::<i32>().unwrap_or(0) + 1;
    if number != 0.0 && !(1 - PLACES_MAX..=PLACES_MAX).contains(&places) {
        return write!(f, "{digits}e{exponent}");
    }
    let plain = format!("{number}");
    write!(f, "{plain}{}", if plain.contains('.') { "" } else { ".0" })
}

fn write_base64(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize];
            f.write_char(if place > group.len() { '=' } else { char::from(digit) })?;
        }
    }
    Ok(())
}
