//! Framing: a packet is a 3-byte length, a sequence number and a payload; payloads of 16 MiB - 1
//! bytes and more continue in the next packet. Pure functions over buffers.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Bytes of a packet's header.
pub const HEADER_LENGTH: usize = 4;
/// The largest payload of one packet; a packet of this size is continued by the next.
pub const PAYLOAD_MAX: usize = 0xff_ffff;

/// A packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload, at most `PAYLOAD_MAX`.
    pub length: usize,
    /// Sequence number.
    pub sequence: u8,
}

impl Header {
    /// Reads a header from the front of `bytes`; `None` if it is not there whole.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, sequence] = *bytes.first_chunk::<HEADER_LENGTH>()?;
        Some(Self { length: u32::from_le_bytes([a, b, c, 0]) as usize, sequence })
    }

    /// The header as sent.
    pub fn encode(self) -> [u8; HEADER_LENGTH] {
        let [a, b, c, _] = (self.length as u32).to_le_bytes();
        [a, b, c, self.sequence]
    }
}

/// Why the bytes of a peer are not packets that can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The sequence number is not the next one.
    #[error("packet number {found} where {expected} was due")]
    OutOfOrder {
        /// The number that was due.
        expected: u8,
        /// The number in the packet.
        found: u8,
    },
    /// The payload, over all its packets, is larger than the limit.
    #[error("packet of more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Takes whole payloads off the front of a slab of received bytes.
///
/// Continued payloads are gathered in a buffer of their own; everything else is handed out as a
/// slice of the slab without copying.
#[derive(Debug, Default)]
pub struct Deframer {
    gathered: Option<BytesMut>,
}

impl Deframer {
    /// A deframer between payloads.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next payload off `slab`, or `None` when more bytes are needed. `sequence` is the
    /// number due and is moved on. The limit is checked on the header, before any memory for the
    /// payload is taken.
    pub fn next(
        &mut self,
        slab: &mut BytesMut,
        sequence: &mut u8,
        payload_max: usize,
    ) -> Result<Option<Bytes>, FrameError> {
        loop {
            let Some(header) = Header::peek(slab) else { return Ok(None) };
            if header.sequence != *sequence {
                return Err(FrameError::OutOfOrder { expected: *sequence, found: header.sequence });
            }
            let before = self.gathered.as_ref().map_or(0, BytesMut::len);
            if before + header.length > payload_max {
                return Err(FrameError::TooLarge { limit: payload_max });
            }
            if slab.len() < HEADER_LENGTH + header.length {
                return Ok(None);
            }
            let mut packet = slab.split_to(HEADER_LENGTH + header.length);
            bytes::Buf::advance(&mut packet, HEADER_LENGTH);
            *sequence = sequence.wrapping_add(1);
            let continues = header.length == PAYLOAD_MAX;
            match (&mut self.gathered, continues) {
                (None, false) => return Ok(Some(packet.freeze())),
                (None, true) => self.gathered = Some(packet),
                (Some(gathered), true) => gathered.extend_from_slice(&packet),
                (Some(gathered), false) => {
                    gathered.extend_from_slice(&packet);
                    return Ok(self.gathered.take().map(BytesMut::freeze));
                }
            }
        }
    }

    /// Whether a part of a continued payload was taken already.
    pub fn is_gathering(&self) -> bool {
        self.gathered.is_some()
    }

    /// The bytes that `slab` lacks until its first packet is whole (at least 1), for sizing reads.
    pub fn missing(slab: &[u8]) -> usize {
        let needed = Header::peek(slab).map_or(HEADER_LENGTH, |h| HEADER_LENGTH + h.length);
        needed.saturating_sub(slab.len()).max(1)
    }
}

/// Appends `payload` as one or more packets.
pub fn encode(payload: &[u8], sequence: &mut u8, out: &mut BytesMut) {
    let mut rest = payload;
    loop {
        let length = rest.len().min(PAYLOAD_MAX);
        let (head, tail) = rest.split_at(length);
        out.reserve(HEADER_LENGTH + length);
        out.put_slice(&Header { length, sequence: *sequence }.encode());
        out.put_slice(head);
        *sequence = sequence.wrapping_add(1);
        rest = tail;
        // A payload of an exact multiple ends with an empty packet.
        if length < PAYLOAD_MAX {
            return;
        }
    }
}

