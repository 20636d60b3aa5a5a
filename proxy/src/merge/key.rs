//! Values as they compare: keys of ORDER BY, GROUP BY and DISTINCT, in MySQL's order.

use super::{
    MergeError,
    decimal::Parts,
    layout::{Domain, Layout, RowFormat},
    row::{Field, Row},
};
use shardline_router::plan::{OrderKey, SortColumn};
use shardline_wire::value::Layout as ValueLayout;
use smallvec::SmallVec;
use std::cmp::Ordering;

/// A [`SortColumn`] with the columns' places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    value: usize,
    weight: Option<usize>,
    pad: Option<usize>,
    descending: bool,
}

/// One value of a row, ready to be compared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Null,
    Integer(i128),
    Double(f64),
    Decimal(Field),
    Bytes(Field),
    Weight { weight: Field, pad: Option<Field> },
}

/// The values of a row that are compared, in order.
pub(crate) type Key = SmallVec<[Part; 2]>;

impl Comparison {
    pub(crate) fn of_column(layout: &Layout, column: &SortColumn) -> Result<Self, MergeError> {
        let place = |column: Option<_>| column.map(|column| layout.index_of(column)).transpose();
        let value = layout.index_of(column.value)?;
        // Some functions of times weigh as their text, which sorts otherwise than they do.
        let is_text = layout.columns[value].domain == Domain::Bytes;
        Ok(Comparison {
            value,
            weight: place(column.weight)?.filter(|_| is_text),
            pad: place(column.pad)?,
            descending: false,
        })
    }

    pub(crate) fn of_order(layout: &Layout, key: &OrderKey) -> Result<Self, MergeError> {
        let column = Self::of_column(layout, &key.column)?;
        Ok(Comparison { descending: key.descending, ..column })
    }

    /// The value of `row` that this compares.
    pub(crate) fn part(&self, layout: &Layout, row: &Row) -> Result<Part, MergeError> {
        if let Some(weight) = self.weight.and_then(|weight| row.field(weight)) {
            let pad = self.pad.and_then(|pad| row.field(pad));
            return Ok(Part::Weight { weight, pad });
        }
        let (Some(field), Some(value)) = (row.field(self.value), row.value(self.value)) else {
            return Ok(Part::Null);
        };
        let column = &layout.columns[self.value];
        let part = match (column.domain, layout.format) {
            (Domain::Bytes, _) => Some(Part::Bytes(field)),
            (Domain::Decimal, _) => Parts::of(value).map(|_| Part::Decimal(field)),
            (Domain::Integer { .. }, RowFormat::Text) => integer_of_text(value).map(Part::Integer),
            (Domain::Integer { unsigned }, RowFormat::Binary) => {
                integer_of_bytes(value, unsigned).map(Part::Integer)
            }
            (Domain::Float | Domain::Double, format) => {
                double_of(value, column.wire, format).map(Part::Double)
            }
            (Domain::Bit, _) => bit_of(value).map(Part::Integer),
            (Domain::Date, RowFormat::Text) => date_of_text(value).map(Part::Integer),
            (Domain::Date, RowFormat::Binary) => date_of_bytes(value).map(Part::Integer),
            (Domain::Time, RowFormat::Text) => time_of_text(value).map(Part::Integer),
            (Domain::Time, RowFormat::Binary) => time_of_bytes(value).map(Part::Integer),
        };
        part.ok_or(MergeError::Value { column: self.value })
    }
}

/// The values of `row` that `comparisons` compare.
pub(crate) fn key_of(
    comparisons: &[Comparison],
    layout: &Layout,
    row: &Row,
) -> Result<Key, MergeError> {
    comparisons.iter().map(|comparison| comparison.part(layout, row)).collect()
}

/// The order of two rows under `comparisons`, given their keys.
pub(crate) fn compare(
    comparisons: &[Comparison],
    one: (&Row, &Key),
    other: (&Row, &Key),
) -> Ordering {
    for ((comparison, left), right) in comparisons.iter().zip(one.1).zip(other.1) {
        let order = compare_parts((one.0, left), (other.0, right));
        if order != Ordering::Equal {
            return if comparison.descending { order.reverse() } else { order };
        }
    }
    Ordering::Equal
}

