//! Statements: planned on one snapshot of the catalog and handed to what runs them.

use super::{
    Position, Session,
    answer::Protocol,
    commit::is_guarded,
    failure::Failure,
    prepared::Known,
    reads::Reading,
    written::{Note, Written},
};
use crate::{
    error::{SqlError, number},
    execute::{
        outgoing::{Outgoing, Parameters},
        relay::Quick,
        single::SingleRun,
    },
    holds::Seen,
};
use shardline_model::{
    catalog::Catalog,
    id::{ShardId, TableId},
    key::Literal,
};
use shardline_router::{
    lexer::Lexer,
    plan::{InsertId, Plan, Refusal, SessionStatement, ShardSql, Single, Target, Traits, Write},
    router::Scratch,
    template::{BindError, BindInput, Template},
    view::SessionView,
};
use smallvec::SmallVec;
use std::{future::poll_fn, ops::Range, sync::Arc, time::Instant};

/// A server's word for a statement that it runs but does not prepare.
const UNPREPARABLE: u16 = 1295;

/// A statement with its values.
#[derive(Clone, Copy)]
pub(super) struct Statement<'a> {
    pub(super) sql: &'a [u8],
    pub(super) protocol: Protocol,
    /// The parameters of an execution.
    pub(super) parameters: Parameters<'a>,
    /// The same as literals.
    pub(super) literals: Option<&'a [Literal<'a>]>,
    pub(super) position: Position,
}

impl<'a> Statement<'a> {
    pub(super) fn text(sql: &'a [u8], position: Position) -> Self {
        Statement {
            sql,
            protocol: Protocol::Text,
            parameters: Parameters::default(),
            literals: None,
            position,
        }
    }
}

/// A statement's plan, and the snapshot that it was made from and is run on.
pub(super) struct Planned {
    pub(super) catalog: Arc<Catalog>,
    pub(super) plan: Result<Noted, Unplanned>,
}

impl Planned {
    /// Whether it is a statement on rows.
    fn runs_on_shards(&self) -> bool {
        matches!(&self.plan, Ok(Noted { plan, .. })
            if !matches!(plan, Plan::Ddl(_) | Plan::Session(_) | Plan::Refuse(_)))
    }
}

/// A plan, and what of it concerns transactions over several shards.
pub(super) struct Noted {
    pub(super) plan: Plan,
    pub(super) note: Option<Note>,
    /// What a read level above `local` asks first.
    pub(super) reading: Option<Box<Reading>>,
}

impl Unplanned {
    /// Whether it may be a statement that writes.
    pub(super) fn may_write(&self) -> bool {
        match self {
            Unplanned::Refused(_) | Unplanned::SnapshotTooOld => false,
            Unplanned::NeedsIds { .. } | Unplanned::Held(_) => true,
        }
    }
}

/// Why there is no plan.
pub(super) enum Unplanned {
    /// The client is told.
    Refused(SqlError),
    /// These sequence numbers have to be waited for.
    NeedsIds { table: TableId, count: u64 },
    /// These moves hold what it touches.
    Held(SmallVec<[Seen; 1]>),
    /// It would miss rows that came to a shard after the transaction's snapshot.
    SnapshotTooOld,
}

impl Session {
    /// COM_QUERY with several statements, when it is one and the client may send such.
    pub(super) fn pieces(&self, sql: &[u8]) -> Option<Vec<Range<usize>>> {
        if !self.multi_statements || memchr::memchr(b';', sql).is_none() {
            return None;
        }
        // A text that cannot be read is refused by the router, with the reason.
        let pieces = Lexer::split(sql, self.mode).unwrap_or_default();
        (pieces.len() > 1).then_some(pieces)
    }

    pub(super) async fn several(
        &mut self,
        sql: &[u8],
        pieces: &[Range<usize>],
    ) -> Result<(), Failure> {
        let last = pieces.len() - 1;
        for (index, piece) in pieces.iter().enumerate() {
            let position = if index == last { Position::Last } else { Position::MoreFollow };
            self.text(&sql[piece.clone()], position).await?;
        }
        Ok(())
    }

    pub(super) async fn text(&mut self, sql: &[u8], position: Position) -> Result<(), Failure> {
        self.statement(Statement::text(sql, position), None, Instant::now()).await
    }

