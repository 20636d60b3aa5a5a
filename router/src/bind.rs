//! Names to catalog tables and columns, for every level of a statement: which table
//! instances it reads, in which scope, and what their columns are.

use crate::lexer::TokenKind;
use crate::{
    conjunct::Conjuncts,
    parse::{NotUnderstood, Pieces, piece_of},
};
use shardline_model::catalog::{Catalog, Column, Sharding, Table, TableKind, UniqueKey};
use sqlparser::ast::{
    Expr, FromTable, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SetExpr,
    Statement, TableFactor, TableObject, TableWithJoins, Visit, Visitor,
};
use std::{
    collections::BTreeSet,
    ops::{ControlFlow, Range},
    sync::Arc,
};

/// Most table references of one statement.
const INSTANCES_MAX: usize = 256;

/// Schemas that every server has for itself.
const SYSTEM_SCHEMAS: &[&str] = &["information_schema", "performance_schema", "mysql", "sys"];

/// One reference to a table.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    /// The catalog's table; None for what the catalog does not know (system schemas,
    /// temporary tables, tables that do not exist).
    pub(crate) table: Option<Arc<Table>>,
    /// The name that columns are qualified with.
    pub(crate) name: String,
    /// The database, as far as the statement and the session say.
    pub(crate) database: String,
    /// Whether an alias hides the table's own name.
    pub(crate) aliased: bool,
    pub(crate) scope: usize,
}

impl Instance {
    pub(crate) fn sharding(&self) -> Option<&Sharding> {
        match self.table.as_deref().map(|table| &table.kind) {
            Some(TableKind::Sharded(sharding)) => Some(sharding),
            Some(TableKind::Broadcast | TableKind::Single { .. }) | None => None,
        }
    }
}

/// One SELECT, UPDATE or DELETE, whose names are looked up in its own tables first.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) parent: Option<usize>,
    pub(crate) instances: Range<usize>,
    /// It also reads derived tables, whose columns are not known here.
    pub(crate) opaque: bool,
}

/// A column of a table instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BoundColumn {
    pub(crate) instance: usize,
    pub(crate) column: usize,
}

/// What a statement's tables are and how they hang together.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) instances: Vec<Instance>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) conjuncts: Conjuncts,
    /// How many SELECTs; more than one means subqueries, derived tables or UNION.
    pub(crate) selects: usize,
    /// Preserved and null-supplied tables of each outer join.
    pub(crate) outer_joins: Vec<(Range<usize>, Range<usize>)>,
    /// Scatter must not be tried: NATURAL joins and the like, whose columns are not followed.
    pub(crate) has_set_operation: bool,
    /// A name was given without a database, and the session has none.
    pub(crate) lacks_database: bool,
}

impl Facts {
    /// The columns of all tables of the statement.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.instances
            .iter()
            .filter_map(|instance| instance.table.as_deref())
            .flat_map(|t| &t.columns)
    }

    /// Looks a column up from `scope` outwards. None when it is not known which it is.
    pub(crate) fn column(&self, scope: usize, parts: &[&str]) -> Option<BoundColumn> {
        let (name, qualifier) = parts.split_last()?;
        let mut scope = Some(scope);
        while let Some(index) = scope {
            let this = self.scopes.get(index)?;
            let mut found = None;
            for instance in this.instances.clone() {
                if !self.answers_to(instance, qualifier) {
                    continue;
                }
                let Some(table) = &self.instances[instance].table else { continue };
                let Some(column) = column_index(table, name) else { continue };
                if found.is_some() {
                    return None;
                }
                found = Some(BoundColumn { instance, column });
            }
            if found.is_some() {
                return found;
            }
            let unknown = this.instances.clone().any(|i| self.instances[i].table.is_none());
            if this.opaque || unknown {
                return None;
            }
            scope = this.parent;
        }
        None
    }

    fn answers_to(&self, instance: usize, qualifier: &[&str]) -> bool {
        let instance = &self.instances[instance];
        match qualifier {
            [] => true,
            [name] => instance.name.eq_ignore_ascii_case(name),
            [database, name] => {
                !instance.aliased && instance.database == *database && instance.name == *name
            }
            _ => false,
        }
    }

    pub(crate) fn definition(&self, bound: BoundColumn) -> Option<&Column> {
        self.instances.get(bound.instance)?.table.as_ref()?.columns.get(bound.column)
    }

    /// The place of a column in its table's shard key.
    pub(crate) fn key_index(&self, bound: BoundColumn) -> Option<usize> {
        let sharding = self.instances.get(bound.instance)?.sharding()?;
        sharding.key_columns.iter().position(|&column| column == bound.column)
    }

    /// The place of a column in its table's primary key.
    pub(crate) fn primary_index(&self, bound: BoundColumn) -> Option<usize> {
        let table = self.instances.get(bound.instance)?.table.as_deref()?;
        let name = &table.columns.get(bound.column)?.name;
        primary_key(table)?.columns.iter().position(|column| same_name(column, name))
    }
}