/// The order of two values; NULL is first.
pub(crate) fn compare_parts(one: (&Row, &Part), other: (&Row, &Part)) -> Ordering {
    match (one.1, other.1) {
        (Part::Null, Part::Null) => Ordering::Equal,
        (Part::Integer(left), Part::Integer(right)) => left.cmp(right),
        (Part::Double(left), Part::Double(right)) => left.total_cmp(right),
        (Part::Decimal(left), Part::Decimal(right)) => {
            let left = one.0.at(*left).and_then(Parts::of);
            let right = other.0.at(*right).and_then(Parts::of);
            left.cmp(&right)
        }
        (Part::Bytes(left), Part::Bytes(right)) => one.0.at(*left).cmp(&other.0.at(*right)),
        (Part::Weight { weight: left, pad }, Part::Weight { weight: right, .. }) => {
            let pad = pad.and_then(|pad| one.0.at(pad)).unwrap_or_default();
            compare_padded(
                one.0.at(*left).unwrap_or_default(),
                other.0.at(*right).unwrap_or_default(),
                pad,
            )
        }
        // NULL is before everything; the other kinds never meet in one column, but an
        // order must be total whatever a server sends.
        (left, right) => rank(left).cmp(&rank(right)),
    }
}

fn rank(part: &Part) -> u8 {
    match part {
        Part::Null => 0,
        Part::Integer(_) => 1,
        Part::Double(_) => 2,
        Part::Decimal(_) => 3,
        Part::Bytes(_) => 4,
        Part::Weight { .. } => 5,
    }
}

/// Compares weights as if the shorter one went on with `pad` for ever.
fn compare_padded(left: &[u8], right: &[u8], pad: &[u8]) -> Ordering {
    let common = left.len().min(right.len());
    let order = left[..common].cmp(&right[..common]);
    if order != Ordering::Equal || left.len() == right.len() {
        return order;
    }
    if pad.is_empty() {
        return left.len().cmp(&right.len());
    }
    let against_pad = |rest: &[u8]| {
        let padding = pad.iter().cycle();
        rest.iter().zip(padding).map(|(byte, pad)| byte.cmp(pad)).find(|order| order.is_ne())
    };
    if left.len() > right.len() {
        against_pad(&left[common..]).unwrap_or(Ordering::Equal)
    } else {
        against_pad(&right[common..]).unwrap_or(Ordering::Equal).reverse()
    }
}

/// Appends bytes that are equal exactly for values that compare equal.
pub(crate) fn push_identity(out: &mut Vec<u8>, row: &Row, part: &Part) {
    out.push(rank(part));
    match part {
        Part::Null => {}
        Part::Integer(value) => out.extend_from_slice(&value.to_le_bytes()),
        Part::Double(value) => out.extend_from_slice(&value.to_bits().to_le_bytes()),
        Part::Decimal(field) => {
            if let Some(parts) = row.at(*field).and_then(Parts::of) {
                out.push(u8::from(parts.negative));
                push_counted(out, parts.whole);
                push_counted(out, parts.fraction);
            }
        }
        Part::Bytes(field) => push_counted(out, row.at(*field).unwrap_or_default()),
        Part::Weight { weight, pad } => {
            let mut weight = row.at(*weight).unwrap_or_default();
            let pad = pad.and_then(|pad| row.at(pad)).unwrap_or_default();
            if !pad.is_empty() {
                while let Some(shorter) = weight.strip_suffix(pad) {
                    weight = shorter;
                }
            }
            push_counted(out, weight);
        }
    }
}

fn push_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Digits that certainly fit into 64 bits.
const SHORT_DIGITS_MAX: usize = 18;

