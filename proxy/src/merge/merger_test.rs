//! Merged shards are one table: rows are made, spread over shards, prepared as the shards
//! would (sorted, or grouped), merged in any order of arrival, and compared with the same
//! work done on one table by native types. In both protocols.

use super::{test_rows::*, *};
use bytes::Bytes;
use proptest::prelude::*;
use shardline_router::plan::{
    AggregateColumn, Grouping, Merge, MergeFunction, OrderKey, SortColumn,
};
use shardline_wire::{
    column::{ColumnDefinition, UNSIGNED},
    temporal::DateTime,
    value::ColumnType,
};
use std::cmp::Ordering;

fn cells(kind: ColumnType, unsigned: bool) -> BoxedStrategy<Cell> {
    let some = match (kind, unsigned) {
        (ColumnType::LongLong, true) => {
            prop_oneof![any::<u64>(), 0..5_u64].prop_map(Cell::UInt).boxed()
        }
        (ColumnType::LongLong, false) => {
            prop_oneof![any::<i64>(), -3..3_i64].prop_map(Cell::Int).boxed()
        }
        (ColumnType::NewDecimal, _) => {
            prop_oneof![-(10_i128.pow(24))..10_i128.pow(24), -30_000..30_000_i128]
                .prop_map(Cell::Decimal)
                .boxed()
        }
        (ColumnType::Double, _) => {
            prop_oneof![-1e300..1e300_f64, -2.0..2.0_f64].prop_map(Cell::Double).boxed()
        }
        (ColumnType::DateTime, _) => {
            let day = (0..10_000_u16, 0..13_u8, 0..32_u8);
            let clock = (0..24_u8, 0..60_u8, 0..60_u8, prop_oneof![Just(0), 0..1_000_000_u32]);
            (day, clock)
                .prop_map(|((year, month, day), (hour, minute, second, micros))| {
                    Cell::Date(DateTime { year, month, day, hour, minute, second, micros })
                })
                .boxed()
        }
        (ColumnType::Time, _) => prop_oneof![
            -3_020_399_000_000..3_020_399_000_000_i64,
            (-50_000..50_000_i64).prop_map(|seconds| seconds * 1_000_000),
        ]
        .prop_map(Cell::Time)
        .boxed(),
        _ => "[aAbB ]{0,4}".prop_map(Cell::Text).boxed(),
    };
    prop_oneof![1 => Just(Cell::Null), 8 => some].boxed()
}

fn kinds() -> impl Strategy<Value = (ColumnType, bool)> {
    prop::sample::select(vec![
        (ColumnType::LongLong, true),
        (ColumnType::LongLong, false),
        (ColumnType::NewDecimal, false),
        (ColumnType::Double, false),
        (ColumnType::DateTime, false),
        (ColumnType::Time, false),
        (ColumnType::VarString, false),
    ])
}

fn formats() -> impl Strategy<Value = RowFormat> {
    prop::sample::select(vec![RowFormat::Text, RowFormat::Binary])
}

/// Column 0 is the value with its weight and pad hidden behind the visible columns.
fn sort_column() -> SortColumn {
    SortColumn {
        value: ColumnRef::Visible(0),
        weight: Some(ColumnRef::Hidden(0)),
        pad: Some(ColumnRef::Hidden(1)),
    }
}

/// Visible: the value, and the row's number. Hidden: weight and pad.
fn sorted_table(kind: ColumnType, unsigned: bool) -> Vec<ColumnDefinition> {
    let mut value = definition(kind);
    value.flags = if unsigned { UNSIGNED } else { 0 };
    vec![value, ColumnDefinition::integer("n", true), blob(), blob()]
}

type Spread = Vec<(Cell, usize)>;

fn spread() -> impl Strategy<Value = ((ColumnType, bool), Spread, RowFormat, Vec<usize>)> {
    (kinds(), formats(), prop::collection::vec(0..7_usize, 1..8)).prop_flat_map(
        |(kind, format, picks)| {
            let rows = prop::collection::vec((cells(kind.0, kind.1), 0..4_usize), 0..40);
            (Just(kind), rows, Just(format), Just(picks))
        },
    )
}

fn shards_of(
    definitions: &[ColumnDefinition],
    format: RowFormat,
    rows: &[(Cell, usize)],
    sorted: impl Fn(&Cell, &Cell) -> Ordering,
) -> Vec<Vec<Bytes>> {
    let shard = |shard: usize| {
        let mut mine: Vec<_> =
            rows.iter().enumerate().filter(|(_, (_, place))| *place == shard).collect();
        mine.sort_by(|(_, (one, _)), (_, (other, _))| sorted(one, other));
        let row = |(number, (cell, _)): &(usize, &(Cell, usize))| {
            let cells = [cell.clone(), Cell::UInt(*number as u64), weight(cell), pad()];
            payload(definitions, format, &cells)
        };
        mine.iter().map(row).collect()
    };
    (0..4).map(shard).collect()
}

