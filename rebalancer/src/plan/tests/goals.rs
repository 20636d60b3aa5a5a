//! What goals lead to: evenness, little movement, and exactly what was asked for.

use super::*;
use crate::plan::{
    GroupSizes, Piece, Weight,
    goal::{Goal, Measure},
};
use shardline_model::id::GroupId;

fn weight(rows: u64) -> Weight {
    Weight { rows, bytes: rows * 100, load: 0 }
}

/// A list placement of one value a piece.
fn listed(values: &[(u32, u64)]) -> GroupSizes {
    let pieces: Vec<Piece> = (0..)
        .zip(values)
        .map(|(value, (shard, rows))| Piece {
            units: Units::Values(vec![key(value)]),
            owner: ShardId(*shard),
            weight: weight(*rows),
        })
        .collect();
    let values = (0..).zip(values).map(|(value, (shard, _))| (key(value), ShardId(*shard)));
    let placement = Placement::List(ListMap { values: values.collect(), default: None });
    GroupSizes { group: GroupId(1), tables: Vec::new(), key_types: vec![INT], placement, pieces }
}

fn ranges(bounds: &[(i128, u32)], last: u32) -> GroupSizes {
    let mut units: Vec<RangeUnit> = bounds
        .iter()
        .map(|(bound, shard)| RangeUnit { less_than: Some(key(*bound)), shard: ShardId(*shard) })
        .collect();
    units.push(RangeUnit { less_than: None, shard: ShardId(last) });
    let mut start = None;
    let pieces = units.iter().map(|unit| {
        let from = std::mem::replace(&mut start, unit.less_than.clone());
        let units = Units::Interval { start: from, end: unit.less_than.clone() };
        Piece { units, owner: unit.shard, weight: weight(10) }
    });
    let pieces = pieces.collect();
    let placement = Placement::Range(units);
    GroupSizes { group: GroupId(1), tables: Vec::new(), key_types: vec![INT], placement, pieces }
}

fn rows_by_shard(sizes: &GroupSizes, placement: &Placement) -> BTreeMap<ShardId, u64> {
    let mut sums = BTreeMap::new();
    for piece in &sizes.pieces {
        let Units::Values(keys) = &piece.units else { panic!("values") };
        let owner = placement.owner(&keys[0], &sizes.key_types).unwrap();
        *sums.entry(owner).or_default() += piece.weight.rows;
    }
    sums
}

fn moved(goal: &Goal, sizes: &GroupSizes) -> Vec<Move> {
    moves(&sizes.placement, &goal.placement(sizes).unwrap(), &sizes.key_types).unwrap()
}

