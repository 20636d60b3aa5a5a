//! The steps behind [`Catalog::apply`]: each checks its change and makes it, on a copy
//! that is thrown away when a check fails. What concerns sharding is in `validate`.

mod access;
mod moves;
mod reshard;

use crate::{
    barrier::Barrier,
    catalog::{
        Apart, Catalog, ColocationGroup, Database, ServerAddress, Shard, Sharding, Table,
        TableKind, TableRule, User,
    },
    change::{
        Applied, CLAUSE_BYTES_MAX, Change, ChangeError, DATABASES_MAX, NAME_CHARS_MAX,
        REPLICAS_MAX, RULES_MAX, SHARDS_MAX, TABLES_MAX, USERS_MAX,
    },
    declared::{TableDefinition, TableSharding},
    guard::{Guard, GuardState},
    id::{Epoch, GroupId, ShardId, TableId},
    lookup,
    reshard::Reshard,
    validate::{self, Declared},
};
use std::{collections::BTreeMap, sync::Arc};

impl Catalog {
    /// Makes a change without the epoch; on an error the catalog may be half changed.
    pub(crate) fn step(&mut self, change: &Change) -> Result<Applied, ChangeError> {
        match change {
            Change::SetCluster { name } => {
                check_name("cluster", name)?;
                self.cluster.clone_from(name);
            }
            Change::AddShard { name, primary, replicas } => {
                return self.add_shard(name, primary, replicas);
            }
            Change::JoinShard { name, primary, replicas } => {
                let applied = self.add_shard(name, primary, replicas)?;
                self.apart.extend(applied.shard.map(|id| (id, Apart::Joining)));
                return Ok(applied);
            }
            Change::SetApart { id, apart } => {
                self.known_shard(*id)?;
                match apart {
                    Some(apart) => self.apart.insert(*id, *apart),
                    None => self.apart.remove(id),
                };
            }
            Change::UpdateShard { id, name, primary, replicas } => {
                self.known_shard(*id)?;
                self.put_shard(*id, name, primary, replicas)?;
            }
            Change::RemoveShard { id } => self.remove_shard(*id)?,
            Change::CreateDatabase { name, home, collation } => {
                self.create_database(name, *home, collation)?;
            }
            Change::AlterDatabase { name, collation } => {
                self.database_mut(name)?.collation.clone_from(collation);
            }
            Change::SetHome { name, home } => {
                let home = self.shard_for_data(self.known_shard(*home)?)?;
                self.database_mut(name)?.home = home;
            }
            Change::DropDatabase { name } => {
                let database = self.databases.get(name).ok_or_else(|| unknown("database", name))?;
                database.tables.values().try_for_each(|table| self.check_rests(table))?;
                self.databases.remove(name);
                self.guards.remove(name);
                self.drop_empty_groups();
            }
            Change::CreateTable { table, sharding } => return self.create_table(table, sharding),
            Change::ReplaceTable { .. } => self.replace_table(change)?,
            Change::DropTable { database, name } => {
                let tables = &mut self.database_mut(database)?.tables;
                let table = tables.remove(name).ok_or_else(|| unknown("table", name))?;
                self.check_rests(&table)?;
                self.drop_empty_groups();
            }
            Change::RenameTable { database, name, to_database, to_name } => {
                self.rename_table(database, name, to_database, to_name)?;
            }
            Change::SetRules(rules) => self.set_rules(rules)?,
            Change::PutUser(user) => self.put_user(user)?,
            Change::DropUser { name } => {
                self.users.remove(name).ok_or_else(|| unknown("user", name))?;
            }
            Change::SetGuard { database, from, to } => self.set_guard(database, *from, *to)?,
            Change::CreateJob { kind, summary, created_unix_s, state } => {
                return self.create_job(*kind, summary, *created_unix_s, state);
            }
            Change::SetJob { id, from, state } => self.set_job(*id, *from, state)?,
            Change::BeginMoves { job, moves } => return self.begin_moves(*job, moves),
            Change::BeginReshard { job, sharding } => return self.begin_reshard(*job, sharding),
            Change::SetMove { id, from, to } if self.moves.contains_key(id) => {
                self.set_move(*id, *from, *to)?;
            }
            Change::SetMove { id, from, to } => self.set_reshard(*id, *from, *to)?,
            Change::RaiseBarrier { by } => match self.barrier {
                // The epoch that this change makes.
                None => self.barrier = Some(Barrier { by: *by, since: Epoch(self.epoch.0 + 1) }),
                now => return Err(ChangeError::BarrierMoved { now }),
            },
            Change::EndBarrier { since } => match self.barrier {
                Some(barrier) if barrier.since == *since => self.barrier = None,
                now => return Err(ChangeError::BarrierMoved { now }),
            },
            Change::PutConsoleUser(user) => self.put_console_user(user)?,
            Change::DropConsoleUser { name } => self.drop_console_user(name)?,
            Change::PutToken(token) => self.put_token(token)?,
            Change::DropToken { id } => self.drop_token(id)?,
            Change::NoteAudit(note) => self.note_audit(note)?,
        }
        Ok(Applied::default())
    }

