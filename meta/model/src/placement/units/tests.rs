//! Properties of units: assigning them changes the owners of their keys alone, and the tests
//! of overlap and of ownership agree with looking at every key.

use super::*;
use crate::placement::even_hash;
use proptest::{collection::vec, prelude::*};

const INT: KeyType = KeyType::Integer { min: -1_000, max: 1_000 };
/// Keys that are looked at one by one; bounds and values lie well inside.
const KEYS: std::ops::Range<i128> = -25..25;

fn key(value: i128) -> Key {
    std::iter::once(KeyPart::Integer(value)).collect()
}

fn keys() -> impl Strategy<Value = Vec<Key>> {
    proptest::collection::btree_set(-20_i128..20, 1..8)
        .prop_map(|values| values.into_iter().map(key).collect())
}

fn range() -> impl Strategy<Value = Placement> {
    (proptest::collection::btree_map(-20_i128..20, 1_u32..4, 1..8), proptest::option::of(1_u32..4))
        .prop_map(|(bounds, last)| {
            let mut units: Vec<RangeUnit> = bounds
                .iter()
                .map(|(bound, shard)| RangeUnit {
                    less_than: Some(key(*bound)),
                    shard: ShardId(*shard),
                })
                .collect();
            units.extend(last.map(|last| RangeUnit { less_than: None, shard: ShardId(last) }));
            Placement::Range(units)
        })
}

fn list() -> impl Strategy<Value = Placement> {
    (proptest::collection::btree_map(-20_i128..20, 1_u32..4, 0..8), 1_u32..4).prop_map(
        |(values, default)| {
            let values = values.iter().map(|(v, shard)| (key(*v), ShardId(*shard))).collect();
            Placement::List(ListMap { values, default: Some(ShardId(default)) })
        },
    )
}

fn slots() -> impl Strategy<Value = Units> {
    vec((1_u16..3_000, 1_u16..3_000), 1..4).prop_map(|lengths| {
        let mut end = 0;
        let run = |(gap, length): (u16, u16)| {
            let start = (end + gap).min(SLOTS - 1);
            end = (start + length).min(SLOTS);
            start..end
        };
        let mut runs: Vec<Range<u16>> = lengths.into_iter().map(run).collect();
        runs.dedup_by(|next, before| next.start <= before.end);
        Units::Slots(runs)
    })
}

fn interval() -> impl Strategy<Value = Units> {
    (proptest::option::of(-20_i128..0), proptest::option::of(1_i128..20), -5_i128..5).prop_map(
        |(start, end, by)| Units::Interval {
            start: start.map(|value| key(value + by)),
            end: end.map(|value| key(value + by)),
        },
    )
}

fn values() -> impl Strategy<Value = Units> {
    prop_oneof![
        keys().prop_map(Units::Values),
        proptest::option::of(keys())
            .prop_map(|but| Units::OtherValues { but: but.unwrap_or_default() })
    ]
}

