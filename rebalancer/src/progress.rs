//! How far a move is: numbers that its tasks count, and what people are told of them.

use crate::{error::MoveError, position::Position};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Over how long the rate is told.
const RATE_OVER: Duration = Duration::from_secs(10);
/// Samples for it.
const SAMPLES_MAX: usize = 200;

/// How far one flow is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Rows copied so far, restarts included.
    pub rows_copied: u64,
    /// Bytes of the statements that wrote them.
    pub bytes_copied: u64,
    /// Rows that there will be, by the server's estimate.
    pub rows_estimated: u64,
    /// Whether every row has been copied.
    pub copied: bool,
    /// Rows a second that are copied now.
    pub rows_per_second: f64,
    /// Bytes a second that are copied now.
    pub bytes_per_second: f64,
    /// Seconds until the copy ends, by the estimate; None when nothing moves.
    pub eta_seconds: Option<u64>,
    /// Rows written by the change stream since the driver began.
    pub rows_streamed: u64,
    /// How old the newest change is that is not written yet, in milliseconds; None before the first
    /// sign from the sender.
    pub lag_ms: Option<u64>,
    /// Bytes of the sender's log that are not applied yet.
    pub lag_bytes: u64,
    /// Everything before this is on the receiver.
    pub applied: Position,
    /// How often the flow began anew after a loss.
    pub restarts: u64,
    /// What it waits for, when it is not at work.
    pub waits_for: Option<MoveError>,
}

/// What tasks count.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) rows_copied: AtomicU64,
    pub(crate) bytes_copied: AtomicU64,
    pub(crate) rows_estimated: AtomicU64,
    pub(crate) rows_streamed: AtomicU64,
    pub(crate) lag_bytes: AtomicU64,
    pub(crate) restarts: AtomicU64,
    samples: Mutex<VecDeque<(Instant, u64, u64)>>,
}

impl Meter {
    /// Adds what was copied.
    pub(crate) fn copied(&self, rows: u64, bytes: u64) {
        let rows = self.rows_copied.fetch_add(rows, Ordering::Relaxed) + rows;
        let bytes = self.bytes_copied.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.sample(Instant::now(), rows, bytes);
    }

    fn sample(&self, now: Instant, rows: u64, bytes: u64) {
        let mut samples = self.samples.lock();
        let young = |at: &Instant| now.saturating_duration_since(*at) <= RATE_OVER;
        while samples.front().is_some_and(|(at, ..)| !young(at)) || samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back((now, rows, bytes));
    }

    /// Starts counting at what an earlier driver has done.
    pub(crate) fn begin(&self, rows: u64, bytes: u64) {
        self.rows_copied.store(rows, Ordering::Relaxed);
        self.bytes_copied.store(bytes, Ordering::Relaxed);
        self.samples.lock().clear();
        self.sample(Instant::now(), rows, bytes);
    }

    /// Rows and bytes a second.
    fn rates(&self) -> (f64, f64) {
        let samples = self.samples.lock();
        let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
            return (0.0, 0.0);
        };
        let seconds = first.0.elapsed().as_secs_f64();
        if seconds < 0.05 {
            return (0.0, 0.0);
        }
        ((last.1 - first.1) as f64 / seconds, (last.2 - first.2) as f64 / seconds)
    }

    /// What people are told.
    pub(crate) fn progress(&self, copied: bool) -> Progress {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (rows_copied, rows_estimated) = (of(&self.rows_copied), of(&self.rows_estimated));
        let (rows_per_second, bytes_per_second) = if copied { (0.0, 0.0) } else { self.rates() };
        let left = rows_estimated.saturating_sub(rows_copied) as f64;
        let eta = (rows_per_second > 0.0 && !copied).then(|| (left / rows_per_second) as u64);
        Progress {
            rows_copied,
            bytes_copied: of(&self.bytes_copied),
            rows_estimated: rows_estimated.max(rows_copied),
            copied,
            rows_per_second,
            bytes_per_second,
            eta_seconds: if copied { Some(0) } else { eta },
            rows_streamed: of(&self.rows_streamed),
            lag_ms: None,
            lag_bytes: of(&self.lag_bytes),
            applied: Position::default(),
            restarts: of(&self.restarts),
            waits_for: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_the_time_that_is_left() {
        let meter = Meter::default();
        meter.rows_estimated.store(300, Ordering::Relaxed);
        let start = Instant::now() - Duration::from_secs(2);
        meter.sample(start, 0, 0);
        meter.rows_copied.store(100, Ordering::Relaxed);
        meter.sample(Instant::now(), 100, 1000);
        let progress = meter.progress(false);
        assert!((40.0..51.0).contains(&progress.rows_per_second), "{progress:?}");
        assert!((3..6).contains(&progress.eta_seconds.unwrap()), "{progress:?}");
        assert_eq!(meter.progress(true).eta_seconds, Some(0));
    }
}
