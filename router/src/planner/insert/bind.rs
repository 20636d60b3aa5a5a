//! An INSERT for one execution: ids first, then the shard of every row, then the texts.

use crate::{
    lexer::{Lexer, SqlMode},
    parse::Pieces,
    plan::{Affected, InsertId, Plan, Refusal, ShardStatement, Single, Target, Write},
    planner::{
        functions,
        insert::{ColumnPlace, InsertForm, Layout, Row, known, read::Source},
    },
    route::{Destination, Values},
    splice::Edit,
    template::{BindError, BindInput, Editor},
};
use shardline_model::{
    catalog::{Catalog, ColocationGroup, Sharding, TableKind},
    id::ShardId,
    key::{Key, KeyError, KeyPart, KeyType, KeyUse, Literal},
};
use smallvec::SmallVec;
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// What a row's AUTO_INCREMENT column gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowId {
    /// A new one from the sequence.
    Generated(u64),
    /// What the statement says.
    Explicit(i128),
}

/// The plan of one execution.
pub(crate) fn bind(
    form: &InsertForm,
    input: &BindInput<'_>,
    values: &Values<'_>,
    editor: &Editor<'_>,
) -> Result<Plan, BindError> {
    let ids = row_ids(form, input, values)?;
    let insert_id = insert_id(form, &ids);
    let edits = id_edits(form, &ids);
    let one_row = place_one(form, input.catalog, values, &ids).map_err(BindError::Refused)?;
    let placed = match one_row {
        Some(_) => BTreeMap::new(),
        None => place(form, input.catalog, values, &ids).map_err(BindError::Refused)?,
    };
    let can_be_one = form.table.sharding().is_some() || input.catalog.shards.len() == 1;
    let alone = placed.keys().next().copied().filter(|_| placed.len() == 1 && can_be_one);
    if let Some(shard) = one_row.or(alone) {
        check_others(form, values, input.catalog, shard)?;
        let replaces_parameter = edits.iter().any(|edit| !edit.pieces.is_empty());
        let sql = editor.single(edits, replaces_parameter).map_err(BindError::Refused)?;
        return Ok(Plan::Single(Single {
            target: Target::Shard(shard),
            sql,
            traits: form.traits,
            insert_id,
        }));
    }
    check_several(form)?;
    let affected = match form.table.kind {
        TableKind::Broadcast => Affected::Copies,
        TableKind::Sharded(_) | TableKind::Single { .. } => Affected::Sum,
    };
    let pieces = editor.pieces().map_err(BindError::Refused)?;
    let splicer = editor.splicer(&pieces, edits, true);
    let mut parts = Vec::with_capacity(placed.len());
    for (shard, rows) in &placed {
        parts.push(ShardStatement { shard: *shard, sql: part(form, &pieces, rows, &splicer) });
    }
    let reason = match affected {
        Affected::Copies => {
            format!("broadcast table {} has a copy on every shard", form.table.name)
        }
        Affected::Sum => format!("the rows of {} belong to several shards", form.table.name),
    };
    Ok(Plan::Write(Write {
        parts,
        opens_no_snapshot: form.traits.opens_no_snapshot,
        affected,
        insert_id,
        reason,
    }))
}

fn refused<T>(reason: impl Into<String>, hint: &str) -> Result<T, BindError> {
    Err(BindError::Refused(Refusal::not_supported(reason, hint)))
}

fn check_others(
    form: &InsertForm,
    values: &Values<'_>,
    catalog: &Catalog,
    shard: ShardId,
) -> Result<(), BindError> {
    match form.others.destination(values, catalog) {
        Destination::Anywhere => Ok(()),
        Destination::One(other) if other == shard => Ok(()),
        _ => refused(
            "the subqueries of this INSERT read other shards than the one that it writes",
            "read the values first and INSERT them as literals",
        ),
    }
}

fn check_several(form: &InsertForm) -> Result<(), BindError> {
    if form.returning {
        return refused("RETURNING would come from each shard", "insert the rows one by one");
    }
    functions::assigned_once(form.traits.assigns_variables).map_err(BindError::Refused)?;
    if form.others != crate::route::Route::default() {
        return refused(
            "an INSERT into several shards has subqueries",
            "read the values first and INSERT them as literals",
        );
    }
    Ok(())
}

