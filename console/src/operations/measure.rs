//! How much is where: rows and bytes of the parts of a colocation group, asked of the servers. What the
//! servers estimate is enough for slots; rows by key are counted where a goal needs them.

use super::{
    OperationError, Operations,
    servers::{Server, number, quoted},
    shards::text,
};
use shardline_model::{
    catalog::{Catalog, ColocationGroup, Table},
    id::ShardId,
    key::Key,
    placement::{Placement, SLOTS, Units},
    predicate::{self, quote_identifier},
};
use shardline_rebalancer::plan::{GroupSizes, Piece, Weight, sizes::key_of_texts};
use std::{collections::BTreeMap, sync::Arc};

/// Slots of one piece where nobody counts rows.
const SLOTS_PER_PIECE: u16 = 16;
/// Pieces that the rows of one shard in a range placement are cut into.
const CUTS_PER_SHARD: u64 = 64;
/// Values of a list that are counted one by one.
const VALUES_MAX: usize = 10_000;

/// How exactly something is to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exactness {
    /// By the servers' estimates.
    Estimate,
    /// Rows are counted by key.
    Count,
}

/// A group's tables on one shard.
struct OnShard {
    /// Of all tables.
    all: Weight,
    /// The table with the most rows, and these.
    largest: Option<(Arc<Table>, u64)>,
}

impl Operations {
    /// The sizes of one group.
    pub(super) async fn measure(
        &self,
        catalog: &Catalog,
        group: &ColocationGroup,
        exactness: Exactness,
    ) -> Result<GroupSizes, OperationError> {
        let tables: Vec<Arc<Table>> = catalog
            .tables()
            .filter(|table| table.sharding().is_some_and(|sharding| sharding.group == group.id))
            .cloned()
            .collect();
        let mut pieces = Vec::new();
        for id in group.placement.shards() {
            let Some(shard) = catalog.shards.get(&id) else { continue };
            let mut server = self.server(&shard.name, &shard.primary).await?;
            let on = on_shard(&tables, &mut server).await?;
            pieces.extend(match (&group.placement, exactness) {
                (Placement::Hash(_), Exactness::Estimate) => slots(group, id, &on),
                (Placement::Hash(_), Exactness::Count) => {
                    counted_slots(group, id, &on, &mut server).await?
                }
                (Placement::Range(_), _) => intervals(group, id, &on, &mut server).await?,
                (Placement::List(_), _) => values(group, id, &on, &mut server).await?,
            });
        }
        let name = |table: &Arc<Table>| format!("{}.{}", table.database, table.name);
        Ok(GroupSizes {
            group: group.id,
            tables: tables.iter().map(name).collect(),
            key_types: group.key_types.clone(),
            placement: group.placement.clone(),
            pieces: in_order(pieces, group),
        })
    }
}

/// Pieces in the order of their keys, so that neighbours go together.
fn in_order(mut pieces: Vec<Piece>, group: &ColocationGroup) -> Vec<Piece> {
    use shardline_model::placement::compare_keys;
    use std::cmp::Ordering;
    pieces.sort_by(|left, right| match (&left.units, &right.units) {
        (Units::Slots(left), Units::Slots(right)) => {
            left.first().map(|run| run.start).cmp(&right.first().map(|run| run.start))
        }
        (Units::Interval { start: left, .. }, Units::Interval { start: right, .. }) => {
            match (left, right) {
                (Some(left), Some(right)) => compare_keys(left, right, &group.key_types),
                (left, right) => left.is_some().cmp(&right.is_some()),
            }
        }
        (Units::Values(left), Units::Values(right)) => left.cmp(right),
        (
            Units::Slots(_) | Units::Interval { .. } | Units::Values(_) | Units::OtherValues { .. },
            _,
        ) => Ordering::Equal,
    });
    pieces
}

