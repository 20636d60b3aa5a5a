//! The auditor: reads in the binlogs of all shards what became of each transaction over several of them,
//! and says when one is on some of its shards only. Pure: local transactions in, verdicts out.
//! [`gather`] makes them from a binlog's events, and [`follow`] reads the logs.
//!
//! It trusts nothing that the protocol says of itself but these rows: a `branch` row goes into a
//! branch's own local transaction, a `gtx` row into the anchor's, and a branch is undone in the local
//! transaction that deletes its row. So of a committed transaction every branch must have had its row, and
//! the deletion must change no data; of an aborted one each branch that had one must be deleted together
//! with changes that are exactly its own backwards. What others changed in between shows there too.
//!
//! Shards are read in rounds. What had happened anywhere before something that was read in one round has been
//! read by the end of the next. A transaction that had begun before the first round may lack its
//! beginning: nothing is said of it.

pub(crate) mod follow;
pub(crate) mod gather;

use crate::txn::{outcome::Decision, xid::Xid};
use shardline_model::id::ShardId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Transactions that are followed at once; beyond it nothing is said of the oldest.
const OPEN_MAX: usize = 100_000;
/// Decisions that are remembered for what comes late.
const DONE_MAX: usize = 20_000;
/// Rows of one branch that an alarm shows.
const ROWS_MAX: usize = 8;
/// Rounds after which a transaction of which only fences are known is given up.
const ROUNDS_MAX: u64 = 3_600;

/// The changes of a local transaction, as a sum: what became minus what was. Two that undo each other
/// exactly have the sum 0, and hardly any others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Of the hashes of row images.
    pub(crate) sum: u128,
    /// The first of them, as text.
    pub(crate) rows: Vec<String>,
    /// Why they are not known.
    pub(crate) unread: Option<String>,
    /// The tables that it is about, and what tells their definitions apart.
    pub(crate) shapes: BTreeMap<String, u64>,
}

/// What a local transaction does to a transaction over several shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// A branch commits.
    Prepared { xid: Xid, anchor: ShardId, branches: Vec<ShardId> },
    /// A branch never will.
    Fenced { xid: Xid },
    /// A branch is forgotten or undone.
    Removed { xid: Xid },
    /// A branch that could not be undone goes as an operator has said.
    Resolved { xid: Xid },
    /// The decision.
    Decided { xid: Xid, decision: Decision, branches: Vec<ShardId> },
    /// Somebody changed the decision.
    Turned { xid: Xid },
}

/// A local transaction that has notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) notes: Vec<Note>,
    pub(crate) changes: Changes,
}

/// What is said of a transaction, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is on all its shards, or on none.
    Agreed(Decision),
    /// It is not.
    Violation(Violation),
    /// It was aborted, and an operator has said what stays of it.
    Resolved,
    /// Its beginning was not read.
    Unseen,
    /// Some of its rows could not be read.
    Unread(String),
}

/// A transaction that is on some of its shards only, or was changed after its decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) xid: Xid,
    pub(crate) anchor: Option<ShardId>,
    pub(crate) branches: Vec<ShardId>,
    /// What is wrong.
    pub(crate) reason: String,
    /// The rows that it is about.
    pub(crate) rows: Vec<String>,
}

/// Follows transactions. See the file's head.
#[derive(Debug, Default)]
pub(crate) struct Auditor {
    /// Rounds that have ended.
    rounds: u64,
    open: BTreeMap<Xid, Record>,
    done: BTreeMap<Xid, Decision>,
    done_order: VecDeque<Xid>,
    dropped: usize,
}

#[derive(Debug, Default)]
struct Record {
    first_round: u64,
    anchor: Option<ShardId>,
    branches: BTreeSet<ShardId>,
    decided: Option<(Decision, u64)>,
    parts: BTreeMap<ShardId, Part>,
    /// A row of it was there before the reading began.
    began_earlier: bool,
    wrong: Option<String>,
}

#[derive(Debug, Default)]
struct Part {
    prepared: Option<Changes>,
    fenced: bool,
    removed: Option<(Changes, u64)>,
    resolved: bool,
}

