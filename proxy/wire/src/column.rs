//! Column definitions (ColumnDefinition41), as sent before rows and in prepare responses.

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::{DecodeError, Reader};
use crate::lenenc;
use crate::value::ColumnType;

/// Column flag: NULL is not allowed.
pub const NOT_NULL: u16 = 0x0001;
/// Column flag: part of the primary key.
pub const PRIMARY_KEY: u16 = 0x0002;
/// Column flag: unsigned.
pub const UNSIGNED: u16 = 0x0020;
/// Column flag: binary collation.
pub const BINARY: u16 = 0x0080;
/// Column flag: a number, for clients that pad.
pub const NUM: u16 = 0x8000;

/// The most columns of a result (MySQL's and MariaDB's own limit).
pub const COLUMNS_MAX: usize = 4096;

/// What a client is told about one column. Texts are slices of the packet they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Database; empty for expressions.
    pub schema: Bytes,
    /// Table or its alias.
    pub table: Bytes,
    /// Table.
    pub org_table: Bytes,
    /// Column name or alias.
    pub name: Bytes,
    /// Column name in the table.
    pub org_name: Bytes,
    /// Collation number.
    pub charset: u16,
    /// Display length in bytes.
    pub length: u32,
    /// Type.
    pub kind: ColumnType,
    /// Flags.
    pub flags: u16,
    /// Digits after the point; 0x1f for floating, 0x27 for other dynamic.
    pub decimals: u8,
    /// Default value, only in answers to COM_FIELD_LIST: `None` there is SQL NULL.
    pub default: Option<Option<Bytes>>,
}

/// Collation utf8mb4_general_ci.
pub const UTF8MB4_GENERAL_CI: u16 = 45;
/// Collation number of binary data and of numbers.
pub const BINARY_CHARSET: u16 = 63;

impl ColumnDefinition {
    /// A column of text that a proxy makes itself.
    pub fn text(name: impl Into<String>, length: u32) -> Self {
        Self {
            schema: Bytes::new(),
            table: Bytes::new(),
            org_table: Bytes::new(),
            name: Bytes::from(name.into()),
            org_name: Bytes::new(),
            charset: UTF8MB4_GENERAL_CI,
            length,
            kind: ColumnType::VarString,
            flags: 0,
            decimals: 0x27,
            default: None,
        }
    }

    /// A column of integers that a proxy makes itself.
    pub fn integer(name: impl Into<String>, unsigned: bool) -> Self {
        let flags = if unsigned { BINARY | NUM | UNSIGNED } else { BINARY | NUM };
        Self {
            charset: BINARY_CHARSET,
            kind: ColumnType::LongLong,
            flags,
            decimals: 0,
            ..Self::text(name, 21)
        }
    }

    /// Whether integers of the column are unsigned.
    pub fn unsigned(&self) -> bool {
        self.flags & UNSIGNED != 0
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut BytesMut) {
        lenenc::put_bytes(out, b"def");
        for text in [&self.schema, &self.table, &self.org_table, &self.name, &self.org_name] {
            lenenc::put_bytes(out, text);
        }
        out.put_u8(0x0c);
        out.put_u16_le(self.charset);
        out.put_u32_le(self.length);
        out.put_u8(self.kind as u8);
        out.put_u16_le(self.flags);
        out.put_u8(self.decimals);
        out.put_u16_le(0);
        match &self.default {
            None => {}
            Some(None) => out.put_u8(0xfb),
            Some(Some(text)) => lenenc::put_bytes(out, text),
        }
    }

    /// Decodes a payload; texts share its memory.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        reader.lenenc_bytes("catalog")?;
        let mut text = |field| reader.lenenc_bytes(field).map(|text| payload.slice_ref(text));
        let schema = text("schema")?;
        let table = text("table")?;
        let org_table = text("original table")?;
        let name = text("column name")?;
        let org_name = text("original column name")?;
        if reader.lenenc("fixed part")? < 0x0c {
            return Err(DecodeError::Invalid { field: "fixed part" });
        }
        let charset = reader.u16("charset")?;
        let length = reader.u32("column length")?;
        let kind = ColumnType::from_byte(reader.u8("column type")?)?;
        let flags = reader.u16("column flags")?;
        let decimals = reader.u8("decimals")?;
        reader.u16("filler")?;
        let default = if reader.is_empty() {
            None
        } else {
            Some(reader.lenenc_bytes_or_null("default")?.map(|text| payload.slice_ref(text)))
        };
        Ok(Self {
            schema,
            table,
            org_table,
            name,
            org_name,
            charset,
            length,
            kind,
            flags,
            decimals,
            default,
        })
    }
}

/// Decodes the column count that begins a result set.
pub fn decode_count(payload: &[u8]) -> Result<usize, DecodeError> {
    let field = "column count";
    let mut reader = Reader::new(payload);
    let count = reader.lenenc(field)?;
    match usize::try_from(count) {
        Ok(count) if (1..=COLUMNS_MAX).contains(&count) => Ok(count),
        Ok(0) => Err(DecodeError::Invalid { field }),
        Ok(_) | Err(_) => Err(DecodeError::TooLarge { field, limit: COLUMNS_MAX }),
    }
}
