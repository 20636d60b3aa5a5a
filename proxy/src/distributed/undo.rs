//! Undoes a branch's changes in a local transaction that is open: all of them at once, or those that
//! still can be with a list of the others, or whatever the rows are now.
//!
//! Nothing here commits. Whoever waits for a row that must be undone waits for somebody who has written
//! on rows that never were: such a connection of a proxy is killed.

use super::{
    anchor::number,
    binlog::family,
    control::{Control, ControlConnection, ControlError},
    definitions::Definitions,
    stuck::StuckRow,
};
use crate::{
    backend::PacketAnswer,
    txn::sql::{Packet, Part},
};
use shardline_binlog::{
    ChangeKind, Family, RowChange,
    undo::{self, Subject, TableDefinition, UndoError, UndoStatement},
};
use shardline_model::id::ShardId;
use std::{collections::HashSet, future::Future, time::Duration};

/// Changes that are planned at once.
const PLANNED_MAX: usize = 64;
/// Bytes of statements that are sent at once, unless one alone has more.
const PACKET_BYTES: usize = 1 << 20;
/// When a statement takes longer, it is looked whom it waits for.
const LOOK_AFTER: Duration = Duration::from_millis(50);
/// Rows that are listed with their images.
pub(super) const ROWS_LISTED_MAX: usize = 16;
/// What a packet may be larger than its statements.
const STATEMENT_ROOM: usize = 4_096;

/// Errors after which the same may succeed: lock waits, deadlocks, full disks, read-only servers, killed
/// or stopping ones. Any other error of an undo statement is about its row.
const PASSING: [u16; 20] = [
    1205, 1213, 1021, 1037, 1038, 1040, 1041, 1053, 1114, 1180, 1290, 1317, 1792, 1836, 1927, 1969,
    3024, 3100, 3572, 1020,
];

/// Why an undo did not come to an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It may succeed later.
    #[error(transparent)]
    Later(#[from] ControlError),
    /// It cannot succeed as things are.
    #[error("{0}")]
    Never(String),
}

impl From<UndoError> for Trouble {
    fn from(error: UndoError) -> Self {
        Trouble::Never(error.to_string())
    }
}

/// One branch's undo.
pub(super) struct Undo<'a> {
    pub(super) control: &'a Control,
    pub(super) shard: ShardId,
    pub(super) changes: &'a [RowChange],
    pub(super) definitions: &'a Definitions,
    /// The server's `max_allowed_packet`.
    pub(super) packet_max: usize,
}

/// What could be undone and what could not.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) undone: usize,
    /// Changes whose rows are not what the branch made of them.
    pub(super) differing: usize,
    /// The first of their rows.
    pub(super) rows: Vec<StuckRow>,
}

impl<'u> Undo<'u> {
    /// Undoes all changes. False when a row differs; then the transaction is to be rolled back.
    pub(super) async fn all(&self, connection: &mut ControlConnection) -> Result<bool, Trouble> {
        let mut end = self.changes.len();
        while end > 0 {
            let start = end.saturating_sub(PLANNED_MAX);
            let statements = self.plan(&self.changes[start..end])?;
            let mut rest = &statements[..];
            while !rest.is_empty() {
                let (batch, later) = rest.split_at(batch_length(rest));
                if !self.run(connection, batch).await?.0 {
                    return Ok(false);
                }
                rest = later;
            }
            end = start;
        }
        Ok(true)
    }

    /// Undoes the changes whose rows still are what the branch made of them; a row that differs is
    /// left as it is now, with all that the branch did to it before.
    pub(super) async fn matching(
        &self,
        connection: &mut ControlConnection,
    ) -> Result<Survey, Trouble> {
        let mut survey = Survey::default();
        let mut left: HashSet<(String, String)> = HashSet::new();
        for change in self.changes.iter().rev() {
            let subject = undo::subject(change, &self.lookup())?;
            let key = (subject.table.clone(), subject.key.clone());
            let reason = if left.contains(&key) {
                "it was changed again later".to_owned()
            } else {
                let statements = self.plan(std::slice::from_ref(change))?;
                send(connection, "SAVEPOINT shardline_undo").await?;
                let (undone, reason) = self.run(connection, &statements).await?;
                if undone {
                    survey.undone += 1;
                    continue;
                }
                send(connection, "ROLLBACK TO SAVEPOINT shardline_undo").await?;
                reason
            };
            survey.differing += 1;
            if !left.contains(&key) && survey.rows.len() < ROWS_LISTED_MAX {
                survey.rows.push(describe(connection, &subject, reason).await?);
            }
            left.insert(key);
            if change.kind == ChangeKind::Update {
                let before = RowChange { kind: ChangeKind::Delete, after: None, ..change.clone() };
                let before = undo::subject(&before, &self.lookup())?;
                left.insert((before.table, before.key));
            }
        }
        Ok(survey)
    }

