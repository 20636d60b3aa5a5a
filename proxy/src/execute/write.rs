//! `Write` plans: one statement's parts on several shards, all or none of them. Outside a
//! transaction the statement is one of its own.

use crate::{
    backend::PooledConnection,
    session::{
        Position, Session,
        branches::{Entry, WatchFailure},
        diagnostics::add_infos,
        failure::{BackendFailure, Failure},
        transaction::{Access, Chain, Verb, rollback_to_sql, savepoint_sql},
    },
};
use bytes::Bytes;
use shardline_model::catalog::Catalog;
use shardline_model::id::ShardId;
use shardline_router::plan::{Affected, InsertId, Write};
use shardline_wire::{OkPacket, Status, command::Command};
use std::sync::Arc;

/// What a statement inside a transaction is undone to when one of its parts fails.
pub(super) const SAVEPOINT: &str = "_shardline_statement";

/// What undoes a part of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// The end of the transaction, which is the statement's own.
    Rollback,
    /// A savepoint that is set before each part.
    Savepoint,
    /// The savepoint that was set on those shards before.
    LastSavepoint,
}

/// A part that was sent.
struct Running<'a> {
    sql: &'a [u8],
    connection: PooledConnection,
    entry: Entry,
}

/// A part that was answered, or could not be sent.
struct Answered<'a> {
    sql: &'a [u8],
    connection: PooledConnection,
    answer: Result<OkPacket, BackendFailure>,
}

impl Session {
    /// Runs a write on its shards and answers with one OK packet. The catalog is given up
    /// before the commit, which takes a newer one.
    pub(crate) async fn run_write(
        &mut self,
        plan: &Write,
        position: Position,
        catalog: Arc<Catalog>,
    ) -> Result<(), Failure> {
        let own = !self.transaction.is_transactional();
        if own {
            self.transaction.begin_statement();
        }
        let undone = if own { Undone::Rollback } else { Undone::Savepoint };
        let written = self.write_parts(plan, |_| undone, true).await;
        drop(catalog);
        if own {
            let verb = if written.is_ok() { Verb::Commit } else { Verb::Rollback };
            let finish = self.transaction.finish(verb, Chain::No);
            let finished = self.finish(finish).await;
            // What went wrong first is what the client is told.
            let done = written?;
            finished?;
            return self.answer_write(plan, &done, position);
        }
        let done = written?;
        self.answer_write(plan, &done, position)
    }

    /// Runs the parts; their answers are in the order of the shards. When one fails, what the
    /// others did is undone.
    pub(super) async fn write_parts(
        &mut self,
        plan: &Write,
        undone: impl Fn(ShardId) -> Undone,
        warns: bool,
    ) -> Result<Vec<OkPacket>, Failure> {
        let mut parts: Vec<_> = plan.parts.iter().collect();
        // Every statement takes its connections in the same order, so that two of them
        // cannot wait for each other's.
        parts.sort_by_key(|part| part.shard);
        let mut connections = Vec::with_capacity(parts.len());
        for part in &parts {
            match self.connection(part.shard).await {
                Ok(connection) => connections.push(connection),
                Err(failure) => {
                    connections.into_iter().for_each(|idle| self.hold_or_release(idle));
                    return Err(failure);
                }
            }
        }
        let (mut running, mut answered) = (Vec::new(), Vec::new());
        for (part, mut connection) in parts.iter().zip(connections) {
            match self.send_write(&mut connection, &part.sql, undone(part.shard)).await {
                Ok(entry) => running.push(Running { sql: &part.sql, connection, entry }),
                Err(failure) => {
                    answered.push(Answered { sql: &part.sql, connection, answer: Err(failure) });
                }
            }
        }
        let mut noted = false;
        for Running { sql, mut connection, entry } in running {
            let answer = match self.read_entry(&mut connection, entry).await {
                Err(failure) => Err(failure),
                Ok(()) => match self.read_ok_watched(&mut connection).await {
                    Ok(Ok(ok)) => Ok(ok),
                    Ok(Err(error)) => Err(BackendFailure::Told(error)),
                    Err(WatchFailure::Backend(failure)) => Err(failure),
                    Err(WatchFailure::Client(lost)) => return Err(lost.into()),
                },
            };
            if let Ok(ok) = &answer
                && warns
                && ok.warnings > 0
                // The copies of a broadcast table all warn of the same.
                && (!noted || plan.affected == Affected::Sum)
            {
                noted = true;
                self.fetch_warnings(&mut connection, ok.warnings).await;
            }
            answered.push(Answered { sql, connection, answer });
        }
        self.settle_parts(plan, answered, undone).await
    }

    async fn send_write(
        &mut self,
        connection: &mut PooledConnection,
        sql: &[u8],
        undone: Undone,
    ) -> Result<Entry, BackendFailure> {
        let mut entry = self.queue_entry(connection, Access::WRITE).await?;
        if undone == Undone::Savepoint {
            self.queue_before(connection, &mut entry, &savepoint_sql(SAVEPOINT));
        }
        connection.response_begins().queue_with(|out| Command::Query(sql).encode(out));
        connection.flush().await?;
        Ok(entry)
    }

    /// Gives the connections back to the transaction. Those whose part succeeded come first:
    /// a failed one may end the transaction, and then it must know them.
    async fn settle_parts(
        &mut self,
        plan: &Write,
        mut answered: Vec<Answered<'_>>,
        undone: impl Fn(ShardId) -> Undone,
    ) -> Result<Vec<OkPacket>, Failure> {
        answered.sort_by_key(|part| match part.answer {
            Ok(_) => 0,
            Err(BackendFailure::Told(_)) => 1,
            Err(BackendFailure::Lost(_)) => 2,
        });
        let failed = answered.iter().any(|part| part.answer.is_err());
        let (mut done, mut outcome) = (Vec::with_capacity(answered.len()), Ok(()));
        for Answered { sql, mut connection, answer } in answered {
            let shard = connection.shard();
            let left = match answer {
                Ok(_) if failed && undone(shard) != Undone::Rollback => {
                    match connection.query_ok(&rollback_to_sql(SAVEPOINT)).await {
                        Ok(_) => self.leave(connection, Access::READ, false).await,
                        Err(error) => {
                            connection.poison();
                            Err(self.lost(shard, Access::WRITE, error).await)
                        }
                    }
                }
                Ok(ok) => {
                    let wrote = may_have_written(sql, &ok);
                    let opens_snapshot = !plan.opens_no_snapshot;
                    let access = Access { writes: wrote, opens_snapshot };
                    done.push(ok);
                    self.leave(connection, access, false).await
                }
                Err(BackendFailure::Told(error)) => {
                    let left = self.leave(connection, Access::READ, true).await;
                    Err(left.err().unwrap_or_else(|| error.into()))
                }
                Err(lost) => {
                    connection.poison();
                    drop(connection);
                    Err(self.lost(shard, Access::WRITE, lost).await)
                }
            };
            outcome = outcome.and(left);
        }
        outcome.map(|()| done)
    }

    fn answer_write(
        &mut self,
        plan: &Write,
        done: &[OkPacket],
        position: Position,
    ) -> Result<(), Failure> {
        let packets = || done.iter();
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

/// Whether the statement can have changed a row: an UPDATE or DELETE that found none has not.
fn may_have_written(sql: &[u8], ok: &OkPacket) -> bool {
    let deletes = sql.get(..6).is_some_and(|verb| verb.eq_ignore_ascii_case(b"DELETE"));
    let found_none = deletes || ok.info.starts_with(b"Rows matched: 0 ");
    ok.affected_rows > 0 || ok.warnings > 0 || !found_none
}
