//! A flow: rows of the units on their way from one server to the other, by copy and by change stream. One
//! task drives it; what it has done is on the receiver, so that it goes on after any loss where it was.

use crate::{
    copy,
    error::{MoveError, Side},
    fault,
    lane::Lane,
    pace::Pace,
    position::Position,
    progress::{Meter, Progress},
    route::{Router, is_wanted},
    run::{ChunkRows, Copied, Marks, Run, Work},
    session::{Answer, Endpoint, Session, WRITING, text},
    source::{self, Arrival, Stream},
    spec::MoveSpec,
    state::{self, Direction, Names},
    table::Table,
    units::Membership,
};
use parking_lot::Mutex;
use shardline_base::BackoffConfig;
use shardline_binlog::literal;
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

/// Work that waits for one lane.
const LANE_WORK_MAX: usize = 128;
/// How often positions are stored.
const SAVE_PERIOD: Duration = Duration::from_millis(100);
/// How often the flow's delay is measured.
const HEARTBEAT_PERIOD: Duration = Duration::from_millis(250);
/// The mark of heartbeats among the readers' marks.
const HEARTBEAT_PLACE: u32 = 1_000_000;
/// The mark of those who wait for the flow.
pub(crate) const DRAIN_PLACE: u32 = 1_000_001;
/// How long tasks may take to say why they ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Pauses between attempts.
const BACKOFF: BackoffConfig = BackoffConfig { first_ms: 50, longest_ms: 5_000 };

/// How much a flow does at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections that write to the receiver.
    pub lanes: usize,
    /// Connections that read chunks from the sender.
    pub readers: usize,
    /// Chunks that are read and not yet written.
    pub chunks_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { lanes: 4, readers: 2, chunks_max: 6 }
    }
}

/// What a flow does.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowState {
    /// It connects and reads where it was.
    Starting,
    /// It runs.
    Running,
    /// It tries again by itself.
    Waiting(MoveError),
    /// It cannot go on.
    Failed(MoveError),
}

/// A flow's row on its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The epoch that it began under.
    pub(crate) since: u64,
    /// The epoch of the switch that ended it.
    pub(crate) switched: Option<u64>,
    pub(crate) lanes: usize,
    pub(crate) sender: String,
    pub(crate) position: Position,
    /// Where the flow back begins: server and position.
    pub(crate) back_server: String,
    pub(crate) back: Position,
}

/// See the module's text.
pub(crate) struct Flow {
    pub(crate) spec: Arc<MoveSpec>,
    pub(crate) names: Names,
    pub(crate) settings: Settings,
    pub(crate) marks: Arc<Marks>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) state: watch::Sender<FlowState>,
    pub(crate) copied: watch::Sender<bool>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) run: Mutex<Option<Arc<Run>>>,
}

/// The side that a flow comes from.
pub(crate) fn sender(direction: Direction) -> Side {
    match direction {
        Direction::Forward => Side::Source,
        Direction::Reverse => Side::Target,
    }
}

/// A server of a move.
pub(crate) fn endpoint(spec: &MoveSpec, side: Side) -> &Endpoint {
    match side {
        Side::Source => &spec.source,
        Side::Target => &spec.target,
    }
}

/// Reads a flow's row.
pub(crate) async fn read_record(
    session: &mut Session,
    names: &Names,
) -> Result<Option<Record>, MoveError> {
    let answer = match session.one("the state of the move", &names.read_flow()).await {
        // A server that nobody has prepared.
        Err(MoveError::Refused { error, .. }) if matches!(error.code, 1049 | 1146) => {
            return Ok(None);
        }
        answer => answer?,
    };
    Ok(answer.rows.first().and_then(record_of))
}

fn record_of(row: &crate::session::Row) -> Option<Record> {
    let number = |place| text(row, place)?.parse::<u64>().ok();
    let position = |place| Some(Position { file: text(row, place)?, offset: number(place + 1)? });
    Some(Record {
        since: number(0)?,
        switched: number(1),
        lanes: usize::try_from(number(2)?).ok()?,
        sender: text(row, 3)?,
        position: position(4)?,
        back_server: text(row, 6)?,
        back: position(7)?,
    })
}

/// Reads the tables' definitions from a server.
pub(crate) async fn read_tables(
    session: &mut Session,
    side: Side,
    spec: &MoveSpec,
    units: &Membership,
) -> Result<Vec<Arc<Table>>, MoveError> {
    let mut tables = Vec::with_capacity(spec.tables.len());
    for (number, table) in spec.tables.iter().enumerate() {
        tables.push(Arc::new(Table::read(session, side, number, table, units).await?));
    }
    Ok(tables)
}

