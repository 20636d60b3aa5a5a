//! Random secrets, and hashes of them: only hashes are kept.

use crate::{local::account::random_hex, operations::OperationError};
use sha2::{Digest, Sha256};

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// What is kept of a secret.
pub type SecretHash = [u8; 32];

/// A new secret, in hexadecimal digits.
///
/// # Errors
/// The kernel gives no random bytes.
pub fn fresh() -> Result<String, OperationError> {
    random(SECRET_BYTES)
}

/// So many random bytes in hexadecimal digits.
pub(super) fn random(bytes: usize) -> Result<String, OperationError> {
    random_hex(bytes).map_err(|error| OperationError::failed("random", crate::exit::chain(&error)))
}

/// What is kept of it. A fast hash will do: the secret is random and long.
pub fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret.as_bytes()).into()
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether both are the same, in a time that says nothing.
pub fn same(left: &SecretHash, right: &SecretHash) -> bool {
    left.iter().zip(right).fold(0, |all, (left, right)| all | (left ^ right)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_differ() {
        let (one, two) = (fresh().expect("random"), fresh().expect("random"));
        assert_eq!(one.len(), 2 * SECRET_BYTES);
        assert!(!same(&hash(&one), &hash(&two)) && same(&hash(&one), &hash(&one)));
        assert_eq!(hex(&[0, 255]), "00ff");
    }
}
