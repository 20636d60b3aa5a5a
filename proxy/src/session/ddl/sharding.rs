//! Sharding clauses to what the catalog keeps, and back. Pure.

use crate::{error::SqlError, session::schema::Definition};
use shardline_model::{
    catalog::{Catalog, ColocationGroup, Table, TableKind},
    declared::{ColocateWith, ListUnit, ShardingFunction, TableSharding},
    id::ShardId,
    key::{Key, KeyPart, KeyType, KeyUse},
    placement::{Placement, RangeUnit},
    predicate,
};
use shardline_router::{
    clause::literal_value,
    plan::{ListClauseUnit, RangeClauseUnit, ShardingClause, TableName},
};
use std::collections::BTreeMap;

/// The declaration of a new table from its clause.
///
/// # Errors
/// A shard or a column does not exist, or a bound is no value of the key.
pub(crate) fn declared(
    clause: &ShardingClause,
    definition: &Definition,
    catalog: &Catalog,
) -> Result<TableSharding, SqlError> {
    let (columns, function, colocate) = match clause {
        ShardingClause::Broadcast => return Ok(TableSharding::Broadcast),
        ShardingClause::Single { shard } => {
            let shard = shard.as_deref().map(|name| shard_id(name, catalog)).transpose()?;
            return Ok(TableSharding::Single { shard });
        }
        ShardingClause::Hash { columns, colocate } => (columns, ShardingFunction::Hash, colocate),
        ShardingClause::Range { columns, units, colocate } => {
            let units = units
                .iter()
                .map(|unit| range_unit(unit, columns, definition, catalog))
                .collect::<Result<_, _>>()?;
            (columns, ShardingFunction::Range { units }, colocate)
        }
        ShardingClause::List { columns, units, default, colocate } => {
            let units = units
                .iter()
                .map(|unit| list_unit(unit, columns, definition, catalog))
                .collect::<Result<_, _>>()?;
            let default = default.as_deref().map(|name| shard_id(name, catalog)).transpose()?;
            (columns, ShardingFunction::List { units, default }, colocate)
        }
    };
    let colocate = colocate
        .as_ref()
        .map(|other| ColocateWith { database: other.database.clone(), table: other.table.clone() });
    Ok(TableSharding::Sharded { columns: columns.clone(), function, colocate })
}

/// The declaration of a table made LIKE another: it shares the other's placement.
pub(crate) fn declared_like(other: &Table, catalog: &Catalog) -> TableSharding {
    match &other.kind {
        TableKind::Broadcast => TableSharding::Broadcast,
        TableKind::Single { shard } => TableSharding::Single { shard: Some(*shard) },
        TableKind::Sharded(_) => {
            let function = match other.group(catalog).map(|group| &group.placement) {
                Some(Placement::Range(_)) => ShardingFunction::Range { units: Vec::new() },
                Some(Placement::List(_)) => {
                    ShardingFunction::List { units: Vec::new(), default: None }
                }
                Some(Placement::Hash(_)) | None => ShardingFunction::Hash,
            };
            let columns = other.key_column_names().into_iter().map(str::to_owned).collect();
            let colocate =
                Some(ColocateWith { database: other.database.clone(), table: other.name.clone() });
            TableSharding::Sharded { columns, function, colocate }
        }
    }
}

fn shard_id(name: &str, catalog: &Catalog) -> Result<ShardId, SqlError> {
    catalog.shard_named(name).map(|shard| shard.id).ok_or_else(|| {
        let names: Vec<_> = catalog.shards.values().map(|shard| shard.name.as_str()).collect();
        SqlError::invalid_sharding(format!(
            "the sharding clause names shard '{name}', which does not exist. Hint: the shards are {}",
            names.join(", ")
        ))
    })
}

fn range_unit(
    unit: &RangeClauseUnit,
    columns: &[String],
    definition: &Definition,
    catalog: &Catalog,
) -> Result<RangeUnit, SqlError> {
    let bound = unit.less_than.as_ref().map(|bound| key(bound, columns, definition));
    Ok(RangeUnit { less_than: bound.transpose()?, shard: shard_id(&unit.shard, catalog)? })
}

fn list_unit(
    unit: &ListClauseUnit,
    columns: &[String],
    definition: &Definition,
    catalog: &Catalog,
) -> Result<ListUnit, SqlError> {
    let keys = unit.values.iter().map(|value| key(value, columns, definition));
    Ok(ListUnit { keys: keys.collect::<Result<_, _>>()?, shard: shard_id(&unit.shard, catalog)? })
}

