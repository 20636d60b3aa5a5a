//! The keys of the rows that an INSERT or REPLACE makes, or meets by them.

use crate::{
    bind::{column_index, primary_key},
    lexer::TokenKind,
    parse::Pieces,
    planner::insert::{
        ColumnPlace, InsertForm, Row,
        bind::{RowId, row_ids, shard_key},
        known, listed_columns, read,
    },
    route::Values,
    template::BindInput,
    touch::{Home, Keys, TouchedRows, has_other_unique_keys, primary_key_types, space_of},
};
use shardline_model::{
    catalog::{Catalog, Table},
    key::{Key, KeyType, KeyUse, Literal},
};
use smallvec::SmallVec;
use std::ops::Range;

/// Where the values of a row's primary key are.
#[derive(Debug)]
pub(crate) struct PrimaryPlaces {
    places: SmallVec<[ColumnPlace; 1]>,
    key_types: SmallVec<[KeyType; 1]>,
}

impl PrimaryPlaces {
    /// Of a broadcast or single table; None when other keys than those of the rows may be
    /// met: by another unique key, or since a row that is there gets another primary key.
    pub(crate) fn of(
        table: &Table,
        pieces: &Pieces<'_>,
        tail: Range<usize>,
        place: impl Fn(usize) -> ColumnPlace,
    ) -> Option<Self> {
        let columns = primary_key(table)?.columns.iter();
        let columns = columns.map(|name| column_index(table, name));
        let columns = columns.collect::<Option<SmallVec<[usize; 1]>>>()?;
        if has_other_unique_keys(table) || reassigns(table, pieces, tail, &columns) {
            return None;
        }
        let places = columns.into_iter().map(place).collect();
        Some(Self { places, key_types: primary_key_types(table)? })
    }

    /// The primary key that a row will have; None when the text does not tell it. `id` is
    /// what the cluster's sequence has to do with it.
    fn key(
        &self,
        table: &Table,
        row: &Row,
        id: Option<&RowId>,
        values: &Values<'_>,
    ) -> Option<Key> {
        let mut key = Key::new();
        for (place, key_type) in self.places.iter().zip(&self.key_types) {
            let is_auto = table.auto_increment == Some(place.column);
            let literal = match (is_auto, id) {
                (true, Some(RowId::Generated(id))) => Literal::Integer(i128::from(*id)),
                (true, Some(RowId::Explicit(id))) => Literal::Integer(*id),
                _ => values.get(known(&row.values.get(place.position?)?.1)?)?,
            };
            // The server gives the value.
            if is_auto
                && id.is_none()
                && !matches!(literal, Literal::Integer(number) if number != 0)
            {
                return None;
            }
            key.push(key_type.canonical(&literal, KeyUse::Store).ok()?);
        }
        Some(key)
    }
}

/// Whether ON DUPLICATE KEY UPDATE assigns one of these columns.
pub(crate) fn reassigns(
    table: &Table,
    pieces: &Pieces<'_>,
    tail: Range<usize>,
    columns: &[usize],
) -> bool {
    let on = tail.clone().find(|i| pieces.are_words(*i, &["ON", "DUPLICATE", "KEY", "UPDATE"]));
    let Some(on) = on else { return false };
    pieces.split_commas(on + 4..tail.end).into_iter().any(|assignment| {
        let equal = assignment.clone().find(|i| pieces.is(*i, TokenKind::Equal));
        let name = equal.and_then(|equal| pieces.identifier(equal.checked_sub(1)?));
        let column = name.and_then(|name| column_index(table, &name));
        column.is_none_or(|column| columns.contains(&column))
    })
}

/// The rows of an INSERT that the cluster places. Ids are those that it was bound to.
pub(crate) fn of_form(
    form: &InsertForm,
    input: &BindInput<'_>,
    values: &Values<'_>,
) -> TouchedRows {
    let keys = form_keys(form, input, values).unwrap_or(Keys::Unpinned);
    TouchedRows { space: space_of(&form.table), keys }
}

fn form_keys(form: &InsertForm, input: &BindInput<'_>, values: &Values<'_>) -> Option<Keys> {
    let ids = row_ids(form, input, values).ok()?;
    // The unique value of an id may have been that of a row with another shard key.
    let explicit = || ids.iter().any(|id| matches!(id, RowId::Explicit(_)));
    if form.id_is_uncovered && (form.reassigns_id || explicit()) {
        return None;
    }
    let rows = form.rows.iter().enumerate();
    let sharded = form.table.sharding().is_some();
    let keys = rows.map(|(number, row)| match sharded {
        true => shard_key(form, row, values, ids.get(number)).ok(),
        false => form.primary.as_ref()?.key(&form.table, row, ids.get(number), values),
    });
    let keys = keys.collect::<Option<Vec<Key>>>()?;
    let key_types = match &form.primary {
        Some(primary) => primary.key_types.as_slice(),
        None => form.key_types.as_slice(),
    };
    Some(Home::of(&form.table).listed(&keys, key_types, input.catalog))
}

/// The rows of an INSERT into a single table, whose text a server takes as it is.
pub(crate) fn of_text(table: &Table, values: &Values<'_>, catalog: &Catalog) -> TouchedRows {
    let keys = text_keys(table, values, catalog).unwrap_or(Keys::Unpinned);
    TouchedRows { space: space_of(table), keys }
}

fn text_keys(table: &Table, values: &Values<'_>, catalog: &Catalog) -> Option<Keys> {
    let pieces = Pieces::of(values.sql, values.mode).ok()?;
    let head = read::head(&pieces).filter(|head| !head.query)?;
    let columns = listed_columns(&head, table).ok()?;
    let (layout, rows) = read::body(&pieces, &head, columns.len())?;
    let place = |column| ColumnPlace {
        column,
        position: columns.iter().position(|listed| *listed == column),
        default: None,
    };
    let primary = PrimaryPlaces::of(table, &pieces, layout.tail, place)?;
    let keys = rows.iter().map(|row| {
        let whole = row.values.len() == columns.len();
        whole.then(|| primary.key(table, row, None, values)).flatten()
    });
    let keys = keys.collect::<Option<Vec<Key>>>()?;
    Some(Home::of(table).listed(&keys, &primary.key_types, catalog))
}
