//! A transaction of the sender's log as changes for the lanes: only rows of the units, by what they were
//! and what they became. Pure.

use crate::{
    batch::{Change, Op},
    error::MoveError,
    position::Position,
    spec::TABLES_MAX,
    table::Table,
    units::Membership,
};
use shardline_binlog::{
    RowChange, TableMap, Transaction, Value, control::Query, undo::image::Places,
};
use std::{collections::HashMap, sync::Arc};

/// The database of the marks and of the appliers' own state.
const OWN: &str = "_shardline";
/// Tables that an applier's or a purge's transaction writes: those transactions are never carried.
const APPLIERS: [&str; 2] = ["move_lane", "move_purge"];
/// Table maps whose columns are remembered.
const MAPS_MAX: usize = TABLES_MAX;

/// Knows the tables of a move by name.
#[derive(Debug)]
pub(crate) struct Router {
    tables: Vec<Arc<Table>>,
    by_name: HashMap<(String, String), usize>,
    units: Membership,
    lanes: usize,
    move_id: Vec<u8>,
    owner: Vec<u8>,
    places: HashMap<usize, (Arc<TableMap>, Places)>,
}

/// What a transaction brings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Routed {
    /// Changes by lane.
    pub(crate) lanes: Vec<Vec<Op>>,
    /// The marks of this driver.
    pub(crate) marks: Vec<u64>,
}

/// Whether rows of a table have to be decoded.
pub(crate) fn is_wanted(by_name: &HashMap<(String, String), usize>, table: &TableMap) -> bool {
    if &*table.database == OWN {
        return &*table.table == "move_mark" || APPLIERS.contains(&&*table.table);
    }
    // The names are few and short; a lookup without copies would need a map of maps.
    by_name.contains_key(&(table.database.to_string(), table.table.to_string()))
}

impl Router {
    pub(crate) fn new(
        tables: Vec<Arc<Table>>,
        units: Membership,
        lanes: usize,
        move_id: &str,
        owner: &str,
    ) -> Self {
        let name = |table: &Arc<Table>| {
            let definition = &table.definition;
            ((definition.database.clone(), definition.table.clone()), table.number)
        };
        Self {
            by_name: tables.iter().map(name).collect(),
            tables,
            units,
            lanes,
            move_id: move_id.as_bytes().to_vec(),
            owner: owner.as_bytes().to_vec(),
            places: HashMap::new(),
        }
    }

    /// The tables' numbers by database and name.
    pub(crate) fn names(&self) -> HashMap<(String, String), usize> {
        self.by_name.clone()
    }

    /// Takes a transaction apart.
    ///
    /// # Errors
    /// DDL or a statement on a table that moves, or a row that cannot be placed or carried.
    pub(crate) fn route(
        &mut self,
        transaction: &Transaction,
        position: &Position,
    ) -> Result<Routed, MoveError> {
        for query in &transaction.statements {
            self.check_statement(query, position)?;
        }
        let mut routed = Routed { lanes: vec![Vec::new(); self.lanes], marks: Vec::new() };
        let is_own = |change: &RowChange| {
            &*change.table.database == OWN && APPLIERS.contains(&&*change.table.table)
        };
        if transaction.changes.iter().any(is_own) {
            return Ok(routed);
        }
        for change in &transaction.changes {
            if &*change.table.database == OWN {
                routed.marks.extend(self.mark(change));
            } else {
                self.change(change, &mut routed.lanes)?;
            }
        }
        Ok(routed)
    }