/// A placement and two units of its function.
fn case() -> impl Strategy<Value = (Placement, Units, Units)> {
    let even = (1_u32..5)
        .prop_map(|count| even_hash(&(1..=count).map(ShardId).collect::<Vec<_>>()).unwrap());
    prop_oneof![
        (even, slots(), slots()),
        (range(), interval(), interval()),
        (list(), values(), values()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn assigning_changes_the_units_alone((before, units, _) in case()) {
        let mut after = before.clone();
        after.assign(&units, &[INT], ShardId(9)).unwrap();
        for value in KEYS {
            let owner = |placement: &Placement| placement.owner(&key(value), &[INT]);
            if !units.contains(&key(value), &[INT]) {
                prop_assert_eq!(owner(&after), owner(&before));
            } else if owner(&before).is_some() {
                prop_assert_eq!(owner(&after), Some(ShardId(9)));
            }
        }
        for shard in (1..4).map(ShardId) {
            let owns = before.owns_all(&units, &[INT], shard);
            for value in KEYS {
                if owns && units.contains(&key(value), &[INT]) {
                    prop_assert_eq!(before.owner(&key(value), &[INT]), Some(shard));
                }
            }
            if owns {
                prop_assert!(after.owns_all(&units, &[INT], ShardId(9)));
                let mut back = after.clone();
                back.assign(&units, &[INT], shard).unwrap();
                for value in KEYS {
                    let owner = |placement: &Placement| placement.owner(&key(value), &[INT]);
                    prop_assert_eq!(owner(&back), owner(&before));
                }
                let (Placement::Range(back), Placement::Range(before)) = (&back, &before) else {
                    continue;
                };
                prop_assert!(back.len() <= before.len(), "no cuts are left behind");
            }
        }
    }

    #[test]
    fn owning_all_is_owning_each((placement, units, _) in case()) {
        // Nobody owns what lies above the last bound, or below all keys that are looked at
        // somebody else may.
        let owners: BTreeSet<Option<ShardId>> = (-1_000..=1_000)
            .filter(|value| units.contains(&key(*value), &[INT]))
            .map(|value| placement.owner(&key(value), &[INT]))
            .collect();
        let is_hash = matches!(placement, Placement::Hash(_));
        for shard in (1..5).map(ShardId) {
            let every = owners.iter().all(|owner| *owner == Some(shard));
            let owns = placement.owns_all(&units, &[INT], shard);
            prop_assert!(!owns || every);
            // The looked-at keys do not reach every slot.
            prop_assert!(is_hash || owns == (every && !owners.is_empty()));
        }
    }

    #[test]
    fn overlap_is_a_key_in_both((_, left, right) in case()) {
        let both = |value: &i128| {
            left.contains(&key(*value), &[INT]) && right.contains(&key(*value), &[INT])
        };
        let found = (-1_000..=1_000).any(|value| both(&value));
        let overlaps = left.overlaps(&right, &[INT]);
        prop_assert_eq!(overlaps, right.overlaps(&left, &[INT]));
        prop_assert!(overlaps || !found);
        if !matches!(left, Units::Slots(_)) {
            prop_assert_eq!(overlaps, found);
        }
        let bytes = postcard::to_stdvec(&left).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Units>(&bytes).unwrap(), left);
    }
}

fn one_run(run: Range<u16>) -> Units {
    Units::Slots(std::iter::once(run).collect())
}

#[test]
fn broken_units_are_refused() {
    let hash = even_hash(&[ShardId(1)]).unwrap();
    let range = Placement::Range(vec![RangeUnit { less_than: None, shard: ShardId(1) }]);
    let list = Placement::List(ListMap { values: [].into(), default: Some(ShardId(1)) });
    let interval = |start, end| Units::Interval { start: Some(key(start)), end: Some(key(end)) };
    for (units, placement, error) in [
        (Units::Slots(vec![]), &hash, UnitsError::Empty),
        (one_run(5..5), &hash, UnitsError::Empty),
        (Units::Slots(vec![5..7, 7..9]), &hash, UnitsError::Order),
        (one_run(5..SLOTS + 1), &hash, UnitsError::Order),
        (one_run(5..7), &range, UnitsError::OtherFunction),
        (interval(3, 3), &range, UnitsError::Empty),
        (interval(4, 3), &range, UnitsError::Order),
        (interval(4, 3_000), &range, UnitsError::Key),
        (Units::Values(vec![]), &list, UnitsError::Empty),
        (Units::Values(vec![key(1), key(1)]), &list, UnitsError::Order),
        (Units::OtherValues { but: vec![key(2), key(1)] }, &list, UnitsError::Order),
        (Units::OtherValues { but: vec![Key::new()] }, &list, UnitsError::Key),
    ] {
        assert_eq!(units.check(placement, &[INT]), Err(error), "{units:?}");
        assert!(!placement.owns_all(&units, &[INT], ShardId(1)), "{units:?}");
    }
}
