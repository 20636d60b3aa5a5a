//! Rows of the text and of the binary protocol: readers that copy nothing, and writers.

use bytes::{BufMut, BytesMut};

use crate::cursor::{DecodeError, Reader};
use crate::lenenc;
use crate::value::{ColumnType, Value};

/// Iterates over the values of a text row: `None` is NULL. Ends after an error.
#[derive(Clone, Debug)]
pub struct TextRow<'a> {
    reader: Reader<'a>,
}

impl<'a> TextRow<'a> {
    /// The values of `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { reader: Reader::new(payload) }
    }
}

impl<'a> Iterator for TextRow<'a> {
    type Item = Result<Option<&'a [u8]>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let value = self.reader.lenenc_bytes_or_null("row value");
        if value.is_err() {
            self.reader.rest();
        }
        Some(value)
    }
}

/// Appends one value of a text row.
pub fn put_text(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => out.put_u8(0xfb),
        Some(text) => lenenc::put_bytes(out, text),
    }
}

/// Type and sign of a column of a binary row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryColumn {
    /// Type.
    pub kind: ColumnType,
    /// Whether integers are unsigned.
    pub unsigned: bool,
}

/// Iterates over the values of a binary row. Ends after an error.
#[derive(Clone, Debug)]
pub struct BinaryRow<'a> {
    columns: &'a [BinaryColumn],
    nulls: &'a [u8],
    reader: Reader<'a>,
    position: usize,
}

/// Bits before the first column in a binary row's null bitmap.
const NULL_BITS_OFFSET: usize = 2;

impl<'a> BinaryRow<'a> {
    /// The values of `payload`, whose columns are `columns`.
    pub fn new(payload: &'a [u8], columns: &'a [BinaryColumn]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        if reader.u8("row lead")? != 0 {
            return Err(DecodeError::Invalid { field: "row lead" });
        }
        let nulls = reader.bytes((columns.len() + NULL_BITS_OFFSET).div_ceil(8), "null bitmap")?;
        Ok(Self { columns, nulls, reader, position: 0 })
    }
}

impl<'a> Iterator for BinaryRow<'a> {
    type Item = Result<Value<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let column = self.columns.get(self.position)?;
        let bit = self.position + NULL_BITS_OFFSET;
        self.position += 1;
        if self.nulls[bit / 8] & (1 << (bit % 8)) != 0 {
            return Some(Ok(Value::Null));
        }
        let value = Value::decode(&mut self.reader, column.kind, column.unsigned);
        if value.is_err() {
            self.position = self.columns.len();
        }
        Some(value)
    }
}

/// Appends a binary row. `values` has one value for each column; a missing one is NULL.
pub fn put_binary(
    out: &mut BytesMut,
    columns: &[BinaryColumn],
    values: &[Value<'_>],
) -> Result<(), DecodeError> {
    out.put_u8(0);
    let bitmap = out.len();
    out.put_bytes(0, (columns.len() + NULL_BITS_OFFSET).div_ceil(8));
    for (index, column) in columns.iter().enumerate() {
        match values.get(index) {
            None | Some(Value::Null) => {
                let bit = index + NULL_BITS_OFFSET;
                out[bitmap + bit / 8] |= 1 << (bit % 8);
            }
            Some(value) => value.encode(column.kind, out)?,
        }
    }
    Ok(())
}