/// The index of a column, names compared without regard to case.
pub(crate) fn column_index(table: &Table, name: &str) -> Option<usize> {
    table.columns.iter().position(|column| same_name(&column.name, name))
}

/// A table's primary key.
pub(crate) fn primary_key(table: &Table) -> Option<&UniqueKey> {
    table.unique_keys.first().filter(|key| key.name == "PRIMARY")
}

/// Whether two names differ in case at most.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.to_lowercase() == other.to_lowercase()
}

/// The catalog's table of that name.
pub(crate) fn find_table(catalog: &Catalog, database: &str, name: &str) -> Option<Arc<Table>> {
    catalog.databases.get(database)?.tables.get(name).cloned()
}

/// Whether every server has this schema for itself.
pub(crate) fn is_system_schema(name: &str) -> bool {
    SYSTEM_SCHEMAS.iter().any(|schema| schema.eq_ignore_ascii_case(name))
}

/// Collects the facts of a parsed statement.
pub(crate) fn bind(
    statement: &Statement,
    pieces: &Pieces<'_>,
    catalog: &Catalog,
    database: Option<&str>,
) -> Result<Facts, NotUnderstood> {
    let mut binder = Binder {
        pieces,
        catalog,
        database,
        facts: Facts::default(),
        stack: Vec::new(),
        cte_names: BTreeSet::new(),
        bound_names: BTreeSet::new(),
    };
    match statement.visit(&mut binder) {
        ControlFlow::Continue(()) => Ok(binder.facts),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Binder<'a> {
    pieces: &'a Pieces<'a>,
    catalog: &'a Catalog,
    database: Option<&'a str>,
    facts: Facts,
    /// Scopes that names are looked up in, innermost last.
    stack: Vec<Option<usize>>,
    cte_names: BTreeSet<String>,
    /// Pieces at which a bound table's name starts.
    bound_names: BTreeSet<usize>,
}

/// The ON of a join, with the tables it ties.
struct OnClause<'e> {
    constraint: &'e JoinConstraint,
    left: Range<usize>,
    right: Range<usize>,
    kind: OnKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnKind {
    /// Its rows are those of WHERE.
    Inner,
    /// Inside the null-supplied side of an outer join.
    NullableInner,
    /// LEFT JOIN.
    Left,
    /// RIGHT JOIN.
    Right,
}

type Flow = ControlFlow<NotUnderstood>;

fn unsupported<T>(what: &str) -> Result<T, NotUnderstood> {
    Err(NotUnderstood { reason: format!("{what} is not understood") })
}

impl Binder<'_> {
    fn scope<'e>(
        &mut self,
        from: &'e [TableWithJoins],
        selection: Option<&'e Expr>,
    ) -> Result<(), NotUnderstood> {
        let parent = self.stack.last().copied().flatten();
        let scope = self.facts.scopes.len();
        let start = self.facts.instances.len();
        self.facts.scopes.push(Scope { parent, instances: start..start, opaque: false });
        self.stack.push(Some(scope));
        let mut clauses = Vec::new();
        for tree in from {
            self.join_tree(tree, false, scope, &mut clauses)?;
        }
        self.facts.scopes[scope].instances = start..self.facts.instances.len();
        let mut conjuncts = std::mem::take(&mut self.facts.conjuncts);
        for clause in &clauses {
            self.on_clause(clause, scope, &mut conjuncts);
        }
        if let Some(selection) = selection {
            conjuncts.filter(&self.facts, self.pieces, scope, selection, true);
        }
        self.facts.conjuncts = conjuncts;
        Ok(())
    }

    fn on_clause(&mut self, clause: &OnClause<'_>, scope: usize, conjuncts: &mut Conjuncts) {
        let (preserved, supplied) = match clause.kind {
            OnKind::Inner | OnKind::NullableInner => {
                match clause.constraint {
                    JoinConstraint::On(expr) => {
                        let filters = clause.kind == OnKind::Inner;
                        conjuncts.filter(&self.facts, self.pieces, scope, expr, filters);
                    }
                    JoinConstraint::Using(columns) => {
                        conjuncts.using(&self.facts, &clause.left, &clause.right, columns);
                    }
                    JoinConstraint::Natural | JoinConstraint::None => {}
                }
                return;
            }
            OnKind::Left => (clause.left.clone(), clause.right.clone()),
            OnKind::Right => (clause.right.clone(), clause.left.clone()),
        };
        match clause.constraint {
            JoinConstraint::On(expr) => {
                conjuncts.outer(&self.facts, self.pieces, scope, expr, &preserved, &supplied);
            }
            JoinConstraint::Using(columns) => {
                conjuncts.using(&self.facts, &preserved, &supplied, columns);
            }
            JoinConstraint::Natural | JoinConstraint::None => {}
        }
        self.facts.outer_joins.push((preserved, supplied));
    }

    fn join_tree<'e>(
        &mut self,
        tree: &'e TableWithJoins,
        nullable: bool,
        scope: usize,
        clauses: &mut Vec<OnClause<'e>>,
    ) -> Result<(), NotUnderstood> {
        let start = self.facts.instances.len();
        let last_right = tree.joins.iter().rposition(is_right_join);
        self.factor(&tree.relation, nullable || last_right.is_some(), scope, clauses)?;
        for (index, join) in tree.joins.iter().enumerate() {
            let left = start..self.facts.instances.len();
            let nullable = nullable || last_right.is_some_and(|last| last > index);
            let (constraint, kind) = match &join.join_operator {
                JoinOperator::Join(c)
                | JoinOperator::Inner(c)
                | JoinOperator::CrossJoin(c)
                | JoinOperator::StraightJoin(c) => {
                    (c, if nullable { OnKind::NullableInner } else { OnKind::Inner })
                }
                JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (c, OnKind::Left),
                JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (c, OnKind::Right),
                _ => return unsupported("this kind of join"),
            };
            self.factor(&join.relation, nullable || kind == OnKind::Left, scope, clauses)?;
            let right = left.end..self.facts.instances.len();
            clauses.push(OnClause { constraint, left, right, kind });
        }
        Ok(())
    }

    fn factor<'e>(
        &mut self,
        factor: &'e TableFactor,
        nullable: bool,
        scope: usize,
        clauses: &mut Vec<OnClause<'e>>,
    ) -> Result<(), NotUnderstood> {
        match factor {
            TableFactor::Table { name, alias, args: None, version: None, sample: None, .. } => {
                let alias = alias.as_ref().map(|alias| alias.name.value.as_str());
                self.table(name, alias, scope)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.join_tree(table_with_joins, nullable, scope, clauses)
            }
            TableFactor::Derived { .. } => {
                self.facts.scopes[scope].opaque = true;
                Ok(())
            }
            _ => unsupported("this table expression"),
        }
    }

    fn table(
        &mut self,
        name: &ObjectName,
        alias: Option<&str>,
        scope: usize,
    ) -> Result<(), NotUnderstood> {
        let parts = name_parts(name)?;
        let (database, table) = match parts.as_slice() {
            [table] => (None, *table),
            [database, table] => (Some(database.value.clone()), *table),
            _ => return unsupported("a table's name of three parts"),
        };
        if let Some(first) = parts.first().and_then(|part| piece_of(&part.span)) {
            self.bound_names.insert(first);
        }
        let is_dual = table.quote_style.is_none() && table.value.eq_ignore_ascii_case("dual");
        if database.is_none() && is_dual {
            return Ok(());
        }
        let is_cte = database.is_none()
            && !self.cte_names.is_empty()
            && self.cte_names.contains(&table.value.to_lowercase());
        if is_cte {
            self.facts.scopes[scope].opaque = true;
        }
        let Some(database) = database.or_else(|| self.database.map(str::to_owned)) else {
            self.facts.lacks_database |= !is_cte;
            return Ok(());
        };
        let found = find_table(self.catalog, &database, &table.value);
        if is_cte && found.is_none() {
            return Ok(());
        }
        if self.facts.instances.len() >= INSTANCES_MAX {
            return unsupported("a statement with so many tables");
        }
        self.facts.instances.push(Instance {
            table: found,
            name: alias.unwrap_or(&table.value).to_owned(),
            database,
            aliased: alias.is_some(),
            scope,
        });
        Ok(())
    }

    fn try_query(&mut self, query: &Query) -> Result<(), NotUnderstood> {
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                self.cte_names.insert(cte.alias.name.value.to_lowercase());
            }
        }
        let mut bodies = vec![query.body.as_ref()];
        while let Some(body) = bodies.pop() {
            match body {
                SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => {}
                SetExpr::SetOperation { left, right, .. } => {
                    self.facts.has_set_operation = true;
                    bodies.extend([left.as_ref(), right.as_ref()]);
                }
                _ => return unsupported("this kind of query"),
            }
        }
        Ok(())
    }

    fn try_statement(&mut self, statement: &Statement) -> Result<(), NotUnderstood> {
        match statement {
            Statement::Query(_) => Ok(()),
            Statement::Update(update) if update.from.is_none() => {
                self.scope(std::slice::from_ref(&update.table), update.selection.as_ref())
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) =
                    &delete.from;
                match &delete.using {
                    Some(using) => {
                        self.note_names(from);
                        self.scope(using, delete.selection.as_ref())
                    }
                    None => self.scope(from, delete.selection.as_ref()),
                }
            }
            Statement::Insert(insert) => {
                if let TableObject::TableName(name) = &insert.table {
                    let start = self.facts.instances.len();
                    let scope = self.facts.scopes.len();
                    self.facts.scopes.push(Scope {
                        parent: None,
                        instances: start..start,
                        opaque: false,
                    });
                    self.table(name, None, scope)?;
                    self.facts.scopes[scope].instances = start..self.facts.instances.len();
                    Ok(())
                } else {
                    unsupported("this INSERT")
                }
            }
            _ => unsupported("this kind of statement"),
        }
    }

    /// Tables that are named again elsewhere.
    fn note_names(&mut self, from: &[TableWithJoins]) {
        for tree in from {
            if let TableFactor::Table { name, .. } = &tree.relation
                && let Ok(parts) = name_parts(name)
                && let Some(first) = parts.first().and_then(|part| piece_of(&part.span))
            {
                self.bound_names.insert(first);
            }
        }
    }
}

