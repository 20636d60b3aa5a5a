//! Probes of one shard: a ping now and then while it answers, attempts with growing waits
//! while it does not.

use super::{BackendError, chain, connection::BackendConnection, pool::ShardPool};
use shardline_base::{BackoffConfig, Shutdown};
use std::{sync::Arc, time::Duration};

/// Waits between attempts while the shard is down: a shard that is back is seen within
/// half a second.
const BACKOFF: BackoffConfig = BackoffConfig { first_ms: 50, longest_ms: 400 };
/// Probes without an answer in time until the shard counts as down. An attempt that is
/// refused counts at once.
const TIMEOUTS_MAX: u32 = 2;
/// At least this long between two probes, however often somebody suspects something.
const PROBE_SPACING: Duration = Duration::from_millis(20);
/// MySQL's "Too many connections": the server is there.
const TOO_MANY_CONNECTIONS: u16 = 1040;
/// MySQL's "User has exceeded the limit of connections".
const USER_LIMIT_REACHED: u16 = 1203;

/// What a probe found.
#[derive(Debug)]
enum Finding {
    Up,
    NoAnswer,
    Down(String),
}

/// Watch a shard until shutdown.
pub(crate) async fn watch(pool: Arc<ShardPool>, shutdown: Shutdown) {
    let mut control: Option<BackendConnection> = None;
    let mut backoff = BACKOFF.build();
    let mut timeouts = 0;
    loop {
        let finding = match shutdown.or(probe(&pool, &mut control)).await {
            Some(finding) => finding,
            None => return,
        };
        let wait = match finding {
            Finding::Up => {
                timeouts = 0;
                backoff.reset();
                pool.set_up();
                None
            }
            Finding::NoAnswer if timeouts + 1 < TIMEOUTS_MAX => {
                timeouts += 1;
                Some(backoff.next_delay())
            }
            Finding::NoAnswer => {
                let waited = pool.config().probe_timeout;
                pool.set_down(format!("no answer within {waited:?}").into());
                Some(backoff.next_delay())
            }
            Finding::Down(reason) => {
                pool.set_down(reason.into());
                Some(backoff.next_delay())
            }
        };
        let waited = match wait {
            Some(wait) => shutdown.or(tokio::time::sleep(wait)).await,
            None => shutdown.or(next_turn(&pool)).await,
        };
        if waited.is_none() {
            return;
        }
    }
}

/// Wait for the next probe of a shard that answers.
async fn next_turn(pool: &ShardPool) {
    tokio::time::sleep(PROBE_SPACING).await;
    // Whether the wait ended by time or by suspicion makes no difference.
    let _ = tokio::time::timeout(pool.config().probe_interval, pool.suspicion.notified()).await;
}

/// Ping over the control connection; where that fails, over a new one.
async fn probe(pool: &ShardPool, control: &mut Option<BackendConnection>) -> Finding {
    let attempt = async {
        if let Some(mut connection) = control.take()
            && connection.ping().await.is_ok()
        {
            *control = Some(connection);
            return Ok(());
        }
        let mut connection = pool.connect_control().await?;
        connection.ping().await?;
        *control = Some(connection);
        Ok::<(), BackendError>(())
    };
    match tokio::time::timeout(pool.config().probe_timeout, attempt).await {
        Ok(Ok(())) => Finding::Up,
        Ok(Err(error)) => match error.server_error() {
            Some(server) if matches!(server.code, TOO_MANY_CONNECTIONS | USER_LIMIT_REACHED) => {
                Finding::Up
            }
            _ => Finding::Down(chain(&error)),
        },
        Err(_) => Finding::NoAnswer,
    }
}
