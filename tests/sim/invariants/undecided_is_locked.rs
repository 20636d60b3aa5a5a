//! Invariant 3: A snapshot that shows undecided data shows its `rlock`: on every state that a server
//! has ever committed, each changed key of a branch that is undecided, or aborted and not
//! undone, carries that branch's lock.

use crate::{client::lock_of, oracle::Invariant, server::Server};
use shardline_proxy::txn::outcome::Decision;

pub(crate) fn after_commit(server: &Server) {
    let mut faults = Vec::new();
    server.with(|state| {
        for (xid, row) in &state.tables.branch {
            if !row.prepared || server.oracle.decision(*xid) == Some(Decision::Committed) {
                continue;
            }
            for (account, ..) in &row.images {
                let holder = state.tables.rlock.get(&lock_of(*account));
                if holder != Some(xid) {
                    faults.push(format!(
                        "{xid} changed {account} on {}, locked by {holder:?}",
                        server.id
                    ));
                }
            }
        }
    });
    for fault in faults {
        server.oracle.violated(Invariant::UndecidedIsLocked, fault);
    }
}

#[cfg(test)]
mod tests {
    use crate::{oracle::Invariant, seeds, server::Flaw};

    #[test]
    fn it_holds() {
        seeds::holds(Invariant::UndecidedIsLocked);
    }

    #[test]
    fn forgetting_the_locks_of_others_is_caught() {
        seeds::caught_flaw(Flaw::ForgetDeletesForeignLocks, &[Invariant::UndecidedIsLocked]);
    }

    #[test]
    fn taking_over_an_undecided_lock_is_caught() {
        seeds::caught_flaw(Flaw::TakesOverBlindly, &[Invariant::UndecidedIsLocked]);
    }

    #[test]
    fn data_without_locks_is_caught() {
        seeds::caught_flaw(Flaw::LocksAfterData, &[Invariant::UndecidedIsLocked]);
    }
}
