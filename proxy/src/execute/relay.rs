//! Forwards one response of a backend to the client without decoding it. Nothing is read
//! from the backend while the client has not taken what was read before.

use crate::{
    registry::{Kill, KillSwitch},
    session::client::{Client, ClientLost},
};
use bytes::{Bytes, BytesMut};
use shardline_wire::{
    capability::Capabilities,
    connection::{Connection, ConnectionError},
    packet,
    relay::{End, EndPacket, Request, ResponseTracker},
    response::{ERR, ErrPacket},
};
use std::task::{Context, Poll};

/// One response to forward.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    /// What was asked.
    pub(crate) request: Request,
    /// What the backend connection agreed.
    pub(crate) capabilities: Capabilities,
    /// Whether the last packet is left in the backend's slab.
    pub(crate) end_packet: EndPacket,
}

/// Why a response was not forwarded to its end.
#[derive(Debug)]
pub(crate) enum RelayFailure {
    /// The backend is lost.
    Backend {
        /// Why.
        reason: String,
        /// What the client has of the response.
        sent: Sent,
    },
    /// The client is gone; the backend is still at work.
    Client(ClientLost),
}

/// How far a response had come when it broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The client has seen nothing of it.
    Nothing,
    /// Whole packets: an error can follow.
    Packets,
    /// A part of a packet: the connection cannot go on.
    Broken,
}

/// A response on its way. Its packets keep their numbers, so it must be the first to the
/// client's command.
#[derive(Debug)]
pub(crate) struct Relaying {
    tracker: ResponseTracker,
    end_packet: EndPacket,
    sent: Sent,
    /// Bytes at the front of what the backend has sent that the client is to have next.
    due: usize,
    complete: bool,
    error: Option<ErrPacket>,
}

/// How far [`Relaying::poll_quick`] came.
#[derive(Debug)]
pub(crate) enum Quick {
    /// The response was forwarded to its end, as [`Relaying::end`] says.
    Ended,
    /// There is more to do than to forward: [`Relaying::run`] goes on.
    Stuck,
    /// The response broke off.
    Failed(RelayFailure),
}

impl Relaying {
    /// Whether anything of the response was forwarded.
    pub(crate) fn has_begun(&self) -> bool {
        self.sent != Sent::Nothing
    }

    /// Forwards as long as nothing is in the way: the client takes all bytes at once, and
    /// nobody interrupts.
    pub(crate) fn poll_quick(
        &mut self,
        backend: &mut Connection,
        client: &mut Client,
        kill: &KillSwitch,
        cx: &mut Context<'_>,
    ) -> Poll<Quick> {
        if client.connection.unsent() > 0 {
            return Poll::Ready(Quick::Stuck);
        }
        loop {
            if self.due > 0 {
                let packets = &backend.buffered()[..self.due];
                match client.connection.poll_write(cx, packets) {
                    Poll::Ready(Ok(count)) => self.forwarded(count, backend, client),
                    Poll::Ready(Err(error)) => {
                        let lost = RelayFailure::Client(ClientLost::Connection(error));
                        return Poll::Ready(Quick::Failed(lost));
                    }
                    Poll::Pending => return Poll::Ready(Quick::Stuck),
                }
                if self.due > 0 {
                    return Poll::Ready(Quick::Stuck);
                }
            }
            if self.complete {
                return Poll::Ready(Quick::Ended);
            }
            match backend.poll_read_some(cx) {
                Poll::Ready(read) => {
                    if let Err(failure) = self.take_read(read, backend) {
                        return Poll::Ready(Quick::Failed(failure));
                    }
                }
                Poll::Pending => {
                    if let Poll::Ready(error) = client.poll_hung_up(cx) {
                        let lost = RelayFailure::Client(ClientLost::Connection(error));
                        return Poll::Ready(Quick::Failed(lost));
                    }
                    kill.watch(cx);
                    let thrown = kill.state().is_some();
                    return if thrown { Poll::Ready(Quick::Stuck) } else { Poll::Pending };
                }
            }
        }
    }

    /// Forwards the response as it comes, to its end. `interrupt` is called once, for KILL
    /// QUERY: the backend's error is then the response.
    pub(crate) async fn run(
        &mut self,
        backend: &mut Connection,
        client: &mut Client,
        kill: &KillSwitch,
        interrupt: impl FnOnce(),
    ) -> Result<(), RelayFailure> {
        let mut interrupt = Some(interrupt);
        self.look(backend)?;
        loop {
            if self.due > 0 {
                let packets = &backend.buffered()[..self.due];
                client.send_raw(packets, kill).await.map_err(RelayFailure::Client)?;
                self.forwarded(self.due, backend, client);
            }
            if self.complete {
                return Ok(());
            }
            tokio::select! {
                biased;
                read = backend.read_some() => self.take_read(read, backend)?,
                event = interruption(client, kill, interrupt.is_some()) => match event {
                    Interruption::Query => {
                        if kill.is_deadlock() && self.tracker.hold_end() {
                            // The client is told of the deadlock, not of the kill.
                            self.end_packet = EndPacket::Hold;
                        }
                        if let Some(interrupt) = interrupt.take() {
                            interrupt();
                        }
                    }
                    Interruption::Lost(lost) => return Err(RelayFailure::Client(lost)),
                },
            }
        }
    }

    /// Whether the last packet is left in the backend's slab.
    pub(crate) fn holds_end(&self) -> bool {
        self.end_packet == EndPacket::Hold
    }

