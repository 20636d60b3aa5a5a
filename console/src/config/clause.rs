//! From a table's entry in the file to the clause that SQL has for it, so that there is
//! one grammar for what a rule means.

use super::file::{ListSpec, RangeSpec, TableSpec, Values};

/// Most key columns that a rule may name; the catalog checks the rest.
const KEY_COLUMNS_MAX: usize = 16;

/// The clause of a table's entry: `SHARD BY HASH (id) COLOCATE (account)`, `BROADCAST` ...
pub fn render(table: &TableSpec) -> Result<String, String> {
    let kinds = [table.shard_by.is_some(), table.broadcast, table.single.is_some()];
    if kinds.iter().filter(|kind| **kind).count() != 1 {
        return Err("give exactly one of shard_by, broadcast: true and single".into());
    }
    if let Some(shard_by) = &table.shard_by {
        return sharded(shard_by, table);
    }
    if table.colocate.is_some() || table.default.is_some() || has_units(table) {
        return Err("colocate, ranges, lists and default belong to shard_by".into());
    }
    match &table.single {
        Some(shard) => Ok(format!("SINGLE ON {}", name(shard)?)),
        None => Ok("BROADCAST".into()),
    }
}

fn has_units(table: &TableSpec) -> bool {
    !table.ranges.is_empty() || !table.lists.is_empty()
}

fn sharded(shard_by: &str, table: &TableSpec) -> Result<String, String> {
    let (function, columns) = function_and_columns(shard_by)?;
    let mut clause = format!("SHARD BY {} ({})", function.to_uppercase(), columns.join(", "));
    if let Some(other) = &table.colocate {
        if has_units(table) || table.default.is_some() {
            return Err(
                "a colocated table has the placement of the other; drop ranges, lists and default"
                    .into(),
            );
        }
        clause.push_str(&format!(" COLOCATE ({})", name(other)?));
        return Ok(clause);
    }
    if function != "range" && !table.ranges.is_empty() {
        return Err(format!("ranges belong to range(...), not to {function}(...)"));
    }
    if function != "list" && (!table.lists.is_empty() || table.default.is_some()) {
        return Err(format!("lists and default belong to list(...), not to {function}(...)"));
    }
    let mut units = Vec::new();
    for range in &table.ranges {
        units.push(range_unit(range, columns.len())?);
    }
    for list in &table.lists {
        units.push(list_unit(list, columns.len())?);
    }
    if let Some(default) = &table.default {
        units.push(format!("DEFAULT ON {}", name(default)?));
    }
    if !units.is_empty() {
        clause.push_str(&format!(" ({})", units.join(", ")));
    }
    Ok(clause)
}

fn function_and_columns(text: &str) -> Result<(String, Vec<String>), String> {
    let wrong =
        || format!("shard_by is {text:?}; write hash(column), range(column) or list(column)");
    let (function, rest) = text.split_once('(').ok_or_else(wrong)?;
    let function = function.trim().to_lowercase();
    if !["hash", "range", "list"].contains(&function.as_str()) {
        return Err(wrong());
    }
    let columns = rest.trim_end().strip_suffix(')').ok_or_else(wrong)?;
    let columns: Vec<String> =
        columns.split(',').map(|column| name(column.trim())).collect::<Result<_, _>>()?;
    if columns.len() > KEY_COLUMNS_MAX {
        return Err(format!("at most {KEY_COLUMNS_MAX} key columns are allowed"));
    }
    Ok((function, columns))
}

fn range_unit(range: &RangeSpec, columns: usize) -> Result<String, String> {
    let bound = match &range.less_than {
        None => "MAXVALUE".to_owned(),
        Some(Values::Text(text)) if text.eq_ignore_ascii_case("maxvalue") => "MAXVALUE".to_owned(),
        Some(values) => literals(values, columns, false)?,
    };
    Ok(format!("VALUES LESS THAN ({bound}) ON {}", name(&range.on)?))
}

fn list_unit(list: &ListSpec, columns: usize) -> Result<String, String> {
    if list.values.is_empty() {
        return Err("a list needs at least one value".into());
    }
    let values: Vec<String> =
        list.values.iter().map(|value| literals(value, columns, true)).collect::<Result<_, _>>()?;
    Ok(format!("VALUES IN ({}) ON {}", values.join(", "), name(&list.on)?))
}

/// One key as SQL literals: `1`, or `1, 'a'` for two columns, in parentheses when `grouped`.
fn literals(values: &Values, columns: usize, grouped: bool) -> Result<String, String> {
    let parts = match values {
        Values::Many(parts) => parts.iter().map(literal).collect::<Result<Vec<_>, _>>()?,
        one => vec![literal(one)?],
    };
    if parts.len() != columns {
        return Err(format!("{} values are given for {columns} key columns", parts.len()));
    }
    let text = parts.join(", ");
    Ok(if grouped && columns > 1 { format!("({text})") } else { text })
}

fn literal(value: &Values) -> Result<String, String> {
    match value {
        Values::Integer(number) => Ok(number.to_string()),
        Values::Text(text) => Ok(format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))),
        Values::Many(_) => Err("a key value cannot be a list of lists".into()),
    }
}

/// A name as SQL writes it: quoted unless it is plain.
fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a name is empty".into());
    }
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !text.as_bytes()[0].is_ascii_digit();
    Ok(if plain { text.to_owned() } else { format!("`{}`", text.replace('`', "``")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(yaml: &str) -> Result<String, String> {
        render(&crate::config::from_yaml(yaml).expect("a table entry"))
    }

    #[test]
    fn each_form_has_its_clause() {
        let cases = [
            ("shard_by: hash(id)", "SHARD BY HASH (id)"),
            ("{shard_by: 'hash(a, b-c)'}", "SHARD BY HASH (a, `b-c`)"),
            ("{shard_by: hash(id), colocate: account}", "SHARD BY HASH (id) COLOCATE (account)"),
            ("broadcast: true", "BROADCAST"),
            ("single: s2", "SINGLE ON s2"),
            (
                "{shard_by: range(d), ranges: [{less_than: '2026-01-01', on: s1}, {on: s2}]}",
                "SHARD BY RANGE (d) (VALUES LESS THAN ('2026-01-01') ON s1, VALUES LESS THAN (MAXVALUE) ON s2)",
            ),
            (
                "{shard_by: list(r), lists: [{in: [N, 'O''E'], on: s1}, {in: [7], on: s2}], default: s3}",
                "SHARD BY LIST (r) (VALUES IN ('N', 'O''E') ON s1, VALUES IN (7) ON s2, DEFAULT ON s3)",
            ),
        ];
        for (yaml, clause) in cases {
            assert_eq!(rendered(yaml).as_deref(), Ok(clause), "{yaml}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let cases = [
            ("{}", "exactly one"),
            ("{broadcast: true, single: s1}", "exactly one"),
            ("{broadcast: true, colocate: a}", "belong to shard_by"),
            ("shard_by: id", "write hash(column)"),
            ("shard_by: modulo(id)", "write hash(column)"),
            ("{shard_by: hash(id), ranges: [{on: s1}]}", "ranges belong to range"),
            ("{shard_by: 'list(a, b)', lists: [{in: [1], on: s1}]}", "1 values are given for 2"),
        ];
        for (yaml, message) in cases {
            let error = rendered(yaml).expect_err(yaml);
            assert!(error.contains(message), "{yaml}: {error}");
        }
    }
}
