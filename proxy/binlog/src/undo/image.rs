//! Row images as a table's definition sees them, for those who write the rows somewhere else.

use crate::rows::Row;
use crate::table_map::TableMap;
use crate::value::Value;

use super::definition::{ColumnDefinition, Generated, TableDefinition};
use super::{UndoError, expression, plan};

/// Where the columns of a definition are in the images of one table map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places(Vec<Option<usize>>);

impl Places {
    /// Finds each column that is not computed when read.
    ///
    /// # Errors
    /// The definition is not the one that the rows were logged with.
    pub fn find(definition: &TableDefinition, map: &TableMap) -> Result<Self, UndoError> {
        plan::places(definition, map).map(Self)
    }

    /// The value of each column of the definition; those computed when read are NULL.
    ///
    /// # Errors
    /// The image lacks a column, or a value is not of its column's type.
    pub fn values(&self, definition: &TableDefinition, row: &Row) -> Result<Vec<Value>, UndoError> {
        let columns = definition.columns.iter().zip(&self.0);
        columns.map(|(column, place)| value(definition, column, *place, row)).collect()
    }
}

fn value(
    definition: &TableDefinition,
    column: &ColumnDefinition,
    place: Option<usize>,
    row: &Row,
) -> Result<Value, UndoError> {
    if column.generated == Generated::Virtual {
        return Ok(Value::Null);
    }
    let value = place.and_then(|place| row.get(place)?.as_ref());
    let value = value.ok_or_else(|| UndoError::PartialImage {
        table: definition.full_name(),
        column: column.name.clone(),
    })?;
    expression::normal(value, &column.kind).map_err(|_| unfit(definition, column))
}

/// The value as SQL that gives it again, exact to the byte, in a session with the [`super::SESSION`]
/// settings; beside the column it also finds it.
///
/// # Errors
/// No SQL gives this value.
pub fn written(
    definition: &TableDefinition,
    column: &ColumnDefinition,
    value: &Value,
) -> Result<String, UndoError> {
    expression::written(column, value).map_err(|_| unfit(definition, column))
}

fn unfit(definition: &TableDefinition, column: &ColumnDefinition) -> UndoError {
    UndoError::Value { table: definition.full_name(), column: column.name.clone() }
}