impl Auditor {
    /// Transactions that nothing is said of yet.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// A shard's next local transaction that has notes.
    pub(crate) fn observe(&mut self, shard: ShardId, local: &Local) {
        for note in &local.notes {
            self.note(shard, note, &local.changes);
        }
        while self.open.len() > OPEN_MAX {
            let oldest = self.open.iter().min_by_key(|(_, record)| record.first_round);
            let Some(xid) = oldest.map(|(xid, _)| *xid) else { break };
            self.open.remove(&xid);
            self.dropped += 1;
        }
    }

    fn note(&mut self, shard: ShardId, note: &Note, changes: &Changes) {
        let round = self.rounds;
        match note {
            Note::Prepared { xid, anchor, branches } => {
                let record = self.record(*xid);
                record.anchor = Some(*anchor);
                record.branches.extend(branches.iter().copied());
                record.part(shard).prepared = Some(changes.clone());
            }
            Note::Fenced { xid } => self.record(*xid).part(shard).fenced = true,
            Note::Removed { xid } => {
                if !self.open.contains_key(xid) && self.done.contains_key(xid) {
                    // A fence that is swept, or a branch of which all has been said.
                    return;
                }
                let record = self.record(*xid);
                let part = record.part(shard);
                if part.prepared.is_none() {
                    record.began_earlier = true;
                } else {
                    part.removed = Some((changes.clone(), round));
                }
            }
            Note::Resolved { xid } => {
                let part = self.record(*xid).part(shard);
                part.resolved = true;
                part.removed = Some((changes.clone(), round));
            }
            Note::Decided { xid, decision, branches } => {
                let record = self.record(*xid);
                record.branches.extend(branches.iter().copied());
                match (record.anchor, record.decided) {
                    (_, Some((other, _))) if other != *decision => {
                        record.wrong = Some("it was decided twice, and not the same".into());
                    }
                    (Some(anchor), _) if anchor != shard => {
                        record.wrong =
                            Some(format!("it was decided on {shard}, not on its anchor"));
                    }
                    _ => {}
                }
                record.anchor.get_or_insert(shard);
                record.decided.get_or_insert((*decision, round));
            }
            Note::Turned { xid } => {
                self.record(*xid).wrong = Some("its decision was changed".into());
            }
        }
    }

    fn record(&mut self, xid: Xid) -> &mut Record {
        let (rounds, done) = (self.rounds, &self.done);
        self.open.entry(xid).or_insert_with(|| Record {
            first_round: rounds,
            decided: done.get(&xid).map(|decision| (*decision, rounds)),
            ..Record::default()
        })
    }

    /// All shards have been read to their ends as they were after the last round: what is said now.
    pub(crate) fn round_ends(&mut self) -> Vec<(Xid, Verdict)> {
        let round = self.rounds;
        let judged = self.open.iter().filter_map(|(xid, record)| {
            let verdict = record.verdict(*xid, round)?;
            Some((*xid, record.decided, verdict))
        });
        let judged: Vec<_> = judged.collect();
        let mut verdicts = Vec::with_capacity(judged.len());
        for (xid, decided, verdict) in judged {
            self.open.remove(&xid);
            if let Some((decision, _)) = decided {
                self.remember(xid, decision);
            }
            verdicts.push((xid, verdict));
        }
        self.rounds += 1;
        verdicts
    }

    /// How many were given up since the last call.
    pub(crate) fn take_dropped(&mut self) -> usize {
        std::mem::take(&mut self.dropped)
    }

    fn remember(&mut self, xid: Xid, decision: Decision) {
        if self.done.insert(xid, decision).is_none() {
            self.done_order.push_back(xid);
        }
        if self.done_order.len() > DONE_MAX
            && let Some(oldest) = self.done_order.pop_front()
        {
            self.done.remove(&oldest);
        }
    }
}

impl Changes {
    /// A table of another definition than in `later`.
    fn altered(&self, later: &Changes) -> Option<&String> {
        let other = |(table, shape): &(&String, &u64)| {
            later.shapes.get(*table).is_some_and(|now| now != *shape)
        };
        self.shapes.iter().find(other).map(|(table, _)| table)
    }
}

impl Record {
    fn part(&mut self, shard: ShardId) -> &mut Part {
        self.parts.entry(shard).or_default()
    }