proptest! {
    #[test]
    fn sorted_shards_are_one_sorted_table(
        (kind, rows, format, picks) in spread(),
        descending: bool,
        offset in 0..6_u64,
        limit in prop::option::of(0..20_u64),
    ) {
        let directed = |one: &Cell, other: &Cell| {
            if descending { order(other, one) } else { order(one, other) }
        };
        let definitions = sorted_table(kind.0, kind.1);
        let shards = shards_of(&definitions, format, &rows, directed);
        let order_by = vec![OrderKey { column: sort_column(), descending }];
        let plan = Merge { hidden: 2, order_by, offset, limit, ..Merge::default() };
        let merged = run(&plan, format, &definitions, &shards, &picks, NO_LIMITS).unwrap();
        let mut all: Vec<_> = rows.iter().map(|(cell, _)| cell).collect();
        all.sort_by(|one, other| directed(one, other));
        let wanted = all.into_iter().skip(offset as usize).take(limit.unwrap_or(99) as usize);
        let wanted: Vec<_> = wanted.collect();
        prop_assert_eq!(merged.len(), wanted.len());
        let mut seen = Vec::new();
        for (row, wanted) in merged.iter().zip(wanted) {
            let texts = texts(&definitions[..2], format, row);
            let number: usize = texts[1].clone().unwrap().parse().unwrap();
            // The same place in the order, and the row is the one of its number.
            prop_assert_eq!(order(&rows[number].0, wanted), Ordering::Equal);
            let text = rows[number].0.text().map(|text| String::from_utf8(text).unwrap());
            prop_assert_eq!(&texts[0], &text);
            seen.push(number);
        }
        seen.sort_unstable();
        prop_assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "a row came twice");
    }

    #[test]
    fn distinct_gives_each_value_once(
        (kind, rows, format, picks) in spread(),
        ordered: bool,
    ) {
        let definitions = sorted_table(kind.0, kind.1);
        let shards = shards_of(&definitions, format, &rows, |_, _| Ordering::Equal);
        let order_by = if ordered { vec![OrderKey { column: sort_column(), descending: false }] } else { vec![] };
        let plan = Merge { hidden: 2, distinct: Some(vec![sort_column()]), order_by, ..Merge::default() };
        let merged = run(&plan, format, &definitions, &shards, &picks, NO_LIMITS).unwrap();
        let mut found: Vec<_> = merged
            .iter()
            .map(|row| {
                let number: usize = texts(&definitions[..2], format, row)[1].clone().unwrap().parse().unwrap();
                &rows[number].0
            })
            .collect();
        if !ordered {
            found.sort_by(|one, other| order(one, other));
        }
        let mut wanted: Vec<_> = rows.iter().map(|(cell, _)| cell).collect();
        wanted.sort_by(|one, other| order(one, other));
        wanted.dedup_by(|one, other| order(one, other) == Ordering::Equal);
        prop_assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            prop_assert_eq!(order(found, wanted), Ordering::Equal);
        }
    }
}

/// A row of the table that is grouped: key, integer, decimal, double (a whole number, so
/// that sums do not depend on their order).
type Fact = (Cell, Option<i64>, Option<i128>, Option<i32>);

/// Visible: key, COUNT, SUM(decimal), AVG(decimal), MIN, MAX, SUM(double), AVG(double).
/// Hidden: weight, pad, SUM(decimal), COUNT(decimal), SUM(double), COUNT(double).
fn grouped_table() -> Vec<ColumnDefinition> {
    let decimal = |decimals| ColumnDefinition { decimals, ..definition(ColumnType::NewDecimal) };
    let count = || ColumnDefinition::integer("n", false);
    let (scale, double) = (SCALE as u8, || definition(ColumnType::Double));
    vec![
        definition(ColumnType::VarString),
        count(),
        decimal(scale),
        decimal(scale + 4),
        count(),
        count(),
        double(),
        double(),
        blob(),
        blob(),
        decimal(scale),
        count(),
        double(),
        count(),
    ]
}

