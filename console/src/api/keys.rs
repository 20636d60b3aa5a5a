//! Idempotency keys: a request that is sent again, since its answer was lost, is answered and not done again.
//! Plain and synchronous.

use super::secret::SecretHash;
use serde_json::Value;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long an answer is remembered.
const LIFE: Duration = Duration::from_secs(3_600);
/// Answers that are remembered; the oldest makes room.
const KEYS_MAX: usize = 1_000;

/// What is known of a key.
#[derive(Debug)]
pub enum Begun {
    /// Nothing: it is to be done.
    First,
    /// It was done, with this status and answer.
    Again(u16, Value),
    /// It is being done.
    Running,
    /// It was another request.
    Other,
}

/// What is to be remembered.
#[derive(Debug)]
pub enum Remembered {
    /// It was done.
    Done {
        /// The status.
        status: u16,
        /// The answer.
        value: Value,
    },
    /// It was not: it may be tried again.
    Nothing,
}

/// All keys.
#[derive(Debug, Default)]
pub struct Keys {
    known: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    asked: SecretHash,
    since: Instant,
    answer: Option<(u16, Value)>,
}

impl Keys {
    /// A request with a key begins.
    pub fn begin(&mut self, key: &str, asked: SecretHash, now: Instant) -> Begun {
        self.known.retain(|_, known| now.duration_since(known.since) < LIFE);
        if let Some(known) = self.known.get(key) {
            return match &known.answer {
                _ if known.asked != asked => Begun::Other,
                Some((status, value)) => Begun::Again(*status, value.clone()),
                None => Begun::Running,
            };
        }
        while self.known.len() >= KEYS_MAX {
            let Some(oldest) = self.known.iter().min_by_key(|(_, known)| known.since) else {
                break;
            };
            let oldest = oldest.0.clone();
            self.known.remove(&oldest);
        }
        self.known.insert(key.to_owned(), Known { asked, since: now, answer: None });
        Begun::First
    }

    /// It ends.
    pub fn end(&mut self, key: &str, remembered: Remembered) {
        match remembered {
            Remembered::Done { status, value } => {
                if let Some(known) = self.known.get_mut(key) {
                    known.answer = Some((status, value));
                }
            }
            Remembered::Nothing => {
                self.known.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_done_once() {
        let (mut keys, now) = (Keys::default(), Instant::now());
        assert!(matches!(keys.begin("k", [1; 32], now), Begun::First));
        assert!(matches!(keys.begin("k", [1; 32], now), Begun::Running));
        assert!(matches!(keys.begin("k", [2; 32], now), Begun::Other));
        keys.end("k", Remembered::Done { status: 202, value: json!(7) });
        assert!(
            matches!(keys.begin("k", [1; 32], now), Begun::Again(202, value) if value == json!(7))
        );
        assert!(matches!(keys.begin("k", [1; 32], now + LIFE), Begun::First));
        keys.end("k", Remembered::Nothing);
        assert!(matches!(keys.begin("k", [1; 32], now + LIFE), Begun::First));
        (0..2 * KEYS_MAX).for_each(|number| drop(keys.begin(&number.to_string(), [0; 32], now)));
        assert!(keys.known.len() <= KEYS_MAX);
    }
}
