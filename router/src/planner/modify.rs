//! UPDATE and DELETE: on the shard that the key names, on all shards that may have
//! matching rows, or on every copy of a broadcast table.

use crate::{
    bind::{BoundColumn, Facts},
    conjunct::{KeySlot, Predicate, ValueRef, value_ref},
    parse::{NotUnderstood, Pieces},
    plan::{InsertId, Refusal, Traits},
    planner::{
        Context, functions,
        rehearse::{Changed, How, Otherwise, RehearsalForm},
        strangers::{Strangers, WherePlace},
        untold,
    },
    route::{Route, Values},
    template::Form,
    touch::{Change, Choice, Touching},
};
use shardline_model::{
    catalog::{Catalog, TableKind},
    id::ShardId,
    key::{KeyType, KeyUse},
};
use sqlparser::ast::{
    AssignmentTarget, Delete, FromTable, ObjectName, Statement, TableFactor, Update,
};

/// An UPDATE or DELETE whose place depends on values.
#[derive(Debug)]
pub(crate) struct ModifyForm {
    pub(crate) route: Route,
    pub(crate) traits: Traits,
    pub(crate) insert_id: InsertId,
    /// It changes copies: it runs on all shards.
    pub(crate) copies: bool,
    /// Why it cannot run on several shards.
    pub(crate) several: Result<(), Refusal>,
    pub(crate) key_assignments: Vec<KeyAssignment>,
    /// The table's name, for reasons.
    pub(crate) table: String,
    pub(crate) touching: Touching,
    /// What leaves rows of others out.
    pub(crate) strangers: Strangers,
    /// How it is done where the shards cannot do it by themselves; None where they always can.
    pub(crate) otherwise: Otherwise,
}

/// `SET key_column = value` beside `WHERE key_column = old`.
#[derive(Debug)]
pub(crate) struct KeyAssignment {
    key_type: Option<KeyType>,
    column: String,
    old: Vec<Predicate>,
    new: Option<ValueRef>,
}

impl KeyAssignment {
    /// Refuses when the key would change: the row would have to move.
    pub(crate) fn check(&self, values: &Values<'_>) -> Result<(), Refusal> {
        let key_type = self.key_type.as_ref();
        let canonical =
            |value: ValueRef, usage| key_type?.canonical(&values.get(value)?, usage).ok();
        let old = self.old.iter().find_map(|predicate| match predicate {
            Predicate::In(list) if list.len() == 1 => canonical(list[0], KeyUse::Compare),
            _ => None,
        });
        let new = self.new.and_then(|value| canonical(value, KeyUse::Store));
        if old.is_some() && old == new {
            return Ok(());
        }
        Err(self.refusal())
    }

    fn refusal(&self) -> Refusal {
        Refusal::not_supported(
            format!("UPDATE of the shard key column '{}' may move rows", self.column),
            "INSERT the row with its new key and DELETE the old one",
        )
    }
}

