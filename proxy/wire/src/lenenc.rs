//! Writing length-encoded integers and strings; `cursor` reads them.

use bytes::{BufMut, BytesMut};

/// Appends `value` in its shortest form.
pub fn put_integer(out: &mut BytesMut, value: u64) {
    match value {
        0..=0xfa => out.put_u8(value as u8),
        0xfb..=0xffff => {
            out.put_u8(0xfc);
            out.put_u16_le(value as u16);
        }
        0x1_0000..=0xff_ffff => {
            out.put_u8(0xfd);
            out.put_uint_le(value, 3);
        }
        _ => {
            out.put_u8(0xfe);
            out.put_u64_le(value);
        }
    }
}

/// Appends the length of `text` and `text`.
pub fn put_bytes(out: &mut BytesMut, text: &[u8]) {
    put_integer(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// The number of bytes that `put_integer` writes for `value`.
pub fn integer_length(value: u64) -> usize {
    match value {
        0..=0xfa => 1,
        0xfb..=0xffff => 3,
        0x1_0000..=0xff_ffff => 4,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::Reader;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_agree(value in prop_oneof![any::<u64>(), 0u64..0x2_0000, 0xff_fff0u64..0x100_0010]) {
            let mut out = BytesMut::new();
            put_integer(&mut out, value);
            prop_assert_eq!(out.len(), integer_length(value));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.lenenc("v"), Ok(value));
            prop_assert!(reader.is_empty());
            for cut in 0..out.len() {
                prop_assert!(Reader::new(&out[..cut]).lenenc("v").is_err());
            }
        }
    }

    #[test]
    fn a_length_beyond_the_packet_is_an_error() {
        let bytes = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'a'];
        assert!(Reader::new(&bytes).lenenc_bytes("s").is_err());
        assert!(Reader::new(&[0xfb]).lenenc("n").is_err());
        assert_eq!(Reader::new(&[0xfb]).lenenc_bytes_or_null("n"), Ok(None));
    }
}
