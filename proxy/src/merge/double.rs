//! Doubles as the server prints them: the shortest digits that give the same value, or a
//! fixed number of decimals where the column has them.

use std::fmt::Write as _;

/// `decimals` of a column definition that fixes no number of decimals.
pub(crate) const DECIMALS_NOT_FIXED: u8 = 31;
/// Decimal points further right than this are written with an exponent, unless there
/// are digits behind them.
const POINT_MAX: i32 = 15;
/// Decimal points further left than this are written with an exponent.
const POINT_MIN: i32 = -14;

/// Significant digits that a double has at most when it is written out exactly.
const EXACT_DIGITS: usize = 767;

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
    let mantissa = even_on_tie(mantissa, exponent, value.abs());
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let has_fraction = point > 0 && (point as usize) < digits.len();
    if !(POINT_MIN..=POINT_MAX).contains(&point) && !has_fraction {
        let _ = write!(out, "{mantissa}e{exponent}");
        return;
    }
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

/// Of two shortest texts that are equally far from the value, the server takes the one
/// whose last digit is even, and `{:e}` the larger one: `mantissa`, or the one below it.
fn even_on_tie(mantissa: &str, exponent: i32, value: f64) -> String {
    let (kept, last) = mantissa.split_at(mantissa.len() - 1);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    // One digit more than the shortest text has: a tie shows as a five.
    let longer = format!("{value:.digits$e}");
    let below = match last.as_bytes() {
        [digit @ (b'1' | b'3' | b'5' | b'7' | b'9')] => format!("{kept}{}", char::from(digit - 1)),
        _ => return mantissa.to_owned(),
    };
    let tie = longer.split('e').next().is_some_and(|longer| {
        longer.strip_suffix('5').is_some_and(|start| start.trim_end_matches('.') == below)
    });
    if !tie {
        return mantissa.to_owned();
    }
    // All digits that a double can have, to see that nothing follows the five.
    let exact = format!("{value:.EXACT_DIGITS$e}");
    let nothing_follows = exact.split('e').next().is_some_and(|exact| {
        let five = below.len() + usize::from(!below.contains('.'));
        exact.get(five + 1..).is_some_and(|rest| rest.bytes().all(|digit| digit == b'0'))
    });
    let same = format!("{below}e{exponent}").parse() == Ok(value);
    if nothing_follows && same { below } else { mantissa.to_owned() }
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
            (1358301543033031.5, "1358301543033031.5"),
            (6581921751221569.0 / 4.0, "1645480437805392.2"),
            (1234567890123456.0, "1.234567890123456e15"),
            (999999999999999.9, "999999999999999.9"),
            (1.2345678901234567e-5, "0.000012345678901234568"),
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