    /// Puts every row back as it was before, whatever it is now.
    pub(super) async fn overwrite(
        &self,
        connection: &mut ControlConnection,
    ) -> Result<usize, Trouble> {
        let mut end = self.changes.len();
        while end > 0 {
            let start = end.saturating_sub(PLANNED_MAX);
            let changes = &self.changes[start..end];
            for sql in undo::overwrite(changes, &self.lookup(), self.statement_max())? {
                let packet = Packet::default().then(Part::Plain, &sql);
                let answer = self.patiently(connection, &packet).await?;
                if let Some((_, error)) = answer.failed {
                    return Err(match is_passing(error.code) {
                        true => Trouble::Later(ControlError::Refused(error)),
                        false => Trouble::Never(error.to_string()),
                    });
                }
            }
            end = start;
        }
        Ok(self.changes.len())
    }

    fn plan(&self, changes: &[RowChange]) -> Result<Vec<UndoStatement>, Trouble> {
        Ok(undo::plan(changes, &self.lookup(), self.statement_max())?)
    }

    fn lookup(&self) -> impl Fn(&str, &str) -> Option<&'u TableDefinition> + Send + Sync + use<'u> {
        let definitions = self.definitions;
        move |database, table| definitions.get(&(database.to_owned(), table.to_owned()))
    }

    fn statement_max(&self) -> usize {
        self.packet_max.saturating_sub(STATEMENT_ROOM) / 2
    }

    /// Runs statements with their verifications: whether each did what it must, and why not.
    async fn run(
        &self,
        connection: &mut ControlConnection,
        statements: &[UndoStatement],
    ) -> Result<(bool, String), Trouble> {
        if statements.is_empty() {
            return Ok((true, String::new()));
        }
        let mut packet = Packet::default();
        for statement in statements {
            packet = packet.then(Part::Plain, &statement.sql);
            if let Some(verify) = &statement.verify {
                packet = packet.then(Part::Check, verify);
            }
        }
        let answer = self.patiently(connection, &packet).await?;
        if let Some((_, error)) = answer.failed {
            if is_passing(error.code) {
                return Err(Trouble::Later(ControlError::Refused(error)));
            }
            return Ok((false, error.to_string()));
        }
        let results = answer.results.iter().zip(packet.parts());
        for (result, part) in results {
            let first = result.rows.rows.first().and_then(|row| row.first()?.as_ref());
            let fits = match part {
                Part::Check => first.and_then(number) == Some(1),
                Part::Plain | Part::Lock | Part::Decisive | Part::Commit => result.affected == 1,
            };
            if !fits {
                return Ok((false, "it is not what the transaction made of it".to_owned()));
            }
        }
        Ok((true, String::new()))
    }

    /// Runs a packet, and kills the proxies' connections that it waits for meanwhile.
    async fn patiently(
        &self,
        connection: &mut ControlConnection,
        packet: &Packet,
    ) -> Result<PacketAnswer, ControlError> {
        let thread = connection.thread_id();
        let family = family(connection.server_version());
        let mut work = std::pin::pin!(connection.run(packet));
        loop {
            if let Some(done) = until(work.as_mut(), tokio::time::sleep(LOOK_AFTER)).await {
                return done;
            }
            if let Some(done) = until(work.as_mut(), self.kill_blockers(thread, family)).await {
                return done;
            }
        }
    }

