//! What the tasks of a running flow share: what is under way, in the log's order, and who waits for it.
//! One value lives from one start of a flow to its next loss; waiters and counts live longer.

use crate::{
    batch::{Op, Rows},
    position::Position,
    progress::Meter,
    tracker::Tracker,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Waiters for marks at once.
const WAITERS_MAX: usize = 10_000;

/// Rows of a chunk for the lanes.
#[derive(Debug)]
pub(crate) struct ChunkRows {
    /// The table's number.
    pub(crate) table: usize,
    /// Statements' worth of rows by lane.
    pub(crate) lanes: Vec<Vec<Rows>>,
    /// Rows in all.
    pub(crate) rows: u64,
    /// Bytes of their statements.
    pub(crate) bytes: u64,
    /// The piece's number if this is the last of it.
    pub(crate) piece: Option<u64>,
    /// A place among the chunks under way.
    pub(crate) permit: Arc<OwnedSemaphorePermit>,
}

/// Work for a lane, in the log's order.
#[derive(Debug)]
pub(crate) enum Work {
    /// Changes of one transaction.
    Changes {
        /// Its number in the tracker.
        number: u64,
        /// The position after it.
        position: Position,
        /// The changes.
        ops: Vec<Op>,
    },
    /// Rows of one chunk.
    Rows {
        /// Its number in the tracker.
        number: u64,
        /// The table's number.
        table: usize,
        /// The rows.
        rows: Vec<Rows>,
        /// Given back when they are written.
        permit: Arc<OwnedSemaphorePermit>,
    },
}

/// Who waits for a mark to be applied.
#[derive(Debug)]
enum Waiter {
    Drain(oneshot::Sender<Position>),
    Heartbeat(Instant),
}

/// Marks that are on their way through the sender's log.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    last: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiter>>,
    /// The last heartbeat's way, in microseconds plus one; 0 before the first.
    latency_us: AtomicU64,
}

impl Marks {
    /// A number that no mark had before.
    pub(crate) fn next(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let next = |last: u64| Some(now.max(last + 1));
        match self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(last) | Err(last) => now.max(last + 1),
        }
    }

    /// Told when everything before the mark is on the receiver.
    pub(crate) fn wait(&self, mark: u64) -> oneshot::Receiver<Position> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITERS_MAX {
            waiting.insert(mark, Waiter::Drain(sender));
        }
        receiver
    }

    /// Its way is measured.
    pub(crate) fn heartbeat(&self, mark: u64) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITERS_MAX {
            waiting.insert(mark, Waiter::Heartbeat(Instant::now()));
        }
    }

    fn reached(&self, mark: u64, position: &Position) {
        match self.waiting.lock().remove(&mark) {
            Some(Waiter::Drain(sender)) => drop(sender.send(position.clone())),
            Some(Waiter::Heartbeat(sent)) => {
                let us = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX - 1);
                self.latency_us.store(us + 1, Ordering::Relaxed);
            }
            None => {}
        }
    }

    /// How old the newest change is that is not applied: that of the oldest heartbeat that is
    /// still under way, or of the last that arrived.
    pub(crate) fn lag_ms(&self) -> Option<u64> {
        let sent = |waiter: &Waiter| match waiter {
            Waiter::Heartbeat(sent) => Some(*sent),
            Waiter::Drain(_) => None,
        };
        let oldest = self.waiting.lock().values().filter_map(sent).min();
        let last = self.latency_us.load(Ordering::Relaxed).checked_sub(1)?;
        let open = oldest.map_or(0, |sent| u64::try_from(sent.elapsed().as_micros()).unwrap_or(0));
        Some(last.max(open) / 1_000)
    }

    /// Heartbeats of a lost run never arrive.
    pub(crate) fn forget_heartbeats(&self) {
        self.waiting.lock().retain(|_, waiter| matches!(waiter, Waiter::Drain(_)));
    }
}

/// How far a table's copy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Copied up to this key.
    pub(crate) key: Vec<String>,
    /// Whether that is all of it.
    pub(crate) done: bool,
    /// Rows so far.
    pub(crate) rows: u64,
    /// Bytes so far.
    pub(crate) bytes: u64,
}

/// The pieces of one table that are under way.
#[derive(Debug, Default)]
struct Pieces {
    tracker: Tracker<Option<Vec<String>>>,
    copied: Copied,
}

/// What is known once everything before it is written.
#[derive(Debug)]
struct Point {
    position: Position,
    mark: Option<u64>,
    chunk: Option<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    table: usize,
    piece: Option<u64>,
    rows: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Inner {
    tracker: Tracker<Point>,
    chunks: HashMap<u64, oneshot::Receiver<ChunkRows>>,
    tables: Vec<Pieces>,
    /// Read and without changes for any lane, while nothing is open.
    applied: Position,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Run {
    inner: Mutex<Inner>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) meter: Arc<Meter>,
}

impl Run {
    pub(crate) fn new(
        marks: Arc<Marks>,
        meter: Arc<Meter>,
        from: Position,
        copied: Vec<Copied>,
    ) -> Self {
        let pieces = |copied| Pieces { tracker: Tracker::default(), copied };
        let tables = copied.into_iter().map(pieces).collect();
        let inner = Inner { tables, applied: from, ..Inner::default() };
        Self { inner: Mutex::new(inner), marks, meter }
    }

    /// Everything before it is on the receiver.
    pub(crate) fn applied(&self) -> Position {
        self.inner.lock().applied.clone()
    }

    /// How far the copies are, by table.
    pub(crate) fn copied(&self) -> Vec<Copied> {
        self.inner.lock().tables.iter().map(|table| table.copied.clone()).collect()
    }

