//! A table that moves: its definition as the servers give it, and the texts that follow from it.

use crate::{
    batch::Tuple,
    error::{MoveError, Side},
    key, literal,
    session::{Row as TextRow, Session, text},
    spec::TableSpec,
    units::Membership,
};
use shardline_binlog::{
    Row, Value,
    literal::name as quoted,
    undo::{ColumnDefinition, Generated, TableDefinition, UndoError, definition, image},
};
use shardline_model::{hash, key::Key};

/// How rows are spread over the lanes that write them. Rows of one lane are written in the order of the
/// log; so two rows that can ever have a unique value in common, one after the other, share a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// By primary key: it is the only unique key, and equal only when its bytes are.
    PrimaryKey,
    /// By shard key: every unique key contains it.
    ShardKey,
    /// Not at all.
    OneLane,
}

/// A table, known from one of the servers.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its place among the tables of the move.
    pub(crate) number: usize,
    /// The definition.
    pub(crate) definition: TableDefinition,
    /// `database.table`.
    pub(crate) name: String,
    /// The same in backticks.
    pub(crate) sql_name: String,
    /// Places of the primary key's columns in the definition.
    pub(crate) primary: Vec<usize>,
    /// Places of the shard key's columns.
    pub(crate) shard_key: Vec<usize>,
    /// Places of the columns that are written.
    written: Vec<usize>,
    /// Every unique key by its columns, the primary key first; a column that is none is empty.
    pub(crate) unique_keys: Vec<Vec<String>>,
    /// How its rows are spread.
    pub(crate) spread: Spread,
    /// Whether some unique key lacks the shard key: then a row of other units can be in the way.
    pub(crate) guarded: bool,
    /// Places of the columns that alone are a unique key and no shard key.
    guards: Vec<usize>,
    /// True for exactly the rows that move.
    pub(crate) inside: String,
}

impl Table {
    /// Reads the definition.
    pub(crate) async fn read(
        session: &mut Session,
        side: Side,
        number: usize,
        spec: &TableSpec,
        units: &Membership,
    ) -> Result<Self, MoveError> {
        const WHAT: &str = "the definition of a table";
        let mut answers: [Vec<definition::TextRow>; 5] = Default::default();
        for (answer, query) in
            answers.iter_mut().zip(definition::queries(&spec.database, &spec.table))
        {
            *answer = session.one(WHAT, &query).await?.rows.iter().map(texts).collect();
        }
        let definition = TableDefinition::from_rows(&spec.database, &spec.table, answers);
        let definition = definition.map_err(|error| MoveError::row(&error))?;
        let rows = session.one(WHAT, &unique_keys_sql(spec)).await?.rows;
        Table::of(number, definition, unique_keys(&rows), spec, units)
            .ok_or_else(|| missing_column(side, spec))
    }

    fn of(
        number: usize,
        definition: TableDefinition,
        unique_keys: Vec<Vec<String>>,
        spec: &TableSpec,
        units: &Membership,
    ) -> Option<Self> {
        let place = |name: &String| {
            let same = |column: &ColumnDefinition| column.name.eq_ignore_ascii_case(name);
            definition.columns.iter().position(same)
        };
        let primary: Vec<usize> =
            definition.primary_key.iter().map(place).collect::<Option<_>>()?;
        let shard_key: Vec<usize> = spec.key_columns.iter().map(place).collect::<Option<_>>()?;
        let written = definition.columns.iter().enumerate();
        let written = written.filter(|(_, column)| column.generated == Generated::No);
        let written = written.map(|(place, _)| place).collect();
        let has_shard_key = |key: &Vec<String>| {
            let has = |name: &String| key.iter().any(|column| column.eq_ignore_ascii_case(name));
            spec.key_columns.iter().all(has)
        };
        let guarded = !unique_keys.iter().all(has_shard_key);
        let alone = unique_keys.iter().filter(|key| key.len() == 1 && !has_shard_key(key));
        let guards = alone.filter_map(|key| place(&key[0])).collect();
        let plain = primary.iter().all(|place| key::is_plain(&definition.columns[*place].kind));
        let spread = if unique_keys.len() == 1 && plain {
            Spread::PrimaryKey
        } else if guarded {
            Spread::OneLane
        } else {
            Spread::ShardKey
        };
        let columns: Vec<&str> =
            shard_key.iter().map(|place| definition.columns[*place].name.as_str()).collect();
        Some(Self {
            number,
            name: spec.full_name(),
            sql_name: format!("{}.{}", quoted(&spec.database), quoted(&spec.table)),
            inside: units.sql(&columns),
            primary,
            shard_key,
            written,
            unique_keys,
            spread,
            guarded,
            guards,
            definition,
        })
    }

    fn column(&self, place: usize) -> &ColumnDefinition {
        &self.definition.columns[place]
    }

    /// The primary key's columns in backticks, with commas.
    pub(crate) fn primary_names(&self) -> Vec<String> {
        self.primary.iter().map(|place| quoted(&self.column(*place).name)).collect()
    }

