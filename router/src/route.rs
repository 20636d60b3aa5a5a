//! Which shards a statement's tables can be on, given what is known of their keys and,
//! when it is bound, the values of its literals and parameters.

use crate::{
    bind::Facts,
    conjunct::{Bound, KeySlot, Predicate, ValueRef},
    lexer::{LiteralSpan, SqlMode},
};
use shardline_model::{
    catalog::{Catalog, ColocationGroup, Sharding, Table, TableKind},
    id::{GroupId, ShardId},
    key::{Key, KeyError, KeyPart, KeyType, KeyUse, Literal},
};
use smallvec::SmallVec;
use std::{borrow::Cow, collections::BTreeSet, ops};

/// Most keys that the IN lists of a statement are multiplied out to.
pub(crate) const KEYS_MAX: usize = 4_096;

/// The values of one execution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    pub(crate) sql: &'a [u8],
    pub(crate) mode: SqlMode,
    pub(crate) literals: &'a [LiteralSpan],
    pub(crate) params: &'a [Literal<'a>],
}

impl<'a> Values<'a> {
    /// A value; None when it cannot be told.
    pub(crate) fn get(&self, value: ValueRef) -> Option<Literal<'a>> {
        match value {
            ValueRef::Null => Some(Literal::Null),
            ValueRef::Boolean(value) => Some(Literal::Integer(i128::from(value))),
            ValueRef::Literal { ordinal, negative } => {
                let literal = self.literals.get(ordinal as usize)?.value(self.sql, self.mode)?;
                if negative { negated(literal) } else { Some(literal) }
            }
            ValueRef::Temporal { ordinal } => {
                match self.literals.get(ordinal as usize)?.value(self.sql, self.mode)? {
                    Literal::Text(text) => Some(Literal::Temporal(text)),
                    _ => None,
                }
            }
            ValueRef::Parameter { index, negative } => {
                let literal = self.params.get(index as usize)?.clone();
                if negative { negated(literal) } else { Some(literal) }
            }
        }
    }

    /// A row count of LIMIT.
    pub(crate) fn count(&self, value: ValueRef) -> Option<u64> {
        match self.get(value)? {
            Literal::Integer(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }
}

fn negated(literal: Literal<'_>) -> Option<Literal<'_>> {
    match literal {
        Literal::Null => Some(Literal::Null),
        Literal::Integer(value) => value.checked_neg().map(Literal::Integer),
        Literal::Decimal(text) => Some(Literal::Decimal(match text.strip_prefix('-') {
            Some(positive) => Cow::Owned(positive.to_owned()),
            None => Cow::Owned(format!("-{text}")),
        })),
        Literal::Float(value) => Some(Literal::Float(-value)),
        Literal::Text(_) | Literal::Bytes(_) | Literal::Temporal(_) => None,
    }
}

/// Where one sharded table's rows of interest can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// No row can match.
    Nowhere,
    /// All on one shard.
    One(ShardId),
    /// On any of these.
    Many(BTreeSet<ShardId>),
}

impl Reach {
    fn of(shards: BTreeSet<ShardId>) -> Self {
        match (shards.first(), shards.len()) {
            (None, _) => Self::Nowhere,
            (Some(shard), 1) => Self::One(*shard),
            _ => Self::Many(shards),
        }
    }
}

/// What is known of the columns of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pins {
    pub(crate) key_types: SmallVec<[KeyType; 1]>,
    /// For each column.
    pub(crate) keys: SmallVec<[Vec<Predicate>; 1]>,
}

/// What is known of one sharded table instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableRoute {
    pub(crate) group: GroupId,
    /// By the types of its own key columns: those of the group's first table may be narrower.
    pub(crate) pins: Pins,
}

