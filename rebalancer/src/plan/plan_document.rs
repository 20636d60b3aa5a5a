//! A plan as people read it and programs keep it: moves with what they weigh, made for one state of the
//! catalog. Nothing of it changes any more.

use super::{Goal, GroupSizes, Move, PlanError, Weight, moves};
use serde::{Deserialize, Serialize};
use shardline_model::{
    catalog::Catalog,
    id::{Epoch, GroupId, ShardId},
    key::{Key, KeyPart, KeyType},
    moves::NewMove,
    placement::Units,
    predicate,
};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Bytes a second that a copy is expected to make, if nothing limits it.
const BYTES_PER_SECOND: u64 = 20_000_000;
/// Rows a second of the same.
const ROWS_PER_SECOND: u64 = 40_000;
/// Seconds that every plan takes: proxies acknowledge, streams begin, sides are compared.
const SECONDS_AT_LEAST: u64 = 5;
/// Runs or values of one move; more are several moves.
const PARTS_MAX: usize = 1_000;
/// Values that are named one by one.
const KEYS_SHOWN_MAX: usize = 8;

/// Moves that lead to what is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RebalancePlan {
    /// What is wanted, in one line.
    pub goal: String,
    /// The version of the catalog that it was made for.
    pub epoch: Epoch,
    /// What that version said of placements, tables and shards, as a number: another one is another state.
    pub state: u64,
    /// The moves.
    pub moves: Vec<PlannedMove>,
    /// Rows of all moves.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long it will take, as far as one can tell beforehand.
    pub minutes: f64,
    /// What people should know before they start it.
    pub notes: Vec<String>,
}

/// One move of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedMove {
    /// The group whose placement it changes.
    pub group: GroupId,
    /// The group's tables, as `database.table`.
    pub tables: Vec<String>,
    /// What goes.
    pub units: Units,
    /// The same in words.
    pub what: String,
    /// Its owner now.
    pub from: ShardId,
    /// That one's name.
    pub from_name: String,
    /// Its owner afterwards.
    pub to: ShardId,
    /// That one's name.
    pub to_name: String,
    /// Rows, about.
    pub rows: u64,
    /// Bytes, about.
    pub bytes: u64,
}

impl RebalancePlan {
    /// The plan for some groups.
    ///
    /// # Errors
    /// The goal is not possible for one of them.
    pub fn make(
        catalog: &Catalog,
        goal_text: String,
        groups: &[(GroupSizes, Goal)],
        max_mbps: Option<u32>,
    ) -> Result<Self, PlanError> {
        let mut plan = Self {
            goal: goal_text,
            epoch: catalog.epoch,
            state: state_of(catalog),
            moves: Vec::new(),
            rows: 0,
            bytes: 0,
            minutes: 0.0,
            notes: Vec::new(),
        };
        for (sizes, goal) in groups {
            let to = goal.placement(sizes)?;
            for one in moves(&sizes.placement, &to, &sizes.key_types)? {
                plan.moves
                    .extend(in_parts(one).into_iter().map(|one| planned(catalog, sizes, one)));
            }
        }
        for one in &plan.moves {
            plan.rows += one.rows;
            plan.bytes += one.bytes;
        }
        if !plan.moves.is_empty() {
            plan.minutes = minutes(plan.rows, plan.bytes, max_mbps);
        }
        Ok(plan)
    }

    /// The moves, for the catalog.
    pub fn new_moves(&self) -> Vec<NewMove> {
        let new = |one: &PlannedMove| NewMove {
            group: one.group,
            units: one.units.clone(),
            from: one.from,
            to: one.to,
        };
        self.moves.iter().map(new).collect()
    }

    /// Whether the catalog says the same as it did when the plan was made, as far as it matters.
    pub fn is_current(&self, catalog: &Catalog) -> bool {
        self.state == state_of(catalog)
    }
}

