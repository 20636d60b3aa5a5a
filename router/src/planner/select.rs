//! SELECT: on one shard where that can be proven, else on several where the rows can be
//! merged, else refused.

use super::functions;
use crate::{
    bind::Facts,
    lexer::TokenKind,
    parse::{into_variables, locking_clause},
    plan::{Refusal, Traits},
    planner::{
        Context,
        compute::ComputeForm,
        scatter::{self, ScatterForm, item::Item},
        shape,
        strangers::Strangers,
        untold,
    },
    route::Route,
    template::Form,
    touch::{Change, Choice, Touching},
    word::Marks,
};
use sqlparser::ast::{Query, SelectItem, SetExpr, Statement};
use std::ops::Range;

/// A SELECT whose place depends on values.
#[derive(Debug)]
pub(crate) struct ReadForm {
    pub(crate) route: Route,
    pub(crate) traits: Traits,
    /// How it runs on several shards.
    pub(crate) scatter: Result<ScatterForm, Refusal>,
    /// How one server runs it with all of its rows; None while several shards can.
    pub(crate) compute: Option<Box<Result<ComputeForm, Refusal>>>,
    /// Select items without an alias, which keep their name when a call in them is replaced.
    pub(crate) nameless: Vec<Range<usize>>,
    pub(crate) touching: Touching,
}

/// Plans a statement that reads.
pub(crate) fn plan(context: &Context<'_>) -> Result<Form, Refusal> {
    let (statement, facts) = match context.facts() {
        Ok(understood) => understood,
        Err(error) => return untold::plan(context, &error),
    };
    context.check_tables(&facts)?;
    let pieces = context.pieces;
    let all = 0..pieces.len();
    let marked = pieces.has_marked(Marks::SKIPPED);
    let into = marked && all.clone().any(|index| into_variables(pieces, index) > 0);
    let locks = marked && all.clone().any(|index| locking_clause(pieces, index) > 0);
    let traits = Traits {
        writes: false,
        locks,
        opens_no_snapshot: locks
            && facts.instances.len() == 1
            && functions::locks_all_it_reads(pieces, 1),
        returns_rows: !into,
        assigns_variables: into
            || functions::counts_found_rows(pieces)
            || all.clone().any(|index| pieces.is(index, TokenKind::Assign)),
        pins_session: false,
    };
    let Statement::Query(query) = statement.as_ref() else {
        return untold::plan(
            context,
            &crate::parse::NotUnderstood { reason: "this kind of query is not analysed".into() },
        );
    };
    let shape = shape::of(pieces);
    let nameless = match (&shape, top_items(query)) {
        (Some(shape), Some(items)) if items.len() == shape.items.len() => {
            let pairs = shape.items.iter().zip(items);
            let unnamed = pairs.filter(|(_, item)| matches!(item, SelectItem::UnnamedExpr(_)));
            unnamed.map(|(range, _)| range.clone()).collect()
        }
        _ => Vec::new(),
    };
    let route = Route::of(&facts);
    // What it only reads is asked for while some transaction may be undecided.
    let touching = match traits.locks || context.has_guards() {
        true => chosen(context, &facts, query),
        false => Touching::default(),
    };
    let scatter = scatter_form(context, query, &facts, shape.as_ref(), traits);
    let compute = match &scatter {
        Ok(_) => None,
        Err(refusal) if context.catalog.shards.len() == 1 || !refusal.is_of_shards() => {
            Some(Box::new(Err(refusal.clone())))
        }
        Err(_) => {
            let catalog = context.catalog;
            let form = ComputeForm::of_query(pieces, catalog, &statement, &facts, traits);
            Some(Box::new(form))
        }
    };
    let scatter = match (scatter, shape) {
        (Ok((items, strangers)), Some(shape)) => Ok(ScatterForm { shape, items, facts, strangers }),
        (Ok(_), None) => Err(no_plain_select()),
        (Err(refusal), _) => Err(refusal),
    };
    Ok(Form::Read(ReadForm { route, traits, scatter, compute, nameless, touching }))
}

/// What of the rows that it reads or locks is known by now: those of all its tables.
fn chosen(context: &Context<'_>, facts: &Facts, query: &Query) -> Touching {
    let condition = match query.body.as_ref() {
        SetExpr::Select(select) if facts.instances.len() == 1 => select.selection.as_ref(),
        _ => None,
    };
    Touching::of_choice(&Choice {
        facts,
        pieces: context.pieces,
        instances: (0..facts.instances.len()).collect(),
        condition: condition.filter(|_| facts.selects == 1),
        change: Change::Lock,
    })
}

fn top_items(query: &Query) -> Option<&[SelectItem]> {
    match query.body.as_ref() {
        SetExpr::Select(select) => Some(&select.projection),
        _ => None,
    }
}

fn scatter_form(
    context: &Context<'_>,
    query: &Query,
    facts: &Facts,
    shape: Option<&shape::Shape>,
    traits: Traits,
) -> Result<(Vec<Item>, Strangers), Refusal> {
    if traits.assigns_variables {
        return Err(Refusal::not_supported(
            "user variables are assigned by a statement that needs several shards",
            "give the shard key a value in WHERE, so that one shard answers",
        ));
    }
    if facts.has_set_operation {
        return Err(Refusal::not_supported(
            "UNION, EXCEPT and INTERSECT over several shards are not supported yet",
            "send the SELECTs one by one, or give the shard key a value in each of them",
        ));
    }
    if facts.selects != 1 || query.with.is_some() {
        return Err(Refusal::not_supported(
            "subqueries and derived tables over several shards are not supported yet",
            "give the shard key a value at every level, or write a join on the shard key",
        ));
    }
    let (Some(shape), Some(items)) = (shape, top_items(query)) else {
        return Err(no_plain_select());
    };
    scatter::prepare(context, items, facts, shape)
}

fn no_plain_select() -> Refusal {
    Refusal::not_supported(
        "this form of SELECT over several shards is not supported yet",
        "write one plain SELECT without outer parentheses",
    )
}