/// Runs statements as one transaction.
pub(crate) async fn transaction(
    session: &mut Session,
    what: &'static str,
    statements: &[String],
) -> Result<Vec<Answer>, MoveError> {
    let sql = format!("BEGIN; {}; COMMIT", statements.join("; "));
    session.run(what, sql.as_bytes()).await
}

impl Flow {
    fn sides(&self) -> (Side, Side) {
        let from = sender(self.names.direction);
        (from, from.other())
    }

    /// Runs until it cannot go on, and says why.
    pub(crate) async fn run(self: Arc<Self>) -> MoveError {
        let mut backoff = BACKOFF.build();
        loop {
            let begun = Instant::now();
            self.state.send_replace(FlowState::Starting);
            let error = match self.clone().run_once().await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            *self.run.lock() = None;
            self.marks.forget_heartbeats();
            let id = &self.names.id;
            if !error.is_retryable() {
                tracing::error!(%id, %error, "a move has stopped");
                self.state.send_replace(FlowState::Failed(error.clone()));
                return error;
            }
            if begun.elapsed() > Duration::from_secs(30) {
                backoff.reset();
            }
            let delay = backoff.next_delay();
            tracing::warn!(%id, %error, ?delay, "a move begins anew where it was");
            self.meter.restarts.fetch_add(1, Ordering::Relaxed);
            self.state.send_replace(FlowState::Waiting(error));
            tokio::time::sleep(delay).await;
        }
    }

    async fn run_once(self: Arc<Self>) -> Result<std::convert::Infallible, MoveError> {
        let (from, to) = self.sides();
        let (spec, names) = (self.spec.clone(), self.names.clone());
        let mut receiver = Session::open(to, endpoint(&spec, to), WRITING).await?;
        transaction(&mut receiver, "the state of the move", &names.claim()).await?;
        let (record, written, copied) = self.read_state(&mut receiver).await?;
        let units = Arc::new(Membership::new(&spec));
        let mut session = Session::open(from, endpoint(&spec, from), WRITING).await?;
        let tables = read_tables(&mut session, from, &spec, &units).await?;
        self.begin_meter(&mut session, &tables, &units, &copied).await?;
        let stream =
            Stream::open(from, endpoint(&spec, from), &record.sender, &record.position).await?;
        let run = Arc::new(Run::new(
            self.marks.clone(),
            self.meter.clone(),
            record.position.clone(),
            copied.clone(),
        ));
        *self.run.lock() = Some(run.clone());
        let mut tasks = JoinSet::new();
        let mut lanes = Vec::with_capacity(record.lanes);
        for (number, written) in written.into_iter().enumerate() {
            let (work, queue) = mpsc::channel(LANE_WORK_MAX);
            lanes.push(work);
            let lane = Lane {
                number,
                side: to,
                endpoint: endpoint(&spec, to).clone(),
                names: names.clone(),
                tables: tables.clone(),
                run: run.clone(),
                written,
                work: queue,
            };
            tasks.spawn(lane.run());
        }
        let router =
            Router::new(tables.clone(), (*units).clone(), record.lanes, &names.id, &names.owner);
        tasks.spawn(dispatch(stream, router, lanes, run.clone()));
        tasks.spawn(self.clone().save(receiver, run.clone()));
        tasks.spawn(self.clone().beat(session, from, run.clone()));
        if copied.iter().any(|table| !table.done) {
            self.spawn_copy(&mut tasks, tables, units, run, copied, record.lanes);
        }
        self.state.send_replace(FlowState::Running);
        Err(first_error(&mut tasks).await)
    }

    async fn read_state(
        &self,
        session: &mut Session,
    ) -> Result<(Record, Vec<Position>, Vec<Copied>), MoveError> {
        const WHAT: &str = "the state of the move";
        let wrong = |reason: &str| MoveError::Step {
            id: self.names.id.clone(),
            step: "run",
            reason: reason.to_owned(),
        };
        let record = read_record(session, &self.names).await?;
        let record = record.ok_or_else(|| wrong("it is not prepared"))?;
        if record.switched.is_some() {
            return Err(wrong("its units are switched"));
        }
        let rows = session.one(WHAT, &self.names.read_lanes()).await?.rows;
        let position =
            |row| Some(Position { file: text(row, 1)?, offset: text(row, 2)?.parse().ok()? });
        let written: Option<Vec<Position>> = rows.iter().map(position).collect();
        let written = written.filter(|lanes| lanes.len() == record.lanes);
        let written = written.ok_or_else(|| wrong("its state is damaged"))?;
        let mut copied = vec![Copied { done: true, ..Copied::default() }; self.spec.tables.len()];
        if self.names.direction == Direction::Forward {
            for row in session.one(WHAT, &self.names.read_tables()).await?.rows {
                let number = |place| text(&row, place).and_then(|text| text.parse::<u64>().ok());
                let place = number(0).and_then(|place| usize::try_from(place).ok());
                let table = place.and_then(|place| copied.get_mut(place));
                let table = table.ok_or_else(|| wrong("it has other tables than before"))?;
                *table = Copied {
                    done: number(1) == Some(1),
                    rows: number(2).unwrap_or(0),
                    bytes: number(3).unwrap_or(0),
                    key: state::key_of(&text(&row, 4).unwrap_or_default()),
                };
            }
        }
        Ok((record, written, copied))
    }

