//! MySQL's transaction ids: events, with and without tag, and sets as intervals.
//!
//! Source: the comments on `Gtid_event`, `Gtid_set::encode` and the serialization library in MySQL.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::reader::{Reader, text};

/// The longest tag.
const TAG_MAX: usize = 32;
/// The most intervals that a set may have.
const INTERVALS_MAX: usize = 1 << 20;

/// Who numbers transactions: a server, and within it a tag, which is empty for none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// The server's UUID.
    pub uuid: [u8; 16],
    /// The tag.
    pub tag: Box<str>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.uuid.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        if self.tag.is_empty() { Ok(()) } else { write!(f, ":{}", self.tag) }
    }
}

/// The start of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlGtidEvent {
    /// Who numbered it; `None` with `gtid_mode=OFF`.
    pub source: Option<Source>,
    /// Its number; 0 with `gtid_mode=OFF`.
    pub number: u64,
}

impl MysqlGtidEvent {
    /// The two events without tag.
    pub(crate) fn decode(body: Bytes, anonymous: bool) -> Result<Self, DecodeError> {
        let field = "transaction id";
        let mut reader = Reader::new(body);
        reader.skip(1, field)?;
        let uuid = reader.array(field)?;
        let number = reader.u64(field)?;
        let source = (!anonymous).then(|| Source { uuid, tag: "".into() });
        Ok(Self { source, number })
    }

    /// The event with tag: fields with numbers, in rising order, whose lengths the reader must know. The
    /// first four are all that is wanted.
    pub(crate) fn decode_tagged(body: Bytes) -> Result<Self, DecodeError> {
        let field = "tagged transaction id";
        let invalid = DecodeError::Invalid { field };
        let mut reader = Reader::new(body);
        // Version of the format, size of the message, last field that must be understood.
        if variable(&mut reader)? != 1 {
            return Err(invalid);
        }
        variable(&mut reader)?;
        variable(&mut reader)?;
        let (mut uuid, mut number, mut tag) = (None, None, None);
        while tag.is_none() {
            match variable(&mut reader)? {
                0 => drop(variable(&mut reader)?),
                1 => {
                    let mut bytes = [0; 16];
                    for byte in &mut bytes {
                        *byte =
                            u8::try_from(variable(&mut reader)?).map_err(|_| invalid.clone())?;
                    }
                    uuid = Some(bytes);
                }
                // Signed numbers have their sign in the lowest bit.
                2 => number = Some(variable(&mut reader)?).filter(|n| n & 1 == 0).map(|n| n >> 1),
                3 => tag = Some(decode_tag(&mut reader)?),
                _ => return Err(invalid),
            }
        }
        match (uuid, number, tag) {
            (Some(uuid), Some(number), Some(tag)) => {
                Ok(Self { source: Some(Source { uuid, tag }), number })
            }
            _ => Err(invalid),
        }
    }
}

/// An integer of 1 to 9 bytes: the count of trailing ones in the first byte is that of more bytes.
fn variable(reader: &mut Reader) -> Result<u64, DecodeError> {
    let field = "number of variable length";
    let first = reader.u8(field)?;
    let more = first.trailing_ones();
    let high = reader.uint(more as usize, field)?;
    Ok(match more {
        8 => high,
        7 => high,
        _ => high << (7 - more) | u64::from(first >> (more + 1)),
    })
}

fn put_variable(out: &mut BytesMut, value: u64) {
    let bits = 64 - value.leading_zeros();
    let more = bits.saturating_sub(1) / 7;
    if more >= 8 {
        out.put_u8(0xff);
        out.put_u64_le(value);
        return;
    }
    let word = u128::from(value) << (more + 1) | ((1 << more) - 1);
    out.extend_from_slice(&word.to_le_bytes()[..=more as usize]);
}

fn decode_tag(reader: &mut Reader) -> Result<Box<str>, DecodeError> {
    let length = variable(reader)?;
    let tag = reader.bytes_of(length, "tag")?;
    if tag.len() > TAG_MAX {
        return Err(DecodeError::TooLarge { field: "tag", limit: TAG_MAX });
    }
    text(&tag, "tag")
}

/// A set of transactions: for each source, intervals from a first number to the one after the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidSet {
    intervals: BTreeMap<Source, Vec<(u64, u64)>>,
}

impl GtidSet {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Whether a transaction is in it.
    pub fn contains(&self, source: &Source, number: u64) -> bool {
        let intervals = self.intervals.get(source).map_or(&[][..], Vec::as_slice);
        intervals.iter().any(|(start, end)| (*start..*end).contains(&number))
    }

    /// Adds one transaction.
    pub fn insert(&mut self, source: Source, number: u64) {
        self.add(source, number, number.saturating_add(1));
    }

