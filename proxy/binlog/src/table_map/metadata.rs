//! The optional fields at the end of a table map: a type, a length and a value each. Fields of types
//! that are not known are left out: the servers add new ones, and none changes what the others mean.

use bytes::Bytes;

use super::{COLUMNS_MAX, Column, PrimaryPart};
use crate::column::ColumnType;
use crate::control::Family;
use crate::error::DecodeError;
use crate::reader::{Reader, text};

const FIELD: &str = "table metadata";
const INVALID: DecodeError = DecodeError::Invalid { field: FIELD };

pub(super) fn read(
    reader: &mut Reader,
    family: Family,
    columns: &mut [Column],
) -> Result<(), DecodeError> {
    let is_text = match family {
        Family::Mariadb => is_text_or_geometry,
        Family::Mysql => is_text_or_vector,
    };
    while !reader.is_empty() {
        let kind = reader.u8(FIELD)?;
        let mut value = Reader::new(reader.lenenc_bytes(FIELD)?);
        match kind {
            1 => signs(value.rest(), columns)?,
            2 => default_charset(&mut value, columns, is_text, set_charset)?,
            3 => each(&mut value, columns, is_text, set_charset)?,
            4 => names(&mut value, columns)?,
            5 => labels(&mut value, columns, is_set)?,
            6 => labels(&mut value, columns, is_enum)?,
            7 => each(&mut value, columns, is_geometry, |column, kind| {
                column.geometry = u32::try_from(kind).ok();
            })?,
            8 => primary_key(&mut value, columns, false)?,
            9 => primary_key(&mut value, columns, true)?,
            10 => default_charset(&mut value, columns, is_label, set_charset)?,
            11 => each(&mut value, columns, is_label, set_charset)?,
            12 => visibility(&value.rest(), columns),
            13 => each(&mut value, columns, is_vector, |column, dimensions| {
                column.dimensions = Some(dimensions);
            })?,
            _ => {
                value.rest();
            }
        }
        if !value.is_empty() {
            return Err(INVALID);
        }
    }
    Ok(())
}

fn is_text(column: &Column) -> bool {
    column.kind.is_text()
}

/// MariaDB counts geometries among the columns with a character set.
fn is_text_or_geometry(column: &Column) -> bool {
    is_text(column) || is_geometry(column)
}

/// MySQL counts vectors.
fn is_text_or_vector(column: &Column) -> bool {
    is_text(column) || is_vector(column)
}

fn is_set(column: &Column) -> bool {
    matches!(column.kind, ColumnType::Set { .. })
}

fn is_enum(column: &Column) -> bool {
    matches!(column.kind, ColumnType::Enum { .. })
}

fn is_label(column: &Column) -> bool {
    is_set(column) || is_enum(column)
}

fn is_geometry(column: &Column) -> bool {
    matches!(column.kind, ColumnType::Geometry { .. })
}

fn is_vector(column: &Column) -> bool {
    matches!(column.kind, ColumnType::Vector { .. })
}

fn set_charset(column: &mut Column, number: u64) {
    column.charset = u32::try_from(number).ok();
}

/// Bits from the highest of each byte on, one for each numeric column.
fn signs(bits: Bytes, columns: &mut [Column]) -> Result<(), DecodeError> {
    let numeric = columns.iter_mut().filter(|column| column.kind.is_numeric());
    let mut count = 0usize;
    for (place, column) in numeric.enumerate() {
        column.unsigned = Some(from_highest(&bits, place));
        count = place + 1;
    }
    if bits.len() == count.div_ceil(8) { Ok(()) } else { Err(INVALID) }
}

fn from_highest(bits: &[u8], place: usize) -> bool {
    bits.get(place / 8).is_some_and(|byte| byte << (place % 8) & 0x80 != 0)
}

fn visibility(bits: &[u8], columns: &mut [Column]) {
    for (place, column) in columns.iter_mut().enumerate() {
        column.visible = Some(from_highest(bits, place));
    }
}

/// A number that most of the chosen columns have, then pairs of a place among them and a number.
fn default_charset(
    value: &mut Reader,
    columns: &mut [Column],
    chosen: fn(&Column) -> bool,
    set: fn(&mut Column, u64),
) -> Result<(), DecodeError> {
    let default = value.lenenc(FIELD)?;
    let mut chosen: Vec<&mut Column> = columns.iter_mut().filter(|column| chosen(column)).collect();
    chosen.iter_mut().for_each(|column| set(column, default));
    while !value.is_empty() {
        let place = usize::try_from(value.lenenc(FIELD)?).map_err(|_| INVALID)?;
        let number = value.lenenc(FIELD)?;
        set(chosen.get_mut(place).ok_or(INVALID)?, number);
    }
    Ok(())
}

/// A number for each of the chosen columns.
fn each(
    value: &mut Reader,
    columns: &mut [Column],
    chosen: fn(&Column) -> bool,
    set: fn(&mut Column, u64),
) -> Result<(), DecodeError> {
    for column in columns.iter_mut().filter(|column| chosen(column)) {
        set(column, value.lenenc(FIELD)?);
    }
    Ok(())
}

fn names(value: &mut Reader, columns: &mut [Column]) -> Result<(), DecodeError> {
    for column in columns {
        column.name = Some(text(&value.lenenc_bytes(FIELD)?, "column name")?);
    }
    Ok(())
}

fn labels(
    value: &mut Reader,
    columns: &mut [Column],
    chosen: fn(&Column) -> bool,
) -> Result<(), DecodeError> {
    for column in columns.iter_mut().filter(|column| chosen(column)) {
        let count = value.lenenc_count(FIELD)?;
        let labels = (0..count).map(|_| value.lenenc_bytes(FIELD));
        column.labels = Some(labels.collect::<Result<_, _>>()?);
    }
    Ok(())
}

fn primary_key(
    value: &mut Reader,
    columns: &mut [Column],
    with_prefix: bool,
) -> Result<(), DecodeError> {
    for place in 0..COLUMNS_MAX {
        if value.is_empty() {
            return Ok(());
        }
        let column = usize::try_from(value.lenenc(FIELD)?).map_err(|_| INVALID)?;
        let prefix = if with_prefix { value.lenenc(FIELD)? } else { 0 };
        columns.get_mut(column).ok_or(INVALID)?.primary = Some(PrimaryPart { place, prefix });
    }
    Err(INVALID)
}
