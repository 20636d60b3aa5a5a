//! What the rows of a scatter look like: their protocol, and for each column how its
//! values travel and how they compare.

use super::MergeError;
use shardline_router::plan::ColumnRef;
use shardline_wire::{
    column::ColumnDefinition,
    value::{ColumnType, Layout as ValueLayout},
};

/// The protocol of the rows, in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// Rows of COM_QUERY.
    Text,
    /// Rows of COM_STMT_EXECUTE.
    Binary,
}

/// How values compare and add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    /// Integers and years.
    Integer {
        /// The sign bit counts.
        unsigned: bool,
    },
    /// FLOAT: compared as printed in the text protocol (six digits).
    Float,
    /// DOUBLE.
    Double,
    /// DECIMAL.
    Decimal,
    /// DATE, DATETIME and TIMESTAMP.
    Date,
    /// TIME.
    Time,
    /// BIT: a big-endian number.
    Bit,
    /// Everything else: bytes.
    Bytes,
}

/// One column of the shards' results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) domain: Domain,
    pub(crate) wire: ValueLayout,
    pub(crate) decimals: u8,
}

/// All columns.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) format: RowFormat,
    pub(crate) columns: Vec<Column>,
    pub(crate) visible: usize,
}

impl Layout {
    pub(crate) fn new(
        format: RowFormat,
        definitions: &[ColumnDefinition],
        hidden: usize,
    ) -> Result<Self, MergeError> {
        let visible = definitions.len().checked_sub(hidden).filter(|visible| *visible > 0);
        let visible =
            visible.ok_or(MergeError::TooFewColumns { columns: definitions.len(), hidden })?;
        let columns = definitions
            .iter()
            .enumerate()
            .map(|(index, definition)| {
                column_of(definition).ok_or(MergeError::Value { column: index })
            })
            .collect::<Result<_, _>>()?;
        Ok(Layout { format, columns, visible })
    }

    /// The index of a column that the plan names.
    pub(crate) fn index_of(&self, column: ColumnRef) -> Result<usize, MergeError> {
        let (index, end) = match column {
            ColumnRef::Visible(index) => (index, self.visible),
            ColumnRef::Hidden(index) => (self.visible.saturating_add(index), self.columns.len()),
        };
        if index < end { Ok(index) } else { Err(MergeError::NoSuchColumn { column }) }
    }

    /// Whether rows of `other` can be merged with rows of this layout.
    pub(crate) fn agrees_with(&self, other: &Layout) -> bool {
        self.columns.len() == other.columns.len()
            && self.columns.iter().zip(&other.columns).all(|(one, other)| {
                one.domain == other.domain
                    && (one.wire == other.wire || self.format == RowFormat::Text)
            })
    }
}

fn column_of(definition: &ColumnDefinition) -> Option<Column> {
    let wire = definition.kind.layout()?;
    let domain = match wire {
        ValueLayout::Int1 | ValueLayout::Int2 | ValueLayout::Int4 | ValueLayout::Int8 => {
            Domain::Integer { unsigned: definition.unsigned() }
        }
        ValueLayout::Float => Domain::Float,
        ValueLayout::Double => Domain::Double,
        ValueLayout::Date | ValueLayout::DateTime => Domain::Date,
        ValueLayout::Time => Domain::Time,
        ValueLayout::Bytes => match definition.kind {
            ColumnType::Decimal | ColumnType::NewDecimal => Domain::Decimal,
            ColumnType::Bit => Domain::Bit,
            _ => Domain::Bytes,
        },
        ValueLayout::Nothing => Domain::Bytes,
    };
    Some(Column { domain, wire, decimals: definition.decimals })
}
