//! Rows for the tests of merging: values by their native types and in the server's order,
//! their payloads in both protocols, and a driver.

use super::*;
use bytes::{Bytes, BytesMut};
use shardline_router::plan::Merge;
use shardline_wire::{
    column::{BINARY_CHARSET, ColumnDefinition},
    row::{BinaryColumn, BinaryRow, TextRow, put_binary, put_text},
    temporal::{DateTime, Time},
    value::{ColumnType, Value},
};
use std::cmp::Ordering;

/// Digits right of the point of the test's decimals.
pub(super) const SCALE: u32 = 4;
pub(super) const NO_LIMITS: MergeLimits =
    MergeLimits { rows_max: usize::MAX, bytes_max: usize::MAX };

/// A value by its native type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    UInt(u64),
    Decimal(i128),
    Double(f64),
    Date(DateTime),
    Time(i64),
    Text(String),
}

impl Cell {
    pub(super) fn text(&self) -> Option<Vec<u8>> {
        Some(match self {
            Cell::Null => return None,
            Cell::Int(value) => value.to_string().into(),
            Cell::UInt(value) => value.to_string().into(),
            Cell::Decimal(value) => decimal_text(*value, SCALE).into(),
            Cell::Double(value) => {
                let mut text = String::new();
                double::print(&mut text, *value, 31);
                text.into()
            }
            Cell::Date(value) => value.to_string().into(),
            Cell::Time(micros) => time(*micros).to_string().into(),
            Cell::Text(value) => value.clone().into(),
        })
    }
}

pub(super) fn decimal_text(value: i128, scale: u32) -> String {
    let unit = 10_i128.pow(scale);
    let sign = if value < 0 { "-" } else { "" };
    let (whole, fraction) =
        (value.unsigned_abs() / unit as u128, value.unsigned_abs() % unit as u128);
    format!("{sign}{whole}.{fraction:0width$}", width = scale as usize)
}

pub(super) fn time(micros: i64) -> Time {
    let all = micros.unsigned_abs();
    let seconds = all / 1_000_000;
    Time {
        negative: micros < 0,
        days: (seconds / 86_400) as u32,
        hours: (seconds / 3_600 % 24) as u8,
        minutes: (seconds / 60 % 60) as u8,
        seconds: (seconds % 60) as u8,
        micros: (all % 1_000_000) as u32,
    }
}

/// The order that the server has, by native types; text without regard to case and to
/// spaces at the end.
pub(super) fn order(one: &Cell, other: &Cell) -> Ordering {
    let date = |date: &DateTime| {
        (date.year, date.month, date.day, date.hour, date.minute, date.second, date.micros)
    };
    match (one, other) {
        (Cell::Null, Cell::Null) => Ordering::Equal,
        (Cell::Null, _) => Ordering::Less,
        (_, Cell::Null) => Ordering::Greater,
        (Cell::Int(one), Cell::Int(other)) => one.cmp(other),
        (Cell::UInt(one), Cell::UInt(other)) => one.cmp(other),
        (Cell::Decimal(one), Cell::Decimal(other)) => one.cmp(other),
        (Cell::Double(one), Cell::Double(other)) => one.partial_cmp(other).unwrap(),
        (Cell::Date(one), Cell::Date(other)) => date(one).cmp(&date(other)),
        (Cell::Time(one), Cell::Time(other)) => one.cmp(other),
        (Cell::Text(one), Cell::Text(other)) => {
            let width = one.len().max(other.len());
            let padded = |text: &str| format!("{:width$}", text.to_ascii_uppercase());
            padded(one).cmp(&padded(other))
        }
        _ => panic!("{one:?} beside {other:?}"),
    }
}

/// `WEIGHT_STRING` of the test's collation: two bytes a character, in upper case.
pub(super) fn weight(cell: &Cell) -> Cell {
    match cell {
        Cell::Text(text) => Cell::Text(
            text.to_ascii_uppercase().chars().flat_map(|character| ['\0', character]).collect(),
        ),
        _ => Cell::Null,
    }
}

pub(super) fn pad() -> Cell {
    Cell::Text("\0 ".into())
}

