//! What is really the case, as nobody in the system can see it: told by every local commit
//! and every answer, and asked whether an invariant is broken.

use crate::engine::Engine;
use shardline_model::id::ShardId;
use shardline_proxy::txn::{
    outcome::{Decision, Outcome},
    recovery::Undecided,
    xid::{Incarnation, Xid},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

pub(crate) type Account = u32;

/// The invariants, by their numbers; 0 is the money itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    MoneyIsConstant,
    DecisionIsFinal,
    CommittedEverywhere,
    UndecidedIsLocked,
    LockedIsUntouched,
    UndoIsAtomic,
    NothingStaysUndecided,
    AnswersAreTrue,
    TombstoneOutlives,
}

#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub invariant: Invariant,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BranchTruth {
    Applied,
    Undone,
}

#[derive(Default)]
pub(crate) struct Truth {
    pub decisions: BTreeMap<Xid, Decision>,
    pub branches: BTreeMap<(Xid, ShardId), BranchTruth>,
    pub participants: BTreeMap<Xid, Undecided>,
    /// What each distributed transaction changed, where.
    pub changes: BTreeMap<Xid, Vec<(Account, i64)>>,
    /// What single-shard transactions changed.
    pub local: BTreeMap<Account, i64>,
    pub answers: Vec<(Xid, Outcome)>,
    /// Where each incarnation is fenced.
    pub fenced: BTreeSet<(Incarnation, ShardId)>,
    pub violations: Vec<Violation>,
    pub counts: Counts,
}

/// What happened, to show that the runs are no idle ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub committed: u64,
    pub aborted: u64,
    pub unknown: u64,
    pub local: u64,
    pub undone: u64,
    pub fenced: u64,
    pub swept: u64,
    pub forgotten: u64,
    pub refused_late: u64,
}

#[derive(Clone)]
pub(crate) struct Oracle {
    engine: Engine,
    truth: Rc<RefCell<Truth>>,
}

impl Oracle {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), truth: Rc::default() }
    }

    pub(crate) fn truth<T>(&self, ask: impl FnOnce(&mut Truth) -> T) -> T {
        ask(&mut self.truth.borrow_mut())
    }

    /// Notes that an invariant does not hold; the run ends.
    pub(crate) fn violated(&self, invariant: Invariant, text: String) {
        self.engine.log(|| format!("VIOLATION {invariant:?}: {text}"));
        self.truth(|truth| truth.violations.push(Violation { invariant, text }));
        self.engine.halt();
    }

    pub(crate) fn check(&self, invariant: Invariant, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.violated(invariant, text());
        }
    }

    pub(crate) fn decision(&self, xid: Xid) -> Option<Decision> {
        self.truth(|truth| truth.decisions.get(&xid).copied())
    }

    pub(crate) fn branch(&self, xid: Xid, shard: ShardId) -> Option<BranchTruth> {
        self.truth(|truth| truth.branches.get(&(xid, shard)).copied())
    }

    pub(crate) fn answered(&self, xid: Xid, outcome: Outcome) {
        self.engine.log(|| format!("answer {xid} {outcome:?}"));
        crate::invariants::answers::at_answer(self, xid, outcome);
        self.truth(|truth| {
            truth.answers.push((xid, outcome));
            match outcome {
                Outcome::Committed => truth.counts.committed += 1,
                Outcome::Aborted(_) => truth.counts.aborted += 1,
                Outcome::Unknown => truth.counts.unknown += 1,
            }
        });
    }
}
