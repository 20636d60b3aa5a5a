//! Partial aggregates of the shards become whole ones.

use super::{
    MergeError,
    decimal::{ExactSum, print_average, print_sum},
    distinct::ValueSets,
    double,
    key::{Comparison, Part, compare_parts, double_of, integer_of_bytes, integer_of_text},
    layout::{Domain, Layout, RowFormat},
    row::Row,
};
use shardline_router::plan::{AggregateColumn, MergeFunction};
use std::cmp::Ordering;

/// An [`AggregateColumn`] with the columns' places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aggregate {
    /// The column that is filled.
    pub(crate) column: usize,
    function: Function,
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Count,
    Sum,
    Average {
        sum: usize,
        count: usize,
    },
    Extreme {
        by: Comparison,
        wanted: Ordering,
    },
    /// Of values that are new in the set of this number.
    CountDistinct {
        set: usize,
    },
    SumDistinct {
        set: usize,
        value: usize,
    },
    AverageDistinct {
        set: usize,
        value: usize,
    },
}

/// What is known of one aggregate of one group so far.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Count(i128),
    Sum(Option<Total>),
    Average(Option<Total>, i128),
    Extreme(Option<(Row, Part)>),
}

/// A sum of what was not NULL.
#[derive(Clone, Debug)]
pub(crate) enum Total {
    Exact(ExactSum),
    Double(f64),
}

impl Aggregate {
    /// `sets` gets the values that DISTINCT ones need.
    pub(crate) fn new(
        layout: &Layout,
        aggregate: &AggregateColumn,
        sets: &mut ValueSets,
    ) -> Result<Self, MergeError> {
        let column = layout.index_of(aggregate.column)?;
        let function = match &aggregate.function {
            MergeFunction::SumOfCounts => Function::Count,
            MergeFunction::Sum => Function::Sum,
            MergeFunction::Average { sum, count } => {
                Function::Average { sum: layout.index_of(*sum)?, count: layout.index_of(*count)? }
            }
            MergeFunction::Min { by } => {
                Function::Extreme { by: Comparison::of_column(layout, by)?, wanted: Ordering::Less }
            }
            MergeFunction::Max { by } => Function::Extreme {
                by: Comparison::of_column(layout, by)?,
                wanted: Ordering::Greater,
            },
            MergeFunction::CountDistinct { values } => {
                Function::CountDistinct { set: sets.of(layout, values)? }
            }
            MergeFunction::SumDistinct { value } => Function::SumDistinct {
                set: sets.of(layout, std::slice::from_ref(value))?,
                value: layout.index_of(value.value)?,
            },
            MergeFunction::AverageDistinct { value } => Function::AverageDistinct {
                set: sets.of(layout, std::slice::from_ref(value))?,
                value: layout.index_of(value.value)?,
            },
        };
        Ok(Aggregate { column, function })
    }

    pub(crate) fn start(&self) -> State {
        match self.function {
            Function::Count | Function::CountDistinct { .. } => State::Count(0),
            Function::Sum | Function::SumDistinct { .. } => State::Sum(None),
            Function::Average { .. } | Function::AverageDistinct { .. } => State::Average(None, 0),
            Function::Extreme { .. } => State::Extreme(None),
        }
    }

    /// Add a shard's row to `state`, whose values are `new` in their sets; returns how many
    /// bytes more are kept.
    pub(crate) fn add(
        &self,
        layout: &Layout,
        state: &mut State,
        row: &Row,
        new: &[bool],
    ) -> Result<usize, MergeError> {
        let is_new = |set: usize| new.get(set).copied().unwrap_or_default();
        match (self.function, state) {
            (Function::Count, State::Count(count)) => {
                *count += integer(layout, row, self.column)?.unwrap_or(0);
            }
            (Function::Sum, State::Sum(total)) => add_to(total, layout, row, self.column)?,
            (Function::Average { sum, count }, State::Average(total, counted)) => {
                add_to(total, layout, row, sum)?;
                *counted += integer(layout, row, count)?.unwrap_or(0);
            }
            (Function::Extreme { by, wanted }, State::Extreme(best)) => {
                let part = by.part(layout, row)?;
                let better = match (&part, &best) {
                    (Part::Null, _) => false,
                    (_, None) => true,
                    (_, Some((old, old_part))) => {
                        compare_parts((row, &part), (old, old_part)) == wanted
                    }
                };
                if better {
                    let old = best.take().map_or(0, |(old, _)| old.memory());
                    *best = Some((row.clone().detached(), part));
                    return Ok(row.memory().saturating_sub(old));
                }
            }
            (Function::CountDistinct { set }, State::Count(count)) => {
                *count += i128::from(is_new(set));
            }
            (Function::SumDistinct { set, value }, State::Sum(total)) => {
                if is_new(set) {
                    add_to(total, layout, row, value)?;
                }
            }
            (Function::AverageDistinct { set, value }, State::Average(total, counted)) => {
                if is_new(set) {
                    add_to(total, layout, row, value)?;
                    *counted += 1;
                }
            }
            // `start` makes the state that belongs to the function.
            (
                Function::Count
                | Function::Sum
                | Function::Average { .. }
                | Function::Extreme { .. }
                | Function::CountDistinct { .. }
                | Function::SumDistinct { .. }
                | Function::AverageDistinct { .. },
                State::Count(_) | State::Sum(_) | State::Average(..) | State::Extreme(_),
            ) => debug_assert!(false, "the state is not the function's"),
        }
        Ok(0)
    }