    /// The start of a statement that writes rows: their values follow.
    pub(crate) fn replace_sql(&self) -> String {
        let names: Vec<String> =
            self.written.iter().map(|place| quoted(&self.column(*place).name)).collect();
        format!("REPLACE INTO {} ({}) VALUES ", self.sql_name, names.join(", "))
    }

    /// The columns in backticks that alone are a unique key without being the shard key: a row of other
    /// units may have the value of a row that moves.
    pub(crate) fn guards(&self) -> Vec<String> {
        self.guards.iter().map(|place| quoted(&self.column(*place).name)).collect()
    }

    /// What is selected of a row that is copied: the primary key, the shard key, the guards, the written
    /// columns.
    pub(crate) fn select_list(&self) -> String {
        let keys = self.primary.iter().chain(&self.shard_key).chain(&self.guards);
        let all = keys.chain(&self.written);
        let all: Vec<String> = all.map(|place| literal::selected(self.column(*place))).collect();
        all.join(", ")
    }

    /// What is selected of the primary key alone.
    pub(crate) fn primary_list(&self) -> String {
        let all = self.primary.iter();
        let all: Vec<String> = all.map(|place| literal::selected(self.column(*place))).collect();
        all.join(", ")
    }

    /// The primary key of a row that begins with [`Table::primary_list`], as literals.
    pub(crate) fn key_literals(&self, row: &[Option<&[u8]>]) -> Result<Vec<String>, MoveError> {
        let pairs = self.primary.iter().zip(row);
        pairs
            .map(|(place, value)| {
                let value = value.unwrap_or_default();
                literal::key_literal(&self.definition, self.column(*place), value)
                    .map_err(|error| MoveError::row(&error))
            })
            .collect()
    }

    /// Appends `(...)` of a row selected by [`Table::select_list`].
    pub(crate) fn push_tuple(
        &self,
        out: &mut Vec<u8>,
        row: &[Option<&[u8]>],
    ) -> Result<(), MoveError> {
        let skipped = self.primary.len() + self.shard_key.len() + self.guards.len();
        out.push(b'(');
        for (number, (place, value)) in
            self.written.iter().zip(row.iter().skip(skipped)).enumerate()
        {
            if number > 0 {
                out.push(b',');
            }
            literal::push_selected(out, &self.definition, self.column(*place), *value)
                .map_err(|error| MoveError::row(&error))?;
        }
        out.push(b')');
        Ok(())
    }

    /// The values of the guards of a row selected by [`Table::select_list`].
    pub(crate) fn guards_of_selected(&self, row: &[Option<&[u8]>]) -> Vec<String> {
        let values = row.iter().skip(self.primary.len() + self.shard_key.len());
        let literal = |(place, value): (&usize, &Option<&[u8]>)| {
            let value = (*value)?;
            literal::key_literal(&self.definition, self.column(*place), value).ok()
        };
        let values = self.guards.iter().zip(values).map(literal);
        values.map(|value| value.unwrap_or_else(|| "NULL".to_owned())).collect()
    }

    /// The lane of a selected row.
    pub(crate) fn lane_of_selected(
        &self,
        row: &[Option<&[u8]>],
        units: &Membership,
        lanes: usize,
    ) -> Result<usize, MoveError> {
        let keys = self.primary.len();
        let text = match self.spread {
            Spread::OneLane => Vec::new(),
            Spread::PrimaryKey => {
                self.plain_text(row.iter().map(|value| value.unwrap_or_default()))
            }
            Spread::ShardKey => {
                let key = row.get(keys..).unwrap_or_default().iter();
                let key = self.shard_key_of(key.map(|value| value.unwrap_or_default()), units)?;
                hash::canonical_text(&key, units.types())
            }
        };
        Ok(lane(self.number, &text, lanes))
    }

