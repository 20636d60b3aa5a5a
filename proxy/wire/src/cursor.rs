//! A bounds-checked reader over a packet's payload. Every decoder of the crate reads through it,
//! so no decoder can panic or read past the end, whatever the bytes are.

use thiserror::Error;

/// Why bytes are not a packet of the expected shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The packet ends inside a field.
    #[error("{field}: the packet ends too early")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
    },
    /// A field holds a value that the protocol does not know.
    #[error("{field}: the value is not valid here")]
    Invalid {
        /// The field that was being read.
        field: &'static str,
    },
    /// A field is larger than a limit of this crate.
    #[error("{field}: more than {limit}")]
    TooLarge {
        /// The field that was being read.
        field: &'static str,
        /// The limit, in bytes or in items.
        limit: usize,
    },
}

/// Reads integers and strings from the front of a payload. Little endian throughout.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the first byte of `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether all bytes were read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte, left in place.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next `length` bytes.
    pub fn bytes(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, tail) =
            self.rest.split_at_checked(length).ok_or(DecodeError::Truncated { field })?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, tail) =
            self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated { field })?;
        self.rest = tail;
        Ok(*head)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// One byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// Two bytes.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// Three bytes.
    pub fn u24(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array::<3>(field).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// Four bytes.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// The bytes before the next NUL; the NUL is read too.
    pub fn null_terminated(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let end = memchr::memchr(0, self.rest).ok_or(DecodeError::Truncated { field })?;
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(text)
    }

    /// The bytes before the next NUL, or all that is left when there is none.
    pub fn null_terminated_or_rest(&mut self) -> &'a [u8] {
        match self.null_terminated("string") {
            Ok(text) => text,
            Err(_) => self.rest(),
        }
    }

    /// A length-encoded integer. The NULL marker `0xfb` and `0xff` are invalid here.
    pub fn lenenc(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        match self.u8(field)? {
            small @ 0..=0xfa => Ok(u64::from(small)),
            0xfc => self.u16(field).map(u64::from),
            0xfd => self.u24(field).map(u64::from),
            0xfe => self.u64(field),
            0xfb | 0xff => Err(DecodeError::Invalid { field }),
        }
    }

    /// A length-encoded string.
    pub fn lenenc_bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.lenenc(field)?;
        let length = usize::try_from(length).map_err(|_| DecodeError::Truncated { field })?;
        self.bytes(length, field)
    }

    /// A length-encoded string or NULL (`0xfb`), as in text rows.
    pub fn lenenc_bytes_or_null(
        &mut self,
        field: &'static str,
    ) -> Result<Option<&'a [u8]>, DecodeError> {
        if self.peek() == Some(0xfb) {
            self.rest = &self.rest[1..];
            return Ok(None);
        }
        self.lenenc_bytes(field).map(Some)
    }
}
