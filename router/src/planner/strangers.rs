//! Rows of others: while units are on their way, a shard may hold rows that it does not own. A
//! statement that one shard answers by its key never meets them. One that runs on several
//! shards gets a condition beside its WHERE, on those shards that need it: on one table, since
//! all its sharded tables are tied by their shard keys, and that one is kept by all joins.

use crate::{
    bind::{Facts, Instance},
    lexer::TokenKind,
    parse::Pieces,
    plan::Refusal,
    splice::Edit,
};
use shardline_model::{
    catalog::{Catalog, Table},
    id::ShardId,
    placement::Units,
    predicate,
    reshard::Reshard,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

/// The conditions of one statement.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    /// True for the rows of others, in parentheses.
    conditions: BTreeMap<ShardId, String>,
    place: WherePlace,
}

/// Where a condition goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WherePlace {
    /// What stands behind WHERE.
    pub(crate) body: Option<Range<usize>>,
    /// Where WHERE would stand, or its body ends.
    pub(crate) end: usize,
}

impl WherePlace {
    /// That of an UPDATE or DELETE.
    pub(crate) fn of_change(pieces: &Pieces<'_>) -> Self {
        let mut index = 0;
        let mut start = None;
        while index < pieces.len() {
            if pieces.is(index, TokenKind::LeftParen) {
                index = pieces.behind_parenthesis(index);
                continue;
            }
            if pieces.is_word(index, "WHERE") && start.is_none() {
                start = Some(index + 1);
            } else if pieces.are_words(index, &["ORDER", "BY"])
                || pieces.is_any_word(index, &["LIMIT", "RETURNING"])
            {
                break;
            }
            index += 1;
        }
        Self { body: start.map(|start| start..index), end: index }
    }
}

impl Strangers {
    /// What the shards of a statement need.
    ///
    /// # Errors
    /// No table is there on which the condition would mean the right thing.
    pub(crate) fn of(facts: &Facts, catalog: &Catalog, place: WherePlace) -> Result<Self, Refusal> {
        if catalog.moves.is_empty() && catalog.reshards.is_empty() {
            return Ok(Self::default());
        }
        let sharded = |index: &usize| facts.instances[*index].sharding().is_some();
        let moving = |index: &usize| {
            let instance = &facts.instances[*index];
            instance.sharding().is_some_and(|sharding| {
                catalog.move_of_group(sharding.group).is_some()
                    || spread_anew(instance, catalog).is_some()
            })
        };
        let instances = 0..facts.instances.len();
        if !instances.clone().any(|index| moving(&index)) {
            return Ok(Self::default());
        }
        let supplied = |index: &usize| facts.outer_joins.iter().any(|(_, s)| s.contains(index));
        let kept = instances.filter(sharded).find(|index| !supplied(index));
        let conditions = kept.and_then(|instance| Self::conditions(facts, catalog, instance));
        match conditions {
            Some(conditions) => Ok(Self { conditions, place }),
            None => Err(Refusal::not_supported(
                "rows of its tables are being moved, and there is no table of which the rows of others can be left out",
                "wait until SHOW JOBS says that the job is over, or give the shard key a value in WHERE",
            )),
        }
    }

    fn conditions(
        facts: &Facts,
        catalog: &Catalog,
        instance: usize,
    ) -> Option<BTreeMap<ShardId, String>> {
        let bound = &facts.instances[instance];
        let quote = predicate::quote_identifier;
        let prefix = match (facts.instances.len(), bound.aliased) {
            (1, _) => String::new(),
            (_, true) => format!("{}.", quote(&bound.name)),
            (_, false) => format!("{}.{}.", quote(&bound.database), quote(&bound.name)),
        };
        let table = bound.table.as_ref()?;
        // All sharded tables of the statement have this placement, and so have their own rows.
        let anew = facts.instances.iter().filter_map(|instance| spread_anew(instance, catalog));
        let shards: BTreeSet<ShardId> = anew.flat_map(|one| one.strangers()).copied().collect();
        match shards.is_empty() {
            true => of_table(table, &prefix, catalog),
            false => not_owned(table, &prefix, catalog, &shards),
        }
    }

