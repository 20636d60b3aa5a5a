//! Dates and times as shard keys: strict parsing of MySQL's text forms, and the
//! canonical text that the servers print. Lenient forms, zero dates and values that the
//! column would round are not read here: their place cannot be told from their text.
//!
//! The axis of [`crate::key::KeyPart::Temporal`] is microseconds. A date counts as
//! `(year * 13 + month) * 32 + day` days, as the servers pack it, so that no calendar is
//! needed to print it back; a TIME counts from zero and can be negative.

use crate::key::KeyType;
use std::fmt::Write as _;

/// Microseconds of one day.
const DAY_US: i64 = 24 * HOUR_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const MINUTE_US: i64 = 60 * SECOND_US;
const SECOND_US: i64 = 1_000_000;
/// The largest TIME, 838:59:59, and its largest fraction.
const TIME_HOURS_MAX: i64 = 838;

/// Reads `text` as a value of `key_type`, which must be temporal; None unless the text is
/// in a strict form and the column holds it exactly.
///
/// DATE: `YYYY-MM-DD`, also with a time of zero. DATETIME: `YYYY-MM-DD` and, after a space
/// or `T`, `hh:mm:ss[.fraction]`. TIME: `[-]hh:mm:ss[.fraction]` with two or three digits
/// of hours.
pub(crate) fn parse(key_type: &KeyType, text: &str) -> Option<i64> {
    match key_type {
        KeyType::Date => {
            let value = parse_datetime(text, 0)?;
            (value % DAY_US == 0).then_some(value)
        }
        KeyType::DateTime { fsp } => parse_datetime(text, *fsp),
        KeyType::Time { fsp } => parse_time(text, *fsp),
        KeyType::Integer { .. }
        | KeyType::Decimal { .. }
        | KeyType::Text { .. }
        | KeyType::Binary { .. } => None,
    }
}

/// Reads the integer forms `YYYYMMDD` (DATE, DATETIME) and `YYYYMMDDhhmmss` (DATETIME).
pub(crate) fn parse_integer(key_type: &KeyType, value: i128) -> Option<i64> {
    let value = i64::try_from(value).ok()?;
    let (date, time) = match (key_type, value) {
        (KeyType::Date | KeyType::DateTime { .. }, 10_000_101..=99_991_231) => (value, 0),
        (KeyType::DateTime { .. }, 10_000_101_000_000..=99_991_231_235_959) => {
            (value / 1_000_000, value % 1_000_000)
        }
        _ => return None,
    };
    let days = pack_date(date / 10_000, date / 100 % 100, date % 100)?;
    Some(days * DAY_US + clock(time / 10_000, time / 100 % 100, time % 100, 23)?)
}

/// Whether `value` is a packed value that [`parse`] can give for the type.
pub(crate) fn is_canonical(key_type: &KeyType, value: i64) -> bool {
    let mut text = String::new();
    print(key_type, value, &mut text);
    parse(key_type, &text) == Some(value)
}

/// Appends the canonical text of a value: what the server prints for the column.
pub(crate) fn print(key_type: &KeyType, value: i64, text: &mut String) {
    let fsp = match key_type {
        KeyType::Date => return print_date(value.div_euclid(DAY_US), text),
        KeyType::DateTime { fsp } => {
            print_date(value.div_euclid(DAY_US), text);
            text.push(' ');
            print_clock(value.rem_euclid(DAY_US), text);
            *fsp
        }
        KeyType::Time { fsp } => {
            if value < 0 {
                text.push('-');
            }
            print_clock(value.saturating_abs(), text);
            *fsp
        }
        KeyType::Integer { .. }
        | KeyType::Decimal { .. }
        | KeyType::Text { .. }
        | KeyType::Binary { .. } => return,
    };
    if fsp > 0 {
        let fraction = (value.rem_euclid(DAY_US) % SECOND_US).unsigned_abs();
        let fraction = if value < 0 { value.unsigned_abs() % SECOND_US as u64 } else { fraction };
        let digits = format!("{fraction:06}");
        text.push('.');
        text.push_str(&digits[..usize::from(fsp.min(6))]);
    }
}

fn print_date(days: i64, text: &mut String) {
    let (year, month, day) = (days / (13 * 32), days / 32 % 13, days % 32);
    // Writing to a String cannot fail.
    let _ = write!(text, "{year:04}-{month:02}-{day:02}");
}

fn print_clock(us: i64, text: &mut String) {
    let (hours, minutes, seconds) = (us / HOUR_US, us / MINUTE_US % 60, us / SECOND_US % 60);
    let _ = write!(text, "{hours:02}:{minutes:02}:{seconds:02}");
}

fn parse_datetime(text: &str, fsp: u8) -> Option<i64> {
    if !text.is_ascii() || text.len() < 10 {
        return None;
    }
    let (date, rest) = text.split_at(10);
    let bytes = date.as_bytes();
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let days = pack_date(digits(&date[..4])?, digits(&date[5..7])?, digits(&date[8..])?)?;
    let us = match rest.as_bytes().first() {
        None => 0,
        Some(b' ' | b'T') => {
            let (hours, us) = parse_clock(&rest[1..], fsp, 23)?;
            // Two digits of hours: `parse_clock` takes three for TIME.
            if hours != 2 {
                return None;
            }
            us
        }
        Some(_) => return None,
    };
    Some(days * DAY_US + us)
}

