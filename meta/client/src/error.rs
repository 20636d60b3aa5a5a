//! What can go wrong for a client. Each text says which operation failed and where.

use crate::{
    TlsError,
    rpc::{LeaseRefusal, MarkRefusal, Rejection, ReserveRefusal},
};
use shardline_model::id::Epoch;

/// An operation got no answer from the leader, or none that makes sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No leader answered in time. The operation may or may not have been carried out.
    #[error(
        "cannot {operation}: no leader of the metadata service at {endpoints} answered within \
         {waited_ms} ms ({last}); its outcome is unknown if it was a change"
    )]
    Unavailable {
        /// What was wanted.
        operation: &'static str,
        /// Who was asked.
        endpoints: String,
        /// For how long.
        waited_ms: u64,
        /// What the last attempt met.
        last: String,
    },
    /// The service will never accept this request.
    #[error("cannot {operation}: the metadata service at {endpoints} refused it: {reason}")]
    Refused {
        /// What was wanted.
        operation: &'static str,
        /// Who was asked.
        endpoints: String,
        /// Why.
        reason: String,
    },
    /// The process is stopping.
    #[error("cannot {operation}: the client of the metadata service is stopping")]
    Stopping {
        /// What was wanted.
        operation: &'static str,
    },
}

/// [`crate::MetaClient::connect`] failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No endpoint was configured.
    #[error("no endpoint of the metadata service is configured")]
    NoEndpoint,
    /// TLS cannot be set up.
    #[error("cannot set up TLS for the metadata service")]
    Tls(#[source] TlsError),
    /// No leader gave a catalog in time.
    #[error(transparent)]
    Call(CallError),
}

/// [`crate::MetaClient::propose`] failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProposeError {
    /// The change is not valid for the catalog as it is. Nothing was changed.
    #[error(transparent)]
    Rejected(Rejection),
    /// Too much happened since the first attempt to tell whether it was applied.
    #[error("it cannot be told any more whether the catalog change was applied")]
    OutcomeForgotten,
    /// The change was applied, but this process has not received it yet.
    #[error("the catalog change made {epoch}, which has not arrived here within {waited_ms} ms")]
    NotYetHere {
        /// The epoch made.
        epoch: Epoch,
        /// How long was waited.
        waited_ms: u64,
    },
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// [`crate::MetaClient::reserve`] failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// The service will not give these numbers.
    #[error(transparent)]
    Refused(ReserveRefusal),
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// [`crate::MetaClient::lease`] failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The service will not give a lease.
    #[error(transparent)]
    Refused(LeaseRefusal),
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// [`crate::MetaClient::mark_fenced`] or [`crate::MetaClient::mark_swept`] failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// The incarnation is not that far.
    #[error(transparent)]
    Refused(MarkRefusal),
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
}
