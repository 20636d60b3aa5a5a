//! Why a statement has no result: the client is told, or it is gone.

use super::client::ClientLost;
use crate::{
    backend::{BackendError, chain},
    error::SqlError,
};
use shardline_wire::ErrPacket;

/// The end of a statement without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client is told, and the session goes on.
    Sql(SqlError),
    /// The client has the server's own error already, and the session goes on.
    Answered,
    /// The session ends.
    Client(ClientLost),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Failure::Sql(error)
    }
}

impl From<ClientLost> for Failure {
    fn from(lost: ClientLost) -> Self {
        Failure::Client(lost)
    }
}

/// What a backend's error means, before it is known what the statement was doing.
#[derive(Debug)]
pub(crate) enum BackendFailure {
    /// The error to report; the connection, if any, is still good or was never used.
    Told(SqlError),
    /// The connection broke with a command on its way.
    Lost(String),
}

impl From<BackendError> for BackendFailure {
    fn from(error: BackendError) -> Self {
        let told = match &error {
            BackendError::Server { error, .. } | BackendError::Restore { error, .. } => {
                server_error(error)
            }
            BackendError::Broken { .. }
            | BackendError::Answer { .. }
            | BackendError::Unexpected { .. } => return BackendFailure::Lost(chain(&error)),
            BackendError::UnknownShard { shard } => {
                SqlError::shard_unreachable(&shard.to_string(), "it is not in the catalog")
            }
            BackendError::Down { name, reason, .. } => SqlError::shard_unreachable(name, reason),
            BackendError::Connect { name, address, reason, .. } => {
                SqlError::shard_unreachable(name, &format!("{address}: {reason}"))
            }
            BackendError::QueueFull { name, .. } | BackendError::CheckoutTimeout { name, .. } => {
                SqlError::shard_busy(name, &error.to_string())
            }
            BackendError::NotRestorable { .. } => SqlError::internal(chain(&error)),
        };
        BackendFailure::Told(told)
    }
}

/// A backend's ERR packet as the client is told it.
pub(crate) fn server_error(error: &ErrPacket) -> SqlError {
    SqlError::from_server(error.code, error.sql_state, error.message.to_vec())
}
