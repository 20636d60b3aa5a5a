//! What the catalog says of the rows of a transfer, for its movers.

use super::{Driver, pair::Pair};
use crate::{MoveSpec, Mover, Pace, Rows, Settings, TableSpec};
use shardline_model::{
    catalog::{Catalog, Shard, Table},
    id::{Incarnation, MoveId, ShardId},
    moves::UnitMove,
    reshard::{Crossing, Reshard, RowOwner},
};
use std::sync::Arc;

/// The pairs of shards that rows go between; none when all stay where they are.
///
/// # Errors
/// Something of it is gone.
pub(super) fn pairs(
    driver: &Driver,
    catalog: &Catalog,
    id: MoveId,
    me: Incarnation,
    pace: &Arc<Pace>,
) -> Result<Vec<Pair>, String> {
    let maker = Maker { driver, catalog, owner: me.to_string(), pace };
    match (catalog.moves.get(&id), catalog.reshards.get(&id)) {
        (Some(one), _) => Ok(vec![maker.of_units(one)?]),
        (None, Some(one)) => maker.of_table(one),
        (None, None) => Ok(Vec::new()),
    }
}

struct Maker<'a> {
    driver: &'a Driver,
    catalog: &'a Catalog,
    owner: String,
    pace: &'a Arc<Pace>,
}

impl Maker<'_> {
    /// Units of a colocation group, in all its tables.
    fn of_units(&self, one: &UnitMove) -> Result<Pair, String> {
        let group = self.catalog.groups.get(&one.group).ok_or("its colocation group is gone")?;
        let tables = self.catalog.databases.values().flat_map(|database| database.tables.values());
        let tables = tables.filter_map(|table| {
            let sharding = table.sharding().filter(|sharding| sharding.group == one.group)?;
            let columns = sharding.key_columns.iter().filter_map(|at| table.columns.get(*at));
            Some(table_spec(table, columns.map(|column| column.name.clone()).collect()))
        });
        let spec = MoveSpec {
            id: one.id.to_string(),
            owner: self.owner.clone(),
            tables: tables.collect(),
            key_types: group.key_types.clone(),
            units: one.units.clone().into(),
            source: self.driver.endpoint(&self.shard(one.from)?.primary),
            target: self.driver.endpoint(&self.shard(one.to)?.primary),
        };
        self.pair(one.from, one.to, spec, self.driver.settings.clone())
    }

    /// All rows of a table, from each of its owners to each of the others.
    fn of_table(&self, one: &Reshard) -> Result<Vec<Pair>, String> {
        let table = self.catalog.table_by_id(one.table).ok_or("its table is gone")?;
        let owner =
            |kind| RowOwner::of(kind, table, self.catalog).ok_or("its colocation group is gone");
        let (from, to) = (owner(&one.from)?, owner(&one.to)?);
        let all = one.pairs();
        let settings = of_many(&self.driver.settings, all.len());
        let mut pairs = Vec::with_capacity(all.len());
        for (source, target) in all {
            let crossing = Crossing { from: from.clone(), to: to.clone(), source, target };
            let spec = MoveSpec {
                id: format!("{}.{source}.{target}", one.id),
                owner: self.owner.clone(),
                tables: vec![table_spec(table, crossing.columns())],
                key_types: crossing.types(),
                units: Rows::Crossing(crossing),
                source: self.driver.endpoint(&self.shard(source)?.primary),
                target: self.driver.endpoint(&self.shard(target)?.primary),
            };
            pairs.push(self.pair(source, target, spec, settings.clone())?);
        }
        Ok(pairs)
    }

    fn pair(
        &self,
        source: ShardId,
        target: ShardId,
        spec: MoveSpec,
        settings: Settings,
    ) -> Result<Pair, String> {
        let mover = Mover::new(spec, settings).map_err(|error| error.to_string())?;
        Ok(Pair::new(source, target, mover.at_pace(self.pace.clone())))
    }

    fn shard(&self, id: ShardId) -> Result<&Shard, &'static str> {
        self.catalog.shards.get(&id).map(AsRef::as_ref).ok_or("one of its shards is gone")
    }
}

fn table_spec(table: &Table, key_columns: Vec<String>) -> TableSpec {
    TableSpec { database: table.database.clone(), table: table.name.clone(), key_columns }
}

/// Many pairs do less each, so that all together are no more than a few.
fn of_many(whole: &Settings, pairs: usize) -> Settings {
    let part = |all: usize| (all * 2 / pairs.max(2)).max(1);
    Settings {
        lanes: part(whole.lanes),
        readers: part(whole.readers),
        chunks_max: part(whole.chunks_max).max(2),
    }
}
