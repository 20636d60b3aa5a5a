//! Invariant 4: No proxied transaction commits a change to a key locked by another xid, while that one
//! is undecided, or aborted and not undone.

use super::owner;
use crate::{
    client::lock_of,
    oracle::{BranchTruth, Invariant},
    server::{Change, Server},
};
use shardline_proxy::txn::outcome::Decision;

pub(crate) fn before_commit(server: &Server, changes: &[Change]) {
    let owner = owner(changes);
    for change in changes {
        let Change::Row { account, .. } = change else { continue };
        let holder = server.with(|state| state.tables.rlock.get(&lock_of(*account)).copied());
        let Some(holder) = holder.filter(|holder| Some(*holder) != owner) else { continue };
        // Another row of the same key is not undone by it, and may be written.
        let changed = server.with(|state| {
            let row = state.tables.branch.get(&holder);
            row.is_some_and(|row| row.prepared && row.images.iter().any(|(one, ..)| one == account))
        });
        let committed = server.oracle.decision(holder) == Some(Decision::Committed);
        let applied = server.oracle.branch(holder, server.id) == Some(BranchTruth::Applied);
        server.oracle.check(
            Invariant::LockedIsUntouched,
            !(changed && applied) || committed,
            || format!("{owner:?} changes {account} on {}, locked by {holder}", server.id),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::{oracle::Invariant, seeds, server::Flaw};
    use shardline_proxy::txn::rules::Rule;

    #[test]
    fn it_holds() {
        seeds::holds(Invariant::LockedIsUntouched);
    }

    #[test]
    fn a_check_before_the_row_lock_is_caught() {
        seeds::caught_flaw(Flaw::CheckBeforeRowLock, &[Invariant::LockedIsUntouched]);
    }

    #[test]
    fn a_decision_that_does_not_look_is_caught() {
        seeds::caught_flaw(Flaw::AnchorDoesNotLook, &[Invariant::LockedIsUntouched]);
    }

    #[test]
    fn a_guard_that_waits_for_nobody_is_caught() {
        seeds::caught_rule(Rule::GuardAfterAcknowledgement, &[Invariant::LockedIsUntouched]);
    }
}
