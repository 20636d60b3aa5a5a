//! From a binlog's events to the local transactions that have to do with transactions over several
//! shards. Rows of all others are passed over without being decoded.

use super::{Changes, Local, Note, ROWS_MAX};
use crate::txn::{
    sql::{FENCED, PREPARED, RESOLVED, decision_of, participants_of},
    xid::Xid,
};
use shardline_binlog::{Body, ChangeKind, DecodeError, Event, Row, Rows, Value};
use shardline_model::id::ShardId;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Bytes of one local transaction that are kept until its end.
const BYTES_MAX: usize = 64 << 20;
/// Characters of a row that an alarm shows.
const TEXT_MAX: usize = 512;

/// Gathers one local transaction after the other.
#[derive(Default)]
pub(crate) struct Gatherer {
    open: Option<Open>,
}

#[derive(Default)]
struct Open {
    notes: Vec<Note>,
    rows: Vec<Rows>,
    bytes: usize,
    unread: Option<String>,
}

impl Gatherer {
    /// Whether a transaction has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the next event as the decoder gave it. A local transaction, when this was its end.
    pub(crate) fn push(&mut self, event: Result<Event, DecodeError>) -> Option<Local> {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                if let Some(open) = &mut self.open {
                    open.unread.get_or_insert(error.to_string());
                }
                return None;
            }
        };
        let length = event.header.length as usize;
        match event.body {
            Body::MariadbGtid(_) | Body::MysqlGtid(_) => {
                self.open = Some(Open::default());
                None
            }
            Body::Payload(inner) => {
                let mut found = None;
                for event in inner {
                    found = self.push(Ok(event)).or(found);
                }
                found
            }
            Body::Query(query) if query.is("BEGIN") => {
                self.open.get_or_insert_default();
                None
            }
            Body::Query(query) if query.is("ROLLBACK") => {
                self.open = None;
                None
            }
            Body::Query(query) if query.is("COMMIT") => self.end(),
            Body::Xid(_) => self.end(),
            Body::Rows(rows) => {
                if let Some(open) = &mut self.open {
                    open.rows(rows, length);
                }
                None
            }
            // A server that died inside a transaction has not committed it.
            Body::Format(_) | Body::Stop => {
                self.open = None;
                None
            }
            Body::Query(_)
            | Body::Rotate(_)
            | Body::Heartbeat(_)
            | Body::MariadbGtidList(_)
            | Body::PreviousGtids(_)
            | Body::Statement(_)
            | Body::TableMap(_)
            | Body::StatementEnd
            | Body::Nothing => None,
        }
    }

    fn end(&mut self) -> Option<Local> {
        let open = self.open.take()?;
        if open.notes.is_empty() {
            return None;
        }
        let mut changes = Changes { unread: open.unread, ..Changes::default() };
        for rows in open.rows {
            changes.add(rows);
        }
        Some(Local { notes: open.notes, changes })
    }
}

impl Open {
    fn rows(&mut self, rows: Rows, length: usize) {
        let table = rows.table();
        if &*table.database != "_shardline" {
            self.bytes = self.bytes.saturating_add(length);
            if self.bytes > BYTES_MAX {
                self.rows = Vec::new();
                let limit = BYTES_MAX >> 20;
                self.unread.get_or_insert(format!("a transaction of more than {limit} MiB"));
            } else {
                self.rows.push(rows);
            }
            return;
        }
        let read = match &*table.table {
            "branch" => branch,
            "gtx" => gtx,
            _ => return,
        };
        let kind = rows.change();
        for images in rows {
            match images {
                Ok(images) => {
                    let note = read(kind, images.before.as_ref(), images.after.as_ref());
                    self.notes.extend(note);
                }
                Err(error) => {
                    self.unread.get_or_insert(error.to_string());
                }
            }
        }
    }
}

