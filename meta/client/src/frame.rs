//! Frames: a 4-byte little-endian length, then a postcard body. The length is checked
//! before anything is allocated, and memory grows only with the bytes that really arrive.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest body, in bytes.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// The longest encoded [`shardline_model::change::Change`], in bytes: several fit a frame.
pub const CHANGE_BYTES_MAX: usize = 4 << 20;

/// The length of one part of a snapshot, in bytes.
pub const SNAPSHOT_PART_BYTES: usize = 1 << 20;

/// The longest encoded catalog, in bytes.
pub const SNAPSHOT_BYTES_MAX: u64 = 512 << 20;

const HEADER_BYTES: usize = 4;
/// Buffers above this are given back after a frame.
const BUFFER_BYTES_KEPT: usize = 64 << 10;

/// Why a frame cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The body is longer than the cap.
    #[error("a frame of {bytes} bytes is over the limit of {FRAME_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The body is not the message that was expected.
    #[error("a frame cannot be decoded")]
    Body(#[source] postcard::Error),
    /// Bytes are left after the message.
    #[error("a frame has {bytes} bytes after its message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The connection ended inside a frame.
    #[error("the connection ended inside a frame")]
    Cut,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[source] std::io::Error),
}

/// Takes the next whole frame's body off the front of `buffer`. None: more bytes are needed.
pub fn take(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some(header) = buffer.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let bytes = u32::from_le_bytes(*header) as usize;
    if bytes > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes });
    }
    if buffer.len() < HEADER_BYTES + bytes {
        return Ok(None);
    }
    buffer.advance(HEADER_BYTES);
    Ok(Some(buffer.split_to(bytes).freeze()))
}

/// Encodes a message with its header.
pub fn encode<T: Serialize + ?Sized>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame =
        postcard::to_extend(message, vec![0; HEADER_BYTES]).map_err(FrameError::Body)?;
    let bytes = frame.len() - HEADER_BYTES;
    if bytes > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes });
    }
    frame[..HEADER_BYTES].copy_from_slice(&(bytes as u32).to_le_bytes());
    Ok(frame)
}

/// Decodes a body; all of it must be the message.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(body).map_err(FrameError::Body)? {
        (message, []) => Ok(message),
        (_, rest) => Err(FrameError::Trailing { bytes: rest.len() }),
    }
}

/// Frames over a byte stream.
#[derive(Debug)]
pub struct FrameStream<S> {
    stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> FrameStream<S> {
    /// Frames over `stream`.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Reads one body; None at a clean end. Cancel-safe: what was read stays buffered.
    pub async fn read(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(body) = take(&mut self.buffer)? {
                if self.buffer.is_empty() && body.len() > BUFFER_BYTES_KEPT {
                    self.buffer = BytesMut::new();
                }
                return Ok(Some(body));
            }
            let read = self.stream.read_buf(&mut self.buffer).await.map_err(FrameError::Io)?;
            match (read, self.buffer.is_empty()) {
                (0, true) => return Ok(None),
                (0, false) => return Err(FrameError::Cut),
                _ => {}
            }
        }
    }

    /// Reads one message; None at a clean end. Cancel-safe.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        self.read().await?.map(|body| decode(&body)).transpose()
    }

    /// Writes one message and flushes it. Not cancel-safe: the connection is lost then.
    pub async fn send<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), FrameError> {
        self.send_encoded(&encode(message)?).await
    }

    /// Writes what [`encode`] gave and flushes it. Not cancel-safe.
    pub async fn send_encoded(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        self.stream.write_all(frame).await.map_err(FrameError::Io)?;
        self.stream.flush().await.map_err(FrameError::Io)
    }
}

/// Fuzz entry: any bytes as a stream of frames, each decoded as every message.
pub fn fuzz(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(body)) = take(&mut buffer) {
        let _ = decode::<crate::rpc::Request>(&body);
        let _ = decode::<crate::rpc::Response>(&body);
        let _ = decode::<crate::rpc::WatchEvent>(&body);
    }
}
