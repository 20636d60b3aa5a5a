//! One change to one undo statement.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::definition::{ColumnDefinition, Generated, TableDefinition};
use super::expression::{self, Unfit};
use super::{Subject, UndoError, UndoStatement};
use crate::literal;
use crate::rows::{ChangeKind, Row};
use crate::table_map::TableMap;
use crate::transaction::RowChange;
use crate::value::Value;

/// Columns that the servers hide from everyone, and that computed keys need.
const HIDDEN_PREFIXES: [&str; 2] = ["DB_ROW_HASH_", "!hidden!"];

/// The tables of a transaction, each matched with its definition once.
pub(super) struct Tables<'a, 'f> {
    definition: &'f dyn Fn(&str, &str) -> Option<&'a TableDefinition>,
    known: HashMap<*const TableMap, Rc<Matched<'a>>>,
}

/// A definition with the place of each of its columns in the row images.
pub(super) struct Matched<'a> {
    definition: &'a TableDefinition,
    /// `None` for columns that are not looked at: computed when read.
    places: Vec<Option<usize>>,
    /// Keeps the map's address its own.
    _map: Arc<TableMap>,
}

impl<'a, 'f> Tables<'a, 'f> {
    pub(super) fn new(definition: &'f dyn Fn(&str, &str) -> Option<&'a TableDefinition>) -> Self {
        Self { definition, known: HashMap::new() }
    }

    pub(super) fn of(&mut self, map: &Arc<TableMap>) -> Result<Rc<Matched<'a>>, UndoError> {
        if let Some(found) = self.known.get(&Arc::as_ptr(map)) {
            return Ok(Rc::clone(found));
        }
        let definition = (self.definition)(&map.database, &map.table)
            .ok_or_else(|| UndoError::NoDefinition { table: map.full_name() })?;
        definition.check()?;
        let places = places(definition, map)?;
        let matched = Rc::new(Matched { definition, places, _map: Arc::clone(map) });
        self.known.insert(Arc::as_ptr(map), Rc::clone(&matched));
        Ok(matched)
    }
}

/// Finds each column of the definition in the map: by name, or by place where names are not logged.
pub(super) fn places(
    definition: &TableDefinition,
    map: &TableMap,
) -> Result<Vec<Option<usize>>, UndoError> {
    let altered = |difference: String| UndoError::Altered { table: map.full_name(), difference };
    let mut logged: HashMap<&str, usize> = HashMap::new();
    let named = map.columns.iter().all(|column| column.name.is_some());
    for (place, column) in map.columns.iter().enumerate() {
        let Some(name) = column.name.as_deref() else { continue };
        if !HIDDEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            logged.insert(name, place);
        }
    }
    if !named && map.columns.len() != definition.columns.len() {
        let (was, is) = (map.columns.len(), definition.columns.len());
        return Err(altered(format!("it had {was} columns and has {is}")));
    }
    let mut places = Vec::with_capacity(definition.columns.len());
    for (place, column) in definition.columns.iter().enumerate() {
        let found = if named { logged.remove(column.name.as_str()) } else { Some(place) };
        if column.generated == Generated::Virtual {
            places.push(None);
            continue;
        }
        let found = found.ok_or_else(|| altered(format!("column {} is new", column.name)))?;
        if !map.columns.get(found).is_some_and(|logged| column.kind.fits(logged.kind)) {
            return Err(altered(format!("column {} has another type", column.name)));
        }
        places.push(Some(found));
    }
    match logged.keys().min().filter(|_| named) {
        Some(gone) => Err(altered(format!("column {gone} is gone"))),
        None => Ok(places),
    }
}

/// A row of the columns that are looked at, as the definition sees their values.
type Known<'a> = Vec<(&'a ColumnDefinition, Value)>;