/// What a server answers for one group.
fn aggregate(facts: &[&Fact]) -> Vec<Cell> {
    let integers: Vec<i64> = facts.iter().filter_map(|fact| fact.1).collect();
    let decimals: Vec<i128> = facts.iter().filter_map(|fact| fact.2).collect();
    let doubles: Vec<f64> = facts.iter().filter_map(|fact| fact.3).map(f64::from).collect();
    let some = |empty: bool, cell: Cell| if empty { Cell::Null } else { cell };
    let sum: i128 = decimals.iter().sum();
    let total: f64 = doubles.iter().sum();
    let average = if decimals.is_empty() {
        Cell::Null
    } else {
        // Nine digits are computed, eight are shown.
        let computed = sum * 100_000 / decimals.len() as i128;
        let rounded = (computed.abs() + 5) / 10 * computed.signum();
        Cell::Text(decimal_text(rounded, SCALE + 4))
    };
    let extreme = |value: Option<&i64>| value.map_or(Cell::Null, |value| Cell::Int(*value));
    let key = facts.first().map_or(Cell::Null, |fact| fact.0.clone());
    vec![
        key.clone(),
        Cell::Int(facts.len() as i64),
        some(decimals.is_empty(), Cell::Decimal(sum)),
        average,
        extreme(integers.iter().min()),
        extreme(integers.iter().max()),
        some(doubles.is_empty(), Cell::Double(total)),
        some(doubles.is_empty(), Cell::Double(total / doubles.len() as f64)),
        weight(&key),
        pad(),
        some(decimals.is_empty(), Cell::Decimal(sum)),
        Cell::Int(decimals.len() as i64),
        some(doubles.is_empty(), Cell::Double(total)),
        Cell::Int(doubles.len() as i64),
    ]
}

/// Groups in the order of their keys.
fn groups<'a>(facts: impl Iterator<Item = &'a Fact>, by_key: bool) -> Vec<Vec<&'a Fact>> {
    let mut facts: Vec<_> = facts.collect();
    if !by_key {
        return vec![facts];
    }
    facts.sort_by(|one, other| order(&one.0, &other.0));
    let groups = facts.chunk_by(|one, other| order(&one.0, &other.0) == Ordering::Equal);
    groups.map(<[_]>::to_vec).collect()
}

fn grouping(by_key: bool) -> Grouping {
    let visible = ColumnRef::Visible;
    let hidden = ColumnRef::Hidden;
    let plain = |value| SortColumn { value, weight: None, pad: None };
    let column = |column, function| AggregateColumn { column: visible(column), function };
    let key = SortColumn { value: visible(0), weight: Some(hidden(0)), pad: Some(hidden(1)) };
    Grouping {
        keys: if by_key { vec![key] } else { vec![] },
        aggregates: vec![
            column(1, MergeFunction::SumOfCounts),
            column(2, MergeFunction::Sum),
            column(3, MergeFunction::Average { sum: hidden(2), count: hidden(3) }),
            column(4, MergeFunction::Min { by: plain(visible(4)) }),
            column(5, MergeFunction::Max { by: plain(visible(5)) }),
            column(6, MergeFunction::Sum),
            column(7, MergeFunction::Average { sum: hidden(4), count: hidden(5) }),
        ],
        one_row: false,
    }
}

