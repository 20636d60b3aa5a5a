//! The k-way merge of sorted shards: a heap of each shard's first row.

use super::{
    MergeError,
    key::{Comparison, Key, compare, key_of},
    layout::Layout,
    row::Row,
};
use std::{cmp::Ordering, collections::BinaryHeap, sync::Arc};

/// A shard's first row.
#[derive(Debug)]
struct Head {
    row: Row,
    key: Key,
    source: usize,
    comparisons: Arc<[Comparison]>,
}

impl Head {
    fn order(&self, other: &Head) -> Ordering {
        compare(&self.comparisons, (&self.row, &self.key), (&other.row, &other.key))
    }
}

impl Ord for Head {
    /// Reversed, as the heap gives the greatest; equal rows come in the sources' order.
    fn cmp(&self, other: &Self) -> Ordering {
        other.order(self).then_with(|| other.source.cmp(&self.source))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

/// The heap, and whose first row is missing.
#[derive(Debug)]
pub(crate) struct Ordered {
    comparisons: Arc<[Comparison]>,
    heap: BinaryHeap<Head>,
    /// Sources that are neither in the heap nor ended.
    missing: Vec<usize>,
    /// The last row given out, to check the order of the one that follows it.
    last: Option<(Row, Key, usize)>,
}

impl Ordered {
    pub(crate) fn new(comparisons: Vec<Comparison>, sources: usize) -> Self {
        Ordered {
            comparisons: comparisons.into(),
            heap: BinaryHeap::with_capacity(sources),
            missing: (0..sources).rev().collect(),
            last: None,
        }
    }

    /// The source whose next row is needed first.
    pub(crate) fn missing(&self) -> Option<usize> {
        self.missing.last().copied()
    }

    /// The source that [`Ordered::missing`] named has no more rows.
    pub(crate) fn source_ended(&mut self) {
        self.missing.pop();
    }

    /// The next row of the source that [`Ordered::missing`] named.
    pub(crate) fn arrived(&mut self, layout: &Layout, row: Row) -> Result<(), MergeError> {
        let Some(source) = self.missing.pop() else { return Ok(()) };
        let key = key_of(&self.comparisons, layout, &row)?;
        if let Some((last, last_key, last_source)) = &self.last
            && *last_source == source
            && compare(&self.comparisons, (last, last_key), (&row, &key)) == Ordering::Greater
        {
            return Err(MergeError::NotSorted { source_index: source });
        }
        self.heap.push(Head { row, key, source, comparisons: self.comparisons.clone() });
        Ok(())
    }

    /// The next row, when no source is missing; None at the end.
    pub(crate) fn take(&mut self, layout: &Layout) -> Option<bytes::Bytes> {
        let head = self.heap.pop()?;
        self.missing.push(head.source);
        let payload = head.row.visible(layout);
        self.last = Some((head.row, head.key, head.source));
        Some(payload)
    }
}
