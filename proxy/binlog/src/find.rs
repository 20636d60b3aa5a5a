//! Finds the one transaction of a stream that inserts a certain row, without decoding the rows of others.
//!
//! A transaction is told by a row that it may have last, so its events are kept undecoded, up to a limit,
//! until its end. What cannot be read inside of other transactions (statements, XA, other engines)
//! does not matter and is passed over; inside of the wanted one it is the error.

use crate::control::Query;
use crate::decoder::{Body, Event};
use crate::error::DecodeError;
use crate::rows::{ChangeKind, Row, Rows};
use crate::table_map::TableMap;
use crate::transaction::{CollectError, Collector, Limits, Progress, Transaction};

/// The row that tells the wanted transaction.
#[derive(Clone, Copy)]
pub struct Mark<'a> {
    /// The database of its table.
    pub database: &'a str,
    /// Its table.
    pub table: &'a str,
    /// Whether a row that is inserted there is the one.
    pub is_it: &'a (dyn Fn(&Row) -> bool + Sync),
}

/// See the module's text.
pub struct Finder<'a> {
    mark: Mark<'a>,
    /// The tables whose changes are wanted.
    wanted: &'a (dyn Fn(&TableMap) -> bool + Sync),
    limits: Limits,
    open: Option<Open>,
}

/// A transaction that has begun.
#[derive(Default)]
struct Open {
    events: Vec<Event>,
    bytes: usize,
    found: bool,
    spoiled: Option<CollectError>,
}

impl<'a> Finder<'a> {
    /// A finder between transactions.
    pub fn new(
        mark: Mark<'a>,
        wanted: &'a (dyn Fn(&TableMap) -> bool + Sync),
        limits: Limits,
    ) -> Self {
        Self { mark, wanted, limits, open: None }
    }

    /// Takes the next event as the decoder gave it. The transaction when this was its end.
    ///
    /// # Errors
    /// The wanted transaction is there and cannot be gathered, or an event outside of any
    /// transaction cannot be decoded.
    pub fn push(
        &mut self,
        event: Result<Event, DecodeError>,
    ) -> Result<Option<Transaction>, CollectError> {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.unreadable(error),
        };
        match event.body {
            Body::MariadbGtid(_) | Body::MysqlGtid(_) => {
                self.open = Some(Open { events: vec![event], ..Open::default() });
                Ok(None)
            }
            Body::Payload(inner) => {
                for event in inner {
                    if let Some(found) = self.push(Ok(event))? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            Body::Query(ref query) if query.is("BEGIN") && self.open.is_none() => {
                self.open = Some(Open { events: vec![event], ..Open::default() });
                Ok(None)
            }
            Body::Query(ref query) if ends(query) => self.end(event),
            Body::Xid(_) => self.end(event),
            Body::Query(_) => {
                self.keep(event);
                Ok(None)
            }
            Body::Rows(ref rows) => {
                let (is_mark, wanted) = (self.is_mark(rows)?, (self.wanted)(rows.table()));
                if let Some(open) = &mut self.open {
                    open.found |= is_mark;
                }
                if wanted {
                    self.keep(event);
                }
                Ok(None)
            }
            // A server that died inside a transaction has not committed it.
            Body::Format(_) | Body::Stop => {
                self.open = None;
                Ok(None)
            }
            Body::Rotate(_)
            | Body::Heartbeat(_)
            | Body::MariadbGtidList(_)
            | Body::PreviousGtids(_)
            | Body::Statement(_)
            | Body::TableMap(_)
            | Body::StatementEnd
            | Body::Nothing => Ok(None),
        }
    }

    fn is_mark(&self, rows: &Rows) -> Result<bool, CollectError> {
        let (table, mark) = (rows.table(), &self.mark);
        let there = rows.change() == ChangeKind::Insert
            && *table.table == *mark.table
            && *table.database == *mark.database;
        if !there {
            return Ok(false);
        }
        for images in rows.clone() {
            if images?.after.as_ref().is_some_and(mark.is_it) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn keep(&mut self, event: Event) {
        let Some(open) = &mut self.open else { return };
        open.bytes = open.bytes.saturating_add(event.header.length as usize);
        if open.bytes > self.limits.bytes_max {
            open.spoil(CollectError::TooManyBytes { limit: self.limits.bytes_max });
        }
        if open.spoiled.is_none() {
            open.events.push(event);
        }
    }

    fn unreadable(&mut self, error: DecodeError) -> Result<Option<Transaction>, CollectError> {
        let of_others = match &error {
            DecodeError::Unsupported { .. }
            | DecodeError::UnknownEvent { .. }
            | DecodeError::Incident { .. }
            | DecodeError::UnsupportedColumn { .. }
            | DecodeError::UnknownTable { .. } => true,
            DecodeError::Truncated { .. }
            | DecodeError::Invalid { .. }
            | DecodeError::TooLarge { .. }
            | DecodeError::Checksum { .. } => false,
        };
        if !of_others {
            return Err(error.into());
        }
        if let Some(open) = &mut self.open {
            open.spoil(error.into());
        }
        Ok(None)
    }

    fn end(&mut self, event: Event) -> Result<Option<Transaction>, CollectError> {
        let Some(open) = self.open.take().filter(|open| open.found) else { return Ok(None) };
        if let Some(error) = open.spoiled {
            return Err(error);
        }
        let mut collector = Collector::new(self.limits);
        for event in open.events.into_iter().chain([event]) {
            if let Progress::Transaction(found) = collector.push(event, self.wanted)? {
                return Ok(Some(found));
            }
        }
        Err(CollectError::OutOfOrder { event: "the end" })
    }
}

impl Open {
    fn spoil(&mut self, error: CollectError) {
        self.events = Vec::new();
        self.spoiled.get_or_insert(error);
    }
}

fn ends(query: &Query) -> bool {
    query.is("COMMIT") || query.is("ROLLBACK")
}
