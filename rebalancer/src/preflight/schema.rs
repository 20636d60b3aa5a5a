//! Findings about the tables.

use super::{Finding, full};
use crate::{
    error::{MoveError, Side},
    session::{Session, text},
    spec::TableSpec,
    table::Table,
};
use shardline_binlog::{literal, undo::Generated};
use std::sync::Arc;

/// What is wrong with a table's definition.
pub(super) fn table(table: &Table, spec: &TableSpec) -> Vec<Finding> {
    let mut findings = Vec::new();
    let definition = &table.definition;
    let place = full(spec, Side::Source);
    let mut block = |code, problem: String, advice: &str| {
        findings.push(Finding::blocking(code, &place, problem, advice));
    };
    if !definition.engine.eq_ignore_ascii_case("InnoDB") {
        block(
            "engine",
            format!("its engine is {}", definition.engine),
            "ALTER TABLE ... ENGINE=InnoDB",
        );
    }
    if definition.primary_key.is_empty() {
        block(
            "primary_key",
            "it has no primary key, so no row can be told from others".into(),
            "give it one",
        );
    }
    if definition.system_versioned {
        block(
            "versioning",
            "it keeps old versions of its rows".into(),
            "ALTER TABLE ... DROP SYSTEM VERSIONING",
        );
    }
    if !definition.triggers.is_empty() {
        block(
            "triggers",
            format!(
                "its triggers ({}) would run again on the target",
                definition.triggers.join(", ")
            ),
            "drop them for the time of the move",
        );
    }
    let computed = |name: &&String| {
        let column = definition.columns.iter().find(|column| column.name == **name);
        column.is_some_and(|column| column.generated == Generated::Virtual)
    };
    if let Some(column) = definition.primary_key.iter().find(computed) {
        block(
            "generated",
            format!("its primary key has the computed column {column}"),
            "make it an ordinary column",
        );
    }
    let has_shard_key = |key: &&Vec<String>| {
        let has = |name: &String| key.iter().any(|column| column.eq_ignore_ascii_case(name));
        spec.key_columns.iter().all(has)
    };
    for key in table.unique_keys.iter().filter(|key| !has_shard_key(key) && key.len() != 1) {
        block(
            "unique_key",
            format!(
                "its unique key ({}) does not contain the shard key: rows of both servers could have the same value",
                key.join(", ")
            ),
            "add the shard key to it",
        );
    }
    findings
}

/// Whether both servers have the same definition.
pub(super) async fn equal(
    source: &mut Session,
    target: &mut Session,
    spec: &TableSpec,
) -> Result<Vec<Finding>, MoveError> {
    let ours = definition(source, spec).await?;
    let theirs = definition(target, spec).await?;
    let (Some(ours), Some(theirs)) = (&ours, &theirs) else {
        let side = if ours.is_none() { Side::Source } else { Side::Target };
        return Ok(vec![Finding::blocking(
            "schema",
            full(spec, side),
            "there is no such table",
            "create it there with the definition of the other server",
        )]);
    };
    if ours == theirs {
        return Ok(Vec::new());
    }
    let lines = |text: &str| {
        text.lines().map(|line| line.trim_end_matches(',').trim().to_owned()).collect::<Vec<_>>()
    };
    let (ours, theirs) = (lines(ours), lines(theirs));
    let only = |these: &[String], others: &[String]| {
        these
            .iter()
            .find(|line| !others.contains(line))
            .cloned()
            .unwrap_or_else(|| "the same in another order".into())
    };
    Ok(vec![Finding::blocking(
        "schema",
        spec.full_name(),
        format!(
            "its definitions differ: the source has [{}], the target has [{}]",
            only(&ours, &theirs),
            only(&theirs, &ours)
        ),
        "make them equal with ALTER TABLE through a proxy",
    )])
}

async fn definition(session: &mut Session, spec: &TableSpec) -> Result<Option<String>, MoveError> {
    let (database, table) = (literal::name(&spec.database), literal::name(&spec.table));
    let sql = format!("SHOW CREATE TABLE {database}.{table}");
    match session.one("the definition of a table", &sql).await {
        Ok(answer) => Ok(answer.text(1).map(|text| normal(&text))),
        Err(MoveError::Refused { error, .. }) if matches!(error.code, 1146 | 1049) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Without what may differ: the next AUTO_INCREMENT value.
fn normal(create: &str) -> String {
    let Some((before, after)) = create.rsplit_once(" AUTO_INCREMENT=") else {
        return create.to_owned();
    };
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{rest}")
}

/// Foreign keys between the group and other tables.
pub(super) async fn children(
    source: &mut Session,
    spec: &TableSpec,
    group: &[Arc<Table>],
) -> Result<Vec<Finding>, MoveError> {
    let name = |name: &str| literal::text("utf8mb4", name.as_bytes());
    let (database, table) = (name(&spec.database), name(&spec.table));
    let sql = format!(
        "SELECT DISTINCT CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME, REFERENCED_TABLE_SCHEMA, \
         REFERENCED_TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE \
         WHERE REFERENCED_TABLE_NAME IS NOT NULL AND ((TABLE_SCHEMA = {database} AND TABLE_NAME = {table}) \
         OR (REFERENCED_TABLE_SCHEMA = {database} AND REFERENCED_TABLE_NAME = {table}))"
    );
    let mut findings = Vec::new();
    for row in source.one("foreign keys", &sql).await?.rows {
        let at = |place| text(&row, place).unwrap_or_default();
        let (constraint, child, parent) =
            (at(0), format!("{}.{}", at(1), at(2)), format!("{}.{}", at(3), at(4)));
        let known = |name: &String| group.iter().any(|table| table.name.eq_ignore_ascii_case(name));
        if known(&child) && known(&parent) {
            continue;
        }
        findings.push(Finding::blocking(
            "foreign_key",
            full(spec, Side::Source),
            format!("the foreign key {constraint} of {child} to {parent} leads out of the group that moves"),
            "put both tables into one colocation group, or drop the foreign key",
        ));
    }
    for cascade in &group
        .iter()
        .find(|table| table.name == spec.full_name())
        .map_or(Vec::new(), |table| table.definition.cascades.clone())
    {
        findings.push(Finding::blocking(
            "cascade",
            full(spec, Side::Source),
            format!("the foreign key {cascade} changes rows that are not logged where they change"),
            "make it RESTRICT, and let the application change the rows of both tables",
        ));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::table_of;

    #[test]
    fn counters_may_differ() {
        let create = |rest: &str| {
            format!("CREATE TABLE `t` (\n  `a` int\n) ENGINE=InnoDB{rest} DEFAULT CHARSET=utf8mb4")
        };
        assert_eq!(normal(&create(" AUTO_INCREMENT=17")), normal(&create("")));
        assert_ne!(normal(&create("")), normal("CREATE TABLE `t` (\n  `b` int\n)"));
    }

    #[test]
    fn unique_keys_without_the_shard_key() {
        let spec =
            TableSpec { database: "d".into(), table: "t".into(), key_columns: vec!["k".into()] };
        let codes = |keys: &[&[&str]]| {
            let found = table(&table_of(&["k"], keys), &spec);
            found.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(&[&["k", "id"], &["id"]]), Vec::<&str>::new());
        assert_eq!(codes(&[&["k", "id"], &["id", "note"]]), ["unique_key"]);
    }
}
