//! Tests of the tokenizer.

use super::*;

fn kinds(sql: &str) -> Vec<(TokenKind, String)> {
    let tokens = Lexer::tokenize(sql.as_bytes(), SqlMode::default()).unwrap();
    (0..tokens.len())
        .map(|i| (tokens[i].kind, String::from_utf8_lossy(tokens.text(i)).into_owned()))
        .collect()
}

#[test]
fn numbers_and_names() {
    use TokenKind::*;
    let of = |sql| kinds(sql).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
    assert_eq!(
        of("1 1.5 .5 1. 1e5 1.5e-3 0x1F 0b01 1a 0xZZ"),
        [Integer, Decimal, Decimal, Decimal, Float, Float, Hex, Bit, Word, Word]
    );
    assert_eq!(of("t.1 t .1 `t`.1"), [Word, Dot, Word, Word, Decimal, QuotedIdentifier, Decimal]);
    assert_eq!(
        of("@a @@b.c @'d e' _utf8'x' _foo n'x' x'41'"),
        [UserVariable, SystemVariable, UserVariable, Introducer, String, Word, NationalString, Hex]
    );
}
