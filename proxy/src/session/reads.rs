//! What `shardline_read_consistency` asks of a statement before it runs. Sessions at the level
//! `local` never come here but for one look at their level.

use super::{
    Session,
    commit::is_guarded,
    failure::Failure,
    query::{Statement, single_run},
    settings::ReadConsistency,
    written::{Note, check_of},
};
use crate::{
    error::SqlError,
    session::transaction::{Chain, Verb},
    txn::lock_key::LockCheck,
};
use shardline_model::{catalog::Catalog, id::ShardId};
use shardline_router::{
    plan::{Plan, Single, Target},
    template::{BindInput, Template},
    touch::Touches,
};

/// What is to be seen to for a statement of a session whose level is not `local`.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Nothing, but that an older catalog counts as given up only when it has its answer.
    Plain,
    /// The transaction that it begins keeps its snapshots.
    Begin,
    /// The transaction's snapshots are opened first, on all shards.
    Open(Touches),
    /// No row of these may be undecided in the snapshot that is read.
    Checked(Touches),
    /// Snapshots for the statement alone, which show no transaction in part.
    Whole(Touches),
}

/// What a read on several shards outside a transaction sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alone {
    /// On each shard nothing that is undecided.
    Checked,
    /// Nothing in part.
    Whole,
}

/// What must be free of locks on which shard; `any`: where a plan runs that any shard may run.
fn checks_of(plan: &Plan, touches: &Touches, any: Option<ShardId>) -> Vec<(ShardId, LockCheck)> {
    let shards: Vec<ShardId> = match plan {
        Plan::Single(Single { target: Target::Shard(shard), .. }) => vec![*shard],
        Plan::Single(Single { target: Target::Any, .. }) => any.into_iter().collect(),
        Plan::Scatter(scatter) => scatter.parts.iter().map(|part| part.shard).collect(),
        Plan::Compute(compute) => compute.shards(),
        Plan::Write(_) | Plan::Rehearse(_) | Plan::Ddl(_) | Plan::Session(_) | Plan::Refuse(_) => {
            Vec::new()
        }
    };
    shards.into_iter().map(|shard| (shard, check_of(shard, touches))).collect()
}

impl Reading {
    /// Whether the statement runs as any other.
    pub(crate) fn is_plain(&self) -> bool {
        match self {
            Reading::Plain => true,
            Reading::Begin | Reading::Open(_) | Reading::Checked(_) | Reading::Whole(_) => false,
        }
    }
}

impl Session {
    /// What the session's level, which is not `local`, asks of a planned statement.
    pub(super) fn reading(
        &self,
        template: &Template,
        input: &BindInput<'_>,
        plan: &Plan,
    ) -> Reading {
        let traits = template.traits();
        let reads = !traits.writes && !traits.locks;
        let (one_shard, reads) = match plan {
            Plan::Single(_) => (true, reads),
            Plan::Scatter(_) | Plan::Compute(_) => (false, reads),
            Plan::Write(_) | Plan::Rehearse(_) => (false, false),
            Plan::Ddl(_) | Plan::Session(_) | Plan::Refuse(_) => return Reading::Plain,
        };
        let guarded = reads && is_guarded(input.catalog, template.touched_databases());
        let transactional = self.transaction.is_transactional();
        match self.settings.read_consistency {
            ReadConsistency::Atomic | ReadConsistency::Strict if transactional => {
                let touches = || if reads { template.touches(input) } else { Touches::default() };
                match self.transaction.has_snapshots() {
                    true if self.transaction.shows_undone() => Reading::Checked(touches()),
                    true => Reading::Plain,
                    false => Reading::Open(touches()),
                }
            }
            ReadConsistency::Atomic if guarded && !one_shard => {
                Reading::Whole(template.touches(input))
            }
            // Transactions on one shard each have an order too.
            ReadConsistency::Strict if reads && !one_shard => {
                Reading::Whole(template.touches(input))
            }
            // All that one shard shows of a transaction it shows at once.
            ReadConsistency::Strict | ReadConsistency::Atomic | ReadConsistency::Committed
                if guarded =>
            {
                Reading::Checked(template.touches(input))
            }
            ReadConsistency::Strict
            | ReadConsistency::Atomic
            | ReadConsistency::Committed
            | ReadConsistency::Local => match transactional && !self.transaction.is_begun() {
                true => Reading::Begin,
                false => Reading::Plain,
            },
        }
    }

