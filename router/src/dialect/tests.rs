//! The shortcuts of [`ServerDialect`] change no tree: expressions made of random parts
//! are parsed with them and without.

use super::*;
use proptest::prelude::*;

/// [`ServerDialect`] without [`is_value`] and [`plain_name`].
#[derive(Debug)]
struct LongWay;

const SERVER: ServerDialect = ServerDialect;

impl Dialect for LongWay {
    fn dialect(&self) -> TypeId {
        SERVER.dialect()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        SERVER.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        SERVER.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        SERVER.is_delimited_identifier_start(ch)
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        SERVER.prec_value(prec)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        SERVER.get_next_precedence(parser)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if is_value(parser) || plain_name(parser).is_some() {
            return None;
        }
        SERVER.parse_prefix(parser)
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        SERVER.parse_infix(parser, expr, precedence)
    }

    fn is_table_factor_alias(&self, explicit: bool, kw: &Keyword, parser: &mut Parser) -> bool {
        SERVER.is_table_factor_alias(explicit, kw, parser)
    }

    fn require_interval_qualifier(&self) -> bool {
        SERVER.require_interval_qualifier()
    }

    fn supports_numeric_prefix(&self) -> bool {
        SERVER.supports_numeric_prefix()
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        SERVER.supports_bitwise_shift_operators()
    }

    fn supports_match_against(&self) -> bool {
        SERVER.supports_match_against()
    }

    fn supports_binary_kw_as_cast(&self) -> bool {
        SERVER.supports_binary_kw_as_cast()
    }
}

const PARTS: &[&str] = &[
    "id", "name", "status", "value", "data", "level", "owner", "x", "`y`", ".", "1", "2.5", "'a'",
    "x'41'", "?", "+", "-", "*", "=", "<", "(", ")", ",", "AND", "OR", "NOT", "IN", "BETWEEN",
    "LIKE", "IS", "NULL", "COUNT", "DATE", "INTERVAL", "DAY", "CASE", "WHEN", "THEN", "END",
    "_utf8", "COLLATE", "AS", "BINARY", "CAST", "f(", "TRUE", "DIV", "comment", "action",
];

fn parsed(dialect: &dyn Dialect, sql: &str) -> Result<String, ()> {
    Parser::parse_sql(dialect, sql).map(|tree| format!("{tree:?}")).map_err(|_| ())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn shortcuts_change_no_tree(parts in prop::collection::vec(prop::sample::select(PARTS), 1..10)) {
        let sql = format!("SELECT {} FROM t WHERE a = {}", parts.join(" "), parts.join(" "));
        prop_assert_eq!(parsed(&SERVER, &sql), parsed(&LongWay, &sql), "{}", sql);
    }
}

#[test]
fn what_is_parsed_by_shortcuts_is_parsed_the_long_way() {
    let conditions = [
        "id = 1",
        "name = 'a' AND status IN (1, ?, x'41')",
        "t.id BETWEEN 1 AND 2 OR value IS NULL",
        "data LIKE 'a%' COLLATE utf8mb4_bin",
        "_utf8 'x' = owner",
        "DATE '2020-01-01' < level",
        "id(1) = name (2)",
        "- id + comment DIV 2",
    ];
    for condition in conditions {
        let sql = format!("SELECT id, name n, value AS v, 1, 'a' b FROM t WHERE {condition}");
        let tree = parsed(&SERVER, &sql);
        assert!(tree.is_ok(), "{sql}");
        assert_eq!(tree, parsed(&LongWay, &sql), "{sql}");
    }
}
