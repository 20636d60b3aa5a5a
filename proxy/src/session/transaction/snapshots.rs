//! What a read level above `local` makes of a transaction: its reads on a shard are all of one
//! snapshot, so that what is found there once holds to the end.

use super::{Open, Transaction};

/// Under it a shard's snapshot lasts as long as the transaction.
const REPEATABLE_READ: &str = "ISOLATION LEVEL REPEATABLE READ";

impl Transaction {
    /// Whether a transaction is under way that BEGIN opened, or that stands for it.
    pub fn is_begun(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.explicit)
    }

    /// Whether its snapshots are open on all shards that it may read.
    pub fn has_snapshots(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.has_snapshots)
    }

    /// The isolation level that was chosen for the next transaction alone.
    pub fn next_isolation(&self) -> Option<&str> {
        self.next.isolation.as_deref()
    }

    /// The open transaction keeps one snapshot on each shard, whatever the servers' default is.
    pub fn keep_snapshots(&mut self) {
        if let Some(open) = &mut self.open {
            open.characteristics.isolation = Some(REPEATABLE_READ.into());
        }
    }

    /// A transaction for one statement that reads.
    pub fn begin_read(&mut self) {
        self.begin_statement();
        self.keep_snapshots();
        if let Some(open) = &mut self.open {
            open.characteristics.access = Some("READ ONLY".into());
        }
    }

    /// Its snapshots are about to be opened: a shard's with its BEGIN.
    pub fn open_snapshots(&mut self) {
        if let Some(open) = &mut self.open {
            open.consistent_snapshot = true;
        }
    }

    /// They are open, on all shards that it may read.
    pub fn note_snapshots(&mut self) {
        if let Some(open) = &mut self.open {
            open.has_snapshots = true;
        }
    }

    /// Its snapshots show rows of aborted transactions, which are locked there: each read must look
    /// for locks.
    pub fn note_undone(&mut self, shown: bool) {
        if let Some(open) = &mut self.open {
            open.shows_undone = shown;
        }
    }

    /// Whether each read must look for locks in its snapshots.
    pub fn shows_undone(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.shows_undone)
    }

    /// The transaction that is under way is one of a session without autocommit: as if BEGIN
    /// had opened it.
    pub fn begin_implicitly(&mut self) {
        let characteristics = std::mem::take(&mut self.next);
        let savepoints = self.open.take().map(|open| open.savepoints).unwrap_or_default();
        self.open = Some(Open { explicit: true, characteristics, savepoints, ..Open::default() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::transaction::{Access, Answer, Chain, Next, Verb};
    use shardline_model::id::ShardId;

    const SHARD: ShardId = ShardId(1);

    fn preamble(transaction: &Transaction) -> Vec<String> {
        let statements = transaction.preamble(SHARD);
        statements.into_iter().map(|sql| String::from_utf8(sql).unwrap()).collect()
    }

    #[test]
    fn a_read_has_a_snapshot_of_its_own_whatever_was_chosen() {
        let mut transaction = Transaction::default();
        transaction.set_next("ISOLATION LEVEL READ COMMITTED").unwrap();
        transaction.begin_read();
        transaction.open_snapshots();
        let expected = [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ];
        assert_eq!(preamble(&transaction), expected);
        transaction.note_snapshots();
        assert!(transaction.has_snapshots() && !transaction.is_open());
        let answer = Answer { in_transaction: true, failed: false };
        assert_eq!(transaction.answered(SHARD, Access::READ, answer), Next::Hold);
        transaction.finish(Verb::Commit, Chain::No);
        assert!(!transaction.is_transactional() && preamble(&transaction).is_empty());
    }

    #[test]
    fn a_transaction_without_autocommit_is_begun_with_its_savepoints() {
        let mut transaction = Transaction::default();
        transaction.set_autocommit(false);
        transaction.savepoint("a").unwrap();
        assert!(!transaction.is_begun());
        transaction.begin_implicitly();
        transaction.keep_snapshots();
        assert!(transaction.is_begun() && !transaction.has_snapshots());
        let expected = [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION",
            "SAVEPOINT `a`",
        ];
        assert_eq!(preamble(&transaction), expected);
        transaction.finish(Verb::Commit, Chain::Yes);
        assert!(transaction.is_begun());
    }
}
