//! Holds: which statements touch units that are about to change their owner, and so have to
//! wait until they have. Found with the plan of one execution; a statement on tables of which
//! nothing is held knows so beforehand.

use crate::{
    plan::{Plan, Single, Target},
    planner::{
        Context,
        insert::{
            InsertForm,
            bind::{RowId, row_ids, shard_key},
        },
        untold,
    },
    route::{Reach, Route, TableRoute, Values},
    template::{BindInput, Form},
};
use shardline_model::{
    catalog::Catalog,
    id::{Epoch, GroupId, MoveId, ShardId},
    moves::UnitMove,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// The moves that a statement waits for; nearly always none.
pub type Waits = SmallVec<[MoveId; 1]>;

/// The moves of a statement's tables that it may have to mind: those that hold their units, and
/// those that have brought them to their new owner.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    moves: Vec<Arc<UnitMove>>,
    arrived: Vec<Arc<UnitMove>>,
    /// Tables that are spread anew and that the statement may name: every statement on one waits while
    /// it is held.
    held_tables: Waits,
    /// Those that have been spread anew, or back.
    spread_tables: Waits,
    /// What is known without values: the statement is bound already.
    pub(crate) known: Option<Waits>,
}

impl Holds {
    /// Those of a statement.
    pub(crate) fn of(context: &Context<'_>, form: &Form) -> Self {
        let mut holds = Self::of_units(context, form);
        if context.catalog.reshards.is_empty() {
            return holds;
        }
        for table in untold::tables(context) {
            let Some(one) = context.catalog.reshard_of(table.id) else { continue };
            if one.state.holds() {
                holds.held_tables.push(one.id);
            }
            if one.owned_since > Epoch(0) {
                holds.spread_tables.push(one.id);
            }
        }
        holds
    }

    fn of_units(context: &Context<'_>, form: &Form) -> Self {
        let is_met = |one: &&Arc<UnitMove>| one.state.holds() || one.owned_since > Epoch(0);
        let met = || context.catalog.moves.values().filter(is_met);
        if met().next().is_none() {
            return Self::default();
        }
        let of_route = |route: &Route| route.tables.iter().map(|table| table.group).collect();
        let groups: Vec<GroupId> = match form {
            Form::Fixed(_) => untold::groups(context),
            Form::Read(read) => of_route(&read.route),
            Form::Modify(modify) => of_route(&modify.route),
            Form::Insert(insert) => {
                let mut groups: Vec<GroupId> = of_route(&insert.others);
                groups.extend(insert.table.sharding().map(|sharding| sharding.group));
                groups
            }
            Form::Rehearse(_) => untold::groups(context),
            Form::Whole(..) => Vec::new(),
        };
        let met = met().filter(|one| groups.contains(&one.group)).cloned();
        let (moves, arrived) = met.partition(|one| one.state.holds());
        Self { moves, arrived, ..Self::default() }
    }

    /// Whether anything of the statement's tables is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.held_tables.is_empty() && self.known.is_none()
    }

    /// Whether units of its tables have come to their new owner.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty() || !self.spread_tables.is_empty()
    }

    /// Those that this execution waits for.
    pub(crate) fn waits(
        &self,
        form: &Form,
        input: &BindInput<'_>,
        values: &Values<'_>,
        plan: &Plan,
    ) -> Waits {
        if let Some(known) = &self.known {
            return known.clone();
        }
        let mut waits = self.touched(&self.moves, form, input, values, plan);
        waits.extend(self.held_tables.iter().copied());
        waits
    }

    /// Those whose units have come to where this execution reads them.
    pub(crate) fn arrived(
        &self,
        form: &Form,
        input: &BindInput<'_>,
        values: &Values<'_>,
        plan: &Plan,
    ) -> Waits {
        let mut arrived = self.touched(&self.arrived, form, input, values, plan);
        arrived.extend(self.spread_tables.iter().copied());
        arrived
    }

    fn touched(
        &self,
        moves: &[Arc<UnitMove>],
        form: &Form,
        input: &BindInput<'_>,
        values: &Values<'_>,
        plan: &Plan,
    ) -> Waits {
        // What it writes is known when it has run.
        let anything = matches!(plan, Plan::Rehearse(_));
        let touches = |one: &UnitMove| match form {
            _ if anything => true,
            Form::Fixed(fixed) => match fixed.target {
                Target::Shard(shard) => shard == one.owner(),
                Target::Any => false,
            },
            Form::Read(read) => route_touches(&read.route, one, values, input.catalog),
            Form::Modify(modify) => route_touches(&modify.route, one, values, input.catalog),
            Form::Insert(insert) => {
                route_touches(&insert.others, one, values, input.catalog)
                    || insert_touches(insert, one, input, values, plan)
            }
            Form::Rehearse(_) => true,
            Form::Whole(..) => false,
        };
        moves.iter().filter(|one| touches(one)).map(|one| one.id).collect()
    }
}

fn route_touches(route: &Route, one: &UnitMove, values: &Values<'_>, catalog: &Catalog) -> bool {
    let mut tables = route.tables.iter().filter(|table| table.group == one.group);
    tables.any(|table| table_touches(table, one, values, catalog))
}

/// By the keys where they are listed, else by the shards that are reached.
fn table_touches(
    table: &TableRoute,
    one: &UnitMove,
    values: &Values<'_>,
    catalog: &Catalog,
) -> bool {
    if let Some(keys) = table.pins.listed(values) {
        return keys.iter().any(|key| one.units.contains(key, &table.pins.key_types));
    }
    match table.reach(values, catalog) {
        Reach::Nowhere => false,
        Reach::One(shard) => shard == one.owner(),
        Reach::Many(shards) => shards.contains(&one.owner()),
    }
}

/// By the keys of the new rows; by the shards where other rows may be met as well.
fn insert_touches(
    form: &InsertForm,
    one: &UnitMove,
    input: &BindInput<'_>,
    values: &Values<'_>,
    plan: &Plan,
) -> bool {
    if form.table.sharding().is_none_or(|sharding| sharding.group != one.group) {
        return false;
    }
    let reaches = || plan_shards(plan).contains(&one.owner());
    let Ok(ids) = row_ids(form, input, values) else { return reaches() };
    let explicit = || ids.iter().any(|id| matches!(id, RowId::Explicit(_)));
    if form.id_is_uncovered && (form.reassigns_id || explicit()) {
        return reaches();
    }
    form.rows.iter().enumerate().any(|(number, row)| {
        match shard_key(form, row, values, ids.get(number)) {
            Ok(key) => one.units.contains(&key, &form.key_types),
            Err(_) => reaches(),
        }
    })
}

/// The shards that a plan names.
pub(crate) fn plan_shards(plan: &Plan) -> SmallVec<[ShardId; 4]> {
    match plan {
        Plan::Single(Single { target: Target::Shard(shard), .. }) => {
            SmallVec::from_slice(&[*shard])
        }
        Plan::Scatter(scatter) => scatter.parts.iter().map(|part| part.shard).collect(),
        Plan::Write(write) => write.parts.iter().map(|part| part.shard).collect(),
        Plan::Compute(compute) => compute.shards().into(),
        Plan::Rehearse(rehearsal) => rehearsal.shards().into(),
        Plan::Single(Single { target: Target::Any, .. })
        | Plan::Ddl(_)
        | Plan::Session(_)
        | Plan::Refuse(_) => SmallVec::new(),
    }
}
