//! The event that describes a table before its rows: names, column types, and what
//! `binlog_row_metadata` adds.
//!
//! Source: the servers' own comment on `Table_map_log_event`.

use bytes::Bytes;

use crate::column::ColumnType;
use crate::control::Family;
use crate::error::DecodeError;
use crate::reader::{Reader, text};

mod metadata;

/// The most columns that a table can have.
pub const COLUMNS_MAX: usize = 4_096;
/// The collation of binary strings.
pub const BINARY: u32 = 63;

/// A table as it was when its rows changed.
#[derive(Clone, Debug, PartialEq)]
pub struct TableMap {
    /// The server's id of the table: the key from its rows' events to this one.
    pub id: u64,
    /// Database.
    pub database: Box<str>,
    /// Table.
    pub table: Box<str>,
    /// Columns in their order, hidden ones included.
    pub columns: Vec<Column>,
}

/// One column of a table map. What is `None` was not logged (`binlog_row_metadata`).
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its type.
    pub kind: ColumnType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Whether it is unsigned; of numeric columns.
    pub unsigned: Option<bool>,
    /// The number of its collation; of texts and binary strings.
    pub charset: Option<u32>,
    /// Its name.
    pub name: Option<Box<str>>,
    /// The labels of an ENUM or SET.
    pub labels: Option<Vec<Bytes>>,
    /// The number of its geometry type.
    pub geometry: Option<u32>,
    /// The dimensions of a vector.
    pub dimensions: Option<u64>,
    /// Its place in the primary key.
    pub primary: Option<PrimaryPart>,
    /// Whether `SELECT *` shows it (MySQL).
    pub visible: Option<bool>,
}

/// A column's part in the primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrimaryPart {
    /// Its place in the key, from 0.
    pub place: usize,
    /// Characters or bytes of the column that are in the key; 0 for all.
    pub prefix: u64,
}

impl Column {
    pub(crate) fn new(kind: ColumnType, nullable: bool) -> Self {
        Self {
            kind,
            nullable,
            unsigned: None,
            charset: None,
            name: None,
            labels: None,
            geometry: None,
            dimensions: None,
            primary: None,
            visible: None,
        }
    }
}

impl TableMap {
    /// `database.table`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }

    /// Reads a body.
    pub(crate) fn decode(
        body: Bytes,
        family: Family,
        id_length: usize,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let id = reader.uint(id_length, "table id")?;
        reader.skip(2, "table flags")?;
        let database = name(&mut reader, "database")?;
        let table = name(&mut reader, "table")?;
        let count = reader.lenenc_count("column count")?;
        if count > COLUMNS_MAX {
            return Err(DecodeError::TooLarge { field: "column count", limit: COLUMNS_MAX });
        }
        let kinds = reader.bytes(count, "column types")?;
        let mut metadata = Reader::new(reader.lenenc_bytes("column metadata")?);
        let nullable = reader.bytes(count.div_ceil(8), "nullable columns")?;
        let mut columns = Vec::with_capacity(count);
        for (place, kind) in kinds.iter().enumerate() {
            let found = ColumnType::decode(*kind, &mut metadata)?;
            let decoded = found.ok_or_else(|| DecodeError::UnsupportedColumn {
                table: format!("{database}.{table}"),
                column: place,
                kind: *kind,
            })?;
            columns.push(Column::new(decoded, is_set(&nullable, place)));
        }
        if !metadata.is_empty() {
            return Err(DecodeError::Invalid { field: "column metadata" });
        }
        metadata::read(&mut reader, family, &mut columns)?;
        Ok(Self { id, database, table, columns })
    }
}

/// Whether a bitmap has a bit; the lowest bit of a byte comes first.
pub(crate) fn is_set(bitmap: &[u8], place: usize) -> bool {
    bitmap.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
}

/// A name with its length before and a NUL after it.
fn name(reader: &mut Reader, field: &'static str) -> Result<Box<str>, DecodeError> {
    let length = usize::from(reader.u8(field)?);
    let name = reader.bytes(length, field)?;
    reader.skip(1, field)?;
    text(&name, field)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `d.t (id INT UNSIGNED, name VARCHAR(20) utf8mb4, e ENUM)` with full metadata.
    pub(crate) fn body() -> Vec<u8> {
        let mut body = vec![7, 0, 0, 0, 0, 0, 1, 0];
        body.extend(b"\x01d\0\x01t\0");
        body.extend([3, 3, 15, 254, 4, 80, 0, 247, 1, 0b110]);
        body.extend([1, 1, 0x80]);
        body.extend([2, 1, 45]);
        body.extend(b"\x04\x0a\x02id\x04name\x01e");
        body.extend(b"\x06\x05\x02\x01a\x01b");
        body.extend([8, 1, 0]);
        body.extend([12, 1, 0b1100_0000]);
        body
    }

    #[test]
    fn reads_all_metadata() {
        let map = TableMap::decode(Bytes::from(body()), Family::Mysql, 6).expect("a table map");
        assert_eq!((map.id, map.full_name().as_str()), (7, "d.t"));
        let [id, name, label] = &map.columns[..] else { panic!("{:?}", map.columns) };
        assert_eq!((id.unsigned, id.nullable), (Some(true), false));
        assert_eq!(id.primary, Some(PrimaryPart { place: 0, prefix: 0 }));
        assert_eq!((name.name.as_deref(), name.charset), (Some("name"), Some(45)));
        assert_eq!(label.labels.as_ref().map(Vec::len), Some(2));
        assert_eq!((name.visible, label.visible), (Some(true), Some(false)));
    }

    #[test]
    fn every_cut_is_an_error_or_lacks_metadata() {
        let body = body();
        let fixed = 24;
        for end in 0..body.len() {
            let map = TableMap::decode(Bytes::copy_from_slice(&body[..end]), Family::Mysql, 6);
            assert!(end >= fixed || map.is_err(), "{end}");
        }
    }

    #[test]
    fn unknown_types_are_named() {
        let mut body = body();
        body[15] = 20;
        let error =
            TableMap::decode(Bytes::from(body), Family::Mysql, 6).expect_err("a typed array");
        assert_eq!(error.to_string(), "column 0 of d.t has type 20, which cannot be decoded");
    }
}
