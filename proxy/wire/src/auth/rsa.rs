//! RSA-OAEP of `caching_sha2_password`'s full exchange without TLS: the password travels encrypted
//! by the server's public key. The cryptography is aws-lc-rs'.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;

use super::scramble::{Scramble, mix};

/// Why a key or a message of the exchange cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RsaError {
    /// No key pair could be made.
    #[error("cannot make an RSA key pair")]
    Generate,
    /// The server's public key cannot be read.
    #[error("the server's public key is not RSA in PEM")]
    PublicKey,
    /// The password is too long for the key.
    #[error("cannot encrypt the password")]
    Encrypt,
    /// The message was not encrypted with this key.
    #[error("cannot decrypt the password")]
    Decrypt,
}

/// A server's key pair.
pub struct RsaKey {
    private: OaepPrivateDecryptingKey,
    public_pem: Vec<u8>,
}

impl std::fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RsaKey(..)")
    }
}

impl RsaKey {
    /// Makes a key pair of 2048 bits. Takes up to a second: once, at start.
    pub fn generate() -> Result<Self, RsaError> {
        let key =
            PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(|_| RsaError::Generate)?;
        let der: PublicKeyX509Der<'_> =
            key.public_key().as_der().map_err(|_| RsaError::Generate)?;
        let public_pem = pem("PUBLIC KEY", der.as_ref());
        let private = OaepPrivateDecryptingKey::new(key).map_err(|_| RsaError::Generate)?;
        Ok(Self { private, public_pem })
    }

    /// The public key in PEM, as it is sent to clients that ask.
    pub fn public_pem(&self) -> &[u8] {
        &self.public_pem
    }

    /// The password in a client's message. The trailing NUL is taken off.
    pub fn decrypt(&self, message: &[u8], scramble: &Scramble) -> Result<Vec<u8>, RsaError> {
        let mut room = vec![0; self.private.min_output_size()];
        let text = self
            .private
            .decrypt(&OAEP_SHA1_MGF1SHA1, message, &mut room, None)
            .map_err(|_| RsaError::Decrypt)?;
        mix(text, scramble);
        match text.split_last() {
            Some((0, password)) => Ok(password.to_vec()),
            _ => Err(RsaError::Decrypt),
        }
    }
}

/// A client's message for the server whose public key is `pem`.
pub fn encrypt(pem: &[u8], password: &[u8], scramble: &Scramble) -> Result<Vec<u8>, RsaError> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| RsaError::PublicKey)?;
    let key = PublicEncryptingKey::from_der(&der).map_err(|_| RsaError::PublicKey)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| RsaError::PublicKey)?;
    let mut text = password.to_vec();
    text.push(0);
    mix(&mut text, scramble);
    let mut room = vec![0; key.ciphertext_size()];
    let message =
        key.encrypt(&OAEP_SHA1_MGF1SHA1, &text, &mut room, None).map_err(|_| RsaError::Encrypt)?;
    Ok(message.to_vec())
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const LINE: usize = 48;
    let mut out = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in der.chunks(LINE) {
        for group in line.chunks(3) {
            let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for letter in 0..4 {
                if letter <= group.len() {
                    out.push(LETTERS[(bits >> (18 - 6 * letter) & 0x3f) as usize]);
                } else {
                    out.push(b'=');
                }
            }
        }
        out.push(b'\n');
    }
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree() {
        let key = RsaKey::generate().unwrap();
        let scramble = Scramble::random().unwrap();
        let message = encrypt(key.public_pem(), b"a longer password than 20", &scramble).unwrap();
        assert_eq!(key.decrypt(&message, &scramble).unwrap(), b"a longer password than 20");
        assert!(key.decrypt(&message[1..], &scramble).is_err());
        assert!(key.decrypt(&[0; 256], &scramble).is_err());
        assert_eq!(encrypt(b"no key", b"x", &scramble), Err(RsaError::PublicKey));
    }
}
