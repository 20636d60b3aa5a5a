//! The newest slow statements, as they ended. Values in them are marks.

use parking_lot::Mutex;
use shardline_model::id::ShardId;
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Statements that are kept.
const KEPT_MAX: usize = 1_000;

/// How long a shard took for its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardTime {
    /// The shard.
    pub shard: ShardId,
    /// From the statement's beginning to the end of its answer; None when nobody looked.
    pub took: Option<Duration>,
}

/// A statement that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowStatement {
    /// Counted from 1.
    pub number: u64,
    /// When it ended, in milliseconds since 1970.
    pub unix_ms: u64,
    /// How long it took.
    pub took: Duration,
    /// Its digest.
    pub digest: u64,
    /// The digest's text.
    pub text: Arc<str>,
    /// The database it ran in.
    pub database: Option<Arc<str>>,
    /// Who ran it.
    pub user: String,
    /// From where.
    pub host: String,
    /// In which session.
    pub session: u32,
    /// The number of its error.
    pub error: Option<u16>,
    /// The shards it ran on.
    pub shards: Vec<ShardTime>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct SlowLog {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    statements: VecDeque<Arc<SlowStatement>>,
}

impl SlowLog {
    pub(super) fn push(&self, mut statement: SlowStatement) {
        let mut kept = self.kept.lock();
        kept.last += 1;
        statement.number = kept.last;
        if kept.statements.len() >= KEPT_MAX {
            kept.statements.pop_front();
        }
        kept.statements.push_back(Arc::new(statement));
    }

    pub(super) fn since(&self, number: u64) -> Vec<Arc<SlowStatement>> {
        let kept = self.kept.lock();
        kept.statements.iter().filter(|one| one.number > number).cloned().collect()
    }

    pub(super) fn last(&self) -> u64 {
        self.kept.lock().last
    }
}
