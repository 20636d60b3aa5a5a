//! Which rows belong to the units that move: the model's own answer, for the servers as SQL and for keys
//! that come out of a binlog.

use shardline_model::{
    key::{Key, KeyType},
    placement::{SLOTS, Units},
    predicate,
};

/// The units of one move with the group's key types.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    units: Units,
    types: Vec<KeyType>,
}

impl Membership {
    pub(crate) fn new(units: &Units, types: &[KeyType]) -> Self {
        Self { units: units.clone(), types: types.to_vec() }
    }

    /// The key columns' types.
    pub(crate) fn types(&self) -> &[KeyType] {
        &self.types
    }

    /// Whether a row with this key moves.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.units.contains(key, &self.types)
    }

    /// A condition that is true for exactly the rows that move, in parentheses.
    pub(crate) fn sql(&self, columns: &[&str]) -> String {
        predicate::units_sql(&self.units, &self.types, columns)
    }

    /// Whether the server must compute something for each row to tell, so that no index helps.
    pub(crate) fn is_computed(&self) -> bool {
        matches!(self.units, Units::Slots(_))
    }

    /// The part of the rows that move, when slots tell: what a chunk of so many rows will bring.
    pub(crate) fn share(&self) -> f64 {
        match &self.units {
            Units::Slots(runs) => {
                let slots: usize = runs.iter().map(ExactSizeIterator::len).sum();
                slots as f64 / f64::from(SLOTS)
            }
            Units::Interval { .. } | Units::Values(_) | Units::OtherValues { .. } => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_tell_how_much_moves() {
        let share = |units| Membership::new(&units, &[KeyType::Date]).share();
        assert_eq!(share(Units::Slots(vec![0..4_096, 8_192..12_288])), 0.5);
        assert_eq!(share(Units::Values(Vec::new())), 1.0);
    }
}