    /// The bytes of the whole aggregate, as the column's type has them; None is NULL.
    pub(crate) fn finish(
        &self,
        layout: &Layout,
        state: State,
    ) -> Result<Option<Vec<u8>>, MergeError> {
        let column = self.column;
        let decimals = layout.columns[column].decimals;
        match state {
            State::Count(count) => number(layout, column, count).map(Some),
            State::Sum(None) | State::Extreme(None) => Ok(None),
            State::Sum(Some(Total::Double(sum))) => Ok(Some(double(layout, column, sum))),
            State::Sum(Some(Total::Exact(sum))) => match layout.columns[column].domain {
                Domain::Integer { .. } => {
                    let text = print_sum(&sum.total(), 0, column)?;
                    let sum = text.parse().map_err(|_| MergeError::OutOfRange { column })?;
                    number(layout, column, sum).map(Some)
                }
                _ => print_sum(&sum.total(), decimals, column).map(|text| Some(text.into_bytes())),
            },
            State::Average(None, _) | State::Average(_, ..=0) => Ok(None),
            State::Average(Some(Total::Double(sum)), count) => {
                Ok(Some(double(layout, column, sum / count as f64)))
            }
            State::Average(Some(Total::Exact(sum)), count) => {
                let count = u64::try_from(count).map_err(|_| MergeError::OutOfRange { column })?;
                let text = print_average(&sum.total(), count, decimals, column)?;
                Ok(text.map(String::into_bytes))
            }
            State::Extreme(Some((row, _))) => Ok(row.value(column).map(<[u8]>::to_vec)),
        }
    }
}

fn add_to(
    total: &mut Option<Total>,
    layout: &Layout,
    row: &Row,
    column: usize,
) -> Result<(), MergeError> {
    let Some(value) = row.value(column) else { return Ok(()) };
    let described = &layout.columns[column];
    match described.domain {
        Domain::Decimal => exact(total, column)?.add_text(value, column),
        Domain::Integer { .. } => {
            let value = integer(layout, row, column)?.unwrap_or(0);
            exact(total, column)?.add(value, 0);
            Ok(())
        }
        Domain::Float | Domain::Double => {
            let value = double_of(value, described.wire, layout.format);
            let value = value.ok_or(MergeError::Value { column })?;
            match total {
                None => *total = Some(Total::Double(value)),
                Some(Total::Double(sum)) => *sum += value,
                Some(Total::Exact(_)) => return Err(MergeError::NotANumber { column }),
            }
            Ok(())
        }
        Domain::Date | Domain::Time | Domain::Bit | Domain::Bytes => {
            Err(MergeError::NotANumber { column })
        }
    }
}

fn exact(total: &mut Option<Total>, column: usize) -> Result<&mut ExactSum, MergeError> {
    match total.get_or_insert_with(|| Total::Exact(ExactSum::default())) {
        Total::Exact(sum) => Ok(sum),
        Total::Double(_) => Err(MergeError::NotANumber { column }),
    }
}

fn integer(layout: &Layout, row: &Row, column: usize) -> Result<Option<i128>, MergeError> {
    let Some(value) = row.value(column) else { return Ok(None) };
    let parsed = match (layout.columns[column].domain, layout.format) {
        (Domain::Integer { unsigned }, RowFormat::Binary) => integer_of_bytes(value, unsigned),
        (Domain::Integer { .. } | Domain::Decimal, _) => integer_of_text(value),
        (
            Domain::Float
            | Domain::Double
            | Domain::Date
            | Domain::Time
            | Domain::Bit
            | Domain::Bytes,
            _,
        ) => {
            return Err(MergeError::NotANumber { column });
        }
    };
    parsed.map(Some).ok_or(MergeError::Value { column })
}

/// The bytes of an integer in `column`.
fn number(layout: &Layout, column: usize, value: i128) -> Result<Vec<u8>, MergeError> {
    let in_range = match layout.columns[column].domain {
        Domain::Integer { unsigned: true } => u64::try_from(value).is_ok(),
        Domain::Integer { unsigned: false } => i64::try_from(value).is_ok(),
        _ => true,
    };
    if !in_range {
        return Err(MergeError::OutOfRange { column });
    }
    match (layout.format, layout.columns[column].domain) {
        (RowFormat::Binary, Domain::Integer { .. }) => {
            let width = match layout.columns[column].wire {
                shardline_wire::value::Layout::Int1 => 1,
                shardline_wire::value::Layout::Int2 => 2,
                shardline_wire::value::Layout::Int4 => 4,
                _ => 8,
            };
            Ok(value.to_le_bytes()[..width].to_vec())
        }
        _ => Ok(value.to_string().into_bytes()),
    }
}

/// The bytes of a double in `column`.
fn double(layout: &Layout, column: usize, value: f64) -> Vec<u8> {
    match layout.format {
        RowFormat::Binary => value.to_le_bytes().to_vec(),
        RowFormat::Text => {
            let mut text = String::new();
            double::print(&mut text, value, layout.columns[column].decimals);
            text.into_bytes()
        }
    }
}
