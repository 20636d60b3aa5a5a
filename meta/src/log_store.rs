//! The Raft log and vote in one redb file. A write is acknowledged after its fsync; a
//! write that fails is reported as it is, upon which Raft stops the node.

use crate::command::MetaRaft;
use openraft::{
    Entry, LogId, LogState, OptionalSend, RaftLogReader, StorageError, StorageIOError, Vote,
    storage::{LogFlushed, RaftLogStorage},
};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Debug, io, ops::RangeBounds, path::Path, sync::Arc};

/// Entries by index, in postcard.
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
/// Single values by name, in postcard.
const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");
const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";

/// One read for replication ends at the entry that passes this, in bytes: with the longest
/// change it still fits a frame.
const READ_BYTES_MAX: usize = 8 << 20;

/// redb's cache, in bytes. The log is short-lived and mostly read from its end.
const CACHE_BYTES: usize = 32 << 20;

type Result<T, E = StorageError<u64>> = std::result::Result<T, E>;
/// What goes wrong below: redb, its disk, or bytes that are not what was written.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The log. Clones share the file.
#[derive(Clone)]
pub(crate) struct LogStore {
    database: Arc<Database>,
}

impl LogStore {
    /// Opens or creates the file.
    pub(crate) fn open(path: &Path) -> std::result::Result<Self, redb::Error> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
        Self::over(database)
    }

    /// A log in an opened database.
    pub(crate) fn over(database: Database) -> std::result::Result<Self, redb::Error> {
        let write = database.begin_write()?;
        write.open_table(ENTRIES)?;
        write.open_table(VALUES)?;
        write.commit()?;
        Ok(Self { database: Arc::new(database) })
    }

    /// Runs one write transaction on a thread that may block. Dropping the future does not
    /// stop it; Raft issues its writes one after the other.
    async fn write<F>(&self, durability: Durability, work: F) -> std::result::Result<(), Failure>
    where
        F: FnOnce(&redb::WriteTransaction) -> std::result::Result<(), Failure> + Send + 'static,
    {
        let database = self.database.clone();
        let writing = tokio::task::spawn_blocking(move || {
            let mut write = database.begin_write()?;
            write.set_durability(durability)?;
            work(&write)?;
            write.commit()?;
            Ok(())
        });
        writing.await?
    }

    async fn put<T: Serialize>(
        &self,
        name: &'static str,
        value: &T,
        durability: Durability,
    ) -> std::result::Result<(), Failure> {
        let bytes = postcard::to_stdvec(value)?;
        self.write(durability, move |write| {
            write.open_table(VALUES)?.insert(name, bytes.as_slice())?;
            Ok(())
        })
        .await
    }

    fn get<T: DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> std::result::Result<Option<T>, Failure> {
        let values = self.database.begin_read()?.open_table(VALUES)?;
        let found = values.get(name)?;
        Ok(found.map(|bytes| postcard::from_bytes(bytes.value())).transpose()?)
    }

    fn entries(
        &self,
        range: impl RangeBounds<u64>,
        bytes_max: usize,
    ) -> std::result::Result<Vec<Entry<MetaRaft>>, Failure> {
        let table = self.database.begin_read()?.open_table(ENTRIES)?;
        let mut entries = Vec::new();
        let mut bytes_read = 0;
        for item in table.range(range)? {
            let (_, bytes) = item?;
            entries.push(postcard::from_bytes(bytes.value())?);
            bytes_read += bytes.value().len();
            if bytes_read >= bytes_max {
                break;
            }
        }
        Ok(entries)
    }

    fn last_entry(&self) -> std::result::Result<Option<Entry<MetaRaft>>, Failure> {
        let table = self.database.begin_read()?.open_table(ENTRIES)?;
        let last = table.last()?;
        Ok(last.map(|(_, bytes)| postcard::from_bytes(bytes.value())).transpose()?)
    }
}

fn any(failure: &Failure) -> openraft::AnyError {
    openraft::AnyError::from_dyn(&**failure, None)
}

impl RaftLogReader<MetaRaft> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<MetaRaft>>> {
        let read = self.entries(range, usize::MAX);
        read.map_err(|failure| StorageIOError::read_logs(any(&failure)).into())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<MetaRaft>>> {
        let read = self.entries(start..end, READ_BYTES_MAX);
        read.map_err(|failure| StorageIOError::read_logs(any(&failure)).into())
    }
}

impl RaftLogStorage<MetaRaft> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<MetaRaft>> {
        let failed =
            |failure: Failure| StorageError::from(StorageIOError::read_logs(any(&failure)));
        let last_purged_log_id = self.get::<LogId<u64>>(PURGED).map_err(failed)?;
        let last_entry = self.last_entry().map_err(failed)?;
        let last_log_id = last_entry.map(|entry| entry.log_id).or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<()> {
        let saved = self.put(VOTE, vote, Durability::Immediate).await;
        saved.map_err(|failure| StorageIOError::write_vote(any(&failure)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>> {
        self.get(VOTE).map_err(|failure| StorageIOError::read_vote(any(&failure)).into())
    }

    /// Not durable: it only lets a restart apply the log before the leader is heard from.
    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<()> {
        let saved = self.put(COMMITTED, &committed, Durability::None).await;
        saved.map_err(|failure| StorageIOError::write_logs(any(&failure)).into())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>> {
        let read = self.get::<Option<LogId<u64>>>(COMMITTED);
        let read = read.map(Option::flatten);
        read.map_err(|failure| StorageIOError::read_logs(any(&failure)).into())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<MetaRaft>) -> Result<()>
    where
        I: IntoIterator<Item = Entry<MetaRaft>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded = entries
            .into_iter()
            .map(|entry| Ok((entry.log_id.index, postcard::to_stdvec(&entry)?)))
            .collect::<std::result::Result<Vec<_>, postcard::Error>>();
        let written = match encoded {
            Ok(encoded) => self.write(Durability::Immediate, |write| insert(write, encoded)).await,
            Err(error) => Err(error.into()),
        };
        match written {
            Ok(()) => {
                callback.log_io_completed(Ok(()));
                Ok(())
            }
            Err(failure) => {
                callback.log_io_completed(Err(io::Error::other(failure.to_string())));
                Err(StorageIOError::write_logs(any(&failure)).into())
            }
        }
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<()> {
        let truncated = self.write(Durability::Immediate, move |write| {
            write.open_table(ENTRIES)?.retain_in(log_id.index.., |_, _| false)?;
            Ok(())
        });
        let truncated = truncated.await;
        truncated.map_err(|failure| StorageIOError::write_logs(any(&failure)).into())
    }

    async fn purge(&mut self, log_id: LogId<u64>) -> Result<()> {
        let purged = self.write(Durability::Immediate, move |write| {
            let bytes = postcard::to_stdvec(&log_id)?;
            write.open_table(VALUES)?.insert(PURGED, bytes.as_slice())?;
            write.open_table(ENTRIES)?.retain_in(..=log_id.index, |_, _| false)?;
            Ok(())
        });
        purged.await.map_err(|failure| StorageIOError::write_logs(any(&failure)).into())
    }
}

fn insert(
    write: &redb::WriteTransaction,
    encoded: Vec<(u64, Vec<u8>)>,
) -> std::result::Result<(), Failure> {
    let mut table = write.open_table(ENTRIES)?;
    for (index, bytes) in encoded {
        table.insert(index, bytes.as_slice())?;
    }
    Ok(())
}
