//! One row of a shard: its payload, and where in it each value is. Nothing is copied
//! until a row must be kept.

use super::{
    MergeError,
    layout::{Layout, RowFormat},
};
use bytes::{BufMut, Bytes, BytesMut};
use shardline_wire::{cursor::Reader, lenenc, row::put_text, value::Layout as ValueLayout};
use smallvec::SmallVec;

/// Bits before the first column in a binary row's NULL bitmap.
const NULL_BITS_OFFSET: usize = 2;
/// `start` of a field that is NULL.
const NULL: u32 = u32::MAX;

/// Where a value's bytes are, without the length before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    start: u32,
    end: u32,
}

/// A row and its fields.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    payload: Bytes,
    fields: SmallVec<[Field; 12]>,
}

impl Row {
    pub(crate) fn parse(payload: Bytes, layout: &Layout) -> Result<Self, MergeError> {
        // Positions have 32 bits; the protocol's own limit of a packet is 1 GiB.
        if payload.len() >= NULL as usize {
            return Err(MergeError::Row);
        }
        let fields = match layout.format {
            RowFormat::Text => text_fields(&payload, layout)?,
            RowFormat::Binary => binary_fields(&payload, layout)?,
        };
        Ok(Row { payload, fields })
    }

    /// The bytes of a column; None is NULL.
    pub(crate) fn value(&self, column: usize) -> Option<&[u8]> {
        self.at(self.fields[column])
    }

    /// Where a column is; None is NULL.
    pub(crate) fn field(&self, column: usize) -> Option<Field> {
        let field = self.fields[column];
        (field.start != NULL).then_some(field)
    }

    /// The bytes of a field of this row; None is NULL.
    pub(crate) fn at(&self, field: Field) -> Option<&[u8]> {
        self.payload.get(field.start as usize..field.end as usize)
    }

    /// Bytes that the row takes in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Row>()
            + self.payload.len()
            + if self.fields.spilled() { self.fields.len() * size_of::<Field>() } else { 0 }
    }

    /// The same row on memory of its own, so that the network's buffer is free again.
    pub(crate) fn detached(mut self) -> Self {
        self.payload = Bytes::copy_from_slice(&self.payload);
        self
    }

    /// The payload with the visible columns alone.
    pub(crate) fn visible(&self, layout: &Layout) -> Bytes {
        if layout.visible == layout.columns.len() {
            return self.payload.clone();
        }
        match layout.format {
            RowFormat::Text => {
                let end = self.fields[..layout.visible].iter().map(|field| field.end).max();
                // A NULL is one byte that no field tells of: count those behind the last value.
                let nulls = self.fields[..layout.visible]
                    .iter()
                    .rev()
                    .take_while(|field| field.start == NULL)
                    .count();
                self.payload.slice(..end.unwrap_or(0) as usize + nulls)
            }
            RowFormat::Binary => self.visible_binary(layout),
        }
    }

    /// The values stay as they are; the NULL bitmap in front of them is shorter.
    fn visible_binary(&self, layout: &Layout) -> Bytes {
        let (bitmap, shorter) =
            (bitmap_length(layout.columns.len()), bitmap_length(layout.visible));
        let start = 1 + bitmap;
        let end = self.fields[..layout.visible].iter().map(|field| field.end as usize).max();
        let values = &self.payload[start..end.unwrap_or(0).max(start)];
        let mut out = BytesMut::with_capacity(1 + shorter + values.len());
        out.put_u8(0);
        out.put_slice(&self.payload[1..1 + shorter]);
        // Bits of columns that are gone.
        let used = layout.visible + NULL_BITS_OFFSET;
        if !used.is_multiple_of(8) {
            out[used / 8 + 1] &= (1 << (used % 8)) - 1;
        }
        out.put_slice(values);
        out.freeze()
    }
}

fn bitmap_length(columns: usize) -> usize {
    (columns + NULL_BITS_OFFSET).div_ceil(8)
}

fn text_fields(payload: &Bytes, layout: &Layout) -> Result<SmallVec<[Field; 12]>, MergeError> {
    let mut reader = Reader::new(payload);
    let mut fields = SmallVec::with_capacity(layout.columns.len());
    for _ in &layout.columns {
        let value = reader.lenenc_bytes_or_null("value").map_err(|_| MergeError::Row)?;
        let end = (payload.len() - reader.remaining()) as u32;
        fields.push(match value {
            Some(value) => Field { start: end - value.len() as u32, end },
            None => Field { start: NULL, end: 0 },
        });
    }
    if reader.is_empty() { Ok(fields) } else { Err(MergeError::Row) }
}

fn binary_fields(payload: &Bytes, layout: &Layout) -> Result<SmallVec<[Field; 12]>, MergeError> {
    let mut reader = Reader::new(payload);
    let lead = reader.u8("lead").map_err(|_| MergeError::Row)?;
    let nulls = reader.bytes(bitmap_length(layout.columns.len()), "nulls");
    let (0, Ok(nulls)) = (lead, nulls) else { return Err(MergeError::Row) };
    let mut fields = SmallVec::with_capacity(layout.columns.len());
    for (index, column) in layout.columns.iter().enumerate() {
        let bit = index + NULL_BITS_OFFSET;
        if nulls[bit / 8] & (1 << (bit % 8)) != 0 {
            fields.push(Field { start: NULL, end: 0 });
            continue;
        }
        let value = match column.wire {
            ValueLayout::Int1 => reader.bytes(1, "value"),
            ValueLayout::Int2 => reader.bytes(2, "value"),
            ValueLayout::Int4 | ValueLayout::Float => reader.bytes(4, "value"),
            ValueLayout::Int8 | ValueLayout::Double => reader.bytes(8, "value"),
            ValueLayout::Date | ValueLayout::DateTime | ValueLayout::Time => {
                reader.u8("length").and_then(|length| reader.bytes(usize::from(length), "value"))
            }
            ValueLayout::Bytes => reader.lenenc_bytes("value"),
            ValueLayout::Nothing => reader.bytes(0, "value"),
        };
        let value = value.map_err(|_| MergeError::Row)?;
        let end = (payload.len() - reader.remaining()) as u32;
        fields.push(Field { start: end - value.len() as u32, end });
    }
    if reader.is_empty() { Ok(fields) } else { Err(MergeError::Row) }
}

/// Builds a payload of `values`, whose bytes are as [`Row::value`] gives them.
pub(crate) fn encode<'a>(
    layout: &Layout,
    mut values: impl Iterator<Item = Option<&'a [u8]>>,
) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    match layout.format {
        RowFormat::Text => {
            for _ in &layout.columns {
                put_text(&mut out, values.next().flatten());
            }
        }
        RowFormat::Binary => {
            out.put_bytes(0, 1 + bitmap_length(layout.columns.len()));
            for (index, column) in layout.columns.iter().enumerate() {
                let Some(value) = values.next().flatten() else {
                    let bit = index + NULL_BITS_OFFSET;
                    out[1 + bit / 8] |= 1 << (bit % 8);
                    continue;
                };
                match column.wire {
                    ValueLayout::Bytes => lenenc::put_bytes(&mut out, value),
                    ValueLayout::Date | ValueLayout::DateTime | ValueLayout::Time => {
                        out.put_u8(value.len() as u8);
                        out.put_slice(value);
                    }
                    ValueLayout::Int1
                    | ValueLayout::Int2
                    | ValueLayout::Int4
                    | ValueLayout::Int8
                    | ValueLayout::Float
                    | ValueLayout::Double
                    | ValueLayout::Nothing => out.put_slice(value),
                }
            }
        }
    }
    out.freeze()
}