    async fn begin_meter(
        &self,
        session: &mut Session,
        tables: &[Arc<Table>],
        units: &Membership,
        copied: &[Copied],
    ) -> Result<(), MoveError> {
        let rows = copied.iter().map(|table| table.rows).sum();
        self.meter.begin(rows, copied.iter().map(|table| table.bytes).sum());
        let mut estimated = 0.0;
        for table in tables {
            estimated += estimated_rows(session, table, units).await?;
        }
        self.meter.rows_estimated.store(estimated as u64, Ordering::Relaxed);
        Ok(())
    }

    fn spawn_copy(
        &self,
        tasks: &mut JoinSet<Result<(), MoveError>>,
        tables: Vec<Arc<Table>>,
        units: Arc<Membership>,
        run: Arc<Run>,
        copied: Vec<Copied>,
        lanes: usize,
    ) {
        let (side, _) = self.sides();
        let copy = copy::Copy {
            side,
            endpoint: endpoint(&self.spec, side).clone(),
            names: self.names.clone(),
            tables,
            units,
            run,
            lanes,
            places: Arc::new(Semaphore::new(self.settings.chunks_max.max(1))),
            pace: self.pace.clone(),
        };
        let (pieces, cut) = mpsc::channel(self.settings.readers.max(1));
        let cut = Arc::new(tokio::sync::Mutex::new(cut));
        tasks.spawn(copy.clone().cut(copied, pieces));
        for reader in 0..self.settings.readers.max(1) {
            let place = u32::try_from(reader).unwrap_or(0);
            tasks.spawn(copy.clone().read(place, cut.clone()));
        }
    }

    /// Stores how far everything is.
    async fn save(self: Arc<Self>, mut session: Session, run: Arc<Run>) -> Result<(), MoveError> {
        const WHAT: &str = "the state of the move";
        let not_owner = || MoveError::NotOwner { id: self.names.id.clone() };
        let (mut saved, mut saved_tables) = (run.applied(), run.copied());
        self.copied.send_replace(saved_tables.iter().all(|table| table.done));
        loop {
            tokio::time::sleep(SAVE_PERIOD).await;
            // The tables first: what they say is older than the position then.
            let (tables, applied) = (run.copied(), run.applied());
            if applied != saved {
                let sql = self.names.save_position(&applied);
                if session.one(WHAT, &sql).await?.affected != 1 {
                    return Err(not_owner());
                }
                saved = applied;
            }
            fault::point("state.save").await?;
            for (number, table) in tables.iter().enumerate() {
                if saved_tables[number] == *table {
                    continue;
                }
                let Copied { done, rows, bytes, key } = table;
                let sql = self.names.save_table(number, *done, *rows, *bytes, key);
                if session.one(WHAT, &sql).await?.affected != 1 {
                    return Err(not_owner());
                }
            }
            saved_tables = tables;
            let all = saved_tables.iter().all(|table| table.done);
            self.copied.send_if_modified(|copied| std::mem::replace(copied, all) != all);
        }
    }

    /// Measures how far the flow is behind.
    async fn beat(
        self: Arc<Self>,
        mut session: Session,
        side: Side,
        run: Arc<Run>,
    ) -> Result<(), MoveError> {
        loop {
            let mark = self.marks.next();
            self.marks.heartbeat(mark);
            let sql = self.names.mark(HEARTBEAT_PLACE, mark);
            session.one("a mark in its log", &sql).await?;
            let end = source::end_of_log(&mut session, side).await?;
            let bytes = source::bytes_between(&mut session, &run.applied(), &end).await?;
            self.meter.lag_bytes.store(bytes, Ordering::Relaxed);
            tokio::time::sleep(HEARTBEAT_PERIOD).await;
        }
    }

