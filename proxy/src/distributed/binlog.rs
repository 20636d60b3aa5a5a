//! Finds what a branch changed in its shard's binlog: where to begin reading, and the reading.
//!
//! Clocks only say where to look first. When the transaction is not there, every file of the log is
//! read, so it is found or it is not in the log any more.

use super::{
    anchor::number,
    control::{Control, ControlConnection, ControlError},
};
use crate::{
    backend::{BackendConnection, BackendError, PoolSet, TextResult, chain},
    txn::{
        sql::{PREPARED, Packet, Part},
        xid::Xid,
    },
};
use bytes::Bytes;
use parking_lot::Mutex;
use shardline_binlog::{
    Body, Decoder, Family, Row, TableMap, Transaction, Value,
    control::Checksum,
    find::{Finder, Mark},
    request::{self, DumpFlags, StreamPacket},
    transaction::{CollectError, Limits},
};
use shardline_model::id::ShardId;
use shardline_wire::ErrPacket;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

/// Positions that are remembered of a shard. Older ones get sparser.
const SAMPLES_MAX: usize = 256;
/// The pause between two samples of a shard.
const SAMPLE_PERIOD: Duration = Duration::from_secs(1);
/// How much earlier than the branch's own time the reading begins.
const MARGIN_US: u64 = 2_000_000;
/// How long one search may take, all files together.
const SEARCH_MAX: Duration = Duration::from_secs(600);
/// How long a server may take for its next event.
const EVENT_MAX: Duration = Duration::from_secs(10);
/// Files whose age is looked at to begin with the likeliest.
const AGES_MAX: usize = 64;
/// The position of a file's first event.
const FILE_START: u32 = 4;
/// What a branch may have changed: more cannot be undone here.
const LIMITS: Limits = Limits { rows_max: 1_000_000, bytes_max: 256 << 20 };
/// The server's error when a file of the log is gone, or a position is none.
const FATAL_READ: u16 = 1236;

/// A position in a shard's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) file: Arc<str>,
    pub(super) offset: u32,
}

/// Where a log ended at a time of its server's clock, in microseconds.
#[derive(Clone, Debug)]
struct Sample {
    clock_us: u64,
    end: Position,
}

#[derive(Debug, Default)]
struct Samples {
    taken: Option<Instant>,
    all: Vec<Sample>,
}

/// Why a branch's changes are not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// It may be found later.
    #[error("the binlog cannot be read now: {0}")]
    Later(String),
    /// It will not be found.
    #[error("{0}")]
    Never(String),
}

impl SearchError {
    /// Whether it is no use to try again.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, SearchError::Never(_))
    }
}

impl From<ControlError> for SearchError {
    fn from(error: ControlError) -> Self {
        SearchError::Later(error.to_string())
    }
}

/// The logs of all shards.
pub(crate) struct Logs {
    control: Arc<Control>,
    pools: Arc<PoolSet>,
    samples: Mutex<HashMap<ShardId, Samples>>,
}

/// How one reading of a stretch of the log ended.
enum Stretch {
    Found(Box<Transaction>),
    /// All of it was read.
    Read,
    /// The server does not have it.
    Gone(String),
}

impl Logs {
    pub(crate) fn new(control: Arc<Control>, pools: Arc<PoolSet>) -> Self {
        Logs { control, pools, samples: Mutex::default() }
    }

    /// Remembers where the log ends now, at most once a second.
    pub(crate) async fn sample(&self, shard: ShardId) -> Result<(), ControlError> {
        {
            let mut samples = self.samples.lock();
            let samples = samples.entry(shard).or_default();
            if samples.taken.is_some_and(|taken| taken.elapsed() < SAMPLE_PERIOD) {
                return Ok(());
            }
            samples.taken = Some(Instant::now());
        }
        let mut connection = self.control.connection(shard).await?;
        // The time first: the sample must not be later than its position.
        let packet = Packet::default()
            .then(
                Part::Plain,
                "SELECT CAST(UNIX_TIMESTAMP(UTC_TIMESTAMP(6)) * 1000000 AS UNSIGNED)",
            )
            .then(Part::Plain, status_statement(connection.server_version()));
        let answer = connection.run(&packet).await?;
        connection.release();
        let [time, end] = &answer.results[..] else { return Ok(()) };
        let clock = time.rows.rows.first().and_then(|row| number(row.first()?.as_ref()?));
        let end = position_of(&end.rows);
        if let (Some(clock_us), Some(end)) = (clock, end) {
            let mut samples = self.samples.lock();
            samples.entry(shard).or_default().add(Sample { clock_us, end });
        }
        Ok(())
    }

