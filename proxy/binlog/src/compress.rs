//! Decompression with a known size: zlib for MariaDB's events and columns, zstd for MySQL's
//! transaction payloads. Memory grows with what really comes out, never with what a header promises.

use std::io::Read;

use bytes::Bytes;

use crate::decoder::EVENT_MAX;
use crate::error::DecodeError;
use crate::reader::Reader;

/// What is reserved before anything came out.
const FIRST_RESERVED_MAX: usize = 1 << 20;

/// Inflates to exactly `length` bytes. `wrapped`: with zlib's header and checksum.
pub(crate) fn inflate(
    compressed: &[u8],
    length: usize,
    wrapped: bool,
) -> Result<Bytes, DecodeError> {
    if wrapped {
        exactly(flate2::read::ZlibDecoder::new(compressed), length)
    } else {
        exactly(flate2::read::DeflateDecoder::new(compressed), length)
    }
}

/// Decompresses zstd frames to exactly `length` bytes.
pub(crate) fn unzstd(compressed: &[u8], length: usize) -> Result<Bytes, DecodeError> {
    let invalid = |_| DecodeError::Invalid { field: "compressed payload" };
    exactly(zstd::stream::read::Decoder::new(compressed).map_err(invalid)?, length)
}

fn exactly(source: impl Read, length: usize) -> Result<Bytes, DecodeError> {
    let field = "compressed data";
    let mut out = Vec::with_capacity(length.min(FIRST_RESERVED_MAX));
    // One byte more than promised would show that the promise is wrong.
    let read = source.take(length as u64 + 1).read_to_end(&mut out);
    match read {
        Ok(found) if found == length => Ok(Bytes::from(out)),
        Ok(_) | Err(_) => Err(DecodeError::Invalid { field }),
    }
}

/// The rest of a compressed event of MariaDB: a byte with 1 in the highest bit, the algorithm (0 is
/// zlib) in three and the count of bytes of the length in the other bits; the length, big endian; zlib.
pub(crate) fn event_rest(reader: &mut Reader) -> Result<Bytes, DecodeError> {
    let field = "compressed event";
    let head = reader.u8(field)?;
    let length_bytes = usize::from(head & 7);
    if head & 0xf0 != 0x80 || !(1..=4).contains(&length_bytes) {
        return Err(DecodeError::Invalid { field });
    }
    let length = reader.uint_be(length_bytes, field)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= EVENT_MAX)
        .ok_or(DecodeError::TooLarge { field, limit: EVENT_MAX })?;
    inflate(&reader.rest(), length, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn the_promised_size_must_be_the_real_one() {
        let bytes = vec![7u8; 5_000];
        let packed = zlib(&bytes);
        assert_eq!(inflate(&packed, 5_000, true).as_deref(), Ok(&bytes[..]));
        for length in [0, 4_999, 5_001] {
            assert!(inflate(&packed, length, true).is_err(), "{length}");
        }
        assert!(inflate(&packed, 5_000, false).is_err());
        let packed = zstd::encode_all(&bytes[..], 3).expect("memory");
        assert_eq!(unzstd(&packed, 5_000).as_deref(), Ok(&bytes[..]));
        assert!(unzstd(&packed, 4_999).is_err());
        assert!(unzstd(&packed[..packed.len() - 1], 5_000).is_err());
    }

    #[test]
    fn an_events_rest_tells_its_length() {
        let mut rest = vec![0x82, 0x13, 0x88];
        rest.extend(zlib(&[7u8; 5_000]));
        let found = event_rest(&mut Reader::new(Bytes::from(rest.clone())));
        assert_eq!(found.map(|bytes| bytes.len()), Ok(5_000));
        rest[0] = 0x92;
        assert!(event_rest(&mut Reader::new(Bytes::from(rest.clone()))).is_err());
        rest[0] = 0x80;
        assert!(event_rest(&mut Reader::new(Bytes::from(rest))).is_err());
    }
}
