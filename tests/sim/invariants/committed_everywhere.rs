//! Invariant 2: COMMITTED implies that every branch had committed, and none was undone.

use crate::{
    oracle::{BranchTruth, Invariant},
    server::{Change, Server},
};
use shardline_proxy::txn::outcome::Decision;

pub(crate) fn before_commit(server: &Server, changes: &[Change]) {
    for change in changes {
        let Change::Gtx(names, Decision::Committed) = change else { continue };
        for shard in &names.branches {
            let branch = server.oracle.branch(names.xid, *shard);
            let there = branch == Some(BranchTruth::Applied);
            server.oracle.check(Invariant::CommittedEverywhere, there, || {
                format!("{} is decided while its branch on {shard} is {branch:?}", names.xid)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{oracle::Invariant, seeds};
    use shardline_proxy::txn::rules::Rule;

    #[test]
    fn it_holds() {
        seeds::holds(Invariant::CommittedEverywhere);
    }

    #[test]
    fn deciding_before_all_have_prepared_is_caught() {
        seeds::caught_rule(Rule::DecideAfterAllPrepared, &[Invariant::CommittedEverywhere]);
    }

    #[test]
    fn taking_a_missing_row_for_an_abort_is_caught() {
        let expected = [Invariant::CommittedEverywhere, Invariant::UndoIsAtomic];
        seeds::caught_rule(Rule::AbsenceDecidesNothing, &expected);
    }
}