    fn add_shard(
        &mut self,
        name: &str,
        primary: &ServerAddress,
        replicas: &[ServerAddress],
    ) -> Result<Applied, ChangeError> {
        limit("shards", self.shards.len() + 1, SHARDS_MAX)?;
        // A broadcast table has a copy on each shard; nobody would bring it to this one.
        let everywhere = |one: &&Arc<Reshard>| {
            [&one.from, &one.to].iter().any(|kind| **kind == TableKind::Broadcast)
        };
        if let Some(one) = self.reshards.values().find(everywhere) {
            return Err(ChangeError::ShardsStay { job: one.job });
        }
        self.last_ids.shard += 1;
        let id = ShardId(self.last_ids.shard);
        self.put_shard(id, name, primary, replicas)?;
        Ok(Applied { shard: Some(id), ..Applied::default() })
    }

    fn put_shard(
        &mut self,
        id: ShardId,
        name: &str,
        primary: &ServerAddress,
        replicas: &[ServerAddress],
    ) -> Result<(), ChangeError> {
        check_name("shard", name)?;
        limit("replicas", replicas.len(), REPLICAS_MAX)?;
        if self.shard_named(name).is_some_and(|shard| shard.id != id) {
            return Err(exists("shard", name));
        }
        let shard = Shard {
            id,
            name: name.to_owned(),
            primary: primary.clone(),
            replicas: replicas.to_vec(),
        };
        self.shards.insert(id, Arc::new(shard));
        Ok(())
    }

    fn remove_shard(&mut self, id: ShardId) -> Result<(), ChangeError> {
        self.known_shard(id)?;
        self.check_shard_rests(id)?;
        let in_use = |reason: String| Err(ChangeError::ShardInUse { shard: id, reason });
        if let Some(database) = self.databases.values().find(|database| database.home == id) {
            return in_use(format!("it is the home of database '{}'", database.name));
        }
        for table in self.tables() {
            let is_there = match &table.kind {
                TableKind::Single { shard } => *shard == id,
                TableKind::Sharded(_) => {
                    table.group(self).is_some_and(|group| group.placement.shards().contains(&id))
                }
                TableKind::Broadcast => false,
            };
            if is_there {
                return in_use(format!(
                    "it owns rows of table '{}.{}'",
                    table.database, table.name
                ));
            }
        }
        self.shards.remove(&id);
        self.apart.remove(&id);
        Ok(())
    }

    fn create_database(
        &mut self,
        name: &str,
        home: Option<ShardId>,
        collation: &str,
    ) -> Result<(), ChangeError> {
        check_name("database", name)?;
        limit("databases", self.databases.len() + 1, DATABASES_MAX)?;
        if self.databases.contains_key(name) {
            return Err(exists("database", name));
        }
        let home = match home {
            Some(shard) => self.shard_for_data(self.known_shard(shard)?)?,
            None => self.least_used_home().ok_or(ChangeError::NoShards)?,
        };
        let database = Database {
            name: name.to_owned(),
            home,
            collation: collation.to_owned(),
            tables: BTreeMap::new(),
        };
        self.databases.insert(name.to_owned(), Arc::new(database));
        Ok(())
    }

    /// The shard that is home to the fewest databases, the lowest id among equals.
    fn least_used_home(&self) -> Option<ShardId> {
        let mut homes: BTreeMap<ShardId, usize> =
            self.open_shards().into_iter().map(|shard| (shard, 0)).collect();
        for database in self.databases.values() {
            if let Some(count) = homes.get_mut(&database.home) {
                *count += 1;
            }
        }
        homes.into_iter().min_by_key(|(shard, count)| (*count, *shard)).map(|(shard, _)| shard)
    }

