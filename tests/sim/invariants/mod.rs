//! The invariants of the protocol, one file each: what is asked at each local commit or at
//! the end, that it holds for all seeds, and the bugs that it catches.

pub(crate) mod answers;
pub(crate) mod committed_everywhere;
pub(crate) mod decision_is_final;
pub(crate) mod locked_is_untouched;
pub(crate) mod money;
pub(crate) mod strict;
pub(crate) mod tombstones;
pub(crate) mod undecided;
pub(crate) mod undecided_is_locked;
pub(crate) mod undo_is_atomic;

use crate::{
    network::Network,
    oracle::{BranchTruth, Oracle, Truth},
    server::{Change, Server},
};
use shardline_proxy::txn::xid::{Incarnation, Xid};

/// What a local commit is a part of.
pub(crate) fn owner(changes: &[Change]) -> Option<Xid> {
    changes.iter().find_map(|change| match change {
        Change::Gtx(names, _) => Some(names.xid),
        Change::Branch(xid, _) => Some(*xid),
        _ => None,
    })
}

/// A server is about to make these changes durable and visible.
pub(crate) fn before_commit(server: &Server, account: Option<Incarnation>, changes: &[Change]) {
    // Without an account of an incarnation it came around the proxies.
    if account.is_some() {
        locked_is_untouched::before_commit(server, changes);
    }
    committed_everywhere::before_commit(server, changes);
    decision_is_final::before_commit(server, changes);
    undo_is_atomic::before_commit(server, changes);
    tombstones::before_commit(server, changes);
    server.oracle.truth(|truth| record(truth, server, changes));
}

/// They are.
pub(crate) fn after_commit(server: &Server, _changes: &[Change]) {
    undecided_is_locked::after_commit(server);
}

/// Nothing is under way.
pub(crate) fn at_the_end(network: &Network, oracle: &Oracle) {
    undecided::at_the_end(network, oracle);
    answers::at_the_end(network, oracle);
    money::at_the_end(network, oracle);
}

fn record(truth: &mut Truth, server: &Server, changes: &[Change]) {
    let owner = owner(changes);
    for change in changes {
        match change {
            Change::Row { account, before, after } => match owner {
                Some(xid) => truth.changes.entry(xid).or_default().push((*account, after - before)),
                None => *truth.local.entry(*account).or_default() += after - before,
            },
            Change::Gtx(names, decision) => {
                truth.decisions.entry(names.xid).or_insert(*decision);
            }
            Change::Branch(xid, row) if row.prepared => {
                truth.branches.insert((*xid, server.id), BranchTruth::Applied);
            }
            Change::DropBranch(xid) => {
                let undone = changes.iter().any(|change| matches!(change, Change::Undo { .. }));
                if undone {
                    truth.branches.insert((*xid, server.id), BranchTruth::Undone);
                    truth.counts.undone += 1;
                }
            }
            Change::Dead(incarnation) => {
                truth.fenced.insert((*incarnation, server.id));
            }
            Change::ForgetGtx(_) => truth.counts.forgotten += 1,
            Change::Branch(..)
            | Change::Undo { .. }
            | Change::Lock(..)
            | Change::DropLock(_)
            | Change::Below(..) => {}
        }
    }
}
