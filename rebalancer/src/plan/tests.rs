//! Properties of plans: least movement, and that the moves lead to the target exactly.

mod goals;

use super::*;
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};
use shardline_model::{key::KeyPart, placement::even_hash};

const INT: KeyType = KeyType::Integer { min: -1_000, max: 1_000 };

fn key(value: i128) -> Key {
    std::iter::once(KeyPart::Integer(value)).collect()
}

fn shards(ids: impl IntoIterator<Item = u32>) -> BTreeSet<ShardId> {
    ids.into_iter().map(ShardId).collect()
}

fn even(count: u32) -> SlotMap {
    let all: Vec<ShardId> = (1..=count).map(ShardId).collect();
    match even_hash(&all) {
        Some(Placement::Hash(map)) => map,
        other => panic!("not a hash placement: {other:?}"),
    }
}

fn slot_map() -> impl Strategy<Value = SlotMap> {
    vec((1_u16..2_000, 1_u32..7), 1..30).prop_map(|runs| {
        let mut owners = vec![ShardId(1); usize::from(SLOTS)];
        let mut start = 0_usize;
        for (length, shard) in runs {
            let end = (start + usize::from(length)).min(owners.len());
            owners[start..end].fill(ShardId(shard));
            start = end;
        }
        SlotMap::from_owners(&owners).unwrap()
    })
}

fn range_placement() -> impl Strategy<Value = Placement> {
    (btree_map(-30_i128..30, 1_u32..4, 0..8), 1_u32..4).prop_map(|(bounds, last)| {
        let unit = |(bound, shard): (&i128, &u32)| RangeUnit {
            less_than: Some(key(*bound)),
            shard: ShardId(*shard),
        };
        let mut units: Vec<RangeUnit> = bounds.iter().map(unit).collect();
        units.push(RangeUnit { less_than: None, shard: ShardId(last) });
        Placement::Range(units)
    })
}

fn list_placement() -> impl Strategy<Value = Placement> {
    (btree_map(-30_i128..30, 1_u32..4, 0..8), 1_u32..4).prop_map(|(values, default)| {
        let values = values.iter().map(|(value, shard)| (key(*value), ShardId(*shard))).collect();
        Placement::List(ListMap { values, default: Some(ShardId(default)) })
    })
}

/// The moves that a key is in.
fn moves_of(moves: &[Move], value: i128) -> Vec<&Move> {
    moves.iter().filter(|one| one.units.contains(&key(value), &[INT])).collect()
}

fn pair() -> impl Strategy<Value = (Placement, Placement)> {
    prop_oneof![
        (slot_map(), slot_map()).prop_map(|(a, b)| (Placement::Hash(a), Placement::Hash(b))),
        (range_placement(), range_placement()),
        (list_placement(), list_placement()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn moves_lead_to_the_target((from, to) in pair()) {
        let moves = moves(&from, &to, &[INT]).unwrap();
        let mut assigned = from.clone();
        for one in &moves {
            prop_assert!(from.owns_all(&one.units, &[INT], one.from));
            assigned.assign(&one.units, &[INT], one.to).unwrap();
        }
        for value in -32..32 {
            let owner = |placement: &Placement| placement.owner(&key(value), &[INT]).unwrap();
            let (old, new) = (owner(&from), owner(&to));
            let found = moves_of(&moves, value);
            prop_assert_eq!(owner(&assigned), new);
            if old == new {
                prop_assert!(found.is_empty());
            } else {
                prop_assert_eq!(found.len(), 1);
                prop_assert_eq!((found[0].from, found[0].to), (old, new));
            }
        }
    }

    #[test]
    fn even_slots_is_even_and_moves_the_least(from in slot_map(), ids in proptest::collection::btree_set(1_u32..9, 1..8)) {
        let shards = shards(ids);
        let to = even_slots(&from, &shards).unwrap();
        let (old, new) = (from.owners(), to.owners());
        let share = usize::from(SLOTS) / shards.len();
        let mut surplus = 0;
        let mut sizes = Vec::new();
        for shard in &shards {
            let count = |owners: &[ShardId]| owners.iter().filter(|owner| *owner == shard).count();
            let target = count(&new);
            prop_assert!((share..=share + 1).contains(&target));
            surplus += count(&old).saturating_sub(target);
            sizes.push((count(&old), target));
        }
        // Nothing that could stay moves: only surplus and what belongs to drained shards.
        let drained = old.iter().filter(|owner| !shards.contains(owner)).count();
        let moved = old.iter().zip(&new).filter(|(old, new)| old != new).count();
        prop_assert_eq!(moved, surplus + drained);
        // And the odd slots are with those that have the most.
        sizes.sort();
        prop_assert!(sizes.is_sorted_by_key(|(_, target)| *target));
    }
}

#[test]
fn growing_moves_one_share() {
    for count in 1..20_u32 {
        let from = even(count);
        let to = even_slots(&from, &shards(1..=count + 1)).unwrap();
        let plan = moves(&Placement::Hash(from), &Placement::Hash(to), &[INT]).unwrap();
        assert!(plan.iter().all(|one| one.to == ShardId(count + 1)));
        let moved: usize = plan
            .iter()
            .map(|one| match &one.units {
                Units::Slots(runs) => runs.iter().map(ExactSizeIterator::len).sum(),
                Units::Interval { .. } | Units::Values(_) | Units::OtherValues { .. } => 0,
            })
            .sum();
        assert_eq!(moved, usize::from(SLOTS) / (count as usize + 1), "to {} shards", count + 1);
    }
}

#[test]
fn draining_empties_the_shard_and_moves_nothing_else() {
    let to = even_slots(&even(3), &shards([1, 3])).unwrap();
    let plan = moves(&Placement::Hash(even(3)), &Placement::Hash(to), &[INT]).unwrap();
    assert!(plan.iter().all(|one| one.from == ShardId(2)));
    assert_eq!(plan.len(), 2);
    assert_eq!(even_slots(&even(3), &BTreeSet::new()), Err(PlanError::NoShards));
}

#[test]
fn a_lost_owner_is_refused() {
    let range = |end| Placement::Range(vec![RangeUnit { less_than: end, shard: ShardId(1) }]);
    let lost = Err(PlanError::OwnerLost { from: ShardId(1) });
    assert_eq!(moves(&range(None), &range(Some(key(5))), &[INT]), lost);
    assert_eq!(moves(&range(Some(key(5))), &range(None), &[INT]), Ok(Vec::new()));
    assert_eq!(
        moves(&range(None), &Placement::Hash(even(1)), &[INT]),
        Err(PlanError::FunctionChanges)
    );
}
