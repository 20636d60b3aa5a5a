//! The board: a small table on the cluster's first shard, by which proxies tell each other of the
//! transactions over several shards that have been waiting for long. Nothing is written or read while
//! there are none.
//!
//! Ages are put on it as that server's time less the age that the proxy knows, so that all who read it
//! agree who is the youngest; a clock that is wrong changes who is chosen, and nothing else.

use super::{Name, Victim, Waiting};
use crate::{
    backend::TextResult,
    distributed::{
        anchor::number,
        control::{Control, ControlError},
    },
    registry::{Place, Places, SpreadView},
    txn::xid::Incarnation,
};
use shardline_model::id::ShardId;
use std::{collections::BTreeSet, fmt::Write as _};

/// What one entry's connections may take as text; a transaction on more shards is not told of.
const PLACES_BYTES_MAX: usize = 4_096;
/// Entries that are read at once.
const ENTRIES_MAX: usize = 1_024;
/// Microseconds since 1970 on the board's server.
const NOW_US: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";
/// An entry that its proxy has not renewed for so long is of a proxy that has stopped.
const STALE_US: u64 = 2_000_000;
/// Such entries are deleted after this.
const REMOVED_US: u64 = 60_000_000;

/// What the board says.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Of all proxies.
    pub(super) waiting: Vec<Waiting>,
    /// Those that somebody has chosen.
    pub(super) victims: Vec<Victim>,
}

/// The board, from one proxy.
pub(super) struct Board<'a> {
    pub(super) control: &'a Control,
    pub(super) shard: ShardId,
    pub(super) incarnation: Incarnation,
}

impl Board<'_> {
    /// Puts the proxy's own transactions on it, or renews them, and reads all.
    pub(super) async fn exchange(
        &self,
        own: &[(SpreadView, u64)],
        told: &mut BTreeSet<u64>,
    ) -> Result<Entries, ControlError> {
        let mut connection = self.control.connection(self.shard).await?;
        let telling: Vec<_> = own.iter().filter_map(|(view, wait)| entry(view, *wait)).collect();
        let gone: Vec<u64> = told
            .iter()
            .copied()
            .filter(|number| own.iter().all(|(view, _)| view.number != *number))
            .collect();
        told.extend(own.iter().map(|(view, _)| view.number));
        if !gone.is_empty() {
            connection.query(&self.take_off(&gone)).await?;
            gone.iter().for_each(|number| {
                told.remove(number);
            });
        }
        if !telling.is_empty() {
            connection.query(&self.tell(&telling)).await?;
        }
        let read = connection.query(&read()).await?;
        connection.release();
        Ok(entries(&read))
    }

    /// Takes all of these off.
    pub(super) async fn withdraw(&self, told: &mut BTreeSet<u64>) -> Result<(), ControlError> {
        let numbers: Vec<u64> = told.iter().copied().collect();
        self.control.query(self.shard, &self.take_off(&numbers)).await?;
        told.clear();
        Ok(())
    }

    /// Has the victim's own proxy end it.
    pub(super) async fn choose(&self, victim: Victim) -> Result<(), ControlError> {
        let Victim { name, wait } = victim;
        let sql = format!(
            "UPDATE _shardline.lock_wait SET victim = {wait} WHERE incarnation = {} AND number = {} \
             AND wait = {wait}",
            name.incarnation.0, name.number
        );
        self.control.query(self.shard, &sql).await.map(|_| ())
    }

    fn tell(&self, entries: &[String]) -> String {
        let mut sql = "INSERT INTO _shardline.lock_wait \
                       (incarnation, number, wait, places, begun_us, seen_us, victim) VALUES "
            .to_owned();
        for (at, entry) in entries.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(sql, "{comma}({}, {entry}, {NOW_US}, 0)", self.incarnation.0);
        }
        // The first assignment sees the wait that was there before.
        sql + " ON DUPLICATE KEY UPDATE victim = IF(wait = VALUES(wait), victim, 0), \
               wait = VALUES(wait), places = VALUES(places), seen_us = VALUES(seen_us)"
    }

    fn take_off(&self, numbers: &[u64]) -> String {
        let list: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let list = if list.is_empty() { "NULL".to_owned() } else { list.join(", ") };
        format!(
            "DELETE FROM _shardline.lock_wait WHERE (incarnation = {} AND number IN ({list})) \
             OR seen_us < {NOW_US} - {REMOVED_US}",
            self.incarnation.0
        )
    }
}