    /// The shards of these that hold rows of others, for EXPLAIN.
    pub(crate) fn reason(&self, shards: impl Iterator<Item = ShardId>) -> String {
        let found: Vec<String> = shards
            .filter(|shard| self.conditions.contains_key(shard))
            .map(|shard| shard.to_string())
            .collect();
        match found.is_empty() {
            true => String::new(),
            false => format!("; rows of others are left out on {}", found.join(", ")),
        }
    }

    /// The edits for one shard; they come before others at the same place.
    pub(crate) fn edits(&self, shard: ShardId) -> Vec<Edit> {
        let Some(condition) = self.conditions.get(&shard) else { return Vec::new() };
        let end = self.place.end;
        let insert = |at: usize, text: String| Edit { pieces: at..at, text: text.into_bytes() };
        match &self.place.body {
            Some(body) => vec![
                insert(body.start, "(".to_owned()),
                insert(end, format!(") AND NOT {condition}")),
            ],
            None => vec![insert(end, format!("WHERE NOT {condition}"))],
        }
    }
}

/// What is true for the rows of others in one table, whose columns are named behind `prefix`.
pub(crate) fn of_table(
    table: &Table,
    prefix: &str,
    catalog: &Catalog,
) -> Option<BTreeMap<ShardId, String>> {
    let group = table.sharding()?.group;
    if let Some(anew) = catalog.reshard_of(table.id) {
        return not_owned(table, prefix, catalog, anew.strangers());
    }
    let types = table.key_types().ok()?;
    let columns = key_columns(table, prefix);
    let mut units: BTreeMap<ShardId, Vec<Units>> = BTreeMap::new();
    for one in catalog.moves_of_group(group) {
        add(units.entry(one.stranger()).or_default(), &one.units);
    }
    let condition = |units: Vec<Units>| {
        let each = units.iter().map(|units| predicate::units_sql_of(units, &types, &columns));
        let each: Vec<String> = each.collect();
        match each.as_slice() {
            [one] => one.clone(),
            _ => format!("({})", each.join(" OR ")),
        }
    };
    Some(units.into_iter().map(|(shard, units)| (shard, condition(units))).collect())
}

/// What is true for the rows that shards do not own. No move of units is under way beside.
fn not_owned(
    table: &Table,
    prefix: &str,
    catalog: &Catalog,
    shards: &BTreeSet<ShardId>,
) -> Option<BTreeMap<ShardId, String>> {
    let placement = &table.group(catalog)?.placement;
    let (types, columns) = (table.key_types().ok()?, key_columns(table, prefix));
    let others = |shard| format!("(NOT {})", predicate::sql_of(placement, &types, &columns, shard));
    Some(shards.iter().map(|shard| (*shard, others(*shard))).collect())
}

fn key_columns(table: &Table, prefix: &str) -> Vec<String> {
    let names = table.key_column_names();
    names.iter().map(|name| format!("{prefix}{}", predicate::quote_identifier(name))).collect()
}

/// How a table is spread anew, if it is.
fn spread_anew<'c>(instance: &Instance, catalog: &'c Catalog) -> Option<&'c Arc<Reshard>> {
    catalog.reshard_of(instance.table.as_ref()?.id)
}

/// Adds units to those of other moves. Slots become one list of runs, so that the slot of a
/// row is compared with as few as may be.
fn add(all: &mut Vec<Units>, units: &Units) {
    let Units::Slots(more) = units else {
        all.push(units.clone());
        return;
    };
    let mut runs = more.clone();
    for units in all.iter() {
        if let Units::Slots(before) = units {
            runs.extend(before.iter().cloned());
        }
    }
    all.retain(|units| !matches!(units, Units::Slots(_)));
    runs.sort_by_key(|run| run.start);
    let mut joined: Vec<Range<u16>> = Vec::with_capacity(runs.len());
    for run in runs {
        match joined.last_mut() {
            Some(last) if last.end >= run.start => last.end = last.end.max(run.end),
            Some(_) | None => joined.push(run),
        }
    }
    all.push(Units::Slots(joined));
}
