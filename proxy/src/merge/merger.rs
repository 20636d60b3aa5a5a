//! The merge of one statement's results, step by step: [`Merger::step`] gives the next
//! row or says from which shard a row must come first.

use super::{
    Budget, MergeError, MergeLimits,
    distinct::Distinct,
    group::Groups,
    key::{Comparison, Key, compare, key_of},
    layout::{Layout, RowFormat},
    ordered::Ordered,
    row::Row,
};
use bytes::Bytes;
use shardline_router::plan::Merge;
use shardline_wire::column::ColumnDefinition;
use std::collections::VecDeque;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A row for the client: the payload of its packet.
    Row(Bytes),
    /// A row or the end of a shard is needed first.
    Need(Wanted),
    /// There are no more rows. Shards that have not ended are not needed any more.
    Done,
}

/// Which shard's row is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This one's. Rows of others may be given too; they are kept until they are needed.
    Source(usize),
    /// Any that has not ended.
    Any,
}

/// One shard's result.
#[derive(Debug, Default)]
struct Source {
    rows: VecDeque<Bytes>,
    has_columns: bool,
    ended: bool,
}

/// What happens to the rows.
#[derive(Debug)]
enum Stage {
    /// Nothing is known of the columns yet.
    Start,
    /// Rows go through as they come, without doubles if so wished.
    Pass(Option<Distinct>),
    /// Sorted rows are merged.
    Ordered(Ordered),
    /// Everything must be read first.
    Collect(Box<Collect>),
    /// What was collected is given out.
    GiveOut(std::vec::IntoIter<Row>),
}

#[derive(Debug)]
struct Collect {
    groups: Option<Groups>,
    distinct: Option<Distinct>,
    order_by: Vec<Comparison>,
    rows: Vec<Row>,
}

/// Merges the results of one statement.
#[derive(Debug)]
pub struct Merger {
    plan: Merge,
    format: RowFormat,
    definitions: Option<Box<[ColumnDefinition]>>,
    layout: Option<Layout>,
    sources: Vec<Source>,
    stage: Stage,
    budget: Budget,
    skip: u64,
    left: u64,
}

impl Merger {
    /// A merge of `sources` results, which are numbered from 0 in the plan's order.
    pub fn new(plan: &Merge, format: RowFormat, sources: usize, limits: MergeLimits) -> Self {
        Merger {
            plan: plan.clone(),
            format,
            definitions: None,
            layout: None,
            sources: std::iter::repeat_with(Source::default).take(sources).collect(),
            stage: Stage::Start,
            budget: Budget::new(limits),
            skip: plan.offset,
            left: plan.limit.unwrap_or(u64::MAX),
        }
    }

    /// The column definitions of a source; they come before its rows.
    ///
    /// # Errors
    /// When they do not fit the plan or those of the first source.
    pub fn columns(
        &mut self,
        source: usize,
        definitions: &[ColumnDefinition],
    ) -> Result<(), MergeError> {
        let layout = Layout::new(self.format, definitions, self.plan.hidden)?;
        match &self.layout {
            Some(first) if !first.agrees_with(&layout) => {
                return Err(MergeError::ColumnsDiffer { source_index: source });
            }
            Some(_) => {}
            None => {
                self.stage = self.first_stage(&layout)?;
                self.definitions = Some(definitions[..layout.visible].into());
                self.layout = Some(layout);
            }
        }
        self.source(source)?.has_columns = true;
        Ok(())
    }

    /// The client's columns, once any source's are known.
    pub fn visible_columns(&self) -> Option<&[ColumnDefinition]> {
        self.definitions.as_deref()
    }

    /// A row of a source: the payload of its packet. The driver bounds how many rows it
    /// gives before it calls [`Merger::step`] again.
    ///
    /// # Errors
    /// When the source has ended or its columns did not come.
    pub fn push(&mut self, source: usize, row: Bytes) -> Result<(), MergeError> {
        let place = self.source(source)?;
        if place.ended || !place.has_columns {
            return Err(MergeError::OutOfTurn { source_index: source });
        }
        place.rows.push_back(row);
        Ok(())
    }

    /// A source has no more rows.
    ///
    /// # Errors
    /// When there is no such source.
    pub fn end(&mut self, source: usize) -> Result<(), MergeError> {
        self.source(source)?.ended = true;
        Ok(())
    }

    /// The next row, or what is needed for it.
    ///
    /// # Errors
    /// When rows cannot be read or do not fit into the limits; the merge is over then.
    pub fn step(&mut self) -> Result<Step, MergeError> {
        while self.left > 0 {
            let step = self.next_row()?;
            match step {
                Step::Row(_) if self.skip > 0 => self.skip -= 1,
                Step::Row(_) => {
                    self.left -= 1;
                    return Ok(step);
                }
                Step::Need(_) | Step::Done => return Ok(step),
            }
        }
        Ok(Step::Done)
    }

    fn source(&mut self, source: usize) -> Result<&mut Source, MergeError> {
        self.sources.get_mut(source).ok_or(MergeError::OutOfTurn { source_index: source })
    }

