//! The state of the service as this node sees it.

use crate::service::Context;
use openraft::ServerState;
use shardline_meta_client::{ClusterStatus, IncarnationStatus, LeaseStatus, NodeRole, NodeStatus};
use shardline_model::id::Epoch;
use std::{collections::BTreeSet, time::Instant};

impl Context {
    /// This node's view: complete on the leader, elsewhere without replication and renewals.
    /// `confirmed`: a majority has just confirmed that it leads.
    pub(crate) fn status(&self, confirmed: bool) -> ClusterStatus {
        let metrics = self.raft.metrics().borrow().clone();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let nodes = membership.nodes().map(|(&id, node)| {
            let replicated = metrics.replication.as_ref().and_then(|all| all.get(&id));
            let matched_index = if id == self.node_id {
                metrics.last_log_index
            } else {
                replicated.copied().flatten().map(|matched| matched.index)
            };
            let role = if metrics.current_leader == Some(id) {
                NodeRole::Leader
            } else if voters.contains(&id) {
                NodeRole::Follower
            } else {
                NodeRole::Learner
            };
            NodeStatus { id, address: node.addr.clone(), role, matched_index }
        });
        let nodes = nodes.collect();
        let leads = metrics.state == ServerState::Leader;
        let (epoch, leases, incarnations) = self.leases(leads);
        ClusterStatus {
            answered_by: self.node_id,
            leader: metrics.current_leader,
            term: metrics.current_term,
            nodes,
            last_log_index: metrics.last_log_index,
            applied_index: metrics.last_applied.map(|log_id| log_id.index),
            snapshot_index: metrics.snapshot.map(|log_id| log_id.index),
            purged_index: metrics.purged.map(|log_id| log_id.index),
            epoch,
            leases,
            incarnations,
            confirmed,
        }
    }

    fn leases(&self, leads: bool) -> (Epoch, Vec<LeaseStatus>, Vec<IncarnationStatus>) {
        let now = Instant::now();
        let board = self.board.lock();
        self.machine.with_state(|state| {
            let leases = state.leases.iter().map(|(&proxy, lease)| {
                let renewal = board.renewal(proxy, lease.instance).filter(|_| leads);
                LeaseStatus {
                    proxy,
                    incarnation: lease.incarnation,
                    registration: lease.registration.clone(),
                    acknowledged: renewal.map(|renewal| renewal.acknowledged),
                    admits_by: renewal.map(|renewal| renewal.admits_by),
                    renewed_ms_ago: renewal.map(|renewal| {
                        now.saturating_duration_since(renewal.at).as_millis() as u64
                    }),
                }
            });
            let incarnations = state.incarnations.all();
            let incarnations =
                incarnations.map(|(incarnation, state)| IncarnationStatus { incarnation, state });
            (state.epoch(), leases.collect(), incarnations.collect())
        })
    }
}