    /// The transaction that prepared the branch, with its changes outside of `_shardline`.
    /// `prepared_us` is its own time by the server's clock, which a client may have set.
    pub(crate) async fn find(
        &self,
        shard: ShardId,
        xid: Xid,
        prepared_us: Option<u64>,
    ) -> Result<Transaction, SearchError> {
        match tokio::time::timeout(SEARCH_MAX, self.search(shard, xid, prepared_us)).await {
            Ok(found) => found,
            Err(_) => Err(SearchError::Never(format!(
                "its changes were not found in the binlog within {} s",
                SEARCH_MAX.as_secs()
            ))),
        }
    }

    async fn search(
        &self,
        shard: ShardId,
        xid: Xid,
        prepared_us: Option<u64>,
    ) -> Result<Transaction, SearchError> {
        let hint = prepared_us.and_then(|at| self.samples.lock().get(&shard)?.before(at));
        if let Some(from) = hint {
            match self.read(shard, xid, &from, false).await {
                Ok(Stretch::Found(found)) => return Ok(*found),
                // Another server's position, perhaps, after a failover: the files tell.
                Ok(Stretch::Read | Stretch::Gone(_)) | Err(SearchError::Never(_)) => {
                    tracing::debug!(%shard, %xid, ?from, "not found where it was expected");
                }
                Err(error @ SearchError::Later(_)) => return Err(error),
            }
        }
        let mut trouble = String::new();
        for file in self.files_by_likelihood(shard, prepared_us).await? {
            let from = Position { file, offset: FILE_START };
            match self.read(shard, xid, &from, true).await {
                Ok(Stretch::Found(found)) => return Ok(*found),
                Ok(Stretch::Read) => {}
                Ok(Stretch::Gone(reason)) => trouble = format!(" ({reason})"),
                Err(error) => return Err(error),
            }
        }
        Err(SearchError::Never(format!(
            "its changes are not in the shard's binlog any more: was it purged?{trouble}"
        )))
    }

    /// All files of the log: the one that was begun last before the branch's time and those
    /// behind it, then the older ones backwards.
    async fn files_by_likelihood(
        &self,
        shard: ShardId,
        prepared_us: Option<u64>,
    ) -> Result<Vec<Arc<str>>, SearchError> {
        let rows = self.control.query(shard, "SHOW BINARY LOGS").await?.rows;
        let name = |row: &Vec<Option<Bytes>>| {
            Some(Arc::from(std::str::from_utf8(row.first()?.as_ref()?).ok()?))
        };
        let files: Vec<Arc<str>> = rows.iter().filter_map(name).collect();
        let mut likeliest = files.len().saturating_sub(1);
        if let Some(prepared_us) = prepared_us {
            for place in (0..files.len()).rev().take(AGES_MAX) {
                likeliest = place;
                let begun = self.begun_us(shard, &files[place]).await?;
                if begun.is_some_and(|begun| begun + MARGIN_US <= prepared_us) {
                    break;
                }
            }
        }
        let (older, newer) = files.split_at(likeliest);
        Ok(newer.iter().chain(older.iter().rev()).cloned().collect())
    }

    /// When a file was begun, by its first event.
    async fn begun_us(&self, shard: ShardId, file: &Arc<str>) -> Result<Option<u64>, SearchError> {
        let from = Position { file: file.clone(), offset: FILE_START };
        let mut stream = Stream::open(&self.pools, shard, &from).await?;
        let mut decoder = Decoder::new(Checksum::Crc32);
        while let Some(event) = stream.next().await? {
            let Ok(event) = event else { return Ok(None) };
            if let Ok(event) = decoder.decode(event)
                && matches!(event.body, Body::Format(_))
            {
                return Ok(Some(u64::from(event.header.timestamp) * 1_000_000));
            }
        }
        Ok(None)
    }

