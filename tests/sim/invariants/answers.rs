//! Invariant 7: OK means durable; 40001 means that nothing of it remains; 08007 means decidable, and
//! what `SHOW TRANSACTION STATUS` then reads is true.

use crate::{
    network::Network,
    oracle::{BranchTruth, Invariant, Oracle},
};
use shardline_proxy::txn::{
    outcome::{Decision, Outcome, Standing, standing},
    xid::Xid,
};

pub(crate) fn at_answer(oracle: &Oracle, xid: Xid, outcome: Outcome) {
    let decision = oracle.decision(xid);
    let holds = match outcome {
        Outcome::Committed => decision == Some(Decision::Committed),
        Outcome::Aborted(_) => decision != Some(Decision::Committed),
        Outcome::Unknown => true,
    };
    oracle.check(Invariant::AnswersAreTrue, holds, || {
        format!("the client of {xid} is told {outcome:?}, it is {decision:?}")
    });
}

pub(crate) fn at_the_end(network: &Network, oracle: &Oracle) {
    let answers = oracle.truth(|truth| truth.answers.clone());
    for (xid, outcome) in answers {
        let decision = oracle.decision(xid);
        let holds = match outcome {
            Outcome::Committed => decision == Some(Decision::Committed),
            Outcome::Aborted(_) => decision != Some(Decision::Committed) && !remains(oracle, xid),
            Outcome::Unknown => {
                let names = oracle.truth(|truth| truth.participants.get(&xid).cloned());
                let reading = names.map(|names| network.server(names.anchor).read_decision(xid));
                let told = reading.map(|reading| standing(xid, reading));
                match decision {
                    Some(Decision::Committed) => told == Some(Standing::Committed),
                    Some(Decision::Aborted) => told == Some(Standing::Aborted),
                    None => false,
                }
            }
        };
        oracle.check(Invariant::AnswersAreTrue, holds, || {
            format!("the client of {xid} was told {outcome:?}, it is {decision:?}")
        });
    }
}

fn remains(oracle: &Oracle, xid: Xid) -> bool {
    oracle.truth(|truth| {
        let mine = truth.branches.iter().filter(|((one, _), _)| *one == xid);
        mine.into_iter().any(|(_, branch)| *branch == BranchTruth::Applied)
    })
}

#[cfg(test)]
mod tests {
    use crate::{oracle::Invariant, seeds};
    use shardline_proxy::txn::rules::Rule;

    #[test]
    fn it_holds() {
        seeds::holds(Invariant::AnswersAreTrue);
    }

    #[test]
    fn taking_a_lost_answer_for_an_abort_is_caught() {
        seeds::caught_rule(Rule::LostDecisionIsUnknown, &[Invariant::AnswersAreTrue]);
    }
}