impl TableRoute {
    /// Where its rows of interest are.
    pub(crate) fn reach(&self, values: &Values<'_>, catalog: &Catalog) -> Reach {
        let Some(group) = catalog.groups.get(&self.group) else { return Reach::Nowhere };
        if let Some(shard) = self.one_key(values, group) {
            return Reach::One(shard);
        }
        let mut shards = match self.listed(values, group) {
            Some(shards) => shards,
            None => group.placement.shards(),
        };
        for predicate in self.pins.keys.first().into_iter().flatten() {
            if let Predicate::Range { low, high } = predicate
                && let Some(within) =
                    range_owners(values, group, &self.pins.key_types, low.as_ref(), high.as_ref())
            {
                shards.retain(|shard| within.contains(shard));
            }
        }
        Reach::of(shards)
    }

    /// The owner when each key column has exactly one predicate with one value. Nothing
    /// is allocated for integers.
    fn one_key(&self, values: &Values<'_>, group: &ColocationGroup) -> Option<ShardId> {
        let Pins { key_types, keys } = &self.pins;
        if key_types.len() != keys.len() {
            return None;
        }
        let mut key: SmallVec<[KeyPart; 2]> = SmallVec::new();
        for (predicates, key_type) in keys.iter().zip(key_types) {
            let [Predicate::In(list)] = predicates.as_slice() else { return None };
            let [value] = list.as_slice() else { return None };
            key.push(key_type.canonical(&values.get(*value)?, KeyUse::Compare).ok()?);
        }
        group.placement.owner(&key, key_types)
    }

    /// The owners of the listed keys; None unless every key column has a usable list.
    fn listed(&self, values: &Values<'_>, group: &ColocationGroup) -> Option<BTreeSet<ShardId>> {
        let owner = |key: &Key| group.placement.owner(key, &self.pins.key_types);
        Some(self.pins.listed(values)?.iter().filter_map(owner).collect())
    }
}

impl Pins {
    /// What is known of the shard key of a table instance.
    pub(crate) fn of_shard_key(
        facts: &Facts,
        instance: usize,
        table: &Table,
        sharding: &Sharding,
    ) -> Self {
        let slots = 0..sharding.key_columns.len();
        let keys = slots.map(|index| facts.conjuncts.of(KeySlot { instance, index })).collect();
        // A valid catalog has a type for each; without them the table is everywhere.
        Self { key_types: table.key_types().unwrap_or_default().into(), keys }
    }

    /// The keys that the predicates list; None unless every column has a usable list.
    pub(crate) fn listed(&self, values: &Values<'_>) -> Option<Vec<Key>> {
        if self.key_types.len() != self.keys.len() {
            return None;
        }
        let mut keys: Vec<Key> = vec![Key::new()];
        for (predicates, key_type) in self.keys.iter().zip(&self.key_types) {
            let mut candidates: Option<Vec<KeyPart>> = None;
            for predicate in predicates {
                let Predicate::In(list) = predicate else { continue };
                let part = |value: &ValueRef| match values.get(*value) {
                    Some(literal) => match key_type.canonical(&literal, KeyUse::Compare) {
                        Ok(part) => Some(Some(part)),
                        Err(KeyError::Null) => Some(None),
                        Err(KeyError::Inexact { .. }) => None,
                    },
                    None => None,
                };
                let Some(parts) = list.iter().map(part).collect::<Option<Vec<_>>>() else {
                    continue;
                };
                let parts: Vec<KeyPart> = parts.into_iter().flatten().collect();
                candidates = Some(match candidates {
                    Some(before) => {
                        before.into_iter().filter(|part| parts.contains(part)).collect()
                    }
                    None => parts,
                });
            }
            let candidates = candidates?;
            if keys.len().saturating_mul(candidates.len()) > KEYS_MAX {
                return None;
            }
            let extended = keys.iter().flat_map(|key| {
                candidates.iter().map(move |part| {
                    let mut key = key.clone();
                    key.push(part.clone());
                    key
                })
            });
            keys = extended.collect();
        }
        Some(keys)
    }
}

