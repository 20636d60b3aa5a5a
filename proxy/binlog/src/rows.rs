//! Rows events: which rows of one table were inserted, updated or deleted, as images.

use std::sync::Arc;

use bytes::Bytes;

use crate::compress;
use crate::error::DecodeError;
use crate::header::RowsKind;
use crate::reader::Reader;
use crate::table_map::{COLUMNS_MAX, TableMap, is_set};
use crate::value::{self, Value};

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It is new.
    Insert,
    /// It has other values.
    Update,
    /// It is gone.
    Delete,
}

/// One image of a row: a value for each column of the table map, `None` where the image lacks it
/// (`binlog_row_image`).
pub type Row = Vec<Option<Value>>;

/// A row's images.
#[derive(Clone, Debug, PartialEq)]
pub struct RowImages {
    /// As it was; of updates and deletes.
    pub before: Option<Row>,
    /// As it is; of inserts and updates.
    pub after: Option<Row>,
}

/// A rows event whose rows are decoded one by one.
#[derive(Clone, Debug)]
pub struct Rows {
    table: Arc<TableMap>,
    change: ChangeKind,
    flags: u16,
    /// Columns of the only or the first image.
    first: Vec<u8>,
    /// Columns of an update's second image.
    second: Vec<u8>,
    data: Reader,
}

/// The id of a rows event that has no table: it only ends a statement.
const NO_TABLE: u64 = 0xff_ffff;
/// The flag of the last rows event of a statement.
const STATEMENT_END: u16 = 1;

/// A rows event before its table is known.
pub(crate) struct RawRows {
    pub(crate) table_id: u64,
    flags: u16,
    body: Reader,
}

impl RawRows {
    pub(crate) fn decode(
        body: Bytes,
        kind: RowsKind,
        id_length: usize,
    ) -> Result<Self, DecodeError> {
        let mut body = Reader::new(body);
        let table_id = body.uint(id_length, "table id")?;
        let flags = body.u16("rows flags")?;
        if kind.extra {
            let field = "rows header's extra data";
            let length = usize::from(body.u16(field)?);
            let length = length.checked_sub(2).ok_or(DecodeError::Invalid { field })?;
            body.skip(length, field)?;
        }
        Ok(Self { table_id, flags, body })
    }

    /// Whether it is the last of its statement.
    pub(crate) fn ends_statement(&self) -> bool {
        self.flags & STATEMENT_END != 0
    }

    /// Whether it has neither table nor rows.
    pub(crate) fn is_dummy(&self) -> bool {
        self.table_id == NO_TABLE
    }

    pub(crate) fn of(self, table: Arc<TableMap>, kind: RowsKind) -> Result<Rows, DecodeError> {
        let mut body = self.body;
        let field = "rows' columns";
        let count = usize::try_from(body.lenenc(field)?)
            .ok()
            .filter(|count| *count <= COLUMNS_MAX)
            .ok_or(DecodeError::TooLarge { field, limit: COLUMNS_MAX })?;
        if count != table.columns.len() {
            return Err(DecodeError::Invalid { field });
        }
        let first = body.bytes(count.div_ceil(8), field)?.to_vec();
        let second = match kind.change {
            ChangeKind::Update => body.bytes(count.div_ceil(8), field)?.to_vec(),
            ChangeKind::Insert | ChangeKind::Delete => Vec::new(),
        };
        let data =
            if kind.compressed { Reader::new(compress::event_rest(&mut body)?) } else { body };
        let rows = Rows { table, change: kind.change, flags: self.flags, first, second, data };
        if rows.data.is_empty() {
            // An image without columns has no bytes: how many rows there are cannot be told.
            return Err(DecodeError::Invalid { field: "rows without values" });
        }
        Ok(rows)
    }
}

impl Rows {
    /// The table.
    pub fn table(&self) -> &Arc<TableMap> {
        &self.table
    }

    /// What happened to the rows.
    pub fn change(&self) -> ChangeKind {
        self.change
    }

    /// Whether it is the last event of its statement.
    pub fn ends_statement(&self) -> bool {
        self.flags & STATEMENT_END != 0
    }

    fn image(&mut self, second: bool) -> Result<Row, DecodeError> {
        let present = if second { &self.second } else { &self.first };
        let count = (0..self.table.columns.len()).filter(|place| is_set(present, *place)).count();
        let nulls = self.data.bytes(count.div_ceil(8), "row's nulls")?;
        let mut row = Vec::with_capacity(self.table.columns.len());
        let mut taken = 0;
        for (place, column) in self.table.columns.iter().enumerate() {
            if !is_set(present, place) {
                row.push(None);
                continue;
            }
            let null = is_set(&nulls, taken);
            taken += 1;
            row.push(Some(match null {
                true => Value::Null,
                false => value::decode(&mut self.data, column)?,
            }));
        }
        Ok(row)
    }

    fn images(&mut self) -> Result<RowImages, DecodeError> {
        let left = self.data.remaining();
        let images = match self.change {
            ChangeKind::Insert => RowImages { before: None, after: Some(self.image(false)?) },
            ChangeKind::Delete => RowImages { before: Some(self.image(false)?), after: None },
            ChangeKind::Update => {
                let before = Some(self.image(false)?);
                RowImages { before, after: Some(self.image(true)?) }
            }
        };
        if self.data.remaining() == left {
            return Err(DecodeError::Invalid { field: "rows without values" });
        }
        Ok(images)
    }
}

/// Row by row; ends after the first error.
impl Iterator for Rows {
    type Item = Result<RowImages, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.data.is_empty() {
            return None;
        }
        let images = self.images();
        if images.is_err() {
            self.data.rest();
        }
        Some(images)
    }
}

#[cfg(test)]
mod tests;