/// Appends one payload that `write` produces in place, with its header before it.
pub fn encode_with(out: &mut BytesMut, sequence: &mut u8, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_slice(&[0; HEADER_LENGTH]);
    write(out);
    let length = out.len().saturating_sub(start + HEADER_LENGTH);
    if length < PAYLOAD_MAX {
        let header = Header { length, sequence: *sequence }.encode();
        out[start..start + HEADER_LENGTH].copy_from_slice(&header);
        *sequence = sequence.wrapping_add(1);
        return;
    }
    let payload = out.split_off(start + HEADER_LENGTH);
    out.truncate(start);
    encode(&payload, sequence, out);
}

/// Numbers the whole packets in `packets` anew, starting with `sequence`, which is moved on.
/// Returns how many bytes belong to whole packets; the rest is untouched.
pub fn renumber(packets: &mut [u8], sequence: &mut u8) -> usize {
    let mut position = 0;
    while let Some(header) = packets.get(position..).and_then(Header::peek) {
        let end = position + HEADER_LENGTH + header.length;
        if end > packets.len() {
            break;
        }
        packets[position + 3] = *sequence;
        *sequence = sequence.wrapping_add(1);
        position = end;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payloads(bytes: &[u8], step: usize, max: usize) -> Result<Vec<Bytes>, FrameError> {
        let (mut slab, mut deframer, mut sequence) = (BytesMut::new(), Deframer::new(), 0);
        let mut found = Vec::new();
        for chunk in bytes.chunks(step.max(1)) {
            slab.extend_from_slice(chunk);
            while let Some(payload) = deframer.next(&mut slab, &mut sequence, max)? {
                found.push(payload);
            }
        }
        Ok(found)
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(
            given in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            step in 1usize..50,
        ) {
            let (mut out, mut sequence) = (BytesMut::new(), 0);
            for payload in &given {
                encode(payload, &mut sequence, &mut out);
            }
            let whole = payloads(&out, out.len(), 1000).unwrap();
            prop_assert_eq!(&whole, &payloads(&out, step, 1000).unwrap());
            prop_assert_eq!(whole, given);
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = payloads(&bytes, 7, 1 << 20);
            let mut copy = bytes.clone();
            prop_assert!(renumber(&mut copy, &mut 250) <= bytes.len());
        }
    }

    #[test]
    fn large_payloads_are_split_and_joined() {
        for length in [PAYLOAD_MAX - 1, PAYLOAD_MAX, PAYLOAD_MAX + 1, 2 * PAYLOAD_MAX] {
            let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let (mut out, mut sequence) = (BytesMut::new(), 0);
            encode(&payload, &mut sequence, &mut out);
            assert_eq!(usize::from(sequence), length / PAYLOAD_MAX + 1);
            let (mut in_place, mut number) = (BytesMut::new(), 0);
            encode_with(&mut in_place, &mut number, |out| out.extend_from_slice(&payload));
            assert!(in_place == out && number == sequence);
            let found = payloads(&out, 1 << 20, length).unwrap();
            assert!(found.len() == 1 && found[0] == payload);
            assert_eq!(
                payloads(&out, 1 << 20, length - 1),
                Err(FrameError::TooLarge { limit: length - 1 })
            );
        }
    }

    #[test]
    fn order_and_limit_are_checked_on_the_header() {
        let mut slab = BytesMut::from(&[1, 0, 0, 5, b'x'][..]);
        let error = Deframer::new().next(&mut slab, &mut 0, 100).unwrap_err();
        assert_eq!(error, FrameError::OutOfOrder { expected: 0, found: 5 });
        let mut slab = BytesMut::from(&[101, 0, 0, 0][..]);
        let error = Deframer::new().next(&mut slab, &mut 0, 100).unwrap_err();
        assert_eq!(error, FrameError::TooLarge { limit: 100 });
    }
}
