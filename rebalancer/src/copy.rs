//! Reads the rows that are there when a move begins, piece by piece. Each piece is read right after a mark
//! was written into the sender's log, and is written where the mark comes out of the log: changes
//! from before the mark are in what was read, changes from after it are applied over it.

use crate::{
    batch::Rows,
    chunk::{self, Range},
    error::{MoveError, Side},
    fault,
    pace::Pace,
    run::{ChunkRows, Copied, Run},
    session::{Endpoint, Next, READING, Session},
    state::Names,
    table::Table,
    units::Membership,
};
use shardline_binlog::literal;
use shardline_wire::row::TextRow;
use std::{sync::Arc, time::Instant};
use tokio::sync::{Semaphore, mpsc};

/// Bytes of rows that a chunk has at most: then its rest is another.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// Everything that readers and cutter need.
#[derive(Clone)]
pub(crate) struct Copy {
    pub(crate) side: Side,
    pub(crate) endpoint: Endpoint,
    pub(crate) names: Names,
    pub(crate) tables: Vec<Arc<Table>>,
    pub(crate) units: Arc<Membership>,
    pub(crate) run: Arc<Run>,
    pub(crate) lanes: usize,
    /// Places for chunks that are read and not yet written.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) pace: Arc<Pace>,
}

/// A piece of a table.
#[derive(Debug)]
pub(crate) struct Piece {
    table: usize,
    number: u64,
    range: Range,
}

impl Copy {
    /// Cuts what is not copied yet into pieces.
    pub(crate) async fn cut(
        self,
        copied: Vec<Copied>,
        pieces: mpsc::Sender<Piece>,
    ) -> Result<(), MoveError> {
        let mut session = Session::open(self.side, &self.endpoint, READING).await?;
        for (table, copied) in self.tables.iter().zip(copied) {
            if copied.done {
                continue;
            }
            let row_bytes = row_bytes(&mut session, table).await?;
            let share = self.units.share();
            let rows = chunk::rows_for(row_bytes, share);
            let mut after = copied.key;
            loop {
                let sql = chunk::bound(table, &after, rows, !self.units.is_computed());
                let answer = session.one("the end of a chunk", &sql).await?;
                let until = match answer.rows.first() {
                    Some(row) => {
                        let row: Vec<Option<&[u8]>> = row.iter().map(Option::as_deref).collect();
                        Some(table.key_literals(&row)?)
                    }
                    None => None,
                };
                let number = self.run.begin_piece(table.number, until.clone());
                let range = Range { after: after.clone(), until: until.clone() };
                if pieces.send(Piece { table: table.number, number, range }).await.is_err() {
                    return Err(MoveError::Stopped);
                }
                match until {
                    Some(key) => after = key,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Reads pieces until there are no more.
    pub(crate) async fn read(
        self,
        place: u32,
        pieces: Arc<tokio::sync::Mutex<mpsc::Receiver<Piece>>>,
    ) -> Result<(), MoveError> {
        let mut session = Session::open(self.side, &self.endpoint, READING).await?;
        loop {
            let piece = pieces.lock().await.recv().await;
            let Some(piece) = piece else { return Ok(()) };
            let mut after = Some(piece.range.after);
            while let Some(from) = after.take() {
                self.pace.leave().await;
                let begun = Instant::now();
                let range = Range { after: from, until: piece.range.until.clone() };
                let bytes;
                (after, bytes) =
                    self.chunk(&mut session, place, piece.table, piece.number, &range).await?;
                if after.is_some() {
                    // The answer was left in the middle.
                    session = Session::open(self.side, &self.endpoint, READING).await?;
                }
                self.pace.pause(bytes, begun.elapsed()).await;
            }
        }
    }

    /// Reads one chunk and hands it over; the key after which to go on, and the chunk's bytes.
    async fn chunk(
        &self,
        session: &mut Session,
        place: u32,
        table: usize,
        piece: u64,
        range: &Range,
    ) -> Result<(Option<Vec<String>>, u64), MoveError> {
        let permit = self.places.clone().acquire_owned().await.map_err(|_| MoveError::Stopped)?;
        let mark = self.run.marks.next();
        let hand_over = self.run.expect_chunk(mark);
        session.one("a mark in its log", &self.names.mark(place, mark)).await?;
        fault::point("copy.marked").await?;
        let table = &self.tables[table];
        let mut lanes = Lanes::new(self.lanes);
        let rest = self.rows(session, table, range, &mut lanes).await?;
        fault::point("copy.read").await?;
        let bytes = lanes.bytes as u64;
        let chunk = ChunkRows {
            table: table.number,
            rows: lanes.rows,
            bytes,
            lanes: lanes.finish(),
            piece: rest.is_none().then_some(piece),
            permit: Arc::new(permit),
        };
        hand_over.send(chunk).map_err(|_| MoveError::Stopped)?;
        Ok((rest, bytes))
    }

    /// Reads the rows of a chunk; the last key that was read when there are too many.
    async fn rows(
        &self,
        session: &mut Session,
        table: &Table,
        range: &Range,
        lanes: &mut Lanes,
    ) -> Result<Option<Vec<String>>, MoveError> {
        const WHAT: &str = "rows that move";
        session.start_rows(WHAT, &range.select(table)).await?;
        let mut tuple = Vec::new();
        loop {
            let payload = match session.next_row(WHAT).await? {
                Next::Row(payload) => payload,
                Next::End(_) => return Ok(None),
            };
            let row: Result<Vec<Option<&[u8]>>, _> = TextRow::new(&payload).collect();
            let row = row.map_err(|_| MoveError::Answer { side: self.side, what: WHAT })?;
            tuple.clear();
            table.push_tuple(&mut tuple, &row)?;
            let lane = table.lane_of_selected(&row, &self.units, self.lanes)?;
            lanes.push(lane, &tuple, table.guards_of_selected(&row));
            if lanes.bytes > CHUNK_BYTES_MAX {
                return table.key_literals(&row).map(Some);
            }
        }
    }
}

/// Rows of a chunk by lane, as statements' worth.
struct Lanes {
    done: Vec<Vec<Rows>>,
    open: Vec<Rows>,
    rows: u64,
    bytes: usize,
}

impl Lanes {
    fn new(lanes: usize) -> Self {
        Self {
            done: vec![Vec::new(); lanes],
            open: vec![Rows::default(); lanes],
            rows: 0,
            bytes: 0,
        }
    }

    fn push(&mut self, lane: usize, tuple: &[u8], guards: Vec<String>) {
        if !self.open[lane].fits(tuple.len()) {
            let full = std::mem::take(&mut self.open[lane]);
            self.done[lane].push(full);
        }
        self.open[lane].push(tuple, guards.into_iter());
        self.rows += 1;
        self.bytes += tuple.len();
    }

    fn finish(mut self) -> Vec<Vec<Rows>> {
        for (done, open) in self.done.iter_mut().zip(self.open) {
            if open.bytes() > 0 {
                done.push(open);
            }
        }
        self.done
    }
}

/// The server's guess of a row's bytes.
async fn row_bytes(session: &mut Session, table: &Table) -> Result<f64, MoveError> {
    let text = |name: &str| literal::text("utf8mb4", name.as_bytes());
    let sql = format!(
        "SELECT AVG_ROW_LENGTH FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        text(&table.definition.database),
        text(&table.definition.table)
    );
    let answer = session.one("the size of a table", &sql).await?;
    Ok(answer.text(0).and_then(|text| text.parse().ok()).unwrap_or(1_000.0))
}
