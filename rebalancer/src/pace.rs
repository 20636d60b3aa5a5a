//! How fast rows are copied: never faster than asked for, and slower while somebody suffers. All copies of
//! a job keep to one pace.

use parking_lot::Mutex;
use shardline_model::moves;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How often a pause is looked at again.
const PAUSE_STEP: Duration = Duration::from_millis(100);

/// What some copies keep to together.
#[derive(Debug)]
pub struct Pace {
    throttle: watch::Sender<Throttle>,
    load: Mutex<Load>,
    pacer: Mutex<Pacer>,
    begun: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            throttle: watch::Sender::new(Throttle::default()),
            load: Mutex::default(),
            pacer: Mutex::default(),
            begun: Instant::now(),
        }
    }
}

impl Pace {
    /// What the copies have to keep to, all together, from now on.
    pub fn set_throttle(&self, throttle: Throttle) {
        self.throttle.send_if_modified(|old| {
            let changes = *old != throttle;
            *old = throttle;
            changes
        });
    }

    /// What others feel now.
    pub fn set_load(&self, load: Load) {
        *self.load.lock() = load;
    }

    /// Returns when a chunk may be begun.
    pub(crate) async fn leave(&self) {
        // Its sender is here.
        let _ = self.throttle.subscribe().wait_for(|throttle| !throttle.paused).await;
    }

    /// The pause after a chunk that took so long.
    pub(crate) async fn pause(&self, bytes: u64, took: Duration) {
        let throttle = self.throttle.borrow().clone();
        let load = self.load.lock().clone();
        let pause = self.pacer.lock().pause(self.begun.elapsed(), bytes, took, &throttle, &load);
        let until = Instant::now() + pause;
        while Instant::now() < until {
            let rest = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(rest.min(PAUSE_STEP)).await;
            if *self.throttle.borrow() != throttle {
                return;
            }
        }
    }
}

/// What the copy has to keep to. Everything may change while it runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Throttle {
    /// No new chunk is begun.
    pub paused: bool,
    /// Megabytes (10^6 bytes) of rows a second at most.
    pub max_mbps: Option<f64>,
    /// Replicas may be behind by so much.
    pub replica_lag_max_ms: Option<u64>,
    /// The clients' statements may take so long at their 99th percentile.
    pub foreground_max_ms: Option<f64>,
}

/// What a job's throttle says at a minute of the day.
pub(crate) fn throttle(wanted: &moves::Throttle, minute: u16) -> Throttle {
    let within = |(from, until): (u16, u16)| match from <= until {
        true => (from..until).contains(&minute),
        // Over midnight.
        false => minute >= from || minute < until,
    };
    Throttle {
        paused: !wanted.window.is_none_or(within),
        max_mbps: wanted.max_mbps.map(f64::from),
        replica_lag_max_ms: wanted.lag_max_ms.map(u64::from),
        foreground_max_ms: None,
    }
}

/// The minute of the day, UTC, by this machine's clock.
pub(crate) fn minute_of_day() -> u16 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u16::try_from(now.as_secs() / 60 % (24 * 60)).unwrap_or(0)
}

/// What others feel, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// How far the replica that is farthest behind is behind.
    pub replica_lag_ms: Option<u64>,
    /// The 99th percentile of the clients' statements in the last seconds.
    pub foreground_ms: Option<f64>,
}

/// Decides the pause after each chunk.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// The part of the time in which one may work.
    share: f64,
    /// Until when what was copied is paid for, in microseconds of the caller's clock.
    paid_us: f64,
}

/// The smallest part of the time that is left to the copy: it always ends some day.
const SHARE_MIN: f64 = 0.02;
/// How far the copy may save up.
const BURST_US: f64 = 200_000.0;
/// The longest pause at once; then the throttle is asked again.
const PAUSE_MAX_US: f64 = 2_000_000.0;

impl Default for Pacer {
    fn default() -> Self {
        Self { share: 1.0, paid_us: 0.0 }
    }
}

impl Pacer {
    /// The pause after a chunk of so many bytes that took so long and ended now.
    pub(crate) fn pause(
        &mut self,
        now: Duration,
        bytes: u64,
        took: Duration,
        throttle: &Throttle,
        load: &Load,
    ) -> Duration {
        let over = |value: Option<f64>, limit: Option<f64>| match (value, limit) {
            (Some(value), Some(limit)) => value > limit,
            _ => false,
        };
        let lagging = over(
            load.replica_lag_ms.map(|ms| ms as f64),
            throttle.replica_lag_max_ms.map(|ms| ms as f64),
        );
        let suffering = over(load.foreground_ms, throttle.foreground_max_ms);
        self.share = if lagging || suffering {
            (self.share * 0.7).max(SHARE_MIN)
        } else {
            (self.share + 0.05).min(1.0)
        };
        let rest = took.as_secs_f64() * 1e6 * (1.0 - self.share) / self.share;
        let now_us = now.as_secs_f64() * 1e6;
        let mut debt = 0.0;
        if let Some(limit) = throttle.max_mbps.filter(|limit| *limit > 0.0) {
            // Megabytes a second are bytes a microsecond.
            self.paid_us = self.paid_us.max(now_us - BURST_US) + bytes as f64 / limit;
            debt = (self.paid_us - now_us).max(0.0);
        }
        Duration::from_micros(rest.max(debt).min(PAUSE_MAX_US) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_go_over_midnight() {
        let paused = |window, minute| {
            let wanted = moves::Throttle { window: Some(window), ..Default::default() };
            throttle(&wanted, minute).paused
        };
        assert!(!paused((60, 300), 60) && paused((60, 300), 300) && paused((60, 300), 59));
        assert!(!paused((1_380, 60), 1_400) && !paused((1_380, 60), 0) && paused((1_380, 60), 60));
        let limit = moves::Throttle { max_mbps: Some(5), ..Default::default() };
        assert_eq!(throttle(&limit, 0).max_mbps, Some(5.0));
    }

    #[test]
    fn a_rate_is_kept() {
        let throttle = Throttle { max_mbps: Some(1.0), ..Throttle::default() };
        let (mut pacer, mut now, mut bytes) = (Pacer::default(), Duration::from_secs(1), 0u64);
        let start = now;
        for _ in 0..100 {
            now += Duration::from_millis(10);
            bytes += 100_000;
            now +=
                pacer.pause(now, 100_000, Duration::from_millis(10), &throttle, &Load::default());
        }
        let rate = bytes as f64 / (now - start).as_secs_f64();
        assert!((900_000.0..1_050_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn it_yields_to_those_who_suffer_and_comes_back() {
        let throttle = Throttle { foreground_max_ms: Some(20.0), ..Throttle::default() };
        let took = Duration::from_millis(10);
        let mut pacer = Pacer::default();
        let mut pause = |ms: f64, times: usize| {
            let load = Load { foreground_ms: Some(ms), replica_lag_ms: Some(1_000_000) };
            let pauses = (0..times).map(|_| pacer.pause(took, 1, took, &throttle, &load));
            pauses.last().expect("a pause")
        };
        assert_eq!(pause(10.0, 1), Duration::ZERO);
        assert!(pause(30.0, 20) > Duration::from_millis(200));
        assert_eq!(pause(10.0, 30), Duration::ZERO);
    }
}
