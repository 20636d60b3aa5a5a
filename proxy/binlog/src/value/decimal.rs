//! Packed decimals: groups of nine digits in four bytes each, big endian, with shorter groups at both
//! ends. The highest bit is the sign, inverted; negative numbers have all bits inverted.

use std::fmt;

use crate::error::DecodeError;
use crate::reader::Reader;

/// Bytes of a group by its digits.
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// Digits of a whole group.
const GROUP_DIGITS: usize = 9;
const FIELD: &str = "decimal";

/// A decimal as the server prints it: a sign if negative, no leading zeros but one before the point,
/// and all digits of its scale.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal(Box<str>);

impl Decimal {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn decode(
        reader: &mut Reader,
        precision: u8,
        scale: u8,
    ) -> Result<Self, DecodeError> {
        let (whole, scale) = (usize::from(precision.saturating_sub(scale)), usize::from(scale));
        let groups = groups(whole, scale);
        let length: usize = groups.iter().map(|digits| GROUP_BYTES[*digits]).sum();
        let packed = reader.bytes(length, FIELD)?;
        let negative = packed.first().is_none_or(|byte| byte & 0x80 == 0);
        let mask = if negative { 0xff } else { 0 };
        let mut bytes = packed.iter().map(|byte| byte ^ mask);
        let mut digits = String::with_capacity(whole + scale + 2);
        for (index, count) in groups.iter().enumerate() {
            let mut number = 0u32;
            for place in 0..GROUP_BYTES[*count] {
                let byte = bytes.next().unwrap_or_default();
                let byte = if index == 0 && place == 0 { byte ^ 0x80 } else { byte };
                number = number << 8 | u32::from(byte);
            }
            if number >= 10u32.pow(*count as u32) {
                return Err(DecodeError::Invalid { field: FIELD });
            }
            digits.push_str(&format!("{number:0count$}"));
        }
        Ok(Self(text(negative, &digits, whole)))
    }
}

/// The digits of each group, whole part first. Never empty groups, and at least one.
fn groups(whole: usize, scale: usize) -> Vec<usize> {
    let mut groups = Vec::with_capacity(10);
    groups.push(whole % GROUP_DIGITS);
    groups.extend(std::iter::repeat_n(GROUP_DIGITS, whole / GROUP_DIGITS));
    groups.extend(std::iter::repeat_n(GROUP_DIGITS, scale / GROUP_DIGITS));
    groups.push(scale % GROUP_DIGITS);
    groups.retain(|digits| *digits > 0);
    groups
}

fn text(negative: bool, digits: &str, whole: usize) -> Box<str> {
    let (whole, fraction) = digits.split_at_checked(whole).unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let mut text = String::with_capacity(digits.len() + 3);
    if negative {
        text.push('-');
    }
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text.into()
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn decoded(bytes: &[u8], precision: u8, scale: u8) -> Result<String, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
        let value = Decimal::decode(&mut reader, precision, scale)?;
        assert!(reader.is_empty());
        Ok(value.to_string())
    }

    #[test]
    fn the_manuals_example() {
        // 1234567890.1234 as DECIMAL(14,4), from the servers' own comments on the format.
        let bytes = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(decoded(&bytes, 14, 4).as_deref(), Ok("1234567890.1234"));
        let inverted = bytes.map(|byte| !byte);
        assert_eq!(decoded(&inverted, 14, 4).as_deref(), Ok("-1234567890.1234"));
    }

    #[test]
    fn zeros_and_pure_fractions() {
        assert_eq!(decoded(&[0x80, 0, 0], 5, 2).as_deref(), Ok("0.00"));
        assert_eq!(decoded(&[0x80], 1, 0).as_deref(), Ok("0"));
        assert_eq!(decoded(&[0x85], 2, 2).as_deref(), Ok("0.05"));
        assert_eq!(decoded(&[0x7a], 2, 2).as_deref(), Ok("-0.05"));
    }

    #[test]
    fn groups_beyond_their_digits_are_refused() {
        assert!(decoded(&[0xff, 0xff], 4, 0).is_err());
        assert!(decoded(&[0x80], 4, 0).is_err());
    }
}
