//! Branches of aborted transactions that cannot be undone, since somebody has changed their rows around
//! the proxies or their binlog is gone: what is known of them, and what an operator decides.
//!
//! Their keys stay locked. Each proxy finds them by itself, so each can show and resolve them.

use crate::txn::{sql::Names, xid::Xid};
use parking_lot::Mutex;
use shardline_binlog::undo::Subject;
use shardline_model::id::ShardId;
use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    time::{Duration, Instant, SystemTime},
};

/// Stuck branches that are kept in mind. Others are found again when there is room.
const STUCK_MAX: usize = 1_024;
/// After this time it is tried again: the row may be what it was again.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// The longest text of an image.
const TEXT_MAX: usize = 2_048;

/// A row that differs from what the branch made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StuckRow {
    /// `database.table`.
    pub(crate) table: String,
    /// Its primary key.
    pub(crate) key: String,
    /// As the transaction left it; None when it deleted the row.
    pub(crate) expected: Option<String>,
    /// As it is; None when there is no such row.
    pub(crate) found: Option<String>,
    /// Why it cannot be undone.
    pub(crate) reason: String,
}

/// A stuck branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StuckBranch {
    /// The transaction, which is aborted.
    pub(crate) xid: Xid,
    /// The branch.
    pub(crate) shard: ShardId,
    /// Where the decision is.
    pub(crate) anchor: ShardId,
    /// All branches.
    pub(crate) branches: Vec<ShardId>,
    /// Why.
    pub(crate) reason: String,
    /// The first of its rows that differ.
    pub(crate) rows: Vec<StuckRow>,
    /// How many of its changes cannot be undone; 0 when none could be looked at.
    pub(crate) differing: usize,
    /// Since when this proxy knows.
    pub(crate) since: SystemTime,
}

/// What an operator decides about a stuck branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Leave all rows as they are.
    Keep,
    /// Put all rows back as they were before the transaction, over what others have written.
    Restore,
    /// Undo the changes whose rows nobody has changed, leave the others as they are.
    Merge,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unstuck {
    /// Changes that were undone or overwritten.
    pub(crate) undone: usize,
    /// Changes that were left.
    pub(crate) kept: usize,
}

/// A word is none of the choices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of keep, restore and merge")]
pub(crate) struct ChoiceError(String);

impl FromStr for Choice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text.to_ascii_lowercase().as_str() {
            "keep" => Ok(Choice::Keep),
            "restore" => Ok(Choice::Restore),
            "merge" => Ok(Choice::Merge),
            other => Err(ChoiceError(other.chars().take(32).collect())),
        }
    }
}

impl StuckRow {
    pub(super) fn new(subject: &Subject, found: Option<String>, reason: String) -> Self {
        StuckRow {
            table: subject.table.clone(),
            key: shortened(subject.key.clone()),
            expected: subject.expected.clone().map(shortened),
            found: found.map(shortened),
            reason: shortened(reason),
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// All stuck branches that this proxy knows.
#[derive(Debug, Default)]
pub(crate) struct StuckBranches {
    known: Mutex<BTreeMap<(Xid, ShardId), (StuckBranch, Instant)>>,
}

impl StuckBranches {
    /// Whether it was found stuck a moment ago.
    pub(super) fn is_fresh(&self, xid: Xid, shard: ShardId) -> bool {
        let known = self.known.lock();
        known.get(&(xid, shard)).is_some_and(|(_, tried)| tried.elapsed() < RETRY_AFTER)
    }

    /// Keeps one in mind. True when it is new.
    pub(super) fn add(
        &self,
        names: Names<'_>,
        shard: ShardId,
        reason: String,
        differing: usize,
        rows: Vec<StuckRow>,
    ) -> bool {
        let mut known = self.known.lock();
        let key = (names.xid, shard);
        let since = known.get(&key).map(|(branch, _)| branch.since);
        if since.is_none() && known.len() >= STUCK_MAX {
            return true;
        }
        let branch = StuckBranch {
            xid: names.xid,
            shard,
            anchor: names.anchor,
            branches: names.branches.to_vec(),
            reason: shortened(reason),
            rows,
            differing,
            since: since.unwrap_or_else(SystemTime::now),
        };
        known.insert(key, (branch, Instant::now()));
        since.is_none()
    }

    /// It is not stuck any more.
    pub(super) fn remove(&self, xid: Xid, shard: ShardId) {
        self.known.lock().remove(&(xid, shard));
    }

    /// Forgets those of a shard that are not among its branches any more.
    pub(super) fn retain(&self, shard: ShardId, there: &BTreeSet<Xid>) {
        self.known.lock().retain(|(xid, on), _| *on != shard || there.contains(xid));
    }

    /// One of them.
    pub(crate) fn get(&self, xid: Xid, shard: ShardId) -> Option<StuckBranch> {
        self.known.lock().get(&(xid, shard)).map(|(branch, _)| branch.clone())
    }

    /// Their transactions, all of them aborted.
    pub(crate) fn xids(&self) -> BTreeSet<Xid> {
        self.known.lock().keys().map(|(xid, _)| *xid).collect()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<StuckBranch> {
        self.known.lock().values().map(|(branch, _)| branch.clone()).collect()
    }

    /// How many rows are stuck.
    pub(super) fn rows(&self) -> usize {
        self.known.lock().values().map(|(branch, _)| branch.differing.max(1)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::txn::xid::Incarnation;

    #[test]
    fn they_are_kept_until_their_branch_is_gone() {
        let stuck = StuckBranches::default();
        let xid = |counter| Xid { incarnation: Incarnation(1), counter };
        let add = |counter| {
            let branches = [ShardId(2)];
            let names = Names { xid: xid(counter), anchor: ShardId(1), branches: &branches };
            stuck.add(names, ShardId(2), "a reason".into(), 3, Vec::new())
        };
        assert!(add(1) && add(2) && !add(1));
        assert!(stuck.is_fresh(xid(1), ShardId(2)) && !stuck.is_fresh(xid(1), ShardId(3)));
        assert_eq!(stuck.rows(), 6);
        stuck.retain(ShardId(3), &BTreeSet::new());
        stuck.retain(ShardId(2), &[xid(2)].into());
        assert!(stuck.get(xid(1), ShardId(2)).is_none());
        assert_eq!(stuck.all().len(), 1);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = shortened("é".repeat(TEXT_MAX));
        assert!(text.len() <= TEXT_MAX + 3 && text.ends_with('…'));
        assert_eq!("Merge".parse(), Ok(Choice::Merge));
        assert!("drop".parse::<Choice>().is_err());
    }
}
