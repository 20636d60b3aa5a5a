//! Names of distributed transactions. A proxy incarnation's number comes from the metadata
//! service and is never given out twice; the counter is the incarnation's own. No clock.

use std::{fmt, str::FromStr};

pub use shardline_model::id::Incarnation;

/// The name of one distributed transaction, shown as `17-4211`.
///
/// On the servers it is `BINARY(16)`: both numbers big-endian, so that the rows of one
/// incarnation are one range of the primary key, in the order in which they began to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid {
    /// Who coordinates it.
    pub incarnation: Incarnation,
    /// Counts the incarnation's distributed commits, from 1.
    pub counter: u64,
}

impl Xid {
    /// As the servers store it.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.incarnation.0) << 64 | u128::from(self.counter)).to_be_bytes()
    }

    /// From what the servers store.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { incarnation: Incarnation((both >> 64) as u64), counter: both as u64 }
    }
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation.0, self.counter)
    }
}

/// A text is not the name of a distributed transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of a distributed transaction, which looks like 17-4211")]
pub struct XidError {
    text: String,
}

impl FromStr for Xid {
    type Err = XidError;

    fn from_str(text: &str) -> Result<Self, XidError> {
        let numbers = text.trim().split_once('-').and_then(|(incarnation, counter)| {
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            (digits(incarnation) && digits(counter))
                .then(|| Some((incarnation.parse().ok()?, counter.parse().ok()?)))?
        });
        let (incarnation, counter) =
            numbers.ok_or_else(|| XidError { text: text.chars().take(64).collect() })?;
        Ok(Self { incarnation: Incarnation(incarnation), counter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_the_order_and_come_back() {
        let xid = |incarnation, counter| Xid { incarnation: Incarnation(incarnation), counter };
        let ordered =
            [xid(0, 1), xid(1, 0), xid(1, 255), xid(1, 256), xid(256, 0), xid(u64::MAX, u64::MAX)];
        for pair in ordered.windows(2) {
            assert!(pair[0].to_bytes() < pair[1].to_bytes(), "{} {}", pair[0], pair[1]);
        }
        for one in ordered {
            assert_eq!(Xid::from_bytes(one.to_bytes()), one);
            assert_eq!(one.to_string().parse(), Ok(one));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "7", "-7", "7-", "+1-2", "1-2-3", "1-99999999999999999999", "a-b"] {
            assert!(text.parse::<Xid>().is_err(), "{text}");
        }
    }
}
