//! Shards: which there are, what they have, and how one goes.

use super::{
    OperationError, Operations, PlanRequest, ShardView, StartRequest, Started,
    servers::{Values, number},
};
use futures_util::future::join_all;
use shardline_model::{
    catalog::{Apart, Catalog, Shard, TableKind},
    change::Change,
    id::ShardId,
    placement::Placement,
};
use std::sync::Arc;

/// Rows and bytes of all that is not a server's own.
const SIZES: &str = "SELECT COALESCE(SUM(table_rows), 0), COALESCE(SUM(data_length + index_length), 0) \
     FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema NOT IN \
     ('information_schema', 'performance_schema', 'mysql', 'sys', '_shardline')";

impl Operations {
    /// All shards.
    pub async fn shards(&self) -> Vec<ShardView> {
        self.shards_by_catalog(&self.catalog()).await
    }

    /// The same by a catalog that was just read.
    pub(super) async fn shards_by_catalog(&self, catalog: &Catalog) -> Vec<ShardView> {
        let asked = catalog.shards.values().map(|shard| self.view_of_shard(catalog, shard));
        join_all(asked).await
    }

    /// One shard.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn shard(&self, name: &str) -> Result<ShardView, OperationError> {
        let catalog = self.catalog();
        let shard = named(&catalog, name)?.clone();
        Ok(self.view_of_shard(&catalog, &shard).await)
    }

    async fn view_of_shard(&self, catalog: &Catalog, shard: &Shard) -> ShardView {
        let mut view = described(catalog, shard);
        let asked = async {
            let mut server = self.server(&shard.name, &shard.primary).await?;
            server.texts(SIZES).await
        };
        match asked.await {
            Ok(rows) => {
                view.up = true;
                let of = |place: usize| {
                    rows.first().and_then(|row| row.get(place)).map(|text| number(text))
                };
                (view.rows, view.bytes) = (of(0), of(1));
            }
            Err(error) => view.problem = Some(error.message),
        }
        view
    }

    /// Takes all data away from a shard: no new data goes there any more, and a job moves what is there.
    ///
    /// # Errors
    /// Single tables live there, no other shard is left, or there is no plan.
    pub async fn drain_shard(
        &self,
        name: &str,
        mut start: StartRequest,
    ) -> Result<Started, OperationError> {
        let catalog = self.catalog();
        let shard = named(&catalog, name)?.clone();
        let view = described(&catalog, &shard);
        if let Some(table) = view.single_tables.first() {
            return Err(OperationError::precondition(
                "single_tables",
                format!(
                    "{} single tables live on {}, the first is {table}",
                    view.single_tables.len(),
                    shard.name
                ),
            )
            .hint("drop them, or spread them (ALTER TABLE ... SHARD BY ...), and run it again"));
        }
        let others: Vec<ShardId> =
            catalog.open_shards().into_iter().filter(|id| *id != shard.id).collect();
        let Some(first) = others.first().copied() else {
            return Err(OperationError::precondition(
                "last_shard",
                format!("{} is the only shard that can have data", shard.name),
            )
            .hint("add another one first: shardline shard add"));
        };
        self.propose(Change::SetApart { id: shard.id, apart: Some(Apart::Draining) }).await?;
        for database in catalog.databases.values().filter(|database| database.home == shard.id) {
            let homes = |id: &ShardId| {
                catalog.databases.values().filter(|database| database.home == *id).count()
            };
            let home = others.iter().copied().min_by_key(homes).unwrap_or(first);
            self.propose(Change::SetHome { name: database.name.clone(), home }).await?;
        }
        start.plan = None;
        start.goal =
            Some(PlanRequest { drain: Some(shard.name.clone()), ..start.goal.unwrap_or_default() });
        self.start(start).await
    }

    /// Lets new data go to a shard again.
    ///
    /// # Errors
    /// It is not being drained.
    pub async fn undrain_shard(&self, name: &str) -> Result<ShardView, OperationError> {
        let catalog = self.catalog();
        let id = named(&catalog, name)?.id;
        if catalog.apart.get(&id) != Some(&Apart::Draining) {
            let message = format!("shard {name} is not being drained");
            return Err(OperationError::precondition("not_draining", message));
        }
        self.propose(Change::SetApart { id, apart: None }).await?;
        self.shard(name).await
    }

    /// Takes away a shard that has nothing any more, and the server that was started for it here.
    ///
    /// # Errors
    /// It has something, or there is none of that name.
    pub async fn remove_shard(&self, name: &str) -> Result<ShardView, OperationError> {
        let _alone = self.membership.try_lock().map_err(|_| {
            OperationError::precondition("busy", "another shard is being added or removed here")
        })?;
        let view = self.shard(name).await?;
        let id = ShardId(view.id);
        let catalog = self.catalog();
        if catalog.shards.len() == 1 {
            let message = format!("{name} is the cluster's only shard");
            return Err(OperationError::precondition("last_shard", message));
        }
        if let Some(local) = self.local.get() {
            // So that a start after a crash does not add it again.
            local.set_sown(&view.name, false).await?;
        }
        let epoch = match self.propose(Change::RemoveShard { id }).await {
            Ok(applied) => applied.epoch,
            Err(error) => {
                if let Some(local) = self.local.get() {
                    local.set_sown(&view.name, true).await?;
                }
                return Err(error.hint(format!("shardline shard drain {name}")));
            }
        };
        self.acknowledged(epoch).await?;
        if let Some(local) = self.local.get() {
            local.remove(&view.name).await?;
        }
        Ok(view)
    }
}

/// The shard of a name.
pub(super) fn named<'a>(
    catalog: &'a Catalog,
    name: &str,
) -> Result<&'a Arc<Shard>, OperationError> {
    catalog.shard_named(name).ok_or_else(|| {
        OperationError::not_found("shard", name).hint("shardline shard list shows them")
    })
}

/// What the catalog says.
fn described(catalog: &Catalog, shard: &Shard) -> ShardView {
    let mut view = ShardView {
        id: shard.id.0,
        name: shard.name.clone(),
        address: format!("{}:{}", shard.primary.host, shard.primary.port),
        state: match catalog.apart.get(&shard.id) {
            None => "serving",
            Some(Apart::Joining) => "joining",
            Some(Apart::Draining) => "draining",
        }
        .to_owned(),
        ..ShardView::default()
    };
    for group in catalog.groups.values() {
        match &group.placement {
            Placement::Hash(map) => {
                let owners = map.owners();
                view.slots += owners.iter().filter(|owner| **owner == shard.id).count() as u64;
            }
            Placement::Range(units) => {
                let its = units.iter().filter(|unit| unit.shard == shard.id);
                view.intervals_and_values += its.count() as u64;
            }
            Placement::List(map) => {
                let its = map.values.values().chain(&map.default);
                view.intervals_and_values += its.filter(|owner| **owner == shard.id).count() as u64;
            }
        }
    }
    for database in catalog.databases.values().filter(|database| database.home == shard.id) {
        view.home_of.push(database.name.clone());
    }
    for table in catalog.tables() {
        if table.kind == (TableKind::Single { shard: shard.id }) && !table.is_view {
            view.single_tables.push(format!("{}.{}", table.database, table.name));
        }
    }
    let moves = catalog.moves.values();
    view.moves = moves.filter(|one| one.from == shard.id || one.to == shard.id).count() as u64;
    view
}

/// Texts of a row, lossy; NULL is the empty one.
pub(super) fn text(row: &Values, place: usize) -> String {
    let value = row.get(place).and_then(Option::as_ref);
    value.map_or_else(String::new, |bytes| String::from_utf8_lossy(bytes).into_owned())
}
