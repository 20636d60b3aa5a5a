//! A write on one shard outside a transaction, while the guard is on: it must not change rows of a
//! transaction over several shards that is not decided. In one round trip: BEGIN, the statement, and
//! a packet that looks for such locks and commits only when there is none.

use super::{
    committed::roll_back,
    single::{Forwarded, SingleRun},
};
use crate::{
    backend::{BackendError, PooledConnection, TextLimits, TextResult},
    distributed::holders::Waited,
    error::SqlError,
    session::{
        Session,
        failure::{BackendFailure, Failure, server_error},
        transaction::Access,
    },
    txn::{
        commit::Holders,
        coordinator::{LOCK_PATIENCE, RETRY_PAUSE},
        lock_key::LockCheck,
        sql::{self, OUT_OF_RANGE, Packet, Part},
    },
};
use shardline_wire::relay::EndKind;
use std::time::Instant;

/// For a statement that may open a snapshot before it has its locks: the check must see what is
/// committed by then.
const READ_COMMITTED: &[u8] = b"SET TRANSACTION ISOLATION LEVEL READ COMMITTED";
const BEGIN: &[u8] = b"START TRANSACTION";

/// How the end of the statement's transaction went.
enum Ended {
    /// It is committed.
    Committed,
    /// A lock was met; it is not committed yet.
    Locked,
    /// The server refused to look or to commit.
    Refused(SqlError),
}

impl Session {
    /// Runs a write that commits by itself, checked.
    pub(crate) async fn run_checked(
        &mut self,
        run: SingleRun<'_>,
        check: &LockCheck,
    ) -> Result<(), Failure> {
        let until = Instant::now() + LOCK_PATIENCE;
        let ending = sql::check_and_commit(check);
        loop {
            let mut connection = self.connection(run.shard).await?;
            let name = self.shard_name(run.shard);
            let mut forwarded = self.send_checked(&mut connection, &run, &ending).await?;
            let (ended, warnings) = match self.read_ended(&mut connection, &ending).await {
                Ok(ended) => ended,
                Err(lost) => return Err(self.lost(run.shard, Access::WRITE, lost).await),
            };
            let failed = forwarded.end.kind == EndKind::Err;
            match ended {
                // A statement that failed has nothing to commit.
                Ended::Committed => {
                    forwarded.warnings = warnings;
                    return self.answered(connection, &run, forwarded).await;
                }
                _ if failed => {
                    roll_back(&mut connection).await;
                    return self.answered(connection, &run, forwarded).await;
                }
                Ended::Refused(error) => {
                    roll_back(&mut connection).await;
                    return Err(error.into());
                }
                Ended::Locked => {}
            }
            let free = match forwarded.end.kind {
                // Its rows have been sent, so it cannot be run again.
                EndKind::RowsEnd => self.is_free(run.shard, check).await,
                EndKind::Ok | EndKind::Err => {
                    let distributed = self.shared.distributed.clone();
                    let mut waited = Waited::default();
                    let met = distributed.holders(run.shard, check, None, &mut waited).await;
                    met.holders == Holders::Free
                }
            };
            if free {
                forwarded.warnings = warnings;
                return self.commit_checked(connection, &run, forwarded).await;
            }
            roll_back(&mut connection).await;
            drop(connection);
            let again = forwarded.end.kind == EndKind::Ok && Instant::now() < until;
            if !again {
                return Err(SqlError::locked_by_transaction(&name).into());
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Sends all of it, and follows the statement's answer up to its last packet.
    async fn send_checked(
        &mut self,
        connection: &mut PooledConnection,
        run: &SingleRun<'_>,
        ending: &Packet,
    ) -> Result<Forwarded, Failure> {
        let sent = async {
            let number = self.number_on(connection, run.outgoing).await?;
            let mut entry = self.queue_entry(connection, Access::WRITE).await?;
            let serializable =
                self.state.is_serializable() || self.transaction.next_is_serializable();
            if !run.traits.opens_no_snapshot && !serializable {
                self.queue_before(connection, &mut entry, READ_COMMITTED);
            }
            self.queue_before(connection, &mut entry, BEGIN);
            run.outgoing.queue(connection, number)?;
            connection.queue_statements(ending);
            connection.flush().await?;
            self.read_entry(connection, entry).await
        };
        match sent.await {
            Ok(()) => {}
            Err(BackendFailure::Told(error)) => return Err(error.into()),
            Err(lost) => {
                connection.poison();
                return Err(self.lost(run.shard, Access::WRITE, lost).await);
            }
        }
        self.forward_held(connection, run).await
    }

    /// The answer to the check and to COMMIT, with the texts of the statement's warnings.
    async fn read_ended(
        &mut self,
        connection: &mut PooledConnection,
        ending: &Packet,
    ) -> Result<(Ended, Option<TextResult>), BackendError> {
        let mut answer = connection.read_packet_answer(ending, TextLimits::default()).await?;
        let warnings = (!answer.results.is_empty()).then(|| answer.results.swap_remove(0).rows);
        let ended = match answer.failed {
            None => Ended::Committed,
            Some((Part::Check, error)) if error.code == OUT_OF_RANGE => Ended::Locked,
            Some((_, error)) => Ended::Refused(server_error(&error)),
        };
        Ok((ended, warnings))
    }

    /// What was locked is free by now, and this statement's row locks keep it so.
    async fn commit_checked(
        &mut self,
        mut connection: PooledConnection,
        run: &SingleRun<'_>,
        forwarded: Forwarded,
    ) -> Result<(), Failure> {
        match connection.query_ok(sql::COMMIT.as_bytes()).await {
            Ok(_) => self.answered(connection, run, forwarded).await,
            Err(error) => {
                connection.poison();
                Err(self.lost(run.shard, Access::WRITE, error).await)
            }
        }
    }
}
