//! `Write` plans: one statement's parts on several shards, outside a transaction. They
//! are not atomic yet, and a warning says so.

use crate::{
    backend::PooledConnection,
    error::SqlError,
    session::{
        Position, Session,
        branches::{Entry, WatchFailure},
        diagnostics::{Level, NOT_ATOMIC, add_infos},
        failure::{BackendFailure, Failure},
        transaction::Access,
    },
};
use bytes::Bytes;
use shardline_router::plan::{Affected, InsertId, Write};
use shardline_wire::{OkPacket, Status, command::Command};

/// A part that was sent.
struct Running {
    connection: PooledConnection,
    entry: Entry,
}

/// What became of the parts.
#[derive(Default)]
struct Results {
    done: Vec<(String, OkPacket)>,
    failed: Option<(String, SqlError)>,
    failed_count: usize,
}

impl Session {
    /// Runs a write on its shards and answers with one OK packet.
    pub(crate) async fn run_write(
        &mut self,
        plan: &Write,
        position: Position,
    ) -> Result<(), Failure> {
        if self.transaction.is_transactional() {
            return Err(SqlError::scattered_write_in_transaction(&plan.reason).into());
        }
        let mut parts: Vec<_> = plan.parts.iter().collect();
        // Every statement takes its connections in the same order, so that two of them
        // cannot wait for each other's.
        parts.sort_by_key(|part| part.shard);
        let mut connections = Vec::with_capacity(parts.len());
        for part in &parts {
            connections.push(self.connection(part.shard).await?);
        }
        let mut running = Vec::with_capacity(parts.len());
        let mut results = Results::default();
        for (part, mut connection) in parts.iter().zip(connections) {
            let name = connection.shard_name().to_string();
            let sent = async {
                let entry = self.queue_entry(&mut connection, Access::Write).await?;
                connection
                    .response_begins()
                    .queue_with(|out| Command::Query(&part.sql).encode(out));
                connection.flush().await?;
                Ok::<_, BackendFailure>(entry)
            };
            match sent.await {
                Ok(entry) => running.push(Running { connection, entry }),
                Err(failure) => results.fail(name, failure),
            }
        }
        for mut part in running {
            let name = part.connection.shard_name().to_string();
            let entered = self.read_entry(&mut part.connection, part.entry).await;
            if let Err(failure) = entered {
                results.fail(name, failure);
                continue;
            }
            match self.read_ok_watched(&mut part.connection).await {
                Ok(Ok(ok)) => {
                    // The copies of a broadcast table all warn of the same.
                    let first = results.done.is_empty();
                    if ok.warnings > 0 && (first || plan.affected == Affected::Sum) {
                        self.fetch_warnings(&mut part.connection, ok.warnings).await;
                    }
                    results.done.push((name, ok));
                }
                Ok(Err(error)) => results.fail(name, BackendFailure::Told(error)),
                Err(WatchFailure::Backend(failure)) => results.fail(name, failure),
                Err(WatchFailure::Client(lost)) => return Err(lost.into()),
            }
        }
        self.answer_write(plan, results, position).await
    }

