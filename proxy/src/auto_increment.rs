//! Numbers for AUTO_INCREMENT columns: blocks of the cluster's sequences, kept per table.
//! Numbers of one call are consecutive, as drivers expect of one statement.

use crate::error::SqlError;
use shardline_meta_client::{MetaClient, ReserveError};
use shardline_model::id::TableId;
use std::{collections::HashMap, ops::Range, sync::Arc};
use tokio::sync::Mutex;

/// The blocks of all tables that this proxy has filled.
pub struct Sequences {
    meta: Arc<MetaClient>,
    block: u64,
    tables: parking_lot::Mutex<HashMap<TableId, Arc<Mutex<Block>>>>,
}

/// What is left of a table's block: `next..end`.
#[derive(Debug, Default)]
struct Block {
    next: u64,
    end: u64,
}

/// What explicit numbers mean to the sequence.
#[derive(Debug, PartialEq, Eq)]
enum Advance {
    /// The sequence is beyond them already.
    Done,
    /// A new block from this number on is needed.
    ReserveFrom(u64),
}

impl Block {
    /// Consecutive numbers, if enough are left.
    fn take(&mut self, count: u64) -> Option<Range<u64>> {
        if self.end - self.next < count {
            return None;
        }
        let first = self.next;
        self.next += count;
        Some(first..self.next)
    }

    /// Numbers up to `high` are used from elsewhere.
    fn advance(&mut self, high: u64) -> Advance {
        if high < self.next {
            return Advance::Done;
        }
        if high < self.end {
            self.next = high + 1;
            return Advance::Done;
        }
        Advance::ReserveFrom(high.saturating_add(1))
    }
}

impl Sequences {
    /// Blocks of `block` numbers from the metadata service.
    pub fn new(meta: Arc<MetaClient>, block: u64) -> Self {
        Sequences { meta, block: block.max(1), tables: parking_lot::Mutex::default() }
    }

    /// `count` consecutive numbers of a table.
    ///
    /// # Errors
    /// The metadata service gives none.
    pub async fn take(&self, table: TableId, count: u64) -> Result<Range<u64>, SqlError> {
        let block = self.block_of(table);
        let mut block = block.lock().await;
        if let Some(range) = block.take(count) {
            return Ok(range);
        }
        let wanted = self.block.max(count);
        let range = self.meta.reserve(table, wanted, None).await.map_err(reserve_error)?;
        *block = Block { next: range.start, end: range.end };
        block.take(count).ok_or_else(|| SqlError::internal("a sequence block is too short"))
    }

    /// The same without waiting: None when too few are left here.
    pub fn take_now(&self, table: TableId, count: u64) -> Option<Range<u64>> {
        let tables = self.tables.lock();
        tables.get(&table)?.try_lock().ok()?.take(count)
    }

    /// Whether the sequence goes on after `high` with nothing to wait for; otherwise
    /// [`Sequences::advance`] does it.
    pub fn advance_now(&self, table: TableId, high: u64) -> bool {
        let tables = self.tables.lock();
        let block = tables.get(&table).and_then(|block| block.try_lock().ok());
        block.is_some_and(|mut block| block.advance(high) == Advance::Done)
    }

    /// A statement names numbers itself, up to `high`: the sequence goes on after them.
    ///
    /// # Errors
    /// The metadata service does not answer.
    pub async fn advance(&self, table: TableId, high: u64) -> Result<(), SqlError> {
        let block = self.block_of(table);
        let mut block = block.lock().await;
        let Advance::ReserveFrom(first) = block.advance(high) else { return Ok(()) };
        match self.meta.reserve(table, self.block, Some(first)).await {
            Ok(range) => *block = Block { next: range.start, end: range.end },
            // The column can hold the number, and no number can come after it.
            Err(ReserveError::Refused(_)) => *block = Block::default(),
            Err(error @ ReserveError::Call(_)) => return Err(reserve_error(error)),
        }
        Ok(())
    }

    /// Forgets the blocks of tables that are gone.
    pub fn retain(&self, mut exists: impl FnMut(TableId) -> bool) {
        self.tables.lock().retain(|table, _| exists(*table));
    }

    fn block_of(&self, table: TableId) -> Arc<Mutex<Block>> {
        self.tables.lock().entry(table).or_default().clone()
    }
}

fn reserve_error(error: ReserveError) -> SqlError {
    match &error {
        ReserveError::Refused(refusal) => SqlError::sequence_refused(&refusal.to_string()),
        ReserveError::Call(_) => SqlError::metadata_unavailable(
            "no AUTO_INCREMENT numbers for the statement, which was not run",
            &error.to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_gives_consecutive_numbers_until_it_is_short() {
        let mut block = Block { next: 10, end: 20 };
        assert_eq!(block.take(4), Some(10..14));
        assert_eq!(block.take(7), None);
        assert_eq!(block.take(6), Some(14..20));
        assert_eq!(block.take(1), None);
        assert_eq!(Block::default().take(1), None);
    }

    #[test]
    fn explicit_numbers_move_the_block_forward() {
        let mut block = Block { next: 10, end: 20 };
        assert_eq!(block.advance(5), Advance::Done);
        assert_eq!(block.advance(12), Advance::Done);
        assert_eq!(block.take(1), Some(13..14));
        assert_eq!(block.advance(19), Advance::Done);
        assert_eq!(block.take(1), None);
        assert_eq!(block.advance(20), Advance::ReserveFrom(21));
        assert_eq!(Block::default().advance(0), Advance::ReserveFrom(1));
    }
}
