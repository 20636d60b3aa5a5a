//! Password proofs of `mysql_native_password` and `caching_sha2_password`: pure functions, bounded
//! cache, RSA. Who speaks when is `handshake`'s matter.

pub mod cache;
pub mod rsa;
pub mod scramble;
pub mod sha256_crypt;
pub mod verifier;

pub use cache::Sha2Cache;
pub use rsa::{RsaError, RsaKey};
pub use scramble::Scramble;
pub use verifier::{Sha2Verifier, VerifierError, Verifiers};

/// An authentication method that both sides can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plugin {
    /// `mysql_native_password`: SHA-1, challenge and response.
    Native,
    /// `caching_sha2_password`: SHA-256, a cache of proofs, and a full exchange on a miss.
    CachingSha2,
}

impl Plugin {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
        }
    }

    /// The plugin of that name, if it is one of these.
    pub fn named(name: &[u8]) -> Option<Self> {
        [Self::Native, Self::CachingSha2]
            .into_iter()
            .find(|plugin| plugin.name().as_bytes() == name)
    }
}
