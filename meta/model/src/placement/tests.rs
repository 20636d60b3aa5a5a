//! Properties of placements: one owner for each key, ranges of owners complete, even
//! spread, serialisation.

use super::*;
use proptest::{collection::vec, prelude::*};

const INT: KeyType = KeyType::Integer { min: i32::MIN as i128, max: i32::MAX as i128 };

fn key(values: &[i128]) -> Key {
    values.iter().map(|value| KeyPart::Integer(*value)).collect()
}

fn range_placement(columns: usize) -> impl Strategy<Value = Placement> {
    let bounds = proptest::collection::btree_set(vec(-20_i128..20, columns), 0..12);
    (bounds, vec(1_u32..5, 13), any::<bool>()).prop_map(|(bounds, shards, whole)| {
        let bounds = bounds.iter().map(|bound| Some(key(bound)));
        let end = whole.then_some(None);
        let units = bounds.chain(end).zip(shards);
        let units = units.map(|(less_than, shard)| RangeUnit { less_than, shard: ShardId(shard) });
        Placement::Range(units.collect())
    })
}

fn list_placement(columns: usize) -> impl Strategy<Value = Placement> {
    let values = proptest::collection::btree_map(vec(-20_i128..20, columns), 1_u32..5, 0..12);
    (values, proptest::option::of(1_u32..5)).prop_map(|(values, default)| {
        let values = values.iter().map(|(values, shard)| (key(values), ShardId(*shard))).collect();
        Placement::List(ListMap { values, default: default.map(ShardId) })
    })
}

fn hash_placement() -> impl Strategy<Value = Placement> {
    vec((1_u16..3_000, 1_u32..6), 1..40).prop_map(|lengths| {
        let mut owners: Vec<ShardId> = lengths
            .iter()
            .flat_map(|(length, shard)| vec![ShardId(*shard); usize::from(*length)])
            .take(usize::from(SLOTS))
            .collect();
        owners.resize(usize::from(SLOTS), ShardId(9));
        let map = SlotMap::from_owners(&owners).unwrap();
        assert_eq!(map.owners(), owners);
        Placement::Hash(map)
    })
}

fn placement(columns: usize) -> impl Strategy<Value = Placement> {
    prop_oneof![range_placement(columns), list_placement(columns), hash_placement()]
}

/// The units that contain a key, counted one by one, without search.
fn owners_one_by_one(placement: &Placement, values: &[i128]) -> Vec<ShardId> {
    match placement {
        Placement::Hash(map) => {
            let slot = hash::slot_of(&key(values), &vec![INT; values.len()]);
            vec![map.owners()[usize::from(slot.0)]]
        }
        Placement::Range(units) => {
            let mut start: Option<Key> = None;
            let mut owners = Vec::new();
            for unit in units {
                let key = key(values);
                let after = start.as_ref().is_none_or(|start| *start <= key);
                if after && unit.less_than.as_ref().is_none_or(|end| key < *end) {
                    owners.push(unit.shard);
                }
                start = unit.less_than.clone();
            }
            owners
        }
        Placement::List(map) => {
            let listed = map.values.iter().find(|(listed, _)| **listed == key(values));
            listed.map(|(_, shard)| *shard).or(map.default).into_iter().collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_key_has_one_owner(placement in placement(2), values in vec(-22_i128..22, 2)) {
        let owners = owners_one_by_one(&placement, &values);
        prop_assert!(owners.len() <= 1);
        let owner = placement.owner(&key(&values), &[INT, INT]);
        prop_assert_eq!(owner, owners.first().copied());
        prop_assert!(owner.is_none_or(|owner| placement.shards().contains(&owner)));
    }

    #[test]
    fn owners_of_a_range_are_complete(
        (columns, placement) in (1_usize..3).prop_flat_map(|columns| (Just(columns), placement(columns))),
        low in -22_i128..22, width in 0_i128..10, open in 0_u8..9,
    ) {
        let (lower_part, upper_part) = (KeyPart::Integer(low), KeyPart::Integer(low + width));
        let bound = |kind, part| match kind {
            0 => Bound::Included(part),
            1 => Bound::Excluded(part),
            _ => Bound::Unbounded,
        };
        let (lower, upper) = (bound(open % 3, &lower_part), bound(open / 3, &upper_part));
        let types = vec![INT; columns];
        let owners = placement.owners_of_range(lower, upper, &types);
        for first in -25..35 {
            let inside = (lower, upper);
            if !std::ops::RangeBounds::contains(&inside, &&KeyPart::Integer(first)) {
                continue;
            }
            for second in -22..22 {
                let key = key(&[first, second][..columns]);
                let owner = placement.owner(&key, &types);
                prop_assert!(owner.is_none_or(|owner| owners.contains(&owner)));
            }
        }
    }

    #[test]
    fn serialisation_round_trips(placement in placement(2)) {
        let json = serde_json::to_string(&placement).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Placement>(&json).unwrap(), &placement);
        let bytes = postcard::to_stdvec(&placement).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Placement>(&bytes).unwrap(), &placement);
    }

    #[test]
    fn even_hash_is_even(count in 1_usize..100) {
        let shards: Vec<ShardId> = (1..).take(count).map(ShardId).collect();
        let Some(Placement::Hash(map)) = even_hash(&shards) else { panic!("not a hash placement") };
        let owners = map.owners();
        prop_assert_eq!(owners.len(), usize::from(SLOTS));
        for shard in &shards {
            let owned = owners.iter().filter(|owner| *owner == shard).count();
            prop_assert!(owned.abs_diff(usize::from(SLOTS) / count) <= 1);
        }
        prop_assert_eq!(map.runs().len(), count);
    }
}

#[test]
fn even_hash_spreads_consecutive_integers() {
    let shards = [ShardId(1), ShardId(2), ShardId(3)];
    let placement = even_hash(&shards).unwrap();
    let mut counts = BTreeMap::new();
    for value in 1..=30_000 {
        *counts.entry(placement.owner(&key(&[value]), &[INT]).unwrap()).or_insert(0_u32) += 1;
    }
    assert!(counts.values().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
}

#[test]
fn broken_runs_are_refused() {
    for json in [
        "[]",
        "[{\"end\":5,\"shard\":1}]",
        "[{\"end\":9,\"shard\":1},{\"end\":9,\"shard\":2}]",
        "[{\"end\":16385,\"shard\":1}]",
    ] {
        assert!(serde_json::from_str::<SlotMap>(json).is_err(), "{json}");
    }
}

#[test]
fn a_key_of_the_wrong_length_has_no_owner() {
    let placement = even_hash(&[ShardId(1)]).unwrap();
    assert_eq!(placement.owner(&[], &[INT]), None);
    assert_eq!(placement.owner(&key(&[1, 2]), &[INT]), None);
    assert_eq!(even_hash(&[]), None);
}