impl Changes {
    fn add(&mut self, rows: Rows) {
        let table = rows.table().clone();
        let name = format!("{}.{}", table.database, table.table);
        let mut shape = DefaultHasher::new();
        format!("{:?}", table.columns).hash(&mut shape);
        self.shapes.insert(name.clone(), shape.finish());
        for images in rows {
            let images = match images {
                Ok(images) => images,
                Err(error) => {
                    self.unread.get_or_insert(error.to_string());
                    return;
                }
            };
            if self.rows.len() < ROWS_MAX {
                let text = |row: &Option<Row>| row.as_ref().map_or("none".into(), shown);
                let (before, after) = (text(&images.before), text(&images.after));
                self.rows.push(format!("{name}: {before} -> {after}"));
            }
            if let Some(row) = &images.before {
                self.sum = self.sum.wrapping_sub(hash(&name, row));
            }
            if let Some(row) = &images.after {
                self.sum = self.sum.wrapping_add(hash(&name, row));
            }
        }
    }
}

/// A row as an alarm shows it.
fn shown(row: &Row) -> String {
    let values: Vec<String> = row.iter().map(|value| format!("{value:?}")).collect();
    values.join(", ").chars().take(TEXT_MAX).collect()
}

/// Of a row of a table, by the bits of its values.
fn hash(table: &str, row: &Row) -> u128 {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        table.hash(&mut hasher);
        for value in row {
            // Its text tells values apart bit by bit, but for NaNs, which servers do not store.
            format!("{value:?}").hash(&mut hasher);
        }
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

fn branch(kind: ChangeKind, before: Option<&Row>, after: Option<&Row>) -> Option<Note> {
    let row = before.or(after)?;
    let xid = xid(row)?;
    let state = number(row.get(1)?)?;
    match kind {
        ChangeKind::Insert if state == u64::from(PREPARED) => {
            let anchor = ShardId(u32::try_from(number(row.get(2)?)?).ok()?);
            Some(Note::Prepared { xid, anchor, branches: participants(row.get(3)?)? })
        }
        ChangeKind::Insert if state == u64::from(FENCED) => Some(Note::Fenced { xid }),
        ChangeKind::Delete if state == u64::from(PREPARED) => Some(Note::Removed { xid }),
        ChangeKind::Delete if state == u64::from(RESOLVED) => Some(Note::Resolved { xid }),
        ChangeKind::Insert | ChangeKind::Delete | ChangeKind::Update => None,
    }
}

fn gtx(kind: ChangeKind, before: Option<&Row>, after: Option<&Row>) -> Option<Note> {
    match kind {
        ChangeKind::Insert => {
            let row = after?;
            let xid = xid(row)?;
            let decision = decision_of(u8::try_from(number(row.get(1)?)?).ok()?)?;
            Some(Note::Decided { xid, decision, branches: participants(row.get(2)?)? })
        }
        ChangeKind::Update => {
            let (before, after) = (before?, after?);
            let same = xid(before) == xid(after)
                && number(before.get(1)?) == number(after.get(1)?)
                && participants(before.get(2)?) == participants(after.get(2)?);
            (!same).then(|| xid(before).map(|xid| Note::Turned { xid })).flatten()
        }
        ChangeKind::Delete => None,
    }
}

fn xid(row: &Row) -> Option<Xid> {
    let Some(Some(Value::Bytes(name))) = row.first() else { return None };
    // Zeros at the end are not logged.
    let mut full = [0; 16];
    full.get_mut(..name.len())?.copy_from_slice(name);
    Some(Xid::from_bytes(full))
}

fn number(value: &Option<Value>) -> Option<u64> {
    match value {
        Some(Value::UInt(number)) => Some(*number),
        Some(Value::Int(number)) => Some(*number as u64),
        _ => None,
    }
}

fn participants(value: &Option<Value>) -> Option<Vec<ShardId>> {
    let Some(Value::Bytes(bytes)) = value else { return None };
    participants_of(bytes)
}
