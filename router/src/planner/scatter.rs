//! Whether a SELECT can run on several shards at once, and how the shards' rows become
//! one result: which hidden columns every shard adds, and what is merged by them.

pub(crate) mod build;
pub(crate) mod item;
pub(crate) mod weight;

use crate::{
    bind::{Facts, is_system_schema},
    conjunct::KeySlot,
    plan::Refusal,
    planner::{
        Context, functions, kind_name,
        scatter::item::Item,
        shape::Shape,
        strangers::{Strangers, WherePlace},
    },
};
use shardline_model::catalog::TableKind;
use sqlparser::ast::SelectItem;

/// A SELECT that several shards can answer.
#[derive(Debug)]
pub(crate) struct ScatterForm {
    pub(crate) shape: Shape,
    pub(crate) items: Vec<Item>,
    pub(crate) facts: Facts,
    /// What leaves rows of others out.
    pub(crate) strangers: Strangers,
}

/// Functions that make one value of many rows; the first five can be merged.
const AGGREGATES: &[&str] = &[
    "COUNT",
    "SUM",
    "MIN",
    "MAX",
    "AVG",
    "GROUP_CONCAT",
    "BIT_AND",
    "BIT_OR",
    "BIT_XOR",
    "STD",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "VAR_POP",
    "VAR_SAMP",
    "VARIANCE",
    "JSON_ARRAYAGG",
    "JSON_OBJECTAGG",
    "ANY_VALUE",
    "MEDIAN",
    "PERCENTILE_CONT",
    "PERCENTILE_DISC",
    "ST_COLLECT",
];

/// Checks all that does not depend on values.
pub(crate) fn prepare(
    context: &Context<'_>,
    items: &[SelectItem],
    facts: &Facts,
    shape: &Shape,
) -> Result<(Vec<Item>, Strangers), Refusal> {
    check_tables(facts)?;
    check_outer_joins(facts)?;
    let pieces = context.pieces;
    let windows = (0..pieces.len()).any(|index| {
        pieces.is_word(index, "OVER")
            && index > 0
            && pieces.is(index - 1, crate::lexer::TokenKind::RightParen)
    });
    if windows {
        return Err(Refusal::not_supported(
            "window functions over several shards are not supported yet",
            "give the shard key a value in WHERE, so that one shard answers",
        ));
    }
    if shape.into {
        return Err(Refusal::not_supported(
            "INTO over several shards is not supported",
            "read the rows and assign the variables with SET",
        ));
    }
    if shape.items.len() != items.len() {
        return Err(Refusal::not_supported(
            "this select list is not understood over several shards",
            "write simpler select items, or give the shard key a value in WHERE",
        ));
    }
    let items = shape.items.iter().zip(items);
    let items = items.map(|(range, item)| Item::of(pieces, range.clone(), item, facts));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    let place = WherePlace { body: shape.condition.clone(), end: shape.filter_end };
    let strangers = Strangers::of(facts, context.catalog, place)?;
    Ok((items, strangers))
}

/// All sharded tables must be tied by their whole shard key; beside them only broadcast
/// tables may stand.
fn check_tables(facts: &Facts) -> Result<(), Refusal> {
    let mut first = None;
    for (instance, bound) in facts.instances.iter().enumerate() {
        let named_alike = |other: &crate::bind::Instance| {
            (other.scope, &other.database) == (bound.scope, &bound.database)
                && other.name.eq_ignore_ascii_case(&bound.name)
        };
        if facts.instances[..instance].iter().any(named_alike) {
            return Err(Refusal {
                code: 1066,
                reason: format!("Not unique table/alias: '{}'", bound.name),
                hint: "give one of them an alias".into(),
            });
        }
        let Some(table) = &bound.table else {
            if !is_system_schema(&bound.database) {
                return Err(Refusal {
                    code: 1146,
                    reason: format!("Table '{}.{}' doesn't exist", bound.database, bound.name),
                    hint: "SHOW TABLES lists the database's tables".into(),
                });
            }
            return Err(Refusal::not_supported(
                format!(
                    "'{}' is not in the catalog and cannot be joined over several shards",
                    bound.name
                ),
                "read it in a statement of its own",
            ));
        };
        match &table.kind {
            TableKind::Broadcast => {}
            TableKind::Single { .. } => {
                return Err(Refusal::not_supported(
                    format!(
                        "'{}' is a {} table and cannot be joined with a table that is on several shards",
                        table.name,
                        kind_name(&table.kind)
                    ),
                    "declare the smaller table BROADCAST, or shard both by the joined column",
                ));
            }
            TableKind::Sharded(sharding) => {
                let Some((other, group)) = first else {
                    first = Some((instance, sharding.group));
                    continue;
                };
                let columns = 0..sharding.key_columns.len();
                let tied = group == sharding.group
                    && columns.into_iter().all(|index| {
                        let slot = |instance| KeySlot { instance, index };
                        facts.conjuncts.same_class(slot(other), slot(instance))
                    });
                if !tied {
                    let other = &facts.instances[other].name;
                    return Err(Refusal::not_supported(
                        format!(
                            "'{other}' and '{}' are not joined by equal shard keys of one colocation group",
                            bound.name
                        ),
                        "join them on their shard keys (COLOCATE them), or make one of them BROADCAST",
                    ));
                }
            }
        }
    }
    Ok(())
}

/// A preserved side without sharded tables would give its unmatched rows once a shard.
fn check_outer_joins(facts: &Facts) -> Result<(), Refusal> {
    let sharded = |instance: usize| facts.instances[instance].sharding().is_some();
    for (preserved, supplied) in &facts.outer_joins {
        if supplied.clone().any(sharded) && !preserved.clone().any(sharded) {
            return Err(Refusal::not_supported(
                "an outer join keeps all rows of a broadcast table beside a sharded one",
                "use an inner join, or join from the sharded table",
            ));
        }
    }
    Ok(())
}

/// Whether an aggregate is called in these pieces.
pub(crate) fn has_aggregate(
    pieces: &crate::parse::Pieces<'_>,
    range: std::ops::Range<usize>,
) -> bool {
    functions::calls(pieces, range, AGGREGATES).is_some()
}
