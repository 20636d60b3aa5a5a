//! `Compute`: any other SELECT. The tables that the statement names are filled, on one server,
//! with the rows that can matter to it, under their own names; then the statement runs there as
//! it is written. So the plan has to know which tables those are, not what becomes of their
//! rows: what is not understood is brought as a whole.
//!
//! Each reference to a table says which of its rows can matter: those on the shards that its
//! shard key reaches, and of them those that meet the top conditions of WHERE that speak of that
//! reference alone. A table gets the rows that matter to any of its references.

pub(crate) mod columns;
mod filter;
mod render;

use crate::{
    bind::{Facts, is_system_schema},
    lexer::TokenKind,
    parse::{self, Pieces, into_variables},
    plan::{
        Compute, Fetch, FetchColumn, InsertId, Plan, Refusal, ShardSql, ShardStatement, Single,
        TableName, Target, Traits, Whole,
    },
    planner::{
        Context,
        compute::{
            columns::Needed,
            filter::{Filter, Finder},
        },
        rehearse::Changed,
        scatter::ScatterForm,
        strangers,
    },
    route::{Pins, Reach, TableRoute, Values},
    template::{BindError, Editor},
};
use shardline_model::{
    catalog::{Catalog, Table, TableKind},
    id::ShardId,
    predicate::quote_identifier,
};
use sqlparser::ast::Statement;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Most tables that are brought to one server for one statement.
const TABLES_MAX: usize = 64;

/// A SELECT that one server can answer when it has the rows.
#[derive(Debug)]
pub(crate) struct ComputeForm {
    tables: Vec<Brought>,
    traits: Traits,
}

/// A table of the statement.
#[derive(Debug)]
struct Brought {
    table: Arc<Table>,
    columns: Vec<FetchColumn>,
    complete: bool,
    /// What is known of each reference to it.
    references: Vec<Reference>,
    /// All rows matter.
    whole: bool,
    /// The statement is a write.
    lock: Option<Lock>,
    /// On which shards it may have rows of others, and which those are.
    strangers: BTreeMap<ShardId, String>,
}

/// The rows that matter to one reference to a table.
#[derive(Debug)]
struct Reference {
    /// None for what is not sharded.
    route: Option<TableRoute>,
    filters: Vec<Filter>,
}

/// How a write locks the rows that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    /// It changes them.
    Update,
    /// It looks at them.
    Share,
}

impl ComputeForm {
    /// That of a query which is understood.
    ///
    /// # Errors
    /// What even one server with all of the rows would not answer as it should.
    pub(crate) fn of_query(
        pieces: &Pieces<'_>,
        catalog: &Catalog,
        statement: &Statement,
        facts: &Facts,
        traits: Traits,
    ) -> Result<Self, Refusal> {
        check(pieces, traits)?;
        let tables = references(pieces, statement, facts, traits, None)?;
        Self::of_tables(pieces, catalog, tables, traits)
    }

    /// That of a write which is understood; its targets' rows come with numbers and all columns.
    ///
    /// # Errors
    /// As for [`Self::of_query`].
    pub(crate) fn of_write(
        context: &Context<'_>,
        statement: &Statement,
        facts: &Facts,
        traits: Traits,
        targets: &[Changed],
    ) -> Result<Self, Refusal> {
        let pieces = context.pieces;
        // The table that an INSERT names first is not read by that.
        let unread = matches!(statement, Statement::Insert(_)).then_some(0);
        let tables = references(pieces, statement, facts, traits, unread)?;
        let mut form = Self::of_tables(pieces, context.catalog, tables, traits)?;
        for brought in &mut form.tables {
            let target = targets.iter().position(|one| one.table.id == brought.table.id);
            brought.lock = Some(if target.is_some() { Lock::Update } else { Lock::Share });
            let Some(number) = target else { continue };
            brought.whole |= targets[number].how.needs_all();
            brought.columns = columns::all(&brought.table)?;
            brought.complete = true;
        }
        Ok(form)
    }

    /// The plan of one execution of a write.
    pub(crate) fn bound(
        &self,
        values: &Values<'_>,
        catalog: &Catalog,
        sql: ShardSql,
        traits: Traits,
    ) -> Compute {
        let statement =
            Single { target: Target::Any, sql, traits, insert_id: InsertId::FromServer };
        let fetches = self.tables.iter().map(|brought| brought.fetch(values, catalog, None));
        Compute { statement, fetches: fetches.collect(), home: None }
    }

