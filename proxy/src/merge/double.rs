//! Doubles as the server prints them: the shortest digits that give the same value, or a
//! fixed number of decimals where the column has them.

use std::fmt::Write as _;

/// `decimals` of a column definition that fixes no number of decimals.
pub(crate) const DECIMALS_NOT_FIXED: u8 = 31;
/// Decimal points further right than this are written with an exponent.
const POINT_MAX: i32 = 15;
/// Decimal points further left than this are written with an exponent.
const POINT_MIN: i32 = -14;

/// Append `value` as the server would with a column of `decimals`.
pub(crate) fn print(out: &mut String, value: f64, decimals: u8) {
    if decimals < DECIMALS_NOT_FIXED {
        // Writing to a String cannot fail.
        let _ = write!(out, "{value:.*}", usize::from(decimals));
        return;
    }
    // `{:e}` gives the shortest digits: `-1.25e-7`, `1e20`.
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        out.push_str(&scientific);
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    out.push_str(sign);
    // The value is 0.DIGITS times ten to the power of `point`.
    let point = exponent + 1;
    if !(POINT_MIN..=POINT_MAX).contains(&point) {
        let _ = write!(out, "{mantissa}e{exponent}");
        return;
    }
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if point <= 0 {
        let _ = write!(
            out,
            "0.{:0>width$}",
            digits,
            width = digits.len() + point.unsigned_abs() as usize
        );
    } else if point as usize >= digits.len() {
        let _ = write!(out, "{digits:0<width$}", width = point as usize);
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        let _ = write!(out, "{whole}.{fraction}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: f64, decimals: u8, expected: &str) {
        let mut out = String::new();
        print(&mut out, value, decimals);
        assert_eq!(out, expected);
    }

    #[test]
    fn prints_as_mariadb_10_11_does() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e14, "100000000000000"),
            (1e15, "1e15"),
            (1.1e15, "1.1e15"),
            (123456789012345678.0, "1.2345678901234568e17"),
            (366666666666666.7, "366666666666666.7"),
            (0.000123, "0.000123"),
            (1e-15, "0.000000000000001"),
            (1.5e-15, "0.0000000000000015"),
            (1e-16, "1e-16"),
            (1.5e-300, "1.5e-300"),
            (1e301, "1e301"),
            (16777217.100000024, "16777217.100000024"),
        ] {
            check(value, 31, expected);
        }
    }

    #[test]
    fn prints_fixed_decimals() {
        check(1.005, 2, "1.00");
        check(2.0, 3, "2.000");
        check(-0.126, 2, "-0.13");
    }
}
