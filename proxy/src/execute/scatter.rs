//! `Scatter` plans: the parts run on their shards at the same time, their rows are merged
//! as a stream. Nothing is read from a shard before the merge needs it.

use super::{
    outgoing::Outgoing,
    relay::{FLUSH_BYTES, Interruption, interruption},
    single::spawn_kill,
};
use crate::{
    backend::PooledConnection,
    error::SqlError,
    merge::{MergeError, MergeLimits, Merger, RowFormat, Step, Wanted},
    session::{
        Position, Session,
        answer::{Protocol, header_packets},
        failure::{BackendFailure, Failure, server_error},
        transaction::Access,
    },
};
use bytes::Bytes;
use shardline_model::id::ShardId;
use shardline_router::plan::{Scatter, ShardStatement};
use shardline_wire::{
    ConnectionError, ErrPacket, OkPacket,
    column::{self, ColumnDefinition},
    relay::{EndKind, EndPacket, Request, ResponseTracker},
    response::{self, ERR, OK},
};
use std::{future::poll_fn, ops::Range, task::Poll};

/// Rows that a merge may keep.
const ROWS_MAX: usize = 10_000_000;
/// Rows of one part that are given to the merge before it goes on.
const ROWS_AHEAD: usize = 256;
/// Bytes of rows that nobody needs and that are read all the same to keep a connection.
const DRAIN_BYTES_MAX: usize = 256 * 1024;

/// A shard's part of the statement.
struct Source {
    shard: ShardId,
    connection: PooledConnection,
    warnings: u16,
    /// Its columns were read.
    head_read: bool,
    ended: bool,
    failed: bool,
}

/// All parts.
#[derive(Default)]
pub(super) struct Sources {
    all: Vec<Source>,
    /// KILL QUERY that was passed on. A connection is not used again before its kill is
    /// over, or the kill would meet the next statement.
    kills: Vec<tokio::task::JoinHandle<()>>,
}

impl Sources {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether any of them has more to say.
    pub(super) fn any_left(&self) -> bool {
        self.all.iter().any(|source| !source.ended)
    }

    /// The client is not told of their warnings.
    pub(super) fn forget_warnings(&mut self) {
        self.all.iter_mut().for_each(|source| source.warnings = 0);
    }
}

impl Session {
    /// Runs a read on its shards and sends the merged rows.
    pub(crate) async fn run_scatter(
        &mut self,
        plan: &Scatter,
        protocol: Protocol,
        position: Position,
    ) -> Result<(), Failure> {
        let access = if plan.traits.writes { Access::WRITE } else { Access::READ };
        if access.writes {
            return Err(SqlError::internal("a scatter that writes was planned").into());
        }
        let mut sources = self.send_parts(&plan.parts, protocol).await?;
        let merged = self.merge(plan, protocol, position, &mut sources).await;
        let closed = self.close_sources(sources, merged.is_ok()).await;
        merged?;
        closed
    }

