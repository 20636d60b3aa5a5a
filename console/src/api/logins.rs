//! Sessions of browsers, and links of one use that begin one. Kept by this process alone: whoever is logged in
//! here logs in again elsewhere, and after a restart. Plain and synchronous.

use super::{
    identity::Via,
    secret::{self, SecretHash},
};
use crate::operations::OperationError;
use shardline_model::id::Epoch;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long a session lasts.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 3_600);
/// How long a link can be used.
pub const LINK_LIFE: Duration = Duration::from_secs(15 * 60);
/// Sessions at a time; the one that ends first makes room.
const SESSIONS_MAX: usize = 4_096;
/// Links at a time; the oldest makes room.
const LINKS_MAX: usize = 16;

/// A session.
#[derive(Clone, Debug)]
pub struct LoginSession {
    /// Who.
    pub user: String,
    /// How it began.
    pub via: Via,
    /// What changes must bring along.
    pub csrf: String,
    /// The user as it was then: a later one ends the session. None for the local user.
    pub since: Option<Epoch>,
    /// When it ends.
    pub ends: Instant,
    /// The same in seconds since 1970.
    pub ends_unix_s: u64,
}

/// All sessions and links.
#[derive(Debug, Default)]
pub struct Logins {
    sessions: HashMap<SecretHash, LoginSession>,
    links: Vec<(SecretHash, Instant)>,
}

impl Logins {
    /// Begins a session; its secret is told once.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn begin(
        &mut self,
        user: &str,
        via: Via,
        since: Option<Epoch>,
        now: Instant,
        now_unix_s: u64,
    ) -> Result<(String, LoginSession), OperationError> {
        self.sessions.retain(|_, session| session.ends > now);
        if self.sessions.len() >= SESSIONS_MAX
            && let Some(first) = self.sessions.iter().min_by_key(|(_, session)| session.ends)
        {
            let first = *first.0;
            self.sessions.remove(&first);
        }
        let session = LoginSession {
            user: user.to_owned(),
            via,
            csrf: secret::fresh()?,
            since,
            ends: now + SESSION_LIFE,
            ends_unix_s: now_unix_s + SESSION_LIFE.as_secs(),
        };
        let key = secret::fresh()?;
        self.sessions.insert(secret::hash(&key), session.clone());
        Ok((key, session))
    }

    /// The session of a secret.
    pub fn find(&self, key: &str, now: Instant) -> Option<&LoginSession> {
        self.sessions.get(&secret::hash(key)).filter(|session| session.ends > now)
    }

    /// Ends a session.
    pub fn end(&mut self, key: &str) {
        self.sessions.remove(&secret::hash(key));
    }

    /// The user has changed by the session's own doing: it goes on, the others of the user end.
    pub fn renew(&mut self, key: &str, since: Epoch) {
        if let Some(session) = self.sessions.get_mut(&secret::hash(key)) {
            session.since = Some(since);
        }
    }

    /// A new link.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn link(&mut self, now: Instant) -> Result<String, OperationError> {
        self.links.retain(|(_, ends)| *ends > now);
        if self.links.len() >= LINKS_MAX {
            self.links.remove(0);
        }
        let link = secret::fresh()?;
        self.links.push((secret::hash(&link), now + LINK_LIFE));
        Ok(link)
    }

    /// Uses a link up; whether there was one.
    pub fn use_link(&mut self, link: &str, now: Instant) -> bool {
        let hash = secret::hash(link);
        let found = self.links.iter().position(|(known, _)| secret::same(known, &hash));
        found.is_some_and(|at| self.links.remove(at).1 > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_used_once_and_not_late() {
        let (mut logins, now) = (Logins::default(), Instant::now());
        let (one, two) = (logins.link(now).expect("link"), logins.link(now).expect("link"));
        assert!(!logins.use_link("0000", now));
        assert!(logins.use_link(&one, now) && !logins.use_link(&one, now));
        assert!(!logins.use_link(&two, now + LINK_LIFE));
        let links: Vec<String> = (0..=LINKS_MAX).map(|_| logins.link(now).expect("link")).collect();
        assert!(!logins.use_link(&links[0], now) && logins.use_link(&links[1], now));
    }

    #[test]
    fn sessions_end_and_make_room() {
        let (mut logins, now) = (Logins::default(), Instant::now());
        let begin = |logins: &mut Logins, at| {
            logins.begin("li", Via::Password, Some(Epoch(3)), at, 0).expect("session").0
        };
        let first = begin(&mut logins, now);
        assert_eq!(logins.find(&first, now).map(|session| session.user.as_str()), Some("li"));
        assert!(logins.find(&first, now + SESSION_LIFE).is_none());
        let later = now + Duration::from_secs(1);
        let second = begin(&mut logins, later);
        logins.end(&second);
        assert!(logins.find(&second, later).is_none());
        (0..SESSIONS_MAX).for_each(|_| drop(begin(&mut logins, later)));
        assert!(logins.find(&first, later).is_none());
        assert_eq!(logins.sessions.len(), SESSIONS_MAX);
    }
}