/// The ids of rows; one is kept in place.
pub(crate) type RowIds = SmallVec<[RowId; 1]>;

/// The id of every row; empty when the table has no AUTO_INCREMENT column.
pub(crate) fn row_ids(
    form: &InsertForm,
    input: &BindInput<'_>,
    values: &Values<'_>,
) -> Result<RowIds, BindError> {
    let Some(auto) = &form.auto else { return Ok(RowIds::new()) };
    let mut ids = RowIds::with_capacity(form.rows.len());
    let mut generated = 0u64;
    for row in &form.rows {
        let id = match explicit_id(form, row, auto, values)? {
            Some(value) => RowId::Explicit(value),
            None => {
                generated += 1;
                RowId::Generated(generated - 1)
            }
        };
        ids.push(id);
    }
    if form.ids_only_generated && ids.iter().any(|id| matches!(id, RowId::Explicit(_))) {
        let column = &form.table.columns[auto.column].name;
        return refused(
            format!(
                "an explicit value for '{column}', whose uniqueness over the shards only the cluster's sequence keeps"
            ),
            "leave the column out, or SET shardline_allow_explicit_ids = 1 and vouch for unique values",
        );
    }
    if generated == 0 {
        return Ok(ids);
    }
    let needed = BindError::NeedsIds { table: form.table.id, count: generated };
    let range = input.ids.clone().ok_or_else(|| needed.clone())?;
    if range.end.saturating_sub(range.start) < generated {
        return Err(needed);
    }
    for id in &mut ids {
        if let RowId::Generated(number) = id {
            *number += range.start;
        }
    }
    Ok(ids)
}

/// The id that a row names; None when the sequence gives one.
fn explicit_id(
    form: &InsertForm,
    row: &Row,
    auto: &ColumnPlace,
    values: &Values<'_>,
) -> Result<Option<i128>, BindError> {
    let column = &form.table.columns[auto.column].name;
    let Some(position) = auto.position else { return Ok(None) };
    let value = match row.values.get(position).map(|(_, source)| source) {
        None | Some(Source::Default) => return Ok(None),
        Some(source) => known(source).and_then(|value| values.get(value)),
    };
    let number = match value {
        Some(Literal::Null) => return Ok(None),
        Some(Literal::Integer(number)) => number,
        Some(Literal::Text(text)) if text.parse::<i128>().is_ok() => text.parse().unwrap_or(0),
        _ => {
            return refused(
                format!("the value of AUTO_INCREMENT column '{column}' is not a plain number"),
                "give an integer literal, NULL or DEFAULT",
            );
        }
    };
    Ok((number != 0 || values.mode.no_auto_value_on_zero).then_some(number))
}

fn insert_id(form: &InsertForm, ids: &[RowId]) -> InsertId {
    let first = ids.iter().find_map(|id| match id {
        RowId::Generated(id) => Some(*id),
        RowId::Explicit(_) => None,
    });
    if let Some(first) = first {
        return InsertId::Generated(first);
    }
    let explicit = |id: &RowId| match id {
        RowId::Explicit(id) => u64::try_from(*id).ok(),
        RowId::Generated(_) => None,
    };
    match (ids.iter().filter_map(explicit).next_back(), ids.iter().filter_map(explicit).max()) {
        (Some(shown), Some(high)) => InsertId::Explicit { shown, high, table: form.table.id },
        _ => InsertId::None,
    }
}

/// The rows of each shard.
fn place(
    form: &InsertForm,
    catalog: &Catalog,
    values: &Values<'_>,
    ids: &[RowId],
) -> Result<BTreeMap<ShardId, Vec<usize>>, Refusal> {
    let mut placed: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
    match &form.table.kind {
        TableKind::Broadcast => {
            for shard in catalog.shards.keys() {
                placed.insert(*shard, (0..form.rows.len()).collect());
            }
        }
        TableKind::Single { shard } => {
            placed.insert(*shard, (0..form.rows.len()).collect());
        }
        TableKind::Sharded(sharding) => {
            let group = group_of(sharding, catalog)?;
            for (number, row) in form.rows.iter().enumerate() {
                let owner = owner(form, group, values, number, row, ids.get(number))?;
                placed.entry(owner).or_default().push(number);
            }
        }
    }
    Ok(placed)
}

