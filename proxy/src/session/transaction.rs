//! The transaction of a session, as a pure state machine: what a statement may do, what
//! must be sent before it on a shard that joins, and what follows from a shard's answer.
//! No I/O: `session/branches.rs` drives it.
//!
//! BEGIN is lazy. A shard becomes a *branch* when the first statement reaches it; the
//! BEGIN and the savepoints set so far travel in front of that statement. A transaction that
//! has written on several shards is committed by `session/commit.rs`.

mod snapshots;

use crate::error::SqlError;
use shardline_model::id::ShardId;
use shardline_router::plan::Traits;
use smallvec::SmallVec;

/// How many savepoints one transaction keeps.
pub const SAVEPOINTS_MAX: usize = 1_024;

/// The transaction state of one session.
#[derive(Debug)]
pub struct Transaction {
    autocommit: bool,
    next: Characteristics,
    open: Option<Open>,
}

/// Isolation level and access mode, as SQL text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Characteristics {
    isolation: Option<String>,
    access: Option<String>,
}

#[derive(Debug, Default)]
struct Open {
    /// Opened by BEGIN; otherwise by the first statement under autocommit = 0.
    explicit: bool,
    consistent_snapshot: bool,
    characteristics: Characteristics,
    savepoints: Vec<Savepoint>,
    /// The transaction of one statement alone: the client does not know of it.
    of_statement: bool,
    /// Its snapshots are open, on all shards that it may read.
    has_snapshots: bool,
    shows_undone: bool,
    branches: SmallVec<[ShardId; 4]>,
    /// Those that were written, in the order of their first write.
    writers: SmallVec<[ShardId; 4]>,
    /// Those where a snapshot may be open.
    read: SmallVec<[ShardId; 4]>,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    /// How many shards had been written when it was set.
    writers: usize,
}

/// What a statement does to the shards it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// It changes rows.
    pub writes: bool,
    /// What later statements of its transaction read there may be as it was now.
    pub opens_snapshot: bool,
}

impl Access {
    /// It changes no rows.
    pub const READ: Access = Access { writes: false, opens_snapshot: true };
    /// It changes rows, and may have read others.
    pub const WRITE: Access = Access { writes: true, opens_snapshot: true };

    /// What a statement does.
    pub fn of(traits: Traits) -> Self {
        Access { writes: traits.writes, opens_snapshot: !traits.opens_no_snapshot }
    }
}

/// What a shard answered at the end of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The server's IN_TRANS flag afterwards.
    pub in_transaction: bool,
    /// Whether the statement failed.
    pub failed: bool,
}

/// What becomes of the connection, and of the other branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The connection holds nothing of a transaction.
    Release,
    /// The connection is a branch of the open transaction.
    Hold,
    /// The server ended the transaction by itself (an implicit commit, or a rollback
    /// such as after a deadlock): the same is done on the other branches.
    Ended(Finish),
}

/// How a transaction ends, as the driver does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// COMMIT or ROLLBACK.
    pub verb: Verb,
    /// Branches that were only read.
    pub readers: SmallVec<[ShardId; 4]>,
    /// Branches that were written, in the order of their first write. With one of them, its
    /// answer is the client's.
    pub writers: SmallVec<[ShardId; 4]>,
    /// Those of both where what is read may not be what is committed by now.
    pub stale: SmallVec<[ShardId; 4]>,
}

/// The two ends of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Keep the changes.
    Commit,
    /// Undo them.
    Rollback,
}

impl Verb {
    /// The statement.
    pub fn sql(self) -> &'static [u8] {
        match self {
            Verb::Commit => b"COMMIT",
            Verb::Rollback => b"ROLLBACK",
        }
    }
}

impl Default for Transaction {
    fn default() -> Self {
        Transaction { autocommit: true, next: Characteristics::default(), open: None }
    }
}

impl Transaction {
    /// The session's autocommit mode.
    pub fn autocommit(&self) -> bool {
        self.autocommit
    }

