//! What the open transaction has written or locked on which shard: what its branches will lock,
//! and what must be free. Statements note it only while it can matter; of what was not
//! noted the worst is assumed.

use crate::{
    error::SqlError,
    txn::lock_key::{LockCheck, LockSet, LockSpace, TooManyLocks, Touched},
};
use shardline_model::id::ShardId;
use shardline_router::{
    plan::TableName,
    touch::{Keys, Space, TouchedRows, Touches},
};
use smallvec::SmallVec;
use std::sync::Arc;

/// What one statement writes or locks.
#[derive(Debug, Default)]
pub(crate) struct Note {
    /// In these databases.
    pub(crate) databases: SmallVec<[Arc<str>; 1]>,
    /// These rows; None when nobody asked which.
    pub(crate) touches: Option<Touches>,
    /// It writes nothing, and locks rows that it does not name.
    pub(crate) reads: bool,
}

/// What a transaction has written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The databases, without repetition.
    databases: SmallVec<[Arc<str>; 1]>,
    shards: SmallVec<[(ShardId, OnShard); 2]>,
}

/// What it has written on one shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnShard {
    /// What a branch there locks.
    pub(crate) locks: LockSet,
    /// What must be free before it commits.
    pub(crate) check: LockCheck,
    /// The tables that it writes: what must be undone if another branch fails.
    pub(crate) tables: SmallVec<[Arc<TableName>; 2]>,
    /// Whether that is all of it. Otherwise the shard can only be the anchor.
    pub(crate) whole: bool,
}

impl Written {
    /// A statement writes on the shard.
    ///
    /// # Errors
    /// It locks too many keys.
    pub(crate) fn note(&mut self, shard: ShardId, note: &Note) -> Result<(), SqlError> {
        for database in &note.databases {
            if !self.databases.contains(database) {
                self.databases.push(database.clone());
            }
        }
        let at = match self.shards.iter().position(|(known, _)| *known == shard) {
            Some(at) => at,
            None => {
                self.shards.push((shard, OnShard { whole: true, ..OnShard::default() }));
                self.shards.len() - 1
            }
        };
        let on_shard = &mut self.shards[at].1;
        if note.reads {
            on_shard.check.merge(&LockCheck::everything());
            return Ok(());
        }
        let Some(touches) = &note.touches else {
            on_shard.whole = false;
            return Ok(());
        };
        for table in &touches.tables {
            if !on_shard.tables.contains(table) {
                on_shard.tables.push(table.clone());
            }
        }
        for rows in &touches.rows {
            let Some((space, touched)) = touched_on(shard, rows) else { continue };
            let added = on_shard.locks.add(space, &touched);
            added.map_err(|TooManyLocks| SqlError::too_many_locks(&TooManyLocks.to_string()))?;
            on_shard.check.merge(&LockCheck::of(space, &touched, &[]));
        }
        Ok(())
    }

    /// The databases it wrote in.
    pub(crate) fn databases(&self) -> &[Arc<str>] {
        &self.databases
    }

    /// Forgets what was rolled back: only these shards are still written. What the others must
    /// find free stays, since a row lock may be left.
    pub(crate) fn keep(&mut self, writers: &[ShardId]) {
        for (shard, on_shard) in &mut self.shards {
            if !writers.contains(shard) {
                let check = on_shard.check();
                *on_shard = OnShard { check, whole: true, ..OnShard::default() };
            }
        }
    }

    /// The shards where something must be free before it commits.
    pub(crate) fn checked(&self) -> impl Iterator<Item = (ShardId, LockCheck)> + '_ {
        let checks = self.shards.iter().map(|(shard, on_shard)| (*shard, on_shard.check()));
        checks.filter(|(_, check)| *check != LockCheck::default())
    }

    fn known(&self, shard: ShardId) -> Option<&OnShard> {
        self.shards.iter().find(|(known, _)| *known == shard).map(|(_, on_shard)| on_shard)
    }

    /// What it wrote on a shard.
    pub(crate) fn on(&self, shard: ShardId) -> OnShard {
        let on_shard = self.known(shard).cloned().unwrap_or_default();
        OnShard { check: on_shard.check(), ..on_shard }
    }

    /// The shard that decides: one of which not all is known, as only it locks nothing; else
    /// the first that locks a whole space; else the first. None when two are not known.
    pub(crate) fn anchor(&self, writers: &[ShardId]) -> Option<ShardId> {
        let unknown = |shard: &&ShardId| self.known(**shard).is_none_or(|known| !known.whole);
        let mut all_unknown = writers.iter().filter(unknown);
        match (all_unknown.next(), all_unknown.next()) {
            (Some(_), Some(_)) => None,
            (Some(unknown), None) => Some(*unknown),
            (None, _) => {
                let wide = |shard: &&ShardId| {
                    self.known(**shard).is_some_and(|known| known.locks.has_spaces())
                };
                writers.iter().find(wide).or_else(|| writers.first()).copied()
            }
        }
    }
}

