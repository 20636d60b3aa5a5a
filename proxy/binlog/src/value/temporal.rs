//! Dates, spans and moments as row images hold them, and their texts as the servers print them.

use std::fmt;

use crate::error::DecodeError;
use crate::reader::Reader;

/// A calendar day. Zeros in any part are values of their own (`0000-00-00`, `2026-00-00`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 0 to 12.
    pub month: u8,
    /// 0 to 31.
    pub day: u8,
}

/// A span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Time {
    /// Whether it is below zero.
    pub negative: bool,
    /// 0 to 838.
    pub hours: u16,
    /// 0 to 59.
    pub minutes: u8,
    /// 0 to 59.
    pub seconds: u8,
    /// Millionths of a second.
    pub micros: u32,
    /// Digits of the fraction that the column keeps.
    pub digits: u8,
}

/// A date and time without zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// The day.
    pub date: Date,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Millionths of a second.
    pub micros: u32,
    /// Digits of the fraction that the column keeps.
    pub digits: u8,
}

/// A moment. All zeros is the servers' `0000-00-00 00:00:00`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timestamp {
    /// Seconds since 1970, UTC.
    pub seconds: u32,
    /// Millionths of a second.
    pub micros: u32,
    /// Digits of the fraction that the column keeps.
    pub digits: u8,
}

/// Bytes of a fraction with this many digits.
fn fraction_bytes(digits: u8) -> usize {
    usize::from(digits.div_ceil(2))
}

/// Reads a fraction of a value that is not negative, in millionths.
fn fraction(reader: &mut Reader, digits: u8) -> Result<u32, DecodeError> {
    let field = "fraction of a second";
    let bytes = fraction_bytes(digits);
    let scale = [1_000_000, 10_000, 100, 1][bytes.min(3)];
    let micros = reader.uint_be(bytes, field)?.saturating_mul(scale);
    u32::try_from(micros)
        .ok()
        .filter(|micros| *micros < 1_000_000)
        .ok_or(DecodeError::Invalid { field })
}

impl Date {
    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let bits = reader.uint(3, "date")?;
        Self::from_parts(bits >> 9, bits >> 5 & 15, bits & 31)
    }

    fn from_parts(year: u64, month: u64, day: u64) -> Result<Self, DecodeError> {
        if year > 9999 || month > 12 || day > 31 {
            return Err(DecodeError::Invalid { field: "date" });
        }
        Ok(Self { year: year as u16, month: month as u8, day: day as u8 })
    }

    /// The day that many days after 1970-01-01.
    fn from_days(days: u32) -> Self {
        // Years begin in March here, so that the leap day is the last one.
        let days = days + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + u32::from(month <= 2);
        Self { year: year as u16, month: month as u8, day: day as u8 }
    }
}

impl Time {
    /// The form with fraction. Negative values are the whole packed number's complement, so their
    /// fraction counts down.
    pub(crate) fn decode(reader: &mut Reader, digits: u8) -> Result<Self, DecodeError> {
        let field = "time";
        let bytes = fraction_bytes(digits);
        let scale = [0, 10_000, 100, 1][bytes.min(3)];
        let packed = reader.uint_be(3 + bytes, field)? as i64;
        let packed = packed - (0x80_0000i64 << (8 * bytes));
        let magnitude = packed.unsigned_abs();
        let micros = (magnitude & ((1u64 << (8 * bytes)) - 1)) * scale;
        let whole = magnitude >> (8 * bytes);
        let (hours, minutes, seconds) = (whole >> 12 & 0x3ff, whole >> 6 & 63, whole & 63);
        if minutes > 59 || seconds > 59 || micros > 999_999 || whole >> 22 != 0 {
            return Err(DecodeError::Invalid { field });
        }
        Ok(Self {
            negative: packed < 0,
            hours: hours as u16,
            minutes: minutes as u8,
            seconds: seconds as u8,
            micros: micros as u32,
            digits,
        })
    }