    /// Whether the client is told that a transaction is open.
    pub fn is_open(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| !open.of_statement && (open.explicit || !open.branches.is_empty()))
    }

    /// Whether the open transaction was begun READ ONLY.
    pub fn is_read_only(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.characteristics.access.as_deref() == Some("READ ONLY"))
    }

    /// Whether BEGIN opened the transaction, so that a shard's BEGIN precedes whatever it
    /// is sent.
    pub fn is_explicit(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.explicit)
    }

    /// The shards that take part in the open transaction.
    pub fn branches(&self) -> SmallVec<[ShardId; 4]> {
        self.open.as_ref().map(|open| open.branches.clone()).unwrap_or_default()
    }

    /// Whether statements now run inside a transaction: BEGIN, or autocommit = 0.
    pub fn is_transactional(&self) -> bool {
        self.open.is_some() || !self.autocommit
    }

    /// Whether the shard is a branch of the open transaction.
    pub fn is_branch(&self, shard: ShardId) -> bool {
        self.open.as_ref().is_some_and(|open| open.branches.contains(&shard))
    }

    /// A shard that the transaction has already touched: where a statement that may run
    /// anywhere goes.
    pub fn preferred(&self) -> Option<ShardId> {
        let open = self.open.as_ref()?;
        open.writers.first().or_else(|| open.branches.first()).copied()
    }

    /// Whether a write on the shard makes the transaction one of several shards.
    pub fn spreads_to(&self, shard: ShardId) -> bool {
        let writers = self.open.as_ref().map(|open| &open.writers);
        writers.is_some_and(|writers| !writers.is_empty() && !writers.contains(&shard))
    }

    /// Whether it has written on several shards.
    pub fn is_spread(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.writers.len() > 1)
    }

    /// The shards that were written, in the order of their first write.
    pub fn writers(&self) -> &[ShardId] {
        self.open.as_ref().map(|open| open.writers.as_slice()).unwrap_or_default()
    }

    /// Whether the next transaction was asked to be SERIALIZABLE.
    pub fn next_is_serializable(&self) -> bool {
        self.next.isolation.as_deref().is_some_and(|level| level.ends_with("SERIALIZABLE"))
    }

    /// Whether every read of the open transaction locks what it reads; `usually`: what the
    /// session has set for all.
    pub fn reads_lock(&self, usually: bool) -> bool {
        self.open.as_ref().map_or(usually && !self.autocommit, |open| {
            let level = open.characteristics.isolation.as_deref();
            level.map_or(usually, |level| level.ends_with("SERIALIZABLE"))
        })
    }

    /// A transaction for one statement that writes on several shards.
    pub fn begin_statement(&mut self) {
        let characteristics = std::mem::take(&mut self.next);
        let open = Open { explicit: true, of_statement: true, characteristics, ..Open::default() };
        self.open = Some(open);
    }

    /// Whether nothing has to be sent on the shard's connection before the next statement.
    pub fn is_entered(&self, shard: ShardId) -> bool {
        match &self.open {
            Some(open) => open.branches.contains(&shard),
            None => self.next.isolation.is_none() && self.next.access.is_none(),
        }
    }

    /// What is sent on the shard's connection before the next statement there.
    pub fn preamble(&self, shard: ShardId) -> SmallVec<[Vec<u8>; 2]> {
        let mut statements = SmallVec::new();
        let Some(open) = &self.open else {
            statements.extend(self.next.set_transaction());
            return statements;
        };
        if open.branches.contains(&shard) {
            return statements;
        }
        if open.explicit {
            statements.extend(open.characteristics.set_isolation());
            statements.push(open.start_transaction());
        } else {
            statements.extend(open.characteristics.set_transaction());
        }
        statements.extend(open.savepoints.iter().map(|point| savepoint_sql(&point.name)));
        statements
    }

    /// A statement ran on a shard; a write makes it one that is written.
    pub fn answered(&mut self, shard: ShardId, access: Access, answer: Answer) -> Next {
        if self.open.is_none() {
            let characteristics = std::mem::take(&mut self.next);
            if !answer.in_transaction {
                return Next::Release;
            }
            self.open = Some(Open { characteristics, ..Open::default() });
        }
        let Some(open) = &mut self.open else { return Next::Release };
        if answer.in_transaction {
            if !open.branches.contains(&shard) {
                open.branches.push(shard);
            }
            if access.opens_snapshot && !open.read.contains(&shard) {
                open.read.push(shard);
            }
            if access.writes && !open.writers.contains(&shard) {
                open.writers.push(shard);
            }
            return Next::Hold;
        }
        if !open.explicit && !open.branches.contains(&shard) {
            return Next::Release;
        }
        open.branches.retain(|branch| *branch != shard);
        open.writers.retain(|writer| *writer != shard);
        let verb = if answer.failed { Verb::Rollback } else { Verb::Commit };
        Next::Ended(self.finish(verb, Chain::No))
    }

    /// A shard's connection is gone. True when it held a part of the transaction; the
    /// transaction is then over, and the other branches must be rolled back.
    pub fn lost(&mut self, shard: ShardId) -> Option<Finish> {
        if !self.is_branch(shard) {
            return None;
        }
        let mut finish = self.finish(Verb::Rollback, Chain::No);
        finish.readers.retain(|branch| *branch != shard);
        finish.writers.retain(|writer| *writer != shard);
        Some(finish)
    }

    /// BEGIN or START TRANSACTION; the finish of the transaction before it comes first.
    pub fn begin(&mut self, read_only: bool, consistent_snapshot: bool) -> Finish {
        let finish = self.finish(Verb::Commit, Chain::No);
        let mut characteristics = std::mem::take(&mut self.next);
        if read_only {
            characteristics.access = Some("READ ONLY".into());
        }
        self.open =
            Some(Open { explicit: true, consistent_snapshot, characteristics, ..Open::default() });
        finish
    }

    /// COMMIT or ROLLBACK: how it is done on the branches. The state is already that of
    /// after it.
    pub fn finish(&mut self, verb: Verb, chain: Chain) -> Finish {
        let open = self.open.take().unwrap_or_default();
        let all = open.consistent_snapshot
            || open.has_snapshots
            || open.characteristics.isolation.is_some();
        if chain == Chain::Yes {
            let characteristics = open.characteristics;
            self.open = Some(Open { explicit: true, characteristics, ..Open::default() });
        }
        let Open { branches, writers, read, .. } = open;
        let stale = if all { branches.clone() } else { read };
        let readers = branches.into_iter().filter(|shard| !writers.contains(shard)).collect();
        Finish { verb, readers, writers, stale }
    }

    /// `SET autocommit`: turning it on commits what is open.
    pub fn set_autocommit(&mut self, on: bool) -> Option<Finish> {
        let turned_on = on && !self.autocommit;
        self.autocommit = on;
        turned_on.then(|| self.finish(Verb::Commit, Chain::No))
    }

    /// `SET TRANSACTION ...` without a scope: for the next transaction only.
    ///
    /// # Errors
    /// A transaction is open.
    pub fn set_next(&mut self, characteristics: &str) -> Result<(), SqlError> {
        if self.is_open() {
            return Err(SqlError::transaction_in_progress());
        }
        for part in characteristics.split(',') {
            let part = part.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_uppercase();
            if part.starts_with("READ ") && !part.starts_with("READ COMMITTED") {
                self.next.access = Some(part);
            } else {
                self.next.isolation = Some(part);
            }
        }
        Ok(())
    }

    /// `SAVEPOINT name`. True: it is to be sent to every branch.
    ///
    /// # Errors
    /// Too many savepoints.
    pub fn savepoint(&mut self, name: &str) -> Result<bool, SqlError> {
        if self.open.is_none() {
            if self.autocommit {
                return Ok(false);
            }
            let characteristics = std::mem::take(&mut self.next);
            self.open = Some(Open { characteristics, ..Open::default() });
        }
        let Some(open) = &mut self.open else { return Ok(false) };
        open.savepoints.retain(|point| !same_name(&point.name, name));
        if open.savepoints.len() >= SAVEPOINTS_MAX {
            return Err(SqlError::not_supported(
                format!("this transaction has {SAVEPOINTS_MAX} savepoints"),
                "RELEASE SAVEPOINT what is no longer needed",
            ));
        }
        open.savepoints.push(Savepoint { name: name.to_owned(), writers: open.writers.len() });
        Ok(true)
    }

    /// `ROLLBACK TO name`: to be sent to every branch.
    ///
    /// # Errors
    /// No such savepoint.
    pub fn rollback_to(&mut self, name: &str) -> Result<(), SqlError> {
        let (open, at) = self.find_savepoint(name)?;
        open.savepoints.truncate(at + 1);
        open.writers.truncate(open.savepoints[at].writers);
        Ok(())
    }

    /// `RELEASE SAVEPOINT name`: to be sent to every branch.
    ///
    /// # Errors
    /// No such savepoint.
    pub fn release_savepoint(&mut self, name: &str) -> Result<(), SqlError> {
        let (open, at) = self.find_savepoint(name)?;
        open.savepoints.truncate(at);
        Ok(())
    }

    fn find_savepoint(&mut self, name: &str) -> Result<(&mut Open, usize), SqlError> {
        let missing = || SqlError::no_such_savepoint(name);
        let open = self.open.as_mut().ok_or_else(missing)?;
        let at = open.savepoints.iter().position(|point| same_name(&point.name, name));
        let at = at.ok_or_else(missing)?;
        Ok((open, at))
    }
}

