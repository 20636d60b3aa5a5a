//! Results as servers send them, and what the proxy does with them: the relay's walk
//! over the packets of one shard, and the merge of three shards' rows.

use super::routing::Session;
use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};
use shardline_proxy::merge::{MergeLimits, Merger, RowFormat, Step, Wanted};
use shardline_router::plan::{Merge, Plan};
use shardline_wire::{
    capability::Capabilities,
    column::ColumnDefinition,
    packet,
    relay::{EndPacket, Request, ResponseTracker},
    response::EofPacket,
    row::put_text,
    value::ColumnType,
};

/// Shards whose rows are merged.
pub const SHARDS: usize = 3;
/// The bytes of a row's value, those of sysbench's `c`.
const VALUE_BYTES: usize = 120;

/// A text result of one column with `rows` values of 120 bytes, as packets.
pub fn result(rows: usize) -> BytesMut {
    let mut out = BytesMut::new();
    let mut sequence = 1;
    let end = EofPacket::default();
    packet::encode(&[1], &mut sequence, &mut out);
    packet::encode_with(&mut out, &mut sequence, |out| {
        ColumnDefinition::text("c", 120).encode(out);
    });
    packet::encode_with(&mut out, &mut sequence, |out| end.encode(out));
    for _ in 0..rows {
        packet::encode_with(&mut out, &mut sequence, |out| {
            put_text(out, Some(&[b'x'; VALUE_BYTES]));
        });
    }
    packet::encode_with(&mut out, &mut sequence, |out| end.encode(out));
    out
}

/// Walks over a whole result as the relay does; whether it found its end.
pub fn walk(bytes: &[u8]) -> bool {
    let mut tracker = ResponseTracker::new(
        Request::Query,
        Capabilities::SERVER.without(Capabilities::DEPRECATE_EOF),
        EndPacket::Forward,
    );
    tracker.feed(bytes).is_ok_and(|progress| progress.complete)
}

/// The results of three shards and how they become one.
#[derive(Debug)]
pub struct Shards {
    plan: Merge,
    columns: Vec<ColumnDefinition>,
    rows: Vec<Vec<Bytes>>,
}

fn integer(name: &str) -> ColumnDefinition {
    ColumnDefinition { kind: ColumnType::LongLong, ..ColumnDefinition::text(name, 20) }
}

impl Shards {
    /// Sorted rows `(number, text)`, merged by the number: `rows` of each shard.
    ///
    /// # Errors
    /// The statement is planned in another way.
    pub fn ordered(rows: usize) -> anyhow::Result<Self> {
        let columns = vec![integer("k"), ColumnDefinition::text("c", 120)];
        let value = |shard, row| (row * SHARDS + shard, "x".repeat(VALUE_BYTES));
        Self::new("SELECT k, c FROM sbtest1 ORDER BY k", columns, shards(rows, value))
    }

    /// Rows `(key, count)` of as many groups as one shard has rows, with their counts added up.
    ///
    /// # Errors
    /// The statement is planned in another way.
    pub fn grouped(rows: usize) -> anyhow::Result<Self> {
        let columns = vec![integer("k"), integer("COUNT(*)")];
        let value = |shard: usize, row| (row, (shard + 1).to_string());
        Self::new("SELECT k, COUNT(*) FROM sbtest1 GROUP BY k", columns, shards(rows, value))
    }

    fn new(
        sql: &str,
        columns: Vec<ColumnDefinition>,
        rows: Vec<Vec<Bytes>>,
    ) -> anyhow::Result<Self> {
        let Plan::Scatter(scatter) = Session::new()?.route(sql, None)? else {
            bail!("{sql} is not a scatter");
        };
        ensure!(scatter.merge.hidden == 0, "{sql} has hidden columns");
        Ok(Self { plan: scatter.merge, columns, rows })
    }

    /// Merges all rows; how many came out.
    ///
    /// # Errors
    /// The merge refuses a row.
    pub fn merge(&self) -> anyhow::Result<usize> {
        let limits = MergeLimits { rows_max: 1 << 20, bytes_max: 1 << 30 };
        let mut merger = Merger::new(&self.plan, RowFormat::Text, SHARDS, limits);
        for shard in 0..SHARDS {
            merger.columns(shard, &self.columns)?;
        }
        let mut next = [0; SHARDS];
        let mut merged = 0;
        loop {
            let shard = match merger.step()? {
                Step::Row(_) => {
                    merged += 1;
                    continue;
                }
                Step::Done => return Ok(merged),
                Step::Need(Wanted::Source(shard)) => shard,
                Step::Need(Wanted::Any) => {
                    let unread = |shard: &usize| next[*shard] <= self.rows[*shard].len();
                    (0..SHARDS).find(unread).context("the merge wants more rows than there are")?
                }
            };
            match self.rows[shard].get(next[shard]) {
                Some(row) => merger.push(shard, row.clone())?,
                None if next[shard] == self.rows[shard].len() => merger.end(shard)?,
                None => bail!("the merge wants more rows than shard {shard} has"),
            }
            next[shard] += 1;
        }
    }
}

fn shards(rows: usize, values: impl Fn(usize, usize) -> (usize, String)) -> Vec<Vec<Bytes>> {
    let payload = |shard, row| {
        let (number, text) = values(shard, row);
        let mut out = BytesMut::new();
        put_text(&mut out, Some(number.to_string().as_bytes()));
        put_text(&mut out, Some(text.as_bytes()));
        out.freeze()
    };
    (0..SHARDS).map(|shard| (0..rows).map(|row| payload(shard, row)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_give_all_rows_or_groups() {
        assert_eq!(Shards::ordered(10).unwrap().merge().unwrap(), 30);
        assert_eq!(Shards::grouped(10).unwrap().merge().unwrap(), 10);
    }

    #[test]
    fn the_walk_finds_the_end() {
        assert!(walk(&result(100)));
        assert!(!walk(&result(1)[..100]));
    }
}
