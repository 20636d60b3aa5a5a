//! INSERT and REPLACE: where each row belongs, and which rows get an id from the
//! cluster's sequence. Read from pieces alone: a bulk INSERT needs no tree.

pub(crate) mod bind;
mod pushed;
pub(crate) mod read;

use crate::{
    bind::{column_index, find_table, is_system_schema},
    conjunct::ValueRef,
    lexer::TokenKind,
    parse::NotUnderstood,
    plan::{InsertId, Refusal, Target, Traits},
    planner::{
        Context, functions,
        insert::read::{Head, Source},
        modify,
        rehearse::{Changed, How, RehearsalForm},
        strangers::Strangers,
        untold,
    },
    route::Route,
    template::{Fixed, Form},
    touch::{
        Touching,
        insert::{PrimaryPlaces, reassigns},
    },
};
use shardline_model::{
    catalog::{Column, Table, TableKind},
    key::KeyType,
};
use std::{ops::Range, sync::Arc};

/// An INSERT into a table whose rows or ids the cluster places.
#[derive(Debug)]
pub(crate) struct InsertForm {
    pub(crate) table: Arc<Table>,
    pub(crate) traits: Traits,
    pub(crate) layout: Layout,
    pub(crate) rows: Vec<Row>,
    /// The shard key of a sharded table: for each column where its value is.
    pub(crate) key: Vec<ColumnPlace>,
    /// The types of those columns.
    pub(crate) key_types: Vec<KeyType>,
    /// The AUTO_INCREMENT column, where the table has one.
    pub(crate) auto: Option<ColumnPlace>,
    /// Where the primary key of a broadcast or single table is, when the rows' primary
    /// keys are all that the statement touches.
    pub(crate) primary: Option<PrimaryPlaces>,
    /// A unique key without the shard key, which only generated ids keep unique.
    pub(crate) id_is_uncovered: bool,
    /// ON DUPLICATE KEY UPDATE may assign the AUTO_INCREMENT column.
    pub(crate) reassigns_id: bool,
    /// Explicit ids are refused.
    pub(crate) ids_only_generated: bool,
    /// Tables of subqueries.
    pub(crate) others: Route,
    pub(crate) returning: bool,
    pub(crate) touching: Touching,
    /// The session's database, by which it is read again when its rows are brought together.
    pub(crate) database: Option<Box<str>>,
}

/// Where the parts of the text are.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Up to the first row (or behind SET).
    pub(crate) head: Range<usize>,
    pub(crate) tail: Range<usize>,
    /// The closing parenthesis of the column list, and whether the list is empty.
    pub(crate) list_close: Option<(usize, bool)>,
    /// VALUES, VALUE or SET.
    pub(crate) values_word: usize,
    /// It is the SET form.
    pub(crate) set_form: bool,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    /// With its parentheses; the assignments in the SET form.
    pub(crate) pieces: Range<usize>,
    /// The value of each listed column.
    pub(crate) values: Vec<(Range<usize>, Source)>,
}

/// A column and which of a row's values it takes.
#[derive(Clone, Debug)]
pub(crate) struct ColumnPlace {
    pub(crate) column: usize,
    /// None when the statement leaves it out.
    pub(crate) position: Option<usize>,
    /// The column's default, when it is a literal.
    pub(crate) default: Option<Default>,
}

/// A column's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Default {
    /// As SQL.
    pub(crate) text: String,
}