    fn of_tables(
        pieces: &Pieces<'_>,
        catalog: &Catalog,
        tables: Referenced,
        traits: Traits,
    ) -> Result<Self, Refusal> {
        if tables.len() > TABLES_MAX {
            return Err(Refusal::not_supported(
                format!("more than {TABLES_MAX} tables are read in one statement"),
                "read some of them in statements of their own",
            ));
        }
        let needed = Needed::of(pieces);
        let mut brought = Vec::with_capacity(tables.len());
        for (table, references) in tables {
            let strangers = match strangers::of_table(&table, "", catalog) {
                Some(strangers) => strangers,
                None if table.sharding().is_none() => BTreeMap::new(),
                // Without it rows of others could be counted twice.
                None => {
                    return Err(Refusal::not_supported(
                        format!("whose each row of table '{}' is cannot be told", table.name),
                        "give the shard key a value in WHERE",
                    ));
                }
            };
            let (columns, complete) = needed.columns(&table)?;
            let (whole, lock) = (false, None);
            brought.push(Brought { table, columns, complete, references, whole, lock, strangers });
        }
        Ok(Self { tables: brought, traits })
    }
}

/// Tables, and what is known of each reference to them.
type Referenced = Vec<(Arc<Table>, Vec<Reference>)>;

/// Those of a statement that is understood.
fn references(
    pieces: &Pieces<'_>,
    statement: &Statement,
    facts: &Facts,
    traits: Traits,
    unread: Option<usize>,
) -> Result<Referenced, Refusal> {
    // An assignment in the statement may depend on every row that it looks at.
    let filters = match traits.assigns_variables {
        true => facts.instances.iter().map(|_| Vec::new()).collect(),
        false => Finder::find(statement, facts, pieces),
    };
    let mut tables = Referenced::new();
    for (instance, filters) in (0..facts.instances.len()).zip(filters) {
        let bound = &facts.instances[instance];
        let Some(table) = &bound.table else {
            return Err(Refusal::not_supported(
                format!("'{}.{}' is not in the catalog", bound.database, bound.name),
                "read it in a statement of its own",
            ));
        };
        let route = bound.sharding().map(|sharding| TableRoute {
            group: sharding.group,
            pins: Pins::of_shard_key(facts, instance, table, sharding),
        });
        let reference = (unread != Some(instance)).then_some(Reference { route, filters });
        match tables.iter_mut().find(|(known, _)| known.id == table.id) {
            Some((_, references)) => references.extend(reference),
            None => tables.push((table.clone(), reference.into_iter().collect())),
        }
    }
    Ok(tables)
}

impl ComputeForm {
    /// That of a query that several shards could answer but for its values.
    ///
    /// # Errors
    /// As for [`Self::of_query`].
    pub(crate) fn of_scatter(
        pieces: &Pieces<'_>,
        catalog: &Catalog,
        scatter: &ScatterForm,
        traits: Traits,
    ) -> Result<Self, Refusal> {
        let parsed = parse::parse(pieces).map_err(|error| {
            Refusal::not_supported(error.reason, "write it with simpler syntax")
        })?;
        Self::of_query(pieces, catalog, &parsed.statement, &scatter.facts, traits)
    }

    /// That of a query of which only the tables are known that it could name.
    ///
    /// # Errors
    /// As for [`Self::of_query`].
    pub(crate) fn of_names(
        context: &Context<'_>,
        tables: Vec<Arc<Table>>,
        traits: Traits,
    ) -> Result<Self, Refusal> {
        let pieces = context.pieces;
        check(pieces, traits)?;
        let system = (0..pieces.len()).find(|index| {
            pieces.is(index + 1, TokenKind::Dot)
                && pieces.identifier(*index).is_some_and(|name| is_system_schema(&name))
        });
        if system.is_some() {
            return Err(Refusal::not_supported(
                "tables of one server and tables on several shards are read in one statement",
                "read them in statements of their own",
            ));
        }
        let tables = tables.into_iter().map(|table| (table, Vec::new())).collect();
        let mut form = Self::of_tables(pieces, context.catalog, tables, traits)?;
        form.tables.iter_mut().for_each(|brought| brought.whole = true);
        Ok(form)
    }
}

/// What no plan of this kind can have.
fn check(pieces: &Pieces<'_>, traits: Traits) -> Result<(), Refusal> {
    if traits.writes {
        return Err(Refusal::not_supported(
            "a query that changes rows needs rows of several shards in one place",
            "SELECT first, then change by key",
        ));
    }
    if traits.locks {
        return Err(Refusal::not_supported(
            "rows are locked by a query that needs rows of several shards in one place",
            "lock them by plain SELECTs of one table each, then send the query without FOR UPDATE",
        ));
    }
    let into = (0..pieces.len())
        .find(|index| pieces.is_word(*index, "INTO") && into_variables(pieces, *index) == 0);
    if into.is_some() {
        return Err(Refusal::not_supported(
            "the rows of several shards cannot be written to a file of one server",
            "leave INTO out and write the file at the client",
        ));
    }
    Ok(())
}

