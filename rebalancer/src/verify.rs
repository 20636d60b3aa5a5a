//! Are the rows of both servers the same, to the byte? Asked piece by piece while the stream runs: a piece
//! whose checksums differ is looked at row by row, and a row that differs is looked at again after the
//! stream has brought everything that was there when it was read.

use crate::{
    chunk::{self, Range},
    error::{MoveError, Side},
    flow::{endpoint, read_tables},
    session::{READING, Session, text},
    spec::MoveSpec,
    table::Table,
    units::Membership,
};
use shardline_binlog::{
    literal::name as quoted,
    undo::{ColumnDefinition, Generated, SqlType},
};
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

/// Rows that one checksum is about.
const ROWS: u64 = 5_000;
/// How often a row that differs is looked at again.
const ATTEMPTS: u32 = 8;
/// Keys that are looked at at once.
const KEYS_MAX: usize = 200;
/// Differing rows that are named.
pub const DIFFERENCES_MAX: usize = 100;

/// A row that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `database.table`.
    pub table: String,
    /// Its primary key, for people.
    pub key: String,
    /// What is wrong.
    pub kind: DifferenceKind,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It is only on the sender.
    Missing,
    /// It is only on the receiver.
    Extra,
    /// Its values are not the same.
    Changed,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { table, key, kind } = self;
        let how = match kind {
            DifferenceKind::Missing => "is missing on the other side",
            DifferenceKind::Extra => "is only on the other side",
            DifferenceKind::Changed => "has other values",
        };
        write!(f, "row {key} of {table}, which {how}")
    }
}

/// What a comparison has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Rows that were compared.
    pub rows: u64,
    /// Pieces that were compared.
    pub pieces: u64,
    /// Pieces that differed at first, while changes were under way.
    pub rechecked: u64,
    /// Rows that differ, at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// Rows that changed at every look: nothing is known of them.
    pub undecided: u64,
}

/// Rows by primary key.
type Hashes = BTreeMap<Vec<String>, Option<String>>;

/// Compares everything. `drained` waits until what the sender has now is on the receiver.
pub(crate) async fn verify<F>(
    spec: &MoveSpec,
    from: Side,
    drained: impl Fn() -> F,
) -> Result<Verified, MoveError>
where
    F: Future<Output = Result<(), MoveError>>,
{
    let units = Membership::new(spec);
    let mut sender = Session::open(from, endpoint(spec, from), READING).await?;
    let to = from.other();
    let mut receiver = Session::open(to, endpoint(spec, to), READING).await?;
    let mut verified = Verified::default();
    for table in read_tables(&mut sender, from, spec, &units).await? {
        let mut pair = Pair { sender: &mut sender, receiver: &mut receiver, table };
        let mut after = Vec::new();
        loop {
            let sql = chunk::bound(&pair.table, &after, ROWS, false);
            let answer = pair.sender.one("the end of a piece", &sql).await?;
            let until = match answer.rows.first() {
                Some(row) => {
                    let row: Vec<Option<&[u8]>> = row.iter().map(Option::as_deref).collect();
                    Some(pair.table.key_literals(&row)?)
                }
                None => None,
            };
            let range = Range { after, until: until.clone() };
            pair.piece(&range, &drained, &mut verified).await?;
            match until {
                Some(key) => after = key,
                None => break,
            }
        }
    }
    Ok(verified)
}

struct Pair<'a> {
    sender: &'a mut Session,
    receiver: &'a mut Session,
    table: Arc<Table>,
}