/// The shard of a sharded table's only row, found without a map.
fn place_one(
    form: &InsertForm,
    catalog: &Catalog,
    values: &Values<'_>,
    ids: &[RowId],
) -> Result<Option<ShardId>, Refusal> {
    let (TableKind::Sharded(sharding), [row]) = (&form.table.kind, form.rows.as_slice()) else {
        return Ok(None);
    };
    owner(form, group_of(sharding, catalog)?, values, 0, row, ids.first()).map(Some)
}

fn group_of<'c>(sharding: &Sharding, catalog: &'c Catalog) -> Result<&'c ColocationGroup, Refusal> {
    let group = catalog.groups.get(&sharding.group);
    group
        .map(Arc::as_ref)
        .ok_or_else(|| Refusal::not_supported("the table's placement is missing", "retry"))
}

/// The shard of one row.
fn owner(
    form: &InsertForm,
    group: &ColocationGroup,
    values: &Values<'_>,
    number: usize,
    row: &Row,
    id: Option<&RowId>,
) -> Result<ShardId, Refusal> {
    let key = shard_key(form, row, values, id)?;
    group.placement.owner(&key, &form.key_types).ok_or_else(|| Refusal {
        code: 1526,
        reason: format!(
            "Table '{}' has no shard for the key of row {}",
            form.table.name,
            number + 1
        ),
        hint: "add a range or a list of values (or DEFAULT) for it to the table's placement".into(),
    })
}

/// The shard key of one row.
pub(crate) fn shard_key(
    form: &InsertForm,
    row: &Row,
    values: &Values<'_>,
    id: Option<&RowId>,
) -> Result<Key, Refusal> {
    let mut key = Key::new();
    for (place, key_type) in form.key.iter().zip(&form.key_types) {
        key.push(key_part(form, row, place, key_type, values, id)?);
    }
    Ok(key)
}

fn key_part(
    form: &InsertForm,
    row: &Row,
    place: &ColumnPlace,
    key_type: &KeyType,
    values: &Values<'_>,
    id: Option<&RowId>,
) -> Result<KeyPart, Refusal> {
    let column = &form.table.columns[place.column].name;
    let is_auto = form.table.auto_increment == Some(place.column);
    if let (true, Some(RowId::Generated(id))) = (is_auto, id) {
        return store(key_type, &Literal::Integer(i128::from(*id)), column);
    }
    match place.position.and_then(|p| row.values.get(p)).map(|(_, source)| source) {
        Some(Source::Expression) => Err(Refusal::not_supported(
            format!("the value of shard key column '{column}' is an expression"),
            "give it as a literal or a parameter",
        )),
        Some(Source::Value(value)) => match values.get(*value) {
            Some(literal) => store(key_type, &literal, column),
            None => Err(inexact(column, "the value is not understood")),
        },
        Some(Source::Default) | None => default_part(place, key_type, column, values.mode),
    }
}

fn default_part(
    place: &ColumnPlace,
    key_type: &KeyType,
    column: &str,
    mode: SqlMode,
) -> Result<KeyPart, Refusal> {
    let Some(default) = &place.default else {
        return Err(Refusal {
            code: 1364,
            reason: format!("Field '{column}' doesn't have a default value"),
            hint: "give the shard key column a value".into(),
        });
    };
    // The server prints defaults with backslash escapes whatever the session's mode.
    let mode = SqlMode { no_backslash_escapes: false, ansi_quotes: false, ..mode };
    let sql = default.text.as_bytes();
    let literal = Lexer::tokenize(sql, mode).ok().and_then(|tokens| {
        let pieces = Pieces::from_tokens(&tokens);
        let negative = pieces.is(0, crate::lexer::TokenKind::Minus);
        let at = usize::from(negative);
        let value = crate::conjunct::piece_value(&pieces, at, negative)?;
        let mut digest = crate::digest::Digest::new();
        digest.scan(sql, mode).ok()?;
        let values = Values { sql, mode, literals: &digest.literals, params: &[] };
        (pieces.len() == at + 1)
            .then(|| values.get(value))
            .flatten()
            .map(|literal| store(key_type, &literal, column))
    });
    literal.unwrap_or_else(|| {
        Err(Refusal::not_supported(
            format!("the default of shard key column '{column}' is not a literal"),
            "give the column a value in the statement",
        ))
    })
}

