//! Property tests of the lexer and the digest, and the statements that real clients send.

use crate::{
    digest::Digest,
    lexer::{Lexer, SqlMode, TokenKind},
    session,
};
use proptest::prelude::*;

const CLIENT_STATEMENTS: &str = include_str!("../testdata/client-statements.tsv");

fn client_statements() -> impl Iterator<Item = &'static str> {
    CLIENT_STATEMENTS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .filter_map(|line| line.splitn(3, '\t').nth(2))
}

fn modes() -> impl Strategy<Value = SqlMode> {
    (any::<bool>(), any::<bool>()).prop_map(|(ansi_quotes, no_backslash_escapes)| SqlMode {
        ansi_quotes,
        no_backslash_escapes,
        ..SqlMode::default()
    })
}

/// Text made of what matters to the lexer, and raw bytes.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop::sample::select(vec![
        "SELECT",
        " ",
        "\n",
        "'",
        "\"",
        "`",
        "\\",
        "--",
        "-- ",
        "#",
        "/*",
        "*/",
        "/*!",
        "/*!40101 ",
        "/*!999999 ",
        "/*M!100100 ",
        "/*M!999999\\- ",
        "@",
        "@@",
        ".",
        "1",
        "0x",
        "0b",
        "1e",
        "e5",
        "x'",
        "b'",
        "N'",
        "_utf8",
        "a",
        "(",
        ")",
        ",",
        ";",
        "?",
        ":=",
        "<=>",
        "->>",
        "\\N",
        "é",
        "$",
        "|",
    ]);
    let part = prop_oneof![
        8 => parts.prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// The marks of a statement's tokens, with holes for whitespace and for literals.
fn statement() -> impl Strategy<Value = Vec<(&'static str, bool)>> {
    let words = prop::sample::select(vec![
        ("SELECT", false),
        ("`a b`", false),
        ("t1", false),
        ("=", false),
        ("<=>", false),
        ("@v", false),
        ("@@x", false),
        ("?", false),
        (",", false),
        ("AND", false),
        ("-", false),
        ("7", true),
        ("'s'", true),
        ("1.5", true),
        ("x'41'", true),
    ]);
    prop::collection::vec(words, 1..12)
}

fn literal_like(text: &str, seed: u32) -> String {
    match text.as_bytes()[0] {
        b'\'' => format!("'it''s {seed} \\' \"'"),
        b'x' => format!("x'{:02x}'", seed % 256),
        b'7' => seed.to_string(),
        _ => format!("{seed}.25"),
    }
}

proptest! {
    #[test]
    fn spans_tile_the_text(sql in text(), mode in modes()) {
        let Ok(tokens) = Lexer::tokenize(&sql, mode) else { return Ok(()) };
        let mut spans: Vec<_> = tokens.iter().map(|token| token.span).collect();
        spans.extend(tokens.comments.iter().map(|comment| comment.span));
        spans.sort_by_key(|span| span.start);
        let mut at = 0;
        for span in spans {
            prop_assert!(span.start as usize >= at && span.end > span.start);
            prop_assert!(sql[at..span.start as usize].iter().all(|b| matches!(b, b' ' | 9..=13)));
            at = span.end as usize;
        }
        prop_assert!(sql[at..].iter().all(|b| matches!(b, b' ' | 9..=13)));
    }

    #[test]
    fn digest_and_tokens_agree(sql in text(), mode in modes()) {
        let mut digest = Digest::new();
        let tokens = Lexer::tokenize(&sql, mode);
        prop_assert_eq!(digest.scan(&sql, mode).err(), tokens.as_ref().err().copied());
        let Ok(tokens) = tokens else { return Ok(()) };
        for literal in &digest.literals {
            prop_assert_eq!(tokens[literal.token as usize].span.start, literal.span.start);
            let _ = literal.value(&sql, mode);
        }
        let parameters = tokens.iter().filter(|t| t.kind == TokenKind::Parameter).count();
        prop_assert_eq!(digest.parameters, parameters);
        if !tokens.is_empty() {
            let _ = session::recognise(&tokens, None);
        }
    }

    #[test]
    fn values_and_trivia_do_not_change_the_digest(
        parts in statement(), seed in any::<u32>(), gaps in prop::collection::vec(0..5_usize, 12)
    ) {
        let trivia = [" ", "\n\t", " /* x ' */ ", "-- y\n", " /*!999999 z */ "];
        let (mut plain, mut other) = (String::new(), String::new());
        for (index, (part, is_literal)) in parts.iter().enumerate() {
            plain.push_str(part);
            plain.push(' ');
            other.push_str(trivia[gaps[index]]);
            match is_literal {
                true => other.push_str(&literal_like(part, seed)),
                false => other.push_str(part),
            }
            other.push(' ');
        }
        let (mut a, mut b) = (Digest::new(), Digest::new());
        a.scan(plain.as_bytes(), SqlMode::default()).unwrap();
        b.scan(other.as_bytes(), SqlMode::default()).unwrap();
        prop_assert_eq!(&a.text, &b.text);
        prop_assert_eq!(a.fingerprint, b.fingerprint);
        prop_assert_eq!(a.literals.len(), b.literals.len());
    }

    #[test]
    fn string_values_come_back(value in ".*", mode in modes()) {
        let escaped = match mode.no_backslash_escapes {
            true => value.replace('\'', "''"),
            false => value.replace('\\', "\\\\").replace('\'', "\\'"),
        };
        let sql = format!("'{escaped}'");
        let mut digest = Digest::new();
        digest.scan(sql.as_bytes(), mode).unwrap();
        let read = digest.literals[0].value(sql.as_bytes(), mode);
        prop_assert_eq!(read, Some(shardline_model::key::Literal::Text(value.into())));
    }
}

#[test]
fn client_statements_are_read() {
    let mut digest = Digest::new();
    let mut count = 0;
    for sql in client_statements() {
        let tokens = Lexer::tokenize(sql.as_bytes(), SqlMode::default());
        assert!(tokens.is_ok(), "{tokens:?} in {sql}");
        digest.scan(sql.as_bytes(), SqlMode::default()).unwrap();
        count += 1;
    }
    assert!(count > 700, "only {count} statements");
}

/// Statements of real clients that are refused; new refusals must be meant.
#[test]
fn client_statements_refused_are_known() {
    let mut refused = std::collections::BTreeMap::<String, String>::new();
    for sql in client_statements() {
        let mut tokens = Lexer::tokenize(sql.as_bytes(), SqlMode::default()).unwrap();
        tokens.tokens.retain(|token| token.kind != TokenKind::Semicolon);
        if tokens.is_empty() {
            continue;
        }
        let database = Some("bank");
        let result = match session::recognise(&tokens, database) {
            Ok(session::Recognised::Ddl) => {
                crate::ddl::recognise(&tokens, database, &Default::default()).map(|_| ())
            }
            other => other.map(|_| ()),
        };
        if let Err(refusal) = result {
            let start = sql.chars().take(60).collect::<String>();
            refused.entry(refusal.reason).or_insert(start);
        }
    }
    let text: String = refused.iter().map(|(why, sql)| format!("{why}\n  {sql}\n")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/client-refusals.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text, "UPDATE_EXPECT=1 rewrites {path}");
}