    /// The shard, if new data may go to it.
    pub(crate) fn shard_for_data(&self, id: ShardId) -> Result<ShardId, ChangeError> {
        match self.apart.get(&id) {
            None => Ok(id),
            Some(apart) => {
                let name = self.shards.get(&id).map(|shard| shard.name.clone());
                let shard = name.unwrap_or_else(|| id.to_string());
                Err(ChangeError::ShardApart { shard, apart: *apart })
            }
        }
    }

    fn create_table(
        &mut self,
        definition: &TableDefinition,
        sharding: &TableSharding,
    ) -> Result<Applied, ChangeError> {
        check_name("table", &definition.name)?;
        limit("tables", self.tables().count() + 1, TABLES_MAX)?;
        let database = self
            .databases
            .get(&definition.database)
            .ok_or_else(|| unknown("database", &definition.database))?;
        if database.tables.contains_key(&definition.name) {
            return Err(exists("table", &definition.name));
        }
        let home = database.home;
        let mut table = Table {
            id: TableId(self.last_ids.table + 1),
            database: definition.database.clone(),
            name: definition.name.clone(),
            kind: TableKind::Broadcast,
            columns: definition.columns.clone(),
            unique_keys: definition.unique_keys.clone(),
            auto_increment: definition.auto_increment,
            is_view: definition.is_view,
        };
        validate::definition(&table)?;
        let mut group = None;
        match sharding {
            TableSharding::Broadcast => {}
            TableSharding::Single { shard } => {
                let shard = self.shard_for_data(self.known_shard(shard.unwrap_or(home))?)?;
                table.kind = TableKind::Single { shard };
            }
            TableSharding::Sharded { columns, function, colocate } => {
                let declared = Declared { columns, function, colocate: colocate.as_ref(), home };
                let sharding = self.shard_table(&table, &declared)?;
                group = Some(sharding.group);
                table.kind = TableKind::Sharded(sharding);
                validate::unique_keys(&table)?;
            }
        }
        self.last_ids.table += 1;
        let applied = Applied { table: Some(table.id), group, ..Applied::default() };
        self.database_mut(&definition.database)?
            .tables
            .insert(definition.name.clone(), Arc::new(table));
        Ok(applied)
    }

    /// The sharding of a new table, in a new group or in that of the table it is colocated with.
    pub(crate) fn shard_table(
        &mut self,
        table: &Table,
        declared: &Declared<'_>,
    ) -> Result<Sharding, ChangeError> {
        let (key_columns, key_types) = validate::shard_key(table, declared.columns)?;
        if let Some(colocate) = declared.colocate {
            let group = validate::colocation(self, table, &key_types, declared, colocate)?;
            if let Some(one) = self.move_of_group(group) {
                let table = format!("{}.{}", colocate.database, colocate.table);
                return Err(ChangeError::TableMoves { table, job: one.job });
            }
            return Ok(Sharding { group, key_columns });
        }
        let placement = validate::placement(self, table, &key_types, declared)?;
        self.last_ids.group += 1;
        let id = GroupId(self.last_ids.group);
        self.groups.insert(id, Arc::new(ColocationGroup { id, key_types, placement }));
        Ok(Sharding { group: id, key_columns })
    }

    fn replace_table(&mut self, change: &Change) -> Result<(), ChangeError> {
        let Change::ReplaceTable { database, name, columns, unique_keys, auto_increment } = change
        else {
            return Ok(());
        };
        let old = self.table(database, name).cloned().ok_or_else(|| unknown("table", name))?;
        // While units move too: it has run on the shards, and began before any proxy knew of the move.
        if self.reshard_of(old.id).is_some() {
            self.check_rests(&old)?;
        }
        let mut table = Table {
            columns: columns.clone(),
            unique_keys: unique_keys.clone(),
            auto_increment: *auto_increment,
            ..(*old).clone()
        };
        validate::definition(&table)?;
        if let TableKind::Sharded(sharding) = &mut table.kind {
            let names: Vec<String> =
                old.key_column_names().iter().map(|name| (*name).to_owned()).collect();
            for (place, key_column) in sharding.key_columns.iter_mut().zip(&names) {
                *place = lookup::column_index(columns, key_column).ok_or_else(|| {
                    ChangeError::BadKey {
                        table: name.clone(),
                        reason: format!(
                            "its shard-key column '{key_column}' would be dropped or renamed; keep it"
                        ),
                    }
                })?;
            }
            validate::unique_keys(&table)?;
            validate::key_types_stay(self, &table, &names)?;
        }
        self.database_mut(database)?.tables.insert(name.clone(), Arc::new(table));
        Ok(())
    }

