//! What is where, as it was measured: the pieces of a colocation group's key space, each with its owner and
//! its weight. A piece moves as a whole; how fine they are is for whoever measures.

use crate::key;
use serde::{Deserialize, Serialize};
use shardline_model::{
    id::{GroupId, ShardId},
    key::{Key, KeyType},
    placement::{Placement, Units},
};
use std::ops::AddAssign;

/// How heavy something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Rows of all tables of the group.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Statements in some time, where it was measured.
    pub load: u64,
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.load += other.load;
    }
}

impl Weight {
    /// A part of it.
    fn share(self, part: u64, whole: u64) -> Self {
        let of = |number: u64| {
            let share = u128::from(number) * u128::from(part) / u128::from(whole.max(1));
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        Self { rows: of(self.rows), bytes: of(self.bytes), load: of(self.load) }
    }
}

/// A part of the key space that one shard owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which.
    pub units: Units,
    /// Its owner.
    pub owner: ShardId,
    /// How heavy it is.
    pub weight: Weight,
}

/// A colocation group as it was measured. The pieces do not overlap.
#[derive(Clone, Debug)]
pub struct GroupSizes {
    /// The group.
    pub group: GroupId,
    /// Its tables, as `database.table`.
    pub tables: Vec<String>,
    /// The types of its key.
    pub key_types: Vec<KeyType>,
    /// Who owns what.
    pub placement: Placement,
    /// The pieces, in the order of their keys.
    pub pieces: Vec<Piece>,
}

impl GroupSizes {
    /// The weight of units, as far as the pieces tell: slots by their number, other pieces as a whole or not.
    pub fn weight_of(&self, units: &Units) -> Weight {
        let mut sum = Weight::default();
        for piece in &self.pieces {
            match (&piece.units, units) {
                (Units::Slots(has), Units::Slots(wanted)) => {
                    let both = has.iter().flat_map(|has| wanted.iter().map(move |run| (has, run)));
                    let common = both.map(|(has, run)| {
                        let end = has.end.min(run.end);
                        u64::from(end.saturating_sub(has.start.max(run.start)))
                    });
                    let slots = has.iter().map(|run| run.len() as u64).sum();
                    sum += piece.weight.share(common.sum(), slots);
                }
                (
                    Units::Slots(_)
                    | Units::Interval { .. }
                    | Units::Values(_)
                    | Units::OtherValues { .. },
                    _,
                ) => {
                    if piece.units.overlaps(units, &self.key_types) {
                        sum += piece.weight;
                    }
                }
            }
        }
        sum
    }
}

/// A key from what a person writes or a server selects for its columns; None when it is none.
pub fn key_of_texts(types: &[KeyType], texts: &[&[u8]]) -> Option<Key> {
    if types.len() != texts.len() {
        return None;
    }
    types.iter().zip(texts).map(|(key_type, text)| key::part(key_type, text)).collect()
}
