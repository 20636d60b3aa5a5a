//! A connection: a stream with a slab of received bytes, a buffer of bytes to send and a sequence
//! number. It moves packets and decides nothing.

use std::future::{Future, poll_fn};
use std::io;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::packet::{self, Deframer, FrameError, HEADER_LENGTH, Header, PAYLOAD_MAX};
use crate::slab::{self, SLAB_LENGTH};
use crate::stream::Stream;

/// Bytes that one read asks for at most while a large packet or a long result comes in.
const READ_MAX: usize = 256 * 1024;
/// A buffer with more capacity than this is given back once it is empty.
const KEPT_MAX: usize = 64 * 1024;

/// Why a connection is of no use any more.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The peer closed the connection between packets.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer closed the connection inside a packet.
    #[error("the peer closed the connection inside a packet")]
    ClosedInside,
    /// The operating system or TLS reports an error.
    #[error("cannot {operation}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// The peer's bytes are not packets in order and within the limits.
    #[error("bad packet")]
    Frame(#[from] FrameError),
}

/// A stream of packets. See the module's text.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    received: BytesMut,
    deframer: Deframer,
    unsent: BytesMut,
    sequence: u8,
    max_allowed_packet: usize,
    /// Bytes that the next read asks for: grows while reads are filled.
    read_length: usize,
}

impl Connection {
    /// A connection over `stream` that refuses payloads of more than `max_allowed_packet` bytes.
    pub fn new(stream: impl Into<Stream>, max_allowed_packet: usize) -> Self {
        Self {
            stream: stream.into(),
            received: BytesMut::new(),
            deframer: Deframer::new(),
            unsent: BytesMut::new(),
            sequence: 0,
            max_allowed_packet,
            read_length: SLAB_LENGTH,
        }
    }

    /// The stream below.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Changes the limit on received payloads, in bytes.
    pub fn set_max_allowed_packet(&mut self, max_allowed_packet: usize) {
        self.max_allowed_packet = max_allowed_packet;
    }

    /// The sequence number of the next packet, sent or received.
    pub fn sequence(&self) -> u8 {
        self.sequence
    }