    /// The number in an inserted or updated row of the marks, if it is this driver's.
    fn mark(&self, change: &RowChange) -> Option<u64> {
        let bytes = |value: &Option<Value>, expected: &[u8]| match value {
            Some(Value::Bytes(bytes)) => &bytes[..] == expected,
            _ => false,
        };
        match change.after.as_ref()?.get(..4)? {
            [id, _, owner, Some(mark)] if bytes(id, &self.move_id) && bytes(owner, &self.owner) => {
                match mark {
                    Value::UInt(mark) => Some(*mark),
                    Value::Int(mark) => Some(*mark as u64),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn change(&mut self, change: &RowChange, lanes: &mut [Vec<Op>]) -> Result<(), MoveError> {
        let name = (change.table.database.to_string(), change.table.table.to_string());
        let Some(table) = self.by_name.get(&name).map(|number| self.tables[*number].clone()) else {
            return Ok(());
        };
        let places = self.places(&table, &change.table)?;
        let image = |row| match row {
            Some(row) => table.image(&places, row).map(Some),
            None => Ok(None),
        };
        let (before, after) = (image(change.before.as_ref())?, image(change.after.as_ref())?);
        let mut kept = None;
        let mut written = None;
        if let Some(after) = &after {
            let key = table.key_of_image(after, &self.units)?;
            if self.units.is_homeless(&key) {
                return Err(homeless(&table));
            }
            if self.units.contains(&key) {
                let lane = table.lane_of_image(after, &key, &self.units, self.lanes);
                let literals = table.literals_of_image(after)?;
                let upsert = Change::Upsert(table.tuple_of_image(after)?);
                kept = Some(literals.clone());
                written = Some((lane, Op { table: table.number, key: literals, change: upsert }));
            }
        }
        if let Some(before) = &before {
            let key = table.key_of_image(before, &self.units)?;
            let literals = table.literals_of_image(before)?;
            if self.units.contains(&key) && kept.as_ref() != Some(&literals) {
                let lane = table.lane_of_image(before, &key, &self.units, self.lanes);
                let gone = Op { table: table.number, key: literals, change: Change::Delete };
                lanes[lane].push(gone);
            }
        }
        if let Some((lane, op)) = written {
            lanes[lane].push(op);
        }
        Ok(())
    }

    fn places(&mut self, table: &Table, map: &Arc<TableMap>) -> Result<Places, MoveError> {
        let address = Arc::as_ptr(map) as usize;
        if let Some((_, places)) = self.places.get(&address) {
            return Ok(places.clone());
        }
        let places =
            Places::find(&table.definition, map).map_err(|error| MoveError::row(&error))?;
        if self.places.len() >= MAPS_MAX {
            self.places.clear();
        }
        // Keeping the map keeps its address its own.
        self.places.insert(address, (Arc::clone(map), places.clone()));
        Ok(places)
    }

    fn check_statement(&self, query: &Query, position: &Position) -> Result<(), MoveError> {
        let text = String::from_utf8_lossy(&query.sql).into_owned();
        let Some(kind) = kind(&text) else { return Ok(()) };
        for table in &self.tables {
            let definition = &table.definition;
            let here = query.database.eq_ignore_ascii_case(&definition.database);
            let database = here || names(&text, &definition.database);
            let concerned = match kind {
                Kind::Database => names(&text, &definition.database),
                Kind::Ddl | Kind::Rows => database && names(&text, &definition.table),
            };
            if !concerned {
                continue;
            }
            let (table, position) = (table.name.clone(), position.clone());
            let statement = shortened(&text);
            return Err(match kind {
                Kind::Rows => MoveError::Statement { table, statement, position },
                Kind::Ddl | Kind::Database => MoveError::Ddl { table, statement, position },
            });
        }
        Ok(())
    }
}

/// The error for a row that one of the two spreads has no place for.
fn homeless(table: &Table) -> MoveError {
    let reason = "its other sharding has no unit for its key, so it would be lost there: delete the row or change its \
                  key and try again, or finish the job if it has changed the sharding already";
    MoveError::Row { table: table.name.clone(), reason: reason.to_owned() }
}

/// What kind of statement may matter to tables that move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ddl,
    Database,
    Rows,
}

/// By the first words; None for what changes neither tables nor rows.
fn kind(text: &str) -> Option<Kind> {
    let without_comments = strip_comments(text);
    let mut words = without_comments.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let mut words = words.by_ref().filter(|word| !word.is_empty()).map(str::to_ascii_uppercase);
    let first = words.next()?;
    let rest: Vec<String> = words.take(6).collect();
    let has = |word: &str| rest.iter().any(|other| other == word);
    match first.as_str() {
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" => Some(Kind::Rows),
        "DROP" | "ALTER" | "CREATE" if has("TEMPORARY") => None,
        "DROP" | "ALTER"
            if matches!(rest.first().map(String::as_str), Some("DATABASE" | "SCHEMA")) =>
        {
            Some(Kind::Database)
        }
        "CREATE" if has("TABLE") || has("INDEX") || has("TRIGGER") => Some(Kind::Ddl),
        "CREATE" => None,
        "DROP" | "ALTER" => {
            let others = ["VIEW", "USER", "ROLE", "PROCEDURE", "FUNCTION", "EVENT", "SERVER"];
            (!others.iter().any(|word| rest.first().is_some_and(|first| first == word)))
                .then_some(Kind::Ddl)
        }
        "RENAME" | "TRUNCATE" => Some(Kind::Ddl),
        _ => None,
    }
}

fn strip_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        out.push_str(before);
        // What a server executes of a comment counts.
        if let Some(body) = after.strip_prefix('!') {
            rest = body.trim_start_matches(|c: char| c.is_ascii_digit());
            continue;
        }
        rest = after.split_once("*/").map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out
}

/// Whether a text has a name as a word of its own.
fn names(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    text.match_indices(&name).any(|(start, found)| {
        let before = text[..start].chars().next_back();
        let after = text[start + found.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests;