    fn rename_table(
        &mut self,
        database: &str,
        name: &str,
        to_database: &str,
        to_name: &str,
    ) -> Result<(), ChangeError> {
        check_name("table", to_name)?;
        let tables = &mut self.database_mut(database)?.tables;
        let table = tables.remove(name).ok_or_else(|| unknown("table", name))?;
        self.check_rests(&table)?;
        let target = &mut self.database_mut(to_database)?.tables;
        if target.contains_key(to_name) {
            return Err(exists("table", to_name));
        }
        let table = Table {
            database: to_database.to_owned(),
            name: to_name.to_owned(),
            ..(*table).clone()
        };
        target.insert(to_name.to_owned(), Arc::new(table));
        if database != to_database && self.guard(database).checks() {
            self.keep_checked(to_database);
        }
        Ok(())
    }

    /// A table comes here whose keys may be locked, so writers of it must check from this
    /// epoch on. They do, since an older catalog does not have the table here.
    fn keep_checked(&mut self, database: &str) {
        match self.guard(database) {
            GuardState::Off => self.put_guard(database, GuardState::Raising),
            // Somebody may have counted already that no lock is left.
            GuardState::Lowering => self.put_guard(database, GuardState::On),
            GuardState::Raising | GuardState::On => {}
        }
    }

    fn set_guard(
        &mut self,
        database: &str,
        from: Option<Guard>,
        to: GuardState,
    ) -> Result<(), ChangeError> {
        if !self.databases.contains_key(database) {
            return Err(unknown("database", database));
        }
        let now = self.guards.get(database).copied();
        if now != from {
            return Err(ChangeError::GuardMoved { database: database.to_owned(), now });
        }
        let state = self.guard(database);
        if !to.may_follow(state) {
            return Err(ChangeError::GuardOrder { database: database.to_owned(), from: state, to });
        }
        self.put_guard(database, to);
        Ok(())
    }

    fn put_guard(&mut self, database: &str, state: GuardState) {
        if state == GuardState::Off {
            self.guards.remove(database);
            return;
        }
        // The epoch that this change makes.
        let since = Epoch(self.epoch.0 + 1);
        self.guards.insert(database.to_owned(), Guard { state, since });
    }

    fn set_rules(&mut self, rules: &[TableRule]) -> Result<(), ChangeError> {
        limit("rules", rules.len(), RULES_MAX)?;
        for rule in rules {
            check_name("database pattern", &rule.database)?;
            check_name("table pattern", &rule.table)?;
            limit("bytes in the clause of a rule", rule.clause.len(), CLAUSE_BYTES_MAX)?;
        }
        self.rules = rules.to_vec();
        Ok(())
    }

    fn put_user(&mut self, user: &User) -> Result<(), ChangeError> {
        check_name("user", &user.name)?;
        self.users.insert(user.name.clone(), Arc::new(user.clone()));
        limit("users", self.users.len(), USERS_MAX)
    }

    pub(crate) fn drop_empty_groups(&mut self) {
        let used: std::collections::BTreeSet<GroupId> = self
            .tables()
            .filter_map(|table| table.sharding())
            .map(|sharding| sharding.group)
            .chain(self.groups_of_reshards())
            .collect();
        self.groups.retain(|id, _| used.contains(id));
    }

    pub(crate) fn known_shard(&self, id: ShardId) -> Result<ShardId, ChangeError> {
        if self.shards.contains_key(&id) { Ok(id) } else { Err(unknown("shard", &id.to_string())) }
    }

    pub(crate) fn database_mut(&mut self, name: &str) -> Result<&mut Database, ChangeError> {
        let database = self.databases.get_mut(name).ok_or_else(|| unknown("database", name))?;
        Ok(Arc::make_mut(database))
    }
}

pub(crate) fn limit(what: &'static str, count: usize, limit: usize) -> Result<(), ChangeError> {
    if count > limit { Err(ChangeError::TooMany { what, limit }) } else { Ok(()) }
}

pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), ChangeError> {
    let fits = !name.is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && !name.contains('\0')
        && !name.ends_with(' ');
    if fits { Ok(()) } else { Err(ChangeError::BadName { what, name: name.to_owned() }) }
}

fn exists(what: &'static str, name: &str) -> ChangeError {
    ChangeError::Exists { what, name: name.to_owned() }
}

pub(crate) fn unknown(what: &'static str, name: &str) -> ChangeError {
    ChangeError::Unknown { what, name: name.to_owned() }
}
