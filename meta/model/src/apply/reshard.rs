//! The steps of a table that is spread anew: it begins when nothing of it is on its way, and each
//! change of its owners changes the table's kind in the same epoch.

use super::{limit, moves::check_step, unknown};
use crate::{
    catalog::{Apart, Catalog, Table, TableKind},
    change::{Applied, ChangeError},
    declared::TableSharding,
    id::{Epoch, GroupId, JobId, MoveId, ShardId, TableId},
    moves::{JobKind, MoveState},
    placement::Placement,
    reshard::{RESHARD_PAIRS_MAX, Reshard},
    validate::{self, Declared},
};
use std::{collections::BTreeSet, sync::Arc};

impl Catalog {
    pub(super) fn begin_reshard(
        &mut self,
        job: JobId,
        sharding: &TableSharding,
    ) -> Result<Applied, ChangeError> {
        let known = self.jobs.get(&job).ok_or_else(|| unknown("job", &job.to_string()))?;
        if known.state.phase.is_over() {
            return Err(ChangeError::JobOver { job, phase: known.state.phase });
        }
        let JobKind::Full { table } = known.kind else {
            return Err(unknown("table of job", &job.to_string()));
        };
        let table = self.table_by_id(table).cloned();
        let table = table.ok_or_else(|| unknown("table of job", &job.to_string()))?;
        self.check_rests(&table)?;
        let wrong = |reason: &str| Err(reshard_error(&table, reason));
        if table.is_view {
            return wrong("it is a view");
        }
        if table.unique_keys.first().is_none_or(|key| key.name != "PRIMARY") {
            return wrong("it has no primary key, so its rows cannot be told apart; give it one");
        }
        let to = self.new_kind(&table, sharding)?;
        if to == table.kind {
            return wrong("it is spread in this way already");
        }
        let everywhere = [&table.kind, &to].iter().any(|kind| **kind == TableKind::Broadcast);
        if everywhere && self.apart.values().any(|apart| *apart == Apart::Joining) {
            return wrong(
                "a shard that joins may not have the rows of broadcast tables yet; wait until it has joined",
            );
        }
        let (from_shards, to_shards) = (self.shards_of(&table.kind), self.shards_of(&to));
        let id = MoveId(self.last_ids.unit_move + 1);
        let reshard = Reshard {
            id,
            job,
            table: table.id,
            from: table.kind.clone(),
            to,
            from_shards,
            to_shards,
            state: MoveState::Incoming,
            since: Epoch(self.epoch.0 + 1),
            owned_since: Epoch(0),
        };
        limit("pairs of shards that rows go between", reshard.pairs().len(), RESHARD_PAIRS_MAX)?;
        self.last_ids.unit_move = id.0;
        let group = group_of(&reshard.to);
        self.reshards.insert(id, Arc::new(reshard));
        Ok(Applied { first_move: Some(id), group, ..Applied::default() })
    }

    /// The kind that a declaration makes of a table that is there, with its new group.
    fn new_kind(
        &mut self,
        table: &Table,
        sharding: &TableSharding,
    ) -> Result<TableKind, ChangeError> {
        let database = self.databases.get(&table.database);
        let home = database.ok_or_else(|| unknown("database", &table.database))?.home;
        let (columns, function, colocate) = match sharding {
            TableSharding::Broadcast => return Ok(TableKind::Broadcast),
            TableSharding::Single { shard } => {
                let shard = self.known_shard(shard.unwrap_or(home))?;
                return Ok(TableKind::Single { shard });
            }
            TableSharding::Sharded { columns, function, colocate } => (columns, function, colocate),
        };
        if colocate
            .as_ref()
            .is_some_and(|with| (&with.database, &with.table) == (&table.database, &table.name))
        {
            return Err(reshard_error(table, "it cannot be colocated with itself"));
        }
        let declared = Declared { columns, function, colocate: colocate.as_ref(), home };
        let sharding = self.shard_table(table, &declared)?;
        let group = self.groups.get(&sharding.group);
        let total = group.is_some_and(|group| match &group.placement {
            Placement::Hash(_) => true,
            Placement::Range(units) => units.last().is_some_and(|unit| unit.less_than.is_none()),
            Placement::List(map) => map.default.is_some(),
        });
        if !total {
            let reason = "some keys would have no owner, and rows may have them; \
                          add a unit for MAXVALUE, or DEFAULT";
            return Err(reshard_error(table, reason));
        }
        let kind = TableKind::Sharded(sharding);
        let spread = Table { kind: kind.clone(), ..table.clone() };
        validate::unique_keys(&spread)?;
        Ok(kind)
    }

