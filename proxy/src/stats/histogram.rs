//! Times by size: four boxes for each doubling, from a microsecond to four minutes. A quantile is off by an
//! eighth at most.

use std::time::Duration;

/// Boxes for one doubling, as a power of two.
const FINE_BITS: u32 = 2;
/// Doublings of a microsecond.
const DOUBLINGS: u32 = 28;
/// All boxes.
const BOXES: usize = ((DOUBLINGS - FINE_BITS + 1) << FINE_BITS) as usize;

/// How many times were how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    boxes: [u32; BOXES],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { boxes: [0; BOXES] }
    }
}

impl Histogram {
    /// Counts a time.
    pub fn count(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(one) = self.boxes.get_mut(box_of(us)) {
            *one = one.saturating_add(1);
        }
    }

    /// Adds all of another one.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.boxes.iter_mut().zip(&other.boxes) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// The time, in microseconds, that so much of all (0 to 1) did not exceed. None when nothing was counted.
    pub fn quantile_us(&self, part: f64) -> Option<u64> {
        let all: u64 = self.boxes.iter().map(|count| u64::from(*count)).sum();
        if all == 0 {
            return None;
        }
        let wanted = ((all as f64 * part).ceil() as u64).clamp(1, all);
        let mut seen = 0;
        for (number, count) in self.boxes.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Some((lowest(number) + lowest(number + 1)) / 2);
            }
        }
        None
    }
}

/// The box of a number: below four each has its own, then four for each doubling.
fn box_of(us: u64) -> usize {
    let fine = 1 << FINE_BITS;
    if us < fine {
        return us as usize;
    }
    let doubling = us.ilog2();
    let within = (us >> (doubling - FINE_BITS)) & (fine - 1);
    let number = (u64::from(doubling - FINE_BITS + 1) << FINE_BITS) + within;
    (number as usize).min(BOXES - 1)
}

/// The smallest number of a box.
fn lowest(number: usize) -> u64 {
    let fine = 1 << FINE_BITS;
    let number = number as u64;
    if number < fine {
        return number;
    }
    let shift = (number >> FINE_BITS) - 1;
    ((number & (fine - 1)) + fine) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_follow_one_another() {
        for number in 0..BOXES - 1 {
            assert_eq!(box_of(lowest(number)), number);
            assert_eq!(box_of(lowest(number + 1) - 1), number);
        }
        assert_eq!(box_of(u64::MAX), BOXES - 1);
        assert!(lowest(BOXES - 1) > 200_000_000, "{}", lowest(BOXES - 1));
    }

    #[test]
    fn quantiles_are_off_by_an_eighth_at_most() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(0.5), None);
        (1..=10_000).for_each(|us| histogram.count(Duration::from_micros(us)));
        for part in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let (found, exact) = (histogram.quantile_us(part).unwrap() as f64, part * 10_000.0);
            assert!((found / exact - 1.0).abs() <= 0.125, "{part}: {found} {exact}");
        }
    }
}