    /// A plain read under SERIALIZABLE locks its rows, whichever they are.
    pub(super) fn note_of_locking_read(&self, catalog: &Catalog) -> Option<Note> {
        if catalog.guards.is_empty() || !self.transaction.reads_lock(self.state.is_serializable()) {
            return None;
        }
        let databases = catalog.guards.keys().map(|name| name.as_str().into()).collect();
        Some(Note { databases, touches: None, reads: true })
    }

    /// Whether its level is another than `local`. Such reads hold their catalog to the end: a
    /// guard that rises waits for them.
    pub(super) fn reads_hold_catalog(&self) -> bool {
        self.settings.read_consistency != ReadConsistency::Local
    }

    /// Sees to it. None: the statement is still to be run, as any other.
    pub(super) async fn read_at_level(
        &mut self,
        reading: &Reading,
        plan: &Plan,
        statement: &Statement<'_>,
        catalog: &Catalog,
    ) -> Option<Result<(), Failure>> {
        if self.transaction.is_transactional()
            && !self.transaction.is_begun()
            && !reading.is_plain()
            && let Err(error) = self.begin_without_autocommit()
        {
            return Some(Err(error.into()));
        }
        let entered = match (reading, plan) {
            (Reading::Open(touches), _) => {
                let shards: Vec<ShardId> = catalog.shards.keys().copied().collect();
                match self.open_snapshots(&shards).await {
                    Ok(()) if self.transaction.shows_undone() => {
                        self.enter_checked(&checks_of(plan, touches, self.transaction.preferred()))
                            .await
                    }
                    opened => opened,
                }
            }
            (Reading::Checked(touches), Plan::Single(single)) => {
                return self.read_single(single, touches, statement, catalog).await;
            }
            (Reading::Checked(touches), Plan::Scatter(_) | Plan::Compute(_)) => {
                let checks = checks_of(plan, touches, None);
                if !self.transaction.is_transactional() {
                    let read = self.read_alone(plan, &checks, Alone::Checked, statement, catalog);
                    return Some(read.await);
                }
                self.enter_checked(&checks).await
            }
            (Reading::Whole(touches), Plan::Scatter(_) | Plan::Compute(_)) => {
                let checks = checks_of(plan, touches, None);
                let read = self.read_alone(plan, &checks, Alone::Whole, statement, catalog);
                return Some(read.await);
            }
            (Reading::Plain | Reading::Begin | Reading::Checked(_) | Reading::Whole(_), _) => {
                Ok(())
            }
        };
        entered.err().map(Err)
    }

    /// A read on one shard. Outside a transaction all goes in one write.
    async fn read_single(
        &mut self,
        single: &Single,
        touches: &Touches,
        statement: &Statement<'_>,
        catalog: &Catalog,
    ) -> Option<Result<(), Failure>> {
        let candidates = match single.target {
            Target::Shard(shard) => smallvec::smallvec![shard],
            Target::Any => self.any_shards(catalog),
        };
        let mut candidates = candidates.into_iter().peekable();
        while let Some(shard) = candidates.next() {
            let check = check_of(shard, touches);
            if check == LockCheck::default() {
                return None;
            }
            let outcome = if self.transaction.is_transactional() {
                self.enter_checked(&[(shard, check)]).await
            } else {
                let run = single_run(single, shard, statement);
                self.run_checked_read(run, &check).await
            };
            match outcome {
                Err(Failure::Sql(error))
                    if error.is_unreachable_shard() && candidates.peek().is_some() => {}
                Ok(()) if self.transaction.is_transactional() => {
                    // The shard that was looked at is the one that is read.
                    let run = single_run(single, shard, statement);
                    return Some(self.run_single(run).await);
                }
                outcome => return Some(outcome),
            }
        }
        Some(Err(SqlError::no_shards().into()))
    }

