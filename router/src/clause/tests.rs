//! Tests of clauses.

use super::*;

#[test]
fn rendered_clauses_read_back() {
    for text in [
        "SHARD BY HASH (id)",
        "hash(a, `b c`) COLOCATE (bank.account)",
        "SHARD BY RANGE (booked_on) (VALUES LESS THAN ('2026-01-01') ON s1, VALUES LESS THAN (MAXVALUE) ON s2)",
        "range(a, t) (values less than (-5, '2026-01-01 00:00:00') on s1) colocate x",
        "LIST (region) (VALUES IN ('N', 'it''s', 'a\\\\b') ON s1, VALUES IN (x'00FF') ON s2, DEFAULT ON s3)",
        "list(a,b) (values in ((1,'x'),(2,'y')) on s1)",
        "broadcast",
        "single",
        "single on (s1)",
    ] {
        let clause = parse_alone(text.as_bytes(), SqlMode::default(), "db").unwrap();
        let rendered = render(&clause, "db");
        assert!(!rendered.contains(['\'', '"']), "{rendered}");
        for mode in ["", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"] {
            let mode = SqlMode::parse(mode).unwrap();
            assert_eq!(parse_alone(rendered.as_bytes(), mode, "db").unwrap(), clause, "{rendered}");
        }
    }
}
