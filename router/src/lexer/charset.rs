//! Character sets by name: which words after an underscore are introducers, and which
//! sets a client must not use because their multi-byte characters hold ASCII bytes.

/// Character sets that servers know, in order.
const KNOWN: &[&str] = &[
    "armscii8", "ascii", "big5", "binary", "cp1250", "cp1251", "cp1256", "cp1257", "cp850",
    "cp852", "cp866", "cp932", "dec8", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "geostd8",
    "greek", "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1", "latin2", "latin5", "latin7",
    "macce", "macroman", "sjis", "swe7", "tis620", "ucs2", "ujis", "utf16", "utf16le", "utf32",
    "utf8", "utf8mb3", "utf8mb4",
];

/// Whether `name` (any case) is a character set.
pub fn is_known(name: &[u8]) -> bool {
    KNOWN.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether statements in this character set can be read byte by byte: no byte below 0x80
/// is part of a longer character.
pub fn is_ascii_safe(name: &str) -> bool {
    !matches!(
        name.to_ascii_lowercase().as_str(),
        "big5" | "cp932" | "gb18030" | "gbk" | "sjis" | "ucs2" | "utf16" | "utf16le" | "utf32"
    )
}
