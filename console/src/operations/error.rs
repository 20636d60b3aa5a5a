//! Why an operation was not done: for programs a word, for people a sentence and what to do.

use crate::exit::{Failure, Reason};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_meta_client::{Rejection, RejectionKind};
use std::fmt;

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Nobody has said who it is.
    Unauthenticated,
    /// Whoever it is may not.
    Forbidden,
    /// There is nothing of that name.
    NotFound,
    /// The path takes another method.
    Method,
    /// What was asked for makes no sense.
    Usage,
    /// The plan was made for another state of the cluster.
    Stale,
    /// The state of things forbids it.
    Precondition,
    /// The catalog is not what the caller saw.
    Mismatch,
    /// Too many attempts.
    TooMany,
    /// Something needed cannot be reached.
    Unavailable,
    /// It was tried and failed.
    Failed,
    /// A bounded wait ended.
    TimedOut,
}

impl Problem {
    /// The status of an HTTP answer.
    pub fn http_status(self) -> u16 {
        match self {
            Problem::Unauthenticated => 401,
            Problem::Forbidden => 403,
            Problem::NotFound => 404,
            Problem::Method => 405,
            Problem::Mismatch => 412,
            Problem::TooMany => 429,
            Problem::Usage => 400,
            Problem::Stale | Problem::Precondition => 409,
            Problem::Unavailable => 503,
            Problem::Failed => 500,
            Problem::TimedOut => 504,
        }
    }

    fn reason(self) -> Reason {
        match self {
            Problem::NotFound | Problem::Failed => Reason::Failed,
            Problem::Usage | Problem::Method => Reason::Usage,
            Problem::Stale | Problem::Precondition | Problem::Mismatch => Reason::Precondition,
            Problem::Unavailable
            | Problem::Unauthenticated
            | Problem::Forbidden
            | Problem::TooMany => Reason::Unavailable,
            Problem::TimedOut => Reason::TimedOut,
        }
    }
}

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperationError {
    /// What kind of problem it is.
    pub problem: Problem,
    /// What went wrong, for programs.
    pub code: String,
    /// What went wrong, in one sentence.
    pub message: String,
    /// What to do, when we know.
    pub hint: Option<String>,
    /// Seconds until it is worth trying again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl std::error::Error for OperationError {}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl OperationError {
    /// A problem without a hint.
    pub fn new(problem: Problem, code: &str, message: impl Into<String>) -> Self {
        Self {
            problem,
            code: code.to_owned(),
            message: message.into(),
            hint: None,
            retry_after_s: None,
        }
    }

    /// The same problem with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Something that is not there.
    pub fn not_found(what: &str, name: impl fmt::Display) -> Self {
        Self::new(Problem::NotFound, "not_found", format!("there is no {what} {name}"))
    }

    /// Something that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Problem::Usage, "usage", message)
    }

    /// Something that cannot be reached.
    pub fn unavailable(code: &str, message: impl Into<String>) -> Self {
        Self::new(Problem::Unavailable, code, message)
    }

    /// The state of things forbids it.
    pub fn precondition(code: &str, message: impl Into<String>) -> Self {
        Self::new(Problem::Precondition, code, message)
    }

    /// It was tried and failed.
    pub fn failed(code: &str, message: impl Into<String>) -> Self {
        Self::new(Problem::Failed, code, message)
    }

    /// A bounded wait ended.
    pub fn timed_out(code: &str, message: impl Into<String>) -> Self {
        Self::new(Problem::TimedOut, code, message)
    }

    /// What the metadata service says against a change.
    pub(super) fn rejected(why: &Rejection) -> Self {
        let (problem, code) = match why.kind {
            RejectionKind::Unknown => (Problem::NotFound, "not_found"),
            RejectionKind::Exists => (Problem::Precondition, "exists"),
            RejectionKind::Shard => (Problem::Precondition, "shard"),
            RejectionKind::TooMany => (Problem::Precondition, "limit"),
            RejectionKind::Invalid => (Problem::Precondition, "invalid"),
            RejectionKind::Moved => (Problem::Precondition, "changed_meanwhile"),
        };
        Self::new(problem, code, why.reason.clone())
    }
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        let failure = Failure::new(error.problem.reason(), &error.message);
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