proptest! {
    #[test]
    fn grouped_shards_are_one_grouped_table(
        facts in prop::collection::vec(
            (
                (
                    cells(ColumnType::VarString, false),
                    prop::option::of(-5..100_i64),
                    prop::option::of(-(10_i128.pow(20))..10_i128.pow(20)),
                    prop::option::of(any::<i32>()),
                ),
                0..3_usize,
            ),
            0..40,
        ),
        format in formats(),
        by_key: bool,
        picks in prop::collection::vec(0..7_usize, 1..8),
    ) {
        let definitions = grouped_table();
        let shards: Vec<Vec<Bytes>> = (0..3)
            .map(|shard| {
                let mine = facts.iter().filter(|(_, place)| *place == shard).map(|(fact, _)| fact);
                let groups = groups(mine, by_key);
                groups.iter().map(|group| payload(&definitions, format, &aggregate(group))).collect()
            })
            .collect();
        let key = grouping(true).keys[0];
        let order_by = vec![OrderKey { column: key, descending: false }];
        let plan = Merge { hidden: 6, grouping: Some(grouping(by_key)), order_by, ..Merge::default() };
        let merged = run(&plan, format, &definitions, &shards, &picks, NO_LIMITS).unwrap();
        let wanted = groups(facts.iter().map(|(fact, _)| fact), by_key);
        prop_assert_eq!(merged.len(), wanted.len());
        for (row, wanted) in merged.iter().zip(wanted) {
            let found = texts(&definitions[..8], format, row);
            let cells = aggregate(&wanted);
            let expected: Vec<_> =
                cells.iter().map(|cell| cell.text().map(|text| String::from_utf8(text).unwrap())).collect();
            prop_assert_eq!(&found[1..8], &expected[1..8]);
            let key = found[0].clone().map_or(Cell::Null, Cell::Text);
            if by_key {
                prop_assert_eq!(order(&key, &cells[0]), Ordering::Equal);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        rows in prop::collection::vec((0..2_usize, prop::collection::vec(any::<u8>(), 0..60)), 0..10),
        format in formats(),
    ) {
        let definitions = grouped_table();
        let plain = SortColumn { value: ColumnRef::Visible(3), weight: Some(ColumnRef::Hidden(0)), pad: None };
        let order_by = vec![OrderKey { column: plain, descending: true }];
        for grouping in [None, Some(grouping(true))] {
            let plan = Merge { hidden: 6, grouping, order_by: order_by.clone(), ..Merge::default() };
            let shard = |shard| rows.iter().filter(|(place, _)| *place == shard)
                .map(|(_, row)| Bytes::from(row.clone())).collect::<Vec<_>>();
            let _ = run(&plan, format, &definitions, &[shard(0), shard(1)], &[0, 1], NO_LIMITS);
        }
    }
}

fn numbers(format: RowFormat, numbers: &[u64]) -> Vec<Bytes> {
    let definitions = [ColumnDefinition::integer("n", true)];
    numbers.iter().map(|number| payload(&definitions, format, &[Cell::UInt(*number)])).collect()
}

fn one_column(order_by: bool, distinct: bool) -> Merge {
    let column = SortColumn { value: ColumnRef::Visible(0), weight: None, pad: None };
    Merge {
        order_by: if order_by { vec![OrderKey { column, descending: false }] } else { vec![] },
        distinct: distinct.then(|| vec![column]),
        ..Merge::default()
    }
}

#[test]
fn a_limit_stops_before_the_shards_are_read() {
    let definitions = [ColumnDefinition::integer("n", true)];
    let plan = Merge { limit: Some(2), ..one_column(true, false) };
    let mut merger = Merger::new(&plan, RowFormat::Text, 2, NO_LIMITS);
    assert_eq!(merger.step(), Ok(Step::Need(Wanted::Any)));
    merger.columns(0, &definitions).unwrap();
    assert_eq!(merger.step(), Ok(Step::Need(Wanted::Source(0))));
    let rows = numbers(RowFormat::Text, &[1, 2, 9]);
    assert_eq!(merger.push(1, rows[2].clone()), Err(MergeError::OutOfTurn { source_index: 1 }));
    merger.columns(1, &definitions).unwrap();
    merger.push(0, rows[0].clone()).unwrap();
    assert_eq!(merger.step(), Ok(Step::Need(Wanted::Source(1))));
    merger.push(1, rows[2].clone()).unwrap();
    assert_eq!(merger.step(), Ok(Step::Row(rows[0].clone())));
    assert_eq!(merger.step(), Ok(Step::Need(Wanted::Source(0))));
    merger.push(0, rows[1].clone()).unwrap();
    assert_eq!(merger.step(), Ok(Step::Row(rows[1].clone())));
    assert_eq!(merger.step(), Ok(Step::Done));
}

#[test]
fn limits_of_memory_are_named() {
    let definitions = [ColumnDefinition::integer("n", true)];
    let shards = [numbers(RowFormat::Text, &[1, 2, 3]), numbers(RowFormat::Text, &[1, 4])];
    let plan = one_column(false, true);
    let limits = MergeLimits { rows_max: 3, bytes_max: usize::MAX };
    let merged = run(&plan, RowFormat::Text, &definitions, &shards, &[0], limits);
    assert_eq!(merged, Err(MergeError::TooManyRows { limit: 3 }));
    let limits = MergeLimits { rows_max: 100, bytes_max: 200 };
    let merged = run(&plan, RowFormat::Text, &definitions, &shards, &[0], limits);
    assert_eq!(merged, Err(MergeError::TooManyBytes { limit: 200 }));
}

#[test]
fn shards_that_disagree_are_refused() {
    let definitions = [ColumnDefinition::integer("n", true)];
    let mut merger = Merger::new(&one_column(true, false), RowFormat::Text, 2, NO_LIMITS);
    merger.columns(0, &definitions).unwrap();
    let other = merger.columns(1, &[ColumnDefinition::text("n", 5)]);
    assert_eq!(other, Err(MergeError::ColumnsDiffer { source_index: 1 }));
    let unsorted = [numbers(RowFormat::Binary, &[2, 1]), vec![]];
    let merged =
        run(&one_column(true, false), RowFormat::Binary, &definitions, &unsorted, &[0], NO_LIMITS);
    assert_eq!(merged, Err(MergeError::NotSorted { source_index: 0 }));
}

#[test]
fn without_group_by_an_empty_shard_gives_way() {
    let definitions = [ColumnDefinition::text("name", 10), ColumnDefinition::integer("n", false)];
    let row = |name: Cell, count| payload(&definitions, RowFormat::Text, &[name, Cell::Int(count)]);
    let shards = [vec![row(Cell::Null, 0)], vec![row(Cell::Text("x".into()), 3)]];
    let count =
        AggregateColumn { column: ColumnRef::Visible(1), function: MergeFunction::SumOfCounts };
    let grouping = Grouping { keys: vec![], aggregates: vec![count], one_row: true };
    let plan = Merge { grouping: Some(grouping), ..Merge::default() };
    let merged = run(&plan, RowFormat::Text, &definitions, &shards, &[0], NO_LIMITS).unwrap();
    assert_eq!(merged, [row(Cell::Text("x".into()), 3)]);
}

/// A shard's groups of `(g, x)` with their counts and sums, which are cut by `x`.
fn cut_plan(one_row: bool) -> Merge {
    let plain = |value| SortColumn { value, weight: None, pad: None };
    let x = plain(ColumnRef::Hidden(0));
    let column = |index, function| AggregateColumn { column: ColumnRef::Visible(index), function };
    let aggregates = vec![
        column(1, MergeFunction::CountDistinct { values: vec![x] }),
        column(2, MergeFunction::SumDistinct { value: x }),
        column(3, MergeFunction::AverageDistinct { value: x }),
        column(4, MergeFunction::SumOfCounts),
        column(5, MergeFunction::CountDistinct { values: vec![x, plain(ColumnRef::Hidden(1))] }),
    ];
    let keys = if one_row { vec![] } else { vec![plain(ColumnRef::Visible(0))] };
    let grouping = Grouping { keys, aggregates, one_row };
    Merge { hidden: 2, grouping: Some(grouping), ..Merge::default() }
}

fn cut_columns() -> Vec<ColumnDefinition> {
    let mut decimal = definition(ColumnType::NewDecimal);
    decimal.decimals = 4;
    let integer = |name| ColumnDefinition::integer(name, false);
    let counts = [integer("g"), integer("count")];
    let sums = [decimal.clone(), decimal];
    let rest = [integer("rows"), integer("pairs"), integer("x"), integer("y")];
    counts.into_iter().chain(sums).chain(rest).collect()
}

#[test]
fn a_value_of_two_shards_counts_once() {
    let definitions = cut_columns();
    for format in [RowFormat::Text, RowFormat::Binary] {
        let row = |g: Cell, x: Cell, rows: i64, y: Cell| {
            let any = Cell::Decimal(777);
            let cells = [g, Cell::Int(5), any.clone(), any, Cell::Int(rows), Cell::Int(5), x, y];
            payload(&definitions, format, &cells)
        };
        let int = Cell::Int;
        let shards = [
            vec![row(int(1), int(3), 2, int(1)), row(int(1), Cell::Null, 4, int(1))],
            vec![row(int(1), int(3), 1, int(2)), row(Cell::Null, int(3), 1, Cell::Null)],
            vec![row(int(1), int(8), 1, Cell::Null), row(int(1), int(3), 1, int(1))],
        ];
        let merged = |plan: &Merge, shards: &[Vec<Bytes>]| {
            run(plan, format, &definitions, shards, &[0, 2], NO_LIMITS).unwrap()
        };
        let whole = |g: Cell, count: i64, sum: Cell, average: Cell, rows: i64, pairs: i64| {
            let cells = [g, Cell::Int(count), sum, average, Cell::Int(rows), Cell::Int(pairs)];
            payload(&definitions[..6], format, &cells)
        };
        let decimal = |value: i128| Cell::Decimal(value * 10_000);
        let mut groups = merged(&cut_plan(false), &shards);
        let mut expected = vec![
            whole(int(1), 2, decimal(11), Cell::Decimal(55_000), 9, 2),
            whole(Cell::Null, 1, decimal(3), decimal(3), 1, 0),
        ];
        groups.sort();
        expected.sort();
        assert_eq!(groups, expected);
        assert_eq!(merged(&cut_plan(true), &shards).len(), 1);
        let nothing = merged(&cut_plan(true), &[vec![], vec![], vec![]]);
        assert_eq!(nothing, [whole(Cell::Null, 0, Cell::Null, Cell::Null, 0, 0)]);
        assert!(merged(&cut_plan(false), &[vec![], vec![]]).is_empty());
    }
}
