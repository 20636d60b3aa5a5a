//! MySQL's binary JSON: a tree of values with offsets. MariaDB's JSON is text and needs none of this.
//!
//! Source: the comment at the head of `json_binary.h` in MySQL.

mod text;

use crate::error::DecodeError;
use crate::reader::{Reader, text as utf8};
use crate::value::{Date, DateTime, Decimal, Time};

use bytes::Bytes;

/// The deepest nesting that MySQL allows.
const DEPTH_MAX: usize = 100;
const FIELD: &str = "JSON";
const INVALID: DecodeError = DecodeError::Invalid { field: FIELD };

/// A JSON value with the types that MySQL tells apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer, also when it is small.
    UInt(u64),
    /// A double.
    Double(f64),
    /// A string.
    String(Box<str>),
    /// A decimal.
    Decimal(Decimal),
    /// A date.
    Date(Date),
    /// A span.
    Time(Time),
    /// A date and time.
    DateTime(DateTime),
    /// Bytes of another type, which print as `base64:type...:...`.
    Opaque {
        /// The type's number.
        kind: u8,
        /// The bytes.
        bytes: Bytes,
    },
    /// An array.
    Array(Vec<Json>),
    /// An object in the server's order of keys.
    Object(Vec<(Box<str>, Json)>),
}

impl Json {
    /// Reads a stored value.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::Null);
        }
        // In a valid value nothing is shared, so that its nodes and texts together are smaller than it.
        let mut tree = Tree { budget: bytes.len() };
        tree.value(bytes[0], bytes.slice(1..), 0)
    }

    /// Whether reading its text gives the same types again.
    pub fn is_plain(&self) -> bool {
        match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Double(_) | Self::String(_) => true,
            Self::UInt(number) => *number > i64::MAX as u64,
            Self::Array(items) => items.iter().all(Self::is_plain),
            Self::Object(members) => members.iter().all(|(_, value)| value.is_plain()),
            Self::Decimal(_)
            | Self::Date(_)
            | Self::Time(_)
            | Self::DateTime(_)
            | Self::Opaque { .. } => false,
        }
    }
}

struct Tree {
    budget: usize,
}

impl Tree {
    fn spend(&mut self, amount: usize) -> Result<(), DecodeError> {
        self.budget = self.budget.checked_sub(amount).ok_or(INVALID)?;
        Ok(())
    }

    fn value(&mut self, kind: u8, bytes: Bytes, depth: usize) -> Result<Json, DecodeError> {
        self.spend(1)?;
        let mut reader = Reader::new(bytes);
        Ok(match kind {
            0..=3 if depth >= DEPTH_MAX => return Err(INVALID),
            0 | 1 => self.object(reader.rest(), kind == 1, depth + 1)?,
            2 | 3 => self.array(reader.rest(), kind == 3, depth + 1)?,
            4 => match reader.u8(FIELD)? {
                0 => Json::Null,
                1 => Json::Bool(true),
                2 => Json::Bool(false),
                _ => return Err(INVALID),
            },
            5 => Json::Int(i64::from(reader.u16(FIELD)? as i16)),
            6 => Json::UInt(u64::from(reader.u16(FIELD)?)),
            7 => Json::Int(i64::from(reader.u32(FIELD)? as i32)),
            8 => Json::UInt(u64::from(reader.u32(FIELD)?)),
            9 => Json::Int(reader.u64(FIELD)? as i64),
            10 => Json::UInt(reader.u64(FIELD)?),
            11 => Json::Double(f64::from_bits(reader.u64(FIELD)?)),
            12 => {
                let bytes = self.counted(&mut reader)?;
                Json::String(utf8(&bytes, FIELD)?)
            }
            15 => {
                let kind = reader.u8(FIELD)?;
                opaque(kind, self.counted(&mut reader)?)?
            }
            _ => return Err(INVALID),
        })
    }

