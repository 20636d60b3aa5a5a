//! What the session answers about transactions over several shards: those that are not done
//! with, what became of one, and what an operator decides about one that is stuck.

use super::{
    Session,
    answer::Table,
    failure::Failure,
    shared::{Shared, shard_name},
};
use crate::{
    distributed::{
        overview::{TransactionState, TransactionStatus},
        stuck::Choice,
    },
    error::SqlError,
    registry::Phase,
    txn::xid::{Xid, XidError},
};
use shardline_model::id::ShardId;
use shardline_router::plan::ResolveChoice;

/// The transactions over several shards that a proxy knows to be not done with.
pub(crate) fn table(shared: &Shared) -> Table {
    let catalog = shared.meta.catalog();
    let name = |shard: ShardId| shard_name(&catalog, shard);
    let names = ["Xid", "State", "Anchor", "Shards", "Age", "Waits_for", "Session", "Statements"];
    let mut table = Table::of_text(&names).with_integer(4).with_integer(6).with_integer(7);
    for view in shared.registry.spread() {
        let (state, xid, waits_for) = match (view.phase, view.wait) {
            (Phase::Open, Some(_)) => ("open", None, "the end of a statement"),
            (Phase::Open, None) => ("open", None, "its client"),
            (Phase::Preparing(xid), _) => ("preparing", xid, "the end of its COMMIT"),
        };
        let shards = view.places.iter().map(|place| name(place.shard));
        table.push([
            xid.map(|xid| xid.to_string()),
            Some(state.to_owned()),
            None,
            Some(shards.collect::<Vec<_>>().join(",")),
            Some(view.age.as_secs().to_string()),
            Some(waits_for.to_owned()),
            Some(view.session.to_string()),
            Some(view.statements.to_string()),
        ]);
    }
    for (violation, age) in shared.distributed.findings.violations() {
        let shards = violation.anchor.into_iter().chain(violation.branches);
        let shards: Vec<_> = shards.map(name).collect();
        let rows = violation.rows.iter().map(|row| format!("; {row}")).collect::<String>();
        table.push([
            Some(violation.xid.to_string()),
            Some("violation".to_owned()),
            violation.anchor.map(name),
            Some(shards.join(",")),
            Some(age.as_secs().to_string()),
            Some(violation.reason + &rows),
            None,
            None,
        ]);
    }
    for view in shared.distributed.overview() {
        let state = match view.state {
            TransactionState::Undecided => "undecided",
            TransactionState::Stuck => "stuck",
        };
        let shards = [view.anchor].into_iter().chain(view.branches);
        let shards: Vec<_> = shards.map(name).collect();
        table.push([
            Some(view.xid.to_string()),
            Some(state.to_owned()),
            Some(name(view.anchor)),
            Some(shards.join(",")),
            Some(view.age.as_secs().to_string()),
            Some(view.waits_for),
            None,
            None,
        ]);
    }
    table
}

impl Session {
    /// SHOW TRANSACTIONS.
    pub(super) fn transactions_table(&self) -> Table {
        table(&self.shared)
    }

    /// SHOW TRANSACTION STATUS; empty when no transaction is named and the session had none.
    pub(super) async fn transaction_status_table(
        &self,
        xid: Option<&str>,
    ) -> Result<Table, Failure> {
        let mut table = transaction_status_columns();
        let xid = match xid {
            Some(text) => text.parse().map_err(wrong_xid)?,
            None => match self.last_xid {
                Some(xid) => xid,
                None => return Ok(table),
            },
        };
        let shards = self.shared.meta.catalog().shard_ids();
        let status = self.shared.distributed.status(xid, &shards).await;
        let (word, meaning) = match status {
            TransactionStatus::Committed => ("committed", "it is on all its shards".into()),
            TransactionStatus::Aborted => (
                "aborted",
                "nothing of it remains; SHOW TRANSACTIONS lists what is still being undone".into(),
            ),
            TransactionStatus::Undecided => {
                ("undecided", "it will be whole on all its shards or absent on all".into())
            }
            TransactionStatus::Forgotten => (
                "forgotten",
                "committed and forgotten if its COMMIT ended with 08007; without a trace if it \
                 ended with another error"
                    .into(),
            ),
            TransactionStatus::Finished => {
                ("finished", "it ended long ago: nothing is kept about it".into())
            }
            TransactionStatus::Unknown => ("unknown", "no shard knows of it".into()),
            TransactionStatus::Unreachable(silent) => {
                let names: Vec<_> = silent.iter().map(|shard| self.shard_name(*shard)).collect();
                ("unreachable", format!("no answer from {}", names.join(", ")))
            }
        };
        table.push([Some(xid.to_string()), Some(word.to_owned()), Some(meaning)]);
        Ok(table)
    }

    /// CALL shardline.txn_resolve: the stuck branches of a transaction, or the one on `shard`;
    /// how many of their changes were undone, and how many left.
    pub(super) async fn resolve_transaction(
        &self,
        xid: &str,
        choice: ResolveChoice,
        shard: Option<&str>,
    ) -> Result<Table, Failure> {
        let xid: Xid = xid.parse().map_err(wrong_xid)?;
        let shard = match shard {
            None => None,
            Some(name) => Some(self.shard_of_name(name)?),
        };
        let choice = match choice {
            ResolveChoice::Keep => Choice::Keep,
            ResolveChoice::Restore => Choice::Restore,
            ResolveChoice::Merge => Choice::Merge,
        };
        let settler = &self.shared.distributed.recovery.settler;
        let wanted = |on: ShardId| shard.is_none_or(|shard| shard == on);
        let stuck = settler.stuck.all().into_iter();
        let stuck: Vec<ShardId> = stuck
            .filter(|branch| branch.xid == xid && wanted(branch.shard))
            .map(|branch| branch.shard)
            .collect();
        if stuck.is_empty() {
            let reason =
                format!("transaction {xid} is not stuck there, as far as this proxy knows");
            return Err(SqlError::not_resolved(&reason).into());
        }
        let mut table = transaction_resolve_columns();
        for shard in stuck {
            let done = settler.unstick(xid, shard, choice).await;
            let done = done.map_err(|error| SqlError::not_resolved(&error.to_string()))?;
            table.push([self.shard_name(shard), done.undone.to_string(), done.kept.to_string()]);
        }
        Ok(table)
    }

    fn shard_of_name(&self, name: &str) -> Result<ShardId, SqlError> {
        let catalog = self.shared.meta.catalog();
        let found = catalog.shards.iter().find(|(_, shard)| shard.name == name);
        found.map(|(id, _)| *id).ok_or_else(|| {
            SqlError::not_resolved(&format!("there is no shard {name:?}; SHOW SHARDS lists them"))
        })
    }
}

/// The columns of SHOW TRANSACTION STATUS.
pub(super) fn transaction_status_columns() -> Table {
    Table::of_text(&["Xid", "Status", "Meaning"])
}

/// The columns of CALL shardline.txn_resolve.
pub(super) fn transaction_resolve_columns() -> Table {
    Table::of_text(&["Shard", "Changes_undone", "Changes_kept"]).with_integer(1).with_integer(2)
}

fn wrong_xid(error: XidError) -> SqlError {
    SqlError::not_resolved(&error.to_string())
}
