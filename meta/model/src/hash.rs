//! The hash function of shard keys: `slot = CRC32(canonical text) MOD 16384`.
//!
//! CRC-32 is the one of IEEE 802.3 (zlib, and SQL's `CRC32()`). **Frozen**: data lies where
//! this function says, so it never changes. The canonical text of a value is
//!
//! | column | canonical text |
//! |---|---|
//! | integer, YEAR | decimal digits, `-` before a negative one: `0`, `-17` |
//! | DECIMAL(p,s) | digits with all `s` of the fraction: `-0.50` |
//! | text `_bin` | the bytes: UTF-8, or latin1 for latin1; no trailing spaces under PAD SPACE |
//! | text `general_ci` | two big-endian bytes for each character's weight |
//! | text `ascii_general_ci` | upper case |
//! | VARBINARY, BINARY | the bytes, BINARY at full length |
//! | DATE, DATETIME, TIME | `2026-01-31`, `2026-01-31 23:59:59.000`, `-01:02:03` with all digits of the fraction |
//!
//! A key of several columns is each part as `<byte length>:<text>`, concatenated. Test
//! vectors are in this file's tests; [`crate::predicate`] has the same in SQL.

use crate::{
    key::{KeyCollation, KeyPart, KeyType},
    placement::{SLOTS, Slot},
    temporal,
};
use std::fmt::Write as _;

/// The canonical text of a key: what is hashed. `types` are the key columns' types, as
/// many as there are parts.
pub fn canonical_text(key: &[KeyPart], types: &[KeyType]) -> Vec<u8> {
    let mut text = Vec::new();
    match (key, types) {
        ([part], [key_type]) => part_text(part, key_type, &mut text),
        _ => {
            let mut part_bytes = Vec::new();
            for (part, key_type) in key.iter().zip(types) {
                part_bytes.clear();
                part_text(part, key_type, &mut part_bytes);
                text.extend_from_slice(part_bytes.len().to_string().as_bytes());
                text.push(b':');
                text.extend_from_slice(&part_bytes);
            }
        }
    }
    text
}

/// The slot of a key. One integer, and one binary or `_bin` text, cost no allocation.
pub fn slot_of(key: &[KeyPart], types: &[KeyType]) -> Slot {
    match (key, types) {
        ([KeyPart::Integer(value)], [_]) => {
            let mut digits = [0_u8; INTEGER_DIGITS];
            slot_of_text(integer_text(*value, &mut digits))
        }
        ([KeyPart::Bytes(bytes)], [_]) => slot_of_text(bytes),
        ([KeyPart::Text(bytes)], [KeyType::Text { collation, .. }])
            if *collation != KeyCollation::GeneralCi =>
        {
            slot_of_text(bytes)
        }
        _ => slot_of_text(&canonical_text(key, types)),
    }
}

/// The slot of a canonical text.
pub fn slot_of_text(text: &[u8]) -> Slot {
    let slot = crc32fast::hash(text) % u32::from(SLOTS);
    Slot(u16::try_from(slot).unwrap_or_default())
}

/// Digits and sign of the longest `i128`.
const INTEGER_DIGITS: usize = 40;

/// Decimal digits without allocation.
fn integer_text(value: i128, digits: &mut [u8; INTEGER_DIGITS]) -> &[u8] {
    let mut start = INTEGER_DIGITS;
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        start -= 1;
        digits[start] = b'-';
    }
    &digits[start..]
}

fn part_text(part: &KeyPart, key_type: &KeyType, text: &mut Vec<u8>) {
    match part {
        KeyPart::Integer(value) => {
            text.extend_from_slice(integer_text(*value, &mut [0; INTEGER_DIGITS]));
        }
        KeyPart::Decimal(value) => {
            text.extend_from_slice(decimal_text(*value, key_type).as_bytes())
        }
        KeyPart::Text(bytes) => match key_type {
            KeyType::Text { collation: KeyCollation::GeneralCi, .. } => weight_text(bytes, text),
            _ => text.extend_from_slice(bytes),
        },
        KeyPart::Bytes(bytes) => text.extend_from_slice(bytes),
        KeyPart::Temporal(value) => {
            let mut printed = String::new();
            temporal::print(key_type, *value, &mut printed);
            text.extend_from_slice(printed.as_bytes());
        }
    }
}

/// `general_ci`: the canonical bytes are UTF-8 of characters whose code point is the
/// weight; the server's `WEIGHT_STRING` has each as two bytes.
fn weight_text(bytes: &[u8], text: &mut Vec<u8>) {
    for character in String::from_utf8_lossy(bytes).chars() {
        let weight = u16::try_from(u32::from(character)).unwrap_or(0xFFFD);
        text.extend_from_slice(&weight.to_be_bytes());
    }
}

/// A decimal with all digits of its scale.
pub(crate) fn decimal_text(unscaled: i128, key_type: &KeyType) -> String {
    let scale = match key_type {
        KeyType::Decimal { scale, .. } => *scale,
        _ => 0,
    };
    let unit = 10_u128.pow(u32::from(scale));
    let (whole, fraction) = (unscaled.unsigned_abs() / unit, unscaled.unsigned_abs() % unit);
    let mut text = String::new();
    if unscaled < 0 {
        text.push('-');
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "{whole}");
    if scale > 0 {
        let _ = write!(text, ".{fraction:0width$}", width = usize::from(scale));
    }
    text
}

#[cfg(test)]
mod tests;
