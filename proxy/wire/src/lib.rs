//! The MySQL protocol, both sides: synchronous codecs, thin async I/O.
