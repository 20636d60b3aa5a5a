//! Invariant 5: Restoring rows and deleting the branch are one local transaction: each branch is
//! applied once, and undone once or never, and only when ABORTED.

use crate::{
    oracle::{Account, BranchTruth, Invariant},
    server::{Change, Server},
};
use shardline_proxy::txn::outcome::Decision;
use std::collections::BTreeSet;

pub(crate) fn before_commit(server: &Server, changes: &[Change]) {
    let undone: BTreeSet<Account> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Undo { account, .. } => Some(*account),
            _ => None,
        })
        .collect();
    let check = |holds: bool, text: String| {
        server.oracle.check(Invariant::UndoIsAtomic, holds, || text);
    };
    let dropped = changes.iter().any(|change| matches!(change, Change::DropBranch(_)));
    check(dropped || undone.is_empty(), format!("{undone:?} undone, and the branch stays"));
    for change in changes {
        match change {
            Change::Branch(xid, row) if row.prepared => {
                let known = server.oracle.branch(*xid, server.id);
                check(known.is_none(), format!("{xid} on {} was {known:?}", server.id));
            }
            Change::DropBranch(xid) => {
                let row = server.with(|state| state.tables.branch.get(xid).cloned());
                let Some(row) = row.filter(|row| row.prepared) else { continue };
                let images: BTreeSet<Account> = row.images.iter().map(|(one, ..)| *one).collect();
                let decision = server.oracle.decision(*xid);
                let applied = server.oracle.branch(*xid, server.id) == Some(BranchTruth::Applied);
                let expected = match decision {
                    Some(Decision::Committed) => undone.is_empty(),
                    Some(Decision::Aborted) => undone == images && applied,
                    None => false,
                };
                check(expected, format!("{xid} is {decision:?}; {undone:?} of {images:?} undone"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{oracle::Invariant, seeds, server::Flaw};

    #[test]
    fn it_holds() {
        seeds::holds(Invariant::UndoIsAtomic);
    }

    #[test]
    fn undoing_apart_from_the_branch_is_caught() {
        seeds::caught_flaw(Flaw::UndoApartFromBranch, &[Invariant::UndoIsAtomic]);
    }
}
