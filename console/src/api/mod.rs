//! The HTTP API `/api/v1`: what operators do, in JSON. On the console port, on the loopback only. Errors are
//! as RFC 9457 has them, with a `code` for programs and a `hint` for people.

pub mod client;
mod handlers;

pub use handlers::routes;

use crate::operations::OperationError;
use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// An error, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDocument {
    /// Always `about:blank`: `code` says what it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of problem, in a word.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong.
    pub detail: String,
    /// The error itself.
    #[serde(flatten)]
    pub error: OperationError,
}

/// An operation's error on its way out.
pub(crate) struct Refused(pub(crate) OperationError);

impl From<OperationError> for Refused {
    fn from(error: OperationError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let error = self.0;
        let status = error.problem.http_status();
        let document = ProblemDocument {
            kind: "about:blank".to_owned(),
            title: error.code.replace('_', " "),
            status,
            detail: error.message.clone(),
            error,
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, kind, Json(document)).into_response()
    }
}
