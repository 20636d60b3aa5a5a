//! How texts become canonical under the accepted collations: folding, padding, and what
//! a character set can hold. The servers' counterpart is in [`crate::predicate`].

use crate::{
    key::{KeyCharset, KeyCollation},
    weights::GENERAL_CI,
};

/// The code points of latin1's bytes 0x80 to 0x9F as the servers map them (code page
/// 1252; its five gaps are the C1 controls).
const LATIN1_HIGH: [u16; 32] = [
    0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039,
    0x0152, 0x008D, 0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
    0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178,
];

/// What every character beyond the Basic Multilingual Plane weighs under `general_ci`.
const REPLACEMENT: char = '\u{FFFD}';

/// The character set and collation of a column by the collation's name on a server;
/// None when no canonical form is proven for it.
pub(crate) fn of_name(name: &str) -> Option<(KeyCharset, KeyCollation)> {
    use KeyCharset::{Ascii, Latin1, Utf8mb3, Utf8mb4};
    use KeyCollation::{AsciiCi, Bin, GeneralCi, NopadBin};
    Some(match name.to_ascii_lowercase().as_str() {
        "utf8mb4_bin" => (Utf8mb4, Bin),
        "utf8mb4_nopad_bin" | "utf8mb4_0900_bin" => (Utf8mb4, NopadBin),
        "utf8mb4_general_ci" => (Utf8mb4, GeneralCi),
        "utf8mb3_bin" | "utf8_bin" => (Utf8mb3, Bin),
        "utf8mb3_nopad_bin" | "utf8_nopad_bin" => (Utf8mb3, NopadBin),
        "utf8mb3_general_ci" | "utf8_general_ci" => (Utf8mb3, GeneralCi),
        "latin1_bin" => (Latin1, Bin),
        "latin1_nopad_bin" => (Latin1, NopadBin),
        "ascii_bin" => (Ascii, Bin),
        "ascii_nopad_bin" => (Ascii, NopadBin),
        "ascii_general_ci" => (Ascii, AsciiCi),
        _ => return None,
    })
}

/// The canonical bytes of `text`; None when the character set cannot hold it. Trailing
/// spaces go where the collation pads.
pub(crate) fn canonical(
    charset: KeyCharset,
    collation: KeyCollation,
    text: &str,
) -> Option<Vec<u8>> {
    let text = match collation {
        KeyCollation::NopadBin => text,
        KeyCollation::Bin | KeyCollation::GeneralCi | KeyCollation::AsciiCi => {
            text.trim_end_matches(' ')
        }
    };
    if charset.is_latin1() {
        return text.chars().map(latin1_byte).collect();
    }
    if !text.chars().all(|character| holds(charset, character)) {
        return None;
    }
    Some(match collation {
        KeyCollation::Bin | KeyCollation::NopadBin => text.as_bytes().to_vec(),
        KeyCollation::AsciiCi => text.to_ascii_uppercase().into_bytes(),
        KeyCollation::GeneralCi => text.chars().map(fold).collect::<String>().into_bytes(),
    })
}

/// Whether `bytes` are a canonical text that fits the column.
pub(crate) fn is_canonical(
    charset: KeyCharset,
    collation: KeyCollation,
    chars_max: u32,
    bytes: &[u8],
) -> bool {
    if charset.is_latin1() {
        let padded = collation != KeyCollation::NopadBin && bytes.last() == Some(&b' ');
        return bytes.len() <= chars_max as usize && !padded;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    text.chars().count() <= chars_max as usize
        && canonical(charset, collation, text).is_some_and(|canonical| canonical == bytes)
}

/// Whether a character set that is a part of Unicode's UTF-8 holds the character.
fn holds(charset: KeyCharset, character: char) -> bool {
    match charset {
        KeyCharset::Ascii => character.is_ascii(),
        KeyCharset::Utf8mb3 => u32::from(character) <= 0xFFFF,
        KeyCharset::Utf8mb4 => true,
        KeyCharset::Latin1 => latin1_byte(character).is_some(),
    }
}

/// The one character that stands for all that equal `character` under `general_ci`; its
/// code point is their weight.
pub(crate) fn fold(character: char) -> char {
    let Ok(code) = u16::try_from(u32::from(character)) else { return REPLACEMENT };
    match GENERAL_CI.binary_search_by_key(&code, |(from, _)| *from) {
        Ok(found) => char::from_u32(u32::from(GENERAL_CI[found].1)).unwrap_or(REPLACEMENT),
        Err(_) => character,
    }
}

/// The byte of a character in the servers' latin1.
fn latin1_byte(character: char) -> Option<u8> {
    let code = u16::try_from(u32::from(character)).ok()?;
    match u8::try_from(code) {
        Ok(byte @ (0..=0x7F | 0xA0..=0xFF)) => Some(byte),
        Ok(_) | Err(_) => {
            let offset = LATIN1_HIGH.iter().position(|mapped| *mapped == code)?;
            u8::try_from(0x80 + offset).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_their_own_weight() {
        for (_, weight) in GENERAL_CI {
            let character = char::from_u32(u32::from(weight)).unwrap();
            assert_eq!(fold(character), character);
            assert_ne!(character, ' ');
        }
        assert!(GENERAL_CI.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn folding() {
        let folded = |text| canonical(KeyCharset::Utf8mb4, KeyCollation::GeneralCi, text);
        assert_eq!(folded("Straße  "), Some(b"STRASE".to_vec()));
        assert_eq!(folded("éÀ"), Some(b"EA".to_vec()));
        assert_eq!(folded("😀"), Some("\u{FFFD}".as_bytes().to_vec()));
        assert_eq!(folded(" "), Some(Vec::new()));
    }

    #[test]
    fn charsets_hold_what_they_hold() {
        let bin = |charset, text| canonical(charset, KeyCollation::Bin, text);
        assert_eq!(bin(KeyCharset::Latin1, "é€\u{81}"), Some(vec![0xE9, 0x80, 0x81]));
        assert_eq!(bin(KeyCharset::Latin1, "ж"), None);
        assert_eq!(bin(KeyCharset::Latin1, "\u{80}"), None);
        assert_eq!(bin(KeyCharset::Ascii, "é"), None);
        assert_eq!(bin(KeyCharset::Utf8mb3, "😀"), None);
    }
}
