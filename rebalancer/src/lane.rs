//! One of the connections that write a flow's rows. Each takes its work in order, as much at once as has
//! gathered, and stores in the same transaction how far it is. A transaction of a driver that has been
//! replaced finds another owner in its lane's row, and is rolled back.

use crate::{
    batch::{Batch, Rows, STATEMENT_BYTES, Statement, upserts_of},
    error::{MoveError, Side},
    fault,
    position::Position,
    run::{Run, Work},
    session::{Endpoint, Session, WRITING, text},
    state::Names,
    table::Table,
    yielding::Yielding,
};
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};
use tokio::sync::mpsc;

/// Rows that one transaction changes, about.
const ROWS_MAX: usize = 4_000;
/// Bytes that one transaction gathers, about.
const BYTES_MAX: usize = 4 << 20;
/// Transactions of the log that one transaction gathers.
const GATHERED_MAX: usize = 2_000;
/// What a statement has beyond its rows, in bytes.
const STATEMENT_ROOM: usize = 1_024;

/// A lane before it runs.
pub(crate) struct Lane {
    pub(crate) number: usize,
    pub(crate) side: Side,
    pub(crate) endpoint: Endpoint,
    pub(crate) names: Names,
    pub(crate) tables: Vec<Arc<Table>>,
    pub(crate) run: Arc<Run>,
    /// What this lane has written up to here is not written again.
    pub(crate) written: Position,
    pub(crate) work: mpsc::Receiver<Work>,
}

/// Work that is written in one transaction.
#[derive(Default)]
struct Gathered {
    batch: Batch,
    chunk: Vec<Statement>,
    numbers: Vec<u64>,
    position: Option<Position>,
    permits: Vec<Arc<tokio::sync::OwnedSemaphorePermit>>,
}

impl Lane {
    /// Works until there is no more.
    pub(crate) async fn run(mut self) -> Result<(), MoveError> {
        let mut session = Session::open(self.side, &self.endpoint, WRITING).await?;
        Yielding::begin(&mut session).await?;
        let limit = packet_limit(&mut session, self.side).await?;
        let mut queue = VecDeque::new();
        loop {
            if queue.is_empty() {
                match self.work.recv().await {
                    Some(work) => queue.push_back(work),
                    None => return Ok(()),
                }
            }
            while queue.len() < GATHERED_MAX
                && let Ok(work) = self.work.try_recv()
            {
                queue.push_back(work);
            }
            let gathered = self.gather(&mut queue);
            self.write(&mut session, &gathered, limit).await?;
            if let Some(position) = gathered.position {
                self.written = position;
            }
            self.run.meter.rows_streamed.fetch_add(gathered.batch.rows() as u64, Ordering::Relaxed);
            for number in gathered.numbers {
                self.run.part_done(number);
            }
        }
    }

    /// Takes from the front what fits into one transaction.
    fn gather(&self, queue: &mut VecDeque<Work>) -> Gathered {
        let mut gathered = Gathered::default();
        let mut bytes = 0;
        while gathered.batch.rows() < ROWS_MAX && gathered.batch.bytes() + bytes < BYTES_MAX {
            match queue.pop_front() {
                None => break,
                Some(work @ Work::Changes { .. }) if bytes > 0 => {
                    // What comes after stays after.
                    queue.push_front(work);
                    break;
                }
                Some(Work::Changes { number, position, ops }) => {
                    gathered.numbers.push(number);
                    if position <= self.written {
                        continue;
                    }
                    ops.into_iter().for_each(|op| gathered.batch.push(op));
                    gathered.position = Some(position);
                }
                Some(Work::Rows { number, table, rows, permit }) => {
                    if gathered.batch.rows() > 0 {
                        // What was changed before comes before.
                        queue.push_front(Work::Rows { number, table, rows, permit });
                        break;
                    }
                    gathered.numbers.push(number);
                    bytes += rows.iter().map(Rows::bytes).sum::<usize>();
                    gathered.chunk.extend(upserts_of(&self.tables[table], rows));
                    gathered.permits.push(permit);
                }
            }
        }
        gathered
    }

