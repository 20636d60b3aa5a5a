//! The statement itself, on the server that has its rows, under the session's own state. The
//! answer is forwarded; only its last packet is the proxy's, since the server knows nothing of
//! the session's transaction.

use super::{
    super::single::{Attempt, Forwarded, SingleRun, broken_off},
    scratch::Scratch,
};
use crate::{
    error::SqlError,
    session::{
        Session,
        failure::{BackendFailure, Failure, server_error},
    },
    state::{LockWaits, SessionState},
};
use bytes::Bytes;
use shardline_router::plan::InsertId;
use shardline_wire::{
    Capabilities, OkPacket,
    relay::{End, EndKind},
    response,
};

impl Session {
    pub(super) async fn answer_from(
        &mut self,
        scratch: &mut Scratch,
        run: SingleRun<'_>,
    ) -> Result<(), Failure> {
        let state = self.state_alone();
        let sent = send(scratch, &state, &run).await;
        sent.map_err(|failure| scratch.failure(failure))?;
        let forwarded = match self.forward_answer(&mut scratch.connection, &run).await {
            Attempt::Answered(forwarded) => forwarded,
            Attempt::Told(error) => return Err(error.into()),
            Attempt::Lost(reason, sent) => {
                let failure = scratch.failure(BackendFailure::Lost(reason));
                return Err(broken_off(sent, failure));
            }
            Attempt::Client(lost) => return Err(lost.into()),
        };
        self.tell_alone(scratch, &run, forwarded).await
    }

    /// What the session has set, but for what concerns its transaction.
    pub(in crate::execute) fn state_alone(&self) -> SessionState {
        let mut state = self.state.clone();
        if state.variable("autocommit").is_some() {
            state.set_variable_default("autocommit");
        }
        state.set_next_transaction(None);
        state.set_lock_waits(LockWaits::AsSet);
        state
    }

    async fn tell_alone(
        &mut self,
        scratch: &mut Scratch,
        run: &SingleRun<'_>,
        forwarded: Forwarded,
    ) -> Result<(), Failure> {
        let Forwarded { end, held, error, .. } = forwarded;
        let failed = end.kind == EndKind::Err;
        if let Some(error) = &error {
            self.diagnostics.error(&server_error(error));
        }
        if let Some(payload) = held {
            self.queue_end(scratch.connection.capabilities(), run, &end, &payload)?;
        }
        self.client.flush(&self.registration.kill).await?;
        self.note_result(InsertId::None, &end);
        if failed {
            return Err(Failure::Answered);
        }
        let connection = &mut scratch.connection;
        if end.warnings > 0 {
            self.fetch_warnings(connection, end.warnings).await;
        }
        if run.traits.assigns_variables {
            let read = self.read_back_variables(&mut scratch.connection, run.outgoing.sql()).await;
            // The connection is taken to have what the session has, and it has not all of it.
            scratch.connection.poison();
            return read;
        }
        Ok(())
    }

    /// Queues the last packet of an answer, with the status of the session.
    pub(in crate::execute) fn queue_end(
        &mut self,
        capabilities: Capabilities,
        run: &SingleRun<'_>,
        end: &End,
        payload: &Bytes,
    ) -> Result<(), Failure> {
        if end.kind == EndKind::Err {
            self.client.connection.queue_packet(payload);
            return Ok(());
        }
        let rows = end.kind == EndKind::RowsEnd;
        let decoded = match rows {
            true => response::decode_rows_end(payload, capabilities),
            false => OkPacket::decode(payload, capabilities),
        };
        let mut ok = decoded.map_err(|error| {
            SqlError::internal(format!("a shard's answer cannot be read: {error}"))
        })?;
        ok.status = self.status(run.position);
        let capabilities = self.client.capabilities;
        self.client.connection.queue_with(|out| match rows {
            true => response::encode_rows_end(&ok, capabilities, out),
            false => ok.encode(capabilities, out),
        });
        Ok(())
    }
}

/// Sends the statement under a state.
pub(in crate::execute) async fn send(
    scratch: &mut Scratch,
    state: &SessionState,
    run: &SingleRun<'_>,
) -> Result<(), BackendFailure> {
    let connection = &mut scratch.connection;
    connection.apply(state).await?;
    let number = match run.outgoing.needs_preparation() {
        Some(sql) => connection.prepare(sql).await?.id,
        None => 0,
    };
    run.outgoing.queue(connection, number)?;
    connection.flush().await?;
    Ok(())
}
