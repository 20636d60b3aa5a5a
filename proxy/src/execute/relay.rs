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

impl Relay {
    /// Forwards the response as it comes. Its packets keep their numbers, so it must be
    /// the first to the client's command. `interrupt` is called once, for KILL QUERY: the
    /// backend's error is then the response.
    pub(crate) async fn run(
        self,
        backend: &mut Connection,
        client: &mut Client,
        kill: &KillSwitch,
        interrupt: impl FnOnce(),
    ) -> Result<(End, Option<ErrPacket>), RelayFailure> {
        let mut tracker = ResponseTracker::new(self.request, self.capabilities, self.end_packet);
        let mut sent = Sent::Nothing;
        let mut interrupt = Some(interrupt);
        let mut error = None;
        loop {
            let progress = match tracker.feed(backend.buffered()) {
                Ok(progress) => progress,
                Err(error) => return Err(backend_failure(&error, sent)),
            };
            if progress.forward > 0 {
                let packets = &backend.buffered()[..progress.forward];
                if sent == Sent::Nothing && progress.complete {
                    error = sole_error(packets);
                }
                client.send_raw(packets, kill).await.map_err(RelayFailure::Client)?;
                backend.consume(progress.forward);
                let whole = tracker.is_between_packets();
                sent = if whole { Sent::Packets } else { Sent::Broken };
                client.connection.set_sequence(tracker.end().sequence.wrapping_add(1));
            }
            if progress.complete {
                let end = *tracker.end();
                if self.end_packet == EndPacket::Hold {
                    // The held packet's number is free again.
                    client.connection.set_sequence(end.sequence);
                    backend.set_sequence(end.sequence);
                }
                return Ok((end, error));
            }
            tokio::select! {
                biased;
                read = backend.read_some() => match read {
                    Ok(0) => return Err(backend_failure(&ConnectionError::Closed, sent)),
                    Ok(_) => {}
                    Err(error) => return Err(backend_failure(&error, sent)),
                },
                event = interruption(client, kill, interrupt.is_some()) => match event {
                    Interruption::Query => {
                        if let Some(interrupt) = interrupt.take() {
                            interrupt();
                        }
                    }
                    Interruption::Lost(lost) => return Err(RelayFailure::Client(lost)),
                },
            }
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