    /// Reads from a position to the log's present end, or to the end of the file only.
    async fn read(
        &self,
        shard: ShardId,
        xid: Xid,
        from: &Position,
        one_file: bool,
    ) -> Result<Stretch, SearchError> {
        let is_it = |row: &Row| is_branch(row, xid);
        let mark = Mark { database: "_shardline", table: "branch", is_it: &is_it };
        let wanted = |table: &TableMap| &*table.database != "_shardline";
        let mut finder = Finder::new(mark, &wanted, LIMITS);
        let mut decoder = Decoder::new(Checksum::Crc32);
        let mut stream = Stream::open(&self.pools, shard, from).await?;
        while let Some(event) = stream.next().await? {
            let event = match event {
                Ok(event) => decoder.decode(event),
                Err(refused) => return Ok(Stretch::Gone(refused)),
            };
            if let Ok(event) = &event
                && let Body::Rotate(next) = &event.body
                && one_file
                && *next.file != *from.file
            {
                return Ok(Stretch::Read);
            }
            match finder.push(event) {
                Ok(Some(found)) => return Ok(Stretch::Found(Box::new(found))),
                Ok(None) => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
        Ok(Stretch::Read)
    }
}

fn unreadable(error: &CollectError) -> SearchError {
    SearchError::Never(format!("its changes cannot be read from the binlog: {}", chain(error)))
}

/// Whether an inserted row of `_shardline.branch` is this transaction's.
fn is_branch(row: &Row, xid: Xid) -> bool {
    let Some([Some(Value::Bytes(name)), Some(state)]) = row.get(..2) else { return false };
    let state = match state {
        Value::UInt(state) => *state,
        Value::Int(state) => *state as u64,
        _ => return false,
    };
    // Zeros at the end are not logged.
    let mut full = [0; 16];
    let Some(part) = full.get_mut(..name.len()) else { return false };
    part.copy_from_slice(name);
    state == u64::from(PREPARED) && full == xid.to_bytes()
}

impl Samples {
    fn add(&mut self, sample: Sample) {
        if self.all.last().is_some_and(|last| last.end == sample.end) {
            return;
        }
        if self.all.len() >= SAMPLES_MAX {
            let mut place = 0;
            self.all.retain(|_| {
                place += 1;
                place > SAMPLES_MAX / 2 || place % 2 == 1
            });
        }
        self.all.push(sample);
    }

    /// The last position that was surely before this time, unless the clock was set.
    fn before(&self, at_us: u64) -> Option<Position> {
        let earlier = |sample: &&Sample| sample.clock_us + MARGIN_US <= at_us;
        self.all.iter().take_while(earlier).last().map(|sample| sample.end.clone())
    }
}

/// The family of a server, by the version that it greets with.
pub(super) fn family(server_version: &str) -> Family {
    if server_version.contains("MariaDB") { Family::Mariadb } else { Family::Mysql }
}

fn status_statement(server_version: &str) -> &'static str {
    let mut numbers = server_version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match family(server_version) {
        Family::Mysql if version >= (8, 2) => "SHOW BINARY LOG STATUS",
        Family::Mariadb | Family::Mysql => "SHOW MASTER STATUS",
    }
}

/// Where a shard's log ends now.
pub(super) async fn end_of_log(control: &Control, shard: ShardId) -> Result<Position, SearchError> {
    let mut connection = control.connection(shard).await?;
    let rows = connection.query(status_statement(connection.server_version())).await;
    connection.release();
    position_of(&rows?).ok_or_else(|| SearchError::Later("the server has no binlog".to_owned()))
}

/// From the answer to [`status_statement`].
fn position_of(status: &TextResult) -> Option<Position> {
    let row = status.rows.first()?;
    let file = String::from_utf8(row.first()?.as_ref()?.to_vec()).ok()?;
    let offset = number(row.get(1)?.as_ref()?)?.try_into().ok()?;
    Some(Position { file: file.into(), offset })
}

/// Events from a position to the log's present end, over a connection of its own.
pub(super) struct Stream {
    connection: BackendConnection,
}

impl Stream {
    pub(super) async fn open(
        pools: &PoolSet,
        shard: ShardId,
        from: &Position,
    ) -> Result<Self, SearchError> {
        let later = |error: BackendError| SearchError::Later(chain(&error));
        let mut connection = pools.connect_control(shard).await.map_err(later)?;
        let family = family(connection.server_version());
        for statement in request::settings(family, EVENT_MAX / 2) {
            connection.query_ok(statement.as_bytes()).await.map_err(later)?;
        }
        // A second reader with the same number would end the first. Servers have small ones.
        let reader = RandomState::new().hash_one(Instant::now()) as u32 | 1 << 31;
        let flags = DumpFlags { non_blocking: true, annotate_rows: false };
        let dump = request::dump(reader, flags, &from.file, from.offset);
        connection.response_begins().queue_packet(&dump);
        connection.flush().await.map_err(later)?;
        Ok(Self { connection })
    }

