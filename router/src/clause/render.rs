//! Clauses as text. There are no quote characters in it and, but for names that hold
//! one, no word WITH, so that dumps, drivers and schema tools carry it along unharmed.

use crate::plan::{ShardingClause, TableName};
use std::fmt::Write;

/// The clause as SHOW CREATE TABLE shows it: `/*!999999 SHARD BY ... */`. Tables of
/// `database` are named without it.
pub fn carrier(clause: &ShardingClause, database: &str) -> String {
    format!("/*!999999 {} */", render(clause, database))
}

/// The clause itself.
pub fn render(clause: &ShardingClause, database: &str) -> String {
    let mut text = String::new();
    match clause {
        ShardingClause::Broadcast => text.push_str("BROADCAST"),
        ShardingClause::Single { shard } => {
            text.push_str("SINGLE");
            if let Some(shard) = shard {
                on(&mut text, shard);
            }
        }
        ShardingClause::Hash { columns, colocate } => {
            shard_by(&mut text, "HASH", columns);
            colocated(&mut text, colocate.as_ref(), database);
        }
        ShardingClause::Range { columns, units, colocate } => {
            shard_by(&mut text, "RANGE", columns);
            let units = units.iter().map(|unit| {
                let bound = match &unit.less_than {
                    Some(key) => literals(key),
                    None => "MAXVALUE".into(),
                };
                let mut text = format!("VALUES LESS THAN ({bound})");
                on(&mut text, &unit.shard);
                text
            });
            in_parentheses(&mut text, units.collect());
            colocated(&mut text, colocate.as_ref(), database);
        }
        ShardingClause::List { columns, units, default, colocate } => {
            shard_by(&mut text, "LIST", columns);
            let mut parts: Vec<String> = Vec::with_capacity(units.len() + 1);
            for unit in units {
                let values: Vec<String> = unit.values.iter().map(|key| list_key(key)).collect();
                let mut part = format!("VALUES IN ({})", values.join(", "));
                on(&mut part, &unit.shard);
                parts.push(part);
            }
            if let Some(shard) = default {
                let mut part = "DEFAULT".to_owned();
                on(&mut part, shard);
                parts.push(part);
            }
            in_parentheses(&mut text, parts);
            colocated(&mut text, colocate.as_ref(), database);
        }
    }
    text
}

fn shard_by(text: &mut String, method: &str, columns: &[String]) {
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    text.push_str(&format!("SHARD BY {method} ({})", columns.join(", ")));
}

fn in_parentheses(text: &mut String, parts: Vec<String>) {
    if !parts.is_empty() {
        text.push_str(&format!(" ({})", parts.join(", ")));
    }
}

fn on(text: &mut String, shard: &str) {
    text.push_str(" ON ");
    text.push_str(&quoted(shard));
}

fn colocated(text: &mut String, table: Option<&TableName>, database: &str) {
    let Some(table) = table else { return };
    text.push_str(" COLOCATE (");
    if table.database != database && !table.database.is_empty() {
        text.push_str(&quoted(&table.database));
        text.push('.');
    }
    text.push_str(&quoted(&table.table));
    text.push(')');
}

/// A name in backquotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn list_key(key: &[String]) -> String {
    if key.len() == 1 { literals(key) } else { format!("({})", literals(key)) }
}

fn literals(key: &[String]) -> String {
    let parts: Vec<String> = key.iter().map(|text| literal(text)).collect();
    parts.join(", ")
}

/// A canonical literal without quote characters: dates bare, other text in hexadecimal.
fn literal(text: &str) -> String {
    let Some(content) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) else {
        return text.to_owned();
    };
    let bytes = content.as_bytes();
    if is_temporal(bytes) {
        let word = if bytes.len() == 10 { "DATE" } else { "TIMESTAMP" };
        return format!("{word} {content}");
    }
    format!("_utf8mb4 0x{}", hex(content.replace("''", "'").as_bytes()))
}

/// `2026-01-31` or `2026-01-31 12:00:00[.000000]`.
pub(super) fn is_temporal(text: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00.000000";
    let length_is_right = matches!(text.len(), 10 | 19 | 21..=26);
    let fits = |(&byte, &shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    };
    length_is_right && text.iter().zip(SHAPE).all(fits)
}

/// Upper-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}
