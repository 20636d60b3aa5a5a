//! Challenges and the answers that clients compute from a password and a challenge.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// A challenge: 20 random printable bytes, sent once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scramble(pub [u8; 20]);

/// The system's random generator failed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct RandomError;

impl Scramble {
    /// A new random challenge, without NUL and `$`, which some clients stop at.
    pub fn random() -> Result<Self, RandomError> {
        Ok(Self(printable()?))
    }
}

/// Random printable bytes without `$`.
pub(crate) fn printable<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RandomError)?;
    for byte in &mut bytes {
        *byte = b'%' + *byte % 90;
    }
    Ok(bytes)
}

pub(crate) fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, parts)
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest(&SHA256, parts)
}

fn digest<const N: usize>(algorithm: &'static Algorithm, parts: &[&[u8]]) -> [u8; N] {
    let mut context = Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; N];
    out.copy_from_slice(context.finish().as_ref());
    out
}

fn xor<const N: usize>(mut left: [u8; N], right: [u8; N]) -> [u8; N] {
    left.iter_mut().zip(right).for_each(|(left, right)| *left ^= right);
    left
}

/// `SHA1(SHA1(password))`, what a server keeps for `mysql_native_password`.
pub fn native_verifier(password: &[u8]) -> [u8; 20] {
    sha1(&[&sha1(&[password])])
}

/// A client's answer for `mysql_native_password`: empty for an empty password.
pub fn native_answer(password: &[u8], scramble: &Scramble) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let stage1 = sha1(&[password]);
    xor(stage1, sha1(&[&scramble.0, &sha1(&[&stage1])])).to_vec()
}

/// Whether `answer` proves the password behind `verifier`. Takes the same time either way.
pub fn check_native(answer: &[u8], scramble: &Scramble, verifier: &[u8; 20]) -> bool {
    let Ok(answer) = <[u8; 20]>::try_from(answer) else { return false };
    let stage1 = xor(answer, sha1(&[&scramble.0, verifier]));
    verify_slices_are_equal(&sha1(&[&stage1]), verifier).is_ok()
}

/// `SHA256(SHA256(password))`, what a server caches for `caching_sha2_password`.
pub fn sha2_proof(password: &[u8]) -> [u8; 32] {
    sha256(&[&sha256(&[password])])
}

/// A client's answer for the fast path of `caching_sha2_password`: empty for an empty password.
pub fn sha2_answer(password: &[u8], scramble: &Scramble) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let stage1 = sha256(&[password]);
    xor(stage1, sha256(&[&sha256(&[&stage1]), &scramble.0])).to_vec()
}

/// Whether `answer` proves the password behind the cached `proof`. Takes the same time either way.
pub fn check_sha2(answer: &[u8], scramble: &Scramble, proof: &[u8; 32]) -> bool {
    let Ok(answer) = <[u8; 32]>::try_from(answer) else { return false };
    let stage1 = xor(answer, sha256(&[proof, &scramble.0]));
    verify_slices_are_equal(&sha256(&[&stage1]), proof).is_ok()
}

/// The password as it is encrypted by RSA: ended by NUL and mixed with the challenge; also undoes
/// the mixing.
pub(crate) fn mix(text: &mut [u8], scramble: &Scramble) {
    text.iter_mut().zip(scramble.0.iter().cycle()).for_each(|(byte, salt)| *byte ^= salt);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_and_others_not() {
        let scramble = Scramble::random().unwrap();
        assert!(scramble.0.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'$'));
        let other = Scramble::random().unwrap();
        let answer = native_answer(b"secret", &scramble);
        assert!(check_native(&answer, &scramble, &native_verifier(b"secret")));
        assert!(!check_native(&answer, &other, &native_verifier(b"secret")));
        assert!(!check_native(&answer, &scramble, &native_verifier(b"Secret")));
        assert!(!check_native(b"", &scramble, &native_verifier(b"")));
        let answer = sha2_answer(b"secret", &scramble);
        assert!(check_sha2(&answer, &scramble, &sha2_proof(b"secret")));
        assert!(!check_sha2(&answer, &other, &sha2_proof(b"secret")));
        assert!(!check_sha2(&answer[1..], &scramble, &sha2_proof(b"secret")));
    }

    #[test]
    fn the_native_verifier_is_the_servers() {
        // SELECT PASSWORD('secret')
        let hex: String =
            native_verifier(b"secret").iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(hex, "14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
    }
}