fn key(literals: &[String], columns: &[String], definition: &Definition) -> Result<Key, SqlError> {
    if literals.len() != columns.len() {
        return Err(SqlError::invalid_sharding(format!(
            "the sharding clause has {} values where the shard key has {} columns",
            literals.len(),
            columns.len()
        )));
    }
    literals.iter().zip(columns).map(|(text, name)| key_part(text, name, definition)).collect()
}

fn key_part(text: &str, name: &str, definition: &Definition) -> Result<KeyPart, SqlError> {
    let found = definition.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    let column = found.ok_or_else(|| {
        SqlError::invalid_sharding(format!(
            "the sharding clause names column '{name}', which the table does not have"
        ))
    })?;
    let key_type = KeyType::of_column(column)
        .map_err(|error| SqlError::invalid_sharding(error.to_string()))?;
    let literal = literal_value(text).ok_or_else(|| {
        SqlError::invalid_sharding(format!("{text} in the sharding clause is not a value"))
    })?;
    key_type.canonical(&literal, KeyUse::Store).map_err(|error| {
        SqlError::invalid_sharding(format!(
            "{text} in the sharding clause is no value of column '{name}': {error}"
        ))
    })
}

/// The clause that makes the same table again; None where no clause is needed.
pub(crate) fn clause_of(table: &Table, catalog: &Catalog) -> Option<ShardingClause> {
    let sharding = match &table.kind {
        TableKind::Broadcast => return Some(ShardingClause::Broadcast),
        TableKind::Single { shard } => {
            let home = catalog.databases.get(&table.database).map(|database| database.home);
            let name = catalog.shards.get(shard).map(|shard| shard.name.clone());
            return (home != Some(*shard)).then_some(ShardingClause::Single { shard: name });
        }
        TableKind::Sharded(sharding) => sharding,
    };
    let group = catalog.groups.get(&sharding.group)?;
    let columns: Vec<String> = table.key_column_names().into_iter().map(str::to_owned).collect();
    let first = catalog
        .tables()
        .filter(|other| other.sharding().is_some_and(|other| other.group == sharding.group))
        .min_by_key(|other| other.id)?;
    let colocate = (first.id != table.id)
        .then(|| TableName { database: first.database.clone(), table: first.name.clone() });
    let own_units = colocate.is_none();
    Some(match &group.placement {
        Placement::Hash(_) => ShardingClause::Hash { columns, colocate },
        Placement::Range(units) => {
            let units = units.iter().filter(|_| own_units).map(|unit| RangeClauseUnit {
                less_than: unit.less_than.as_ref().map(|key| literals(key, group)),
                shard: name_of(unit.shard, catalog),
            });
            ShardingClause::Range { columns, units: units.collect(), colocate }
        }
        Placement::List(map) => {
            let mut by_shard: BTreeMap<ShardId, Vec<Vec<String>>> = BTreeMap::new();
            for (key, shard) in map.values.iter().filter(|_| own_units) {
                by_shard.entry(*shard).or_default().push(literals(key, group));
            }
            let units = by_shard
                .into_iter()
                .map(|(shard, values)| ListClauseUnit { values, shard: name_of(shard, catalog) });
            let default = map.default.filter(|_| own_units);
            let default = default.map(|shard| name_of(shard, catalog));
            ShardingClause::List { columns, units: units.collect(), default, colocate }
        }
    })
}

fn name_of(shard: ShardId, catalog: &Catalog) -> String {
    catalog.shards.get(&shard).map_or_else(|| shard.to_string(), |shard| shard.name.clone())
}

fn literals(key: &[KeyPart], group: &ColocationGroup) -> Vec<String> {
    key.iter().zip(&group.key_types).map(|(part, key_type)| literal(part, key_type)).collect()
}

/// A key's part as the clause writes it.
fn literal(part: &KeyPart, key_type: &KeyType) -> String {
    match part {
        KeyPart::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("'{}'", text.replace('\'', "''")),
            Err(_) => predicate::literal_sql(part, key_type),
        },
        KeyPart::Integer(_) | KeyPart::Decimal(_) | KeyPart::Bytes(_) | KeyPart::Temporal(_) => {
            predicate::literal_sql(part, key_type)
        }
    }
}