    /// Kills the connections of proxies that hold what `thread` waits for, unless they wait for a
    /// replica: what those hold is committed, and killing them would show what a failover loses.
    async fn kill_blockers(&self, thread: u32, family: Family) {
        let rows = match self.control.query(self.shard, &blockers(thread, family)).await {
            Ok(result) => result.rows,
            Err(error) => {
                tracing::debug!(shard = %self.shard, %error, "cannot ask whom an undo waits for");
                return;
            }
        };
        for row in rows {
            let [Some(id), Some(user), Some(state)] = &row[..] else { continue };
            let (user, state) = (String::from_utf8_lossy(user), String::from_utf8_lossy(state));
            let Some(id) = number(id).filter(|_| is_incarnation(&user)) else { continue };
            if state.contains("semi-sync") {
                continue;
            }
            tracing::warn!(shard = %self.shard, thread = id, %user, "killing a writer that an undo waits for");
            if let Err(error) = self.control.kill(self.shard, id).await {
                tracing::debug!(shard = %self.shard, %error, "cannot kill it");
            }
        }
    }
}

/// The first of two to end, if that is the work.
async fn until<T>(work: impl Future<Output = T>, other: impl Future<Output = ()>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = other => None,
    }
}

fn is_passing(number: u16) -> bool {
    PASSING.contains(&number)
}

/// Whether an account is that of a proxy's incarnation.
fn is_incarnation(user: &str) -> bool {
    let number = user.strip_prefix("shardline-");
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

/// How many statements go in the next packet.
fn batch_length(statements: &[UndoStatement]) -> usize {
    let mut bytes = 0;
    let fits = |statement: &&UndoStatement| {
        bytes += statement.sql.len() + statement.verify.as_ref().map_or(0, String::len) + 4;
        bytes <= PACKET_BYTES
    };
    statements.iter().take_while(fits).count().max(1)
}

async fn describe(
    connection: &mut ControlConnection,
    subject: &Subject,
    reason: String,
) -> Result<StuckRow, Trouble> {
    let found = connection.query(&subject.sql).await?.rows;
    Ok(StuckRow::new(subject, found.first().map(|row| subject.describe(row)), reason))
}

async fn send(connection: &mut ControlConnection, sql: &str) -> Result<(), ControlError> {
    connection.query(sql).await.map(|_| ())
}

/// Who holds what a thread waits for: thread, account, state.
fn blockers(thread: u32, family: Family) -> String {
    match family {
        Family::Mariadb => format!(
            "SELECT DISTINCT p.ID, p.USER, COALESCE(p.STATE, '') \
             FROM information_schema.INNODB_TRX r \
             JOIN information_schema.INNODB_LOCK_WAITS w ON w.requesting_trx_id = r.trx_id \
             JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id \
             JOIN information_schema.PROCESSLIST p ON p.ID = b.trx_mysql_thread_id \
             WHERE r.trx_mysql_thread_id = {thread}"
        ),
        Family::Mysql => format!(
            "SELECT DISTINCT b.PROCESSLIST_ID, b.PROCESSLIST_USER, \
             COALESCE(b.PROCESSLIST_STATE, '') \
             FROM performance_schema.threads r \
             JOIN performance_schema.data_lock_waits w ON w.REQUESTING_THREAD_ID = r.THREAD_ID \
             JOIN performance_schema.threads b ON b.THREAD_ID = w.BLOCKING_THREAD_ID \
             WHERE r.PROCESSLIST_ID = {thread}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_incarnations_are_killed() {
        for (user, expected) in [
            ("shardline-7", true),
            ("shardline-", false),
            ("shardline", false),
            ("shardline-x", false),
            ("app", false),
        ] {
            assert_eq!(is_incarnation(user), expected, "{user}");
        }
    }

    #[test]
    fn packets_are_filled_but_never_empty() {
        let statement = |length: usize| UndoStatement {
            change: 0,
            kind: ChangeKind::Insert,
            sql: "x".repeat(length),
            verify: None,
        };
        assert_eq!(batch_length(&[statement(PACKET_BYTES * 2), statement(1)]), 1);
        let small = vec![statement(PACKET_BYTES / 4); 9];
        assert_eq!(batch_length(&small), 3);
        assert_eq!(batch_length(&small[..2]), 2);
    }
}
