//! Rates over time: seconds for ten minutes, then tens, minutes and tens of minutes, up to a week. The memory
//! is the same from the beginning to the end.

use super::histogram::Histogram;
use std::{collections::VecDeque, time::Duration};

/// How far back it goes.
pub const SERIES_SPAN: Duration = Duration::from_secs(7 * 86_400);
/// Seconds of a point, and how many such points there are.
const LEVELS: [(u64, usize); 4] = [(1, 600), (10, 720), (60, 1_440), (600, 1_008)];

/// What happened in so many seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Its end, in seconds since 1970.
    pub unix_s: u64,
    /// How many seconds it stands for.
    pub seconds: u64,
    /// Statements that ended.
    pub statements: u64,
    /// Those that failed.
    pub errors: u64,
    /// Half of them took no longer, in microseconds; None when there were none.
    pub p50_us: Option<u64>,
    /// Of a hundred all but one took no longer.
    pub p99_us: Option<u64>,
    /// The most sessions.
    pub sessions: u64,
    /// The most statements that ran at a time.
    pub running: u64,
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    statements: u64,
    errors: u64,
    times: Histogram,
}

impl Counters {
    pub(super) fn count(&mut self, took: Duration, failed: bool) {
        self.statements += 1;
        self.errors += u64::from(failed);
        self.times.count(took);
    }

    /// Takes what another one has.
    pub(super) fn take(&mut self, other: &mut Counters) {
        if other.statements == 0 {
            return;
        }
        self.add(other);
        *other = Counters::default();
    }

    fn add(&mut self, other: &Counters) {
        self.statements += other.statements;
        self.errors += other.errors;
        self.times.add(&other.times);
    }
}

/// Points of one resolution, and the one that is being filled.
#[derive(Debug)]
struct Level {
    seconds: u64,
    points_max: usize,
    points: VecDeque<Point>,
    open: Counters,
    sessions: u64,
    running: u64,
    /// Which point is being filled: its end divided by `seconds`.
    at: Option<u64>,
}

impl Level {
    fn push(&mut self, now: u64, counters: &Counters, sessions: u64, running: u64) {
        // The second that ends now belongs to the point that it lies in.
        let at = now.saturating_sub(1) / self.seconds;
        if self.at.is_some_and(|open| open != at) {
            self.close();
        }
        self.at = Some(at);
        self.open.add(counters);
        self.sessions = self.sessions.max(sessions);
        self.running = self.running.max(running);
        if self.seconds == 1 {
            self.close();
        }
    }

    fn close(&mut self) {
        let Some(at) = self.at.take() else { return };
        let open = std::mem::take(&mut self.open);
        if self.points.len() >= self.points_max {
            self.points.pop_front();
        }
        self.points.push_back(Point {
            unix_s: (at + 1) * self.seconds,
            seconds: self.seconds,
            statements: open.statements,
            errors: open.errors,
            p50_us: open.times.quantile_us(0.5),
            p99_us: open.times.quantile_us(0.99),
            sessions: std::mem::take(&mut self.sessions),
            running: std::mem::take(&mut self.running),
        });
    }
}

/// All resolutions.
#[derive(Debug)]
pub(super) struct Series {
    levels: [Level; LEVELS.len()],
}

impl Default for Series {
    fn default() -> Self {
        let level = |(seconds, points_max)| Level {
            seconds,
            points_max,
            points: VecDeque::new(),
            open: Counters::default(),
            sessions: 0,
            running: 0,
            at: None,
        };
        Self { levels: LEVELS.map(level) }
    }
}

impl Series {
    /// Adds what was counted in the second that ends now.
    pub(super) fn push(&mut self, now: u64, counters: &Counters, sessions: u64, running: u64) {
        for level in &mut self.levels {
            level.push(now, counters, sessions, running);
        }
    }

    /// The finest points that go so far back.
    pub(super) fn points(&self, span: Duration) -> (u64, Vec<Point>) {
        let wanted = span.as_secs();
        let reaches = |level: &&Level| level.seconds * level.points_max as u64 >= wanted;
        let level = self.levels.iter().find(reaches).unwrap_or(&self.levels[LEVELS.len() - 1]);
        let count = wanted.div_ceil(level.seconds) as usize;
        let skipped = level.points.len().saturating_sub(count);
        (level.seconds, level.points.iter().skip(skipped).copied().collect())
    }

    pub(super) fn last(&self) -> Option<Point> {
        self.levels[0].points.back().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fortnight_is_bounded_and_adds_up() {
        let mut series = Series::default();
        let mut counters = Counters::default();
        counters.count(Duration::from_millis(3), false);
        counters.count(Duration::from_millis(5), true);
        let begin = 1_000_000_000;
        for second in 1..=14 * 86_400 {
            series.push(begin + second, &counters, second % 7, 1);
        }
        for (span_s, step_s, count) in [
            (60, 1, 60),
            (600, 1, 600),
            (3_600, 10, 360),
            (86_400, 60, 1_440),
            (604_800, 600, 1_008),
        ] {
            let (step, points) = series.points(Duration::from_secs(span_s));
            assert_eq!((step, points.len()), (step_s, count), "{span_s}");
            for pair in points.windows(2) {
                assert_eq!(pair[1].unix_s - pair[0].unix_s, step);
            }
            let last = points.last().unwrap();
            assert_eq!((last.statements, last.errors), (2 * step, step));
            assert!(last.p50_us.is_some_and(|us| (2_500..3_500).contains(&us)), "{last:?}");
        }
        let all: usize = series.levels.iter().map(|level| level.points.len()).sum();
        assert_eq!(all, LEVELS.iter().map(|(_, points)| points).sum::<usize>());
        assert_eq!(series.last().unwrap().unix_s, begin + 14 * 86_400);
    }
}
