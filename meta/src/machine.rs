//! The state machine under Raft: applies committed entries to [`State`], feeds the hub,
//! and keeps one snapshot on disk. Applying writes nothing: after a restart the state is
//! the snapshot plus the log.

use crate::{
    command::{MetaRaft, Outcome},
    hub::Hub,
    snapshot_file::{self, SnapshotFileError},
    state::State,
};
use openraft::{
    AnyError, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot,
    SnapshotMeta, StorageError, StorageIOError, StoredMembership, storage::RaftStateMachine,
};
use parking_lot::Mutex;
use shardline_meta_client::frame::{self, FrameError};
use std::{
    io::Cursor,
    path::{Path, PathBuf},
    sync::Arc,
};

type Meta = SnapshotMeta<u64, openraft::BasicNode>;
type Result<T, E = StorageError<u64>> = std::result::Result<T, E>;

/// Why the stored state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The snapshot file.
    #[error(transparent)]
    File(#[from] SnapshotFileError),
    /// The snapshot's content, which is whole but not of this format.
    #[error("the snapshot in {} is of another format", folder.display())]
    Content {
        /// The data folder.
        folder: PathBuf,
        /// What went wrong.
        #[source]
        source: FrameError,
    },
}

/// The state machine. Clones share their state; Raft applies through one of them.
#[derive(Clone)]
pub(crate) struct Machine {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    at: Mutex<At>,
    hub: Hub,
    /// Held while the snapshot file is read or written.
    file: tokio::sync::Mutex<()>,
}

/// The state and where in the log it is.
#[derive(Clone, Default)]
struct At {
    state: State,
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, openraft::BasicNode>,
}

impl Machine {
    /// Starts from the snapshot in `folder`, or empty.
    pub(crate) fn open(folder: &Path) -> Result<Self, MachineError> {
        let at = match snapshot_file::read(folder)? {
            None => At::default(),
            Some(snapshot_file::Parts { meta, body }) => {
                let content = |source| MachineError::Content { folder: folder.to_owned(), source };
                let meta: Meta = frame::decode(&meta).map_err(content)?;
                let state = frame::decode(&body).map_err(content)?;
                At { state, applied: meta.last_log_id, membership: meta.last_membership }
            }
        };
        let hub = Hub::new(at.state.catalog.clone());
        let shared = Shared {
            folder: folder.to_owned(),
            at: Mutex::new(at),
            hub,
            file: tokio::sync::Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Where watchers are fed from.
    pub(crate) fn hub(&self) -> &Hub {
        &self.shared.hub
    }

    /// Looks at the applied state; short, since applying waits.
    pub(crate) fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.shared.at.lock().state)
    }

    #[expect(clippy::result_large_err, reason = "the error is openraft's, and ends the node")]
    fn apply_entry(&self, entry: Entry<MetaRaft>) -> Result<Outcome> {
        let id = entry.log_id;
        let failed = |error: AnyError| StorageError::from(StorageIOError::apply(id, error));
        let mut at = self.shared.at.lock();
        at.applied = Some(id);
        let command = match entry.payload {
            EntryPayload::Blank => return Ok(Outcome::Nothing),
            EntryPayload::Membership(membership) => {
                at.membership = StoredMembership::new(Some(id), membership);
                return Ok(Outcome::Nothing);
            }
            EntryPayload::Normal(command) => command,
        };
        let before = at.state.epoch();
        let outcome = at
            .state
            .apply(id.leader_id.term, &command)
            .map_err(|error| failed(AnyError::new(&error)))?;
        if let crate::command::Command::Change { change, .. } = &command
            && at.state.epoch() != before
        {
            let pushed = self.shared.hub.push(at.state.catalog.clone(), change);
            pushed.map_err(|error| failed(AnyError::new(&error)))?;
        }
        Ok(outcome)
    }

    async fn save(&self, meta: &Meta, body: Arc<Vec<u8>>) -> Result<()> {
        let failed = |error: AnyError| {
            StorageError::from(StorageIOError::write_snapshot(Some(meta.signature()), error))
        };
        let encoded = postcard::to_stdvec(meta).map_err(|error| failed(AnyError::new(&error)))?;
        let folder = self.shared.folder.clone();
        let write = move || snapshot_file::write(&folder, &encoded, &body);
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(AnyError::new(&error))),
            Err(error) => Err(failed(AnyError::new(&error))),
        }
    }
}

impl RaftSnapshotBuilder<MetaRaft> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<MetaRaft>> {
        let at = self.shared.at.lock().clone();
        let index = at.applied.map_or(0, |applied| applied.index);
        let term = at.applied.map_or(0, |applied| applied.leader_id.term);
        let meta = Meta {
            last_log_id: at.applied,
            last_membership: at.membership,
            snapshot_id: format!("{term}-{index}"),
        };
        let failed = |error: AnyError| {
            StorageError::from(StorageIOError::write_snapshot(Some(meta.signature()), error))
        };
        let encode = move || postcard::to_stdvec(&at.state);
        let body = match tokio::task::spawn_blocking(encode).await {
            Ok(Ok(body)) => Arc::new(body),
            Ok(Err(error)) => return Err(failed(AnyError::new(&error))),
            Err(error) => return Err(failed(AnyError::new(&error))),
        };
        let file = self.shared.file.lock().await;
        self.save(&meta, body.clone()).await?;
        drop(file);
        let body = Arc::unwrap_or_clone(body);
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(body)) })
    }
}

impl RaftStateMachine<MetaRaft> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, openraft::BasicNode>)> {
        let at = self.shared.at.lock();
        Ok((at.applied, at.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>>
    where
        I: IntoIterator<Item = Entry<MetaRaft>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut outcomes = Vec::new();
        for entry in entries {
            outcomes.push(self.apply_entry(entry)?);
        }
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }

    async fn install_snapshot(
        &mut self,
        meta: &Meta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<()> {
        let body = Arc::new(snapshot.into_inner());
        let state = frame::decode::<State>(&body).map_err(|error| {
            StorageError::from(StorageIOError::read_snapshot(
                Some(meta.signature()),
                AnyError::new(&error),
            ))
        })?;
        let file = self.shared.file.lock().await;
        self.save(meta, body).await?;
        drop(file);
        let mut at = self.shared.at.lock();
        self.shared.hub.reset(state.catalog.clone());
        *at = At { state, applied: meta.last_log_id, membership: meta.last_membership.clone() };
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<MetaRaft>>> {
        let failed =
            |error: AnyError| StorageError::from(StorageIOError::read_snapshot(None, error));
        let file = self.shared.file.lock().await;
        let folder = self.shared.folder.clone();
        let read = tokio::task::spawn_blocking(move || snapshot_file::read(&folder)).await;
        drop(file);
        let stored = read
            .map_err(|error| failed(AnyError::new(&error)))?
            .map_err(|error| failed(AnyError::new(&error)))?;
        let Some(snapshot_file::Parts { meta, body }) = stored else {
            return Ok(None);
        };
        let meta = frame::decode(&meta).map_err(|error| failed(AnyError::new(&error)))?;
        Ok(Some(Snapshot { meta, snapshot: Box::new(Cursor::new(body)) }))
    }
}