    /// Plans a statement and runs it; `now` is when it came.
    pub(super) async fn statement(
        &mut self,
        statement: Statement<'_>,
        mut known: Option<&mut Option<Known>>,
        now: Instant,
    ) -> Result<(), Failure> {
        self.shared.check_lease(now)?;
        let mut planned = self.planned(&statement, known.as_deref_mut());
        if self.is_held(&planned) {
            drop(planned);
            Box::pin(self.until_admitted()).await?;
            planned = self.planned(&statement, known);
        }
        if self.transaction.is_transactional() && planned.runs_on_shards() {
            self.count_statement(now);
        }
        if let Ok(Noted { plan, .. }) = &planned.plan {
            self.enter_shards(plan, planned.catalog.epoch);
        }
        if let Ok(Noted { plan: Plan::Single(single), note, reading }) = &planned.plan
            && reading.as_deref().is_none_or(Reading::is_plain)
            && let Some(mut running) = self.begin_short(single, note.as_ref(), &statement)
        {
            let mut catalog = Some(planned.catalog);
            let quick = poll_fn(|cx| {
                let polled = self.poll_short(&mut running, cx);
                if polled.is_pending() && self.lets_go(&running) {
                    // Its rows are those of now, wherever they go meanwhile.
                    catalog = None;
                }
                polled
            })
            .await;
            if let Quick::Ended = quick
                && self.is_plain_end(&running)
            {
                return self.end_short(running);
            }
            let run = single_run(single, running.shard(), &statement);
            return Box::pin(self.leave_short(running, quick, run)).await;
        }
        Box::pin(self.carry_out(planned, statement)).await
    }

    /// Plans a statement, as far as nothing has to be waited for.
    fn planned(&mut self, statement: &Statement<'_>, known: Option<&mut Option<Known>>) -> Planned {
        let catalog = self.catalog();
        let plan = self.plan(statement, known, &catalog);
        let about_last = matches!(
            &plan,
            Ok(Noted { plan: Plan::Session(SessionStatement::ShowWarnings { .. }), .. })
        );
        if !about_last {
            self.diagnostics.clear();
        }
        if let Ok(Noted { plan, .. }) = &plan {
            self.shared.metrics.planned(plan);
            self.observed.planned(plan);
        }
        Planned { catalog, plan }
    }

    async fn carry_out(
        &mut self,
        planned: Planned,
        statement: Statement<'_>,
    ) -> Result<(), Failure> {
        let Planned { catalog, plan } = self.planned_anew(planned, &statement).await?;
        let Noted { plan, note, reading } = match plan {
            Ok(noted) => noted,
            Err(Unplanned::Refused(error)) => {
                return Err(self.refusal(error, statement.sql, &catalog).await);
            }
            Err(Unplanned::SnapshotTooOld) => return Err(self.snapshot_too_old().await),
            Err(Unplanned::NeedsIds { .. } | Unplanned::Held(_)) => {
                let text = "a statement asked twice for sequence numbers";
                return Err(SqlError::internal(text).into());
            }
        };
        if let Some(reading) = reading
            && let Some(done) =
                Box::pin(self.read_at_level(&reading, &plan, &statement, &catalog)).await
        {
            return done;
        }
        match plan {
            Plan::Single(single) => self.single(&single, statement, note, catalog).await,
            Plan::Scatter(scatter) => {
                if let Some(note) = note.filter(|_| self.transaction.is_transactional()) {
                    for part in &scatter.parts {
                        self.written.note(part.shard, &note)?;
                    }
                }
                self.in_use = Some(catalog);
                let (protocol, position) = (statement.protocol, statement.position);
                let run = self.run_scatter(&scatter, protocol, position).await;
                self.in_use = None;
                run
            }
            Plan::Compute(compute) => self.computed(&compute, &statement, note, catalog).await,
            Plan::Write(write) => self.write(&write, statement, note, catalog).await,
            Plan::Rehearse(plan) => self.rehearsed(&plan, &statement, note, catalog).await,
            Plan::Ddl(ddl) => {
                // What it commits must not wait for this statement's own catalog.
                drop(catalog);
                self.ddl(&ddl, statement.position).await
            }
            Plan::Session(session) => {
                drop(catalog);
                let (protocol, position) = (statement.protocol, statement.position);
                self.session_statement(session, statement.sql, protocol, position).await
            }
            Plan::Refuse(refusal) => {
                let error = SqlError::refused(&refusal);
                Err(self.refusal(error, statement.sql, &catalog).await)
            }
        }
    }

