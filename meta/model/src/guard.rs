//! The guard of a database: whether writers check locks, and whether transactions may write
//! on several shards. What moves it along is in the proxies; here is what the catalog says,
//! and which step may follow which.

use crate::id::Epoch;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the catalog says of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardState {
    /// Writers do not check; no distributed writes.
    #[default]
    Off,
    /// Writers check; no distributed writes yet.
    Raising,
    /// Writers check; distributed writes run.
    On,
    /// Writers check; no distributed writes any more.
    Lowering,
}

impl GuardState {
    /// Whether a write must check locks.
    pub fn checks(self) -> bool {
        match self {
            GuardState::Off => false,
            GuardState::Raising | GuardState::On | GuardState::Lowering => true,
        }
    }

    /// Whether a transaction may write on a second shard. Otherwise the proxy raises the
    /// guard first, and waits.
    pub fn allows_distributed(self) -> bool {
        match self {
            GuardState::On => true,
            GuardState::Off | GuardState::Raising | GuardState::Lowering => false,
        }
    }

    /// Whether this state may follow `before`. Off comes after Lowering alone: locks may be
    /// there in every other state.
    pub fn may_follow(self, before: GuardState) -> bool {
        match (before, self) {
            (GuardState::Off, GuardState::Raising)
            | (GuardState::Raising | GuardState::Lowering, GuardState::On)
            | (GuardState::On, GuardState::Lowering)
            | (GuardState::Lowering, GuardState::Off) => true,
            (GuardState::Off, GuardState::Off | GuardState::On | GuardState::Lowering)
            | (GuardState::Raising, GuardState::Off | GuardState::Raising | GuardState::Lowering)
            | (GuardState::On, GuardState::Off | GuardState::Raising | GuardState::On)
            | (GuardState::Lowering, GuardState::Raising | GuardState::Lowering) => false,
        }
    }
}

impl fmt::Display for GuardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GuardState::Off => "off",
            GuardState::Raising => "raising",
            GuardState::On => "on",
            GuardState::Lowering => "lowering",
        })
    }
}

/// An entry of the catalog: never [`GuardState::Off`], which is the absence of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The state.
    pub state: GuardState,
    /// The epoch that made it. A proxy that acknowledges it uses no older state any more.
    pub since: Epoch,
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} since {}", self.state, self.since)
    }
}