    /// The old form: a signed number whose decimal digits are `HHHMMSS`.
    pub(crate) fn decode_old(reader: &mut Reader) -> Result<Self, DecodeError> {
        let field = "time";
        let bits = reader.uint(3, field)? as u32;
        let number = ((bits << 8) as i32) >> 8;
        let magnitude = number.unsigned_abs();
        let (hours, minutes, seconds) =
            (magnitude / 10_000, magnitude / 100 % 100, magnitude % 100);
        if minutes > 59 || seconds > 59 {
            return Err(DecodeError::Invalid { field });
        }
        Ok(Self {
            negative: number < 0,
            hours: hours as u16,
            minutes: minutes as u8,
            seconds: seconds as u8,
            ..Self::default()
        })
    }
}

impl DateTime {
    pub(crate) fn decode(reader: &mut Reader, digits: u8) -> Result<Self, DecodeError> {
        let field = "date and time";
        let packed = reader.uint_be(5, field)?;
        // Values below zero are reserved.
        let packed = packed.checked_sub(0x80_0000_0000).ok_or(DecodeError::Invalid { field })?;
        let (days, time) = (packed >> 17, packed & 0x1_ffff);
        let months = days >> 5;
        let date = Date::from_parts(months / 13, months % 13, days & 31)?;
        let micros = fraction(reader, digits)?;
        Self::from_parts(date, time >> 12, time >> 6 & 63, time & 63, micros, digits)
    }

    /// The old form: a number whose decimal digits are `YYYYMMDDhhmmss`.
    pub(crate) fn decode_old(reader: &mut Reader) -> Result<Self, DecodeError> {
        let number = reader.u64("date and time")?;
        let (days, time) = (number / 1_000_000, number % 1_000_000);
        let date = Date::from_parts(days / 10_000, days / 100 % 100, days % 100)?;
        Self::from_parts(date, time / 10_000, time / 100 % 100, time % 100, 0, 0)
    }

    fn from_parts(
        date: Date,
        hour: u64,
        minute: u64,
        second: u64,
        micros: u32,
        digits: u8,
    ) -> Result<Self, DecodeError> {
        if hour > 23 || minute > 59 || second > 59 {
            return Err(DecodeError::Invalid { field: "date and time" });
        }
        let (hour, minute, second) = (hour as u8, minute as u8, second as u8);
        Ok(Self { date, hour, minute, second, micros, digits })
    }
}

impl Timestamp {
    pub(crate) fn decode(reader: &mut Reader, digits: u8) -> Result<Self, DecodeError> {
        let seconds = reader.uint_be(4, "timestamp")? as u32;
        Ok(Self { seconds, micros: fraction(reader, digits)?, digits })
    }

    pub(crate) fn decode_old(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { seconds: reader.u32("timestamp")?, ..Self::default() })
    }

    /// The date and time in UTC.
    pub fn utc(self) -> DateTime {
        let Self { seconds, micros, digits } = self;
        if seconds == 0 && micros == 0 {
            return DateTime { digits, ..DateTime::default() };
        }
        let rest = seconds % 86_400;
        DateTime {
            date: Date::from_days(seconds / 86_400),
            hour: (rest / 3_600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            micros,
            digits,
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{:02}:{:02}:{:02}", self.hours, self.minutes, self.seconds)?;
        write_fraction(f, self.micros, self.digits)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:02}:{:02}:{:02}", self.date, self.hour, self.minute, self.second)?;
        write_fraction(f, self.micros, self.digits)
    }
}

/// In UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.utc().fmt(f)
    }
}

fn write_fraction(f: &mut fmt::Formatter<'_>, micros: u32, digits: u8) -> fmt::Result {
    let digits = usize::from(digits.min(6));
    if digits == 0 {
        return Ok(());
    }
    let shown = micros / 10u32.pow(6 - digits as u32);
    write!(f, ".{shown:0digits$}")
}

#[cfg(test)]
mod tests;
