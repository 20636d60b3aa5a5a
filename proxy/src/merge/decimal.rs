//! Exact decimals in the server's text form: comparison without any limit of digits,
//! sums and averages as DECIMAL(65) computes them.

use super::MergeError;
use bigdecimal::{BigDecimal, RoundingMode, num_bigint::BigInt, num_traits::Zero};
use std::{cmp::Ordering, str::FromStr};

/// The server computes in words of nine digits: a quotient loses what is right of its last
/// word.
const DIGITS_PER_WORD: u32 = 9;
/// Words of a computed decimal at most. Sums and averages may have more digits than the 65
/// of a column.
const WORDS_MAX: u64 = 9;

/// A decimal's text in parts, without digits that do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// Below zero; false for zero.
    pub(crate) negative: bool,
    /// Digits left of the point without leading zeros.
    pub(crate) whole: &'a [u8],
    /// Digits right of the point without trailing zeros.
    pub(crate) fraction: &'a [u8],
}

impl<'a> Parts<'a> {
    /// None when `text` is no decimal.
    pub(crate) fn of(text: &'a [u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
        let whole = &digits[..point];
        let fraction = digits.get(point + 1..).unwrap_or_default();
        let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
        if !all_digits || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let zeros = whole.iter().take_while(|digit| **digit == b'0').count();
        let trailing = fraction.iter().rev().take_while(|digit| **digit == b'0').count();
        let whole = &whole[zeros..];
        let fraction = &fraction[..fraction.len() - trailing];
        let negative = negative && !(whole.is_empty() && fraction.is_empty());
        Some(Parts { negative, whole, fraction })
    }
}

impl Ord for Parts<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = |one: &Self, other: &Self| {
            one.whole
                .len()
                .cmp(&other.whole.len())
                .then_with(|| one.whole.cmp(other.whole))
                .then_with(|| one.fraction.cmp(other.fraction))
        };
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => magnitude(self, other),
            (true, true) => magnitude(other, self),
        }
    }
}

impl PartialOrd for Parts<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Read a decimal in the server's text form.
pub(crate) fn parse(text: &[u8], column: usize) -> Result<BigDecimal, MergeError> {
    // Parts refuses exponents, which could make a short text a huge number.
    Parts::of(text)
        .and_then(|_| std::str::from_utf8(text).ok())
        .and_then(|text| BigDecimal::from_str(text).ok())
        .ok_or(MergeError::Value { column })
}

/// Digits of a number that is added up as a machine number.
const SMALL_DIGITS_MAX: usize = 36;

/// A sum of exact numbers: a machine number while it fits, which is nearly always.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExactSum {
    /// Times ten to the power of minus `scale`.
    small: i128,
    scale: u32,
    /// What did not fit.
    large: Option<BigDecimal>,
}

impl ExactSum {
    /// Adds a decimal in the server's text form.
    pub(crate) fn add_text(&mut self, text: &[u8], column: usize) -> Result<(), MergeError> {
        match small(text) {
            Some((value, scale)) => self.add(value, scale),
            None => self.add_large(parse(text, column)?),
        }
        Ok(())
    }

    /// Adds `value` times ten to the power of minus `scale`.
    pub(crate) fn add(&mut self, value: i128, scale: u32) {
        if scale != self.scale {
            self.set_scale(scale);
        }
        match self.small.checked_add(value) {
            Some(sum) => self.small = sum,
            None => self.add_large(BigDecimal::new(value.into(), i64::from(scale))),
        }
    }

    fn set_scale(&mut self, scale: u32) {
        let small = std::mem::take(&mut self.small);
        if small != 0 {
            self.add_large(BigDecimal::new(small.into(), i64::from(self.scale)));
        }
        self.scale = scale;
    }

    fn add_large(&mut self, value: BigDecimal) {
        *self.large.get_or_insert_with(BigDecimal::zero) += value;
    }

    /// The sum.
    pub(crate) fn total(mut self) -> BigDecimal {
        self.set_scale(0);
        self.large.unwrap_or_else(BigDecimal::zero)
    }
}

/// A decimal's digits as a number, and how many of them are right of the point; None for
/// one of many digits, and for what is none.
fn small(text: &[u8]) -> Option<(i128, u32)> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > SMALL_DIGITS_MAX || digits == b"." {
        return None;
    }
    let (mut value, mut point) = (0_i128, None);
    for (place, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + i128::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(place),
            _ => return None,
        }
    }
    let scale = point.map_or(0, |point| digits.len() - point - 1);
    Some((if negative { -value } else { value }, u32::try_from(scale).ok()?))
}