impl<'a> Matched<'a> {
    pub(super) fn undo(
        &self,
        place: usize,
        change: &RowChange,
    ) -> Result<Option<UndoStatement>, UndoError> {
        let (sql, verify) = match change.kind {
            ChangeKind::Insert => {
                let after = self.known(change.after.as_ref(), None)?;
                (self.delete(&after)?, None)
            }
            ChangeKind::Delete => {
                let before = self.known(change.before.as_ref(), None)?;
                (self.insert(&before)?, Some(self.count(&before)?))
            }
            ChangeKind::Update => {
                let before = self.known(change.before.as_ref(), None)?;
                // An image that has only what changed is completed by the one before it.
                let after = self.known(change.after.as_ref(), change.before.as_ref())?;
                if same(&before, &after) {
                    return Ok(None);
                }
                (self.update(&before, &after)?, Some(self.count(&before)?))
            }
        };
        Ok(Some(UndoStatement { change: place, kind: change.kind, sql, verify }))
    }

    fn known(&self, row: Option<&Row>, behind: Option<&Row>) -> Result<Known<'a>, UndoError> {
        let columns = self.definition.columns.iter().zip(&self.places);
        columns
            .filter_map(|(column, place)| place.map(|place| (column, place)))
            .map(|(column, place)| {
                let of = |row: Option<&Row>| row.and_then(|row| row.get(place)?.clone());
                let value = of(row).or_else(|| of(behind));
                let value = value.ok_or_else(|| UndoError::PartialImage {
                    table: self.definition.full_name(),
                    column: column.name.clone(),
                })?;
                let value = expression::normal(&value, &column.kind);
                Ok((column, value.map_err(|unfit| self.unfit(column, unfit))?))
            })
            .collect()
    }

    fn table(&self) -> String {
        let (database, table) = (&self.definition.database, &self.definition.table);
        format!("{}.{}", literal::name(database), literal::name(table))
    }

    fn delete(&self, row: &Known<'a>) -> Result<String, UndoError> {
        Ok(format!("DELETE FROM {} WHERE {}", self.table(), self.condition(row)?))
    }

    fn count(&self, row: &Known<'a>) -> Result<String, UndoError> {
        Ok(format!("SELECT COUNT(*) FROM {} WHERE {}", self.table(), self.condition(row)?))
    }

    fn insert(&self, row: &Known<'_>) -> Result<String, UndoError> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (column, value) in row.iter().filter(|(column, _)| is_written(column)) {
            names.push(literal::name(&column.name));
            values.push(self.written(column, value)?);
        }
        let (names, values) = (names.join(", "), values.join(", "));
        Ok(format!("INSERT INTO {} ({names}) VALUES ({values})", self.table()))
    }

    /// Sets what differs, and what the server would otherwise set by itself.
    fn update(&self, before: &Known<'a>, after: &Known<'a>) -> Result<String, UndoError> {
        let mut sets = Vec::new();
        for ((column, old), (_, new)) in before.iter().zip(after) {
            if is_written(column) && (column.on_update || !old.is_identical(new)) {
                let value = self.written(column, old)?;
                sets.push(format!("{} = {value}", literal::name(&column.name)));
            }
        }
        if sets.is_empty() {
            let difference = "computed columns differ while all others are equal".to_owned();
            return Err(UndoError::Altered { table: self.definition.full_name(), difference });
        }
        let (sets, condition) = (sets.join(", "), self.condition(after)?);
        Ok(format!("UPDATE {} SET {sets} WHERE {condition}", self.table()))
    }

    pub(super) fn overwrite(&self, change: &RowChange) -> Result<Vec<String>, UndoError> {
        let mut statements = Vec::with_capacity(3);
        let mut removed = None;
        if change.after.is_some() {
            let after = self.known(change.after.as_ref(), change.before.as_ref())?;
            let key = self.key(&after)?;
            statements.push(format!("DELETE FROM {} WHERE {key}", self.table()));
            removed = Some(key);
        }
        if change.before.is_some() {
            let before = self.known(change.before.as_ref(), None)?;
            let key = self.key(&before)?;
            if removed.as_ref() != Some(&key) {
                statements.push(format!("DELETE FROM {} WHERE {key}", self.table()));
            }
            statements.push(self.insert(&before)?);
        }
        Ok(statements)
    }

    pub(super) fn subject(&self, change: &RowChange) -> Result<Subject, UndoError> {
        let row = match change.kind {
            ChangeKind::Delete => self.known(change.before.as_ref(), None)?,
            ChangeKind::Insert | ChangeKind::Update => {
                self.known(change.after.as_ref(), change.before.as_ref())?
            }
        };
        let is_key = |column: &ColumnDefinition| self.definition.primary_key.contains(&column.name);
        let readable = |row: &Known<'_>, all: bool, between: &str| {
            let shown = row.iter().filter(|(column, _)| all || is_key(column));
            let pair = |(column, value): &(&ColumnDefinition, Value)| {
                format!("{}={}", column.name, expression::readable(column, value))
            };
            shown.map(pair).collect::<Vec<_>>().join(between)
        };
        let expected = (change.kind != ChangeKind::Delete).then(|| readable(&row, true, ", "));
        let values = row.iter().map(|(column, _)| expression::read(column));
        let values = values.collect::<Vec<_>>().join(", ");
        let condition = self.key(&row)?;
        Ok(Subject {
            table: self.definition.full_name(),
            key: readable(&row, false, " AND "),
            expected,
            sql: format!("SELECT {values} FROM {} WHERE {condition} LIMIT 1", self.table()),
            columns: row.iter().map(|(column, _)| column.name.clone()).collect(),
        })
    }

    /// A condition for whatever row has the primary key of this one.
    fn key(&self, row: &Known<'a>) -> Result<String, UndoError> {
        let mut conditions = Vec::with_capacity(self.definition.primary_key.len());
        for name in &self.definition.primary_key {
            let (column, value) = self.key_column(row, name)?;
            let condition = match expression::found_by(column, value) {
                Some(condition) => condition,
                None => expression::is(column, value).map_err(|unfit| self.unfit(column, unfit))?,
            };
            conditions.push(condition);
        }
        Ok(conditions.join(" AND "))
    }

    fn key_column<'r>(
        &self,
        row: &'r Known<'a>,
        name: &str,
    ) -> Result<&'r (&'a ColumnDefinition, Value), UndoError> {
        row.iter().find(|(column, _)| column.name == name).ok_or_else(|| UndoError::Altered {
            table: self.definition.full_name(),
            difference: format!("the key's column {name} is not in its rows"),
        })
    }

    /// The primary key's columns first, in a form that its index can be searched by.
    fn condition(&self, row: &Known<'a>) -> Result<String, UndoError> {
        let mut conditions = Vec::with_capacity(row.len() + self.definition.primary_key.len());
        for name in &self.definition.primary_key {
            let (column, value) = self.key_column(row, name)?;
            conditions.extend(expression::found_by(column, value));
        }
        for (column, value) in row {
            let exact = expression::is(column, value);
            conditions.push(exact.map_err(|unfit| self.unfit(column, unfit))?);
        }
        Ok(conditions.join(" AND "))
    }

    fn written(&self, column: &ColumnDefinition, value: &Value) -> Result<String, UndoError> {
        expression::written(column, value).map_err(|unfit| self.unfit(column, unfit))
    }

    fn unfit(&self, column: &ColumnDefinition, unfit: Unfit) -> UndoError {
        let table = self.definition.full_name();
        match unfit {
            Unfit::Json => UndoError::Value { table, column: column.name.clone() },
            Unfit::Type => UndoError::Altered {
                table,
                difference: format!("column {} has another type", column.name),
            },
        }
    }
}

fn is_written(column: &ColumnDefinition) -> bool {
    column.generated == Generated::No
}

fn same(before: &Known<'_>, after: &Known<'_>) -> bool {
    before.iter().zip(after).all(|((_, old), (_, new))| old.is_identical(new))
}
