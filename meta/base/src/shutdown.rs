//! The signal to stop, as a tree: process -> listener -> session -> statement. Triggering
//! a node stops everything below it and nothing above it.

use std::future::Future;
use tokio_util::sync::CancellationToken;

/// One node of the tree. Clones are the same node; [`Shutdown::child`] makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// The root of a new tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// A node below this one: it stops when this one does, or earlier by itself.
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }

    /// Tells this node and everything below it to stop. Idempotent.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether this node has been told to stop.
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until this node is told to stop. Cancel-safe.
    pub async fn triggered(&self) {
        self.token.cancelled().await;
    }

    /// Runs `work` until it ends or this node is told to stop, whichever is first; None
    /// when stopped. `work` is dropped where it stands, so it must be cancel-safe.
    pub async fn or<F: Future>(&self, work: F) -> Option<F::Output> {
        self.token.run_until_cancelled(work).await
    }

    /// The token itself, for code that knows tokio-util and not this crate.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_stops_with_its_parent_and_not_the_other_way() {
        let root = Shutdown::new();
        let (left, right) = (root.child(), root.child());
        left.trigger();
        assert!(left.is_triggered());
        assert!(!root.is_triggered());
        assert!(!right.is_triggered());
        root.trigger();
        right.triggered().await;
        assert_eq!(right.or(std::future::pending::<()>()).await, None);
    }
}
