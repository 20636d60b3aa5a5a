//! Values of a shard's text result as literals of an INSERT on another server. Pure. The
//! connection that they are written for reads backslashes as escapes and has the time zone
//! `+00:00`.

use shardline_router::plan::Carried;

/// A value that is not what its column's type gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a shard sent a value that its column cannot have")]
pub(in crate::execute) struct Unfit;

/// Appends a value; None is NULL.
pub(in crate::execute) fn write(
    carried: Carried,
    value: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let Some(value) = value else {
        out.extend_from_slice(b"NULL");
        return Ok(());
    };
    match carried {
        Carried::Number => {
            let fits = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
            if value.is_empty() || !value.iter().all(fits) {
                return Err(Unfit);
            }
            out.extend_from_slice(value);
        }
        Carried::Text => quoted(value, out),
        Carried::Bytes => {
            out.extend_from_slice(b"_binary");
            quoted(value, out);
        }
        Carried::Utf8 => {
            out.extend_from_slice(b"_utf8mb4");
            quoted(value, out);
        }
        Carried::Timestamp => {
            let text = date_and_time(value).ok_or(Unfit)?;
            quoted(text.as_bytes(), out);
        }
    }
    Ok(())
}

fn quoted(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    let mut rest = value;
    while let Some(at) = memchr::memchr3(b'\'', b'\\', 0, rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            0 => b"\\0",
            b'\'' => b"\\'",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'\'');
}

const SECONDS_OF_DAY: u64 = 86_400;

/// `UNIX_TIMESTAMP()` of a TIMESTAMP column as that column's value under `+00:00`. A TIMESTAMP
/// begins a second after 1970, so 0 is its date of zeros.
fn date_and_time(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: u64 = seconds.parse().ok()?;
    let point = if fraction.is_empty() { "" } else { "." };
    if seconds == 0 {
        return Some(format!("0000-00-00 00:00:00{point}{fraction}"));
    }
    let (days, rest) = (seconds / SECONDS_OF_DAY, seconds % SECONDS_OF_DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{point}{fraction}"
    ))
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar (Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms": years begin in March, eras have 400 years).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(carried: Carried, value: &[u8], expected: &str) {
        let mut out = Vec::new();
        write(carried, Some(value), &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn values_are_written_for_their_kind() {
        check(Carried::Number, b"-12.50", "-12.50");
        check(Carried::Text, b"1e300", "'1e300'");
        check(Carried::Bytes, b"a'b\\c\0d", "_binary'a\\'b\\\\c\\0d'");
        check(Carried::Bytes, b"", "_binary''");
        check(Carried::Utf8, b"{}", "_utf8mb4'{}'");
        let mut out = Vec::new();
        write(Carried::Text, None, &mut out).unwrap();
        assert_eq!(out, b"NULL");
        assert_eq!(write(Carried::Number, Some(b"1 OR 1"), &mut out), Err(Unfit));
        assert_eq!(write(Carried::Number, Some(b""), &mut out), Err(Unfit));
        assert_eq!(write(Carried::Timestamp, Some(b"1.x"), &mut out), Err(Unfit));
    }

    #[test]
    fn timestamps_are_dates_of_their_seconds() {
        check(Carried::Timestamp, b"0", "'0000-00-00 00:00:00'");
        check(Carried::Timestamp, b"0.000", "'0000-00-00 00:00:00.000'");
        check(Carried::Timestamp, b"1", "'1970-01-01 00:00:01'");
        check(Carried::Timestamp, b"951782399", "'2000-02-28 23:59:59'");
        check(Carried::Timestamp, b"951782400", "'2000-02-29 00:00:00'");
        check(Carried::Timestamp, b"1792895400.123", "'2026-10-25 02:30:00.123'");
        check(Carried::Timestamp, b"2147483647", "'2038-01-19 03:14:07'");
        check(Carried::Timestamp, b"4294967295", "'2106-02-07 06:28:15'");
    }
}
