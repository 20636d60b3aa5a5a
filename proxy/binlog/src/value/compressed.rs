//! Values of MariaDB's `COMPRESSED` columns: a byte that tells the method, the length of the original
//! as a big-endian number, and the compressed bytes.

use bytes::Bytes;

use crate::compress;
use crate::error::DecodeError;
use crate::reader::Reader;

const FIELD: &str = "compressed value";

/// The original of a stored value. An empty one is stored as it is.
pub(super) fn original(stored: Bytes, length_max: usize) -> Result<Bytes, DecodeError> {
    if stored.is_empty() {
        return Ok(stored);
    }
    let mut reader = Reader::new(stored);
    let method = reader.u8(FIELD)?;
    if method == 0 {
        return Ok(reader.rest());
    }
    if method & 0xf0 != 0x80 {
        return Err(DecodeError::Invalid { field: FIELD });
    }
    let length = reader.uint_be(usize::from(method & 7), FIELD)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= length_max)
        .ok_or(DecodeError::TooLarge { field: FIELD, limit: length_max })?;
    let wrapped = method & 8 == 0;
    compress::inflate(&reader.rest(), length, wrapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_and_empty_values() {
        assert_eq!(original(Bytes::new(), 9).as_deref(), Ok(&b""[..]));
        assert_eq!(original(Bytes::from_static(b"\0abc"), 9).as_deref(), Ok(&b"abc"[..]));
        assert!(original(Bytes::from_static(b"\x10abc"), 9).is_err());
        assert!(original(Bytes::from_static(&[0x81, 200, 1, 2]), 9).is_err());
        assert!(original(Bytes::from_static(&[0x81, 5, 1, 2]), 9).is_err());
    }
}
