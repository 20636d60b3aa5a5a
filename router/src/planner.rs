//! The planner: a statement's pieces, its tree and the catalog to a template. What the
//! tree cannot say is refused here with its reason; what depends on values waits for
//! the template to be bound.

pub(crate) mod compute;
pub(crate) mod functions;
pub(crate) mod holds;
pub(crate) mod insert;
pub(crate) mod modify;
pub(crate) mod rehearse;
pub(crate) mod scatter;
pub(crate) mod select;
pub(crate) mod shape;
pub(crate) mod strangers;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod untold;

use crate::{
    bind::{self, Facts},
    lexer::{TokenKind, Tokens},
    parse::{self, NotUnderstood, Pieces},
    plan::{InsertId, Refusal, Target, Traits},
    planner::holds::Holds,
    template::{Fixed, Form, Template},
    touch::Touching,
    view::SessionView,
};
use shardline_model::catalog::{Catalog, TableKind};
use sqlparser::ast::Statement;

/// What a statement is planned with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) pieces: &'a Pieces<'a>,
    pub(crate) view: &'a SessionView<'a>,
    pub(crate) catalog: &'a Catalog,
}

/// Plans a statement that is neither DDL nor the session's own.
///
/// # Errors
/// A refusal that no value could lift.
pub(crate) fn plan(
    tokens: &Tokens<'_>,
    view: &SessionView<'_>,
    catalog: &Catalog,
) -> Result<Template, Refusal> {
    let pieces = Pieces::from_tokens(tokens);
    let context = Context { pieces: &pieces, view, catalog };
    let calls = functions::session_calls(&pieces);
    functions::check(&pieces)?;
    let form = context.form()?;
    let holds = Holds::of(&context, &form);
    Ok(Template::new(form, calls, &pieces, holds))
}

impl Context<'_> {
    /// Whether transactions over several shards may be under way, which reads may have to mind.
    pub(crate) fn has_guards(&self) -> bool {
        !self.catalog.guards.is_empty()
    }

    fn form(&self) -> Result<Form, Refusal> {
        let pieces = self.pieces;
        let first = (0..pieces.len()).find(|&i| !pieces.is(i, TokenKind::LeftParen)).unwrap_or(0);
        if pieces.is_any_word(first, &["SELECT", "WITH", "VALUES", "TABLE"]) {
            return select::plan(self);
        }
        if pieces.is_any_word(0, &["INSERT", "REPLACE"]) {
            return insert::plan(self);
        }
        if pieces.is_any_word(0, &["UPDATE", "DELETE"]) {
            return modify::plan(self);
        }
        if pieces.is_any_word(0, &["SHOW", "DESC", "DESCRIBE", "EXPLAIN", "HELP"]) {
            let traits = Traits { returns_rows: true, ..Traits::default() };
            return Ok(Form::Fixed(Fixed {
                target: Target::Any,
                traits,
                insert_id: InsertId::None,
                touching: Touching::default(),
            }));
        }
        if pieces.is_word(0, "DO") {
            return untold::plan(self, &NotUnderstood { reason: "DO is not analysed".into() });
        }
        let verb = String::from_utf8_lossy(pieces.text(0)).to_uppercase();
        Err(Refusal::not_supported(
            format!("statement {verb} is not supported"),
            "SELECT, INSERT, REPLACE, UPDATE, DELETE, SHOW, SET and schema changes are",
        ))
    }

    /// Parses and binds.
    pub(crate) fn facts(&self) -> Result<(Box<Statement>, Facts), NotUnderstood> {
        let parsed = parse::parse(self.pieces)?;
        let facts = bind::bind(&parsed.statement, self.pieces, self.catalog, self.view.database)?;
        Ok((parsed.statement, facts))
    }

    /// Refuses what no plan can have: names without a database, and views while there
    /// are several shards.
    pub(crate) fn check_tables(&self, facts: &Facts) -> Result<(), Refusal> {
        if facts.lacks_database {
            return Err(Refusal::no_database());
        }
        let views = facts.instances.iter().filter_map(|instance| instance.table.as_ref());
        let mut views = views.filter(|table| table.is_view);
        if self.catalog.shards.len() > 1
            && let Some(view) = views.next()
        {
            return Err(Refusal::not_supported(
                format!(
                    "'{}.{}' is a view, and a shard would only see its own rows through it",
                    view.database, view.name
                ),
                "write the view's SELECT in the statement itself",
            ));
        }
        Ok(())
    }

    pub(crate) fn refuse_not_understood(&self, error: &NotUnderstood) -> Refusal {
        Refusal::not_supported(
            format!("{}, and its tables are on several shards", error.reason),
            "write it with simpler syntax, or keep all its tables on one shard (SINGLE)",
        )
    }
}

/// A table's kind in words.
pub(crate) fn kind_name(kind: &TableKind) -> &'static str {
    match kind {
        TableKind::Sharded(_) => "sharded",
        TableKind::Broadcast => "broadcast",
        TableKind::Single { .. } => "single",
    }
}
