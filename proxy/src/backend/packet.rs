//! Several statements in one round trip, which the server runs until the first that fails.
//!
//! Connections are opened without MULTI_STATEMENTS, so that no text of a client can smuggle in
//! a second statement. For a packet of the proxy's own it is turned on and off again around
//! it, all in the same write.

use super::{BackendError, TextLimits, TextResult, connection::BackendConnection, result::Bounds};
use crate::txn::sql::{Packet, Part};
use shardline_wire::{ErrPacket, Status, command::Command, response::ERR};

/// COM_SET_OPTION: several statements in one query are allowed, and are not.
const MULTI_ON: u16 = 0;
const MULTI_OFF: u16 = 1;

/// What a server answered to a packet.
#[derive(Debug, Default)]
pub(crate) struct PacketAnswer {
    /// The results of the parts that ran, in order.
    pub(crate) results: Vec<PartResult>,
    /// What the part behind them is, and its error; None when all ran.
    pub(crate) failed: Option<(Part, ErrPacket)>,
}

/// What one part came to.
#[derive(Debug, Default)]
pub(crate) struct PartResult {
    /// Its rows, when it has any.
    pub(crate) rows: TextResult,
    /// How many rows it changed.
    pub(crate) affected: u64,
}

impl PacketAnswer {
    /// The last part's rows.
    pub(crate) fn last_rows(&mut self) -> TextResult {
        self.results.pop().map(|last| last.rows).unwrap_or_default()
    }
}

impl BackendConnection {
    /// Queues a packet; to be followed by a flush and [`Self::read_packet_answer`].
    pub(crate) fn queue_statements(&mut self, packet: &Packet) {
        let several = packet.parts().len() > 1;
        if several {
            self.response_begins().queue_with(|out| Command::SetOption(MULTI_ON).encode(out));
        }
        let queue = self.response_begins();
        queue.queue_with(|out| Command::Query(packet.sql().as_bytes()).encode(out));
        if several {
            self.response_begins().queue_with(|out| Command::SetOption(MULTI_OFF).encode(out));
        }
    }

    /// Reads the answer to a queued packet, to its end. Not cancel-safe.
    ///
    /// # Errors
    /// When the connection broke: what was done is unknown.
    pub(crate) async fn read_packet_answer(
        &mut self,
        packet: &Packet,
        limits: TextLimits,
    ) -> Result<PacketAnswer, BackendError> {
        let several = packet.parts().len() > 1;
        if several {
            self.read_option().await?;
        }
        self.wire().set_sequence(1);
        let mut answer = PacketAnswer::default();
        let mut bounds = Bounds::new(limits);
        let mut status = None;
        for (at, part) in packet.parts().iter().enumerate() {
            match self.read_one_result(&mut bounds).await {
                Ok((rows, ok)) => {
                    let last = at + 1 == packet.parts().len();
                    if ok.status.contains(Status::MORE_RESULTS) == last {
                        return Err(self.unexpected("more or fewer results than statements"));
                    }
                    answer.results.push(PartResult { rows, affected: ok.affected_rows });
                    status = last.then_some(ok.status);
                }
                Err(BackendError::Server { error, .. }) => {
                    answer.failed = Some((*part, error));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if several {
            // The answer goes on until the option is off again.
            self.response_resumes();
            self.read_option().await?;
        }
        match status {
            Some(status) => self.response_ended(status),
            None => self.response_failed(),
        }
        Ok(answer)
    }

    /// Runs a packet.
    ///
    /// # Errors
    /// As [`Self::read_packet_answer`].
    pub(crate) async fn run_packet(
        &mut self,
        packet: &Packet,
        limits: TextLimits,
    ) -> Result<PacketAnswer, BackendError> {
        self.queue_statements(packet);
        self.flush().await?;
        self.read_packet_answer(packet, limits).await
    }

    /// The answer to COM_SET_OPTION: EOF, or OK in its place. Both say nothing new.
    async fn read_option(&mut self) -> Result<(), BackendError> {
        self.wire().set_sequence(1);
        let payload = self.read().await?;
        if payload.first() == Some(&ERR) {
            return Err(self.unexpected("an error for the option of several statements"));
        }
        Ok(())
    }
}
