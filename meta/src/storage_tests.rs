//! Raft's own storage suite over the real log and snapshot files, and what must survive
//! closing and opening them.

use crate::{
    command::{Command, MetaRaft},
    log_store::LogStore,
    machine::Machine,
};
use openraft::{
    CommittedLeaderId, Entry, EntryPayload, LogId, RaftLogReader, RaftSnapshotBuilder,
    StorageError, Vote,
    storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine},
    testing::{StoreBuilder, Suite},
};
use shardline_meta_client::rpc::RequestId;
use shardline_model::{change::Change, id::Epoch};
use std::sync::Arc;
use tempfile::TempDir;

struct Builder;

impl StoreBuilder<MetaRaft, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<u64>> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (log, machine) = open(&folder);
        Ok((folder, log, machine))
    }
}

fn open(folder: &TempDir) -> (LogStore, Machine) {
    let log = LogStore::open(&folder.path().join("log.redb")).expect("a log");
    (log, Machine::open(folder.path()).expect("a state machine"))
}

fn entry(index: u64, name: &str) -> Entry<MetaRaft> {
    Entry {
        log_id: LogId::new(CommittedLeaderId::new(1, 1), index),
        payload: EntryPayload::Normal(Command::Change {
            request: RequestId { client: 1, number: index },
            base: Epoch(0),
            change: Arc::new(Change::SetCluster { name: name.to_owned() }),
        }),
    }
}

#[test]
fn the_storage_suite_of_raft_passes() {
    Suite::test_all(Builder).unwrap();
}

#[tokio::test]
async fn log_vote_and_snapshot_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<_> = (0..5).map(|index| entry(index, &format!("n{index}"))).collect();
    let vote = Vote::new_committed(3, 1);
    {
        let (mut log, mut machine) = open(&folder);
        log.save_vote(&vote).await.unwrap();
        log.blocking_append(entries.clone()).await.unwrap();
        machine.apply(entries[..3].to_vec()).await.unwrap();
        machine.build_snapshot().await.unwrap();
        machine.apply(entries[3..].to_vec()).await.unwrap();
        log.purge(entries[1].log_id).await.unwrap();
    }
    let (mut log, mut machine) = open(&folder);
    assert_eq!(log.read_vote().await.unwrap(), Some(vote));
    let state = log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(entries[1].log_id));
    assert_eq!(state.last_log_id, Some(entries[4].log_id));
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries[2..]);
    assert_eq!(machine.applied_state().await.unwrap().0, Some(entries[2].log_id));
    assert_eq!(machine.with_state(|state| state.catalog.cluster.clone()), "n2");
    machine.apply(entries[3..].to_vec()).await.unwrap();
    assert_eq!(machine.with_state(|state| state.catalog.cluster.clone()), "n4");
    assert_eq!(machine.with_state(|state| state.epoch()), Epoch(5));
}

#[tokio::test]
async fn a_long_read_stops_at_its_limit_in_bytes_and_never_at_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _machine) = open(&folder);
    let name = "n".repeat(3 << 20);
    let entries: Vec<_> = (0..5).map(|index| entry(index, &name)).collect();
    log.blocking_append(entries).await.unwrap();
    assert_eq!(log.limited_get_log_entries(0, 5).await.unwrap().len(), 3);
    assert_eq!(log.limited_get_log_entries(4, 5).await.unwrap().len(), 1);
    assert_eq!(log.try_get_log_entries(0..5).await.unwrap().len(), 5);
}