    /// How the response ended, once it has.
    pub(crate) fn followed(&self) -> &End {
        self.tracker.end()
    }

    /// The same, to go on with the connection, and the error when the response was
    /// nothing else. The number of a held packet is free again.
    pub(crate) fn end(
        &mut self,
        backend: &mut Connection,
        client: &mut Client,
    ) -> (End, Option<ErrPacket>) {
        let end = *self.tracker.end();
        if self.end_packet == EndPacket::Hold {
            client.connection.set_sequence(end.sequence);
            backend.set_sequence(end.sequence);
        }
        (end, self.error.take())
    }

    fn take_read(
        &mut self,
        read: Result<usize, ConnectionError>,
        backend: &Connection,
    ) -> Result<(), RelayFailure> {
        match read {
            Ok(0) => Err(backend_failure(&ConnectionError::Closed, self.sent)),
            Ok(_) => self.look(backend),
            Err(error) => Err(backend_failure(&error, self.sent)),
        }
    }

    /// Finds what may be forwarded of what has come.
    fn look(&mut self, backend: &Connection) -> Result<(), RelayFailure> {
        if self.due > 0 || self.complete {
            return Ok(());
        }
        let progress = match self.tracker.feed(backend.buffered()) {
            Ok(progress) => progress,
            Err(error) => return Err(backend_failure(&error, self.sent)),
        };
        (self.due, self.complete) = (progress.forward, progress.complete);
        if self.sent == Sent::Nothing && self.complete && self.due > 0 {
            self.error = sole_error(&backend.buffered()[..self.due]);
        }
        Ok(())
    }

    fn forwarded(&mut self, count: usize, backend: &mut Connection, client: &mut Client) {
        backend.consume(count);
        self.due -= count;
        let whole = self.due == 0 && self.tracker.is_between_packets();
        self.sent = if whole { Sent::Packets } else { Sent::Broken };
        client.connection.set_sequence(self.tracker.end().sequence.wrapping_add(1));
    }
}

impl Relay {
    /// The response to a statement that was sent: nothing of it is forwarded yet.
    pub(crate) fn begin(self) -> Relaying {
        Relaying {
            tracker: ResponseTracker::new(self.request, self.capabilities, self.end_packet),
            end_packet: self.end_packet,
            sent: Sent::Nothing,
            due: 0,
            complete: false,
            error: None,
        }
    }

    /// Forwards the response packet by packet with the client's own numbers, after other
    /// results of the same command. The end packet is returned and not sent.
    pub(crate) async fn run_numbered(
        self,
        backend: &mut Connection,
        client: &mut Client,
        kill: &KillSwitch,
        interrupt: impl FnOnce(),
    ) -> Result<(End, Bytes), RelayFailure> {
        let mut tracker = ResponseTracker::new(self.request, self.capabilities, EndPacket::Hold);
        let mut sent = Sent::Nothing;
        let mut interrupt = Some(interrupt);
        let mut scratch = BytesMut::new();
        loop {
            let payload = tokio::select! {
                biased;
                payload = backend.read_packet() => match payload {
                    Ok(payload) => payload,
                    Err(error) => return Err(backend_failure(&error, sent)),
                },
                event = interruption(client, kill, interrupt.is_some()) => match event {
                    Interruption::Query => {
                        if let Some(interrupt) = interrupt.take() {
                            interrupt();
                        }
                        continue;
                    }
                    Interruption::Lost(lost) => return Err(RelayFailure::Client(lost)),
                },
            };
            scratch.clear();
            packet::encode(&payload, &mut 0, &mut scratch);
            let progress = match tracker.feed(&scratch) {
                Ok(progress) => progress,
                Err(error) => return Err(backend_failure(&error, sent)),
            };
            if progress.complete {
                return Ok((*tracker.end(), payload));
            }
            client.connection.queue_packet(&payload);
            sent = Sent::Packets;
            if client.connection.unsent() >= FLUSH_BYTES {
                client.flush(kill).await.map_err(RelayFailure::Client)?;
            }
        }
    }
}

/// Bytes that are queued for the client before they are sent.
pub(crate) const FLUSH_BYTES: usize = 64 * 1024;

/// What ends the wait for a backend.
pub(crate) enum Interruption {
    /// KILL QUERY.
    Query,
    /// KILL CONNECTION, or the client hung up.
    Lost(ClientLost),
}

/// Waits for a kill or the client's hang-up. Cancel-safe.
pub(crate) async fn interruption(
    client: &mut Client,
    kill: &KillSwitch,
    query_kill_wanted: bool,
) -> Interruption {
    tokio::select! {
        biased;
        error = client.hung_up() => Interruption::Lost(ClientLost::Connection(error)),
        killed = kill.thrown(), if query_kill_wanted => match killed {
            Kill::Query => Interruption::Query,
            Kill::Connection => Interruption::Lost(ClientLost::Killed),
        },
        () = kill.connection_killed(), if !query_kill_wanted => {
            Interruption::Lost(ClientLost::Killed)
        }
    }
}

/// The error, when the whole response is one ERR packet.
fn sole_error(packets: &[u8]) -> Option<ErrPacket> {
    let payload = packets.get(packet::HEADER_LENGTH..)?;
    (payload.first() == Some(&ERR)).then(|| ErrPacket::decode(payload).ok()).flatten()
}

fn backend_failure(error: &dyn std::error::Error, sent: Sent) -> RelayFailure {
    let reason = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    RelayFailure::Backend { reason, sent }
}