fn store(key_type: &KeyType, literal: &Literal<'_>, column: &str) -> Result<KeyPart, Refusal> {
    key_type.canonical(literal, KeyUse::Store).map_err(|error| match error {
        KeyError::Null => Refusal {
            code: 1048,
            reason: format!("Column '{column}' cannot be null"),
            hint: "a shard key column needs a value".into(),
        },
        KeyError::Inexact { .. } => inexact(column, &error.to_string()),
    })
}

fn inexact(column: &str, why: &str) -> Refusal {
    Refusal::not_supported(
        format!("the shard of this row is not certain: for shard key column '{column}', {why}"),
        "give the value in the column's own type and range",
    )
}

/// The edits that put generated ids into the text.
fn id_edits(form: &InsertForm, ids: &[RowId]) -> Vec<Edit> {
    let Some(auto) = &form.auto else { return Vec::new() };
    let mut edits = Vec::new();
    let mut added = false;
    for (row, id) in form.rows.iter().zip(ids) {
        let RowId::Generated(id) = id else { continue };
        let number = id.to_string().into_bytes();
        match auto.position {
            Some(position) => {
                if let Some((range, _)) = row.values.get(position) {
                    edits.push(Edit { pieces: range.clone(), text: number });
                }
            }
            None => {
                added = true;
                edits.push(added_value(form, &form.layout, row, auto, number));
            }
        }
    }
    if added && !form.layout.set_form {
        edits.push(added_column(form, auto));
    }
    edits
}

fn quoted_name(form: &InsertForm, auto: &ColumnPlace) -> Vec<u8> {
    format!("`{}`", form.table.columns[auto.column].name.replace('`', "``")).into_bytes()
}

fn added_value(
    form: &InsertForm,
    layout: &Layout,
    row: &Row,
    auto: &ColumnPlace,
    number: Vec<u8>,
) -> Edit {
    let comma: &[u8] = if row.values.is_empty() { b"" } else { b", " };
    if layout.set_form {
        let at = row.pieces.end;
        return Edit {
            pieces: at..at,
            text: [comma, &quoted_name(form, auto), b" = ", &number].concat(),
        };
    }
    let at = row.pieces.end - 1;
    Edit { pieces: at..at, text: [comma, &number].concat() }
}

fn added_column(form: &InsertForm, auto: &ColumnPlace) -> Edit {
    let name = quoted_name(form, auto);
    match form.layout.list_close {
        Some((close, empty)) => {
            let comma: &[u8] = if empty { b"" } else { b", " };
            Edit { pieces: close..close, text: [comma, &name].concat() }
        }
        None => {
            let at = form.layout.values_word;
            Edit { pieces: at..at, text: [b"(", name.as_slice(), b")"].concat() }
        }
    }
}

/// Head, the shard's rows, tail.
fn part(
    form: &InsertForm,
    pieces: &Pieces<'_>,
    rows: &[usize],
    splicer: &crate::splice::Splicer<'_>,
) -> Vec<u8> {
    if rows.len() == form.rows.len() {
        return splicer.text(0..pieces.len());
    }
    let join = |text: &mut Vec<u8>, range: Range<usize>| {
        let copied = splicer.text(range);
        if !copied.is_empty() && !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(&copied);
    };
    let mut text = splicer.text(form.layout.head.clone());
    for (number, row) in rows.iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        join(&mut text, form.rows[*row].pieces.clone());
    }
    join(&mut text, form.layout.tail.clone());
    text
}
