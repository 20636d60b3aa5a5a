//! From a literal to the canonical value of a key column, by the servers' rules of
//! comparison and of assignment. What a server would change on the way (round, clip, pad,
//! parse leniently, compare as another type) is [`KeyError::Inexact`]: the caller then
//! asks every shard, or refuses to store.
//!
//! | column \ literal | Integer | Decimal | Float | Text | Bytes | Temporal |
//! |---|---|---|---|---|---|---|
//! | integer | yes | fraction of zeros | whole, below 2^53 | canonical; compared below 2^53 | - | - |
//! | YEAR | four digits | - | - | four digits | - | - |
//! | DECIMAL | yes | within the scale | whole, below 2^53, 15 digits at most | as Decimal; compared at 15 digits at most | - | - |
//! | text | stored | - | - | yes | - | - |
//! | binary | stored | - | - | yes | yes | - |
//! | temporal | `YYYYMMDD[hhmmss]` | - | - | strict | - | strict |

use crate::{
    collation,
    key::{KeyCollation, KeyError, KeyPart, KeyType, KeyUse, Literal, YEAR_MIN},
    temporal,
};

/// Doubles hold every integer below this, and no two integers below it are one double.
const DOUBLE_EXACT: i128 = 1 << 53;
/// Decimals of so many digits are different doubles when they are different.
const DOUBLE_DIGITS: u8 = 15;
/// Integer literals are integers in this range and DECIMAL beyond it.
const INTEGER_LITERALS: std::ops::RangeInclusive<i128> = (i64::MIN as i128)..=(u64::MAX as i128);

impl KeyType {
    /// The canonical value of `literal` in a column of this type.
    ///
    /// For [`KeyUse::Compare`] the value may lie outside the column's range: it then equals
    /// no row, and it still has the right place in the order.
    ///
    /// # Errors
    /// [`KeyError::Null`] for NULL, [`KeyError::Inexact`] for what a server would change.
    pub fn canonical(&self, literal: &Literal<'_>, usage: KeyUse) -> Result<KeyPart, KeyError> {
        if matches!(literal, Literal::Null) {
            return Err(KeyError::Null);
        }
        let part = match self {
            KeyType::Integer { min, max } => integer(literal, usage, *min, *max),
            KeyType::Decimal { precision, scale, .. } => {
                decimal(literal, usage, *precision, *scale)
            }
            KeyType::Text { .. } => self.text(literal, usage),
            KeyType::Binary { bytes_max, fixed } => binary(literal, usage, *bytes_max, *fixed),
            KeyType::Date | KeyType::DateTime { .. } | KeyType::Time { .. } => {
                self.temporal(literal)
            }
        };
        let fits = |part: &KeyPart| usage == KeyUse::Compare || self.holds(part);
        part.filter(fits).ok_or_else(|| KeyError::Inexact {
            value: literal.to_string(),
            column_type: self.to_string(),
        })
    }

    fn text(&self, literal: &Literal<'_>, usage: KeyUse) -> Option<KeyPart> {
        let KeyType::Text { charset, collation, chars_max, .. } = self else {
            return None;
        };
        let text = match (literal, usage) {
            (Literal::Text(text), _) => std::borrow::Cow::Borrowed(text.as_ref()),
            // Compared, a text and a number are compared as numbers.
            (Literal::Integer(value), KeyUse::Store) if INTEGER_LITERALS.contains(value) => {
                std::borrow::Cow::Owned(value.to_string())
            }
            _ => return None,
        };
        if usage == KeyUse::Store
            && *collation == KeyCollation::NopadBin
            && text.chars().count() > *chars_max as usize
        {
            return None;
        }
        collation::canonical(*charset, *collation, &text).map(KeyPart::Text)
    }

    fn temporal(&self, literal: &Literal<'_>) -> Option<KeyPart> {
        let value = match literal {
            Literal::Text(text) | Literal::Temporal(text) => temporal::parse(self, text),
            Literal::Integer(value) => temporal::parse_integer(self, *value),
            Literal::Null | Literal::Decimal(_) | Literal::Float(_) | Literal::Bytes(_) => None,
        };
        value.map(KeyPart::Temporal)
    }
}

