//! Passwords: argon2id, slow on purpose, a few at a time.

use crate::operations::{OperationError, Problem};
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The shortest password, in characters.
pub const CHARS_MIN: usize = 12;
/// The longest, in bytes.
pub const BYTES_MAX: usize = 256;
/// Hashes at a time: each takes 19 MiB and a processor.
const AT_ONCE: usize = 2;
/// Who may wait for that.
const WAITERS_MAX: usize = 32;

/// Makes and checks hashes.
#[derive(Clone, Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// Checked where there is no user, so that an answer takes as long.
    nobody: Arc<str>,
}

impl Passwords {
    /// With the library's usual costs: 19 MiB, two passes.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn new() -> Result<Self, OperationError> {
        Ok(Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(WAITERS_MAX)),
            nobody: hashed("nobody has this password")?.into(),
        })
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// It is too short or too long, or too many wait.
    pub async fn hash(&self, password: String) -> Result<String, OperationError> {
        check(&password)?;
        self.work(move || hashed(&password)).await?
    }

    /// Whether the password is that of the hash; never for None.
    ///
    /// # Errors
    /// Too many wait.
    pub async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, OperationError> {
        if password.len() > BYTES_MAX {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.to_string());
        let verified = self.work(move || {
            let parsed = PasswordHash::new(&hash);
            parsed.is_ok_and(|hash| {
                Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
            })
        });
        Ok(verified.await? && known)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OperationError> {
        let busy = || {
            OperationError::unavailable("busy", "too many log in at the same time")
                .hint("try again in a moment")
        };
        let _place = self.queue.try_acquire().map_err(|_| busy())?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|error| OperationError::failed("broken_off", error.to_string()))
    }
}

/// Whether a password may be used.
///
/// # Errors
/// It is too short or too long.
pub fn check(password: &str) -> Result<(), OperationError> {
    if password.chars().count() < CHARS_MIN || password.len() > BYTES_MAX {
        let message = format!("a password has {CHARS_MIN} to {BYTES_MAX} characters");
        return Err(OperationError::new(Problem::Usage, "weak_password", message));
    }
    Ok(())
}

fn hashed(password: &str) -> Result<String, OperationError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string())
        .map_err(|error| OperationError::failed("password", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_hash_alone() {
        let passwords = Passwords::new().expect("random bytes");
        let hash = passwords.hash("correct horse battery".into()).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        let verify = |password: &str, hash: Option<&str>| {
            passwords.verify(password.to_owned(), hash.map(str::to_owned))
        };
        assert_eq!(verify("correct horse battery", Some(&hash)).await, Ok(true));
        assert_eq!(verify("correct horse batterz", Some(&hash)).await, Ok(false));
        assert_eq!(verify("nobody has this password", None).await, Ok(false));
        assert_eq!(
            passwords.hash("short".into()).await.map_err(|error| error.code),
            Err("weak_password".into())
        );
    }
}