    /// A piece of a table is cut: its number. `last`: the key that it ends with; None at the end.
    pub(crate) fn begin_piece(&self, table: usize, last: Option<Vec<String>>) -> u64 {
        self.inner.lock().tables[table].tracker.begin(1, last)
    }

    /// Rows will come for a mark that is about to be written.
    pub(crate) fn expect_chunk(&self, mark: u64) -> oneshot::Sender<ChunkRows> {
        let (sender, receiver) = oneshot::channel();
        self.inner.lock().chunks.insert(mark, receiver);
        sender
    }

    /// The rows that belong at a mark, if it is a chunk's.
    pub(crate) fn chunk_at(&self, mark: u64) -> Option<oneshot::Receiver<ChunkRows>> {
        self.inner.lock().chunks.remove(&mark)
    }

    /// A transaction of so many lanes was read.
    pub(crate) fn begin_changes(&self, position: &Position, lanes: usize) -> u64 {
        let point = Point { position: position.clone(), mark: None, chunk: None };
        self.begin(lanes, point)
    }

    /// A mark without rows was read.
    pub(crate) fn begin_mark(&self, position: &Position, mark: u64) {
        let point = Point { position: position.clone(), mark: Some(mark), chunk: None };
        self.begin(0, point);
    }

    /// The rows of a chunk go to so many lanes.
    pub(crate) fn begin_chunk(&self, position: &Position, chunk: &ChunkRows) -> u64 {
        let lanes = chunk.lanes.iter().filter(|rows| !rows.is_empty()).count();
        let (table, piece, rows, bytes) = (chunk.table, chunk.piece, chunk.rows, chunk.bytes);
        let chunk = Some(Chunk { table, piece, rows, bytes });
        self.begin(lanes, Point { position: position.clone(), mark: None, chunk })
    }

    fn begin(&self, lanes: usize, point: Point) -> u64 {
        let mut inner = self.inner.lock();
        let number = inner.tracker.begin(lanes, point);
        self.advance(&mut inner);
        number
    }

    /// Nothing that matters came up to here.
    pub(crate) fn read_up_to(&self, position: &Position) {
        let mut inner = self.inner.lock();
        if inner.tracker.open() == 0 {
            if inner.applied < *position {
                inner.applied = position.clone();
            }
        } else {
            let point = Point { position: position.clone(), mark: None, chunk: None };
            inner.tracker.begin(0, point);
        }
    }

    /// A lane has written its part.
    pub(crate) fn part_done(&self, number: u64) {
        let mut inner = self.inner.lock();
        inner.tracker.part_done(number);
        self.advance(&mut inner);
    }

    fn advance(&self, inner: &mut Inner) {
        while let Some(point) = inner.tracker.next_done() {
            if let Some(chunk) = point.chunk {
                self.meter.copied(chunk.rows, chunk.bytes);
                let table = &mut inner.tables[chunk.table];
                table.copied.rows += chunk.rows;
                table.copied.bytes += chunk.bytes;
                if let Some(piece) = chunk.piece {
                    table.tracker.part_done(piece);
                }
                while let Some(last) = table.tracker.next_done() {
                    match last {
                        Some(key) => table.copied.key = key,
                        None => table.copied.done = true,
                    }
                }
            }
            if let Some(mark) = point.mark {
                self.marks.reached(mark, &point.position);
            }
            if point.position > inner.applied {
                inner.applied = point.position;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position { file: "b.000001".into(), offset }
    }

    fn run() -> Run {
        let copied = vec![Copied::default()];
        Run::new(Arc::default(), Arc::default(), at(4), copied)
    }

    #[test]
    fn a_mark_is_reached_when_all_before_it_is_written() {
        let run = run();
        let mut reached = run.marks.wait(7);
        let number = run.begin_changes(&at(10), 2);
        run.begin_mark(&at(20), 7);
        run.read_up_to(&at(30));
        run.part_done(number);
        assert_eq!(run.applied(), at(4));
        assert!(reached.try_recv().is_err());
        run.part_done(number);
        assert_eq!(reached.try_recv(), Ok(at(20)));
        assert_eq!(run.applied(), at(30));
    }

    #[test]
    fn a_table_is_copied_in_order() {
        let run = run();
        let first = run.begin_piece(0, Some(vec!["5".into()]));
        let second = run.begin_piece(0, None);
        let permits = Arc::new(tokio::sync::Semaphore::new(2));
        let chunk = |piece| {
            let permit = permits.clone().try_acquire_owned().expect("a permit");
            ChunkRows {
                table: 0,
                lanes: vec![],
                rows: 3,
                bytes: 9,
                piece: Some(piece),
                permit: Arc::new(permit),
            }
        };
        run.begin_chunk(&at(10), &chunk(second));
        assert_eq!((run.copied()[0].key.len(), run.copied()[0].done), (0, false));
        run.begin_chunk(&at(20), &chunk(first));
        let copied = &run.copied()[0];
        assert_eq!((copied.key.len(), copied.done, copied.rows), (1, true, 6));
    }

    #[test]
    fn marks_have_numbers_of_their_own() {
        let marks = Marks::default();
        let all: Vec<u64> = (0..1_000).map(|_| marks.next()).collect();
        assert!(all.is_sorted_by(|a, b| a < b));
        assert_eq!(marks.lag_ms(), None);
        marks.heartbeat(1);
        marks.reached(1, &at(4));
        assert!(marks.lag_ms().is_some_and(|ms| ms < 1_000));
    }
}
