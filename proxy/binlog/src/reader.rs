//! A bounds-checked reader over an event's bytes. Every decoder of the crate reads through it, so
//! none can panic or read past the end, whatever the bytes are. What it hands out shares memory
//! with the event.

use bytes::{Buf, Bytes};

use crate::error::DecodeError;

/// Reads from the front of a body. Little endian unless a name says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn bytes(
        &mut self,
        length: usize,
        field: &'static str,
    ) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Truncated { field });
        }
        Ok(self.rest.split_to(length))
    }

    /// A length read from the bytes themselves, which may be larger than any memory.
    pub(crate) fn bytes_of(
        &mut self,
        length: u64,
        field: &'static str,
    ) -> Result<Bytes, DecodeError> {
        let length = usize::try_from(length).map_err(|_| DecodeError::Truncated { field })?;
        self.bytes(length, field)
    }

    pub(crate) fn skip(&mut self, length: usize, field: &'static str) -> Result<(), DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Truncated { field });
        }
        self.rest.advance(length);
        Ok(())
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let found = *self.rest.first_chunk::<N>().ok_or(DecodeError::Truncated { field })?;
        self.rest.advance(N);
        Ok(found)
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// An integer of 0 to 8 bytes.
    pub(crate) fn uint(&mut self, length: usize, field: &'static str) -> Result<u64, DecodeError> {
        let found = self.rest.get(..length.min(9)).ok_or(DecodeError::Truncated { field })?;
        if found.len() > 8 {
            return Err(DecodeError::Invalid { field });
        }
        let value = found.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        self.rest.advance(length);
        Ok(value)
    }

    /// A big-endian integer of 0 to 8 bytes.
    pub(crate) fn uint_be(
        &mut self,
        length: usize,
        field: &'static str,
    ) -> Result<u64, DecodeError> {
        let found = self.rest.get(..length.min(9)).ok_or(DecodeError::Truncated { field })?;
        if found.len() > 8 {
            return Err(DecodeError::Invalid { field });
        }
        let value = found.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        self.rest.advance(length);
        Ok(value)
    }

    /// A length-encoded integer, as in the client protocol.
    pub(crate) fn lenenc(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        match self.u8(field)? {
            small @ 0..=0xfa => Ok(u64::from(small)),
            0xfc => self.u16(field).map(u64::from),
            0xfd => self.uint(3, field),
            0xfe => self.u64(field),
            0xfb | 0xff => Err(DecodeError::Invalid { field }),
        }
    }

    pub(crate) fn lenenc_bytes(&mut self, field: &'static str) -> Result<Bytes, DecodeError> {
        let length = self.lenenc(field)?;
        self.bytes_of(length, field)
    }

    /// A count of things that take at least one byte each of what is left.
    pub(crate) fn lenenc_count(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let count = self.lenenc(field)?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.rest.len())
            .ok_or(DecodeError::Truncated { field })
    }
}

/// A text that must be UTF-8, such as a name.
pub(crate) fn text(bytes: &[u8], field: &'static str) -> Result<Box<str>, DecodeError> {
    std::str::from_utf8(bytes).map(Box::from).map_err(|_| DecodeError::Invalid { field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_byte_orders_and_stops_at_the_end() {
        let mut reader = Reader::new(Bytes::from_static(&[1, 2, 3, 1, 2, 3, 9]));
        assert_eq!(reader.uint(3, "a"), Ok(0x03_0201));
        assert_eq!(reader.uint_be(3, "b"), Ok(0x01_0203));
        assert_eq!(reader.u16("c"), Err(DecodeError::Truncated { field: "c" }));
        assert_eq!(reader.uint(9, "d"), Err(DecodeError::Truncated { field: "d" }));
        assert_eq!(reader.u8("e"), Ok(9));
        assert!(reader.is_empty());
    }

    #[test]
    fn lengths_beyond_the_end_are_errors() {
        let huge = [0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert!(Reader::new(Bytes::copy_from_slice(&huge)).lenenc_bytes("s").is_err());
        assert!(Reader::new(Bytes::from_static(&[5, 0, 0])).lenenc_count("n").is_err());
        let mut reader = Reader::new(Bytes::from_static(b"\x02abc"));
        assert_eq!(reader.lenenc_bytes("s").as_deref(), Ok(&b"ab"[..]));
        assert_eq!(reader.rest().as_ref(), b"c");
    }
}
