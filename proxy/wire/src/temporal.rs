//! Dates and times of the binary protocol: their packed forms and their text.

use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::cursor::{DecodeError, Reader};

/// A DATE, DATETIME or TIMESTAMP. Zero dates and any digits are kept as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// Year.
    pub year: u16,
    /// Month, 0 to 12.
    pub month: u8,
    /// Day, 0 to 31.
    pub day: u8,
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
    /// Microseconds.
    pub micros: u32,
}

/// A TIME: a signed span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Time {
    /// Whether the span is negative.
    pub negative: bool,
    /// Whole days.
    pub days: u32,
    /// Hours, 0 to 23.
    pub hours: u8,
    /// Minutes.
    pub minutes: u8,
    /// Seconds.
    pub seconds: u8,
    /// Microseconds.
    pub micros: u32,
}

impl DateTime {
    /// Reads the packed form: a length of 0, 4, 7 or 11 and that many bytes.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let field = "date";
        let length = reader.u8(field)?;
        let mut value = Self::default();
        if !matches!(length, 0 | 4 | 7 | 11) {
            return Err(DecodeError::Invalid { field });
        }
        if length >= 4 {
            value.year = reader.u16(field)?;
            [value.month, value.day] = reader.array(field)?;
        }
        if length >= 7 {
            [value.hour, value.minute, value.second] = reader.array(field)?;
        }
        if length >= 11 {
            value.micros = reader.u32(field)?;
        }
        Ok(value)
    }

    /// Appends the shortest packed form.
    pub fn encode(&self, out: &mut BytesMut) {
        let has_time = (self.hour, self.minute, self.second) != (0, 0, 0);
        let has_date = (self.year, self.month, self.day) != (0, 0, 0);
        let length = match (has_date, has_time, self.micros) {
            (_, _, 1..) => 11,
            (_, true, 0) => 7,
            (true, false, 0) => 4,
            (false, false, 0) => 0,
        };
        out.put_u8(length);
        if length >= 4 {
            out.put_u16_le(self.year);
            out.put_slice(&[self.month, self.day]);
        }
        if length >= 7 {
            out.put_slice(&[self.hour, self.minute, self.second]);
        }
        if length >= 11 {
            out.put_u32_le(self.micros);
        }
    }

    /// The date alone, as `YYYY-MM-DD`.
    pub fn date_text(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for DateTime {
    /// `YYYY-MM-DD HH:MM:SS[.ffffff]`; the fraction is written when it is not 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, micros } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")?;
        if *micros > 0 { write!(f, ".{micros:06}") } else { Ok(()) }
    }
}

impl Time {
    /// Reads the packed form: a length of 0, 8 or 12 and that many bytes.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let field = "time";
        let length = reader.u8(field)?;
        let mut value = Self::default();
        if !matches!(length, 0 | 8 | 12) {
            return Err(DecodeError::Invalid { field });
        }
        if length >= 8 {
            value.negative = reader.u8(field)? != 0;
            value.days = reader.u32(field)?;
            [value.hours, value.minutes, value.seconds] = reader.array(field)?;
        }
        if length >= 12 {
            value.micros = reader.u32(field)?;
        }
        Ok(value)
    }

    /// Appends the shortest packed form.
    pub fn encode(&self, out: &mut BytesMut) {
        let zero = (self.days, self.hours, self.minutes, self.seconds) == (0, 0, 0, 0);
        let length = match (zero, self.micros) {
            (_, 1..) => 12,
            (false, 0) => 8,
            (true, 0) => 0,
        };
        out.put_u8(length);
        if length >= 8 {
            out.put_u8(u8::from(self.negative));
            out.put_u32_le(self.days);
            out.put_slice(&[self.hours, self.minutes, self.seconds]);
        }
        if length >= 12 {
            out.put_u32_le(self.micros);
        }
    }
}

impl fmt::Display for Time {
    /// `[-]HHH:MM:SS[.ffffff]`; days are counted as hours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = u64::from(self.days) * 24 + u64::from(self.hours);
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{hours:02}:{:02}:{:02}", self.minutes, self.seconds)?;
        if self.micros > 0 { write!(f, ".{:06}", self.micros) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_forms_agree(
            (year, month, day) in (0u16..10_000, 0u8..13, 0u8..32),
            (hour, minute, second, micros) in (0u8..24, 0u8..60, 0u8..60, prop_oneof![Just(0u32), 0u32..1_000_000]),
            negative: bool,
            days in 0u32..35,
        ) {
            let date = DateTime { year, month, day, hour, minute, second, micros };
            let mut out = BytesMut::new();
            date.encode(&mut out);
            prop_assert_eq!(DateTime::decode(&mut Reader::new(&out)), Ok(date));
            let time = Time { negative, days, hours: hour, minutes: minute, seconds: second, micros };
            out.clear();
            time.encode(&mut out);
            let back = Time::decode(&mut Reader::new(&out)).unwrap();
            // Minus zero has no packed form of its own.
            let without_sign = |time: Time| Time { negative: false, ..time };
            prop_assert_eq!(without_sign(back), without_sign(time));
            prop_assert!(back == time || (out.len() == 1 && negative));
        }
    }

    #[test]
    fn texts() {
        let time =
            Time { negative: true, days: 34, hours: 22, minutes: 59, seconds: 59, micros: 5 };
        assert_eq!(time.to_string(), "-838:59:59.000005");
        let date = DateTime { year: 2026, month: 2, day: 3, ..DateTime::default() };
        assert_eq!(date.to_string(), "2026-02-03 00:00:00");
        assert_eq!(date.date_text(), "2026-02-03");
        assert!(DateTime::decode(&mut Reader::new(&[5, 1, 2, 3, 4, 5])).is_err());
        assert!(Time::decode(&mut Reader::new(&[8, 1])).is_err());
    }
}
