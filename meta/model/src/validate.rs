//! What makes a catalog valid: table definitions, shard keys, colocation and placements.
//! The checks of single changes, and [`Catalog::validate`] for a whole catalog.

use crate::{
    apply::{check_name, limit, unknown},
    catalog::{Catalog, Table, TableKind},
    change::{
        COLUMNS_MAX, ChangeError, KEY_COLUMNS_MAX, LIST_KEYS_MAX, RANGE_UNITS_MAX, UNIQUE_KEYS_MAX,
    },
    declared::{ColocateWith, ListUnit, ShardingFunction},
    guard::GuardState,
    id::{GroupId, ShardId},
    key::{Key, KeyType},
    lookup,
    placement::{ListMap, Placement, RangeUnit, compare_keys, even_hash},
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

/// The declaration of a sharded table.
pub(crate) struct Declared<'a> {
    pub(crate) columns: &'a [String],
    pub(crate) function: &'a ShardingFunction,
    pub(crate) colocate: Option<&'a ColocateWith>,
    /// The home shard of the database.
    pub(crate) home: ShardId,
}

/// Columns and keys name each other rightly.
pub(crate) fn definition(table: &Table) -> Result<(), ChangeError> {
    let wrong =
        |reason: String| Err(ChangeError::BadDefinition { table: table.name.clone(), reason });
    limit("columns", table.columns.len(), COLUMNS_MAX)?;
    limit("unique keys", table.unique_keys.len(), UNIQUE_KEYS_MAX)?;
    if table.columns.is_empty() && !table.is_view {
        return wrong("it has no columns".to_owned());
    }
    let mut names = BTreeSet::new();
    for column in &table.columns {
        check_name("column", &column.name)?;
        if !names.insert(column.name.to_lowercase()) {
            return wrong(format!("column '{}' is there twice", column.name));
        }
    }
    for key in &table.unique_keys {
        if key.columns.is_empty() {
            return wrong(format!("unique key '{}' has no columns", key.name));
        }
        if let Some(column) = key.columns.iter().find(|name| table.column(name).is_none()) {
            return wrong(format!(
                "unique key '{}' names the column '{column}', which is not there",
                key.name
            ));
        }
    }
    match table.auto_increment {
        Some(index) if index >= table.columns.len() => {
            wrong("its AUTO_INCREMENT column is not there".to_owned())
        }
        Some(_) | None => Ok(()),
    }
}

/// The shard-key columns of a new table and their types.
pub(crate) fn shard_key(
    table: &Table,
    columns: &[String],
) -> Result<(Vec<usize>, Vec<KeyType>), ChangeError> {
    let wrong = |reason: String| Err(ChangeError::BadKey { table: table.name.clone(), reason });
    if table.is_view {
        return wrong("it is a view".to_owned());
    }
    if columns.is_empty() {
        return wrong("no shard-key column is named".to_owned());
    }
    limit("shard-key columns", columns.len(), KEY_COLUMNS_MAX)?;
    let mut indexes = Vec::with_capacity(columns.len());
    let mut types = Vec::with_capacity(columns.len());
    for name in columns {
        let Some(index) = table.column_index(name) else {
            return wrong(format!("it has no column '{name}'"));
        };
        if indexes.contains(&index) {
            return wrong(format!("the column '{name}' is named twice"));
        }
        indexes.push(index);
        types.push(
            KeyType::of_column(&table.columns[index])
                .map_err(|source| ChangeError::KeyType { table: table.name.clone(), source })?,
        );
    }
    Ok((indexes, types))
}

/// Every unique key of a sharded table contains the shard key, except one that is only
/// the AUTO_INCREMENT column: the cluster's sequence keeps that one unique.
pub(crate) fn unique_keys(table: &Table) -> Result<(), ChangeError> {
    let shard_key = table.key_column_names();
    for key in &table.unique_keys {
        let contains = |name: &&str| lookup::position_of_name(&key.columns, name).is_some();
        let is_sequence = key.columns.len() == 1
            && table.auto_increment.is_some()
            && table.column_index(&key.columns[0]) == table.auto_increment;
        if !is_sequence && !shard_key.iter().all(contains) {
            return Err(ChangeError::UniqueKey {
                table: table.name.clone(),
                shard_key: shard_key.join(", "),
                unique_key: key.name.clone(),
                columns: key.columns.join(", "),
            });
        }
    }
    Ok(())
}

