//! Why moving rows stops, and whether trying again can help.

use crate::position::Position;
use shardline_binlog::{transaction::CollectError, undo::UndoError};
use shardline_wire::ErrPacket;
use std::fmt;

/// One of the two servers of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Where the units are when the move begins.
    Source,
    /// Where they go.
    Target,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Side::Source => Side::Target,
            Side::Target => Side::Source,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Target => "target",
        })
    }
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// The connection could not be made, or broke.
    #[error("the {side} cannot be reached: {reason}")]
    Lost {
        /// Which server.
        side: Side,
        /// What happened.
        reason: String,
    },
    /// A server refused a statement.
    #[error("the {side} refused {what}: {error}")]
    Refused {
        /// Which server.
        side: Side,
        /// What was being done.
        what: &'static str,
        /// The server's error.
        error: ErrPacket,
    },
    /// A server's answer is not what this program understands.
    #[error("the {side} gave an answer to {what} that is not understood")]
    Answer {
        /// Which server.
        side: Side,
        /// What was asked.
        what: &'static str,
    },
    /// Somebody else drives the move now.
    #[error("another driver has taken over move {id}")]
    NotOwner {
        /// The move.
        id: String,
    },
    /// The state on the servers does not allow the step.
    #[error("move {id} cannot {step}: {reason}")]
    Step {
        /// The move.
        id: String,
        /// What was asked for.
        step: &'static str,
        /// Why not.
        reason: String,
    },
    /// The log was purged before it was read.
    #[error(
        "the binlog of the {side} does not have {position} any more ({reason}): it was purged before \
         it was read; cancel the move, keep the binlog for longer (binlog_expire_logs_seconds), start again"
    )]
    Purged {
        /// Whose log.
        side: Side,
        /// Where reading was to go on.
        position: Position,
        /// The server's words.
        reason: String,
    },
    /// The stream began on another server.
    #[error(
        "the {side} is another server ({found}) than the one that the stream began on ({expected}), \
         as after a failover: its log positions mean nothing there; cancel the move and start it again"
    )]
    OtherServer {
        /// Which side.
        side: Side,
        /// The server's own name for itself, when the stream began.
        expected: String,
        /// The one that answers now.
        found: String,
    },
    /// A moving table was changed by DDL.
    #[error(
        "{table} was changed while it is moved, at {position}: {statement}; cancel the move and start it again"
    )]
    Ddl {
        /// `database.table`.
        table: String,
        /// The statement, cut when long.
        statement: String,
        /// Where.
        position: Position,
    },
    /// Rows of a moving table were logged as a statement.
    #[error(
        "{table} was written by a statement that is not logged as rows, at {position}: {statement}; \
         set binlog_format=ROW for all sessions, cancel the move and start it again"
    )]
    Statement {
        /// `database.table`.
        table: String,
        /// The statement, cut when long.
        statement: String,
        /// Where.
        position: Position,
    },
    /// The log cannot be read.
    #[error("the binlog of the {side} cannot be followed at {position}: {reason}")]
    Log {
        /// Whose log.
        side: Side,
        /// Where.
        position: Position,
        /// Why.
        reason: String,
    },
    /// A row cannot be carried.
    #[error("a row of {table} cannot be moved: {reason}")]
    Row {
        /// `database.table`.
        table: String,
        /// Why.
        reason: String,
    },
    /// A row is larger than the receiving server takes.
    #[error(
        "a row of {table} needs a statement of {bytes} bytes, and the {side} takes {limit}: raise its max_allowed_packet"
    )]
    RowTooLarge {
        /// `database.table`.
        table: String,
        /// Bytes that are needed.
        bytes: usize,
        /// Who takes less.
        side: Side,
        /// The limit.
        limit: usize,
    },
    /// A unique key of the receiving server has the value for a row that does not belong to the units.
    #[error(
        "a moved row of {table} collides with a row that the {side} has of other units: {rows}; \
         change one of the two values, or cancel the move"
    )]
    Collision {
        /// `database.table`.
        table: String,
        /// Where.
        side: Side,
        /// The rows in the way.
        rows: String,
    },
    /// The receiving server's disk is full.
    #[error("the {side} has no room left: {reason}; make room, the move then goes on by itself")]
    DiskFull {
        /// Where.
        side: Side,
        /// The server's words.
        reason: String,
    },
    /// It was not done in the time given.
    #[error("{what} was not done within {limit_ms} ms")]
    TimedOut {
        /// What.
        what: &'static str,
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// A fault was asked for.
    #[error("a fault was asked for at {0}")]
    Fault(&'static str),
    /// The move's tasks ended.
    #[error("the move has been stopped")]
    Stopped,
}

/// Errors of a server after which the same may succeed: deadlock, lock wait, shutdown, killed, read only.
const TRANSIENT: [u16; 12] =
    [1205, 1213, 1053, 1077, 1079, 1290, 1317, 1152, 1158, 1159, 1160, 1161];
/// Errors that mean that a disk is full.
const FULL: [u16; 4] = [1021, 1114, 1026, 3];

impl MoveError {
    /// Whether trying again, by itself and after a while, can help.
    pub fn is_retryable(&self) -> bool {
        match self {
            MoveError::Lost { .. } | MoveError::DiskFull { .. } | MoveError::Fault(_) => true,
            MoveError::Refused { error, .. } => TRANSIENT.contains(&error.code),
            MoveError::Answer { .. }
            | MoveError::NotOwner { .. }
            | MoveError::Step { .. }
            | MoveError::Purged { .. }
            | MoveError::OtherServer { .. }
            | MoveError::Ddl { .. }
            | MoveError::Statement { .. }
            | MoveError::Log { .. }
            | MoveError::Row { .. }
            | MoveError::RowTooLarge { .. }
            | MoveError::Collision { .. }
            | MoveError::TimedOut { .. }
            | MoveError::Stopped => false,
        }
    }

    /// A server's error, told as what it means.
    pub(crate) fn refused(side: Side, what: &'static str, error: ErrPacket) -> Self {
        if FULL.contains(&error.code) {
            return MoveError::DiskFull { side, reason: error.to_string() };
        }
        MoveError::Refused { side, what, error }
    }

    pub(crate) fn log(side: Side, position: &Position, error: &CollectError) -> Self {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            reason = format!("{reason}: {inner}");
            source = inner.source();
        }
        MoveError::Log { side, position: position.clone(), reason }
    }

    pub(crate) fn row(error: &UndoError) -> Self {
        let table = match error {
            UndoError::NoDefinition { table }
            | UndoError::NoPrimaryKey { table }
            | UndoError::Engine { table, .. }
            | UndoError::SystemVersioned { table }
            | UndoError::Triggers { table, .. }
            | UndoError::Cascades { table, .. }
            | UndoError::UnsupportedType { table, .. }
            | UndoError::Altered { table, .. }
            | UndoError::PartialImage { table, .. }
            | UndoError::Value { table, .. }
            | UndoError::TooLarge { table, .. } => table.clone(),
        };
        MoveError::Row { table, reason: error.to_string() }
    }
}
