//! SHA-256-crypt, as MySQL uses it for `caching_sha2_password`.
//!
//! Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512". MySQL differs in one way: its salt has
//! 20 bytes where the paper cuts at 16.

use super::scramble::sha256;

/// Rounds of MySQL's default, written `005` (thousands) in its verifiers.
pub const ROUNDS: u32 = 5000;

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Positions of the hash's bytes in the order that they are written, three for each four letters.
const ORDER: [[usize; 3]; 10] = [
    [0, 10, 20],
    [21, 1, 11],
    [12, 22, 2],
    [3, 13, 23],
    [24, 4, 14],
    [15, 25, 5],
    [6, 16, 26],
    [27, 7, 17],
    [18, 28, 8],
    [9, 19, 29],
];

/// The 43 letters of the hash of `password` with `salt`. Takes about a millisecond.
pub fn hash(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 43] {
    letters(&digest(password, salt, rounds))
}

fn repeated(block: &[u8; 32], length: usize) -> Vec<u8> {
    block.iter().copied().cycle().take(length).collect()
}

fn digest(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let alternate = sha256(&[password, salt, password]);
    let mut text = [password, salt].concat();
    text.extend(repeated(&alternate, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        text.extend_from_slice(if bits & 1 == 1 { &alternate } else { password });
        bits >>= 1;
    }
    let mut current = sha256(&[&text]);
    let p = repeated(&sha256(&vec![password; password.len()]), password.len());
    let s = repeated(&sha256(&vec![salt; 16 + usize::from(current[0])]), salt.len());
    for round in 0..rounds {
        let odd = round % 2 == 1;
        let first: &[u8] = if odd { &p } else { &current };
        let second: &[u8] = if round % 3 == 0 { b"" } else { &s };
        let third: &[u8] = if round % 7 == 0 { b"" } else { &p };
        let last: &[u8] = if odd { &current } else { &p };
        current = sha256(&[first, second, third, last]);
    }
    current
}

fn letters(digest: &[u8; 32]) -> [u8; 43] {
    let mut out = [0; 43];
    let (groups, tail) = out.split_at_mut(40);
    for (group, [a, b, c]) in groups.chunks_exact_mut(4).zip(ORDER) {
        write(group, u32::from_be_bytes([0, digest[a], digest[b], digest[c]]));
    }
    write(tail, u32::from_be_bytes([0, 0, digest[31], digest[30]]));
    out
}

fn write(out: &mut [u8], mut bits: u32) {
    for letter in out {
        *letter = ALPHABET[(bits & 0x3f) as usize];
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_papers_vectors() {
        let check = |password: &str, salt: &str, rounds, expected: &str| {
            let found = hash(password.as_bytes(), salt.as_bytes(), rounds);
            assert_eq!(std::str::from_utf8(&found).unwrap(), expected);
        };
        check("Hello world!", "saltstring", 5000, "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5");
        check(
            "Hello world!",
            "saltstringsaltst",
            10_000,
            "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
        );
        check(
            "a very much longer text to encrypt.  This one even stretches over morethan one line.",
            "anotherlongsalts",
            1400,
            "Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1",
        );
    }
}