    fn plain_text<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut text = Vec::new();
        for (place, value) in self.primary.iter().zip(values) {
            let value = key::plain(&self.column(*place).kind, value);
            text.extend_from_slice(&(value.len() as u32).to_le_bytes());
            text.extend_from_slice(value);
        }
        text
    }

    fn shard_key_of<'a>(
        &self,
        values: impl Iterator<Item = &'a [u8]>,
        units: &Membership,
    ) -> Result<Key, MoveError> {
        let columns = self.shard_key.iter().zip(units.types()).zip(values);
        columns
            .map(|((place, key_type), value)| {
                let name = &self.column(*place).name;
                key::part(key_type, value).ok_or_else(|| key::unplaceable(&self.name, name, value))
            })
            .collect()
    }

    /// A row image as this definition sees it.
    pub(crate) fn image(&self, places: &image::Places, row: &Row) -> Result<Vec<Value>, MoveError> {
        places.values(&self.definition, row).map_err(|error| MoveError::row(&error))
    }

    /// The shard key of a row image.
    pub(crate) fn key_of_image(
        &self,
        values: &[Value],
        units: &Membership,
    ) -> Result<Key, MoveError> {
        let stored: Vec<_> = self
            .shard_key
            .iter()
            .map(|place| key::stored(&values[*place]).unwrap_or_default())
            .collect();
        self.shard_key_of(stored.iter().map(|value| &**value), units)
    }

    /// The lane of a row image with this shard key.
    pub(crate) fn lane_of_image(
        &self,
        values: &[Value],
        key: &Key,
        units: &Membership,
        lanes: usize,
    ) -> usize {
        let text = match self.spread {
            Spread::OneLane => Vec::new(),
            Spread::PrimaryKey => {
                let stored: Vec<_> = self
                    .primary
                    .iter()
                    .map(|place| key::stored(&values[*place]).unwrap_or_default())
                    .collect();
                self.plain_text(stored.iter().map(|value| &**value))
            }
            Spread::ShardKey => hash::canonical_text(key, units.types()),
        };
        lane(self.number, &text, lanes)
    }

    /// The primary key of a row image as literals.
    pub(crate) fn literals_of_image(&self, values: &[Value]) -> Result<Vec<String>, MoveError> {
        let written =
            |place: &usize| image::written(&self.definition, self.column(*place), &values[*place]);
        let all: Result<_, UndoError> = self.primary.iter().map(written).collect();
        all.map_err(|error| MoveError::row(&error))
    }

    /// A row image as a row that is written.
    pub(crate) fn tuple_of_image(&self, values: &[Value]) -> Result<Tuple, MoveError> {
        let guard =
            |place: &usize| image::written(&self.definition, self.column(*place), &values[*place]);
        let guards: Result<_, UndoError> = self.guards.iter().map(guard).collect();
        let guards = guards.map_err(|error| MoveError::row(&error))?;
        Ok(Tuple { sql: self.sql_of_image(values)?, guards })
    }

    fn sql_of_image(&self, values: &[Value]) -> Result<Vec<u8>, MoveError> {
        let mut out = vec![b'('];
        for (number, place) in self.written.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            let column = self.column(*place);
            literal::push_value(&mut out, &self.definition, column, &values[*place])
                .map_err(|error| MoveError::row(&error))?;
        }
        out.push(b')');
        Ok(out)
    }

    /// A condition for the rows with these primary keys, which are literals.
    pub(crate) fn any_key<'a>(&self, keys: impl Iterator<Item = &'a Vec<String>>) -> String {
        let names = self.primary_names();
        match &names[..] {
            [name] => {
                let keys: Vec<&str> = keys.filter_map(|key| key.first()).map(|k| &**k).collect();
                format!("{name} IN ({})", keys.join(", "))
            }
            _ => {
                let one = |key: &Vec<String>| {
                    let parts = names.iter().zip(key).map(|(name, key)| format!("{name} = {key}"));
                    format!("({})", parts.collect::<Vec<_>>().join(" AND "))
                };
                format!("({})", keys.map(one).collect::<Vec<_>>().join(" OR "))
            }
        }
    }

    /// `` `a`=1, `b`='x' `` for people.
    pub(crate) fn key_text(&self, key: &[String]) -> String {
        let names = self.primary.iter().map(|place| &self.column(*place).name);
        let parts = names.zip(key).map(|(name, key)| format!("{name}={}", readable(key)));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// A literal of a key for people: texts as texts.
fn readable(literal: &str) -> String {
    let digits = literal.split_once(" x'").and_then(|(_, rest)| rest.strip_suffix('\''));
    let Some(digits) = digits.filter(|_| literal.starts_with('_')) else {
        return literal.to_owned();
    };
    let byte = |place: usize| u8::from_str_radix(digits.get(place..place + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    match bytes.map(String::from_utf8) {
        Some(Ok(text)) if !text.chars().any(char::is_control) => format!("'{text}'"),
        Some(_) | None => literal.to_owned(),
    }
}

fn lane(table: usize, text: &[u8], lanes: usize) -> usize {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(table as u64).to_le_bytes());
    hasher.update(text);
    hasher.finalize() as usize % lanes.max(1)
}

fn texts(row: &TextRow) -> definition::TextRow {
    (0..row.len()).map(|place| text(row, place)).collect()
}

fn missing_column(side: Side, spec: &TableSpec) -> MoveError {
    let reason = format!("its shard key ({}) is not there", spec.key_columns.join(", "));
    MoveError::Row { table: format!("{} on the {side}", spec.full_name()), reason }
}

fn unique_keys_sql(spec: &TableSpec) -> String {
    let is = |column: &str, name: &str| {
        let name = shardline_binlog::literal::text("utf8mb4", name.as_bytes());
        format!("{column} = {name} AND CAST({column} AS BINARY) = CAST({name} AS BINARY)")
    };
    format!(
        "SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS \
         WHERE {} AND {} AND NON_UNIQUE = 0 ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX",
        is("TABLE_SCHEMA", &spec.database),
        is("TABLE_NAME", &spec.table)
    )
}

fn unique_keys(rows: &[TextRow]) -> Vec<Vec<String>> {
    let mut keys: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        let index = text(row, 0).unwrap_or_default();
        let column = text(row, 1).unwrap_or_default();
        match keys.last_mut() {
            Some((last, columns)) if *last == index => columns.push(column),
            Some(_) | None => keys.push((index, vec![column])),
        }
    }
    keys.into_iter().map(|(_, columns)| columns).collect()
}

#[cfg(test)]
pub(crate) mod tests;