    /// Sets the sequence number of the next packet: 0 before a command, and after raw bytes were
    /// relayed the one after the last packet's.
    pub fn set_sequence(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// The next payload. Large ones are joined; others share the slab's memory, so that keeping one
    /// for long keeps the slab. Cancel-safe: what was received stays.
    pub async fn read_packet(&mut self) -> Result<Bytes, ConnectionError> {
        loop {
            let max = self.max_allowed_packet;
            if let Some(payload) =
                self.deframer.next(&mut self.received, &mut self.sequence, max)?
            {
                return Ok(payload);
            }
            let inside = !self.received.is_empty() || self.deframer.is_gathering();
            if self.read_some().await? == 0 {
                return Err(if inside {
                    ConnectionError::ClosedInside
                } else {
                    ConnectionError::Closed
                });
            }
        }
    }

    /// The next command, with sequence numbers starting anew. Its buffer goes back to the
    /// thread's slabs when it is dropped; nothing is allocated unless it is large.
    pub fn poll_command(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload, ConnectionError>> {
        loop {
            if !self.deframer.is_gathering() {
                self.sequence = 0;
            }
            if let Some(payload) = self.take_payload()? {
                return Poll::Ready(Ok(payload));
            }
            if ready!(self.poll_read_some(cx))? == 0 {
                let inside = !self.received.is_empty() || self.deframer.is_gathering();
                let closed =
                    if inside { ConnectionError::ClosedInside } else { ConnectionError::Closed };
                return Poll::Ready(Err(closed));
            }
        }
    }

    /// The same as a future. Cancel-safe.
    pub async fn read_command(&mut self) -> Result<Payload, ConnectionError> {
        poll_fn(|cx| self.poll_command(cx)).await
    }

    /// A payload that was received already. The slab is handed out when there is nothing
    /// else in it, as between commands.
    fn take_payload(&mut self) -> Result<Option<Payload>, FrameError> {
        let Some(header) = Header::peek(&self.received) else { return Ok(None) };
        let end = HEADER_LENGTH + header.length;
        let plain = header.sequence == self.sequence
            && header.length < PAYLOAD_MAX
            && header.length <= self.max_allowed_packet
            && !self.deframer.is_gathering();
        if !plain {
            let max = self.max_allowed_packet;
            let payload = self.deframer.next(&mut self.received, &mut self.sequence, max)?;
            return Ok(payload.map(Payload::from));
        }
        if self.received.len() < end {
            return Ok(None);
        }
        self.sequence = self.sequence.wrapping_add(1);
        if self.received.len() == end {
            let buffer = std::mem::take(&mut self.received);
            return Ok(Some(Payload { buffer, start: HEADER_LENGTH }));
        }
        let mut buffer = slab::take();
        buffer.extend_from_slice(&self.received[HEADER_LENGTH..end]);
        self.received.advance(end);
        Ok(Some(Payload { buffer, start: 0 }))
    }

    /// The next payload that was received already, without waiting.
    pub fn try_read_packet(&mut self) -> Result<Option<Bytes>, ConnectionError> {
        let max = self.max_allowed_packet;
        Ok(self.deframer.next(&mut self.received, &mut self.sequence, max)?)
    }

    /// Reads one payload without reading beyond it, so that what follows can be given to TLS.
    pub(crate) async fn read_packet_exactly(&mut self) -> Result<Bytes, ConnectionError> {
        loop {
            let max = self.max_allowed_packet;
            if let Some(payload) =
                self.deframer.next(&mut self.received, &mut self.sequence, max)?
            {
                return Ok(payload);
            }
            let missing = Deframer::missing(&self.received);
            self.received.reserve(missing);
            let mut limited = (&mut self.stream).take(missing as u64);
            let count = limited.read_buf(&mut self.received).await.map_err(reading)?;
            if count == 0 {
                return Err(ConnectionError::Closed);
            }
        }
    }

    /// Reads what is there into the slab; 0 means that the peer closed. Cancel-safe.
    ///
    /// For relaying: the bytes appear in `buffered` and must be consumed before the next call if
    /// memory is to stay bounded.
    pub async fn read_some(&mut self) -> Result<usize, ConnectionError> {
        poll_fn(|cx| self.poll_read_some(cx)).await
    }

    /// The same, polled. While nothing comes the connection holds no slab.
    pub fn poll_read_some(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ConnectionError>> {
        // Asked first, as most reads come too early: a buffer is made ready only for bytes.
        ready!(self.stream.poll_readable(cx)).map_err(reading)?;
        let small = self.read_length == SLAB_LENGTH;
        if small && self.received.is_empty() && self.received.capacity() > KEPT_MAX {
            self.received = BytesMut::new();
        }
        if self.received.capacity() == 0 {
            self.received = slab::take();
        }
        let missing = Deframer::missing(&self.received);
        let wanted = missing.clamp(self.read_length, READ_MAX);
        if self.received.capacity() - self.received.len() < wanted {
            self.received.reserve(wanted);
        }
        let room = self.received.capacity() - self.received.len();
        let polled = pin!(self.stream.read_buf(&mut self.received)).poll(cx);
        if self.received.is_empty() {
            slab::give_back(std::mem::take(&mut self.received));
        }
        let count = ready!(polled).map_err(reading)?;
        self.read_length = match count {
            _ if count == room => (self.read_length * 2).min(READ_MAX),
            _ if count < self.read_length / 2 => SLAB_LENGTH,
            _ => self.read_length,
        };
        Poll::Ready(Ok(count))
    }

    /// Bytes received and not consumed yet.
    pub fn buffered(&self) -> &[u8] {
        &self.received
    }

    /// The same, for changing sequence numbers in place.
    pub fn buffered_mut(&mut self) -> &mut [u8] {
        &mut self.received
    }

    /// Drops `count` bytes from the front of what was received.
    ///
    /// # Panics
    /// If `count` is more than is there.
    pub fn consume(&mut self, count: usize) {
        self.received.advance(count);
    }

    /// Queues a payload, split into packets as needed.
    pub fn queue_packet(&mut self, payload: &[u8]) {
        self.ready_unsent();
        packet::encode(payload, &mut self.sequence, &mut self.unsent);
    }

    /// Queues a payload that `write` appends in place.
    pub fn queue_with(&mut self, write: impl FnOnce(&mut BytesMut)) {
        self.ready_unsent();
        packet::encode_with(&mut self.unsent, &mut self.sequence, write);
    }

    /// Queues bytes that are packets already. The sequence number is the caller's concern.
    pub fn queue_raw(&mut self, packets: &[u8]) {
        self.ready_unsent();
        self.unsent.extend_from_slice(packets);
    }

    /// Queues whole packets with new sequence numbers, going on from this connection's.
    /// Returns how many bytes were taken; a partial packet at the end is not.
    pub fn queue_renumbered(&mut self, packets: &[u8]) -> usize {
        self.ready_unsent();
        let start = self.unsent.len();
        self.unsent.extend_from_slice(packets);
        let taken = packet::renumber(&mut self.unsent[start..], &mut self.sequence);
        self.unsent.truncate(start + taken);
        taken
    }

    fn ready_unsent(&mut self) {
        if self.unsent.capacity() == 0 {
            self.unsent = slab::take();
        }
    }

    /// Bytes queued and not sent yet. A caller that queues much flushes when this is large.
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Whether a flush may have something to do; TLS may keep bytes to itself.
    pub fn may_flush(&self) -> bool {
        !self.unsent.is_empty() || self.stream.is_tls()
    }

    /// Drops what is queued and not sent yet, such as an answer that turned into an error.
    /// Only between `flush` calls that ended.
    pub fn discard_unsent(&mut self) {
        self.unsent.clear();
    }

    /// Sends everything that is queued. Cancel-safe: what was not sent stays queued.
    pub async fn flush(&mut self) -> Result<(), ConnectionError> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// The same, polled.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        while !self.unsent.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.unsent);
            let count = ready!(written).map_err(writing)?;
            if count == 0 {
                return Poll::Ready(Err(writing(io::ErrorKind::WriteZero.into())));
            }
            if count == self.unsent.len() {
                break;
            }
            self.unsent.advance(count);
        }
        if self.unsent.capacity() > 0 {
            slab::give_back(std::mem::take(&mut self.unsent));
        }
        if self.stream.is_tls() {
            return Pin::new(&mut self.stream).poll_flush(cx).map_err(writing);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes packets as they are, as many of their bytes as there is room for at once.
    /// Nothing may be queued. Pending when there is no room, or when the stream is TLS, which
    /// would keep bytes to itself: that is for [`Connection::send_raw`].
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        packets: &[u8],
    ) -> Poll<Result<usize, ConnectionError>> {
        debug_assert!(self.unsent.is_empty(), "what is queued comes first");
        if self.stream.is_tls() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, packets).map_err(writing)
    }

    /// Sends what is queued and then `packets`, which are packets already, without copying them.
    /// Not cancel-safe: a cancelled call may have sent a part.
    pub async fn send_raw(&mut self, packets: &[u8]) -> Result<(), ConnectionError> {
        if self.unsent.is_empty() {
            self.stream.write_all(packets).await.map_err(writing)?;
        } else {
            let mut both = (&mut self.unsent).chain(packets);
            self.stream.write_all_buf(&mut both).await.map_err(writing)?;
        }
        self.flush().await
    }

    /// Sends what is queued and closes the sending side, TLS included.
    pub async fn shutdown(&mut self) -> Result<(), ConnectionError> {
        self.flush().await?;
        self.stream
            .shutdown()
            .await
            .map_err(|source| ConnectionError::Io { operation: "close the connection", source })
    }

    /// Takes the stream out, to wrap it in TLS. Nothing may be buffered.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// The connection over another stream, going on with the same numbers.
    pub(crate) fn over(stream: Stream, sequence: u8, max_allowed_packet: usize) -> Self {
        Self { sequence, ..Self::new(stream, max_allowed_packet) }
    }

    /// The limit on received payloads, in bytes.
    pub fn max_allowed_packet(&self) -> usize {
        self.max_allowed_packet
    }
}

/// One received payload. Its buffer goes back to the thread's slabs when it is dropped.
#[derive(Debug)]
pub struct Payload {
    buffer: BytesMut,
    start: usize,
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        let buffer = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        Payload { buffer, start: 0 }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        slab::give_back(std::mem::take(&mut self.buffer));
    }
}

fn reading(source: io::Error) -> ConnectionError {
    ConnectionError::Io { operation: "read from the connection", source }
}

fn writing(source: io::Error) -> ConnectionError {
    ConnectionError::Io { operation: "write to the connection", source }
}