impl Pair<'_> {
    async fn piece<F>(
        &mut self,
        range: &Range,
        drained: &impl Fn() -> F,
        verified: &mut Verified,
    ) -> Result<(), MoveError>
    where
        F: Future<Output = Result<(), MoveError>>,
    {
        let sql = checksum(&self.table, range);
        let (ours, theirs) = tokio::join!(
            self.sender.one("a checksum", &sql),
            self.receiver.one("a checksum", &sql)
        );
        let (ours, theirs) = (ours?, theirs?);
        verified.pieces += 1;
        verified.rows += ours.text(0).and_then(|text| text.parse().ok()).unwrap_or(0);
        if ours.rows == theirs.rows {
            return Ok(());
        }
        verified.rechecked += 1;
        let sql = hashes(&self.table, &range.inside(&self.table));
        let (ours, theirs) =
            (self.hashes(Side::Source, &sql).await?, self.hashes(Side::Target, &sql).await?);
        let keys = ours.keys().chain(theirs.keys());
        let differ = |key: &&Vec<String>| ours.get(*key) != theirs.get(*key);
        let mut keys: Vec<Vec<String>> = keys.filter(differ).cloned().collect();
        keys.sort();
        keys.dedup();
        for keys in keys.chunks(KEYS_MAX) {
            self.rows(keys.to_vec(), drained, verified).await?;
        }
        Ok(())
    }

    /// Looks at rows again until they are the same, or differ while nothing is under way.
    async fn rows<F>(
        &mut self,
        mut keys: Vec<Vec<String>>,
        drained: &impl Fn() -> F,
        verified: &mut Verified,
    ) -> Result<(), MoveError>
    where
        F: Future<Output = Result<(), MoveError>>,
    {
        for attempt in 0..ATTEMPTS {
            let condition =
                format!("{} AND {}", self.table.any_key(keys.iter()), self.table.inside);
            let sql = hashes(&self.table, &condition);
            let before = self.hashes(Side::Source, &sql).await?;
            drained().await?;
            let theirs = self.hashes(Side::Target, &sql).await?;
            let after = self.hashes(Side::Source, &sql).await?;
            let mut left = Vec::new();
            for key in keys {
                let (ours, now, there) = (before.get(&key), after.get(&key), theirs.get(&key));
                if ours == there || now == there {
                    continue;
                }
                if ours != now {
                    left.push(key);
                    continue;
                }
                if verified.differences.len() < DIFFERENCES_MAX {
                    let kind = match (ours, there) {
                        (Some(_), None) => DifferenceKind::Missing,
                        (None, _) => DifferenceKind::Extra,
                        (Some(_), Some(_)) => DifferenceKind::Changed,
                    };
                    let (table, key) = (self.table.name.clone(), self.table.key_text(&key));
                    verified.differences.push(Difference { table, key, kind });
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            keys = left;
            tokio::time::sleep(Duration::from_millis(20 << attempt)).await;
        }
        verified.undecided += keys.len() as u64;
        Ok(())
    }

    /// Rows by primary key; here the source is whoever sends.
    async fn hashes(&mut self, side: Side, sql: &str) -> Result<Hashes, MoveError> {
        let session = match side {
            Side::Source => &mut self.sender,
            Side::Target => &mut self.receiver,
        };
        let keys = self.table.primary.len();
        let mut hashes = Hashes::new();
        for row in session.one("a checksum", sql).await?.rows {
            let values: Vec<Option<&[u8]>> = row.iter().map(Option::as_deref).collect();
            hashes.insert(self.table.key_literals(&values)?, text(&row, keys));
        }
        Ok(hashes)
    }
}

/// A text that is the same for the same bytes only, as far as a hash can tell.
fn exact(column: &ColumnDefinition) -> String {
    let name = quoted(&column.name);
    match &column.kind {
        // The type of a part of a JSON has no text of its own, but a size.
        SqlType::Json => {
            format!("SHA2(CAST({name} AS CHAR), 256), JSON_STORAGE_SIZE({name}), JSON_TYPE({name})")
        }
        // Long values are not put together, since no text may be longer than a packet.
        SqlType::Text { .. } | SqlType::Binary { .. } | SqlType::Bytes => {
            format!("LENGTH({name}), SHA2(CAST({name} AS BINARY), 256)")
        }
        SqlType::Geometry | SqlType::Vector => format!("SHA2(HEX({name}), 256)"),
        SqlType::Float | SqlType::Double => {
            format!("{name} * 1e0, IF({name} = 0, ATAN2({name}, -1) < 0, 0)")
        }
        SqlType::Bit | SqlType::Enum | SqlType::Set => format!("CAST({name} AS UNSIGNED)"),
        SqlType::Int { .. }
        | SqlType::Decimal
        | SqlType::Year
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime { .. }
        | SqlType::Timestamp { .. }
        | SqlType::Uuid
        | SqlType::Inet4
        | SqlType::Inet6 => format!("CAST({name} AS CHAR)"),
    }
}

/// The hash of a row. MySQL has no MD5 any more.
fn hash(table: &Table) -> String {
    let columns = table.definition.columns.iter();
    let columns: Vec<&ColumnDefinition> =
        columns.filter(|column| column.generated == Generated::No).collect();
    let nulls: Vec<String> =
        columns.iter().map(|column| format!("{} IS NULL", quoted(&column.name))).collect();
    let values: Vec<String> = columns.iter().map(|column| exact(column)).collect();
    format!("SHA2(CONCAT_WS(',', CONCAT({}), {}), 256)", nulls.join(", "), values.join(", "))
}

/// Count and checksum of the rows of a piece, in whatever order.
fn checksum(table: &Table, range: &Range) -> String {
    let half = |start: u32| {
        format!("BIT_XOR(CAST(CONV(SUBSTRING(row_hash, {start}, 16), 16, 10) AS UNSIGNED))")
    };
    format!(
        "SELECT COUNT(*), {}, {} FROM (SELECT {} AS row_hash FROM {} FORCE INDEX (PRIMARY) WHERE {}) AS t",
        half(1),
        half(17),
        hash(table),
        table.sql_name,
        range.inside(table)
    )
}

/// Key and hash of each row.
fn hashes(table: &Table, condition: &str) -> String {
    format!(
        "SELECT {}, {} FROM {} WHERE {condition}",
        table.primary_list(),
        hash(table),
        table.sql_name
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::table;

    #[test]
    fn every_written_column_counts() {
        let sql = checksum(&table(&[&["id"]]), &Range::default());
        for part in
            ["`id` IS NULL, `k` IS NULL, `note` IS NULL", "SHA2(CAST(`note` AS BINARY), 256)"]
        {
            assert!(sql.contains(part), "{sql}");
        }
        assert!(!sql.contains("`sum`"), "{sql}");
    }
}
