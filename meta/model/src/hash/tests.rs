//! The frozen vectors of the placement hash. They must never change: data lies where
//! they say. The slots were computed by `CRC32() MOD 16384` on a server.

use super::{canonical_text, slot_of};
use crate::key::{KeyCharset, KeyCollation, KeyPart, KeyType, KeyUse, Literal};

const BIGINT: KeyType = KeyType::Integer { min: i64::MIN as i128, max: i64::MAX as i128 };

fn text(charset: KeyCharset, collation: KeyCollation) -> KeyType {
    KeyType::Text { charset, collation, chars_max: 20, padded_char: false }
}

fn key(types: &[KeyType], literals: &[Literal<'_>]) -> Vec<KeyPart> {
    types
        .iter()
        .zip(literals)
        .map(|(key_type, literal)| key_type.canonical(literal, KeyUse::Store).unwrap())
        .collect()
}

/// Key types, literals, canonical text and slot.
type Vector = ((Vec<KeyType>, Vec<Literal<'static>>), &'static [u8], u16);

#[test]
fn frozen_vectors() {
    let utf8_bin = || text(KeyCharset::Utf8mb4, KeyCollation::Bin);
    let general = || text(KeyCharset::Utf8mb4, KeyCollation::GeneralCi);
    let decimal = || KeyType::Decimal { precision: 10, scale: 2, unsigned: false };
    let one = |key_type: KeyType, literal: Literal<'static>| (vec![key_type], vec![literal]);
    let cases: Vec<Vector> = vec![
        (one(BIGINT, Literal::Integer(0)), b"0", 7969),
        (one(BIGINT, Literal::Integer(1)), b"1", 12215),
        (one(BIGINT, Literal::Integer(-17)), b"-17", 11804),
        (one(BIGINT, Literal::Integer(i128::from(i64::MIN))), b"-9223372036854775808", 4875),
        (one(decimal(), Literal::Decimal("-.5".into())), b"-0.50", 15865),
        (one(utf8_bin(), Literal::Text("".into())), b"", 0),
        (one(utf8_bin(), Literal::Text("Grüße  ".into())), "Grüße".as_bytes(), 12401),
        (
            one(text(KeyCharset::Utf8mb4, KeyCollation::NopadBin), Literal::Text("a ".into())),
            b"a ",
            10449,
        ),
        (
            one(text(KeyCharset::Latin1, KeyCollation::Bin), Literal::Text("é€ ".into())),
            b"\xE9\x80",
            6522,
        ),
        (one(general(), Literal::Text("Aé😀 ".into())), b"\0A\0E\xFF\xFD", 11426),
        (
            one(text(KeyCharset::Ascii, KeyCollation::AsciiCi), Literal::Text("aB".into())),
            b"AB",
            3079,
        ),
        (
            one(KeyType::Binary { bytes_max: 4, fixed: true }, Literal::Bytes(b"ab"[..].into())),
            b"ab\0\0",
            4148,
        ),
        (one(KeyType::Date, Literal::Text("2026-01-31".into())), b"2026-01-31", 16346),
        (
            one(KeyType::DateTime { fsp: 3 }, Literal::Text("2026-01-31 23:59:59".into())),
            b"2026-01-31 23:59:59.000",
            7358,
        ),
        (one(KeyType::Time { fsp: 0 }, Literal::Text("-01:02:03".into())), b"-01:02:03", 5893),
        (
            (vec![BIGINT, general()], vec![Literal::Integer(42), Literal::Text("n".into())]),
            b"2:422:\0N",
            9171,
        ),
    ];
    for ((types, literals), expected, slot) in cases {
        let key = key(&types, &literals);
        assert_eq!(canonical_text(&key, &types), expected, "{literals:?}");
        assert_eq!(slot_of(&key, &types).0, slot, "{literals:?}");
    }
}