/// `number, wait, places, begun_us` of an entry; None when it is too large.
fn entry(view: &SpreadView, wait: u64) -> Option<String> {
    let places: Vec<String> =
        view.places.iter().map(|place| format!("{}:{}", place.shard.0, place.thread)).collect();
    let places = places.join(",");
    let age = view.age.as_micros();
    let (number, fits) = (view.number, places.len() <= PLACES_BYTES_MAX);
    fits.then(|| format!("{number}, {wait}, '{places}', {NOW_US} - {age}"))
}

fn read() -> String {
    format!(
        "SELECT incarnation, number, wait, begun_us, victim, places FROM _shardline.lock_wait \
         WHERE seen_us > {NOW_US} - {STALE_US} ORDER BY incarnation, number LIMIT {ENTRIES_MAX}"
    )
}

/// Entries that cannot be read are left out: a newer Shardline may have written them.
fn entries(result: &TextResult) -> Entries {
    let mut entries = Entries::default();
    for row in &result.rows {
        let value = |at: usize| number(row.get(at)?.as_ref()?);
        let parsed = (|| {
            let name = Name { incarnation: Incarnation(value(0)?), number: value(1)? };
            let places = places_of(row.get(5)?.as_ref()?)?;
            let begun_us = i64::try_from(value(3)?).ok()?;
            Some((Waiting { name, wait: value(2)?, begun_us, places }, value(4)?))
        })();
        let Some((waiting, victim)) = parsed else { continue };
        if victim == waiting.wait {
            entries.victims.push(Victim { name: waiting.name, wait: victim });
        }
        entries.waiting.push(waiting);
    }
    entries
}

fn places_of(text: &[u8]) -> Option<Places> {
    let place = |part: &str| {
        let (shard, thread) = part.split_once(':')?;
        Some(Place { shard: ShardId(shard.parse().ok()?), thread: thread.parse().ok()? })
    };
    std::str::from_utf8(text).ok()?.split(',').map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Phase, Wait};
    use bytes::Bytes;
    use std::time::Duration;

    #[test]
    fn connections_survive_the_board() {
        let places: Places = [(1, 7), (300, u32::MAX)]
            .into_iter()
            .map(|(shard, thread)| Place { shard: ShardId(shard), thread })
            .collect();
        let view = SpreadView {
            session: 3,
            number: 4,
            phase: Phase::Open,
            places: places.clone(),
            age: Duration::from_millis(2),
            statements: 2,
            wait: Some(Wait { number: 9, elapsed: Duration::ZERO }),
        };
        let told = entry(&view, 9).unwrap();
        assert!(told.starts_with("4, 9, '1:7,300:4294967295', "), "{told}");
        assert!(told.ends_with(" - 2000"), "{told}");
        assert_eq!(places_of(b"1:7,300:4294967295"), Some(places));
        assert_eq!(places_of(b"1:7,"), None);
    }

    #[test]
    fn rows_are_read_and_strange_ones_left_out() {
        let row = |texts: [&'static str; 6]| {
            texts.map(|text| Some(Bytes::from_static(text.as_bytes()))).to_vec()
        };
        let rows = vec![
            row(["1", "2", "3", "4", "0", "1:7,2:8"]),
            row(["1", "5", "6", "4", "6", "1:9,2:10"]),
            row(["2", "5", "6", "4", "5", "1:11"]),
            row(["3", "5", "6", "4", "0", "?"]),
        ];
        let found = entries(&TextResult { rows, ..TextResult::default() });
        assert_eq!(found.waiting.len(), 3);
        let name = Name { incarnation: Incarnation(1), number: 5 };
        assert_eq!(found.victims, [Victim { name, wait: 6 }]);
    }
}
