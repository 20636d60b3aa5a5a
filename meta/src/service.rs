//! Answers clients' requests: changes go through Raft, reads after the leadership is
//! confirmed, and everything has a limit in time.

use crate::{
    command::{Command, MetaRaft, Outcome},
    lease_board::{Epochs, LeaseBoard},
    machine::Machine,
};
use openraft::{
    BasicNode, Raft,
    error::{CheckIsLeaderError, ClientWriteError, ForwardToLeader, RaftError},
};
use parking_lot::Mutex;
use shardline_meta_client::{
    frame::CHANGE_BYTES_MAX,
    rpc::{LeaseInstance, LeaseRefusal, Request, Response},
};
use shardline_model::id::ProxyId;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// For committing a command or confirming the leadership; clients ask again after it.
const RAFT_LIMIT: Duration = Duration::from_secs(2);

/// For confirming the leadership before the state is told; it is told without as well.
const STATUS_LIMIT: Duration = Duration::from_millis(500);

/// How many snapshots are encoded for watchers at once.
pub(crate) const SNAPSHOTS_AT_ONCE: usize = 2;

/// What every connection of the node shares.
pub(crate) struct Context {
    pub(crate) node_id: u64,
    pub(crate) raft: Raft<MetaRaft>,
    pub(crate) machine: Machine,
    pub(crate) board: Mutex<LeaseBoard>,
    pub(crate) lease_ttl: Duration,
    /// A leader unheard by a majority for so long does not count as one for watchers.
    pub(crate) quorum_silence: Duration,
    pub(crate) snapshots: Semaphore,
}

impl Context {
    /// Answers anything but a watch.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        match request {
            Request::Propose { request, base, change } => {
                let bytes = postcard::experimental::serialized_size(&*change);
                match bytes {
                    Ok(bytes) if bytes <= CHANGE_BYTES_MAX => {
                        self.commit(Command::Change { request, base, change }).await
                    }
                    Ok(bytes) => Response::Refused {
                        reason: format!(
                            "a change of {bytes} bytes is over the limit of {CHANGE_BYTES_MAX}"
                        ),
                    },
                    Err(error) => Response::Refused { reason: error.to_string() },
                }
            }
            Request::Reserve { table, count, at_least } => {
                self.commit(Command::Reserve { table, count, at_least }).await
            }
            Request::GrantLease { instance, registration } => {
                self.commit(Command::GrantLease { instance, registration }).await
            }
            Request::EndLease { proxy, instance } => {
                self.commit(Command::ReleaseLease { proxy, instance }).await
            }
            Request::RenewLease { proxy, instance, acknowledged, admits_by } => {
                let epochs = Epochs { acknowledged, admits_by };
                self.renew(proxy, instance, epochs).await
            }
            Request::ClusterStatus => {
                let confirming = tokio::time::timeout(STATUS_LIMIT, self.confirm_leadership());
                let confirmed = matches!(confirming.await, Ok(Ok(())));
                Response::Status(Box::new(self.status(confirmed)))
            }
            Request::MarkFenced { incarnation, at_unix_s } => {
                self.commit(Command::MarkFenced { incarnation, at_unix_s }).await
            }
            Request::MarkSwept { incarnation } => {
                self.commit(Command::MarkSwept { incarnation }).await
            }
            Request::Watch { .. } => {
                Response::Refused { reason: "a watch is not a question".to_owned() }
            }
        }
    }

    async fn commit(&self, command: Command) -> Response {
        let committing = tokio::time::timeout(RAFT_LIMIT, self.raft.client_write(command));
        match committing.await {
            Ok(Ok(written)) => self.response_to(written.data),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                not_leader(forward)
            }
            Ok(Err(error)) => Response::Unavailable { reason: error.to_string() },
            Err(_) => Response::Unavailable {
                reason: format!("nothing was committed within {} ms", RAFT_LIMIT.as_millis()),
            },
        }
    }

    fn response_to(&self, outcome: Outcome) -> Response {
        match outcome {
            Outcome::Nothing => {
                Response::Unavailable { reason: "the entry was not a command".to_owned() }
            }
            Outcome::Changed { epoch, applied } => Response::Applied { epoch, applied },
            Outcome::Rejected(rejection) => Response::Rejected(rejection),
            Outcome::Forgotten { epoch } => Response::Forgotten { epoch },
            Outcome::Reserved { first, end } => Response::Reserved { first, end },
            Outcome::ReserveRefused(refusal) => Response::ReserveRefused(refusal),
            Outcome::LeaseHeld { proxy, incarnation, epoch } => {
                let ttl_ms = self.lease_ttl.as_millis() as u64;
                Response::LeaseGranted { proxy, incarnation, epoch, ttl_ms }
            }
            Outcome::LeaseEnded => Response::LeaseEnded,
            Outcome::LeaseRefused(refusal) => Response::LeaseRefused(refusal),
            Outcome::Marked => Response::Marked,
            Outcome::MarkRefused(refusal) => Response::MarkRefused(refusal),
        }
    }

    /// Renews in memory, after a majority confirmed that this node leads.
    async fn renew(&self, proxy: ProxyId, instance: LeaseInstance, epochs: Epochs) -> Response {
        if let Err(response) = self.confirm_leadership().await {
            return response;
        }
        let term = self.raft.metrics().borrow().current_term;
        // The state is looked at under the board's lock: whoever takes the id away marks it
        // on the board before the state can change.
        let mut board = self.board.lock();
        board.lead(term);
        let held = self.machine.with_state(|state| state.holds(proxy, instance))
            && board.renew(Instant::now(), proxy, instance, epochs);
        if held {
            Response::LeaseHeld { proxy, ttl_ms: self.lease_ttl.as_millis() as u64 }
        } else {
            Response::LeaseRefused(LeaseRefusal::NotHeld { proxy })
        }
    }

    /// Returns when a majority has confirmed, after the call, that this node leads, and the
    /// state has everything that was acknowledged before; else what to answer.
    pub(crate) async fn confirm_leadership(&self) -> Result<(), Response> {
        match tokio::time::timeout(RAFT_LIMIT, self.raft.ensure_linearizable()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward)))) => {
                Err(not_leader(forward))
            }
            Ok(Err(error)) => Err(Response::Unavailable { reason: error.to_string() }),
            Err(_) => Err(Response::Unavailable {
                reason: format!("no majority answered within {} ms", RAFT_LIMIT.as_millis()),
            }),
        }
    }
}

fn not_leader(forward: ForwardToLeader<u64, BasicNode>) -> Response {
    Response::NotLeader { leader: forward.leader_node.map(|node| node.addr) }
}
