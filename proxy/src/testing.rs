//! What follows a decision, for tests on real servers: settling, resolving, and what an operator does
//! about stuck branches. Only in builds with the feature `fault-points`.

use crate::{
    backend::PoolSet,
    distributed::{control::Control, forget::Ledgers, resolve::Recovery, settle::Settler},
    txn::{
        forget::Committed,
        outcome::Settlement,
        recovery::{Resolution, Undecided},
        sql::Names,
        xid::{Incarnation, Xid},
    },
};
use shardline_base::Shutdown;
use shardline_model::{catalog::Catalog, id::ShardId};
use shardline_router::plan::TableName;
use std::sync::Arc;

/// One proxy's part in compensation.
pub struct Compensation {
    control: Arc<Control>,
    ledgers: Arc<Ledgers>,
    recovery: Arc<Recovery>,
}

/// A stuck branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The transaction.
    pub xid: Xid,
    /// The branch.
    pub shard: ShardId,
    /// Why.
    pub reason: String,
    /// How many of its changes cannot be undone.
    pub differing: usize,
    /// Of the first rows: table, key, expected image, found image.
    pub rows: Vec<[String; 4]>,
}

impl Compensation {
    /// Over the shards of these pools.
    pub fn new(pools: &Arc<PoolSet>) -> Self {
        let control = Arc::new(Control::new(pools.clone()));
        let ledgers = Arc::new(Ledgers::new(control.clone()));
        let settler = Arc::new(Settler::new(control.clone(), pools.clone()));
        let recovery = Recovery::new(control.clone(), pools.clone(), ledgers.clone(), settler);
        Compensation { control, ledgers, recovery }
    }

    /// Scans all shards and forgets what is committed, until shutdown.
    pub fn run(&self, shutdown: &Shutdown) {
        tokio::spawn(self.recovery.clone().run(shutdown.clone()));
        tokio::spawn(self.ledgers.clone().run(shutdown.clone()));
    }

    /// Settles one branch.
    pub async fn settle(&self, names: Names<'_>, shard: ShardId) -> Settlement {
        self.recovery.settler.settle(names, shard).await
    }

    /// Resolves one transaction.
    pub async fn resolve(&self, undecided: Undecided, anchor_thread: u64) -> Resolution {
        self.recovery.resolve(undecided, anchor_thread).await
    }

    /// Begins a commit of an incarnation.
    pub fn begin(&self, incarnation: Incarnation) -> Option<Xid> {
        self.ledgers.set_incarnation(Some(incarnation));
        self.ledgers.begin()
    }

    /// A commit was decided so.
    pub fn committed(&self, committed: Committed) {
        self.ledgers.committed(committed);
    }

    /// How many are undecided, and how many are to be forgotten.
    pub fn sizes(&self) -> (usize, usize) {
        self.ledgers.sizes()
    }

    /// The transactions that scans have found and that are not resolved.
    pub fn undecided(&self) -> Vec<Xid> {
        self.recovery.undecided().into_iter().map(|seen| seen.undecided.xid).collect()
    }

    /// The stuck branches.
    pub fn stuck(&self) -> Vec<Stuck> {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "no row".to_owned());
        let all = self.recovery.settler.stuck.all().into_iter();
        all.map(|branch| Stuck {
            xid: branch.xid,
            shard: branch.shard,
            reason: branch.reason,
            differing: branch.differing,
            rows: branch
                .rows
                .iter()
                .map(|row| {
                    [row.table.clone(), row.key.clone(), text(&row.expected), text(&row.found)]
                })
                .collect(),
        })
        .collect()
    }

    /// What an operator decides: keep, restore or merge. Changes undone, and left.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn unstick(
        &self,
        xid: Xid,
        shard: ShardId,
        choice: &str,
    ) -> Result<(usize, usize), String> {
        let choice = choice.parse().map_err(|error| format!("{error}"))?;
        let done = self.recovery.settler.unstick(xid, shard, choice).await;
        done.map(|done| (done.undone, done.kept)).map_err(|error| error.to_string())
    }

    /// Whether a transaction over several shards may write a table.
    ///
    /// # Errors
    /// What a client is told.
    pub async fn undoable(
        &self,
        catalog: &Catalog,
        shard: ShardId,
        database: &str,
        table: &str,
    ) -> Result<(), String> {
        let checked = &self.recovery.settler.checked;
        let name = TableName { database: database.to_owned(), table: table.to_owned() };
        let found = checked.undoable(&self.control, catalog, shard, &[Arc::new(name)]).await;
        found.map_err(|error| error.message_text())
    }
}
