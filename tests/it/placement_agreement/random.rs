//! Random values of every key type, and literals as SQL text.

use shardline_model::{
    key::{KeyPart, KeyType, Literal},
    predicate,
};

/// A small deterministic generator (xorshift64*).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap_or_default()]
    }

    /// Numbers of every magnitude between the bounds, the bounds among them.
    fn integer(&mut self, min: i128, max: i128) -> i128 {
        let bits = u32::try_from(self.below(65)).unwrap_or_default();
        let magnitude = i128::from(self.next().checked_shr(64 - bits).unwrap_or(0));
        match self.below(50) {
            0 => min,
            1 => max,
            odd if odd % 2 == 1 => magnitude.clamp(min, max),
            _ => (-magnitude).clamp(min, max),
        }
    }

    fn text(&mut self, chars_max: u64) -> String {
        let length = self.below(chars_max + 1);
        (0..length).map(|_| self.character()).collect()
    }

    fn character(&mut self) -> char {
        let code = match self.below(10) {
            0..=3 => {
                return char::from(self.pick(&["a", "A", "b", "B", "z", "_", "0"]).as_bytes()[0]);
            }
            4 | 5 => return ' ',
            6 => u32::try_from(self.below(0x80)).unwrap_or_default(),
            7 => 0x80 + u32::try_from(self.below(0x580)).unwrap_or_default(),
            8 => u32::try_from(self.below(0x1_0000)).unwrap_or_default(),
            _ => 0x1_0000 + u32::try_from(self.below(0x10_0000)).unwrap_or_default(),
        };
        char::from_u32(code).unwrap_or('ß')
    }

    /// A literal that could be a value of the type.
    pub(super) fn literal(&mut self, key_type: &KeyType) -> Literal<'static> {
        match key_type {
            KeyType::Integer { min, max } => Literal::Integer(self.integer(*min, *max)),
            KeyType::Decimal { precision, scale, unsigned } => {
                let limit = 10_i128.pow(u32::from(*precision)) - 1;
                let wide = self.integer(i128::from(i64::MIN), i128::from(u64::MAX));
                let value = if *precision > 20 { wide * 1_000_003 } else { wide };
                let value = value.clamp(if *unsigned { 0 } else { -limit }, limit);
                let part = KeyPart::Decimal(value);
                debug_assert!(*scale <= *precision);
                Literal::Decimal(predicate::literal_sql(&part, key_type).into())
            }
            KeyType::Text { chars_max, .. } => {
                Literal::Text(self.text(u64::from(*chars_max)).into())
            }
            KeyType::Binary { bytes_max, .. } => {
                let length = self.below(u64::from(*bytes_max) + 1);
                let bytes: Vec<u8> = (0..length)
                    .map(|_| match self.below(3) {
                        0 => 0,
                        1 => b' ',
                        _ => u8::try_from(self.below(256)).unwrap_or_default(),
                    })
                    .collect();
                Literal::Bytes(bytes.into())
            }
            KeyType::Date => Literal::Text(self.date().into()),
            KeyType::DateTime { fsp } => {
                let hours = self.below(24);
                Literal::Text(format!("{} {}", self.date(), self.clock(hours, *fsp)).into())
            }
            KeyType::Time { fsp } => {
                let (sign, hours) = (self.pick(&["", "-"]), self.below(839));
                Literal::Text(format!("{sign}{}", self.clock(hours, *fsp)).into())
            }
        }
    }

    fn date(&mut self) -> String {
        let year = match self.below(3) {
            0 => 1 + self.below(9_999),
            _ => 1_990 + self.below(50),
        };
        format!("{year:04}-{:02}-{:02}", 1 + self.below(12), 1 + self.below(31))
    }

    fn clock(&mut self, hours: u64, fsp: u8) -> String {
        let mut text = format!("{hours:02}:{:02}:{:02}", self.below(60), self.below(60));
        let digits = format!("{:06}", self.below(1_000_000));
        if fsp > 0 {
            text = format!("{text}.{}", &digits[..usize::from(fsp)]);
        }
        text
    }
}

/// A literal as SQL text that means the same under every character set and SQL mode.
pub(super) fn sql_literal(literal: &Literal<'_>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    match literal {
        Literal::Null => "NULL".to_owned(),
        Literal::Integer(value) => value.to_string(),
        Literal::Decimal(text) => text.to_string(),
        Literal::Float(value) => format!("{value:e}"),
        Literal::Text(text) => format!("_utf8mb4 x'{}'", hex(text.as_bytes())),
        Literal::Bytes(bytes) => format!("x'{}'", hex(bytes)),
        Literal::Temporal(text) if text.contains(' ') => format!("TIMESTAMP'{text}'"),
        Literal::Temporal(text) if text.contains(':') => format!("TIME'{text}'"),
        Literal::Temporal(text) => format!("DATE'{text}'"),
    }
}