/// Plans INSERT or REPLACE.
pub(crate) fn plan(context: &Context<'_>) -> Result<Form, Refusal> {
    let Some(head) = read::head(context.pieces) else {
        let error = NotUnderstood { reason: "this form of INSERT is not understood".into() };
        return untold::plan(context, &error);
    };
    let database = match (&head.database, context.view.database) {
        (Some(database), _) => database.clone(),
        (None, Some(database)) => database.to_owned(),
        (None, None) => return Err(Refusal::no_database()),
    };
    let pieces = context.pieces;
    let returning = (0..pieces.len()).any(|index| pieces.is_word(index, "RETURNING"));
    let assigns_variables = functions::assigns_variables(pieces);
    let traits = Traits {
        writes: true,
        opens_no_snapshot: !head.query && functions::locks_all_it_reads(pieces, head.body),
        returns_rows: returning,
        assigns_variables,
        ..Traits::default()
    };
    let Some(table) = find_table(context.catalog, &database, &head.table) else {
        if is_system_schema(&database) {
            return Err(Refusal::not_supported(
                format!("writing to schema {database} would change one shard only"),
                "use the statements of the proxy to change users and settings",
            ));
        }
        return untold::plan(
            context,
            &NotUnderstood { reason: "the table is not in the catalog".into() },
        );
    };
    if table.is_view {
        return Err(Refusal::not_supported(
            format!("'{database}.{}' is a view", table.name),
            "insert into the view's table",
        ));
    }
    let others = others(context, &head)?;
    if let TableKind::Single { shard } = &table.kind {
        let alone =
            others.tables.is_empty() && (others.homes.is_empty() || others.homes == [*shard]);
        if alone {
            return Ok(Form::Fixed(Fixed {
                target: Target::Shard(*shard),
                traits,
                insert_id: InsertId::FromServer,
                touching: Touching::in_text(&table),
            }));
        }
    }
    let only_generated = !context.view.allow_explicit_ids && id_is_uncovered(&table);
    if head.query {
        return plan_query(context, &head, &table, others, traits, only_generated);
    }
    match placed(context, &head, table.clone(), others, traits) {
        Err(refusal) if refusal.is_of_shards() => {
            let form = rehearsed(context, &table, traits, only_generated, &refusal)?;
            Ok(Form::Rehearse(Box::new(form)))
        }
        placed => placed.map(Form::Insert),
    }
}

/// How it is done on one server.
pub(crate) fn rehearsed(
    context: &Context<'_>,
    table: &Arc<Table>,
    traits: Traits,
    only_generated: bool,
    refusal: &Refusal,
) -> Result<RehearsalForm, Refusal> {
    let pieces = context.pieces;
    let (statement, facts) = context.facts().map_err(|_| refusal.clone())?;
    context.check_tables(&facts)?;
    let replaces = pieces.is_word(0, "REPLACE");
    let meets = replaces
        || (1..4).any(|index| pieces.is_word(index, "IGNORE"))
        || (0..pieces.len()).any(|index| pieces.are_words(index, &["ON", "DUPLICATE", "KEY"]));
    let how = match meets {
        true => How::Meets { only_generated, replaces },
        false => How::Adds { only_generated },
    };
    let changed = vec![Changed { table: table.clone(), how }];
    RehearsalForm::of(context, &statement, &facts, changed, traits, refusal.reason.clone())
}

/// The tables of subqueries and of INSERT ... SELECT.
fn others(context: &Context<'_>, head: &Head) -> Result<Route, Refusal> {
    let pieces = context.pieces;
    let reads = (0..pieces.len()).any(|i| pieces.is_any_word(i, &["SELECT", "TABLE", "WITH"]));
    if !reads && !head.query {
        return Ok(Route::default());
    }
    let (_, mut facts) = context.facts().map_err(|error| context.refuse_not_understood(&error))?;
    context.check_tables(&facts)?;
    // The first instance is the table that is inserted into.
    if let Some(target) = facts.instances.first_mut() {
        target.table = None;
    }
    Ok(Route::of(&facts))
}

/// INSERT ... SELECT: on one shard where that has all of it, or on each for its own rows.
fn plan_query(
    context: &Context<'_>,
    head: &Head,
    table: &Arc<Table>,
    others: Route,
    traits: Traits,
    only_generated: bool,
) -> Result<Form, Refusal> {
    let refusal = Refusal::not_supported(
        format!("INSERT ... SELECT into '{}' reads or writes several shards", table.name),
        "SELECT the rows and INSERT them with VALUES",
    );
    let rehearsed = || rehearsed(context, table, traits, only_generated, &refusal);
    let one_shard = context.catalog.shards.len() == 1;
    let mut route = others;
    let (several, insert_id) = match &table.kind {
        TableKind::Single { shard } => {
            if !route.homes.contains(shard) {
                route.homes.push(*shard);
            }
            (Err(refusal.clone()), InsertId::FromServer)
        }
        TableKind::Sharded(_) if !one_shard && is_pushed(context, head, table) => {
            (Ok(()), InsertId::None)
        }
        TableKind::Sharded(_) | TableKind::Broadcast => {
            // Ids are of the cluster's sequence.
            let shard = context.catalog.shards.keys().next();
            let shard = shard.filter(|_| one_shard && table.auto_increment.is_none());
            return Ok(match shard {
                None => Form::Rehearse(Box::new(rehearsed()?)),
                Some(shard) => Form::Fixed(Fixed {
                    target: Target::Shard(*shard),
                    traits,
                    insert_id: InsertId::FromServer,
                    touching: Touching::of_tables([table.as_ref()]),
                }),
            });
        }
    };
    let otherwise = several.is_err().then(|| Box::new(rehearsed()));
    Ok(Form::Modify(modify::ModifyForm {
        route,
        traits,
        insert_id,
        copies: false,
        several,
        key_assignments: Vec::new(),
        table: table.name.clone(),
        touching: Touching::of_tables([table.as_ref()]),
        strangers: Strangers::default(),
        otherwise,
    }))
}