    async fn answer_write(
        &mut self,
        plan: &Write,
        results: Results,
        position: Position,
    ) -> Result<(), Failure> {
        if results.failed.is_some() {
            return Err(results.into_error().into());
        }
        let shards = results.done.len();
        let packets = || results.done.iter().map(|(_, ok)| ok);
        let affected_rows = match plan.affected {
            Affected::Sum => packets().map(|ok| ok.affected_rows).sum(),
            Affected::Copies => packets().map(|ok| ok.affected_rows).max().unwrap_or(0),
        };
        let inserts = plan.parts.iter().any(|part| inserts(&part.sql));
        let updates = plan
            .parts
            .iter()
            .any(|part| part.sql.windows(9).any(|word| word.eq_ignore_ascii_case(b"DUPLICATE")));
        let infos: Vec<_> = match plan.affected {
            Affected::Sum if inserts => packets().map(|ok| info_of_rows(ok, updates)).collect(),
            Affected::Sum => packets().map(|ok| ok.info.clone()).collect(),
            Affected::Copies => packets().map(|ok| ok.info.clone()).take(1).collect(),
        };
        let last_insert_id = match plan.insert_id {
            InsertId::None => 0,
            InsertId::FromServer => {
                packets().map(|ok| ok.last_insert_id).find(|id| *id > 0).unwrap_or(0)
            }
            InsertId::Generated(id) if affected_rows > 0 => id,
            InsertId::Generated(_) => 0,
            InsertId::Explicit { shown, .. } => shown,
        };
        if shards > 1 {
            let text = format!(
                "SL{NOT_ATOMIC} the statement wrote on {shards} shards ({}); a failure between \
                 them would leave it done in part",
                plan.reason
            );
            self.diagnostics.push(Level::Warning, NOT_ATOMIC, text);
        }
        self.values.row_count = affected_rows as i64;
        if matches!(plan.insert_id, InsertId::Generated(_) | InsertId::FromServer)
            && last_insert_id > 0
        {
            self.values.last_insert_id = last_insert_id;
        }
        let ok = OkPacket {
            affected_rows,
            last_insert_id,
            status: self.status(position),
            warnings: self.diagnostics.count(),
            info: add_infos(&infos).unwrap_or_default().into(),
            session: Vec::new(),
        };
        self.client.queue_ok(&ok);
        Ok(())
    }

    /// The status flags of an answer that the proxy makes itself.
    pub(crate) fn status(&self, position: Position) -> Status {
        let mut status = Status::NONE;
        let flags = [
            (self.transaction.autocommit(), Status::AUTOCOMMIT),
            (self.transaction.is_open(), Status::IN_TRANS),
            (self.transaction.is_read_only(), Status::IN_TRANS_READONLY),
            (position == Position::MoreFollow, Status::MORE_RESULTS),
            (self.mode.no_backslash_escapes, Status::NO_BACKSLASH_ESCAPES),
        ];
        for (set, flag) in flags {
            if set {
                status = status | flag;
            }
        }
        status
    }
}

/// Whether a part, which has no comments, is INSERT or REPLACE.
fn inserts(sql: &[u8]) -> bool {
    let is = |word: &[u8]| sql.get(..word.len()).is_some_and(|s| s.eq_ignore_ascii_case(word));
    is(b"INSERT") || is(b"REPLACE")
}

/// What a shard says of its rows. It says nothing of one row alone. With ON DUPLICATE KEY
/// UPDATE a row that stays as it is counts as no duplicate.
fn info_of_rows(ok: &OkPacket, updates: bool) -> Bytes {
    if !ok.info.is_empty() {
        return ok.info.clone();
    }
    let duplicates = u8::from(ok.affected_rows > 1 || (ok.affected_rows == 0 && !updates));
    format!("Records: 1  Duplicates: {duplicates}  Warnings: {}", ok.warnings).into()
}

impl Results {
    fn fail(&mut self, name: String, failure: BackendFailure) {
        let error = match failure {
            BackendFailure::Told(error) => error,
            BackendFailure::Lost(reason) => SqlError::shard_lost(&name, &reason, true),
        };
        self.failed_count += 1;
        if self.failed.is_none() {
            self.failed = Some((name, error));
        }
    }

    /// The first error, with what the other shards have done.
    fn into_error(self) -> SqlError {
        let names: Vec<_> = self.done.iter().map(|(name, _)| name.as_str()).collect();
        let done = if names.is_empty() {
            "no other shard has changed anything".to_owned()
        } else {
            format!(
                "already done on {}, as writes over several shards are not atomic yet",
                names.join(", ")
            )
        };
        match self.failed {
            Some((name, error)) => error.on_shard(&name, &done),
            None => SqlError::internal("a write failed without an error"),
        }
    }
}
