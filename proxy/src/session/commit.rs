//! COMMIT of a transaction that wrote: on one shard by that shard's own COMMIT, after a look for
//! locks of others where the guard is on; on several by [`crate::distributed::commit`].

use super::{
    Session,
    failure::{Failure, server_error},
    transaction::{Finish, Verb},
    written::Written,
};
use crate::{
    backend::TextLimits,
    distributed::{
        commit::{Commit, Writer},
        holders::Waited,
        setup::Readiness,
    },
    error::SqlError,
    txn::{
        commit::Holders,
        coordinator::{LOCK_PATIENCE, RETRY_PAUSE},
        guard::WANT_PATIENCE,
        lock_key::{LockCheck, LockSet},
        outcome::Outcome,
        sql::{self, OUT_OF_RANGE, Part},
    },
};
use shardline_model::{catalog::Catalog, id::ShardId};
use smallvec::SmallVec;
use std::{sync::Arc, time::Instant};

impl Session {
    /// Commits on the branches what is to be committed; see [`Session::finish`].
    pub(super) async fn commit(&mut self, finish: Finish, written: Written) -> Result<(), Failure> {
        if !finish.writers.is_empty()
            && let Err(failure) = self.admit_commit().await
        {
            self.roll_back(&finish).await;
            return Err(failure);
        }
        match finish.writers.as_slice() {
            [] | [_] => self.commit_plainly(&finish, &written).await,
            [_, _, ..] => self.commit_everywhere(finish, written).await,
        }
    }

    /// One written shard at most. The catalog is held until the answer, so that a guard that
    /// rises meanwhile waits for it.
    async fn commit_plainly(&mut self, finish: &Finish, written: &Written) -> Result<(), Failure> {
        let catalog = self.catalog();
        if is_guarded(&catalog, written.databases()) {
            let checks: SmallVec<[_; 2]> = written.checked().collect();
            if let [(shard, check)] = checks.as_slice()
                && finish.writers.contains(shard)
                && !finish.stale.contains(shard)
                && !self.state.is_serializable()
                && let Some(done) = self.commit_unless_locked(finish, *shard, check).await
            {
                return done;
            }
            for (shard, check) in checks {
                if !self.is_free(shard, &check).await {
                    self.roll_back(finish).await;
                    return Err(SqlError::stands_on_undecided(&self.shard_name(shard)).into());
                }
            }
        }
        self.finish_plainly(finish).await
    }

    /// COMMIT on the written shard in one packet with its check, and on the shards that were only read.
    /// None when a lock was met: nothing has happened yet.
    async fn commit_unless_locked(
        &mut self,
        finish: &Finish,
        shard: ShardId,
        check: &LockCheck,
    ) -> Option<Result<(), Failure>> {
        let mut connection = self.branches.take(shard)?;
        let packet = sql::commit_unless_locked(check);
        let committed = match connection.run_packet(&packet, TextLimits::default()).await {
            Ok(answer) => match answer.failed {
                None => Ok(()),
                Some((Part::Check, error)) if error.code == OUT_OF_RANGE => {
                    self.branches.put(connection);
                    return None;
                }
                Some((_, error)) => Err(server_error(&error).into()),
            },
            Err(error) => self.finish_error(finish, shard, error),
        };
        match &committed {
            Ok(()) if self.branches.pinned() == Some(shard) => self.branches.put(connection),
            Ok(()) => {}
            Err(_) => connection.poison(),
        }
        Some(self.finish_plainly(finish).await.and(committed))
    }