fn is_pushed(context: &Context<'_>, head: &Head, table: &Table) -> bool {
    let (pieces, catalog) = (context.pieces, context.catalog);
    context.facts().is_ok_and(|(statement, facts)| {
        pushed::is_pushed(pieces, catalog, head, table, &statement, &facts)
    })
}

fn placed(
    context: &Context<'_>,
    head: &Head,
    table: Arc<Table>,
    others: Route,
    traits: Traits,
) -> Result<InsertForm, Refusal> {
    let columns = listed_columns(head, &table)?;
    let body = read::body(context.pieces, head, columns.len());
    let Some((layout, rows)) = body else {
        return Err(Refusal::syntax(
            "the rows of this INSERT are not understood",
            "write INSERT INTO table (columns) VALUES (values), ...",
        ));
    };
    check_counts(&layout, &rows, columns.len())?;
    let empty = rows.iter().all(|row| row.values.is_empty());
    let place = |column: usize| ColumnPlace {
        column,
        position: columns.iter().position(|listed| *listed == column).filter(|_| !empty),
        default: table.columns[column].default.clone().map(|text| Default { text }),
    };
    let auto = table.auto_increment.map(place);
    let hidden = auto.as_ref().is_some_and(|auto| auto.position.is_none())
        && !empty
        && layout.list_close.is_none()
        && !layout.set_form;
    if hidden {
        return Err(Refusal::not_supported(
            "the AUTO_INCREMENT column is not among the columns of an INSERT without a column list",
            "write the column list",
        ));
    }
    let key = table.sharding().map(|s| s.key_columns.iter().copied().map(place).collect());
    let key: Vec<ColumnPlace> = key.unwrap_or_default();
    if table.sharding().is_none() {
        check_copy(context, &table, &columns, empty)?;
    }
    check_duplicate_key(context, &table, &layout)?;
    let id_is_uncovered = id_is_uncovered(&table);
    let reassigns_id = table
        .auto_increment
        .is_some_and(|id| reassigns(&table, context.pieces, layout.tail.clone(), &[id]));
    let primary = match &table.kind {
        TableKind::Sharded(_) => None,
        TableKind::Broadcast | TableKind::Single { .. } => {
            PrimaryPlaces::of(&table, context.pieces, layout.tail.clone(), place)
        }
    };
    let key_types = table.key_types().map_err(|error| {
        Refusal::not_supported(error.to_string(), "declare the table again with a supported key")
    })?;
    Ok(InsertForm {
        returning: traits.returns_rows,
        traits,
        layout,
        rows,
        key,
        key_types,
        auto,
        primary,
        ids_only_generated: !context.view.allow_explicit_ids && id_is_uncovered,
        id_is_uncovered,
        reassigns_id,
        touching: Touching::in_form(&table),
        database: context.view.database.map(Into::into),
        others,
        table,
    })
}

/// Every listed column has one value, or a row is empty and has the defaults.
fn check_counts(layout: &Layout, rows: &[Row], columns: usize) -> Result<(), Refusal> {
    for (number, row) in rows.iter().enumerate() {
        let empty = row.values.is_empty() && layout.list_close.is_none_or(|(_, empty)| empty);
        if row.values.len() != columns && !empty {
            return Err(Refusal {
                code: 1136,
                reason: format!("Column count doesn't match value count at row {}", number + 1),
                hint: "give every listed column one value".into(),
            });
        }
    }
    Ok(())
}