/// What a shard's server says of the tables' sizes.
async fn on_shard(tables: &[Arc<Table>], server: &mut Server) -> Result<OnShard, OperationError> {
    let mut on = OnShard { all: Weight::default(), largest: None };
    for table in tables {
        let sql = format!(
            "SELECT table_rows, data_length + index_length FROM information_schema.tables \
             WHERE table_schema = {} AND table_name = {}",
            quoted(&table.database),
            quoted(&table.name)
        );
        let found = server.texts(&sql).await?;
        let of = |place: usize| {
            found.first().and_then(|row| row.get(place)).map_or(0, |text| number(text))
        };
        let (rows, bytes) = (of(0), of(1));
        on.all += Weight { rows, bytes, load: 0 };
        if on.largest.as_ref().is_none_or(|(_, most)| rows > *most) {
            on.largest = Some((table.clone(), rows));
        }
    }
    Ok(on)
}

impl OnShard {
    /// The weight of so many rows of the largest table, with what the others have beside them. What the
    /// server estimates tells the proportion only: it may hold rows of others, on their way.
    fn weight(&self, rows: u64) -> Weight {
        let of = self.largest_rows();
        if of == 0 {
            return Weight { rows, ..Weight::default() };
        }
        let share = |number: u64| {
            let share = u128::from(number) * u128::from(rows) / u128::from(of);
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        Weight { rows: share(self.all.rows), bytes: share(self.all.bytes), load: 0 }
    }
}

/// The shard's slots, a few at a time; all slots weigh the same.
fn slots(group: &ColocationGroup, shard: ShardId, on: &OnShard) -> Vec<Piece> {
    let Placement::Hash(map) = &group.placement else { return Vec::new() };
    let has = map.owners().iter().filter(|owner| **owner == shard).count() as u64;
    let mut pieces = Vec::new();
    let mut start = 0_u16;
    for run in map.runs() {
        while run.shard == shard && start < run.end {
            let end = (start + SLOTS_PER_PIECE).min(run.end);
            let share = |number: u64| number * u64::from(end - start) / has.max(1);
            let weight = Weight { rows: share(on.all.rows), bytes: share(on.all.bytes), load: 0 };
            let units = Units::Slots(std::iter::once(start..end).collect());
            pieces.push(Piece { units, owner: shard, weight });
            start = end;
        }
        start = run.end;
    }
    pieces
}

/// The shard's slots one by one, with the rows of each.
async fn counted_slots(
    group: &ColocationGroup,
    shard: ShardId,
    on: &OnShard,
    server: &mut Server,
) -> Result<Vec<Piece>, OperationError> {
    let Placement::Hash(map) = &group.placement else { return Ok(Vec::new()) };
    let mut rows = vec![0_u64; usize::from(SLOTS)];
    if let Some((table, _)) = &on.largest {
        let slot = predicate::slot_sql(&key_types(table)?, &table.key_column_names());
        let sql = format!("SELECT {slot}, COUNT(*) FROM {} GROUP BY 1", full(table));
        for row in server.texts(&sql).await? {
            let [slot, count] = row.as_slice() else { continue };
            if let Some(found) = slot.parse::<usize>().ok().and_then(|slot| rows.get_mut(slot)) {
                *found = number(count);
            }
        }
    }
    let owners = map.owners();
    let mine = |slot: &u16| owners[usize::from(*slot)] == shard;
    let piece = |slot: u16| Piece {
        units: Units::Slots(std::iter::once(slot..slot + 1).collect()),
        owner: shard,
        weight: on.weight(rows[usize::from(slot)]),
    };
    Ok((0..SLOTS).filter(mine).map(piece).collect())
}

/// The shard's intervals, cut at keys that lie evenly among its rows.
async fn intervals(
    group: &ColocationGroup,
    shard: ShardId,
    on: &OnShard,
    server: &mut Server,
) -> Result<Vec<Piece>, OperationError> {
    let Placement::Range(units) = &group.placement else { return Ok(Vec::new()) };
    let mut all: Vec<(Units, u64)> = Vec::new();
    let (mut start, step) = (None::<Key>, (on.largest_rows() / CUTS_PER_SHARD).max(1));
    for unit in units {
        let from = std::mem::replace(&mut start, unit.less_than.clone());
        if unit.shard == shard {
            let whole = Units::Interval { start: from, end: unit.less_than.clone() };
            all.extend(cut(group, on, &whole, step, server).await?);
        }
    }
    let piece = |(units, rows)| Piece { units, owner: shard, weight: on.weight(rows) };
    Ok(all.into_iter().map(piece).collect())
}

/// One interval as several, each with its rows, as far as keys differ.
async fn cut(
    group: &ColocationGroup,
    on: &OnShard,
    whole: &Units,
    step: u64,
    server: &mut Server,
) -> Result<Vec<(Units, u64)>, OperationError> {
    let Units::Interval { start, end } = whole else { return Ok(Vec::new()) };
    let Some((table, _)) = &on.largest else { return Ok(vec![(whole.clone(), 0)]) };
    let columns = table.key_column_names();
    let names = columns.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ");
    let inside = predicate::units_sql(whole, &key_types(table)?, &columns);
    let from = format!("FROM {} WHERE {inside}", full(table));
    let count = server.texts(&format!("SELECT COUNT(*) {from}")).await?;
    let count = count.first().and_then(|row| row.first()).map_or(0, |text| number(text));
    let sql = format!(
        "SELECT DISTINCT {names} FROM (SELECT {names}, ROW_NUMBER() OVER (ORDER BY {names}) AS place_ {from}) \
         AS numbered_ WHERE MOD(place_, {step}) = 0 ORDER BY {names}"
    );
    let mut cuts: Vec<Key> = Vec::new();
    for row in server.rows(&sql).await? {
        let texts: Vec<&[u8]> = row.iter().filter_map(Option::as_deref).collect();
        let key = key_of_texts(&group.key_types, &texts);
        // The lower bound itself cuts nothing off.
        cuts.extend(key.filter(|key| start.as_ref() != Some(key) && cuts.last() != Some(key)));
    }
    let parts = cuts.len() as u64 + 1;
    let mut all = Vec::new();
    let mut from = start.clone();
    for (place, to) in cuts.into_iter().map(Some).chain([end.clone()]).enumerate() {
        let units = Units::Interval { start: from, end: to.clone() };
        let rows = count / parts + u64::from((place as u64) < count % parts);
        all.push((units, rows));
        from = to;
    }
    Ok(all)
}

impl OnShard {
    fn largest_rows(&self) -> u64 {
        self.largest.as_ref().map_or(0, |(_, rows)| *rows)
    }
}

/// The shard's values: listed ones, and those of DEFAULT that have the most rows.
async fn values(
    group: &ColocationGroup,
    shard: ShardId,
    on: &OnShard,
    server: &mut Server,
) -> Result<Vec<Piece>, OperationError> {
    let Placement::List(map) = &group.placement else { return Ok(Vec::new()) };
    let mine = map.values.iter().filter(|(_, owner)| **owner == shard);
    let mut rows: BTreeMap<Key, u64> = mine.map(|(key, _)| (key.clone(), 0)).collect();
    if let Some((table, _)) = &on.largest {
        let columns = table.key_column_names();
        let names = columns.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>();
        let (names, inside) = (
            names.join(", "),
            predicate::sql(&group.placement, &key_types(table)?, &columns, shard),
        );
        let sql = format!(
            "SELECT COUNT(*) AS rows_, {names} FROM {} WHERE {inside} GROUP BY {names} \
             ORDER BY rows_ DESC LIMIT {VALUES_MAX}",
            full(table)
        );
        for row in server.rows(&sql).await? {
            let texts: Vec<&[u8]> = row.iter().skip(1).filter_map(Option::as_deref).collect();
            if let Some(key) = key_of_texts(&group.key_types, &texts) {
                *rows.entry(key).or_default() += number(&text(&row, 0));
            }
        }
    }
    let mut pieces: Vec<Piece> = rows
        .iter()
        .map(|(key, rows)| Piece {
            units: Units::Values(vec![key.clone()]),
            owner: shard,
            weight: on.weight(*rows),
        })
        .collect();
    if map.default == Some(shard) {
        let listed = map.values.keys().chain(rows.keys()).cloned();
        let but: std::collections::BTreeSet<Key> = listed.collect();
        let units = Units::OtherValues { but: but.into_iter().collect() };
        pieces.push(Piece { units, owner: shard, weight: Weight::default() });
    }
    Ok(pieces)
}

fn key_types(table: &Table) -> Result<Vec<shardline_model::key::KeyType>, OperationError> {
    table.key_types().map_err(|error| OperationError::failed("key", error.to_string()))
}

fn full(table: &Table) -> String {
    format!("{}.{}", quote_identifier(&table.database), quote_identifier(&table.name))
}