pub(crate) fn integer_of_text(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > SHORT_DIGITS_MAX {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let mut value = 0_i64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return std::str::from_utf8(text).ok()?.parse().ok();
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(i128::from(if negative { -value } else { value }))
}

pub(crate) fn integer_of_bytes(bytes: &[u8], unsigned: bool) -> Option<i128> {
    if bytes.is_empty() || bytes.len() > 8 {
        return None;
    }
    let negative = !unsigned && bytes[bytes.len() - 1] & 0x80 != 0;
    let mut all = if negative { [0xff; 16] } else { [0; 16] };
    all[..bytes.len()].copy_from_slice(bytes);
    Some(i128::from_le_bytes(all))
}

/// The number of a FLOAT or DOUBLE; both zeros are one.
pub(crate) fn double_of(value: &[u8], wire: ValueLayout, format: RowFormat) -> Option<f64> {
    let number = match (format, wire) {
        (RowFormat::Text, _) => std::str::from_utf8(value).ok()?.parse().ok()?,
        (RowFormat::Binary, ValueLayout::Float) => {
            f64::from(f32::from_le_bytes(value.try_into().ok()?))
        }
        (RowFormat::Binary, _) => f64::from_le_bytes(value.try_into().ok()?),
    };
    Some(if number == 0.0 { 0.0 } else { number })
}

fn bit_of(bytes: &[u8]) -> Option<i128> {
    if bytes.len() > 8 {
        return None;
    }
    Some(bytes.iter().fold(0, |number, byte| number << 8 | i128::from(*byte)))
}

/// `YYYY-MM-DD[ hh:mm:ss[.ffffff]]` as a number in the same order.
fn date_of_text(text: &[u8]) -> Option<i128> {
    let (date, time) = match text.iter().position(|byte| matches!(byte, b' ' | b'T')) {
        Some(space) => (&text[..space], Some(&text[space + 1..])),
        None => (text, None),
    };
    let mut parts = date.split(|byte| *byte == b'-').map(integer_of_text);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let micros = time.map_or(Some(0), time_of_text)?;
    Some(pack_date(year, month, day) + micros)
}

fn date_of_bytes(bytes: &[u8]) -> Option<i128> {
    let byte = |index: usize| i128::from(bytes.get(index).copied().unwrap_or(0));
    if !matches!(bytes.len(), 0 | 4 | 7 | 11) {
        return None;
    }
    let seconds = (byte(4) * 60 + byte(5)) * 60 + byte(6);
    let micros = bytes.get(7..11).map_or(Some(0), |micros| integer_of_bytes(micros, true))?;
    Some(pack_date(byte(0) | byte(1) << 8, byte(2), byte(3)) + seconds * 1_000_000 + micros)
}

fn pack_date(year: i128, month: i128, day: i128) -> i128 {
    ((year * 16 + month) * 32 + day) * 86_400_000_000
}

/// `[-]h:mm:ss[.ffffff]` in microseconds.
fn time_of_text(text: &[u8]) -> Option<i128> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    let mut seconds = 0;
    for part in whole.split(|byte| *byte == b':') {
        seconds = seconds * 60 + integer_of_text(part)?;
    }
    let mut micros = if fraction.is_empty() { 0 } else { integer_of_text(fraction)? };
    micros *= 10_i128.pow(6_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?);
    let all = seconds * 1_000_000 + micros;
    Some(if negative { -all } else { all })
}

fn time_of_bytes(bytes: &[u8]) -> Option<i128> {
    if bytes.is_empty() {
        return Some(0);
    }
    if !matches!(bytes.len(), 8 | 12) {
        return None;
    }
    let days = integer_of_bytes(&bytes[1..5], true)?;
    let byte = |index: usize| i128::from(bytes[index]);
    let seconds = ((days * 24 + byte(5)) * 60 + byte(6)) * 60 + byte(7);
    let micros = bytes.get(8..12).map_or(Some(0), |micros| integer_of_bytes(micros, true))?;
    let all = seconds * 1_000_000 + micros;
    Some(if bytes[0] != 0 { -all } else { all })
}