proptest! {
    #[test]
    fn rows_are_evened_out_with_little_movement(
        values in vec((1_u32..5, 0_u64..1_000), 1..60),
        count in 1_u32..6,
    ) {
        let sizes = listed(&values);
        let goal = Goal::Even { onto: shards(1..=count), by: Measure::Rows };
        let placement = goal.placement(&sizes).unwrap();
        let sums = rows_by_shard(&sizes, &placement);
        let total: u64 = values.iter().map(|(_, rows)| rows).sum();
        let heaviest = values.iter().map(|(_, rows)| *rows).max().unwrap();
        let share = total / u64::from(count);
        for (shard, sum) in &sums {
            prop_assert!(shard.0 <= count || *sum == 0, "{shard} keeps {sum}");
            prop_assert!(*sum <= share + heaviest.max(share / 20) + 1, "{shard} has {sum} of {share}");
        }
        // Nothing moves but what was too much somewhere.
        let before = rows_by_shard(&sizes, &sizes.placement);
        let surplus: u64 = before
            .iter()
            .map(|(shard, sum)| if shard.0 <= count { sum.saturating_sub(share) } else { *sum })
            .sum();
        let gone: u64 = moved(&goal, &sizes).iter().map(|one| sizes.weight_of(&one.units).rows).sum();
        prop_assert!(gone <= surplus + heaviest * 5, "{gone} of {surplus}");
    }

    #[test]
    fn growing_by_rows_moves_the_new_ones_share(count in 1_u32..6, each in 8_usize..40) {
        let values: Vec<(u32, u64)> =
            (0..count as usize * each).map(|at| (at as u32 / each as u32 + 1, 10)).collect();
        let sizes = listed(&values);
        let goal = Goal::Even { onto: shards(1..=count + 1), by: Measure::Rows };
        let all = moved(&goal, &sizes);
        prop_assert!(all.iter().all(|one| one.to == ShardId(count + 1)));
        let gone: u64 = all.iter().map(|one| sizes.weight_of(&one.units).rows).sum();
        let share = values.len() as u64 * 10 / u64::from(count + 1);
        prop_assert!(gone.abs_diff(share) <= 10 * u64::from(count), "{gone} of {share}");
    }

    #[test]
    fn a_drained_shard_is_empty_and_others_keep_theirs(
        values in vec((1_u32..5, 0_u64..1_000), 1..60),
        leaving in 1_u32..5,
    ) {
        let sizes = listed(&values);
        let onto = shards((1..5).filter(|id| *id != leaving));
        let goal = Goal::Drain { shard: ShardId(leaving), onto };
        prop_assert!(!goal.placement(&sizes).unwrap().shards().contains(&ShardId(leaving)));
        prop_assert!(moved(&goal, &sizes).iter().all(|one| one.from == ShardId(leaving)));
    }
}

#[test]
fn ranges_are_split_and_merged() {
    let sizes = ranges(&[(0, 1), (100, 2)], 3);
    let split = Goal::Split { at: key(40), to: ShardId(4) };
    let interval = |start: Option<i128>, end: Option<i128>| Units::Interval {
        start: start.map(key),
        end: end.map(key),
    };
    let expected = Move { units: interval(Some(40), Some(100)), from: ShardId(2), to: ShardId(4) };
    assert_eq!(moved(&split, &sizes), [expected]);
    let merge = Goal::Merge { at: key(50) };
    let expected = Move { units: interval(Some(0), Some(100)), from: ShardId(2), to: ShardId(1) };
    assert_eq!(moved(&merge, &sizes), [expected]);
    let lowest = Goal::Merge { at: key(-5) };
    assert_eq!(lowest.placement(&sizes), Err(PlanError::NothingBelow));
}

#[test]
fn one_key_is_isolated() {
    let sizes = ranges(&[(0, 1)], 2);
    let goal = Goal::Isolate { key: key(7), to: ShardId(3) };
    let units = Units::Interval { start: Some(key(7)), end: Some(key(8)) };
    assert_eq!(moved(&goal, &sizes), [Move { units, from: ShardId(2), to: ShardId(3) }]);
    let goal = Goal::Isolate { key: key(1), to: ShardId(3) };
    let list = listed(&[(1, 5), (2, 5)]);
    let units = Units::Values(vec![key(1)]);
    assert_eq!(moved(&goal, &list), [Move { units, from: ShardId(2), to: ShardId(3) }]);
    let placement = Placement::Hash(even(2));
    let hash = GroupSizes { placement, pieces: Vec::new(), ..list };
    let [one] = moved(&goal, &hash).try_into().unwrap();
    let Units::Slots(runs) = &one.units else { panic!("slots") };
    assert_eq!(runs.iter().map(ExactSizeIterator::len).sum::<usize>(), 1);
    assert!(one.units.contains(&key(1), &[INT]));
}

#[test]
fn what_another_function_has_is_refused() {
    let sizes = listed(&[(1, 5)]);
    let split = Goal::Split { at: key(1), to: ShardId(2) };
    assert!(split.placement(&sizes).unwrap_err().to_string().contains("RANGE"));
    let units = Units::Slots(std::iter::once(0..5).collect());
    let slots = Goal::Move { units, to: ShardId(2) };
    assert!(matches!(slots.placement(&sizes), Err(PlanError::Units(_))));
}
