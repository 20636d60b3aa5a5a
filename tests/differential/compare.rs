//! Compares two answers. What is equal and what may differ is said here and nowhere else.

use crate::answer::{Answer, Set, Shape, Statement};
use mysql_async::{Value, consts::ColumnFlags};
use std::fmt::Write;

/// Rows in a report.
const ROWS_SHOWN: usize = 6;

/// How two answers relate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    /// The proxy refused with a hint.
    Refused(String),
    /// The text says how.
    Different(String),
}

/// Compares the plain server's answer with the cluster's.
pub(crate) fn compare(statement: &Statement, plain: &Answer, sharded: &Answer) -> Verdict {
    match (&plain.error, &sharded.error) {
        (_, Some(error)) if error.is_refusal() => return Verdict::Refused(error.message.clone()),
        (None, None) => {}
        (Some(a), Some(b)) if a.code == b.code && a.state == b.state => {}
        (a, b) => return Verdict::Different(format!("error: {a:?}\n  got:   {b:?}")),
    }
    if plain.sets.len() != sharded.sets.len() {
        let (a, b) = (plain.sets.len(), sharded.sets.len());
        return Verdict::Different(format!("{a} result sets, got {b}"));
    }
    for (a, b) in plain.sets.iter().zip(&sharded.sets) {
        if let Some(difference) = sets(statement, a, b) {
            return Verdict::Different(difference);
        }
    }
    Verdict::Same
}

fn sets(statement: &Statement, a: &Set, b: &Set) -> Option<String> {
    if let Some(text) = columns(statement, &a.columns, &b.columns) {
        return Some(text);
    }
    let ids_differ = match statement.own_ids {
        true => a.insert_id.is_some() != b.insert_id.is_some(),
        false => a.insert_id != b.insert_id,
    };
    if a.affected != b.affected || ids_differ {
        return Some(format!(
            "affected {} insert id {:?}, got affected {} insert id {:?}",
            a.affected, a.insert_id, b.affected, b.insert_id
        ));
    }
    if statement.strict && a.warnings != b.warnings {
        return Some(format!("{} warnings, got {}", a.warnings, b.warnings));
    }
    if statement.strict && a.info != b.info {
        return Some(format!("info {:?}, got {:?}", a.info, b.info));
    }
    let (a, b) = (shown(statement, a), shown(statement, b));
    (a != b).then(|| difference_of_rows(&a, &b))
}

/// `spliced`: the shards may have got the parameters as literals, whose length and sign
/// they know.
fn columns(statement: &Statement, a: &[Shape], b: &[Shape]) -> Option<String> {
    if a.len() != b.len() {
        return Some(format!("{} columns, got {}", a.len(), b.len()));
    }
    let alike = |a: &Shape, b: &Shape| {
        a == b || (!statement.strict && loosened(statement, a) == loosened(statement, b))
    };
    let (a, b) = a.iter().zip(b).find(|(a, b)| !alike(a, b))?;
    Some(format!("column {a:?}\n  got:   {b:?}"))
}

/// Without what a server says differently of the same column when it executes in another
/// way (with a temporary table or not), and, where the shards may have got parameters as
/// literals, without the length and sign that these have.
fn loosened(statement: &Statement, shape: &Shape) -> Shape {
    let mut shape = shape.clone();
    shape.flags &= ColumnFlags::UNSIGNED_FLAG
        | ColumnFlags::ENUM_FLAG
        | ColumnFlags::SET_FLAG
        | ColumnFlags::BLOB_FLAG;
    if !shape.is_expression() {
        return shape;
    }
    shape.origin.clear();
    shape.length = 0;
    shape.flags = ColumnFlags::empty();
    if shape.kind == "MYSQL_TYPE_STRING" {
        shape.kind = "MYSQL_TYPE_VAR_STRING".into();
    }
    if shape.kind.ends_with("_STRING") || shape.kind.ends_with("BLOB") {
        shape.decimals = 0;
    }
    if statement.params.as_ref().is_some_and(|params| !params.is_empty()) {
        shape.decimals = 0;
    }
    // The session's own numbers are literals in what the shards get.
    if matches!(shape.kind.as_str(), "MYSQL_TYPE_LONG" | "MYSQL_TYPE_TINY" | "MYSQL_TYPE_SHORT") {
        shape.kind = "MYSQL_TYPE_LONGLONG".into();
    }
    shape
}

/// The rows as texts, sorted unless their order counts.
fn shown(statement: &Statement, set: &Set) -> Vec<String> {
    let show = |row: &Vec<Value>| {
        let mut text = String::new();
        for (index, value) in row.iter().enumerate() {
            match value {
                Value::Bytes(bytes) if statement.representative.contains(&index) => {
                    let _ = write!(text, "~{:?} ", folded(bytes));
                }
                Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                    Ok(plain) => _ = write!(text, "{plain:?} "),
                    Err(_) => _ = write!(text, "{bytes:02x?} "),
                },
                other => _ = write!(text, "{other:?} "),
            }
        }
        text
    };
    let mut rows: Vec<String> = set.rows.iter().map(show).collect();
    if !statement.ordered {
        rows.sort();
    }
    rows
}

/// One text for all that a collation of the suite may hold for equal.
fn folded(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // A session that reads latin1.
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let lower = text.to_lowercase();
    let plain: String = lower
        .trim_end_matches([' ', '\0'])
        .chars()
        .map(|letter| match letter {
            'é' => 'e',
            'ñ' => 'n',
            'ß' => 's',
            'ÿ' => 'y',
            other => other,
        })
        .collect();
    plain.replace("ss", "s")
}

fn difference_of_rows(a: &[String], b: &[String]) -> String {
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    let shown = |rows: &[String]| {
        let from = if rows.len() <= ROWS_SHOWN { 0 } else { at };
        let rows: Vec<&str> = rows.iter().skip(from).take(ROWS_SHOWN).map(String::as_str).collect();
        rows.join("\n         ")
    };
    let (want, got) = (shown(a), shown(b));
    format!("{} rows, got {}; row {at}:\n  want:  {want}\n  got:   {got}", a.len(), b.len())
}
