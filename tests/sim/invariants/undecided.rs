//! Invariant 6: With all shards up, nothing is undecided for more than 5 s; and when nothing is under
//! way any more, no branch and no lock is left, nothing is stuck.

use crate::{
    engine::Micros,
    network::Network,
    oracle::{Invariant, Oracle},
};
use shardline_proxy::txn::outcome::Decision;

/// Five seconds after all was up again.
pub(crate) fn when_healed(network: &Network, oracle: &Oracle, healed: Micros) {
    for server in network.servers.iter() {
        server.with(|state| {
            for (xid, row) in &state.tables.branch {
                let open = row.prepared && oracle.decision(*xid) != Some(Decision::Committed);
                oracle.check(Invariant::NothingStaysUndecided, !open || row.at > healed, || {
                    format!("{xid} is a branch on {} since {} µs", server.id, row.at)
                });
            }
        });
    }
}

pub(crate) fn at_the_end(network: &Network, oracle: &Oracle) {
    for server in network.servers.iter() {
        server.with(|state| {
            let left: Vec<_> = state.tables.branch.values().filter(|row| row.prepared).collect();
            let clean = left.is_empty() && state.tables.rlock.is_empty();
            oracle.check(Invariant::NothingStaysUndecided, clean, || {
                format!("left on {}: {left:?} {:?}", server.id, state.tables.rlock)
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::{oracle::Invariant, seeds, server::Flaw};

    #[test]
    fn it_holds() {
        seeds::holds(Invariant::NothingStaysUndecided);
    }

    #[test]
    fn undoing_in_forward_order_is_caught() {
        seeds::caught_flaw(Flaw::UndoForward, &[Invariant::NothingStaysUndecided]);
    }
}
