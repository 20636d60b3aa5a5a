//! Digests with their times: the newest thousand of each thread, and one for all that had to make room.

use super::histogram::Histogram;
use shardline_router::template::StatementDigest;
use std::{collections::HashMap, hash::BuildHasherDefault, sync::Arc, time::Duration};

/// Digests of one thread.
const DIGESTS_MAX: usize = 1_000;

/// Where a thread counts a digest. Another digest may have its place by the time it is used: then it is
/// counted with those that made room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    place: u32,
    key: u64,
}

/// What is known of one digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestStat {
    /// What it is called by.
    pub id: u64,
    /// Its text; values are marks.
    pub text: Arc<str>,
    /// The database that it ran in.
    pub database: Option<Arc<str>>,
    /// How often it ran.
    pub calls: u64,
    /// How often it failed.
    pub errors: u64,
    /// The time that it took, all together.
    pub total: Duration,
    /// The longest time.
    pub longest: Duration,
    /// The shards of all calls, added up.
    pub shards: u64,
    /// Calls on more than one shard.
    pub several_shards: u64,
    /// The first call, in seconds since 1970.
    pub first_unix_s: u64,
    /// The last one.
    pub last_unix_s: u64,
    /// How long calls took.
    pub times: Histogram,
}

impl DigestStat {
    fn count(&mut self, took: Duration, failed: bool, shards: u64, second: u64) {
        self.calls += 1;
        self.errors += u64::from(failed);
        self.total = self.total.saturating_add(took);
        self.longest = self.longest.max(took);
        self.shards += shards;
        self.several_shards += u64::from(shards > 1);
        if self.first_unix_s == 0 {
            self.first_unix_s = second;
        }
        self.last_unix_s = second;
        self.times.count(took);
    }

    fn add(&mut self, other: &Self) {
        if other.calls == 0 {
            return;
        }
        self.first_unix_s = match self.calls {
            0 => other.first_unix_s,
            _ => self.first_unix_s.min(other.first_unix_s),
        };
        self.last_unix_s = self.last_unix_s.max(other.last_unix_s);
        self.calls += other.calls;
        self.errors += other.errors;
        self.total = self.total.saturating_add(other.total);
        self.longest = self.longest.max(other.longest);
        self.shards += other.shards;
        self.several_shards += other.several_shards;
        self.times.add(&other.times);
    }
}

/// Digests of all threads.
#[derive(Clone, Debug, Default)]
pub struct DigestTotals {
    /// Those that are kept.
    pub digests: Vec<DigestStat>,
    /// All that had to make room.
    pub other: DigestStat,
}

/// The keys are hashes already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl std::hash::Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Digests of one thread.
#[derive(Debug, Default)]
pub(super) struct DigestTable {
    places: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    digests: Vec<DigestStat>,
    /// When each was used last, by a count of uses.
    used: Vec<u64>,
    uses: u64,
    other: DigestStat,
}

impl DigestTable {
    /// The place of a digest; made when it is new.
    pub(super) fn slot(&mut self, digest: &StatementDigest) -> Slot {
        let key = digest.key;
        if let Some(place) = self.places.get(&key) {
            return Slot { place: *place, key };
        }
        let stat = DigestStat {
            id: key,
            text: digest.text.clone(),
            database: digest.database.clone(),
            ..DigestStat::default()
        };
        let place = if self.digests.len() < DIGESTS_MAX {
            self.digests.push(stat);
            self.used.push(self.uses);
            self.digests.len() - 1
        } else {
            let oldest = self.used.iter().enumerate().min_by_key(|(_, used)| **used);
            let place = oldest.map_or(0, |(place, _)| place);
            let gone = std::mem::replace(&mut self.digests[place], stat);
            self.places.remove(&gone.id);
            self.other.add(&gone);
            self.used[place] = self.uses;
            place
        };
        self.places.insert(key, place as u32);
        Slot { place: place as u32, key }
    }

    /// Counts a call.
    pub(super) fn count(
        &mut self,
        slot: Slot,
        took: Duration,
        failed: bool,
        shards: u64,
        second: u64,
    ) {
        self.uses += 1;
        let place = slot.place as usize;
        match self.digests.get_mut(place).filter(|stat| stat.id == slot.key) {
            Some(stat) => {
                stat.count(took, failed, shards, second);
                self.used[place] = self.uses;
            }
            None => self.other.count(took, failed, shards, second),
        }
    }

    /// What the digest of a place is called by, its text and its database.
    pub(super) fn named(&self, slot: Slot) -> Option<(u64, Arc<str>, Option<Arc<str>>)> {
        let stat = self.digests.get(slot.place as usize).filter(|stat| stat.id == slot.key)?;
        Some((stat.id, stat.text.clone(), stat.database.clone()))
    }

    /// Adds all of this thread.
    pub(super) fn add_to(&self, totals: &mut DigestTotals) {
        totals.other.add(&self.other);
        let known: HashMap<u64, usize> =
            totals.digests.iter().enumerate().map(|(place, stat)| (stat.id, place)).collect();
        for stat in self.digests.iter().filter(|stat| stat.calls > 0) {
            match known.get(&stat.id).and_then(|place| totals.digests.get_mut(*place)) {
                Some(total) => total.add(stat),
                None => totals.digests.push(stat.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut table = DigestTable::default();
        let digest =
            |number: usize| StatementDigest::new(format!("SELECT {number}").as_bytes(), None);
        let first = table.slot(&digest(0));
        for number in 0..DIGESTS_MAX {
            let slot = table.slot(&digest(number));
            table.count(slot, Duration::from_millis(1), false, 2, 7);
            table.count(first, Duration::from_millis(1), true, 1, 7);
        }
        let second = table.slot(&digest(1));
        let newest = table.slot(&digest(DIGESTS_MAX));
        table.count(newest, Duration::from_millis(1), false, 1, 8);
        // Its place is another's by now.
        table.count(second, Duration::from_millis(1), false, 1, 8);
        let mut totals = DigestTotals::default();
        table.add_to(&mut totals);
        assert_eq!(totals.digests.len(), DIGESTS_MAX);
        assert_eq!((totals.other.calls, totals.other.several_shards), (2, 1));
        let all: u64 = totals.digests.iter().map(|stat| stat.calls).sum();
        assert_eq!(all + totals.other.calls, 2 * DIGESTS_MAX as u64 + 2);
        assert!(totals.digests.iter().all(|stat| &*stat.text != "SELECT 1"));
    }
}
