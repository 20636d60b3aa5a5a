//! Keeps the process's catalog up to date: one stream from the leader at a time, a new one
//! when it breaks, a snapshot when it has a gap.

use crate::{
    caller::error_chain,
    client::Shared,
    replica::{Replica, Step},
    rpc::{Request, WatchEvent},
    transport::Frames,
};
use shardline_base::Shutdown;
use std::{sync::Arc, time::Duration};

/// Follows the catalog until told to stop.
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    replica: Replica,
}

/// Why a stream ended.
enum StreamEnd {
    /// The node is not the leader.
    Moved(Option<String>),
    /// Connection or content failed.
    Broken(String),
}

impl Watcher {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, replica: Replica::default() }
    }

    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        // Stopping drops a stream where it stands: the connection is lost, nothing else.
        shutdown.or(self.follow()).await;
    }

    async fn follow(&mut self) {
        let mut backoff = self.shared.caller.config.timing.backoff.build();
        loop {
            let endpoint = self.shared.caller.pick_endpoint();
            let before = self.replica.epoch();
            let end = match self.shared.caller.connect(&endpoint).await {
                Ok(frames) => self.stream(frames).await,
                Err(error) => StreamEnd::Broken(error_chain(&error)),
            };
            match end {
                StreamEnd::Moved(leader) => {
                    let leader = leader.filter(|leader| *leader != endpoint);
                    tracing::debug!(%endpoint, ?leader, "the catalog stream moved");
                    self.shared.caller.set_leader(leader);
                }
                StreamEnd::Broken(reason) => {
                    tracing::warn!(%endpoint, %reason, "the catalog stream broke");
                    self.shared.note_watch_failure(format!("{endpoint}: {reason}"));
                    self.shared.caller.set_leader(None);
                }
            }
            if self.replica.epoch() != before {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn stream(&mut self, mut frames: Frames) -> StreamEnd {
        let silence = Duration::from_millis(self.shared.caller.config.timing.silence_timeout_ms);
        self.replica.restart();
        let ask = Request::Watch { from: self.replica.epoch() };
        if let Err(error) = frames.send(&ask).await {
            return StreamEnd::Broken(error_chain(&error));
        }
        loop {
            let event = match tokio::time::timeout(silence, frames.receive::<WatchEvent>()).await {
                Err(_) => return StreamEnd::Broken("the node went silent".to_owned()),
                Ok(Err(error)) => return StreamEnd::Broken(error_chain(&error)),
                Ok(Ok(None)) => return StreamEnd::Broken("the node closed it".to_owned()),
                Ok(Ok(Some(event))) => event,
            };
            match self.replica.step(event) {
                Ok(Step::Advanced(catalog)) => self.shared.publish(catalog),
                Ok(Step::Unchanged) => {}
                Ok(Step::Moved(leader)) => return StreamEnd::Moved(leader),
                Err(gap) => {
                    self.replica.forget();
                    return StreamEnd::Broken(gap.to_string());
                }
            }
        }
    }
}