/// Plans UPDATE or DELETE.
pub(crate) fn plan(context: &Context<'_>) -> Result<Form, Refusal> {
    let (statement, facts) = match context.facts() {
        Ok(understood) => understood,
        Err(error) => return untold::plan(context, &error),
    };
    context.check_tables(&facts)?;
    let targets = match statement.as_ref() {
        Statement::Update(update) => update_targets(&facts, update),
        Statement::Delete(delete) => delete_targets(&facts, delete),
        _ => None,
    };
    let Some(targets) = targets else {
        let error = NotUnderstood { reason: "it is not clear which table is changed".into() };
        return untold::plan(context, &error);
    };
    let route = Route::of(&facts);
    let pieces = context.pieces;
    let returning = (0..pieces.len()).any(|index| pieces.is_word(index, "RETURNING"));
    let assigns_variables = functions::assigns_variables(pieces);
    let traits = Traits {
        writes: true,
        opens_no_snapshot: facts.instances.len() == 1 && functions::locks_all_it_reads(pieces, 0),
        returns_rows: returning,
        assigns_variables,
        ..Traits::default()
    };
    let rehearsed = |refusal: &Refusal| {
        let changed = changed(&facts, &statement, &targets, pieces);
        let reason = refusal.reason.clone();
        RehearsalForm::of(context, &statement, &facts, changed, traits, reason)
    };
    let copies = match check_copies(context, &facts, &targets, &route) {
        Ok(copies) => copies,
        Err(refusal) => return Ok(Form::Rehearse(Box::new(rehearsed(&refusal)?))),
    };
    let key_assignments = match statement.as_ref() {
        Statement::Update(update) => key_assignments(context, &facts, update),
        _ => Vec::new(),
    };
    let limited = match statement.as_ref() {
        Statement::Update(update) => update.limit.is_some(),
        Statement::Delete(delete) => delete.limit.is_some(),
        _ => false,
    };
    let sets_id = functions::calls(pieces, 0..pieces.len(), &["LAST_INSERT_ID"])
        .is_some_and(|index| !pieces.is(index + 2, crate::lexer::TokenKind::RightParen));
    let touching = touching(context, &facts, &statement, &targets);
    let table = targets.first().map(|i| facts.instances[*i].name.clone()).unwrap_or_default();
    let several = check_several(&facts, returning, limited)
        .and_then(|()| functions::assigned_once(assigns_variables));
    let (several, strangers) = match several {
        Ok(()) => match Strangers::of(&facts, context.catalog, WherePlace::of_change(pieces)) {
            Ok(strangers) => (Ok(()), strangers),
            Err(refusal) => (Err(refusal), Strangers::default()),
        },
        Err(refusal) => (Err(refusal), Strangers::default()),
    };
    let otherwise = match (&several, key_assignments.first()) {
        (Err(refusal), _) => Some(Box::new(rehearsed(refusal))),
        (Ok(()), Some(assignment)) => Some(Box::new(rehearsed(&assignment.refusal()))),
        (Ok(()), None) => None,
    };
    Ok(Form::Modify(ModifyForm {
        several,
        strangers,
        otherwise,
        traits,
        insert_id: if sets_id { InsertId::FromServer } else { InsertId::None },
        route,
        copies,
        key_assignments,
        table,
        touching,
    }))
}

/// What it does to each table.
fn changed(
    facts: &Facts,
    statement: &Statement,
    targets: &[usize],
    pieces: &Pieces<'_>,
) -> Vec<Changed> {
    let ignores = (1..4).any(|index| pieces.is_word(index, "IGNORE"));
    let how = match statement {
        Statement::Delete(_) => How::Deletes,
        _ if ignores => How::UpdatesWhereFree,
        _ => How::Updates,
    };
    let mut changed: Vec<Changed> = Vec::new();
    for target in targets {
        let Some(table) = &facts.instances[*target].table else { continue };
        if !changed.iter().any(|known| known.table.id == table.id) {
            changed.push(Changed { table: table.clone(), how });
        }
    }
    changed
}

/// What of the rows that it changes is known by now.
fn touching(
    context: &Context<'_>,
    facts: &Facts,
    statement: &Statement,
    targets: &[usize],
) -> Touching {
    let (selection, change) = match statement {
        Statement::Update(update) => {
            let columns = update.assignments.iter().map(|a| assigned(facts, &a.target));
            (update.selection.as_ref(), Change::Update(columns.collect()))
        }
        Statement::Delete(delete) => (delete.selection.as_ref(), Change::Delete),
        _ => (None, Change::Update(None)),
    };
    let condition = selection.filter(|_| own(facts).len() == 1);
    let pieces = context.pieces;
    Touching::of_choice(&Choice { facts, pieces, instances: targets.to_vec(), condition, change })
}

/// The instances of the outermost statement.
fn own(facts: &Facts) -> std::ops::Range<usize> {
    facts.scopes.first().map(|scope| scope.instances.clone()).unwrap_or_default()
}

fn update_targets(facts: &Facts, update: &Update) -> Option<Vec<usize>> {
    let own = own(facts);
    if own.len() == 1 {
        return Some(vec![own.start]);
    }
    let columns = update.assignments.iter().map(|a| assigned(facts, &a.target));
    let mut targets: Vec<usize> = columns.map(|c| c.map(|c| c.instance)).collect::<Option<_>>()?;
    targets.dedup();
    Some(targets)
}

fn assigned(facts: &Facts, target: &AssignmentTarget) -> Option<BoundColumn> {
    let AssignmentTarget::ColumnName(name) = target else { return None };
    let parts: Option<Vec<&str>> =
        name.0.iter().map(|part| Some(part.as_ident()?.value.as_str())).collect();
    facts.column(0, &parts?)
}

