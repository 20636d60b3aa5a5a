//! Invariant 8: A tombstone outlives its incarnation: it goes only when nothing of the incarnation can
//! reach any shard any more. And when all is over, nothing of a dead incarnation is left.

use crate::{
    network::Network,
    oracle::{Invariant, Oracle},
    server::{Change, Server},
    supervisor::Leases,
    world::SHARDS,
};
use shardline_model::id::ShardId;
use shardline_proxy::txn::outcome::Decision;

pub(crate) fn before_commit(server: &Server, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Dead(incarnation) => {
                let alive = server.with(|state| {
                    let mine =
                        state.sessions.values().filter(|one| one.account == Some(*incarnation));
                    mine.count() > 0 || !state.tables.locked_accounts.contains(incarnation)
                });
                server.oracle.check(Invariant::TombstoneOutlives, !alive, || {
                    format!("{incarnation} is called dead and can reach {}", server.id)
                });
            }
            Change::ForgetGtx(xid) if server.oracle.decision(*xid) == Some(Decision::Aborted) => {
                let fenced = |shard| (xid.incarnation, ShardId(shard));
                let everywhere = server
                    .oracle
                    .truth(|truth| (1..=SHARDS).all(|shard| truth.fenced.contains(&fenced(shard))));
                server.oracle.check(Invariant::TombstoneOutlives, everywhere, || {
                    format!("the tombstone of {xid} goes before its incarnation is fenced")
                });
            }
            _ => {}
        }
    }
}

/// A day after the end.
pub(crate) fn when_swept(network: &Network, leases: &Leases, oracle: &Oracle) {
    for server in network.servers.iter() {
        server.with(|state| {
            let dead =
                |xid: &shardline_proxy::txn::xid::Xid| leases.over.contains(&xid.incarnation);
            let gtx = state.tables.gtx.keys().filter(|xid| dead(xid)).count();
            let fences = state.tables.branch.keys().filter(|xid| dead(xid)).count();
            oracle.check(Invariant::TombstoneOutlives, gtx + fences == 0, || {
                format!(
                    "{gtx} decisions and {fences} fences of dead ones are left on {}",
                    server.id
                )
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::{oracle::Invariant, seeds};
    use shardline_proxy::txn::rules::Rule;

    #[test]
    fn it_holds() {
        seeds::holds(Invariant::TombstoneOutlives);
    }

    #[test]
    fn sweeping_before_fencing_is_caught() {
        let expected = [Invariant::TombstoneOutlives, Invariant::DecisionIsFinal];
        seeds::caught_rule(Rule::SweepAfterFencing, &expected);
    }
}