    /// Waits for what a plan lacks: sequence numbers, and units that change their shard.
    async fn planned_anew(
        &mut self,
        planned: Planned,
        statement: &Statement<'_>,
    ) -> Result<Planned, Failure> {
        let began = Instant::now();
        let mut planned = planned;
        loop {
            let Planned { catalog, plan } = planned;
            let plan = match plan {
                Err(Unplanned::NeedsIds { table, count }) => {
                    self.plan_with_ids(statement, &catalog, table, count).await
                }
                plan => plan,
            };
            match plan {
                Err(Unplanned::Held(holds)) => {
                    // What is acknowledged meanwhile must not wait for this statement.
                    drop(catalog);
                    self.wait_for_cutover(&holds, began).await?;
                    planned = self.planned(statement, None);
                }
                plan => {
                    if let Ok(Noted { plan, .. }) = &plan {
                        self.enter_shards(plan, catalog.epoch);
                    }
                    return Ok(Planned { catalog, plan });
                }
            }
        }
    }

    /// What a client is told of a statement that is not run here: what a server says, when
    /// no server would run it either (a misspelt word, an unknown column).
    pub(super) async fn refusal(
        &mut self,
        error: SqlError,
        sql: &[u8],
        catalog: &Catalog,
    ) -> Failure {
        let verbs = ["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"];
        let asks = error.number == number::NOT_SUPPORTED
            && Lexer::tokenize(sql, self.mode)
                .is_ok_and(|tokens| verbs.iter().any(|verb| tokens.is_keyword(0, verb)));
        if !asks {
            return error.into();
        }
        match self.prepare_on_shard(sql, catalog).await {
            Err(Failure::Sql(told)) if told.is_from_server() && told.number != UNPREPARABLE => {
                told.into()
            }
            Err(Failure::Client(lost)) => lost.into(),
            Ok(_) | Err(_) => error.into(),
        }
    }

    /// The template of a text, on one snapshot.
    pub(super) fn template(
        &self,
        sql: &[u8],
        catalog: &Arc<Catalog>,
        scratch: &mut Scratch,
    ) -> Result<Arc<Template>, SqlError> {
        let template = self.shared.router.prepare(sql, &self.view(), catalog, scratch);
        template.map_err(|refusal| SqlError::refused(&refusal))
    }

    fn plan(
        &mut self,
        statement: &Statement<'_>,
        known: Option<&mut Option<Known>>,
        catalog: &Arc<Catalog>,
    ) -> Result<Noted, Unplanned> {
        let view = SessionView {
            database: self.state.database(),
            sql_mode: self.mode,
            allow_explicit_ids: self.settings.allow_explicit_ids,
        };
        let mut prepare =
            || self.shared.router.prepare(statement.sql, &view, catalog, &mut self.scratch);
        let template;
        let (template, literals) = match known {
            Some(slot) => {
                let current = slot.take().filter(|known| known.holds(&view, catalog.planned));
                let known = match current {
                    Some(known) => known,
                    None => {
                        let template = prepare().map_err(refused)?;
                        Known::new(&view, catalog.planned, template, &self.scratch)
                    }
                };
                let known = slot.insert(known);
                (&*known.template, &*known.literals)
            }
            None => {
                template = prepare().map_err(refused)?;
                (&*template, self.scratch.literals())
            }
        };
        let worker = self.seat.worker();
        self.shared.statistics.is(worker, &mut self.observed, template.digest());
        let limit = self.state.variable("sql_select_limit");
        self.values.select_limit = limit.and_then(|limit| limit.as_str().parse().ok());
        let mut input = BindInput {
            sql: statement.sql,
            literals,
            params: statement.literals,
            session: &self.values,
            catalog,
            ids: None,
        };
        loop {
            match template.bind(&input) {
                Ok(plan) => {
                    if self.may_meet_moves(template) {
                        self.check_moves(template, &input, &plan)?;
                    }
                    return Ok(self.noted(template, &input, plan));
                }
                Err(BindError::Refused(refusal)) => return Err(refused(refusal)),
                Err(BindError::NeedsIds { table, count }) => {
                    let ids = self.shared.sequences.take_now(table, count);
                    if ids.is_none() || input.ids.is_some() {
                        return Err(Unplanned::NeedsIds { table, count });
                    }
                    input.ids = ids;
                }
            }
        }
    }

