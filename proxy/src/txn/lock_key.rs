//! Lock keys: what an undecided transaction keeps others from writing, and what a write
//! must find free. Plain data; `sql.rs` has the statements.
//!
//! A *space* is what keys are unique in. Tables of one colocation group share their group's
//! space: a shard key locks that key's rows in all of them, since a foreign key or a join
//! between them has the same shard key on both sides, and undoing a parent under somebody
//! else's new child would fail or cascade. A broadcast or single table is a space of its own.

use shardline_model::id::{GroupId, TableId};
use smallvec::{SmallVec, smallvec};
use std::{collections::BTreeSet, fmt};
use xxhash_rust::xxh3::xxh3_64;

/// How many keys of one space a transaction locks on one shard one by one; beyond it locks
/// the space.
pub const KEYS_PER_SPACE_MAX: usize = 256;
/// How many lock rows one branch may have: what bounds its packet and `branch.locks`.
pub const LOCKS_PER_BRANCH_MAX: usize = 2_048;

/// What keys are unique in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockSpace {
    /// The tables of a colocation group; keys are shard keys.
    Group(GroupId),
    /// A broadcast or single table; keys are primary keys.
    Table(TableId),
}

impl LockSpace {
    /// The first half of its keys. Groups are even and tables odd, so that they never meet.
    fn number(self) -> u64 {
        match self {
            LockSpace::Group(group) => group.0 << 1,
            LockSpace::Table(table) => table.0 << 1 | 1,
        }
    }
}

/// One row of `rlock`, `BINARY(16)`: the space, and 64 bits of a hash. Two keys with one
/// hash wait for each other without need, which is all that a collision does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockKey(pub [u8; 16]);

impl LockKey {
    /// The lock of a key, from its canonical text (`shardline_model::hash::canonical_text`):
    /// values that the column's collation calls equal have the same.
    pub fn of_key(space: LockSpace, canonical_text: &[u8]) -> Self {
        // Zero is the whole space.
        Self::new(space, xxh3_64(canonical_text).max(1))
    }

    /// The lock of a whole space.
    pub fn of_space(space: LockSpace) -> Self {
        Self::new(space, 0)
    }

    /// The greatest key of a space.
    fn last_of(space: LockSpace) -> Self {
        Self::new(space, u64::MAX)
    }

    fn new(space: LockSpace, hash: u64) -> Self {
        Self((u128::from(space.number()) << 64 | u128::from(hash)).to_be_bytes())
    }

    /// The whole-space lock of the same space.
    pub fn space_lock(self) -> Self {
        Self((u128::from_be_bytes(self.0) >> 64 << 64).to_be_bytes())
    }
}

impl fmt::Debug for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = u128::from_be_bytes(self.0);
        write!(f, "{}/{:016x}", (both >> 64) as u64, both as u64)
    }
}

/// The rows of a space that a statement writes, or locks by `FOR UPDATE` or `FOR SHARE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Rows with these keys: canonical texts.
    Keys(Vec<Vec<u8>>),
    /// Rows that the statement does not pin by key.
    Unpinned,
}

/// What a transaction locks on one shard: the union over its statements there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockSet {
    keys: BTreeSet<LockKey>,
}

/// A transaction touches more spaces than one branch may lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a distributed transaction locks more than {LOCKS_PER_BRANCH_MAX} keys on one shard")]
pub struct TooManyLocks;

impl LockSet {
    /// Adds what one statement wrote. Escalates to the whole space beyond
    /// [`KEYS_PER_SPACE_MAX`] keys.
    ///
    /// # Errors
    /// More than [`LOCKS_PER_BRANCH_MAX`] locks even so.
    pub fn add(&mut self, space: LockSpace, touched: &Touched) -> Result<(), TooManyLocks> {
        let whole = LockKey::of_space(space);
        if self.keys.contains(&whole) {
            return Ok(());
        }
        match touched {
            Touched::Keys(texts) => {
                self.keys.extend(texts.iter().map(|text| LockKey::of_key(space, text)));
            }
            Touched::Unpinned => {
                self.keys.insert(whole);
            }
        }
        let in_space = || whole..=LockKey::last_of(space);
        if self.keys.contains(&whole) || self.keys.range(in_space()).count() > KEYS_PER_SPACE_MAX {
            self.keys.retain(|key| !in_space().contains(key));
            self.keys.insert(whole);
        }
        if self.keys.len() > LOCKS_PER_BRANCH_MAX { Err(TooManyLocks) } else { Ok(()) }
    }

    /// The keys in order: every transaction inserts its rows in this order, so that two of
    /// them do not wait for each other.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = LockKey> + '_ {
        self.keys.iter().copied()
    }

    /// Whether nothing is locked.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a whole space is locked.
    pub fn has_spaces(&self) -> bool {
        self.keys.iter().any(|key| key.space_lock() == *key)
    }

    /// As `branch.locks` stores them: 16 bytes each.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.keys.iter().flat_map(|key| key.0).collect()
    }

    /// From `branch.locks`; None when it is not what [`LockSet::to_bytes`] makes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (keys, rest) = bytes.as_chunks::<16>();
        (rest.is_empty() && keys.len() <= LOCKS_PER_BRANCH_MAX)
            .then(|| Self { keys: keys.iter().copied().map(LockKey).collect() })
    }
}

