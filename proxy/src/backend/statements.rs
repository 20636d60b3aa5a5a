//! The prepared statements of one backend connection: bounded, the least recently used
//! one is closed first. Pure.

use crate::state::SessionState;
use shardline_wire::column::ColumnDefinition;
use std::{collections::HashMap, sync::Arc};

/// A statement that is prepared on a connection.
#[derive(Clone, Debug)]
pub struct BackendStatement {
    /// Its number on that connection.
    pub id: u32,
    /// Its parameters.
    pub parameters: Box<[ColumnDefinition]>,
    /// The columns of its result; empty when it has none.
    pub columns: Box<[ColumnDefinition]>,
    /// Warnings of the preparation.
    pub warnings: u16,
}

impl BackendStatement {
    /// A statement that the proxy answers itself.
    pub fn local(columns: Box<[ColumnDefinition]>) -> Self {
        BackendStatement { id: 0, parameters: Box::default(), columns, warnings: 0 }
    }
}

#[derive(Debug)]
struct Entry {
    statement: Arc<BackendStatement>,
    /// What the connection had applied: the same text means something else under
    /// another database, sql_mode or character set.
    prepared_under: SessionState,
    used_at: u64,
}

/// Statements by their text.
#[derive(Debug)]
pub(crate) struct Statements {
    by_text: HashMap<Box<[u8]>, Vec<Entry>>,
    count: usize,
    count_max: usize,
    clock: u64,
}

impl Statements {
    pub(crate) fn new(count_max: usize) -> Self {
        Statements { by_text: HashMap::new(), count: 0, count_max: count_max.max(1), clock: 0 }
    }

    /// The statement of this text, if it is prepared under such a state.
    pub(crate) fn find(
        &mut self,
        text: &[u8],
        applied: &SessionState,
    ) -> Option<&Arc<BackendStatement>> {
        self.clock += 1;
        let entries = self.by_text.get_mut(text)?;
        let entry = entries.iter_mut().find(|entry| entry.prepared_under.prepares_like(applied))?;
        entry.used_at = self.clock;
        Some(&entry.statement)
    }

    /// Make room for one more; returns the number of the statement to be closed.
    pub(crate) fn make_room(&mut self) -> Option<u32> {
        if self.count < self.count_max {
            return None;
        }
        // The number is bounded and a preparation costs a round trip: a scan is cheap.
        let oldest = self
            .by_text
            .values()
            .flatten()
            .min_by_key(|entry| entry.used_at)
            .map(|entry| entry.statement.id)?;
        self.remove(oldest);
        Some(oldest)
    }

    pub(crate) fn insert(
        &mut self,
        text: &[u8],
        applied: &SessionState,
        statement: Arc<BackendStatement>,
    ) {
        self.clock += 1;
        self.count += 1;
        let entry = Entry { statement, prepared_under: applied.clone(), used_at: self.clock };
        self.by_text.entry(text.into()).or_default().push(entry);
    }

    /// Forget a statement, which the server no longer has or is told to close.
    pub(crate) fn remove(&mut self, id: u32) {
        self.by_text.retain(|_, entries| {
            entries.retain(|entry| entry.statement.id != id);
            !entries.is_empty()
        });
        self.count = self.by_text.values().map(Vec::len).sum();
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Names;

    fn statement(id: u32) -> Arc<BackendStatement> {
        Arc::new(BackendStatement {
            id,
            parameters: Box::default(),
            columns: Box::default(),
            warnings: 0,
        })
    }

    #[test]
    fn the_least_recently_used_one_makes_room() {
        let state = SessionState::new(Names::utf8mb4(), Some("bank"));
        let mut statements = Statements::new(2);
        statements.insert(b"a", &state, statement(1));
        statements.insert(b"b", &state, statement(2));
        assert_eq!(statements.find(b"a", &state).map(|found| found.id), Some(1));
        assert_eq!(statements.make_room(), Some(2));
        assert_eq!(statements.make_room(), None);
        statements.insert(b"c", &state, statement(3));
        assert!(statements.find(b"b", &state).is_none());
        assert_eq!(statements.find(b"a", &state).map(|found| found.id), Some(1));
        assert_eq!(statements.len(), 2);
    }

    #[test]
    fn another_database_is_another_statement() {
        let bank = SessionState::new(Names::utf8mb4(), Some("bank"));
        let shop = SessionState::new(Names::utf8mb4(), Some("shop"));
        let mut statements = Statements::new(8);
        statements.insert(b"select * from t", &bank, statement(1));
        assert!(statements.find(b"select * from t", &shop).is_none());
        statements.insert(b"select * from t", &shop, statement(2));
        assert_eq!(statements.find(b"select * from t", &bank).map(|found| found.id), Some(1));
        assert_eq!(statements.find(b"select * from t", &shop).map(|found| found.id), Some(2));
        statements.remove(1);
        assert!(statements.find(b"select * from t", &bank).is_none());
        assert_eq!(statements.len(), 1);
    }
}
