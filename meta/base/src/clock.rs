//! Where parts read the time, so that tests and simulations can give them another.

use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// A source of time. Decisions use [`Clock::now`]; [`Clock::unix_ms`] is for people.
pub trait Clock: Send + Sync + 'static {
    /// The monotonic time of this machine. Never compared across machines.
    fn now(&self) -> Instant;

    /// Milliseconds since 1970 UTC by the wall clock, which may jump.
    fn unix_ms(&self) -> u64;
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis() as u64)
    }
}

/// A clock that moves only when told to. Clones share their time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    start: Instant,
    elapsed: Arc<Mutex<Duration>>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self { start: Instant::now(), elapsed: Arc::default() }
    }
}

impl ManualClock {
    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        *self.elapsed.lock() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.start + *self.elapsed.lock()
    }

    fn unix_ms(&self) -> u64 {
        self.elapsed.lock().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::default();
        let (start, copy) = (clock.now(), clock.clone());
        assert_eq!(clock.now(), start);
        copy.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now() - start, Duration::from_millis(1_500));
        assert_eq!(clock.unix_ms(), 1_500);
        assert!(SystemClock.unix_ms() > 1_600_000_000_000);
    }
}
