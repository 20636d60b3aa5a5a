//! Things that are begun in order, done in any order, and count only when everything before them is
//! done too. Pure.

use std::collections::VecDeque;

/// See the module's text. `T` is what is known once a thing counts.
#[derive(Debug)]
pub(crate) struct Tracker<T> {
    /// The number of the first in `open`.
    first: u64,
    open: VecDeque<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    parts: usize,
    value: T,
}

impl<T> Default for Tracker<T> {
    fn default() -> Self {
        Self { first: 0, open: VecDeque::new() }
    }
}

impl<T> Tracker<T> {
    /// Begins one of so many parts; its number.
    pub(crate) fn begin(&mut self, parts: usize, value: T) -> u64 {
        self.open.push_back(Entry { parts, value });
        self.first + self.open.len() as u64 - 1
    }

    /// A part is done. Ignored for a number that is not open.
    pub(crate) fn part_done(&mut self, number: u64) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| self.open.get_mut(place)) {
            entry.parts = entry.parts.saturating_sub(1);
        }
    }

    /// The next that counts now.
    pub(crate) fn next_done(&mut self) -> Option<T> {
        if self.open.front().is_some_and(|entry| entry.parts == 0) {
            self.first += 1;
            return self.open.pop_front().map(|entry| entry.value);
        }
        None
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_all_before_it_counts() {
        let mut tracker = Tracker::default();
        let a = tracker.begin(2, 'a');
        let b = tracker.begin(1, 'b');
        tracker.begin(0, 'c');
        tracker.part_done(b);
        assert_eq!(tracker.next_done(), None);
        tracker.part_done(a);
        assert_eq!(tracker.next_done(), None);
        tracker.part_done(a);
        assert_eq!(std::iter::from_fn(|| tracker.next_done()).collect::<String>(), "abc");
        tracker.part_done(a);
        let d = tracker.begin(1, 'd');
        tracker.part_done(d);
        assert_eq!((tracker.next_done(), tracker.open()), (Some('d'), 0));
    }
}
