//! Which rows belong to the units that move: the model's own answer, for the servers as SQL and for keys
//! that come out of a binlog.

use crate::spec::{MoveSpec, Rows};
use shardline_model::{
    key::{Key, KeyType},
    placement::{Placement, SLOTS, Units},
    predicate,
    reshard::RowOwner,
};

/// The rows of one move with their key's types.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    rows: Rows,
    types: Vec<KeyType>,
}

impl Membership {
    #[cfg(test)]
    pub(crate) fn of(rows: impl Into<Rows>, types: &[KeyType]) -> Self {
        Self { rows: rows.into(), types: types.to_vec() }
    }

    pub(crate) fn new(spec: &MoveSpec) -> Self {
        Self { rows: spec.units.clone(), types: spec.key_types.clone() }
    }

    /// The key columns' types.
    pub(crate) fn types(&self) -> &[KeyType] {
        &self.types
    }

    /// Whether a row with this key moves.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        match &self.rows {
            Rows::Units(units) => units.contains(key, &self.types),
            Rows::Crossing(crossing) => crossing.contains(key),
        }
    }

    /// Whether a row with this key would have no owner afterwards, or none if it went back.
    pub(crate) fn is_homeless(&self, key: &Key) -> bool {
        match &self.rows {
            Rows::Units(_) => false,
            Rows::Crossing(crossing) => crossing.is_homeless(key),
        }
    }

    /// A condition that is true for exactly the rows that move, in parentheses.
    pub(crate) fn sql(&self, columns: &[&str]) -> String {
        match &self.rows {
            Rows::Units(units) => predicate::units_sql(units, &self.types, columns),
            // It names its columns itself.
            Rows::Crossing(crossing) => crossing.sql(),
        }
    }

    /// Whether the server must compute something for each row to tell, so that no index helps.
    pub(crate) fn is_computed(&self) -> bool {
        let hashed = |owner: &RowOwner| {
            matches!(owner, RowOwner::ByKey { placement: Placement::Hash(_), .. })
        };
        match &self.rows {
            Rows::Units(units) => matches!(units, Units::Slots(_)),
            Rows::Crossing(crossing) => hashed(&crossing.from) || hashed(&crossing.to),
        }
    }

    /// Whether rows go that stay with others of the same table: these have no other way then.
    pub(crate) fn is_crossing(&self) -> bool {
        matches!(self.rows, Rows::Crossing(_))
    }

    /// The part of the rows that move, when slots tell: what a chunk of so many rows will bring.
    pub(crate) fn share(&self) -> f64 {
        let of_slots = |slots: usize| slots as f64 / f64::from(SLOTS);
        match &self.rows {
            Rows::Units(Units::Slots(runs)) => {
                of_slots(runs.iter().map(ExactSizeIterator::len).sum())
            }
            Rows::Units(Units::Interval { .. } | Units::Values(_) | Units::OtherValues { .. }) => {
                1.0
            }
            // The sender has its own part of the rows; how much of that goes is the receiver's part.
            Rows::Crossing(crossing) => match &crossing.to {
                RowOwner::ByKey { placement: Placement::Hash(map), .. } => {
                    let owners = map.owners();
                    of_slots(owners.iter().filter(|owner| **owner == crossing.target).count())
                }
                RowOwner::ByKey { .. } | RowOwner::Every | RowOwner::One(_) => 1.0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_tell_how_much_moves() {
        let share = |units: Units| Membership::of(units, &[KeyType::Date]).share();
        assert_eq!(share(Units::Slots(vec![0..4_096, 8_192..12_288])), 0.5);
        assert_eq!(share(Units::Values(Vec::new())), 1.0);
    }
}
