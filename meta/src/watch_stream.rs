//! Serves one watcher: a snapshot when it needs one, then each change in order, and signs
//! of life. Only the leader serves watchers, so that what they see is not old.

use crate::{hub::Next, service::Context};
use openraft::ServerState;
use shardline_meta_client::{
    frame::{FrameError, SNAPSHOT_BYTES_MAX, SNAPSHOT_PART_BYTES},
    rpc::{Response, WatchEvent},
    transport::Frames,
};
use shardline_model::{catalog::Catalog, id::Epoch};
use std::time::Duration;

/// A watcher hears something at least this often.
const ALIVE_INTERVAL: Duration = Duration::from_millis(500);
/// A watcher that takes longer for one frame is dropped; it comes back and gets a snapshot.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

impl Context {
    /// Streams the catalog until the watcher leaves or this node stops leading.
    pub(crate) async fn stream(
        &self,
        mut frames: Frames,
        from: Option<Epoch>,
    ) -> Result<(), FrameError> {
        match self.confirm_leadership().await {
            Ok(()) => {}
            Err(Response::NotLeader { leader }) => {
                return send(&mut frames, &WatchEvent::Moved { leader }).await;
            }
            Err(_) => return send(&mut frames, &WatchEvent::Moved { leader: None }).await,
        }
        let mut bell = self.machine.hub().subscribe();
        let mut have = from;
        while self.leads() {
            bell.borrow_and_update();
            match self.machine.hub().after(have) {
                Next::Change(epoch, encoded) => {
                    let sending = frames.send_encoded(&encoded);
                    let sent = tokio::time::timeout(WRITE_LIMIT, sending).await;
                    sent.unwrap_or(Err(FrameError::Cut))?;
                    have = Some(epoch);
                }
                Next::Snapshot(catalog) => {
                    self.send_snapshot(&mut frames, &catalog).await?;
                    have = Some(catalog.epoch);
                }
                Next::Nothing => {
                    // The bell's other end lives in the machine.
                    let rung = tokio::time::timeout(ALIVE_INTERVAL, bell.changed()).await;
                    if let (Err(_), Some(epoch)) = (rung, have) {
                        send(&mut frames, &WatchEvent::Alive { epoch }).await?;
                    }
                }
            }
        }
        let leader = self.leader_address();
        send(&mut frames, &WatchEvent::Moved { leader }).await
    }

    async fn send_snapshot(
        &self,
        frames: &mut Frames,
        catalog: &Catalog,
    ) -> Result<(), FrameError> {
        // The semaphore is never closed. The permit covers the encoded copy in memory.
        let _permit = self.snapshots.acquire().await;
        let encoded = postcard::to_stdvec(catalog).map_err(FrameError::Body)?;
        if encoded.len() as u64 > SNAPSHOT_BYTES_MAX {
            tracing::error!(bytes = encoded.len(), "the catalog is too large to be sent");
            return Err(FrameError::TooLong { bytes: encoded.len() });
        }
        let mut remaining_bytes = encoded.len() as u64;
        for part in encoded.chunks(SNAPSHOT_PART_BYTES) {
            remaining_bytes -= part.len() as u64;
            let event = WatchEvent::Snapshot { part: part.to_vec(), remaining_bytes };
            send(frames, &event).await?;
        }
        Ok(())
    }

    /// Whether this node leads and a majority has heard from it lately.
    fn leads(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let alone = metrics.membership_config.membership().voter_ids().count() == 1;
        let heard = metrics
            .millis_since_quorum_ack
            .is_none_or(|silence_ms| u128::from(silence_ms) < self.quorum_silence.as_millis());
        metrics.running_state.is_ok() && metrics.state == ServerState::Leader && (alone || heard)
    }

    fn leader_address(&self) -> Option<String> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader.filter(|leader| *leader != self.node_id)?;
        metrics.membership_config.membership().get_node(&leader).map(|node| node.addr.clone())
    }
}

async fn send(frames: &mut Frames, event: &WatchEvent) -> Result<(), FrameError> {
    let sent = tokio::time::timeout(WRITE_LIMIT, frames.send(event)).await;
    sent.unwrap_or(Err(FrameError::Cut))
}