/// The text of a sum with `scale` digits right of the point.
pub(crate) fn print_sum(sum: &BigDecimal, scale: u8, column: usize) -> Result<String, MergeError> {
    let rounded = sum.with_scale_round(i64::from(scale), RoundingMode::HalfUp);
    let word = u64::from(DIGITS_PER_WORD);
    let whole = rounded.digits().saturating_sub(u64::from(scale));
    if whole.div_ceil(word) + u64::from(scale).div_ceil(word) > WORDS_MAX {
        return Err(MergeError::OutOfRange { column });
    }
    Ok(rounded.to_plain_string())
}

/// The text of `sum / count` with `scale` digits right of the point. As the server does:
/// the quotient is cut after the word of nine digits that holds the last wanted one, and
/// then rounded half away from zero. (So AVG of 0.00001, 0.00001 and 0 with scale 9 is
/// 0.000006666.)
pub(crate) fn print_average(
    sum: &BigDecimal,
    count: u64,
    scale: u8,
    column: usize,
) -> Result<Option<String>, MergeError> {
    if count == 0 {
        return Ok(None);
    }
    let computed = i64::from(u32::from(scale).div_ceil(DIGITS_PER_WORD) * DIGITS_PER_WORD);
    let (mantissa, _) =
        sum.with_scale(computed.max(sum.fractional_digit_count())).into_bigint_and_exponent();
    let shift = computed.max(sum.fractional_digit_count()) - computed;
    let divisor =
        BigInt::from(count) * BigInt::from(10).pow(u32::try_from(shift).unwrap_or(u32::MAX));
    let quotient = if mantissa.is_zero() { BigInt::zero() } else { mantissa / divisor };
    print_sum(&BigDecimal::new(quotient, computed), scale, column).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_by_value() {
        let ascending = [
            "-100.5",
            "-9.99",
            "-0.1",
            "0",
            "0.000001",
            "0.1",
            "9",
            "10",
            "99999999999999999999.5",
        ];
        for (left, one) in ascending.iter().enumerate() {
            for (right, other) in ascending.iter().enumerate() {
                let (one, other) = (Parts::of(one.as_bytes()), Parts::of(other.as_bytes()));
                assert_eq!(one.cmp(&other), left.cmp(&right), "{one:?} {other:?}");
            }
        }
        assert_eq!(Parts::of(b"-0.00"), Parts::of(b"0"));
        assert_eq!(Parts::of(b"007.50"), Parts::of(b"7.5"));
        for wrong in ["", "-", ".", "1e5", "1.2.3", "abc"] {
            assert_eq!(Parts::of(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn averages_as_mariadb_10_11_does() {
        for (sum, count, scale, expected) in [
            ("0.00002", 3, 9, "0.000006666"),
            ("10", 4, 4, "2.5000"),
            ("2", 3, 4, "0.6667"),
            ("-2", 3, 4, "-0.6667"),
            ("1.25", 2, 6, "0.625000"),
            ("0", 7, 4, "0.0000"),
            ("100.00000001", 3, 12, "33.333333336667"),
        ] {
            let sum = parse(sum.as_bytes(), 0).unwrap();
            assert_eq!(print_average(&sum, count, scale, 0).unwrap().unwrap(), expected);
        }
        assert_eq!(print_average(&BigDecimal::zero(), 0, 4, 0).unwrap(), None);
    }

    #[test]
    fn sums_are_exact_whatever_their_digits() {
        let largest = "9".repeat(36);
        let tiny = format!("0.{}1", "0".repeat(29));
        let texts = ["1.5", "-0.25", "7", &largest, &largest, &tiny, "-1e", "0.00", ".5", "5."];
        let (mut sum, mut expected) = (ExactSum::default(), BigDecimal::zero());
        for _ in 0..400 {
            for text in texts {
                match parse(text.as_bytes(), 0) {
                    Ok(value) => {
                        sum.add_text(text.as_bytes(), 0).unwrap();
                        expected += value;
                    }
                    Err(error) => assert_eq!(sum.add_text(text.as_bytes(), 0), Err(error)),
                }
            }
        }
        for value in [i128::MAX, i128::MAX, i128::MIN] {
            sum.add(value, 3);
            expected += BigDecimal::new(value.into(), 3);
        }
        assert_eq!(sum.total(), expected);
    }

    #[test]
    fn sums_have_the_columns_scale_and_a_limit() {
        let sum = parse(b"10.5", 0).unwrap() + parse(b"-0.50", 0).unwrap();
        assert_eq!(print_sum(&sum, 2, 0).unwrap(), "10.00");
        assert_eq!(print_sum(&sum, 0, 0).unwrap(), "10");
        let huge = parse("9".repeat(81).as_bytes(), 0).unwrap();
        assert!(print_sum(&huge, 0, 0).is_ok());
        assert_eq!(print_sum(&(huge + 1), 0, 3), Err(MergeError::OutOfRange { column: 3 }));
    }
}