/// After a new definition the key columns still fit the group.
pub(crate) fn key_types_stay(
    catalog: &Catalog,
    table: &Table,
    key_columns: &[String],
) -> Result<(), ChangeError> {
    let (_, types) = shard_key(table, key_columns)?;
    let Some(group) = table.group(catalog) else {
        return Err(unknown("colocation group of table", &table.name));
    };
    match first_mismatch(&types, &group.key_types) {
        None => Ok(()),
        Some((ours, theirs)) => Err(ChangeError::BadKey {
            table: table.name.clone(),
            reason: format!(
                "its shard-key column would become {ours}, whose values have other places than those of {theirs}; \
                 keep its type"
            ),
        }),
    }
}

/// The group of the table that a new one is colocated with.
pub(crate) fn colocation(
    catalog: &Catalog,
    table: &Table,
    key_types: &[KeyType],
    declared: &Declared<'_>,
    with: &ColocateWith,
) -> Result<GroupId, ChangeError> {
    let wrong = |reason: String| {
        Err(ChangeError::Colocation {
            table: table.name.clone(),
            other: format!("{}.{}", with.database, with.table),
            reason,
        })
    };
    let Some(other) = catalog.table(&with.database, &with.table) else {
        return Err(unknown("table", &format!("{}.{}", with.database, with.table)));
    };
    let Some(group) = other.group(catalog) else {
        return wrong("that one is not sharded".to_owned());
    };
    let (same_function, has_units) = match (declared.function, &group.placement) {
        (ShardingFunction::Hash, Placement::Hash(_)) => (true, false),
        (ShardingFunction::Range { units }, Placement::Range(_)) => (true, !units.is_empty()),
        (ShardingFunction::List { units, default }, Placement::List(_)) => {
            (true, !units.is_empty() || default.is_some())
        }
        (
            ShardingFunction::Hash | ShardingFunction::Range { .. } | ShardingFunction::List { .. },
            _,
        ) => (false, false),
    };
    if !same_function {
        return wrong("they have different sharding functions; use the same one".to_owned());
    }
    if has_units {
        return wrong("it follows that one's placement; leave out its own VALUES".to_owned());
    }
    if key_types.len() != group.key_types.len() {
        return wrong(format!(
            "its shard key has {} columns, that one's has {}; name as many",
            key_types.len(),
            group.key_types.len()
        ));
    }
    match first_mismatch(key_types, &group.key_types) {
        None => Ok(group.id),
        Some((ours, theirs)) => wrong(format!(
            "its shard-key column is {ours} and that one's is {theirs}; declare the same type and collation"
        )),
    }
}

/// The placement of a new group.
pub(crate) fn placement(
    catalog: &Catalog,
    table: &Table,
    key_types: &[KeyType],
    declared: &Declared<'_>,
) -> Result<Placement, ChangeError> {
    let placement = match declared.function {
        ShardingFunction::Hash => even_hash(&catalog.open_shards()).ok_or(ChangeError::NoShards)?,
        ShardingFunction::Range { units } if units.is_empty() => {
            Placement::Range(vec![RangeUnit { less_than: None, shard: declared.home }])
        }
        ShardingFunction::Range { units } => Placement::Range(units.clone()),
        ShardingFunction::List { units, default } => {
            let everything = units.is_empty() && default.is_none();
            let default = if everything { Some(declared.home) } else { *default };
            Placement::List(ListMap { values: list_values(table, units)?, default })
        }
    };
    check_placement(catalog, &table.name, &placement, key_types)?;
    for shard in placement.shards() {
        catalog.shard_for_data(shard)?;
    }
    Ok(placement)
}

fn list_values(table: &Table, units: &[ListUnit]) -> Result<BTreeMap<Key, ShardId>, ChangeError> {
    let mut values = BTreeMap::new();
    for unit in units {
        for key in &unit.keys {
            if values.insert(key.clone(), unit.shard).is_some() {
                return Err(ChangeError::BadPlacement {
                    table: table.name.clone(),
                    reason: "a value is listed twice (equal under the column's collation)"
                        .to_owned(),
                });
            }
        }
    }
    Ok(values)
}