    /// Bytes after their length, which has seven bits in each byte.
    fn counted(&mut self, reader: &mut Reader) -> Result<Bytes, DecodeError> {
        let mut length = 0u64;
        for place in 0..5 {
            let byte = reader.u8(FIELD)?;
            length |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                let bytes = reader.bytes_of(length, FIELD)?;
                self.spend(bytes.len())?;
                return Ok(bytes);
            }
        }
        Err(INVALID)
    }

    fn array(&mut self, whole: Bytes, large: bool, depth: usize) -> Result<Json, DecodeError> {
        let mut reader = Reader::new(whole.clone());
        let count = self.head(&mut reader, &whole, large)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.entry(&mut reader, &whole, large, depth)?);
        }
        Ok(Json::Array(items))
    }

    fn object(&mut self, whole: Bytes, large: bool, depth: usize) -> Result<Json, DecodeError> {
        let mut reader = Reader::new(whole.clone());
        let count = self.head(&mut reader, &whole, large)?;
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            let offset = offset(&mut reader, large)?;
            let length = usize::from(reader.u16(FIELD)?);
            let end = offset.checked_add(length).ok_or(INVALID)?;
            let key = whole.get(offset..end).ok_or(INVALID)?;
            self.spend(length)?;
            keys.push(utf8(key, FIELD)?);
        }
        let mut members = Vec::with_capacity(count);
        for key in keys {
            members.push((key, self.entry(&mut reader, &whole, large, depth)?));
        }
        Ok(Json::Object(members))
    }

    /// The count of elements. The size after it must not be more than there is.
    fn head(
        &mut self,
        reader: &mut Reader,
        whole: &Bytes,
        large: bool,
    ) -> Result<usize, DecodeError> {
        let (count, size) = (offset(reader, large)?, offset(reader, large)?);
        if size > whole.len() || count > reader.remaining() {
            return Err(INVALID);
        }
        Ok(count)
    }

    /// A type and either the value itself, if it is small, or its offset.
    fn entry(
        &mut self,
        reader: &mut Reader,
        whole: &Bytes,
        large: bool,
        depth: usize,
    ) -> Result<Json, DecodeError> {
        let kind = reader.u8(FIELD)?;
        let inline = matches!(kind, 4..=6) || (large && matches!(kind, 7 | 8));
        if inline {
            let bytes = reader.bytes(if large { 4 } else { 2 }, FIELD)?;
            return self.value(kind, bytes, depth);
        }
        let offset = offset(reader, large)?;
        if offset > whole.len() {
            return Err(INVALID);
        }
        self.value(kind, whole.slice(offset..), depth)
    }
}

fn offset(reader: &mut Reader, large: bool) -> Result<usize, DecodeError> {
    let bytes = if large { 4 } else { 2 };
    usize::try_from(reader.uint(bytes, FIELD)?).map_err(|_| INVALID)
}

/// Values of SQL types. Times are the servers' packed numbers: 24 bits of fraction at the end.
fn opaque(kind: u8, bytes: Bytes) -> Result<Json, DecodeError> {
    let mut reader = Reader::new(bytes.clone());
    let value = match kind {
        0 | 246 => {
            let [precision, scale] = reader.array(FIELD)?;
            if !(1..=65).contains(&precision) || scale > precision {
                return Err(INVALID);
            }
            Json::Decimal(Decimal::decode(&mut reader, precision, scale)?)
        }
        10 => Json::Date(packed_datetime(&mut reader)?.date),
        7 | 12 => Json::DateTime(packed_datetime(&mut reader)?),
        11 => {
            let packed = (reader.u64(FIELD)? as i64).checked_add(0x8000_0000_0000);
            let packed = packed.and_then(|packed| u64::try_from(packed).ok()).ok_or(INVALID)?;
            let bytes = Bytes::copy_from_slice(&packed.to_be_bytes()[2..]);
            if packed >> 48 != 0 {
                return Err(INVALID);
            }
            Json::Time(Time::decode(&mut Reader::new(bytes), 6)?)
        }
        _ => {
            reader.rest();
            Json::Opaque { kind, bytes }
        }
    };
    if reader.is_empty() { Ok(value) } else { Err(INVALID) }
}

fn packed_datetime(reader: &mut Reader) -> Result<DateTime, DecodeError> {
    let packed = reader.u64(FIELD)?;
    let packed = packed.checked_add(0x8000_0000_0000_0000).ok_or(INVALID)?;
    DateTime::decode(&mut Reader::new(Bytes::copy_from_slice(&packed.to_be_bytes())), 6)
}

#[cfg(test)]
mod tests;