fn parse_time(text: &str, fsp: u8) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    match text.strip_prefix('-') {
        // A negative zero has no canonical text.
        Some(rest) => match parse_clock(rest, fsp, TIME_HOURS_MAX)? {
            (_, 0) => None,
            (_, us) => Some(-us),
        },
        None => parse_clock(text, fsp, TIME_HOURS_MAX).map(|(_, us)| us),
    }
}

/// `hh:mm:ss[.fraction]`; gives the number of digits of the hours too.
fn parse_clock(text: &str, fsp: u8, hours_max: i64) -> Option<(usize, i64)> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
    let mut fields = whole.split(':');
    let (hours, minutes, seconds) = (fields.next()?, fields.next()?, fields.next()?);
    let lengths_fit = (2..=3).contains(&hours.len()) && minutes.len() == 2 && seconds.len() == 2;
    if !lengths_fit || fields.next().is_some() {
        return None;
    }
    let us = clock(digits(hours)?, digits(minutes)?, digits(seconds)?, hours_max)?;
    let fraction_us = fraction.map_or(Some(0), |fraction| parse_fraction(fraction, fsp))?;
    Some((hours.len(), us + fraction_us))
}

/// One to six digits after the point, of which those beyond `fsp` are zero.
fn parse_fraction(fraction: &str, fsp: u8) -> Option<i64> {
    if fraction.is_empty() || fraction.len() > 6 {
        return None;
    }
    let us = digits(fraction)? * 10_i64.pow(6 - u32::try_from(fraction.len()).ok()?);
    let unit = 10_i64.pow(6 - u32::from(fsp.min(6)));
    (us % unit == 0).then_some(us)
}

fn clock(hours: i64, minutes: i64, seconds: i64, hours_max: i64) -> Option<i64> {
    (hours <= hours_max && minutes < 60 && seconds < 60)
        .then_some(hours * HOUR_US + minutes * MINUTE_US + seconds * SECOND_US)
}

/// A day that exists, in the years 1 to 9999.
fn pack_date(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    let exists = (1..=9_999).contains(&year) && (1..=days).contains(&day);
    exists.then_some((year * 13 + month) * 32 + day)
}

/// A number of digits alone: no sign, no space.
fn digits(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(key_type: &KeyType, text: &str) -> Option<String> {
        let mut printed = String::new();
        print(key_type, parse(key_type, text)?, &mut printed);
        Some(printed)
    }

    #[test]
    fn strict_forms_round_trip() {
        let cases = [
            (KeyType::Date, "2024-02-29", Some("2024-02-29")),
            (KeyType::Date, "2024-02-29 00:00:00", Some("2024-02-29")),
            (KeyType::Date, "2024-02-29T00:00:00.000", Some("2024-02-29")),
            (KeyType::Date, "2024-02-29 00:00:01", None),
            (KeyType::Date, "2023-02-29", None),
            (KeyType::Date, "0000-00-00", None),
            (KeyType::Date, "2024-2-9", None),
            (KeyType::Date, "24-02-09", None),
            (KeyType::Date, " 2024-02-09", None),
            (KeyType::Date, "2024-02-09 ", None),
            (KeyType::DateTime { fsp: 0 }, "2024-02-09", Some("2024-02-09 00:00:00")),
            (KeyType::DateTime { fsp: 0 }, "2024-02-09 23:59:59.5", None),
            (KeyType::DateTime { fsp: 0 }, "2024-02-09 23:59:59.0", Some("2024-02-09 23:59:59")),
            (KeyType::DateTime { fsp: 3 }, "2024-02-09T1:00:00", None),
            (KeyType::DateTime { fsp: 3 }, "2024-02-09 010:00:00", None),
            (
                KeyType::DateTime { fsp: 3 },
                "2024-02-09T01:02:03.5",
                Some("2024-02-09 01:02:03.500"),
            ),
            (KeyType::DateTime { fsp: 3 }, "2024-02-09 01:02:03Z", None),
            (KeyType::DateTime { fsp: 3 }, "2024-02-09 01:02:03+01:00", None),
            (KeyType::Time { fsp: 0 }, "-838:59:59", Some("-838:59:59")),
            (KeyType::Time { fsp: 2 }, "-00:00:00.25", Some("-00:00:00.25")),
            (KeyType::Time { fsp: 2 }, "-00:00:00", None),
            (KeyType::Time { fsp: 6 }, "12:34:56", Some("12:34:56.000000")),
            (KeyType::Time { fsp: 0 }, "839:00:00", None),
            (KeyType::Time { fsp: 0 }, "12:34", None),
        ];
        for (key_type, text, expected) in cases {
            assert_eq!(round_trip(&key_type, text).as_deref(), expected, "{key_type} {text}");
        }
    }

    #[test]
    fn integer_forms() {
        let date = parse(&KeyType::Date, "2026-01-02");
        assert_eq!(parse_integer(&KeyType::Date, 20_260_102), date);
        assert_eq!(parse_integer(&KeyType::Date, 260_102), None);
        assert_eq!(parse_integer(&KeyType::Date, 20_261_302), None);
        let fsp = KeyType::DateTime { fsp: 0 };
        assert_eq!(parse_integer(&fsp, 20_260_102_030_405), parse(&fsp, "2026-01-02 03:04:05"));
        assert_eq!(parse_integer(&KeyType::Time { fsp: 0 }, 123_456), None);
    }
}