/// The columns that a row's values are for.
pub(crate) fn listed_columns(head: &Head, table: &Table) -> Result<Vec<usize>, Refusal> {
    let Some(names) = &head.columns else {
        return Ok((0..table.columns.len()).filter(|i| !table.columns[*i].invisible).collect());
    };
    let find = |name: &String| {
        column_index(table, name).ok_or_else(|| Refusal {
            code: 1054,
            reason: format!("Unknown column '{name}' in 'field list'"),
            hint: format!("SHOW COLUMNS FROM `{}` lists the columns", table.name),
        })
    };
    names.iter().map(find).collect()
}

/// A unique key without the shard key, which only generated ids keep unique.
fn id_is_uncovered(table: &Table) -> bool {
    let (Some(auto), Some(sharding)) = (table.auto_increment, table.sharding()) else {
        return false;
    };
    let is = |column: usize, name: &str| table.columns[column].name.eq_ignore_ascii_case(name);
    table.unique_keys.iter().any(|key| {
        let has = |column: usize| key.columns.iter().any(|name| is(column, name));
        has(auto) && !sharding.key_columns.iter().all(|column| has(*column))
    })
}

/// Every copy of a broadcast row must be the same.
fn check_copy(
    context: &Context<'_>,
    table: &Table,
    columns: &[usize],
    empty: bool,
) -> Result<(), Refusal> {
    modify::refuse_volatile(context)?;
    if context.catalog.shards.len() == 1 {
        return Ok(());
    }
    for (index, column) in table.columns.iter().enumerate() {
        let computed = column.default.as_ref().is_some_and(|text| is_computed(column, text));
        let omitted = empty || !columns.contains(&index);
        if computed && omitted && !column.generated && table.auto_increment != Some(index) {
            return Err(Refusal::not_supported(
                format!(
                    "the default of column '{}' would give every copy of broadcast table '{}' another value",
                    column.name, table.name
                ),
                "give the column a value in the statement",
            ));
        }
    }
    Ok(())
}

/// Whether a default is an expression. MariaDB prints `current_timestamp()`, MySQL
/// `CURRENT_TIMESTAMP`.
fn is_computed(column: &Column, default: &str) -> bool {
    let is_time = ["timestamp", "datetime"].iter().any(|name| column.column_type.starts_with(name));
    default.contains('(')
        || (is_time && default.to_ascii_lowercase().starts_with("current_timestamp"))
}

/// ON DUPLICATE KEY UPDATE must leave the shard key alone.
fn check_duplicate_key(
    context: &Context<'_>,
    table: &Table,
    layout: &Layout,
) -> Result<(), Refusal> {
    let pieces = context.pieces;
    let tail = layout.tail.clone();
    let Some(on) =
        tail.clone().find(|i| pieces.are_words(*i, &["ON", "DUPLICATE", "KEY", "UPDATE"]))
    else {
        return Ok(());
    };
    let end = tail.clone().find(|i| pieces.is_word(*i, "RETURNING")).unwrap_or(tail.end);
    for assignment in pieces.split_commas(on + 4..end) {
        let equal = assignment.clone().find(|i| pieces.is(*i, TokenKind::Equal));
        let name = equal.and_then(|equal| pieces.identifier(equal.checked_sub(1)?));
        let Some(name) = name else { continue };
        let column = column_index(table, &name);
        let keys = table.sharding().map(|s| s.key_columns.as_slice()).unwrap_or_default();
        let value = equal.map_or(assignment.end, |equal| equal + 1);
        let same = pieces.is_any_word(value, &["VALUES", "VALUE"])
            && pieces.identifier(value + 2).and_then(|n| column_index(table, &n)) == column
            && value + 4 == assignment.end;
        if column.is_some_and(|column| keys.contains(&column)) && !same {
            return Err(Refusal::not_supported(
                format!(
                    "ON DUPLICATE KEY UPDATE of the shard key column '{name}' would move the row"
                ),
                "leave the shard key out of the update",
            ));
        }
    }
    Ok(())
}

/// Whether a value can be told when the statement is bound.
pub(crate) fn known(source: &Source) -> Option<ValueRef> {
    match source {
        Source::Value(value) => Some(*value),
        Source::Default | Source::Expression => None,
    }
}
