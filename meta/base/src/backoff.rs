//! Waits between attempts: doubling, bounded, with jitter, so that many clients that lost
//! the same server do not come back in step.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The bounds of the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// The first wait before jitter, in milliseconds; at least 1.
    pub first_ms: u64,
    /// No wait is longer, in milliseconds.
    pub longest_ms: u64,
}

impl BackoffConfig {
    /// Builds a sequence of waits with its own jitter.
    pub fn build(self) -> Backoff {
        Backoff::seeded(self, RandomState::new().hash_one(0_u8))
    }
}

/// A sequence of waits. Each is between half of and the whole of the doubled base.
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    attempt: u32,
    random: u64,
}

impl Backoff {
    /// A repeatable sequence, for tests and simulations.
    pub fn seeded(config: BackoffConfig, seed: u64) -> Self {
        Self { config, attempt: 0, random: seed }
    }

    /// The next wait.
    pub fn next_delay(&mut self) -> Duration {
        let doubled = self.config.first_ms.max(1).saturating_mul(1 << self.attempt.min(32));
        self.attempt = self.attempt.saturating_add(1);
        let base_us = doubled.min(self.config.longest_ms.max(1)).saturating_mul(1_000);
        let half_us = base_us / 2;
        Duration::from_micros(half_us + self.next_random() % (base_us - half_us + 1))
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014): enough to spread clients.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_never_pass_it() {
        let config = BackoffConfig { first_ms: 10, longest_ms: 100 };
        for seed in 0..200 {
            let mut backoff = Backoff::seeded(config, seed);
            for base_ms in [10, 20, 40, 80, 100, 100, 100] {
                let delay = backoff.next_delay();
                assert!(delay <= Duration::from_millis(base_ms), "{delay:?} over {base_ms}");
                assert!(delay >= Duration::from_millis(base_ms / 2), "{delay:?} under half");
            }
            backoff.reset();
            assert!(backoff.next_delay() <= Duration::from_millis(10));
        }
    }

    #[test]
    fn extreme_bounds_do_not_overflow() {
        let mut backoff =
            BackoffConfig { first_ms: u64::MAX, longest_ms: u64::MAX / 1_000 }.build();
        for _ in 0..100 {
            backoff.next_delay();
        }
        assert!(BackoffConfig { first_ms: 0, longest_ms: 0 }.build().next_delay().as_millis() < 2);
    }
}