fn planned(catalog: &Catalog, sizes: &GroupSizes, one: Move) -> PlannedMove {
    let name = |id: ShardId| {
        catalog.shards.get(&id).map_or_else(|| id.to_string(), |shard| shard.name.clone())
    };
    let Weight { rows, bytes, .. } = sizes.weight_of(&one.units);
    PlannedMove {
        group: sizes.group,
        tables: sizes.tables.clone(),
        what: described(&one.units, &sizes.key_types),
        from: one.from,
        from_name: name(one.from),
        to: one.to,
        to_name: name(one.to),
        units: one.units,
        rows,
        bytes,
    }
}

/// Units with their keys, as far as these are few.
pub fn described(units: &Units, types: &[KeyType]) -> String {
    let key = |key: &Key| {
        let parts = key.iter().zip(types).map(|(part, key_type)| shown(part, key_type));
        parts.collect::<Vec<_>>().join(",")
    };
    match units {
        Units::Interval { start, end } => {
            let start = start.as_ref().map_or_else(|| "MINVALUE".to_owned(), key);
            let end = end.as_ref().map_or_else(|| "MAXVALUE".to_owned(), key);
            format!("keys {start} .. {end}")
        }
        Units::Values(keys) if keys.len() <= KEYS_SHOWN_MAX => {
            format!("values {}", keys.iter().map(key).collect::<Vec<_>>().join(", "))
        }
        Units::Slots(_) | Units::Values(_) | Units::OtherValues { .. } => units.to_string(),
    }
}

fn shown(part: &KeyPart, key_type: &KeyType) -> String {
    match part {
        KeyPart::Text(text) => String::from_utf8_lossy(text).into_owned(),
        KeyPart::Integer(_) | KeyPart::Decimal(_) | KeyPart::Bytes(_) | KeyPart::Temporal(_) => {
            predicate::literal_sql(part, key_type).trim_matches('\'').to_owned()
        }
    }
}

/// The same move as several that are not too long each.
fn in_parts(one: Move) -> Vec<Move> {
    let (from, to) = (one.from, one.to);
    let move_of = |units| Move { units, from, to };
    match one.units {
        Units::Slots(runs) if runs.len() > PARTS_MAX => {
            runs.chunks(PARTS_MAX).map(|part| move_of(Units::Slots(part.to_vec()))).collect()
        }
        Units::Values(keys) if keys.len() > PARTS_MAX => {
            keys.chunks(PARTS_MAX).map(|part| move_of(Units::Values(part.to_vec()))).collect()
        }
        units @ (Units::Slots(_)
        | Units::Interval { .. }
        | Units::Values(_)
        | Units::OtherValues { .. }) => vec![move_of(units)],
    }
}

fn minutes(rows: u64, bytes: u64, max_mbps: Option<u32>) -> f64 {
    let limit = max_mbps.map_or(BYTES_PER_SECOND, |limit| u64::from(limit) * 1_000_000);
    let by_bytes = bytes as f64 / limit.clamp(1, BYTES_PER_SECOND) as f64;
    let by_rows = rows as f64 / ROWS_PER_SECOND as f64;
    (by_bytes.max(by_rows) + SECONDS_AT_LEAST as f64) / 60.0
}

/// What moves depend on, as a number.
fn state_of(catalog: &Catalog) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (id, shard) in &catalog.shards {
        (id, &shard.name, &shard.primary.host, shard.primary.port).hash(&mut hasher);
        format!("{:?}", catalog.apart.get(id)).hash(&mut hasher);
    }
    for (id, group) in &catalog.groups {
        (id, format!("{:?}", group.placement)).hash(&mut hasher);
    }
    for table in catalog.tables() {
        (&table.id, &table.database, &table.name, table.sharding().map(|s| s.group))
            .hash(&mut hasher);
    }
    for one in catalog.moves.values() {
        (one.group, format!("{:?}", one.units)).hash(&mut hasher);
    }
    hasher.finish()
}