    fn add(&mut self, source: Source, start: u64, end: u64) {
        let intervals = self.intervals.entry(source).or_default();
        intervals.push((start, end));
        intervals.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(intervals.len());
        for (start, end) in intervals.drain(..) {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        *intervals = merged;
    }

    /// The form that the servers send and take. Both forms begin with the count of sources; the one with
    /// tags marks itself in the highest and the lowest byte of it.
    pub fn encode(&self, out: &mut BytesMut) {
        let count = self.intervals.len() as u64;
        let tagged = self.intervals.keys().any(|source| !source.tag.is_empty());
        out.put_u64_le(if tagged { 1 << 56 | count << 8 | 1 } else { count });
        for (source, intervals) in &self.intervals {
            out.extend_from_slice(&source.uuid);
            if tagged {
                put_variable(out, source.tag.len() as u64);
                out.extend_from_slice(source.tag.as_bytes());
            }
            out.put_u64_le(intervals.len() as u64);
            for (start, end) in intervals {
                out.put_u64_le(*start);
                out.put_u64_le(*end);
            }
        }
    }

    /// Reads what `encode` writes, such as the body of PREVIOUS_GTIDS.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let field = "set of transaction ids";
        let invalid = DecodeError::Invalid { field };
        let mut reader = Reader::new(body);
        let head = reader.u64(field)?;
        let (count, tagged) = match (head >> 56, head & 0xff) {
            (0, _) => (head, false),
            (1, 1) => (head >> 8 & 0xffff_ffff_ffff, true),
            _ => return Err(invalid),
        };
        let mut set = Self::default();
        let mut total = 0;
        for _ in 0..count {
            let uuid = reader.array(field)?;
            let tag = if tagged { decode_tag(&mut reader)? } else { "".into() };
            let intervals = reader.u64(field)?;
            total += usize::try_from(intervals).unwrap_or(usize::MAX).min(INTERVALS_MAX + 1);
            if total > INTERVALS_MAX {
                return Err(DecodeError::TooLarge { field, limit: INTERVALS_MAX });
            }
            let mut found: Vec<(u64, u64)> = Vec::new();
            for _ in 0..intervals {
                let (start, end) = (reader.u64(field)?, reader.u64(field)?);
                if start >= end || found.last().is_some_and(|last| last.1 > start) {
                    return Err(invalid);
                }
                found.push((start, end));
            }
            set.intervals.insert(Source { uuid, tag }, found);
        }
        if reader.is_empty() { Ok(set) } else { Err(invalid) }
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (source, intervals)) in self.intervals.iter().enumerate() {
            write!(f, "{}{source}", if place == 0 { "" } else { "," })?;
            for (start, end) in intervals {
                write!(f, ":{start}")?;
                if end - start > 1 {
                    write!(f, "-{}", end - 1)?;
                }
            }
        }
        Ok(())
    }
}

/// The text is not a set as `@@gtid_executed` prints it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a part of a set of transaction ids")]
pub struct NotASet(String);

impl FromStr for GtidSet {
    type Err = NotASet;

    /// Reads `uuid:1-5:8,uuid:tag:1`. A tag holds for the intervals after it.
    fn from_str(text: &str) -> Result<Self, NotASet> {
        let mut set = Self::default();
        for group in text.split(',').map(str::trim).filter(|group| !group.is_empty()) {
            let wrong = || NotASet(group.chars().take(80).collect());
            let mut parts = group.split(':').map(str::trim);
            let uuid = parts.next().and_then(parse_uuid).ok_or_else(wrong)?;
            let mut source = Source { uuid, tag: "".into() };
            for part in parts {
                if part.starts_with(|c: char| c.is_ascii_digit()) {
                    let (first, last) = part.split_once('-').unwrap_or((part, part));
                    let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
                        return Err(wrong());
                    };
                    if first == 0 || first > last || last > i64::MAX as u64 {
                        return Err(wrong());
                    }
                    set.add(source.clone(), first, last + 1);
                } else {
                    let valid = part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
                    if !valid || part.is_empty() || part.len() > TAG_MAX {
                        return Err(wrong());
                    }
                    source.tag = part.to_ascii_lowercase().into();
                }
            }
        }
        Ok(set)
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let mut uuid = [0; 16];
    if pairs.len() != uuid.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in uuid.iter_mut().zip(pairs) {
        if !pair.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SET: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:8,\
        3e11fa47-71ca-11e1-9e33-c80aa9429562:red:1,ffffffff-ffff-ffff-ffff-ffffffffffff:7-9";

    fn encoded(set: &GtidSet) -> Bytes {
        let mut out = BytesMut::new();
        set.encode(&mut out);
        out.freeze()
    }

    #[test]
    fn sets_as_text_and_as_bytes() {
        let set: GtidSet = SET.parse().expect("a set");
        assert_eq!(set.to_string(), SET);
        assert_eq!(GtidSet::decode(encoded(&set)), Ok(set.clone()));
        let mut whole = set.clone();
        let source = Source { uuid: [0xff; 16], tag: "".into() };
        assert!(set.contains(&source, 9) && !set.contains(&source, 10));
        whole.insert(source, 10);
        assert!(whole.to_string().ends_with(":7-10"));
        let plain: GtidSet = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5".parse().expect("a set");
        assert_eq!(encoded(&plain).len(), 8 + 16 + 8 + 16);
        assert_eq!(GtidSet::decode(encoded(&plain)), Ok(plain));
        for wrong in ["x", "3e11fa47:1", "3e11fa47-71ca-11e1-9e33-c80aa9429562:5-1"] {
            assert!(wrong.parse::<GtidSet>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn broken_sets_are_errors() {
        let bytes = encoded(&SET.parse().expect("a set"));
        for end in 0..bytes.len() {
            assert!(GtidSet::decode(bytes.slice(..end)).is_err(), "{end}");
        }
        let huge = [&[0xff; 7][..], &[0]].concat();
        assert!(GtidSet::decode(Bytes::from(huge)).is_err());
    }

    proptest! {
        #[test]
        fn numbers_of_variable_length_agree(value in prop_oneof![any::<u64>(), 0u64..1 << 20], cut in 0u32..64) {
            let value = value >> cut;
            let mut out = BytesMut::new();
            put_variable(&mut out, value);
            prop_assert_eq!(variable(&mut Reader::new(out.freeze())), Ok(value));
        }
    }
}