/// Bounds ascend, keys fit their columns, owners exist.
pub(crate) fn check_placement(
    catalog: &Catalog,
    table: &str,
    placement: &Placement,
    types: &[KeyType],
) -> Result<(), ChangeError> {
    let wrong = |reason: String| Err(ChangeError::BadPlacement { table: table.to_owned(), reason });
    for shard in placement.shards() {
        catalog.known_shard(shard)?;
    }
    let fits = |key: &Key| {
        key.len() == types.len()
            && types.iter().zip(key).all(|(key_type, part)| key_type.holds(part))
    };
    match placement {
        Placement::Hash(_) => Ok(()),
        Placement::Range(units) => {
            limit("intervals", units.len(), RANGE_UNITS_MAX)?;
            if units.is_empty() {
                return wrong("it has no interval".to_owned());
            }
            let (last, others) = (units.len() - 1, &units[..units.len() - 1]);
            if others.iter().any(|unit| unit.less_than.is_none()) {
                return wrong("MAXVALUE is not the last bound".to_owned());
            }
            let bounds: Vec<&Key> =
                units.iter().filter_map(|unit| unit.less_than.as_ref()).collect();
            if !bounds.iter().all(|key| fits(key)) {
                return wrong(format!(
                    "one of the {} bounds does not fit the shard-key columns",
                    last + 1
                ));
            }
            let ascending = |pair: &[&Key]| compare_keys(pair[0], pair[1], types) == Ordering::Less;
            if !bounds.windows(2).all(ascending) {
                return wrong("the bounds do not ascend".to_owned());
            }
            Ok(())
        }
        Placement::List(map) => {
            limit("listed values", map.values.len(), LIST_KEYS_MAX)?;
            if map.values.is_empty() && map.default.is_none() {
                return wrong("it lists no value".to_owned());
            }
            if !map.values.keys().all(fits) {
                return wrong("a listed value does not fit the shard-key columns".to_owned());
            }
            Ok(())
        }
    }
}

fn first_mismatch<'a>(
    ours: &'a [KeyType],
    theirs: &'a [KeyType],
) -> Option<(&'a KeyType, &'a KeyType)> {
    ours.iter().zip(theirs).find(|(ours, theirs)| !ours.colocates_with(theirs))
}

impl Catalog {
    /// Whether all parts of the catalog agree with each other. [`Catalog::apply`] keeps it
    /// so; a catalog from elsewhere is checked with this.
    ///
    /// # Errors
    /// The first contradiction, as the change that would have made it.
    pub fn validate(&self) -> Result<(), ChangeError> {
        for (id, shard) in &self.shards {
            if shard.id != *id || self.last_ids.shard < id.0 {
                return Err(unknown("shard", &id.to_string()));
            }
            check_name("shard", &shard.name)?;
            if self.shard_named(&shard.name).is_some_and(|found| found.id != *id) {
                return Err(ChangeError::Exists { what: "shard", name: shard.name.clone() });
            }
        }
        if let Some(id) = self.apart.keys().find(|id| !self.shards.contains_key(id)) {
            return Err(unknown("shard", &id.to_string()));
        }
        for (database, guard) in &self.guards {
            if !self.databases.contains_key(database) {
                return Err(unknown("database", database));
            }
            if guard.state == GuardState::Off || guard.since > self.epoch {
                let (database, now) = (database.clone(), Some(*guard));
                return Err(ChangeError::GuardMoved { database, now });
            }
        }
        self.validate_moves()?;
        self.validate_reshards()?;
        let mut used_groups: BTreeSet<GroupId> = self.groups_of_reshards().collect();
        let mut ids = BTreeSet::new();
        for (database_name, database) in &self.databases {
            self.known_shard(database.home)?;
            if database.name != *database_name {
                return Err(unknown("database", database_name));
            }
            for (name, table) in &database.tables {
                if table.name != *name || table.database != *database_name {
                    return Err(unknown("table", name));
                }
                if !ids.insert(table.id) || self.last_ids.table < table.id.0 {
                    return Err(ChangeError::Exists { what: "table", name: table.id.to_string() });
                }
                self.validate_table(table)?;
                used_groups.extend(table.sharding().map(|sharding| sharding.group));
            }
        }
        match self.groups.keys().find(|id| !used_groups.contains(id) || id.0 > self.last_ids.group)
        {
            Some(group) => Err(unknown("table of colocation group", &group.to_string())),
            None => Ok(()),
        }
    }

    fn validate_table(&self, table: &Table) -> Result<(), ChangeError> {
        definition(table)?;
        match &table.kind {
            TableKind::Broadcast => Ok(()),
            TableKind::Single { shard } => self.known_shard(*shard).map(|_| ()),
            TableKind::Sharded(sharding) => {
                let names: Vec<String> =
                    table.key_column_names().iter().map(|name| (*name).to_owned()).collect();
                unique_keys(table)?;
                key_types_stay(self, table, &names)?;
                let Some(group) = table.group(self) else {
                    return Err(unknown("colocation group", &sharding.group.to_string()));
                };
                if names.len() != group.key_types.len() || names.len() != sharding.key_columns.len()
                {
                    return Err(ChangeError::BadKey {
                        table: table.name.clone(),
                        reason: "its group has another number of key columns".to_owned(),
                    });
                }
                check_placement(self, &table.name, &group.placement, &group.key_types)
            }
        }
    }
}