    /// Waits until nothing undecided holds a lock that `check` meets, for a while.
    pub(crate) async fn is_free(&self, shard: ShardId, check: &LockCheck) -> bool {
        let distributed = self.shared.distributed.clone();
        let until = Instant::now() + LOCK_PATIENCE;
        let mut waited = Waited::default();
        loop {
            match distributed.holders(shard, check, None, &mut waited).await.holders {
                Holders::Free => return true,
                Holders::Held if Instant::now() >= until => return false,
                Holders::Held => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Several written shards.
    async fn commit_everywhere(&mut self, finish: Finish, written: Written) -> Result<(), Failure> {
        let admitted = self.admit_everywhere(&finish.writers, &written).await;
        let (anchor, catalog) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                self.roll_back(&finish).await;
                return Err(error.into());
            }
        };
        let distributed = self.shared.distributed.clone();
        let Some(xid) = distributed.ledgers.begin() else {
            self.roll_back(&finish).await;
            return Err(SqlError::too_many_undecided().into());
        };
        self.last_xid = Some(xid);
        self.registration.spread_prepares(Some(xid));
        let mut writers: Vec<Writer> = Vec::new();
        for shard in &finish.writers {
            let Some(connection) = self.branches.take(*shard) else { continue };
            let on_shard = written.on(*shard);
            let locks = if *shard == anchor { LockSet::default() } else { on_shard.locks };
            let is_stale = self.state.is_serializable() || finish.stale.contains(shard);
            writers.push(Writer { connection, locks, check: on_shard.check, is_stale });
        }
        let readers = finish.readers.iter().filter_map(|shard| self.branches.take(*shard));
        let readers: Vec<_> = readers.collect();
        let locked = written.checked().filter(|(shard, _)| finish.readers.contains(shard));
        let locked = locked.collect();
        let at = writers.iter().position(|writer| writer.connection.shard() == anchor);
        let (Some(at), true) = (at, writers.len() == finish.writers.len()) else {
            distributed.ledgers.aborted(xid);
            return Err(SqlError::internal("a branch of the transaction has no connection").into());
        };
        let anchor = writers.swap_remove(at);
        let commit = Commit { anchor, branches: writers, readers, locked, catalog };
        let done = distributed.commit(xid, commit).await;
        for connection in done.connections {
            if self.branches.pinned() == Some(connection.shard()) {
                self.branches.put(connection);
            }
        }
        match done.outcome {
            Outcome::Committed => Ok(()),
            Outcome::Aborted(why) => {
                let name = |shard| self.shard_name(shard);
                Err(SqlError::transaction_aborted(&xid.to_string(), &why.text(name)).into())
            }
            Outcome::Unknown => Err(SqlError::outcome_unknown(&xid.to_string()).into()),
        }
    }

    /// Whether a transaction may be committed on these shards, and which of them decides.
    async fn admit_everywhere(
        &self,
        writers: &[ShardId],
        written: &Written,
    ) -> Result<(ShardId, Arc<Catalog>), SqlError> {
        let distributed = &self.shared.distributed;
        let databases = written.databases();
        let mut catalog = self.catalog();
        if !allows_distributed(&catalog, databases) {
            // Every older catalog must be given up before the guard is up.
            drop(catalog);
            let names: Vec<&str> = databases.iter().map(AsRef::as_ref).collect();
            distributed.raise(&names, Instant::now() + WANT_PATIENCE).await?;
            catalog = self.catalog();
            if !allows_distributed(&catalog, databases) {
                return Err(SqlError::guard_not_up());
            }
        }
        let Some(anchor) = written.anchor(writers) else {
            return Err(SqlError::internal("two shards were written without noting what"));
        };
        for shard in writers {
            if let Readiness::NotReady(reason) = distributed.readiness(*shard).await {
                return Err(SqlError::shard_not_ready(&self.shard_name(*shard), &reason));
            }
            // What the anchor does is never undone.
            if *shard != anchor {
                let tables = written.on(*shard).tables;
                distributed.undoable(&catalog, *shard, &tables).await?;
            }
        }
        Ok((anchor, catalog))
    }

    async fn roll_back(&mut self, finish: &Finish) {
        let rollback = Finish { verb: Verb::Rollback, ..finish.clone() };
        // A failure closes the connection, which rolls back too.
        let _ = self.finish_plainly(&rollback).await;
    }
}

/// Whether writes in one of these databases must look for locks.
pub(crate) fn is_guarded(catalog: &Catalog, databases: &[Arc<str>]) -> bool {
    !catalog.guards.is_empty() && databases.iter().any(|name| catalog.guard(name).checks())
}

fn allows_distributed(catalog: &Catalog, databases: &[Arc<str>]) -> bool {
    databases.iter().all(|name| catalog.guard(name).allows_distributed())
}
