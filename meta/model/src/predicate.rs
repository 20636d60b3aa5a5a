//! Placements in SQL: an expression that is true exactly for the rows that a shard owns,
//! for MariaDB and MySQL alike. It does not depend on the session's character set, SQL
//! mode or time zone. Column names are the table's; they are quoted here.
//!
//! The canonical text of a column, so that it agrees with [`crate::hash`]:
//! integers and decimals are added to zero (ZEROFILL prints zeros in front), texts lose
//! trailing spaces where the collation pads,
//! `general_ci` texts become `WEIGHT_STRING`, everything else is the column itself. Parts of a
//! key of several columns are cast to BINARY so that character sets do not mix.

use crate::{
    hash,
    id::ShardId,
    key::{Key, KeyCharset, KeyCollation, KeyPart, KeyType},
    placement::{ListMap, Placement, RangeUnit, SLOTS, SlotMap, Units},
    temporal,
};
use std::fmt::Write as _;

/// An SQL condition that is true exactly for the rows of `shard`; `columns` and `types` are
/// the table's key columns. In parentheses, so that it can stand beside AND.
pub fn sql(placement: &Placement, types: &[KeyType], columns: &[&str], shard: ShardId) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quote_identifier(column)).collect();
    sql_of(placement, types, &columns, shard)
}

/// [`sql`] of columns that are SQL already, such as a qualified name.
pub fn sql_of(
    placement: &Placement,
    types: &[KeyType],
    columns: &[String],
    shard: ShardId,
) -> String {
    match placement {
        Placement::Hash(map) => hash_condition(map, types, columns, shard),
        Placement::Range(units) => range_condition(units, types, columns, shard),
        Placement::List(map) => list_condition(map, types, columns, shard),
    }
}

/// An SQL condition that is true exactly for the rows of the units, and never NULL; `columns`
/// and `types` are the table's key columns. In parentheses.
pub fn units_sql(units: &Units, types: &[KeyType], columns: &[&str]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quote_identifier(column)).collect();
    units_sql_of(units, types, &columns)
}

/// [`units_sql`] of columns that are SQL already, such as a qualified name.
pub fn units_sql_of(units: &Units, types: &[KeyType], columns: &[String]) -> String {
    match units {
        Units::Slots(runs) => {
            let slot = slot_expression(types, columns);
            let run = |run: &std::ops::Range<u16>| {
                format!("{slot} BETWEEN {} AND {}", run.start, run.end.saturating_sub(1))
            };
            any_of(&runs.iter().map(run).collect::<Vec<_>>())
        }
        Units::Interval { start, end } => {
            let bound = |key: &Option<Key>| key.as_ref().map(|key| tuple(key, types));
            interval_condition(bound(start).as_deref(), bound(end).as_deref(), &row(columns))
                .map_or_else(|| TRUE.to_owned(), |condition| format!("({condition})"))
        }
        Units::Values(keys) if keys.is_empty() => FALSE.to_owned(),
        Units::OtherValues { but } if but.is_empty() => TRUE.to_owned(),
        Units::Values(keys) => format!("({} IN ({}))", row(columns), tuples(keys, types)),
        Units::OtherValues { but } => {
            format!("({} NOT IN ({}))", row(columns), tuples(but, types))
        }
    }
}

/// The SQL expression of a row's slot: `(CRC32(..) MOD 16384)`.
pub fn slot_sql(types: &[KeyType], columns: &[&str]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quote_identifier(column)).collect();
    slot_expression(types, &columns)
}

/// A canonical value as an SQL literal that compares with its column as the value itself.
pub fn literal_sql(part: &KeyPart, key_type: &KeyType) -> String {
    match part {
        KeyPart::Integer(value) => value.to_string(),
        KeyPart::Decimal(value) => hash::decimal_text(*value, key_type),
        KeyPart::Text(bytes) => {
            let introducer = match key_type {
                KeyType::Text { charset: KeyCharset::Latin1, .. } => "_latin1",
                _ => "_utf8mb4",
            };
            format!("{introducer} {}", hex(bytes))
        }
        KeyPart::Bytes(bytes) => hex(bytes),
        KeyPart::Temporal(value) => {
            let mut text = String::from("'");
            temporal::print(key_type, *value, &mut text);
            text.push('\'');
            text
        }
    }
}