fn is_right_join(join: &Join) -> bool {
    matches!(join.join_operator, JoinOperator::Right(_) | JoinOperator::RightOuter(_))
}

fn name_parts(name: &ObjectName) -> Result<Vec<&Ident>, NotUnderstood> {
    match name.0.iter().map(|part| part.as_ident()).collect::<Option<Vec<_>>>() {
        Some(parts) => Ok(parts),
        None => unsupported("this name"),
    }
}

fn flow(result: Result<(), NotUnderstood>) -> Flow {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl Visitor for Binder<'_> {
    type Break = NotUnderstood;

    fn pre_visit_statement(&mut self, statement: &Statement) -> Flow {
        flow(self.try_statement(statement))
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        flow(self.try_query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        self.facts.selects += 1;
        flow(self.scope(&select.from, select.selection.as_ref()))
    }

    fn post_visit_select(&mut self, _select: &Select) -> Flow {
        self.stack.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        if let TableFactor::Derived { lateral: false, .. } = factor {
            // A derived table does not see the tables beside it.
            let around = self.stack.last().copied().flatten();
            self.stack.push(around.and_then(|scope| self.facts.scopes[scope].parent));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        if let TableFactor::Derived { lateral: false, .. } = factor {
            self.stack.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> Flow {
        let first = name_parts(relation).ok().and_then(|parts| piece_of(&parts.first()?.span));
        match first {
            Some(first) if self.bound_names.contains(&first) => ControlFlow::Continue(()),
            _ => flow(unsupported("a table named in this place")),
        }
    }
}

/// The parts of a column's name in the tree; None when it is none (a user variable).
pub(crate) fn column_parts<'e>(expr: &'e Expr, pieces: &Pieces<'_>) -> Option<Vec<&'e str>> {
    let idents: &[Ident] = match expr {
        Expr::Identifier(ident) => std::slice::from_ref(ident),
        Expr::CompoundIdentifier(idents) => idents,
        _ => return None,
    };
    let is_name = |ident: &Ident| {
        let kind = piece_of(&ident.span).and_then(|piece| pieces.kind(piece));
        matches!(kind, Some(TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::Introducer))
    };
    idents.iter().all(is_name).then(|| idents.iter().map(|ident| ident.value.as_str()).collect())
}
