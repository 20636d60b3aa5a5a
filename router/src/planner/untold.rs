//! Statements that the parser does not understand but a server may: they go through
//! untouched when every table that they could name is on one shard.

use crate::{
    bind::find_table,
    lexer::TokenKind,
    parse::NotUnderstood,
    plan::{InsertId, Refusal, Target, Traits},
    planner::{Context, compute::ComputeForm, functions, select::ReadForm},
    route::{Pins, Route, TableRoute},
    template::{Fixed, Form},
    touch::Touching,
};
use shardline_model::{
    catalog::{Table, TableKind},
    id::{GroupId, ShardId},
};
use smallvec::SmallVec;
use std::{collections::BTreeSet, sync::Arc};

/// What such a statement's tables allow.
#[derive(Debug, Default)]
struct Candidates {
    /// Shards on which sharded and single tables are.
    shards: BTreeSet<ShardId>,
    broadcast: bool,
    tables: Vec<Arc<Table>>,
    /// A view, whose tables are not known.
    view: bool,
}

impl Candidates {
    fn add(&mut self, context: &Context<'_>, table: &Arc<Table>) {
        self.view |= table.is_view;
        if !self.tables.iter().any(|known| known.id == table.id) {
            self.tables.push(table.clone());
        }
        match &table.kind {
            TableKind::Sharded(sharding) => {
                if let Some(group) = context.catalog.groups.get(&sharding.group) {
                    self.shards.extend(group.placement.shards());
                }
            }
            TableKind::Broadcast => self.broadcast = true,
            TableKind::Single { shard } => {
                self.shards.insert(*shard);
            }
        }
    }
}

/// Plans by names alone.
pub(crate) fn plan(context: &Context<'_>, error: &NotUnderstood) -> Result<Form, Refusal> {
    let pieces = context.pieces;
    let refuse = || Err(context.refuse_not_understood(error));
    let verb = (0..pieces.len()).find(|&i| !pieces.is(i, TokenKind::LeftParen)).unwrap_or(0);
    let reads = pieces.is_any_word(verb, &["SELECT", "WITH", "VALUES", "TABLE", "DO"]);
    if !reads && !pieces.is_any_word(verb, &["INSERT", "REPLACE", "UPDATE", "DELETE"]) {
        return refuse();
    }
    let candidates = candidates(context);
    let words = 0..pieces.len();
    let assigns_variables = functions::counts_found_rows(pieces)
        || words.clone().any(|i| {
            pieces.is(i, TokenKind::Assign) || crate::parse::into_variables(pieces, i) > 0
        });
    let locks = words.clone().any(|i| crate::parse::locking_clause(pieces, i) > 0);
    let returning = words.clone().any(|i| pieces.is_word(i, "RETURNING"));
    // WITH may introduce an UPDATE or DELETE on some servers.
    let writes = !reads
        || (pieces.is_word(verb, "WITH")
            && words.clone().any(|i| pieces.is_any_word(i, &["UPDATE", "DELETE"]) && !locks));
    let traits = Traits {
        writes,
        locks,
        opens_no_snapshot: false,
        returns_rows: (!writes && !pieces.is_word(verb, "DO")) || returning,
        assigns_variables,
        pins_session: false,
    };
    let single_shard = context.catalog.shards.len() == 1;
    if candidates.view && !single_shard {
        return refuse();
    }
    if (writes || locks) && candidates.broadcast && !single_shard {
        return refuse();
    }
    let mut shards = candidates.shards.iter();
    let target = match (shards.next(), shards.next()) {
        (None, _) => Target::Any,
        (Some(shard), None) => Target::Shard(*shard),
        (Some(_), Some(_)) if reads && !writes && !pieces.is_word(verb, "DO") => {
            return Ok(Form::Read(everywhere(context, candidates, traits, error)));
        }
        (Some(_), Some(_)) => return refuse(),
    };
    if writes && functions::calls(pieces, 0..pieces.len(), &["LAST_INSERT_ID"]).is_some() {
        return refuse();
    }
    let insert_id = match pieces.is_any_word(verb, &["INSERT", "REPLACE"]) {
        true => InsertId::FromServer,
        false => InsertId::None,
    };
    let touching = match writes || locks || context.has_guards() {
        true => Touching::of_tables(candidates.tables.iter().map(Arc::as_ref)),
        false => Touching::default(),
    };
    Ok(Form::Fixed(Fixed { target, traits, insert_id, touching }))
}

/// A query of which all rows of all tables that it could name are brought to one server.
fn everywhere(
    context: &Context<'_>,
    candidates: Candidates,
    traits: Traits,
    error: &NotUnderstood,
) -> ReadForm {
    let touching = match context.has_guards() {
        true => Touching::of_tables(candidates.tables.iter().map(Arc::as_ref)),
        false => Touching::default(),
    };
    let mut route = Route { broadcast: candidates.broadcast, ..Route::default() };
    for table in &candidates.tables {
        match &table.kind {
            TableKind::Sharded(sharding) => {
                let key_types: SmallVec<_> = table.key_types().unwrap_or_default().into();
                let keys = key_types.iter().map(|_| Vec::new()).collect();
                let pins = Pins { key_types, keys };
                route.tables.push(TableRoute { group: sharding.group, pins });
            }
            TableKind::Single { shard } if !route.homes.contains(shard) => {
                route.homes.push(*shard);
            }
            TableKind::Single { .. } | TableKind::Broadcast => {}
        }
    }
    let refusal = context.refuse_not_understood(error);
    let compute = ComputeForm::of_names(context, candidates.tables, traits);
    let (scatter, nameless) = (Err(refusal), Vec::new());
    ReadForm { route, traits, scatter, compute: Some(Box::new(compute)), nameless, touching }
}

/// All tables that a statement could name.
pub(crate) fn tables(context: &Context<'_>) -> Vec<Arc<Table>> {
    candidates(context).tables
}

/// The groups of all tables that a statement could name.
pub(crate) fn groups(context: &Context<'_>) -> Vec<GroupId> {
    tables(context).iter().filter_map(|table| Some(table.sharding()?.group)).collect()
}

/// Every identifier that could be a table of the catalog, whatever it really is.
fn candidates(context: &Context<'_>) -> Candidates {
    let pieces = context.pieces;
    let mut candidates = Candidates::default();
    for index in 0..pieces.len() {
        let Some(name) = pieces.identifier(index) else { continue };
        if let Some(table) =
            context.view.database.and_then(|d| find_table(context.catalog, d, &name))
        {
            candidates.add(context, &table);
        }
        if index >= 2
            && pieces.is(index - 1, TokenKind::Dot)
            && let Some(database) = pieces.identifier(index - 2)
            && let Some(table) = find_table(context.catalog, &database, &name)
        {
            candidates.add(context, &table);
        }
    }
    candidates
}