fn range_owners(
    values: &Values<'_>,
    group: &ColocationGroup,
    key_types: &[KeyType],
    low: Option<&Bound>,
    high: Option<&Bound>,
) -> Option<BTreeSet<ShardId>> {
    let first = key_types.first()?;
    // A limit of NULL matches nothing.
    let (mut null, mut inexact) = (false, false);
    let mut part = |bound: Option<&Bound>| -> ops::Bound<KeyPart> {
        let Some(bound) = bound else { return ops::Bound::Unbounded };
        let Some(literal) = values.get(bound.value) else {
            inexact = true;
            return ops::Bound::Unbounded;
        };
        match first.canonical(&literal, KeyUse::Compare) {
            Ok(part) if bound.inclusive => ops::Bound::Included(part),
            Ok(part) => ops::Bound::Excluded(part),
            Err(KeyError::Null) => {
                null = true;
                ops::Bound::Unbounded
            }
            Err(KeyError::Inexact { .. }) => {
                inexact = true;
                ops::Bound::Unbounded
            }
        }
    };
    let (low, high) = (part(low), part(high));
    if null {
        return Some(BTreeSet::new());
    }
    if inexact {
        // The limits of a BETWEEN decide together by which type it compares.
        return None;
    }
    Some(group.placement.owners_of_range(low.as_ref(), high.as_ref(), key_types))
}

/// Where all of a statement's tables are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Route {
    /// Sharded tables.
    pub(crate) tables: Vec<TableRoute>,
    /// Shards of single tables, without repetition.
    pub(crate) homes: Vec<ShardId>,
    /// Broadcast tables are read.
    pub(crate) broadcast: bool,
}

/// What a route comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// No table restricts it.
    Anywhere,
    /// One shard has all of it.
    One(ShardId),
    /// Several shards; the union of what sharded tables reach.
    Several(BTreeSet<ShardId>),
    /// Tables on different shards, by what is where.
    Apart,
}

impl Route {
    /// The route of all tables of a statement.
    pub(crate) fn of(facts: &Facts) -> Self {
        let mut route = Self::default();
        for (instance, bound) in facts.instances.iter().enumerate() {
            let Some(table) = &bound.table else { continue };
            match &table.kind {
                TableKind::Sharded(sharding) => {
                    let pins = Pins::of_shard_key(facts, instance, table, sharding);
                    let this = TableRoute { group: sharding.group, pins };
                    if !route.tables.contains(&this) {
                        route.tables.push(this);
                    }
                }
                TableKind::Single { shard } => {
                    if !route.homes.contains(shard) {
                        route.homes.push(*shard);
                    }
                }
                TableKind::Broadcast => route.broadcast = true,
            }
        }
        route
    }

    /// Where the statement can run.
    pub(crate) fn destination(&self, values: &Values<'_>, catalog: &Catalog) -> Destination {
        let mut one = None;
        for home in &self.homes {
            if one.is_some_and(|shard| shard != *home) {
                return Destination::Apart;
            }
            one = Some(*home);
        }
        let mut several = BTreeSet::new();
        for table in &self.tables {
            match table.reach(values, catalog) {
                Reach::Nowhere => {}
                Reach::One(shard) => match one {
                    Some(before) if before != shard => {
                        several.extend([before, shard]);
                    }
                    _ => one = Some(shard),
                },
                Reach::Many(shards) => several.extend(shards),
            }
        }
        if !several.is_empty() {
            if !self.homes.is_empty() {
                return Destination::Apart;
            }
            several.extend(one);
            return Destination::Several(several);
        }
        match one {
            Some(shard) => Destination::One(shard),
            None if self.tables.is_empty() => Destination::Anywhere,
            // No row can match: any shard that holds the tables says so.
            None => match catalog.shards.keys().next() {
                Some(shard) => Destination::One(*shard),
                None => Destination::Anywhere,
            },
        }
    }
}
