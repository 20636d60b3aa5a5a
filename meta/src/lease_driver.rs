//! Ends leases that have run out, on whichever node leads. Decides nothing itself: see
//! [`crate::lease_board`].

use crate::{command::Command, service::Context};
use openraft::ServerState;
use shardline_base::Shutdown;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an expiry may take to commit before the next look.
const COMMIT_LIMIT: Duration = Duration::from_secs(2);

/// Looks at the leases now and then until told to stop.
pub(crate) async fn run(context: Arc<Context>, shutdown: Shutdown) {
    let pause = (context.lease_ttl / 20).max(Duration::from_millis(20));
    while shutdown.or(tokio::time::sleep(pause)).await.is_some() {
        if shutdown.or(end_due_leases(&context)).await.is_none() {
            return;
        }
    }
}

async fn end_due_leases(context: &Context) {
    let metrics = context.raft.metrics();
    let term = {
        let metrics = metrics.borrow();
        if metrics.state != ServerState::Leader {
            return;
        }
        metrics.current_term
    };
    let due = {
        let mut board = context.board.lock();
        board.lead(term);
        context.machine.with_state(|state| board.due(Instant::now(), &state.leases))
    };
    for (proxy, instance) in due {
        let expire = Command::ExpireLease { proxy, instance, term };
        match tokio::time::timeout(COMMIT_LIMIT, context.raft.client_write(expire)).await {
            Ok(Ok(_)) => tracing::warn!(%proxy, "the lease of a silent proxy ended"),
            Ok(Err(error)) => tracing::debug!(%error, %proxy, "the lease is not ended yet"),
            Err(_) => tracing::debug!(%proxy, "ending the lease takes long"),
        }
    }
}
