//! Buffers that a thread's connections share. A connection holds one only while bytes are in
//! it, so that an idle connection costs none and a busy one does not allocate.

use bytes::BytesMut;
use std::cell::RefCell;

/// Bytes of a slab.
pub(crate) const SLAB_LENGTH: usize = 16 * 1024;
/// A buffer that has grown beyond this is freed and not kept.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// Slabs that a thread keeps at most.
const KEPT_MAX: usize = 64;

thread_local! {
    static KEPT: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for [`SLAB_LENGTH`] bytes.
pub(crate) fn take() -> BytesMut {
    let kept = KEPT.with_borrow_mut(Vec::pop);
    kept.unwrap_or_else(|| BytesMut::with_capacity(SLAB_LENGTH))
}

/// Takes a buffer back, whatever is in it. One that others still share is left to them.
pub(crate) fn give_back(mut slab: BytesMut) {
    if slab.capacity() == 0 {
        return;
    }
    slab.clear();
    if !slab.try_reclaim(SLAB_LENGTH) || slab.capacity() > KEPT_BYTES_MAX {
        return;
    }
    KEPT.with_borrow_mut(|kept| {
        if kept.len() < KEPT_MAX {
            kept.push(slab);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    #[test]
    fn a_used_slab_comes_back_whole_and_a_shared_one_does_not() {
        let mut slab = take();
        let place = slab.as_ptr();
        slab.extend_from_slice(&[1; SLAB_LENGTH]);
        slab.advance(SLAB_LENGTH - 1);
        give_back(slab);
        let mut again = take();
        assert_eq!(again.as_ptr(), place);
        assert!(again.is_empty() && again.capacity() >= SLAB_LENGTH);
        again.extend_from_slice(b"kept");
        let shared = again.split().freeze();
        give_back(again);
        assert_ne!(take().as_ptr(), place);
        assert_eq!(&shared[..], b"kept");
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        give_back(BytesMut::with_capacity(KEPT_BYTES_MAX + 1));
        assert!(take().capacity() <= KEPT_BYTES_MAX);
    }
}
