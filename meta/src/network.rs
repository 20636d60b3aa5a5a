//! Raft's messages between nodes: one question and one answer at a time on a connection.
//! A connection whose answer was not awaited to its end is dropped, never reused.

use crate::command::MetaRaft;
use openraft::{
    BasicNode, RaftNetwork, RaftNetworkFactory,
    error::{
        InstallSnapshotError, NetworkError, PayloadTooLarge, RPCError, RaftError, RemoteError,
        Unreachable,
    },
    network::{Backoff, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest,
        InstallSnapshotResponse, VoteRequest, VoteResponse,
    },
};
use serde::{Deserialize, Serialize};
use shardline_meta_client::{
    frame::{self, FrameError},
    transport::{self, Channel, Frames, TransportError},
};
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// The wait before an unreachable node is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// A node asks another.
#[derive(Serialize, Deserialize)]
pub(crate) enum Question {
    Append(AppendEntriesRequest<MetaRaft>),
    Vote(VoteRequest<u64>),
    Snapshot(InstallSnapshotRequest<MetaRaft>),
}

/// And gets the answer of the same kind.
#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    Append(Result<AppendEntriesResponse<u64>, RaftError<u64>>),
    Vote(Result<VoteResponse<u64>, RaftError<u64>>),
    Snapshot(Result<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>>),
}

/// Makes the ways to the other nodes.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) tls: Option<TlsConnector>,
}

impl RaftNetworkFactory<MetaRaft> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        Peer { target, address: node.addr.clone(), tls: self.tls.clone(), frames: None }
    }
}

/// The way to one other node.
pub(crate) struct Peer {
    target: u64,
    address: String,
    tls: Option<TlsConnector>,
    frames: Option<Frames>,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Connect(#[from] TransportError),
    #[error("the exchange with {address} failed")]
    Exchange {
        address: String,
        #[source]
        source: FrameError,
    },
    #[error("{address} closed the connection")]
    Closed { address: String },
    #[error("{address} gave no answer within {limit_ms} ms")]
    Timeout { address: String, limit_ms: u64 },
    #[error("{address} answered another question")]
    Mismatch { address: String },
}

impl AskError {
    fn into_rpc<E: std::error::Error>(self) -> RPCError<u64, BasicNode, E> {
        match self {
            Self::Connect(_) => Unreachable::new(&self).into(),
            Self::Exchange { .. }
            | Self::Closed { .. }
            | Self::Timeout { .. }
            | Self::Mismatch { .. } => NetworkError::new(&self).into(),
        }
    }
}

impl Peer {
    async fn ask(&mut self, encoded: &[u8], limit: Duration) -> Result<Answer, AskError> {
        let address = || self.address.clone();
        let mut frames = match self.frames.take() {
            Some(frames) => frames,
            None => {
                let tls = self.tls.as_ref();
                transport::connect(&self.address, tls, Channel::Raft, limit).await?
            }
        };
        let exchange = async {
            frames.send_encoded(encoded).await?;
            frames.receive::<Answer>().await
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(Ok(Some(answer))) => {
                self.frames = Some(frames);
                Ok(answer)
            }
            Ok(Ok(None)) => Err(AskError::Closed { address: address() }),
            Ok(Err(source)) => Err(AskError::Exchange { address: address(), source }),
            Err(_) => {
                let limit_ms = limit.as_millis() as u64;
                Err(AskError::Timeout { address: address(), limit_ms })
            }
        }
    }

    fn mismatch<E: std::error::Error>(&self) -> RPCError<u64, BasicNode, E> {
        AskError::Mismatch { address: self.address.clone() }.into_rpc()
    }

    fn remote<E: std::error::Error>(&self, error: E) -> RPCError<u64, BasicNode, E> {
        RPCError::RemoteError(RemoteError::new(self.target, error))
    }
}

impl RaftNetwork<MetaRaft> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<MetaRaft>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        let entries = rpc.entries.len() as u64;
        let encoded = match frame::encode(&Question::Append(rpc)) {
            Ok(encoded) => encoded,
            Err(FrameError::TooLong { .. }) if entries > 1 => {
                return Err(PayloadTooLarge::new_entries_hint(entries / 2).into());
            }
            Err(error) => return Err(NetworkError::new(&error).into()),
        };
        match self.ask(&encoded, option.hard_ttl()).await.map_err(AskError::into_rpc)? {
            Answer::Append(answer) => answer.map_err(|error| self.remote(error)),
            Answer::Vote(_) | Answer::Snapshot(_) => Err(self.mismatch()),
        }
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<MetaRaft>,
        option: RPCOption,
    ) -> Result<
        InstallSnapshotResponse<u64>,
        RPCError<u64, BasicNode, RaftError<u64, InstallSnapshotError>>,
    > {
        let encoded =
            frame::encode(&Question::Snapshot(rpc)).map_err(|error| NetworkError::new(&error))?;
        match self.ask(&encoded, option.hard_ttl()).await.map_err(AskError::into_rpc)? {
            Answer::Snapshot(answer) => answer.map_err(|error| self.remote(error)),
            Answer::Append(_) | Answer::Vote(_) => Err(self.mismatch()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        let encoded =
            frame::encode(&Question::Vote(rpc)).map_err(|error| NetworkError::new(&error))?;
        match self.ask(&encoded, option.hard_ttl()).await.map_err(AskError::into_rpc)? {
            Answer::Vote(answer) => answer.map_err(|error| self.remote(error)),
            Answer::Append(_) | Answer::Snapshot(_) => Err(self.mismatch()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(RETRY_INTERVAL))
    }
}

/// Answers another node's question.
pub(crate) async fn answer(raft: &openraft::Raft<MetaRaft>, question: Question) -> Answer {
    match question {
        Question::Append(rpc) => Answer::Append(raft.append_entries(rpc).await),
        Question::Vote(rpc) => Answer::Vote(raft.vote(rpc).await),
        Question::Snapshot(rpc) => Answer::Snapshot(raft.install_snapshot(rpc).await),
    }
}