    async fn plan_with_ids(
        &mut self,
        statement: &Statement<'_>,
        catalog: &Arc<Catalog>,
        table: TableId,
        count: u64,
    ) -> Result<Noted, Unplanned> {
        let ids = self.shared.sequences.take(table, count).await.map_err(Unplanned::Refused)?;
        let mut scratch = Scratch::new();
        let template = self.template(statement.sql, catalog, &mut scratch);
        let input = BindInput {
            sql: statement.sql,
            literals: scratch.literals(),
            params: statement.literals,
            session: &self.values,
            catalog,
            ids: Some(ids),
        };
        let template = template.map_err(Unplanned::Refused)?;
        let plan = template.bind(&input).map_err(|error| match error {
            BindError::Refused(refusal) => refused(refusal),
            BindError::NeedsIds { table, count } => Unplanned::NeedsIds { table, count },
        })?;
        if self.may_meet_moves(&template) {
            self.check_moves(&template, &input, &plan)?;
        }
        self.shared.metrics.planned(&plan);
        self.observed.planned(&plan);
        Ok(self.noted(&template, &input, plan))
    }

    async fn single(
        &mut self,
        single: &Single,
        statement: Statement<'_>,
        note: Option<Note>,
        catalog: Arc<Catalog>,
    ) -> Result<(), Failure> {
        if let InsertId::Explicit { high, table, .. } = single.insert_id {
            self.advance(table, high).await?;
        }
        // Reads hold the catalog too: units that it names must stay where they are until then.
        let candidates: SmallVec<[ShardId; 4]> = match single.target {
            Target::Shard(shard) => SmallVec::from_slice(&[shard]),
            Target::Any => self.any_shards(&catalog),
        };
        let mut candidates = candidates.into_iter().peekable();
        while let Some(shard) = candidates.next() {
            let run = single_run(single, shard, &statement);
            match self.run_noted(run, note.as_ref()).await {
                Err(Failure::Sql(error))
                    if error.is_unreachable_shard() && candidates.peek().is_some() => {}
                outcome => return outcome,
            }
        }
        Err(SqlError::no_shards().into())
    }

    async fn advance(&self, table: TableId, high: u64) -> Result<(), Failure> {
        if !self.shared.sequences.advance_now(table, high) {
            Box::pin(self.shared.sequences.advance(table, high)).await?;
        }
        Ok(())
    }

    /// The shards that may run a statement that any shard can run, best first: a session
    /// stays with one shard, so that its state is applied there already.
    pub(super) fn any_shards(&self, catalog: &Catalog) -> SmallVec<[ShardId; 4]> {
        let asked = |shard: &ShardId| !catalog.is_joining(*shard);
        let preferred = self.transaction.preferred().filter(asked);
        if let Some(shard) = self.branches.pinned().or(preferred) {
            return SmallVec::from_slice(&[shard]);
        }
        let mut shards: SmallVec<[ShardId; 4]> =
            catalog.shards.keys().copied().filter(asked).collect();
        if !shards.is_empty() {
            let first = self.registration.id as usize % shards.len();
            shards.rotate_left(first);
        }
        shards
    }

    async fn write(
        &mut self,
        write: &Write,
        statement: Statement<'_>,
        note: Option<Note>,
        catalog: Arc<Catalog>,
    ) -> Result<(), Failure> {
        if let InsertId::Explicit { high, table, .. } = write.insert_id {
            self.advance(table, high).await?;
        }
        let [part] = write.parts.as_slice() else {
            let noted = note.unwrap_or_default();
            for part in &write.parts {
                self.written.note(part.shard, &noted)?;
            }
            return Box::pin(self.run_write(write, statement.position, catalog)).await;
        };
        let traits = Traits {
            writes: true,
            opens_no_snapshot: write.opens_no_snapshot,
            ..Traits::default()
        };
        let run = SingleRun {
            shard: part.shard,
            outgoing: Outgoing::Query(&part.sql),
            traits,
            insert_id: write.insert_id,
            position: statement.position,
            held: false,
        };
        self.run_noted(run, note.as_ref()).await
    }