    pub(super) async fn send_parts(
        &mut self,
        parts: &[ShardStatement],
        protocol: Protocol,
    ) -> Result<Sources, Failure> {
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|part| parts[*part].shard);
        let mut connections: Vec<Option<PooledConnection>> = Vec::new();
        connections.resize_with(parts.len(), || None);
        let mut taken = Ok(());
        for part in order {
            match self.connection(parts[part].shard).await {
                Ok(connection) => connections[part] = Some(connection),
                Err(failure) => {
                    taken = Err(failure);
                    break;
                }
            }
        }
        let mut sources = Sources::default();
        for (part, connection) in parts.iter().zip(connections) {
            let Some(mut connection) = connection else { continue };
            let shard = part.shard;
            let outgoing = Outgoing::literal(&part.sql, protocol, true);
            if taken.is_ok() {
                let sent = self.send_part(&mut connection, outgoing).await;
                if let Err(failure) = sent {
                    taken = Err(self.lost_part(&mut connection, failure).await);
                }
            }
            let (ended, failed) = (taken.is_err(), taken.is_err());
            let head_read = false;
            sources.all.push(Source { shard, connection, warnings: 0, head_read, ended, failed });
        }
        match taken {
            Ok(()) => Ok(sources),
            Err(failure) => {
                self.close_sources(sources, false).await?;
                Err(failure)
            }
        }
    }

    async fn send_part(
        &mut self,
        connection: &mut PooledConnection,
        outgoing: Outgoing<'_>,
    ) -> Result<(), BackendFailure> {
        self.send_statement(connection, Access::READ, outgoing).await
    }

    /// A part failed before or in its answer: what the client is told.
    async fn lost_part(
        &mut self,
        connection: &mut PooledConnection,
        failure: BackendFailure,
    ) -> Failure {
        if let BackendFailure::Lost(_) = &failure {
            connection.poison();
        }
        self.lost(connection.shard(), Access::READ, failure).await
    }

    async fn merge(
        &mut self,
        plan: &Scatter,
        protocol: Protocol,
        position: Position,
        sources: &mut Sources,
    ) -> Result<(), Failure> {
        let format = match protocol {
            Protocol::Text => RowFormat::Text,
            Protocol::Binary => RowFormat::Binary,
        };
        let bytes_max = self.shared.config.limits.merge_bytes_max;
        let limits = MergeLimits { rows_max: ROWS_MAX, bytes_max };
        let mut merger = Merger::new(&plan.merge, format, sources.all.len(), limits);
        for index in 0..sources.all.len() {
            let columns = self.read_head(sources, index).await?;
            merger.columns(index, &columns).map_err(merge_error)?;
        }
        if !self.transaction.is_transactional() {
            // Every shard has begun to answer: its rows are those of now, wherever they go.
            self.in_use = None;
        }
        let visible = merger.visible_columns().unwrap_or_default();
        let header = header_packets(visible, self.client.capabilities, self.status(position));
        let mut rows_sent = 0;
        let mut header = Some(header);
        loop {
            match merger.step().map_err(merge_error)? {
                Step::Row(row) => {
                    if let Some(header) = header.take() {
                        self.client.queue_all(&header);
                    }
                    self.client.connection.queue_packet(&row);
                    rows_sent += 1;
                    if self.client.connection.unsent() >= FLUSH_BYTES {
                        self.client.flush(&self.registration.kill).await?;
                    }
                }
                Step::Need(wanted) => self.feed(sources, &mut merger, wanted).await?,
                Step::Done => break,
            }
        }
        if let Some(header) = header.take() {
            self.client.queue_all(&header);
        }
        self.values.found_rows = rows_sent;
        self.values.row_count = -1;
        let warnings =
            sources.all.iter().map(|source| source.warnings).fold(0, u16::saturating_add);
        let ok = OkPacket { warnings, ..OkPacket::with_status(self.status(position)) };
        let capabilities = self.client.capabilities;
        self.client.connection.queue_with(|out| response::encode_rows_end(&ok, capabilities, out));
        Ok(())
    }

    /// The first packets of a part's answer: its columns.
    pub(super) async fn read_head(
        &mut self,
        sources: &mut Sources,
        index: usize,
    ) -> Result<Vec<ColumnDefinition>, Failure> {
        let head = self.read_packet(sources, index).await?;
        if head.first() == Some(&OK) {
            return Err(SqlError::internal("a shard answered a read without rows").into());
        }
        let decoded = column::decode_count(&head);
        let count = self.decoded(sources, index, decoded).await?;
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let payload = self.read_packet(sources, index).await?;
            let decoded = ColumnDefinition::decode(&payload);
            columns.push(self.decoded(sources, index, decoded).await?);
        }
        if !sources.all[index].connection.capabilities().deprecate_eof() {
            self.read_packet(sources, index).await?;
        }
        sources.all[index].head_read = true;
        Ok(columns)
    }

    /// Gives the merge the rows that have come, and waits for some when there are none.
    async fn feed(
        &mut self,
        sources: &mut Sources,
        merger: &mut Merger,
        wanted: Wanted,
    ) -> Result<(), Failure> {
        let parts = match wanted {
            Wanted::Source(index) => index..index + 1,
            Wanted::Any => 0..sources.all.len(),
        };
        loop {
            let mut fed = false;
            for index in parts.clone() {
                for _ in 0..ROWS_AHEAD {
                    let Some(payload) = self.try_packet(sources, index).await? else { break };
                    fed = true;
                    match self.row_or_end(sources, index, payload).await? {
                        Some(row) => merger.push(index, row).map_err(merge_error)?,
                        None => merger.end(index).map_err(merge_error)?,
                    }
                }
            }
            if fed {
                return Ok(());
            }
            self.wait_for_parts(sources, parts.clone()).await?;
        }
    }

    /// A packet of a part's rows that has come already. An ERR packet is the statement's error.
    pub(super) async fn try_packet(
        &mut self,
        sources: &mut Sources,
        index: usize,
    ) -> Result<Option<Bytes>, Failure> {
        if sources.all[index].ended {
            return Ok(None);
        }
        match sources.all[index].connection.wire().try_read_packet() {
            Ok(Some(payload)) => self.row_or_error(sources, index, payload).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(self.broken_part(sources, index, error).await),
        }
    }

    /// Waits until bytes of any of these parts came, while the client and KILL are watched.
    pub(super) async fn wait_for_parts(
        &mut self,
        sources: &mut Sources,
        parts: Range<usize>,
    ) -> Result<(), Failure> {
        loop {
            let all = &mut sources.all;
            let received = poll_fn(|cx| {
                for index in parts.clone() {
                    let source = &mut all[index];
                    if source.ended {
                        continue;
                    }
                    if let Poll::Ready(read) = source.connection.wire().poll_read_some(cx) {
                        return Poll::Ready((index, read));
                    }
                }
                Poll::Pending
            });
            tokio::select! {
                biased;
                (index, read) = received => {
                    let error = match read {
                        Ok(1..) => return Ok(()),
                        Ok(0) => ConnectionError::Closed,
                        Err(error) => error,
                    };
                    return Err(self.broken_part(sources, index, error).await);
                }
                event = interruption(
                    &mut self.client,
                    &self.registration.kill,
                    sources.kills.is_empty(),
                ) => match event {
                    Interruption::Query => self.kill_parts(sources),
                    Interruption::Lost(lost) => return Err(lost.into()),
                },
            }
        }
    }

    /// A packet of a part's rows; None is its end.
    pub(super) async fn row_or_end(
        &mut self,
        sources: &mut Sources,
        index: usize,
        payload: Bytes,
    ) -> Result<Option<Bytes>, Failure> {
        let capabilities = sources.all[index].connection.capabilities();
        if !response::ends_rows(&payload, capabilities) {
            return Ok(Some(payload));
        }
        let decoded = response::decode_rows_end(&payload, capabilities);
        let end = self.decoded(sources, index, decoded).await?;
        let source = &mut sources.all[index];
        source.ended = true;
        self.observed.answered(source.shard);
        source.warnings = end.warnings;
        source.connection.response_ended(end.status);
        Ok(None)
    }

    async fn decoded<T>(
        &mut self,
        sources: &mut Sources,
        index: usize,
        decoded: Result<T, shardline_wire::DecodeError>,
    ) -> Result<T, Failure> {
        match decoded {
            Ok(value) => Ok(value),
            Err(error) => {
                let source = &mut sources.all[index];
                (source.ended, source.failed) = (true, true);
                let failure = BackendFailure::Lost(error.to_string());
                Err(self.lost_part(&mut source.connection, failure).await)
            }
        }
    }

    /// The next packet of a part. An ERR packet is the statement's error.
    async fn read_packet(&mut self, sources: &mut Sources, index: usize) -> Result<Bytes, Failure> {
        loop {
            match sources.all[index].connection.wire().try_read_packet() {
                Ok(Some(payload)) => return self.row_or_error(sources, index, payload),
                Ok(None) => self.wait_for_parts(sources, index..index + 1).await?,
                Err(error) => return Err(self.broken_part(sources, index, error).await),
            }
        }
    }

    fn row_or_error(
        &self,
        sources: &mut Sources,
        index: usize,
        payload: Bytes,
    ) -> Result<Bytes, Failure> {
        if payload.first() != Some(&ERR) {
            return Ok(payload);
        }
        let source = &mut sources.all[index];
        (source.ended, source.failed) = (true, true);
        source.connection.response_failed();
        Err(match ErrPacket::decode(&payload) {
            Ok(error) => server_error(&error).into(),
            Err(error) => SqlError::internal(error.to_string()).into(),
        })
    }

    async fn broken_part(
        &mut self,
        sources: &mut Sources,
        index: usize,
        error: ConnectionError,
    ) -> Failure {
        let source = &mut sources.all[index];
        (source.ended, source.failed) = (true, true);
        let failure = BackendFailure::Lost(error.to_string());
        self.lost_part(&mut source.connection, failure).await
    }

    fn kill_parts(&self, sources: &mut Sources) {
        for source in sources.all.iter().filter(|source| !source.ended) {
            let pools = self.shared.pools.clone();
            sources.kills.push(spawn_kill(pools, source.shard, source.connection.thread_id()));
        }
    }

    /// Gives the connections back. Rows that nobody needs are read when they are few or
    /// when the connection is a part of a transaction; otherwise it is closed.
    pub(super) async fn close_sources(
        &mut self,
        mut sources: Sources,
        succeeded: bool,
    ) -> Result<(), Failure> {
        let mut outcome = Ok(());
        let transactional = self.transaction.is_transactional();
        if !succeeded && transactional && sources.kills.is_empty() {
            self.kill_parts(&mut sources);
        }
        let killed = !sources.kills.is_empty();
        for kill in sources.kills {
            // A kill that panicked killed nothing.
            let _ = kill.await;
        }
        for mut source in sources.all {
            if !transactional && (killed || (!succeeded && !source.ended)) {
                // The pool closes it, and stops what it still does.
                if source.ended {
                    source.connection.poison();
                }
                continue;
            }
            if !source.ended {
                let bytes_max = if transactional { usize::MAX } else { DRAIN_BYTES_MAX };
                match drain(&mut source.connection, source.head_read, bytes_max).await {
                    Ok(failed) => source.failed = failed,
                    Err(()) => {
                        source.connection.poison();
                        let failure = BackendFailure::Lost("its answer was given up".into());
                        if self.transaction.is_branch(source.shard) {
                            outcome = Err(self.lost(source.shard, Access::READ, failure).await);
                        }
                        continue;
                    }
                }
            }
            if source.warnings > 0 && succeeded {
                self.fetch_warnings(&mut source.connection, source.warnings).await;
            }
            outcome = outcome.and(self.leave(source.connection, Access::READ, source.failed).await);
        }
        outcome
    }
}