    /// What people are told.
    pub(crate) fn progress(&self) -> Progress {
        let mut progress = self.meter.progress(*self.copied.borrow());
        progress.lag_ms = self.marks.lag_ms();
        if let Some(run) = &*self.run.lock() {
            progress.applied = run.applied();
        }
        progress.waits_for = match &*self.state.borrow() {
            FlowState::Waiting(error) | FlowState::Failed(error) => Some(error.clone()),
            FlowState::Starting | FlowState::Running => None,
        };
        progress
    }
}

/// The first error that says more than that others have ended.
async fn first_error(tasks: &mut JoinSet<Result<(), MoveError>>) -> MoveError {
    let mut found = None;
    loop {
        let next = match &found {
            None => tasks.join_next().await,
            Some(_) => tokio::time::timeout(LAST_WORDS, tasks.join_next()).await.unwrap_or(None),
        };
        match next {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(MoveError::Stopped))) => found = Some(MoveError::Stopped),
            Some(Ok(Err(error))) => {
                found = Some(error);
                break;
            }
            Some(Err(error)) => {
                tracing::error!(%error, "a task of a move has panicked");
                break;
            }
            None => break,
        }
    }
    tasks.shutdown().await;
    found.unwrap_or(MoveError::Stopped)
}

/// Reads the log and gives the lanes their work.
async fn dispatch(
    mut stream: Stream,
    mut router: Router,
    lanes: Vec<mpsc::Sender<Work>>,
    run: Arc<Run>,
) -> Result<(), MoveError> {
    let names = router.names();
    let wanted = move |table: &shardline_binlog::TableMap| is_wanted(&names, table);
    loop {
        let (transaction, position) = match stream.next(&wanted).await? {
            Arrival::Transaction(transaction, position) => (transaction, position),
            Arrival::Position(position) => {
                run.read_up_to(&position);
                continue;
            }
        };
        fault::point("stream.transaction").await?;
        let routed = router.route(&transaction, &position)?;
        for mark in routed.marks {
            match run.chunk_at(mark) {
                Some(chunk) => {
                    let chunk = chunk.await.map_err(|_| MoveError::Stopped)?;
                    send_chunk(chunk, &position, &lanes, &run).await?;
                }
                None => run.begin_mark(&position, mark),
            }
        }
        let used = routed.lanes.iter().filter(|ops| !ops.is_empty()).count();
        if used == 0 {
            run.read_up_to(&position);
            continue;
        }
        let number = run.begin_changes(&position, used);
        for (lane, ops) in lanes.iter().zip(routed.lanes) {
            if !ops.is_empty() {
                let work = Work::Changes { number, position: position.clone(), ops };
                lane.send(work).await.map_err(|_| MoveError::Stopped)?;
            }
        }
    }
}

async fn send_chunk(
    chunk: ChunkRows,
    position: &Position,
    lanes: &[mpsc::Sender<Work>],
    run: &Run,
) -> Result<(), MoveError> {
    let number = run.begin_chunk(position, &chunk);
    let ChunkRows { table, lanes: rows, permit, .. } = chunk;
    for (lane, rows) in lanes.iter().zip(rows) {
        if !rows.is_empty() {
            let work = Work::Rows { number, table, rows, permit: permit.clone() };
            lane.send(work).await.map_err(|_| MoveError::Stopped)?;
        }
    }
    Ok(())
}

/// Rows of the units, by the server's guess.
async fn estimated_rows(
    session: &mut Session,
    table: &Table,
    units: &Membership,
) -> Result<f64, MoveError> {
    const WHAT: &str = "the size of a table";
    if !units.is_computed() {
        // The optimizer knows how much of an index a condition covers.
        let sql = format!("EXPLAIN SELECT 1 FROM {} WHERE {}", table.sql_name, table.inside);
        let rows = session.one(WHAT, &sql).await?.rows;
        let rows = rows.first().and_then(|row| {
            // The columns before differ between the families; the count is the largest number.
            (0..row.len())
                .filter_map(|place| text(row, place)?.parse::<f64>().ok())
                .reduce(f64::max)
        });
        return Ok(rows.unwrap_or(0.0));
    }
    let text = |name: &str| literal::text("utf8mb4", name.as_bytes());
    let sql = format!(
        "SELECT TABLE_ROWS FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        text(&table.definition.database),
        text(&table.definition.table)
    );
    let answer = session.one(WHAT, &sql).await?;
    let rows: f64 = answer.text(0).and_then(|text| text.parse().ok()).unwrap_or(0.0);
    Ok(rows * units.share())
}
