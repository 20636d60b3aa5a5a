//! Users of the console, tokens, and the log of what was done, in the catalog.

use super::{OperationError, Operations};
use shardline_model::{
    access::{Access, ApiToken, AuditNote, ConsoleUser},
    change::Change,
    id::Epoch,
};
use std::sync::Arc;

impl Operations {
    /// Who may do what, as it is now.
    pub fn access(&self) -> Arc<Access> {
        self.meta.catalog().access.clone()
    }

    /// The version of all that plans depend on.
    pub fn plans_epoch(&self) -> u64 {
        self.meta.catalog().planned.0
    }

    /// Adds or replaces a user; the version that did it.
    ///
    /// # Errors
    /// The catalog does not take it.
    pub async fn put_user(&self, user: ConsoleUser) -> Result<Epoch, OperationError> {
        self.propose(Change::PutConsoleUser(user)).await.map(|applied| applied.epoch)
    }

    /// Removes a user with the user's tokens.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn drop_user(&self, name: &str) -> Result<(), OperationError> {
        self.propose(Change::DropConsoleUser { name: name.to_owned() }).await.map(|_| ())
    }

    /// Adds a token.
    ///
    /// # Errors
    /// The catalog does not take it.
    pub async fn put_token(&self, token: ApiToken) -> Result<(), OperationError> {
        self.propose(Change::PutToken(token)).await.map(|_| ())
    }

    /// Ends a token.
    ///
    /// # Errors
    /// There is no such token.
    pub async fn drop_token(&self, id: &str) -> Result<(), OperationError> {
        self.propose(Change::DropToken { id: id.to_owned() }).await.map(|_| ())
    }

    /// Notes what somebody did.
    ///
    /// # Errors
    /// The catalog cannot be reached.
    pub async fn note(&self, note: AuditNote) -> Result<(), OperationError> {
        self.propose(Change::NoteAudit(note)).await.map(|_| ())
    }
}