/// Reads an answer to its end; whether it was an error.
pub(super) async fn drain(
    connection: &mut PooledConnection,
    head_read: bool,
    bytes_max: usize,
) -> Result<bool, ()> {
    let capabilities = connection.capabilities();
    let request = if head_read { Request::Fetch } else { Request::Query };
    let mut tracker = ResponseTracker::new(request, capabilities, EndPacket::Forward);
    let mut bytes = 0;
    loop {
        let progress = tracker.feed(connection.wire().buffered()).map_err(|_| ())?;
        connection.wire().consume(progress.forward);
        bytes += progress.forward;
        if progress.complete {
            let failed = tracker.end().kind == EndKind::Err;
            match failed {
                true => connection.response_failed(),
                false => connection.response_ended(tracker.end().status),
            }
            return Ok(failed);
        }
        if bytes > bytes_max {
            return Err(());
        }
        match connection.wire().read_some().await {
            Ok(0) | Err(_) => return Err(()),
            Ok(_) => {}
        }
    }
}

fn merge_error(error: MergeError) -> Failure {
    let too_large =
        matches!(error, MergeError::TooManyRows { .. } | MergeError::TooManyBytes { .. });
    if too_large {
        let text = format!(
            "{error}. Hint: narrow the statement by WHERE or LIMIT, or raise limits.merge_bytes_max"
        );
        return SqlError::result_too_large(text).into();
    }
    SqlError::internal(error.to_string()).into()
}