/// What a statement must find free on a shard, after it holds its row locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockCheck {
    /// These rows of `rlock`: the statement's keys, and the whole-space lock of each.
    pub keys: SmallVec<[LockKey; 4]>,
    /// Any row of `rlock` in these spaces (first and last key): for a statement that does
    /// not pin its keys, and for the parents of foreign keys that lead out of the space.
    pub spaces: SmallVec<[(LockKey, LockKey); 1]>,
}

impl LockCheck {
    /// What a statement on one table checks. `parents` are the spaces of tables that its
    /// foreign keys lead to, where they differ from `space`: inserting a child of an
    /// undecided parent would make the parent impossible to undo.
    pub fn of(space: LockSpace, touched: &Touched, parents: &[LockSpace]) -> Self {
        let mut check = Self::default();
        check.add(space, touched);
        for parent in parents {
            check.add(*parent, &Touched::Unpinned);
        }
        check
    }

    /// Adds another table of the same statement.
    pub fn add(&mut self, space: LockSpace, touched: &Touched) {
        let bounds = (LockKey::of_space(space), LockKey::last_of(space));
        let keys: BTreeSet<LockKey> = match touched {
            Touched::Keys(texts) if texts.len() <= KEYS_PER_SPACE_MAX => {
                texts.iter().map(|text| LockKey::of_key(space, text)).chain([bounds.0]).collect()
            }
            Touched::Keys(_) | Touched::Unpinned => {
                if !self.spaces.contains(&bounds) {
                    self.spaces.push(bounds);
                }
                return;
            }
        };
        self.keys
            .extend(keys.into_iter().filter(|key| !self.keys.contains(key)).collect::<Vec<_>>());
    }

    /// Any lock at all: for a transaction of which it is not known what it wrote.
    pub fn everything() -> Self {
        let all = (LockKey([0; 16]), LockKey([u8::MAX; 16]));
        Self { keys: SmallVec::new(), spaces: smallvec![all] }
    }

    /// Adds what another statement checks.
    pub fn merge(&mut self, other: &Self) {
        let keys: BTreeSet<LockKey> =
            self.keys.drain(..).chain(other.keys.iter().copied()).collect();
        self.keys.extend(keys);
        for bounds in &other.spaces {
            if !self.spaces.contains(bounds) {
                self.spaces.push(*bounds);
            }
        }
        // A space says more than its keys.
        let Self { keys, spaces } = self;
        keys.retain(|key| !spaces.iter().any(|(first, last)| (*first..=*last).contains(key)));
        if keys.len() > LOCKS_PER_BRANCH_MAX {
            *self = Self::everything();
        }
    }

    /// Whether nothing must be free.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.spaces.is_empty()
    }

    /// Adds the locks that are to be taken.
    #[must_use]
    pub fn and(mut self, locks: &LockSet) -> Self {
        let keys = locks.keys().collect();
        self.merge(&Self { keys, spaces: SmallVec::new() });
        self
    }

    /// Whether a lock is one that the statement must not meet.
    pub fn meets(&self, key: LockKey) -> bool {
        self.keys.contains(&key)
            || self.spaces.iter().any(|(first, last)| (*first..=*last).contains(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: LockSpace = LockSpace::Group(GroupId(7));
    const TABLE: LockSpace = LockSpace::Table(TableId(7));

    fn keys(texts: &[&str]) -> Touched {
        Touched::Keys(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
    }

    #[test]
    fn a_key_is_met_by_itself_and_by_its_space() {
        let mut locks = LockSet::default();
        locks.add(GROUP, &keys(&["5"])).expect("few locks");
        let met = |check: LockCheck, locks: &LockSet| locks.keys().any(|key| check.meets(key));
        assert!(met(LockCheck::of(GROUP, &keys(&["4", "5"]), &[]), &locks));
        assert!(!met(LockCheck::of(GROUP, &keys(&["4"]), &[]), &locks));
        assert!(met(LockCheck::of(GROUP, &Touched::Unpinned, &[]), &locks));
        assert!(!met(LockCheck::of(TABLE, &Touched::Unpinned, &[]), &locks));
        assert!(met(LockCheck::of(TABLE, &keys(&["1"]), &[GROUP]), &locks));
        locks.add(GROUP, &Touched::Unpinned).expect("few locks");
        assert_eq!(locks.keys().collect::<Vec<_>>(), [LockKey::of_space(GROUP)]);
        assert!(met(LockCheck::of(GROUP, &keys(&["4"]), &[]), &locks));
    }

    #[test]
    fn many_keys_become_their_space() {
        let mut locks = LockSet::default();
        locks.add(TABLE, &keys(&["x"])).expect("few locks");
        for number in 0..=KEYS_PER_SPACE_MAX {
            locks.add(GROUP, &keys(&[&number.to_string()])).expect("few locks");
        }
        assert_eq!(locks.keys().len(), 2);
        assert_eq!(LockSet::from_bytes(&locks.to_bytes()), Some(locks));
        assert_eq!(LockSet::from_bytes(&[0; 15]), None);
    }

    #[test]
    fn the_number_of_locks_is_bounded() {
        let mut locks = LockSet::default();
        let full = (0..).find(|number| {
            locks.add(LockSpace::Table(TableId(*number)), &Touched::Unpinned).is_err()
        });
        assert_eq!(full, Some(LOCKS_PER_BRANCH_MAX as u64));
    }
}
