//! Invariant 1: A `gtx` row never changes state: also not by being forgotten and inserted anew.

use crate::{
    oracle::Invariant,
    server::{Change, Server},
};

pub(crate) fn before_commit(server: &Server, changes: &[Change]) {
    for change in changes {
        let Change::Gtx(names, decision) = change else { continue };
        let known = server.oracle.decision(names.xid);
        server.oracle.check(
            Invariant::DecisionIsFinal,
            known.is_none_or(|known| known == *decision),
            || format!("{} was {known:?} and is {decision:?}", names.xid),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::{oracle::Invariant, seeds};
    use shardline_proxy::txn::rules::Rule;

    #[test]
    fn it_holds() {
        seeds::holds(Invariant::DecisionIsFinal);
    }

    #[test]
    fn a_resolver_that_slept_over_the_forgetting_is_caught() {
        seeds::caught_rule(Rule::WatermarkGuardsForgotten, &[Invariant::DecisionIsFinal]);
    }

    #[test]
    fn a_decision_forgotten_before_its_branches_is_caught() {
        seeds::caught_rule(Rule::ForgetDecisionLast, &[Invariant::DecisionIsFinal]);
    }
}