/// The plan for one execution.
pub(crate) fn bind(
    form: &ComputeForm,
    values: &Values<'_>,
    catalog: &Catalog,
    select_limit: Option<u64>,
    editor: &Editor<'_>,
) -> Result<Plan, BindError> {
    let sql = editor.single(Vec::new(), false).map_err(BindError::Refused)?;
    let statement =
        Single { target: Target::Any, sql, traits: form.traits, insert_id: InsertId::None };
    let home = form.tables.iter().find_map(|brought| match brought.table.kind {
        TableKind::Single { shard } => Some(shard),
        TableKind::Sharded(_) | TableKind::Broadcast => None,
    });
    let fetches = form.tables.iter();
    let fetches = fetches.map(|brought| brought.fetch(values, catalog, select_limit)).collect();
    Ok(Plan::Compute(Box::new(Compute { statement, fetches, home })))
}

impl Brought {
    fn fetch(&self, values: &Values<'_>, catalog: &Catalog, select_limit: Option<u64>) -> Fetch {
        let Table { database, name, columns, .. } = self.table.as_ref();
        let (mut shards, whole): (BTreeSet<ShardId>, Whole) = match &self.table.kind {
            TableKind::Sharded(_) => (self.reached(values, catalog), Whole::Nowhere),
            TableKind::Single { shard } => ([*shard].into(), Whole::On(*shard)),
            TableKind::Broadcast => {
                (catalog.shards.keys().next().copied().into_iter().collect(), Whole::Everywhere)
            }
        };
        if !self.whole && self.references.is_empty() {
            shards.clear();
        }
        let mut head = b"SELECT ".to_vec();
        for (number, column) in self.columns.iter().enumerate() {
            head.extend_from_slice(if number > 0 { b"," } else { b"" });
            columns::select(&self.table, column, &mut head);
        }
        let from = format!(" FROM {}.{}", quote_identifier(database), quote_identifier(name));
        head.extend_from_slice(from.as_bytes());
        let condition = self.condition(values);
        let shown = columns.iter().filter(|column| !column.invisible);
        let part = |shard: ShardId| {
            let mut sql = head.clone();
            let stranger = self.strangers.get(&shard).map(|text| format!("NOT {text}"));
            let conditions = [condition.clone(), stranger.map(String::into_bytes)];
            for (number, text) in conditions.into_iter().flatten().enumerate() {
                sql.extend_from_slice(if number > 0 { b" AND " } else { b" WHERE " });
                sql.extend_from_slice(&text);
            }
            if select_limit.is_some() {
                // The session's limit is for what the client gets.
                sql.extend_from_slice(format!(" LIMIT {}", u64::MAX).as_bytes());
            }
            sql.extend_from_slice(match self.lock {
                None => b"",
                Some(Lock::Update) => b" FOR UPDATE",
                Some(Lock::Share) => b" LOCK IN SHARE MODE",
            });
            ShardStatement { shard, sql }
        };
        Fetch {
            table: TableName { database: database.clone(), table: name.clone() },
            whole,
            shown: shown.map(|column| column.name.clone()).collect(),
            columns: self.columns.clone(),
            complete: self.complete,
            parts: shards.into_iter().map(part).collect(),
            locked: self.lock == Some(Lock::Update),
        }
    }

    /// The shards of the rows that matter to any reference.
    fn reached(&self, values: &Values<'_>, catalog: &Catalog) -> BTreeSet<ShardId> {
        let mut shards = BTreeSet::new();
        for reference in self.references.iter().filter(|_| !self.whole) {
            match reference.route.as_ref().map(|route| route.reach(values, catalog)) {
                Some(Reach::Nowhere) | None => {}
                Some(Reach::One(shard)) => _ = shards.insert(shard),
                Some(Reach::Many(more)) => shards.extend(more),
            }
        }
        if !self.whole {
            return shards;
        }
        let TableKind::Sharded(sharding) = &self.table.kind else { return shards };
        let group = catalog.groups.get(&sharding.group);
        group.map(|group| group.placement.shards()).unwrap_or_default()
    }

    /// What the rows meet that matter to any reference; None when all may matter to one.
    fn condition(&self, values: &Values<'_>) -> Option<Vec<u8>> {
        let mut either: Vec<Vec<u8>> = Vec::new();
        for reference in self.references.iter().filter(|_| !self.whole) {
            let terms = reference.filters.iter();
            let terms: Vec<_> = terms.filter_map(|one| one.sql(&self.table, values)).collect();
            if terms.is_empty() {
                return None;
            }
            let both = terms.join(&b" AND "[..]);
            if !either.contains(&both) {
                either.push(both);
            }
        }
        match either.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => {
                let mut text = b"(".to_vec();
                text.extend_from_slice(&several.join(&b" OR "[..]));
                text.push(b')');
                Some(text)
            }
        }
    }
}