    /// A read on several shards outside a transaction, in one of its own.
    async fn read_alone(
        &mut self,
        plan: &Plan,
        checks: &[(ShardId, LockCheck)],
        alone: Alone,
        statement: &Statement<'_>,
        catalog: &Catalog,
    ) -> Result<(), Failure> {
        self.transaction.begin_read();
        let entered = match alone {
            Alone::Checked => self.enter_checked(checks).await,
            Alone::Whole => {
                let mut shards: Vec<_> = checks.iter().map(|(shard, _)| *shard).collect();
                shards.sort_unstable();
                shards.dedup();
                match self.open_snapshots(&shards).await {
                    Ok(()) if self.transaction.shows_undone() => self.enter_checked(checks).await,
                    opened => opened,
                }
            }
        };
        let done = match (entered, plan) {
            (Ok(()), Plan::Scatter(scatter)) => {
                self.run_scatter(scatter, statement.protocol, statement.position).await
            }
            (Ok(()), Plan::Compute(compute)) => {
                let shards = catalog.shards.keys().copied().collect();
                Box::pin(self.compute(compute, statement, shards)).await
            }
            (
                Ok(()),
                Plan::Single(_)
                | Plan::Write(_)
                | Plan::Rehearse(_)
                | Plan::Ddl(_)
                | Plan::Session(_)
                | Plan::Refuse(_),
            ) => Err(SqlError::internal("a read of its own was no read of several shards").into()),
            (Err(failure), _) => Err(failure),
        };
        // Whatever went wrong may have ended it already.
        if self.transaction.is_transactional() {
            let finish = self.transaction.finish(Verb::Rollback, Chain::No);
            let finished = self.finish(finish).await;
            done?;
            return finished;
        }
        done
    }

    /// BEGIN at a level that keeps snapshots: the isolation levels that cannot are refused.
    pub(super) fn check_isolation(&self) -> Result<(), SqlError> {
        if self.settings.read_consistency == ReadConsistency::Local {
            return Ok(());
        }
        let chosen = self.transaction.next_isolation().map(str::to_owned);
        let Some(chosen) = chosen.or_else(|| self.state.isolation()) else { return Ok(()) };
        if chosen.to_ascii_uppercase().contains("REPEATABLE READ") {
            return Ok(());
        }
        Err(SqlError::not_supported(
            format!(
                "shardline_read_consistency = {} needs a snapshot that lasts as long as the \
                 transaction, and this one is to be {}",
                self.settings.read_consistency.name(),
                chosen
            ),
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, or read with \
             shardline_read_consistency = local",
        ))
    }

    /// A transaction that BEGIN has just opened keeps its snapshots.
    pub(super) fn keep_snapshots(&mut self) {
        if self.settings.read_consistency != ReadConsistency::Local {
            self.transaction.keep_snapshots();
        }
    }

    /// Whether its snapshots are opened behind a barrier.
    pub(crate) fn reads_strictly(&self) -> bool {
        self.settings.read_consistency == ReadConsistency::Strict
    }

    /// START TRANSACTION WITH CONSISTENT SNAPSHOT: from the level `atomic` on there is one now.
    pub(super) async fn begin_snapshots(&mut self) -> Result<(), Failure> {
        match self.settings.read_consistency {
            ReadConsistency::Atomic | ReadConsistency::Strict => {}
            ReadConsistency::Local | ReadConsistency::Committed => return Ok(()),
        }
        let catalog = self.catalog();
        let shards: Vec<ShardId> = catalog.shards.keys().copied().collect();
        let opened = Box::pin(self.open_snapshots(&shards)).await;
        drop(catalog);
        if opened.is_err() && self.transaction.is_transactional() {
            let finish = self.transaction.finish(Verb::Rollback, Chain::No);
            // What failed first is what the client is told.
            let _ = self.finish(finish).await;
        }
        opened
    }

    fn begin_without_autocommit(&mut self) -> Result<(), SqlError> {
        self.check_isolation()?;
        if !self.transaction.branches().is_empty() {
            return Err(SqlError::not_supported(
                "the open transaction has not kept its first snapshot",
                "COMMIT or ROLLBACK it first",
            ));
        }
        self.transaction.begin_implicitly();
        self.transaction.keep_snapshots();
        Ok(())
    }
}
