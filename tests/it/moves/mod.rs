//! Units on their way, moved by hand through the metadata service: what proxies make of rows of
//! others, of holds and of switches. No mover runs here; the tests copy the rows themselves.

mod full;
mod holds;
mod strangers;

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_base::Shutdown;
use shardline_meta_client::{ClientConfig, MetaClient};
use shardline_model::{
    catalog::{ColocationGroup, Table},
    change::Change,
    id::{Epoch, MoveId, ShardId},
    moves::{JobKind, JobPhase, JobState, MoveState, NewMove, Throttle, UnitMove, Wish},
    placement::Units,
    predicate,
};
use shardline_tests::{Cluster, ClusterConfig, sql, wait};
use std::{sync::Arc, time::Duration};

/// How long a proxy may take to follow the catalog.
const FOLLOWS: Duration = Duration::from_secs(10);

struct Bench {
    cluster: Cluster,
    meta: Arc<MetaClient>,
}

impl Bench {
    async fn start(proxies: usize) -> Result<Self> {
        let config = ClusterConfig { shards: 3, meta: 1, proxies, ..ClusterConfig::default() };
        let cluster = Cluster::start(config).await?;
        let endpoints = cluster.meta_addresses();
        let config = ClientConfig::new(endpoints.split(','));
        let meta = MetaClient::connect(config, &Shutdown::new()).await?;
        Ok(Self { cluster, meta })
    }

    fn table(&self, name: &str) -> Result<Arc<Table>> {
        self.meta.catalog().table("d", name).cloned().context("the table")
    }

    fn group(&self, name: &str) -> Result<Arc<ColocationGroup>> {
        self.table(name)?.group(&self.meta.catalog()).cloned().context("its group")
    }

    /// Begins a move of units that one shard owns, and waits until every proxy knows.
    async fn begin(&self, table: &str, units: Units, from: u32, to: u32) -> Result<MoveId> {
        let state = JobState {
            phase: JobPhase::Failed,
            wish: Wish::Pause,
            owner: None,
            throttle: Throttle::default(),
            last_error: None,
        };
        let (kind, summary) = (JobKind::Partial, "by hand".to_owned());
        let job = Change::CreateJob { kind, summary, created_unix_s: 0, state };
        let job = self.meta.propose(job).await?.job.context("a job")?;
        let group = self.group(table)?.id;
        let new = NewMove { group, units, from: ShardId(from), to: ShardId(to) };
        let begun = self.meta.propose(Change::BeginMoves { job, moves: vec![new] }).await?;
        self.acknowledged(begun.epoch).await?;
        begun.first_move.context("a move")
    }

    fn found(&self, id: MoveId) -> Result<Arc<UnitMove>> {
        self.meta.catalog().moves.get(&id).cloned().context("the move")
    }

    async fn set(&self, id: MoveId, to: MoveState) -> Result<Epoch> {
        let found = self.found(id)?;
        let change = Change::SetMove { id, from: (found.state, found.since), to: Some(to) };
        Ok(self.meta.propose(change).await?.epoch)
    }

    /// Waits until no proxy uses an older catalog.
    async fn acknowledged(&self, epoch: Epoch) -> Result<()> {
        wait::until("every proxy acknowledges", FOLLOWS, || self.is_acknowledged(epoch)).await
    }

    async fn is_acknowledged(&self, epoch: Epoch) -> Result<()> {
        let status = self.meta.cluster_status().await?;
        ensure!(status.leases.len() == self.cluster.proxies.len(), "leases are missing");
        for lease in &status.leases {
            ensure!(
                lease.acknowledged.is_some_and(|known| known >= epoch),
                "proxy {} is at {:?}, not at {epoch}",
                lease.proxy,
                lease.acknowledged
            );
        }
        Ok(())
    }

    /// A connection to a shard's server.
    async fn shard(&self, shard: ShardId) -> Result<Conn> {
        self.cluster.shards[shard.0 as usize - 1].connect().await
    }

    /// The condition for rows of the units in a table of the group.
    fn condition(&self, table: &str, units: &Units) -> Result<String> {
        let table = self.table(table)?;
        Ok(predicate::units_sql(units, &table.key_types()?, &table.key_column_names()))
    }

    /// Copies the rows of the units from one shard to another.
    async fn copy(&self, table: &str, units: &Units, from: ShardId, to: ShardId) -> Result<u64> {
        let condition = self.condition(table, units)?;
        let read = format!("SELECT * FROM d.{table} WHERE {condition}");
        let rows = sql::rows(&mut self.shard(from).await?, &read).await?;
        let mut target = self.shard(to).await?;
        for row in &rows {
            let values: Vec<String> = row
                .iter()
                .map(|value| match value.as_str() {
                    "NULL" => "NULL".to_owned(),
                    value => format!("'{value}'"),
                })
                .collect();
            let write = format!("REPLACE INTO d.{table} VALUES ({})", values.join(", "));
            target.query_drop(write).await?;
        }
        Ok(rows.len() as u64)
    }
}