/// A name in backticks.
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn hash_condition(map: &SlotMap, types: &[KeyType], columns: &[String], shard: ShardId) -> String {
    let slot = slot_expression(types, columns);
    let mut conditions = Vec::new();
    let mut start = 0;
    for run in map.runs() {
        if run.shard == shard {
            if run.end - start == SLOTS {
                return TRUE.to_owned();
            }
            conditions.push(format!("{slot} BETWEEN {start} AND {}", run.end - 1));
        }
        start = run.end;
    }
    any_of(&conditions)
}

fn slot_expression(types: &[KeyType], columns: &[String]) -> String {
    let text = match (types, columns) {
        ([key_type], [column]) => text_expression(key_type, column),
        _ => {
            let parts: Vec<String> = types
                .iter()
                .zip(columns)
                .map(|(key_type, column)| {
                    let bytes = format!("CAST({} AS BINARY)", text_expression(key_type, column));
                    format!("CAST(LENGTH({bytes}) AS BINARY), x'3A', {bytes}")
                })
                .collect();
            format!("CONCAT({})", parts.join(", "))
        }
    };
    format!("(CRC32({text}) MOD {SLOTS})")
}

fn text_expression(key_type: &KeyType, column: &str) -> String {
    match key_type {
        KeyType::Integer { .. } | KeyType::Decimal { .. } => format!("{column} + 0"),
        KeyType::Text { collation, .. } => match collation {
            KeyCollation::Bin => format!("RTRIM({column})"),
            KeyCollation::NopadBin => column.to_owned(),
            KeyCollation::GeneralCi | KeyCollation::AsciiCi => {
                format!("WEIGHT_STRING(RTRIM({column}))")
            }
        },
        KeyType::Binary { .. }
        | KeyType::Date
        | KeyType::DateTime { .. }
        | KeyType::Time { .. } => column.to_owned(),
    }
}

fn range_condition(
    units: &[RangeUnit],
    types: &[KeyType],
    columns: &[String],
    shard: ShardId,
) -> String {
    let mut conditions = Vec::new();
    let mut start: Option<String> = None;
    let mut index = 0;
    while index < units.len() {
        // Neighbouring units of one owner are one interval.
        let owner = units[index].shard;
        while units.get(index + 1).is_some_and(|next| next.shard == owner) {
            index += 1;
        }
        let end = units[index].less_than.as_ref().map(|key| tuple(key, types));
        if owner == shard {
            match interval_condition(start.as_deref(), end.as_deref(), &row(columns)) {
                None => return TRUE.to_owned(),
                Some(condition) => conditions.push(condition),
            }
        }
        start = end;
        index += 1;
    }
    any_of(&conditions)
}

/// From `start` on and below `end`; None for everything.
fn interval_condition(start: Option<&str>, end: Option<&str>, row: &str) -> Option<String> {
    match (start, end) {
        (None, None) => None,
        (Some(start), None) => Some(format!("{row} >= {start}")),
        (None, Some(end)) => Some(format!("{row} < {end}")),
        (Some(start), Some(end)) => Some(format!("({row} >= {start} AND {row} < {end})")),
    }
}

fn list_condition(map: &ListMap, types: &[KeyType], columns: &[String], shard: ShardId) -> String {
    let is_default = map.default == Some(shard);
    // The shard of DEFAULT has everything but the others' values.
    let values: Vec<String> = map
        .values
        .iter()
        .filter(|(_, owner)| (**owner == shard) != is_default)
        .map(|(key, _)| tuple(key, types))
        .collect();
    match (values.is_empty(), is_default) {
        (true, true) => TRUE.to_owned(),
        (true, false) => FALSE.to_owned(),
        (false, true) => format!("({} NOT IN ({}))", row(columns), values.join(", ")),
        (false, false) => format!("({} IN ({}))", row(columns), values.join(", ")),
    }
}

const TRUE: &str = "(1 = 1)";
const FALSE: &str = "(1 = 0)";

fn any_of(conditions: &[String]) -> String {
    if conditions.is_empty() { FALSE.to_owned() } else { format!("({})", conditions.join(" OR ")) }
}

fn row(columns: &[String]) -> String {
    match columns {
        [column] => column.clone(),
        _ => format!("({})", columns.join(", ")),
    }
}

fn tuple(key: &[KeyPart], types: &[KeyType]) -> String {
    let literals: Vec<String> =
        key.iter().zip(types).map(|(part, key_type)| literal_sql(part, key_type)).collect();
    row(&literals)
}

fn tuples(keys: &[Key], types: &[KeyType]) -> String {
    keys.iter().map(|key| tuple(key, types)).collect::<Vec<_>>().join(", ")
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("x'");
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text.push('\'');
    text
}