    /// At the end of a round; None: more is to come.
    fn verdict(&self, xid: Xid, round: u64) -> Option<Verdict> {
        let violation = |reason: String, rows: Vec<String>| {
            let branches = self.branches.iter().copied().collect();
            Verdict::Violation(Violation { xid, anchor: self.anchor, branches, reason, rows })
        };
        if let Some(wrong) = &self.wrong {
            return Some(violation(wrong.clone(), Vec::new()));
        }
        let early = self.began_earlier || self.first_round == 0;
        match self.decided {
            Some((Decision::Committed, at)) => self.committed(at, round, early, violation),
            Some((Decision::Aborted, at)) => self.aborted(at, round, violation),
            None => {
                let removed = self.parts.iter().find_map(|(shard, part)| {
                    let (changes, at) = part.removed.as_ref()?;
                    (round > *at + 1).then_some((shard, changes))
                });
                let is_known = self.parts.values().any(|part| part.prepared.is_some());
                match removed {
                    _ if self.began_earlier => Some(Verdict::Unseen),
                    Some(_) if early => Some(Verdict::Unseen),
                    Some((shard, changes)) => {
                        let reason = format!("its branch on {shard} went without a decision");
                        Some(violation(reason, changes.rows.clone()))
                    }
                    None if !is_known && round > self.first_round + ROUNDS_MAX => {
                        Some(Verdict::Unseen)
                    }
                    None => None,
                }
            }
        }
    }

    fn committed(
        &self,
        decided: u64,
        round: u64,
        early: bool,
        violation: impl Fn(String, Vec<String>) -> Verdict,
    ) -> Option<Verdict> {
        let mut whole = true;
        for branch in &self.branches {
            let part = self.parts.get(branch);
            let prepared = part.and_then(|part| part.prepared.as_ref());
            if prepared.is_none() {
                whole = false;
                if round > decided {
                    let reason = format!("it is committed, and its branch on {branch} never was");
                    return Some(if early {
                        Verdict::Unseen
                    } else {
                        violation(reason, Vec::new())
                    });
                }
            }
            if part.is_some_and(|part| part.fenced) {
                let reason = format!("it is committed, and its branch on {branch} was fenced");
                return Some(violation(reason, Vec::new()));
            }
            match part.and_then(|part| part.removed.as_ref()) {
                Some((changes, _)) if changes.sum != 0 => {
                    let reason = format!(
                        "it is committed, and data on {branch} changed where its branch was forgotten"
                    );
                    return Some(violation(reason, changes.rows.clone()));
                }
                Some(_) => {}
                None => whole = false,
            }
        }
        whole.then_some(Verdict::Agreed(Decision::Committed))
    }

    fn aborted(
        &self,
        decided: u64,
        round: u64,
        violation: impl Fn(String, Vec<String>) -> Verdict,
    ) -> Option<Verdict> {
        if self.began_earlier {
            return Some(Verdict::Unseen);
        }
        let none = Part::default();
        let mut resolved = false;
        for branch in &self.branches {
            let part = self.parts.get(branch).unwrap_or(&none);
            match (&part.prepared, &part.removed) {
                _ if part.resolved => resolved = true,
                (Some(prepared), Some((removed, _))) => {
                    if let Some(unread) = prepared.unread.as_ref().or(removed.unread.as_ref()) {
                        return Some(Verdict::Unread(unread.clone()));
                    }
                    if prepared.sum.wrapping_add(removed.sum) != 0 {
                        if let Some(table) = prepared.altered(removed) {
                            let unread = format!("{table} was altered before it was undone");
                            return Some(Verdict::Unread(unread));
                        }
                        let reason = format!(
                            "it is aborted, and its branch on {branch} went without being undone"
                        );
                        let rows = prepared.rows.iter().chain(&removed.rows).cloned();
                        return Some(violation(reason, rows.collect()));
                    }
                }
                // It is being undone, or is stuck.
                (Some(_), None) => return None,
                (None, _) if part.fenced => {}
                // One that comes late is still read.
                (None, _) if round <= decided + 1 => return None,
                (None, _) => {}
            }
        }
        Some(if resolved { Verdict::Resolved } else { Verdict::Agreed(Decision::Aborted) })
    }
}

#[cfg(test)]
mod tests;