    /// The shards that have rows of a table of this kind.
    fn shards_of(&self, kind: &TableKind) -> BTreeSet<ShardId> {
        match kind {
            TableKind::Broadcast => self.shards.keys().copied().collect(),
            TableKind::Single { shard } => std::iter::once(*shard).collect(),
            TableKind::Sharded(sharding) => self
                .groups
                .get(&sharding.group)
                .map(|group| group.placement.shards())
                .unwrap_or_default(),
        }
    }

    /// As for a move of units; the caller knows that there is no such one.
    pub(super) fn set_reshard(
        &mut self,
        id: MoveId,
        from: (MoveState, Epoch),
        to: Option<MoveState>,
    ) -> Result<(), ChangeError> {
        let found = self.reshards.get(&id).cloned();
        let found = found.ok_or(ChangeError::MoveMoved { id, now: None })?;
        check_step(id, (found.state, found.since), from, to)?;
        let Some(state) = to else {
            self.reshards.remove(&id);
            self.drop_empty_groups();
            return Ok(());
        };
        let since = Epoch(self.epoch.0 + 1);
        let mut next = Reshard { state, since, ..Reshard::clone(&found) };
        if state.is_owned_by_source() != found.state.is_owned_by_source() {
            next.owned_since = since;
            let table = self.table_by_id(next.table).cloned();
            let table = table.ok_or_else(|| unknown("table", &next.table.to_string()))?;
            let spread = Table { kind: next.kind().clone(), ..Table::clone(&table) };
            let tables = &mut self.database_mut(&table.database)?.tables;
            tables.insert(table.name.clone(), Arc::new(spread));
        }
        self.reshards.insert(id, Arc::new(next));
        Ok(())
    }

    /// The groups that tables are on their way from or to.
    pub(crate) fn groups_of_reshards(&self) -> impl Iterator<Item = GroupId> {
        let kinds = self.reshards.values().flat_map(|one| [&one.from, &one.to]);
        kinds.filter_map(group_of)
    }

    /// The table that is on its way, if it is.
    pub fn reshard_of(&self, table: TableId) -> Option<&Arc<Reshard>> {
        self.reshards.values().find(|one| one.table == table)
    }

    /// Refuses moves of a group that a table comes from or goes to.
    pub(super) fn check_group_rests(&self, group: GroupId) -> Result<(), ChangeError> {
        let of_group = |kind: &TableKind| group_of(kind) == Some(group);
        match self.reshards.values().find(|one| of_group(&one.from) || of_group(&one.to)) {
            Some(one) => Err(ChangeError::TableMoves {
                table: self.table_by_id(one.table).map_or_else(
                    || one.table.to_string(),
                    |table| format!("{}.{}", table.database, table.name),
                ),
                job: one.job,
            }),
            None => Ok(()),
        }
    }

    /// The tables on their way of a whole catalog.
    pub(crate) fn validate_reshards(&self) -> Result<(), ChangeError> {
        for (id, one) in &self.reshards {
            let table = self.table_by_id(one.table);
            let known = self.jobs.contains_key(&one.job) && table.is_some();
            let numbered = one.id == *id && self.last_ids.unit_move >= id.0;
            let in_time = one.since <= self.epoch && one.owned_since <= one.since;
            let groups = [&one.from, &one.to].into_iter().filter_map(group_of);
            let mut groups = groups.map(|group| self.groups.contains_key(&group));
            let agrees = table.is_some_and(|table| table.kind == *one.kind());
            if !(known && numbered && in_time && agrees && groups.all(|known| known)) {
                return Err(unknown("redistribution", &id.to_string()));
            }
            let mut shards = one.from_shards.union(&one.to_shards);
            shards.try_for_each(|shard| self.known_shard(*shard).map(|_| ()))?;
        }
        Ok(())
    }
}

fn group_of(kind: &TableKind) -> Option<GroupId> {
    match kind {
        TableKind::Sharded(sharding) => Some(sharding.group),
        TableKind::Broadcast | TableKind::Single { .. } => None,
    }
}

fn reshard_error(table: &Table, reason: &str) -> ChangeError {
    let table = format!("{}.{}", table.database, table.name);
    ChangeError::Reshard { table, reason: reason.to_owned() }
}
