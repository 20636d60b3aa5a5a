//! The cache of `caching_sha2_password`: proofs of passwords that were checked in full, so that the
//! next login of the same user costs two hashes.

use std::sync::Arc;

use quick_cache::sync::Cache;

use super::verifier::Sha2Verifier;

/// Users whose proofs are kept at most.
pub const ENTRIES_MAX: usize = 4096;

#[derive(Clone)]
struct Entry {
    /// The verifier that the password was checked against: a new password makes the entry useless.
    verifier: [u8; 32],
    proof: [u8; 32],
}

/// Proofs by user name; bounded, shared by all connections.
pub struct Sha2Cache {
    entries: Cache<Arc<str>, Entry>,
}

impl std::fmt::Debug for Sha2Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sha2Cache").field("entries", &self.entries.len()).finish()
    }
}

impl Default for Sha2Cache {
    fn default() -> Self {
        Self { entries: Cache::new(ENTRIES_MAX) }
    }
}

impl Sha2Cache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The proof of a user's password, if it was checked against this very verifier.
    pub fn get(&self, user: &str, verifier: &Sha2Verifier) -> Option<[u8; 32]> {
        let entry = self.entries.get(user)?;
        (entry.verifier == verifier.fingerprint()).then_some(entry.proof)
    }

    /// Keeps the proof of a password that was checked in full.
    pub fn insert(&self, user: &str, verifier: &Sha2Verifier, proof: [u8; 32]) {
        let entry = Entry { verifier: verifier.fingerprint(), proof };
        self.entries.insert(Arc::from(user), entry);
    }

    /// Forgets everything, as FLUSH PRIVILEGES does.
    pub fn clear(&self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_makes_the_entry_useless() {
        let cache = Sha2Cache::new();
        let old = Sha2Verifier::of_password(b"a").unwrap();
        let new = Sha2Verifier::of_password(b"b").unwrap();
        cache.insert("u", &old, [1; 32]);
        assert_eq!(cache.get("u", &old), Some([1; 32]));
        assert_eq!(cache.get("u", &new), None);
        assert_eq!(cache.get("v", &old), None);
        cache.clear();
        assert_eq!(cache.get("u", &old), None);
    }
}
