//! Wrong passwords: whoever gives many of them waits longer and longer. Plain and synchronous.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Wrong passwords for one user before one has to wait.
const FREE_OF_USER: u32 = 5;
/// Wrong passwords from one address before one has to wait.
const FREE_OF_ADDRESS: u32 = 20;
/// The first wait; each further wrong password doubles it.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait for a user: nobody shuts another out for long.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A name or an address without wrong passwords for so long begins anew.
const FORGET: Duration = Duration::from_secs(900);
/// Names and addresses that are remembered.
const KNOWN_MAX: usize = 10_000;

/// What is remembered of wrong passwords.
#[derive(Debug, Default)]
pub struct Attempts {
    known: HashMap<String, Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    wrong: u32,
    last: Instant,
    until: Instant,
}

impl Attempts {
    /// How long somebody has to wait before the next attempt; None when they may try.
    pub fn wait(&self, user: &str, address: &str, now: Instant) -> Option<Duration> {
        let until = [key_of_user(user), key_of_address(address)]
            .iter()
            .filter_map(|key| self.known.get(key))
            .map(|record| record.until)
            .max()?;
        until.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// Notes a wrong password.
    pub fn wrong(&mut self, user: &str, address: &str, now: Instant) {
        self.note(key_of_user(user), FREE_OF_USER, now);
        self.note(key_of_address(address), FREE_OF_ADDRESS, now);
    }

    /// Notes a right one. The address keeps its record: one right password of one's own does not make
    /// guesses at others' free.
    pub fn right(&mut self, user: &str) {
        self.known.remove(&key_of_user(user));
    }

    fn note(&mut self, key: String, free: u32, now: Instant) {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&key) {
            self.known.retain(|_, record| now.duration_since(record.last) < FORGET);
            // Still full: somebody invents names. The address's own record slows them down.
            if self.known.len() >= KNOWN_MAX {
                return;
            }
        }
        let record = self.known.entry(key).or_insert(Record { wrong: 0, last: now, until: now });
        if now.duration_since(record.last) >= FORGET {
            record.wrong = 0;
        }
        record.wrong += 1;
        record.last = now;
        if record.wrong >= free {
            let doubled = WAIT_MIN.saturating_mul(1 << (record.wrong - free).min(10));
            record.until = now + doubled.min(WAIT_MAX);
        }
    }
}

fn key_of_user(user: &str) -> String {
    let cut = user.floor_char_boundary(128);
    format!("u:{}", &user[..cut])
}

fn key_of_address(address: &str) -> String {
    format!("a:{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let (mut attempts, begin) = (Attempts::default(), Instant::now());
        for _ in 0..FREE_OF_USER - 1 {
            attempts.wrong("li", "1.2.3.4", begin);
        }
        assert_eq!(attempts.wait("li", "1.2.3.4", begin), None);
        attempts.wrong("li", "1.2.3.4", begin);
        assert_eq!(attempts.wait("li", "9.9.9.9", begin), Some(WAIT_MIN), "from anywhere");
        assert_eq!(attempts.wait("wang", "1.2.3.4", begin), None, "others may");
        (0..20).for_each(|_| attempts.wrong("li", "1.2.3.4", begin));
        assert_eq!(attempts.wait("li", "9.9.9.9", begin), Some(WAIT_MAX));
        assert!(attempts.wait("wang", "1.2.3.4", begin).is_some(), "the address waits too");
        assert_eq!(attempts.wait("li", "9.9.9.9", begin + WAIT_MAX), None);
        attempts.right("li");
        assert_eq!(attempts.wait("li", "9.9.9.9", begin), None);
    }

    #[test]
    fn invented_names_do_not_fill_the_memory() {
        let (mut attempts, begin) = (Attempts::default(), Instant::now());
        (0..2 * KNOWN_MAX).for_each(|number| attempts.wrong(&number.to_string(), "1.2.3.4", begin));
        assert!(attempts.known.len() <= KNOWN_MAX);
        assert!(attempts.wait("new", "1.2.3.4", begin).is_some());
        attempts.wrong("later", "5.6.7.8", begin + FORGET);
        assert_eq!(attempts.known.len(), 2);
    }
}