/// Whether a new transaction of the same kind begins at once (`AND CHAIN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// It does.
    Yes,
    /// It does not.
    No,
}

impl Open {
    fn start_transaction(&self) -> Vec<u8> {
        let mut sql = b"START TRANSACTION".to_vec();
        let mut separator = " ";
        if self.consistent_snapshot {
            sql.extend_from_slice(b" WITH CONSISTENT SNAPSHOT");
            separator = ", ";
        }
        if let Some(access) = &self.characteristics.access {
            sql.extend_from_slice(separator.as_bytes());
            sql.extend_from_slice(access.as_bytes());
        }
        sql
    }
}

impl Characteristics {
    fn set_isolation(&self) -> Option<Vec<u8>> {
        self.isolation.as_ref().map(|level| format!("SET TRANSACTION {level}").into_bytes())
    }

    fn set_transaction(&self) -> Option<Vec<u8>> {
        let parts: Vec<&str> =
            self.isolation.iter().chain(&self.access).map(String::as_str).collect();
        (!parts.is_empty()).then(|| format!("SET TRANSACTION {}", parts.join(", ")).into_bytes())
    }
}

/// `SAVEPOINT name`, quoted.
pub fn savepoint_sql(name: &str) -> Vec<u8> {
    format!("SAVEPOINT {}", quoted(name)).into_bytes()
}

/// `ROLLBACK TO SAVEPOINT name`, quoted.
pub fn rollback_to_sql(name: &str) -> Vec<u8> {
    format!("ROLLBACK TO SAVEPOINT {}", quoted(name)).into_bytes()
}

/// `RELEASE SAVEPOINT name`, quoted.
pub fn release_sql(name: &str) -> Vec<u8> {
    format!("RELEASE SAVEPOINT {}", quoted(name)).into_bytes()
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests;