    fn first_stage(&self, layout: &Layout) -> Result<Stage, MergeError> {
        let order_by = self.plan.order_by.iter().map(|key| Comparison::of_order(layout, key));
        let order_by = order_by.collect::<Result<Vec<_>, _>>()?;
        let distinct = match &self.plan.distinct {
            Some(columns) => {
                let keys = columns.iter().map(|column| Comparison::of_column(layout, column));
                Some(Distinct::new(keys.collect::<Result<_, _>>()?))
            }
            None => None,
        };
        let groups = match &self.plan.grouping {
            Some(grouping) => Some(Groups::new(layout, grouping)?),
            None => None,
        };
        Ok(match (groups, distinct, order_by.is_empty()) {
            (None, distinct, true) => Stage::Pass(distinct),
            (None, None, false) => Stage::Ordered(Ordered::new(order_by, self.sources.len())),
            (groups, distinct, _) => {
                Stage::Collect(Box::new(Collect { groups, distinct, order_by, rows: Vec::new() }))
            }
        })
    }

    fn next_row(&mut self) -> Result<Step, MergeError> {
        let Some(layout) = &self.layout else { return Ok(any_or_done(&self.sources)) };
        loop {
            match &mut self.stage {
                Stage::Start => return Ok(any_or_done(&self.sources)),
                Stage::Pass(distinct) => {
                    let Some(payload) = next_of_any(&mut self.sources) else {
                        return Ok(any_or_done(&self.sources));
                    };
                    let row = Row::parse(payload, layout)?;
                    let wanted = match distinct {
                        Some(distinct) => distinct.is_new(layout, &row, &mut self.budget)?,
                        None => true,
                    };
                    if wanted {
                        return Ok(Step::Row(row.visible(layout)));
                    }
                }
                Stage::Ordered(ordered) => {
                    if let Some(source) = ordered.missing() {
                        let place = &mut self.sources[source];
                        match place.rows.pop_front() {
                            Some(payload) => {
                                ordered.arrived(layout, Row::parse(payload, layout)?)?
                            }
                            None if place.ended => ordered.source_ended(),
                            None => return Ok(Step::Need(Wanted::Source(source))),
                        }
                    } else {
                        return Ok(ordered.take(layout).map_or(Step::Done, Step::Row));
                    }
                }
                Stage::Collect(collect) => {
                    if let Some(payload) = next_of_any(&mut self.sources) {
                        collect.add(layout, Row::parse(payload, layout)?, &mut self.budget)?;
                    } else if self.sources.iter().all(|source| source.ended) {
                        let rows = collect.finish(layout, &mut self.budget)?;
                        self.stage = Stage::GiveOut(rows.into_iter());
                    } else {
                        return Ok(Step::Need(Wanted::Any));
                    }
                }
                Stage::GiveOut(rows) => {
                    return Ok(rows
                        .next()
                        .map_or(Step::Done, |row| Step::Row(row.visible(layout))));
                }
            }
        }
    }
}

fn next_of_any(sources: &mut [Source]) -> Option<Bytes> {
    sources.iter_mut().find_map(|source| source.rows.pop_front())
}

fn any_or_done(sources: &[Source]) -> Step {
    let all_ended = sources.iter().all(|source| source.ended);
    if all_ended { Step::Done } else { Step::Need(Wanted::Any) }
}

impl Collect {
    fn add(&mut self, layout: &Layout, row: Row, budget: &mut Budget) -> Result<(), MergeError> {
        match (&mut self.groups, &mut self.distinct) {
            (Some(groups), _) => groups.add(layout, row, budget),
            (None, distinct) => {
                let wanted = match distinct {
                    Some(distinct) => distinct.is_new(layout, &row, budget)?,
                    None => true,
                };
                if wanted {
                    budget.keep_bytes(row.memory())?;
                    self.rows.push(row.detached());
                }
                Ok(())
            }
        }
    }

    fn finish(&mut self, layout: &Layout, budget: &mut Budget) -> Result<Vec<Row>, MergeError> {
        let rows = match self.groups.take() {
            Some(groups) => {
                let mut kept = Vec::new();
                for row in groups.finish(layout)? {
                    let wanted = match &mut self.distinct {
                        Some(distinct) => distinct.is_new(layout, &row, budget)?,
                        None => true,
                    };
                    if wanted {
                        kept.push(row);
                    }
                }
                kept
            }
            None => std::mem::take(&mut self.rows),
        };
        if self.order_by.is_empty() {
            return Ok(rows);
        }
        let keys = rows.iter().map(|row| key_of(&self.order_by, layout, row));
        let keys: Vec<Key> = keys.collect::<Result<_, _>>()?;
        let mut keyed: Vec<(Row, Key)> = rows.into_iter().zip(keys).collect();
        keyed.sort_by(|one, other| compare(&self.order_by, (&one.0, &one.1), (&other.0, &other.1)));
        Ok(keyed.into_iter().map(|(row, _)| row).collect())
    }
}