fn integer(literal: &Literal<'_>, usage: KeyUse, min: i128, max: i128) -> Option<KeyPart> {
    let value = match literal {
        Literal::Integer(value) => *value,
        Literal::Decimal(text) => parse_decimal(text, 0)?,
        Literal::Float(value) => whole_float(*value)?,
        Literal::Text(text) => {
            let value = canonical_integer(text)?;
            let as_double = usage == KeyUse::Compare && value.abs() >= DOUBLE_EXACT;
            (!as_double).then_some(value)?
        }
        Literal::Null | Literal::Bytes(_) | Literal::Temporal(_) => return None,
    };
    if min == YEAR_MIN {
        // One or two digits mean another year, and a fraction or a double is a matter of versions.
        let exact = matches!(literal, Literal::Integer(_) | Literal::Text(_));
        return (exact && (min..=max).contains(&value)).then_some(KeyPart::Integer(value));
    }
    Some(KeyPart::Integer(value))
}

fn decimal(literal: &Literal<'_>, usage: KeyUse, precision: u8, scale: u8) -> Option<KeyPart> {
    let unit = 10_i128.pow(u32::from(scale));
    let value = match literal {
        Literal::Integer(value) => value.checked_mul(unit)?,
        Literal::Decimal(text) => parse_decimal(text, scale)?,
        Literal::Float(value) if precision <= DOUBLE_DIGITS => {
            whole_float(*value)?.checked_mul(unit)?
        }
        // Compared, a DECIMAL and a text are compared as doubles.
        Literal::Text(text) if usage == KeyUse::Store || precision <= DOUBLE_DIGITS => {
            let value = parse_decimal(text, scale)?;
            let as_double = usage == KeyUse::Compare
                && value.unsigned_abs() >= 10_u128.pow(u32::from(DOUBLE_DIGITS));
            (!as_double).then_some(value)?
        }
        Literal::Null
        | Literal::Float(_)
        | Literal::Text(_)
        | Literal::Bytes(_)
        | Literal::Temporal(_) => return None,
    };
    Some(KeyPart::Decimal(value))
}

fn binary(literal: &Literal<'_>, usage: KeyUse, bytes_max: u32, fixed: bool) -> Option<KeyPart> {
    let mut bytes = match (literal, usage) {
        (Literal::Bytes(bytes), _) => bytes.to_vec(),
        (Literal::Text(text), _) => text.as_bytes().to_vec(),
        (Literal::Integer(value), KeyUse::Store) if INTEGER_LITERALS.contains(value) => {
            value.to_string().into_bytes()
        }
        _ => return None,
    };
    let length = bytes_max as usize;
    if fixed && bytes.len() != length {
        // Compared, nothing is padded; stored, the server pads but never cuts.
        if usage == KeyUse::Compare || bytes.len() > length {
            return None;
        }
        bytes.resize(length, 0);
    }
    Some(KeyPart::Bytes(bytes))
}

/// `[-]digits` without leading zeros, plus sign or spaces.
fn canonical_integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = match digits.as_bytes() {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { text.parse().ok() } else { None }
}

/// `[+-][digits][.digits]` as an unscaled integer; None when digits beyond the scale are not zero.
fn parse_decimal(text: &str, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = usize::from(scale).checked_sub(fraction.len())?;
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', missing)) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    Some(if negative { -value } else { value })
}

/// A double that is a whole number which no other integer rounds to.
fn whole_float(value: f64) -> Option<i128> {
    let exact = value.fract() == 0.0 && value.abs() < DOUBLE_EXACT as f64;
    exact.then_some(value as i128)
}

/// For messages: the literal as a statement would show it, cut when long.
impl std::fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// Characters of a value that a message shows.
        const SHOWN_MAX: usize = 64;
        match self {
            Literal::Null => write!(f, "NULL"),
            Literal::Integer(value) => write!(f, "{value}"),
            Literal::Decimal(text) => write!(f, "{text}"),
            Literal::Float(value) => write!(f, "{value:e}"),
            Literal::Text(text) | Literal::Temporal(text) => {
                let shown: String = text.chars().take(SHOWN_MAX).collect();
                let dots = if shown.len() < text.len() { "..." } else { "" };
                write!(f, "'{shown}{dots}'")
            }
            Literal::Bytes(bytes) => {
                write!(f, "0x")?;
                bytes.iter().take(SHOWN_MAX / 2).try_for_each(|byte| write!(f, "{byte:02X}"))?;
                if bytes.len() > SHOWN_MAX / 2 { write!(f, "...") } else { Ok(()) }
            }
        }
    }
}
