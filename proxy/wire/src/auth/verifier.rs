//! What a server keeps to check a password: never the password itself.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use thiserror::Error;

use super::scramble::{self, RandomError};
use super::sha256_crypt::{self, ROUNDS};

/// Longest password that is checked, in bytes (MySQL's own limit).
pub const PASSWORD_MAX: usize = 256;

const SALT_LENGTH: usize = 20;
const HASH_LENGTH: usize = 43;
const PREFIX: &[u8; 7] = b"$A$005$";

/// Why a kept verifier cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VerifierError {
    /// A native verifier has 20 bytes.
    #[error("the native verifier has {length} bytes instead of 20")]
    NativeLength {
        /// Bytes found.
        length: usize,
    },
    /// A SHA-2 verifier looks like `$A$005$`, 20 bytes of salt and 43 letters.
    #[error("the SHA-2 verifier is not of the form $A$005$...")]
    Sha2Form,
    /// The password is longer than the protocol allows.
    #[error("the password has more than {PASSWORD_MAX} bytes")]
    PasswordTooLong,
}

/// A salted verifier for the full exchange of `caching_sha2_password`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sha2Verifier {
    salt: [u8; SALT_LENGTH],
    hash: [u8; HASH_LENGTH],
}

impl std::fmt::Debug for Sha2Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha2Verifier(..)")
    }
}

impl Sha2Verifier {
    /// A verifier of `password` with a new salt. Takes about a millisecond.
    pub fn of_password(password: &[u8]) -> Result<Self, RandomError> {
        let salt = scramble::printable()?;
        Ok(Self { salt, hash: sha256_crypt::hash(password, &salt, ROUNDS) })
    }

    /// Reads the text form.
    pub fn parse(text: &[u8]) -> Result<Self, VerifierError> {
        let rest = text.strip_prefix(PREFIX).ok_or(VerifierError::Sha2Form)?;
        let (salt, rest) =
            rest.split_first_chunk::<SALT_LENGTH>().ok_or(VerifierError::Sha2Form)?;
        let hash = <[u8; HASH_LENGTH]>::try_from(rest).map_err(|_| VerifierError::Sha2Form)?;
        Ok(Self { salt: *salt, hash })
    }

    /// The text form, as MySQL writes it in `mysql.user`.
    pub fn text(&self) -> Vec<u8> {
        [&PREFIX[..], &self.salt, &self.hash].concat()
    }

    /// Whether `password` is the one. Takes about a millisecond, the same either way.
    pub fn check(&self, password: &[u8]) -> bool {
        // The cost grows with the length: a password that cannot be right is not hashed whole.
        let start = &password[..password.len().min(PASSWORD_MAX)];
        let found = sha256_crypt::hash(start, &self.salt, ROUNDS);
        verify_slices_are_equal(&found, &self.hash).is_ok() && password.len() <= PASSWORD_MAX
    }

    /// A short name of this verifier, which changes with the password.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        scramble::sha256(&[&self.salt, &self.hash])
    }
}

/// The verifiers of one account.
#[derive(Clone, PartialEq, Eq)]
pub enum Verifiers {
    /// The account has no password.
    Empty,
    /// The account has a password.
    Password {
        /// `SHA1(SHA1(password))`.
        native: [u8; 20],
        /// Salted, for `caching_sha2_password`.
        sha2: Sha2Verifier,
    },
}

impl std::fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Verifiers::Empty"),
            Self::Password { .. } => f.write_str("Verifiers::Password(..)"),
        }
    }
}

impl Verifiers {
    /// The verifiers of a password, with a new salt. Takes about a millisecond.
    pub fn of_password(password: &[u8]) -> Result<Self, RandomError> {
        if password.is_empty() {
            return Ok(Self::Empty);
        }
        let native = scramble::native_verifier(password);
        Ok(Self::Password { native, sha2: Sha2Verifier::of_password(password)? })
    }

    /// From their kept forms; both are empty for an empty password.
    pub fn parse(native: &[u8], sha2: &[u8]) -> Result<Self, VerifierError> {
        if native.is_empty() && sha2.is_empty() {
            return Ok(Self::Empty);
        }
        let length = native.len();
        let native =
            <[u8; 20]>::try_from(native).map_err(|_| VerifierError::NativeLength { length })?;
        Ok(Self::Password { native, sha2: Sha2Verifier::parse(sha2)? })
    }

    /// Verifiers of a random password that nobody knows, to stand in for unknown users.
    pub fn decoy() -> Result<Self, RandomError> {
        Self::of_password(&scramble::printable::<32>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_and_check_agree() {
        let verifier = Sha2Verifier::of_password(b"geheim").unwrap();
        let text = verifier.text();
        assert_eq!(text.len(), 70);
        let back = Sha2Verifier::parse(&text).unwrap();
        assert!(back == verifier && back.check(b"geheim") && !back.check(b"Geheim"));
        assert_eq!(Sha2Verifier::parse(&text[1..]), Err(VerifierError::Sha2Form));
        assert_eq!(Sha2Verifier::parse(&text[..69]), Err(VerifierError::Sha2Form));
        assert_eq!(Verifiers::parse(b"", b""), Ok(Verifiers::Empty));
        assert!(Verifiers::parse(b"x", &text).is_err());
        assert_eq!(format!("{verifier:?}"), "Sha2Verifier(..)");
    }
}