impl OnShard {
    /// What must be free; of what was not noted anything is assumed.
    fn check(&self) -> LockCheck {
        if self.whole { self.check.clone() } else { LockCheck::everything() }
    }
}

/// What must be free on the shard for a statement that touches these rows.
pub(crate) fn check_of(shard: ShardId, touches: &Touches) -> LockCheck {
    let mut check = LockCheck::default();
    for (space, touched) in touches.rows.iter().filter_map(|rows| touched_on(shard, rows)) {
        check.add(space, &touched);
    }
    check
}

/// What of these rows is on the shard; None when nothing is.
fn touched_on(shard: ShardId, rows: &TouchedRows) -> Option<(LockSpace, Touched)> {
    let space = match rows.space {
        Space::Group(group) => LockSpace::Group(group),
        Space::Table(table) => LockSpace::Table(table),
    };
    let touched = match &rows.keys {
        Keys::Unpinned => Touched::Unpinned,
        Keys::Listed(keys) => {
            let here = keys.iter().filter(|key| key.owner.is_none_or(|owner| owner == shard));
            let texts: Vec<_> = here.map(|key| key.canonical_text.clone()).collect();
            if texts.is_empty() {
                return None;
            }
            Touched::Keys(texts)
        }
    };
    Some((space, touched))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_model::id::GroupId;
    use shardline_router::touch::TouchedKey;

    const SHARDS: [ShardId; 2] = [ShardId(1), ShardId(2)];

    fn note(keys: Option<Keys>) -> Note {
        let rows = |keys| vec![TouchedRows { space: Space::Group(GroupId(1)), keys }];
        let touches = keys.map(|keys| Touches { rows: rows(keys), ..Touches::default() });
        Note { databases: SmallVec::from_iter(["d".into()]), touches, reads: false }
    }

    fn key(owner: ShardId) -> Note {
        let key = TouchedKey { canonical_text: b"1".to_vec(), owner: Some(owner) };
        note(Some(Keys::Listed(vec![key])))
    }

    #[test]
    fn what_was_not_noted_is_anything_and_decides() {
        let mut written = Written::default();
        written.note(SHARDS[0], &key(SHARDS[0])).unwrap();
        assert_eq!(written.anchor(&SHARDS[..1]), Some(SHARDS[0]));
        written.note(SHARDS[1], &note(None)).unwrap();
        assert_eq!(written.anchor(&SHARDS), Some(SHARDS[1]));
        assert_eq!(written.on(SHARDS[1]).check, LockCheck::everything());
        assert_eq!(written.databases().len(), 1);
        written.note(SHARDS[0], &note(None)).unwrap();
        assert_eq!(written.anchor(&SHARDS), None);
        written.keep(&SHARDS[..1]);
        assert_eq!(written.anchor(&SHARDS[..1]), Some(SHARDS[0]));
        assert_eq!(written.checked().count(), 2);
        written.note(SHARDS[1], &key(SHARDS[1])).unwrap();
        assert_eq!(written.anchor(&SHARDS), Some(SHARDS[0]));
    }

    #[test]
    fn a_shard_that_locks_a_whole_space_decides_so_that_it_need_not() {
        let mut written = Written::default();
        written.note(SHARDS[0], &key(SHARDS[0])).unwrap();
        written.note(SHARDS[1], &note(Some(Keys::Unpinned))).unwrap();
        assert_eq!(written.anchor(&SHARDS), Some(SHARDS[1]));
    }

    #[test]
    fn what_was_only_read_keeps_no_shard_from_being_a_branch() {
        let read = Note { reads: true, ..note(None) };
        let mut written = Written::default();
        for shard in SHARDS {
            written.note(shard, &read).unwrap();
            written.note(shard, &key(shard)).unwrap();
        }
        assert_eq!(written.anchor(&SHARDS), Some(SHARDS[0]));
        assert_eq!(written.on(SHARDS[1]).check, LockCheck::everything());
        assert_eq!(written.on(SHARDS[1]).locks.keys().len(), 1);
    }

    #[test]
    fn a_key_of_another_shard_is_not_locked_here() {
        let mut written = Written::default();
        written.note(SHARDS[0], &key(SHARDS[1])).unwrap();
        assert!(written.on(SHARDS[0]).locks.is_empty());
    }
}