    /// The next event, or what the server says instead; None at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Result<Bytes, String>>, SearchError> {
        let packet = tokio::time::timeout(EVENT_MAX, self.connection.wire().read_packet()).await;
        let packet = packet.map_err(|_| SearchError::Later("the server is silent".to_owned()))?;
        let packet = packet.map_err(|error| SearchError::Later(chain(&error)))?;
        match StreamPacket::from_payload(packet) {
            StreamPacket::Event(event) => Ok(Some(Ok(event))),
            StreamPacket::End => Ok(None),
            StreamPacket::Error(packet) => match ErrPacket::decode(&packet) {
                Ok(error) if error.code == FATAL_READ => Ok(Some(Err(error.to_string()))),
                Ok(error) => Err(SearchError::Later(error.to_string())),
                Err(error) => Err(SearchError::Later(chain(&error))),
            },
            StreamPacket::Unknown => {
                Err(SearchError::Later("an answer that is no event".to_owned()))
            }
        }
    }
}

/// When a branch was prepared, by its own row: microseconds since 1970.
pub(super) async fn prepared_us(
    connection: &mut ControlConnection,
    xid: Xid,
) -> Result<Option<u64>, ControlError> {
    let sql = format!(
        "SELECT CAST(UNIX_TIMESTAMP(prepared_at) * 1000000 AS UNSIGNED) \
         FROM _shardline.branch WHERE xid = {}",
        crate::txn::sql::hex(&xid.to_bytes())
    );
    let rows = connection.query(&sql).await?.rows;
    Ok(rows.first().and_then(|row| number(row.first()?.as_ref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::txn::xid::Incarnation;

    fn sample(second: u64, offset: u32) -> Sample {
        let end = Position { file: "log.1".into(), offset };
        Sample { clock_us: second * 1_000_000, end }
    }

    #[test]
    fn samples_get_sparser_and_the_last_earlier_one_is_taken() {
        let mut samples = Samples::default();
        for second in 1..=2_000_u32 {
            samples.add(sample(u64::from(second), second));
            samples.add(sample(u64::from(second) + 1, second));
        }
        assert!(samples.all.len() <= SAMPLES_MAX);
        let before = |second: u64| samples.before(second * 1_000_000).map(|found| found.offset);
        assert_eq!(before(1_995), Some(1_993));
        assert!(before(1_000).is_some_and(|offset| offset < 999));
        assert_eq!(before(2), None);
    }

    #[test]
    fn a_clock_that_was_set_hides_what_comes_behind() {
        let mut samples = Samples::default();
        for (second, offset) in [(10, 1), (5_000, 2), (12, 3)] {
            samples.add(sample(second, offset));
        }
        assert_eq!(samples.before(20_000_000).map(|found| found.offset), Some(1));
    }

    #[test]
    fn branch_rows_are_told_from_fences_and_others() {
        let xid = Xid { incarnation: Incarnation(5), counter: 256 };
        let mut name = xid.to_bytes().to_vec();
        assert_eq!(name.pop(), Some(0));
        let row = |state| vec![Some(Value::Bytes(name.clone().into())), Some(Value::UInt(state))];
        assert!(is_branch(&row(1), xid));
        assert!(!is_branch(&row(2), xid));
        assert!(!is_branch(&row(1), Xid { counter: 257, ..xid }));
    }

    #[test]
    fn statements_by_version() {
        assert_eq!(status_statement("10.11.6-MariaDB-log"), "SHOW MASTER STATUS");
        assert_eq!(status_statement("8.0.36"), "SHOW MASTER STATUS");
        assert_eq!(status_statement("9.7.0"), "SHOW BINARY LOG STATUS");
    }
}