    async fn write(
        &self,
        session: &mut Session,
        gathered: &Gathered,
        limit: usize,
    ) -> Result<(), MoveError> {
        let mut statements = gathered.batch.statements(&self.tables);
        let statements = if statements.is_empty() { &gathered.chunk } else { &mut statements };
        if statements.is_empty() {
            return Ok(());
        }
        for statement in statements.iter() {
            self.check_length(statement, limit)?;
        }
        let position = gathered.position.as_ref().unwrap_or(&self.written);
        let mut turn = Yielding::default();
        while let Err(error) = self.transaction(session, statements, position).await {
            turn.again(session, error).await?;
        }
        turn.done(session).await
    }

    /// A row that does not fit is the only one of its statement.
    fn check_length(&self, statement: &Statement, limit: usize) -> Result<(), MoveError> {
        let bytes = statement.sql().len() + STATEMENT_ROOM;
        if bytes <= limit {
            return Ok(());
        }
        let is_of =
            |table: &&Arc<Table>| statement.sql().starts_with(table.replace_sql().as_bytes());
        let table = self.tables.iter().find(is_of);
        let table = table.map_or_else(|| "a table".to_owned(), |table| table.name.clone());
        Err(MoveError::RowTooLarge { table, bytes, side: self.side, limit })
    }

    async fn transaction(
        &self,
        session: &mut Session,
        statements: &[Statement],
        position: &Position,
    ) -> Result<(), MoveError> {
        const WHAT: &str = "rows that move";
        fault::point("lane.begin").await?;
        let mut packet =
            format!("BEGIN; {}", self.names.save_lane(self.number, position)).into_bytes();
        let mut guards = vec![None, None];
        let mut first = true;
        for statement in statements {
            if packet.len() + statement.sql().len() > STATEMENT_BYTES {
                self.send(session, &packet, &guards, first, WHAT).await?;
                first = false;
                packet.clear();
                guards.clear();
            }
            if !packet.is_empty() {
                packet.extend_from_slice(b"; ");
            }
            packet.extend_from_slice(statement.sql());
            guards.push(match statement {
                Statement::Guard(table, _) => Some(*table),
                Statement::Write(_) => None,
            });
        }
        self.send(session, &packet, &guards, first, WHAT).await?;
        fault::point("lane.commit").await?;
        session.one(WHAT, "COMMIT").await?;
        fault::point("lane.committed").await
    }

    /// Sends a part of a transaction and judges its answers. The first part begins it.
    async fn send(
        &self,
        session: &mut Session,
        packet: &[u8],
        guards: &[Option<usize>],
        first: bool,
        what: &'static str,
    ) -> Result<(), MoveError> {
        if packet.is_empty() {
            return Ok(());
        }
        let answers = session.run(what, packet).await?;
        if first && answers.get(1).is_none_or(|answer| answer.affected != 1) {
            return Err(MoveError::NotOwner { id: self.names.id.clone() });
        }
        for (guard, answer) in guards.iter().zip(&answers) {
            let Some(table) = guard.and_then(|number| self.tables.get(number)) else { continue };
            if !answer.rows.is_empty() {
                let rows: Vec<String> = answer.rows.iter().filter_map(|row| text(row, 0)).collect();
                let rows = format!("{} = {}", table.guards().join(", "), rows.join(", "));
                let table = table.name.clone();
                return Err(MoveError::Collision { table, side: self.side, rows });
            }
        }
        Ok(())
    }
}

/// What the server takes in one statement.
pub(crate) async fn packet_limit(session: &mut Session, side: Side) -> Result<usize, MoveError> {
    const WHAT: &str = "max_allowed_packet";
    let answer = session.one(WHAT, "SELECT @@global.max_allowed_packet").await?;
    let limit = answer.text(0).and_then(|text| text.parse().ok());
    limit.ok_or(MoveError::Answer { side, what: WHAT })
}
