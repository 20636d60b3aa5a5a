//! INSERT ... SELECT that every shard can do for its own rows: the rows of the query come from
//! one sharded table, and take its shard key along into the same colocation group.

use crate::{
    bind::{Facts, column_parts},
    parse::Pieces,
    planner::{
        functions,
        insert::{listed_columns, read::Head},
    },
    touch::insert::reassigns,
};
use shardline_model::catalog::{Catalog, Table};
use sqlparser::ast::{Expr, Select, SelectItem, SetExpr, Statement};

/// Words of queries whose rows are not those of each shard put together.
const OVER_ROWS: &[&str] = &[
    "LIMIT",
    "OFFSET",
    "FETCH",
    "DISTINCT",
    "DISTINCTROW",
    "GROUP",
    "HAVING",
    "WINDOW",
    "OVER",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "PROCEDURE",
    "RETURNING",
    "SQL_CALC_FOUND_ROWS",
];

/// Whether it is one. `statement` and `facts` are those of the INSERT, whose first instance is its
/// table.
pub(crate) fn is_pushed(
    pieces: &Pieces<'_>,
    catalog: &Catalog,
    head: &Head,
    table: &Table,
    statement: &Statement,
    facts: &Facts,
) -> bool {
    let Some(sharding) = table.sharding() else { return false };
    let over_rows = (0..pieces.len()).any(|index| pieces.is_any_word(index, OVER_ROWS));
    // The query itself is the one SELECT of the statement.
    let row_by_row = functions::locks_all_it_reads(pieces, head.body + 1);
    let moving = !catalog.moves.is_empty() || !catalog.reshards.is_empty();
    if over_rows
        || !row_by_row
        || moving
        || table.auto_increment.is_some()
        || facts.selects != 1
        || !facts.outer_joins.is_empty()
        || functions::assigns_variables(pieces)
        || functions::volatile(pieces).is_some()
        || reassigns(table, pieces, 0..pieces.len(), &sharding.key_columns)
    {
        return false;
    }
    let Some(select) = select_of(statement) else { return false };
    // Behind the INSERT's own table.
    let mut sharded =
        (1..facts.instances.len()).filter(|i| facts.instances[*i].sharding().is_some());
    let (Some(source), None) = (sharded.next(), sharded.next()) else { return false };
    let known = facts.instances.iter().all(|instance| instance.table.is_some());
    let Ok(columns) = listed_columns(head, table) else { return false };
    known && takes_key_along(pieces, facts, table, select, source, &columns)
}

fn select_of(statement: &Statement) -> Option<&Select> {
    let Statement::Insert(insert) = statement else { return None };
    let query = insert.source.as_deref().filter(|query| query.with.is_none())?;
    match query.body.as_ref() {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

/// Whether each shard-key column of the table gets that of the source.
fn takes_key_along(
    pieces: &Pieces<'_>,
    facts: &Facts,
    table: &Table,
    select: &Select,
    source: usize,
    columns: &[usize],
) -> bool {
    let (Some(sharding), Some(from)) = (table.sharding(), facts.instances[source].sharding())
    else {
        return false;
    };
    let Some(source_table) = &facts.instances[source].table else { return false };
    let same_types = match (table.key_types(), source_table.key_types()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    if sharding.group != from.group || !same_types {
        return false;
    }
    let visible =
        || (0..source_table.columns.len()).filter(|i| !source_table.columns[*i].invisible);
    let star = matches!(select.projection.as_slice(), [SelectItem::Wildcard(_)]);
    sharding.key_columns.iter().zip(&from.key_columns).all(|(column, key)| {
        let Some(position) = columns.iter().position(|listed| listed == column) else {
            return false;
        };
        if star {
            return facts.instances.len() == 2 && visible().nth(position) == Some(*key);
        }
        let item = match select.projection.get(position) {
            Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => expr,
            _ => return false,
        };
        // A star before it would move it.
        let plain = |item: &SelectItem| {
            matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
        };
        select.projection.iter().all(plain) && names(pieces, facts, item, source, *key)
    })
}

/// Whether an expression is a column of an instance.
fn names(pieces: &Pieces<'_>, facts: &Facts, item: &Expr, source: usize, column: usize) -> bool {
    let scope = facts.instances[source].scope;
    let bound = column_parts(item, pieces).and_then(|parts| facts.column(scope, &parts));
    bound.is_some_and(|bound| (bound.instance, bound.column) == (source, column))
}
