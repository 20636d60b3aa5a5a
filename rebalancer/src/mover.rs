//! The handle by which a workflow drives one move, step by step. Every step may be repeated, and begins by
//! what is on the servers: a new driver with a new owner's name goes on where the last one was. Dropping
//! a step's future, or the whole handle, loses nothing.

use crate::{
    error::{MoveError, Side},
    flow::{self, DRAIN_PLACE, Flow, FlowState, Record, Settings, endpoint, sender},
    pace::Pace,
    position::Position,
    preflight::{self, Finding},
    progress::{Meter, Progress},
    purge,
    run::Marks,
    session::{Session, WRITING},
    source,
    spec::{MoveSpec, NAME_MAX, TABLES_MAX},
    state::{self, Direction, Names},
    verify::{self, Verified},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// How long comparing may wait for the stream.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Between two looks at a server's open transactions: InnoDB shows what it has gathered before to whoever
/// looks again within a tenth of a second, however long that goes on.
const LOOK_PAUSE: Duration = Duration::from_millis(700);

/// One move; see the module's text.
#[derive(Debug)]
pub struct Mover {
    spec: Arc<MoveSpec>,
    settings: Settings,
    pace: Arc<Pace>,
    running: Option<Running>,
    /// The direction in which there is nothing to carry now.
    resting: Option<Direction>,
    purged: AtomicU64,
}

/// A flow and its task.
struct Running {
    flow: Arc<Flow>,
    task: JoinHandle<MoveError>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("direction", &self.flow.names.direction)
            .finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How far a move is by what is on its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// The epoch of the last switch to the target.
    pub forward: Option<u64>,
    /// The epoch of the last switch back to the source.
    pub reverse: Option<u64>,
}

impl Mover {
    /// A driver for a move. Nothing is done yet.
    ///
    /// # Errors
    /// A name that is too long, or too many tables.
    pub fn new(spec: MoveSpec, settings: Settings) -> Result<Self, MoveError> {
        let named = |name: &str| !name.is_empty() && name.len() <= NAME_MAX;
        let reason = if !named(&spec.id) || !named(&spec.owner) {
            Some(format!("names have 1 to {NAME_MAX} bytes"))
        } else if spec.tables.is_empty() || spec.tables.len() > TABLES_MAX {
            Some(format!("a move has 1 to {TABLES_MAX} tables"))
        } else if settings.lanes == 0 {
            Some("there must be a lane".to_owned())
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(MoveError::Step { id: spec.id, step: "be driven", reason });
        }
        Ok(Self {
            spec: Arc::new(spec),
            settings,
            pace: Arc::default(),
            running: None,
            resting: None,
            purged: AtomicU64::new(0),
        })
    }

    /// The same, at a pace that it shares with others.
    #[must_use]
    pub fn at_pace(self, pace: Arc<Pace>) -> Self {
        Self { pace, ..self }
    }

    /// What its copy keeps to.
    pub fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// What could make the move fail.
    ///
    /// # Errors
    /// A server cannot be asked.
    pub async fn preflight(&self) -> Result<Vec<Finding>, MoveError> {
        preflight::preflight(&self.spec).await
    }

    pub(crate) fn spec(&self) -> &MoveSpec {
        &self.spec
    }

    pub(crate) fn id(&self) -> &str {
        &self.spec.id
    }

    pub(crate) fn names(&self, direction: Direction) -> Names {
        Names { id: self.spec.id.clone(), owner: self.spec.owner.clone(), direction }
    }

    pub(crate) async fn session(&self, side: Side) -> Result<Session, MoveError> {
        Session::open(side, endpoint(&self.spec, side), WRITING).await
    }

    pub(crate) fn step(&self, step: &'static str, reason: impl Into<String>) -> MoveError {
        MoveError::Step { id: self.spec.id.clone(), step, reason: reason.into() }
    }

    /// Makes the tables that state is kept in, on both servers, and notes where the change stream begins.
    /// Nothing of the user's tables is touched.
    ///
    /// # Errors
    /// A server refuses, or has tables of a version that is not known.
    pub async fn prepare(&self) -> Result<(), MoveError> {
        const WHAT: &str = "its tables of moves";
        let (mut source, mut target) =
            (self.session(Side::Source).await?, self.session(Side::Target).await?);
        for (session, side) in [(&mut source, Side::Source), (&mut target, Side::Target)] {
            for sql in state::SETUP {
                session.one(WHAT, sql).await?;
            }
            let version = session.one(WHAT, state::VERSIONS).await?.text(0);
            let version: Option<u32> = version.and_then(|text| text.parse().ok());
            if version != Some(state::VERSION) {
                let reason = format!(
                    "the {side} has tables of moves of version {}, and this program knows {}",
                    version.unwrap_or(0),
                    state::VERSION
                );
                return Err(self.step("be prepared", reason));
            }
        }
        let names = self.names(Direction::Forward);
        if flow::read_record(&mut target, &names).await?.is_some() {
            return Ok(());
        }
        let at = source::end_of_log(&mut source, Side::Source).await?;
        let server = source::server_name(&mut source, Side::Source).await?;
        let mut statements = names.begin(0, self.settings.lanes, &server, &at);
        statements.push(names.begin_tables(self.spec.tables.len()));
        flow::transaction(&mut target, WHAT, &statements).await?;
        Ok(())
    }

    /// Whether [`Mover::prepare`] was done, by this driver or one before it.
    ///
    /// # Errors
    /// The target cannot be asked.
    pub async fn is_prepared(&self) -> Result<bool, MoveError> {
        Ok(self.record(Direction::Forward).await?.is_some())
    }

    /// What the servers say of switches, as a new driver needs it: a switch is there or not.
    ///
    /// # Errors
    /// A server cannot be asked.
    pub async fn switches(&self) -> Result<Switches, MoveError> {
        let forward = self.record(Direction::Forward).await?;
        let reverse = self.record(Direction::Reverse).await?;
        let epoch = |record: Option<Record>| record.and_then(|record| record.switched);
        Ok(Switches { forward: epoch(forward), reverse: epoch(reverse) })
    }

    async fn record(&self, direction: Direction) -> Result<Option<Record>, MoveError> {
        let mut session = self.session(sender(direction).other()).await?;
        flow::read_record(&mut session, &self.names(direction)).await
    }

    /// Begins the flow in a direction, or goes on with it: copy and change stream to the target, or, after
    /// a switch, the change stream that keeps the other side current. A flow that this handle runs in
    /// the same direction goes on; in the other, it must have been ended by a switch.
    ///
    /// # Errors
    /// It was not prepared, or the last switch was not in the other direction.
    pub async fn start(&mut self, direction: Direction) -> Result<(), MoveError> {
        if let Some(running) = &self.running
            && running.flow.names.direction == direction
            && !running.task.is_finished()
        {
            return Ok(());
        }
        if self.resting == Some(direction) {
            return Ok(());
        }
        self.stop().await;
        let back = match direction {
            Direction::Forward => Direction::Reverse,
            Direction::Reverse => Direction::Forward,
        };
        let (mine, other) = (self.record(direction).await?, self.record(back).await?);
        let since = mine.as_ref().map(|record| record.since);
        let turned = other.filter(|other| other.switched.is_some() && other.switched > since);
        match (mine, turned) {
            (_, Some(other)) => self.begin_back(direction, &other).await?,
            (Some(Record { switched: None, .. }), None) => {}
            (Some(_), None) => return Err(self.step("start", "its units are switched")),
            (None, None) => return Err(self.step("start", "it is not prepared")),
        }
        if self.spec.carries(direction) {
            self.spawn(direction);
        } else {
            let mut session = self.session(sender(direction).other()).await?;
            let claim = self.names(direction).claim();
            flow::transaction(&mut session, "the state of the move", &claim).await?;
            self.resting = Some(direction);
        }
        Ok(())
    }

    /// A flow that begins where the other one was ended by a switch.
    async fn begin_back(&self, direction: Direction, other: &Record) -> Result<(), MoveError> {
        let mut session = self.session(sender(direction).other()).await?;
        let names = self.names(direction);
        let since = other.switched.unwrap_or(0);
        let statements = names.begin(since, other.lanes, &other.back_server, &other.back);
        flow::transaction(&mut session, "the state of the move", &statements).await?;
        Ok(())
    }

    fn spawn(&mut self, direction: Direction) {
        let flow = Arc::new(Flow {
            spec: self.spec.clone(),
            names: self.names(direction),
            settings: self.settings.clone(),
            marks: Arc::new(Marks::default()),
            meter: Arc::new(Meter::default()),
            state: watch::Sender::new(FlowState::Starting),
            copied: watch::Sender::new(false),
            pace: self.pace.clone(),
            run: Mutex::new(None),
        });
        let task = tokio::spawn(flow.clone().run());
        self.running = Some(Running { flow, task });
    }

    /// Ends the flow that runs, where it is; [`Mover::start`] goes on with it.
    pub async fn stop(&mut self) {
        self.resting = None;
        if let Some(mut running) = self.running.take() {
            running.task.abort();
            // Nothing of it writes any more after this.
            let _ = (&mut running.task).await;
        }
    }

    pub(crate) fn flow(&self, step: &'static str) -> Result<&Arc<Flow>, MoveError> {
        let running = self.running.as_ref().ok_or_else(|| self.step(step, "nothing runs"))?;
        Ok(&running.flow)
    }

    /// How far the flow is that runs.
    pub fn progress(&self) -> Progress {
        if self.resting.is_some() {
            return Progress { copied: true, lag_ms: Some(0), ..Progress::default() };
        }
        self.running.as_ref().map(|running| running.flow.progress()).unwrap_or_default()
    }

    /// What the flow does that runs.
    pub fn state(&self) -> Option<FlowState> {
        if self.resting.is_some() {
            return Some(FlowState::Running);
        }
        self.running.as_ref().map(|running| running.flow.state.borrow().clone())
    }

    /// Waits until every row has been copied.
    ///
    /// # Errors
    /// Nothing runs, or it cannot go on.
    pub async fn copied(&self) -> Result<(), MoveError> {
        if self.resting.is_some() {
            return Ok(());
        }
        let flow = self.flow("be copied")?;
        let (mut copied, mut state) = (flow.copied.subscribe(), flow.state.subscribe());
        tokio::select! {
            done = copied.wait_for(|copied| *copied) => done.map(|_| ()).map_err(|_| MoveError::Stopped),
            failed = state.wait_for(|state| matches!(state, FlowState::Failed(_))) => {
                Err(failure(failed.ok().as_deref()))
            }
        }
    }

    /// Waits until everything that the sender has committed by now is on the receiver.
    ///
    /// # Errors
    /// Nothing runs, it cannot go on, or the time is over.
    pub async fn drain(&self, limit: Duration) -> Result<Position, MoveError> {
        let flow = self.flow("be drained")?;
        let mut session = self.session(sender(flow.names.direction)).await?;
        drain(flow, &mut session, limit).await
    }

    /// Waits until everything before this position of the sender's log is on the receiver.
    ///
    /// # Errors
    /// As [`Mover::drain`].
    pub async fn drain_to(&self, position: &Position, limit: Duration) -> Result<(), MoveError> {
        let reached = self.drain(limit).await?;
        if reached >= *position {
            return Ok(());
        }
        Err(self.step("be drained", format!("its log ends at {reached}, before {position}")))
    }

    /// Where the sender's log ends now.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn end_of_log(&self) -> Result<Position, MoveError> {
        let side = sender(self.flow("be asked")?.names.direction);
        source::end_of_log(&mut self.session(side).await?, side).await
    }

    /// Compares all rows of the units on both servers, while everything goes on. The copy must be done.
    ///
    /// # Errors
    /// A server cannot be asked, or the flow does not go on.
    pub async fn verify(&self) -> Result<Verified, MoveError> {
        if self.resting.is_some() {
            return Ok(Verified::default());
        }
        let flow = self.flow("be verified")?;
        if !*flow.copied.borrow() {
            return Err(self.step("be verified", "its copy is not done"));
        }
        let drained = || async {
            let mut session = self.session(sender(flow.names.direction)).await?;
            drain(flow, &mut session, DRAIN_MAX).await.map(|_| ())
        };
        drained().await?;
        verify::verify(&self.spec, sender(flow.names.direction), drained).await
    }

    /// Takes the record of a switch back that the catalog has not heard of and never will: the flow in
    /// this direction goes on when it is started.
    ///
    /// # Errors
    /// The receiver cannot be asked, or has no such flow.
    pub async fn unrecord_switch(&mut self, direction: Direction) -> Result<(), MoveError> {
        self.stop().await;
        let mut session = self.session(sender(direction).other()).await?;
        let sql = self.names(direction).unsave_switch();
        match session.one("the record of a switch", &sql).await?.affected {
            1 => Ok(()),
            _ => Err(self.step("go on", "there is no record of its flow")),
        }
    }

    /// The direction of the flow that runs.
    pub fn direction(&self) -> Option<Direction> {
        let running = self.running.as_ref().map(|running| running.flow.names.direction);
        running.or(self.resting)
    }

    /// Waits until every transaction is over that is open on a server now: an older one may read by a
    /// snapshot of before the switch.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn outlived(&self, side: Side) -> Result<(), MoveError> {
        const OPEN: &str = "SELECT trx_id, trx_started FROM information_schema.innodb_trx";
        let mut session = self.session(side).await?;
        let mut open = None;
        loop {
            let rows = session.one("its open transactions", OPEN).await?.rows;
            let now: BTreeSet<_> = rows.into_iter().collect();
            let old = open.get_or_insert_with(|| now.clone());
            if old.is_disjoint(&now) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Deletes the units' rows from a server that does not own them any more.
    ///
    /// # Errors
    /// A server refuses, or another driver has taken over. It may be run again.
    pub async fn purge(&mut self, side: Side) -> Result<(), MoveError> {
        self.stop().await;
        let brought = match side {
            Side::Source => Direction::Reverse,
            Side::Target => Direction::Forward,
        };
        if !self.spec.carries(brought) {
            // They are its own whoever owns them.
            return Ok(());
        }
        purge::purge(&self.spec, &self.names(Direction::Forward), side, &self.purged).await
    }

    /// Rows that this handle has purged.
    pub fn purged(&self) -> u64 {
        self.purged.load(Ordering::Relaxed)
    }

    /// Ends the move before its switch: the target's rows go. [`Mover::forget`] ends it altogether.
    ///
    /// # Errors
    /// As [`Mover::purge`].
    pub async fn cancel(&mut self) -> Result<(), MoveError> {
        self.purge(Side::Target).await
    }

    /// Takes the move's own state away from both servers.
    ///
    /// # Errors
    /// A server refuses.
    pub async fn forget(&mut self) -> Result<(), MoveError> {
        self.stop().await;
        let statements = self.names(Direction::Forward).forget();
        for side in [Side::Source, Side::Target] {
            let mut session = self.session(side).await?;
            // It may be given up before anything was prepared.
            for sql in state::SETUP {
                session.one("its tables of moves", sql).await?;
            }
            flow::transaction(&mut session, "the end of a move", &statements).await?;
        }
        Ok(())
    }
}

/// Waits until everything is on the receiver that the sender has committed when this session writes a mark.
pub(crate) async fn drain(
    flow: &Flow,
    session: &mut Session,
    limit: Duration,
) -> Result<Position, MoveError> {
    let mut state = flow.state.subscribe();
    let drained = async {
        let mark = flow.marks.next();
        let reached = flow.marks.wait(mark);
        session.one("a mark in its log", &flow.names.mark(DRAIN_PLACE, mark)).await?;
        tokio::select! {
            reached = reached => reached.map_err(|_| MoveError::Stopped),
            failed = state.wait_for(|state| matches!(state, FlowState::Failed(_))) => {
                Err(failure(failed.ok().as_deref()))
            }
        }
    };
    let late = |_| MoveError::TimedOut {
        what: "waiting for the change stream",
        limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
    };
    tokio::time::timeout(limit, drained).await.map_err(late)?
}

fn failure(state: Option<&FlowState>) -> MoveError {
    match state {
        Some(FlowState::Failed(error) | FlowState::Waiting(error)) => error.clone(),
        Some(FlowState::Starting | FlowState::Running) | None => MoveError::Stopped,
    }
}