    fn noted(&self, template: &Template, input: &BindInput<'_>, plan: Plan) -> Noted {
        let reading = self.reads_hold_catalog();
        let reading = reading.then(|| Box::new(self.reading(template, input, &plan)));
        let note = self.note(template, input, &plan);
        Noted { plan, note, reading }
    }

    /// What is to be noted of a statement that writes or locks rows, or checked before it
    /// commits by itself. Most have nothing: no transaction is open and no guard is up.
    fn note(&self, template: &Template, input: &BindInput<'_>, plan: &Plan) -> Option<Note> {
        let traits = template.traits();
        if !traits.writes && !traits.locks {
            return self.note_of_locking_read(input.catalog);
        }
        let databases = template.touched_databases();
        let (one, several) = match plan {
            Plan::Single(Single { target: Target::Shard(shard), .. }) => (Some(*shard), false),
            Plan::Write(write) => match write.parts.as_slice() {
                [part] => (Some(part.shard), false),
                _ => (None, true),
            },
            Plan::Rehearse(_) => (None, true),
            Plan::Single(Single { target: Target::Any, .. })
            | Plan::Scatter(_)
            | Plan::Compute(_)
            | Plan::Ddl(_)
            | Plan::Session(_)
            | Plan::Refuse(_) => (None, false),
        };
        let spreads = self.transaction.is_spread()
            || one.is_some_and(|shard| self.transaction.spreads_to(shard));
        let wanted = several || spreads || is_guarded(input.catalog, databases);
        if !wanted && !self.transaction.is_transactional() {
            return None;
        }
        let touches = wanted.then(|| match plan {
            Plan::Rehearse(plan) if plan.wide => template.touches(input).unpinned(),
            _ => template.touches(input),
        });
        Some(Note { databases: databases.into(), touches, reads: false })
    }

    /// Runs a statement on one shard. What is noted of it is kept for COMMIT, or checked now.
    async fn run_noted(&mut self, run: SingleRun<'_>, note: Option<&Note>) -> Result<(), Failure> {
        let Some(note) = note else { return self.run_single(run).await };
        if self.transaction.is_transactional() {
            self.written.note(run.shard, note)?;
            return self.run_single(run).await;
        }
        if !run.traits.writes {
            return self.run_single(run).await;
        }
        let mut alone = Written::default();
        alone.note(run.shard, note)?;
        let check = alone.on(run.shard).check;
        Box::pin(self.run_checked(SingleRun { held: true, ..run }, &check)).await
    }
}

/// A plan on one shard as it is run there.
pub(super) fn single_run<'a>(
    single: &'a Single,
    shard: ShardId,
    statement: &Statement<'a>,
) -> SingleRun<'a> {
    SingleRun {
        shard,
        outgoing: outgoing(single, statement),
        traits: single.traits,
        insert_id: single.insert_id,
        position: statement.position,
        held: false,
    }
}

fn refused(refusal: Refusal) -> Unplanned {
    Unplanned::Refused(SqlError::refused(&refusal))
}

/// What is sent for a plan on one shard.
pub(super) fn outgoing<'a>(single: &'a Single, statement: &Statement<'a>) -> Outgoing<'a> {
    let parameters = statement.parameters;
    let returns_rows = single.traits.returns_rows;
    match (&single.sql, statement.protocol) {
        (ShardSql::Unchanged, Protocol::Text) => Outgoing::Query(statement.sql),
        (ShardSql::Unchanged, Protocol::Binary) => {
            Outgoing::Execute { sql: statement.sql, parameters }
        }
        (ShardSql::Edited { sql, keeps_parameters: true }, Protocol::Binary) => {
            Outgoing::Execute { sql, parameters }
        }
        (ShardSql::Edited { sql, .. }, protocol) => Outgoing::literal(sql, protocol, returns_rows),
    }
}