pub(super) fn definition(kind: ColumnType) -> ColumnDefinition {
    let text = ColumnDefinition::text("c", 20);
    ColumnDefinition { kind, decimals: 31, ..text }
}

pub(super) fn blob() -> ColumnDefinition {
    ColumnDefinition { charset: BINARY_CHARSET, ..definition(ColumnType::VarString) }
}

pub(super) fn payload(
    definitions: &[ColumnDefinition],
    format: RowFormat,
    cells: &[Cell],
) -> Bytes {
    let texts: Vec<_> = cells.iter().map(Cell::text).collect();
    let mut out = BytesMut::new();
    match format {
        RowFormat::Text => texts.iter().for_each(|value| put_text(&mut out, value.as_deref())),
        RowFormat::Binary => {
            let columns = binary(definitions);
            let values: Vec<_> = cells
                .iter()
                .zip(&texts)
                .map(|(cell, text)| match cell {
                    Cell::Null => Value::Null,
                    Cell::Int(value) => Value::Int(*value),
                    Cell::UInt(value) => Value::UInt(*value),
                    Cell::Double(value) => Value::Double(*value),
                    Cell::Date(value) => Value::DateTime(*value),
                    Cell::Time(micros) => Value::Time(time(*micros)),
                    Cell::Decimal(_) | Cell::Text(_) => {
                        Value::Bytes(text.as_deref().unwrap_or_default())
                    }
                })
                .collect();
            put_binary(&mut out, &columns, &values).unwrap();
        }
    }
    out.freeze()
}

pub(super) fn binary(definitions: &[ColumnDefinition]) -> Vec<BinaryColumn> {
    let column = |definition: &ColumnDefinition| BinaryColumn {
        kind: definition.kind,
        unsigned: definition.unsigned(),
    };
    definitions.iter().map(column).collect()
}

/// The values of a merged row as text.
pub(super) fn texts(
    definitions: &[ColumnDefinition],
    format: RowFormat,
    payload: &Bytes,
) -> Vec<Option<String>> {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match format {
        RowFormat::Text => TextRow::new(payload).map(|value| value.unwrap().map(utf8)).collect(),
        RowFormat::Binary => BinaryRow::new(payload, &binary(definitions))
            .unwrap()
            .map(|value| match value.unwrap() {
                Value::Null => None,
                Value::Int(value) => Some(value.to_string()),
                Value::UInt(value) => Some(value.to_string()),
                Value::Double(value) => Cell::Double(value).text().map(|text| utf8(&text)),
                Value::Bytes(bytes) => Some(utf8(bytes)),
                Value::DateTime(value) => Some(value.to_string()),
                Value::Time(value) => Some(value.to_string()),
                other => panic!("{other:?}"),
            })
            .collect(),
    }
}

/// Drive a merge; `picks` chooses whose row comes where any may.
pub(super) fn run(
    plan: &Merge,
    format: RowFormat,
    definitions: &[ColumnDefinition],
    shards: &[Vec<Bytes>],
    picks: &[usize],
    limits: MergeLimits,
) -> Result<Vec<Bytes>, MergeError> {
    let mut merger = Merger::new(plan, format, shards.len(), limits);
    let mut next = vec![0; shards.len()];
    let mut out = Vec::new();
    let mut picks = picks.iter().cycle();
    for shard in 0..shards.len() {
        merger.columns(shard, definitions)?;
    }
    let visible = definitions.len() - plan.hidden;
    assert_eq!(merger.visible_columns(), Some(&definitions[..visible]));
    loop {
        let source = match merger.step()? {
            Step::Row(row) => {
                out.push(row);
                continue;
            }
            Step::Done => return Ok(out),
            Step::Need(Wanted::Source(source)) => source,
            Step::Need(Wanted::Any) => {
                let open: Vec<_> = (0..shards.len())
                    .filter(|shard| next[*shard] <= shards[*shard].len())
                    .collect();
                open[picks.next().unwrap() % open.len()]
            }
        };
        match shards[source].get(next[source]) {
            Some(row) => merger.push(source, row.clone())?,
            None => merger.end(source)?,
        }
        next[source] += 1;
    }
}
