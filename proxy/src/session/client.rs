//! The client's side of a session: its connection, what it can do, and the answers that
//! the proxy makes itself.

use crate::{error::SqlError, registry::KillSwitch};
use bytes::Bytes;
use shardline_wire::{
    capability::Capabilities,
    connection::{Connection, ConnectionError},
    response::{ErrPacket, OkPacket},
};
use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

/// A client that takes nothing for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of commands that a client may send ahead while a statement runs; more stay in
/// the socket, where its hang-up is not seen until they are read.
const READ_AHEAD_MAX: usize = 64 * 1024;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    /// The connection.
    pub(crate) connection: Connection,
    /// What was agreed at the handshake.
    pub(crate) capabilities: Capabilities,
}

/// Why a client cannot be answered any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientLost {
    /// The connection failed or was closed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It takes no bytes.
    #[error("the client took no bytes for {} s", WRITE_TIMEOUT.as_secs())]
    Stuck,
    /// KILL CONNECTION.
    #[error("the connection was killed")]
    Killed,
    /// A shard was lost in the middle of a packet of its result.
    #[error("a result broke off inside a packet")]
    ResultBroken,
    /// It sent nothing for too long.
    #[error("the session was idle for too long")]
    Idle,
    /// It was told why.
    #[error("the client was told that the session ends")]
    Told,
    /// COM_QUIT, or RELEASE after COMMIT.
    #[error("the client left")]
    Quit,
}

impl Client {
    /// Queues an OK packet.
    pub(crate) fn queue_ok(&mut self, ok: &OkPacket) {
        let capabilities = self.capabilities;
        self.connection.queue_with(|out| ok.encode(capabilities, out));
    }

    /// Queues an ERR packet.
    pub(crate) fn queue_error(&mut self, error: &SqlError) {
        let capabilities = self.capabilities;
        let packet = ErrPacket {
            code: error.number,
            sql_state: error.state,
            message: Bytes::copy_from_slice(&error.message),
        };
        self.connection.queue_with(|out| packet.encode(capabilities, out));
    }

    /// Queues payloads.
    pub(crate) fn queue_all(&mut self, payloads: &[Bytes]) {
        for payload in payloads {
            self.connection.queue_packet(payload);
        }
    }

    /// Sends what is queued. A client that takes nothing, or that is killed, ends it.
    pub(crate) async fn flush(&mut self, kill: &KillSwitch) -> Result<(), ClientLost> {
        guarded(self.connection.flush(), kill).await
    }

    /// Sends packets as they are, after what is queued.
    pub(crate) async fn send_raw(
        &mut self,
        packets: &[u8],
        kill: &KillSwitch,
    ) -> Result<(), ClientLost> {
        guarded(self.connection.send_raw(packets), kill).await
    }

    /// Returns when the client hangs up while it waits for an answer. Commands that it
    /// sends ahead stay in the slab. Cancel-safe.
    pub(crate) async fn hung_up(&mut self) -> ConnectionError {
        poll_fn(|cx| self.poll_hung_up(cx)).await
    }

    /// The same, polled.
    pub(crate) fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionError> {
        while self.connection.buffered().len() < READ_AHEAD_MAX {
            match ready!(self.connection.poll_read_some(cx)) {
                Ok(0) => return Poll::Ready(ConnectionError::Closed),
                Ok(_) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
        Poll::Pending
    }
}

async fn guarded(
    work: impl Future<Output = Result<(), ConnectionError>>,
    kill: &KillSwitch,
) -> Result<(), ClientLost> {
    tokio::pin!(work);
    // Nearly every write ends at once: no timer for it.
    tokio::select! {
        biased;
        done = &mut work => return Ok(done?),
        () = std::future::ready(()) => {}
    }
    let timeout = tokio::time::sleep(WRITE_TIMEOUT);
    tokio::pin!(timeout);
    tokio::select! {
        biased;
        done = &mut work => Ok(done?),
        () = kill.connection_killed() => Err(ClientLost::Killed),
        () = &mut timeout => Err(ClientLost::Stuck),
    }
}