fn delete_targets(facts: &Facts, delete: &Delete) -> Option<Vec<usize>> {
    let own = own(facts);
    let named = |name: &ObjectName| {
        let last = &name.0.last()?.as_ident()?.value;
        let mut found = own.clone().filter(|i| facts.instances[*i].name.eq_ignore_ascii_case(last));
        found.next().filter(|_| found.next().is_none())
    };
    if !delete.tables.is_empty() {
        return delete.tables.iter().map(named).collect();
    }
    if delete.using.is_some() {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let name = |tree: &sqlparser::ast::TableWithJoins| match &tree.relation {
            TableFactor::Table { name, .. } => named(name),
            _ => None,
        };
        return from.iter().map(name).collect();
    }
    (own.len() == 1).then(|| vec![own.start])
}

/// Whether the statement changes copies; refuses a mixture.
fn check_copies(
    context: &Context<'_>,
    facts: &Facts,
    targets: &[usize],
    route: &Route,
) -> Result<bool, Refusal> {
    let is_copy = |index: &usize| {
        matches!(
            facts.instances[*index].table.as_ref().map(|t| &t.kind),
            Some(TableKind::Broadcast)
        )
    };
    if !targets.iter().any(is_copy) {
        return Ok(false);
    }
    if context.catalog.shards.len() == 1 {
        return Ok(true);
    }
    let alone = route.tables.is_empty() && route.homes.is_empty();
    if !alone || !targets.iter().all(is_copy) {
        return Err(Refusal::not_supported(
            "a broadcast table is changed by the rows of tables that are not on every shard",
            "read those rows first, then change the broadcast table with their values",
        ));
    }
    let unknown = facts.instances.iter().any(|instance| instance.table.is_none());
    if unknown {
        return Err(Refusal::not_supported(
            "a broadcast table is changed by rows of a table that is not in the catalog",
            "read those rows first, then change the broadcast table with their values",
        ));
    }
    if (0..context.pieces.len()).any(|index| context.pieces.is_word(index, "RETURNING")) {
        return Err(Refusal::not_supported(
            "RETURNING would come from each copy of a broadcast table",
            "SELECT the rows first",
        ));
    }
    refuse_volatile(context)?;
    functions::assigned_once(functions::assigns_variables(context.pieces))?;
    let limited = (0..context.pieces.len()).any(|index| context.pieces.is_word(index, "LIMIT"));
    if limited {
        return Err(Refusal::not_supported(
            "LIMIT could pick different rows of each copy of a broadcast table",
            "name the rows by their primary key",
        ));
    }
    Ok(true)
}

/// Refuses functions that would give every copy another value.
pub(crate) fn refuse_volatile(context: &Context<'_>) -> Result<(), Refusal> {
    match functions::volatile(context.pieces) {
        Some(name) if context.catalog.shards.len() > 1 => Err(Refusal::not_supported(
            format!("{name} would give every copy of a broadcast table another value"),
            "compute the value in the client and send it as a literal",
        )),
        _ => Ok(()),
    }
}

fn check_several(facts: &Facts, returning: bool, limited: bool) -> Result<(), Refusal> {
    let refuse = |reason: &str, hint: &str| Err(Refusal::not_supported(reason, hint));
    if facts.selects > 0 || own(facts).len() != 1 {
        return refuse(
            "an UPDATE or DELETE of several shards names several tables, or has subqueries",
            "give the shard key of every table a value, or change one table by values read before",
        );
    }
    if limited {
        return refuse(
            "LIMIT in an UPDATE or DELETE of several shards would be taken on each of them",
            "give the shard key a value in WHERE, or name the rows by their primary key",
        );
    }
    if returning {
        return refuse(
            "RETURNING would come from each shard",
            "give the shard key a value in WHERE, or SELECT the rows first",
        );
    }
    Ok(())
}

fn key_assignments(context: &Context<'_>, facts: &Facts, update: &Update) -> Vec<KeyAssignment> {
    let mut found = Vec::new();
    for assignment in &update.assignments {
        let Some(bound) = assigned(facts, &assignment.target) else { continue };
        let Some(index) = facts.key_index(bound) else { continue };
        let definition = facts.definition(bound);
        found.push(KeyAssignment {
            key_type: definition.and_then(|column| KeyType::of_column(column).ok()),
            column: definition.map(|c| c.name.clone()).unwrap_or_default(),
            old: facts.conjuncts.of(KeySlot { instance: bound.instance, index }),
            new: value_ref(&assignment.value, context.pieces),
        });
    }
    found
}

/// The shards of a statement that changes copies.
pub(crate) fn all_shards(catalog: &Catalog) -> Vec<ShardId> {
    catalog.shards.keys().copied().collect()
}
