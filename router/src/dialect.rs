//! MySQL's and MariaDB's grammar for sqlparser: operator precedence as the servers have
//! it, and prefixes and infixes that sqlparser lacks. Only expressions are touched here;
//! what is taken out of the token stream before parsing is `parse`'s matter.

#[cfg(test)]
mod tests;

use sqlparser::{
    ast::{BinaryOperator, CastKind, DataType, Expr, Ident, UnaryOperator},
    dialect::{Dialect, MySqlDialect, Precedence},
    keywords::{self, Keyword},
    parser::{Parser, ParserError},
    tokenizer::Token,
};
use std::any::TypeId;

/// Binds tighter than every binary operator.
const UNARY: u8 = 60;
/// `:=` binds least.
const ASSIGN: u8 = 2;

const RESERVED_FOR_TABLE_ALIAS: &[Keyword] =
    &[Keyword::USE, Keyword::IGNORE, Keyword::FORCE, Keyword::STRAIGHT_JOIN];

/// The dialect of the servers behind the proxy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerDialect;

const MYSQL: MySqlDialect = MySqlDialect {};

impl Dialect for ServerDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<MySqlDialect>()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        MYSQL.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        MYSQL.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    /// Loosest first: `:=`, OR, XOR, AND, NOT, then comparisons and IS, then LIKE, IN
    /// and BETWEEN (whose right side is tighter than a comparison's: `a = b LIKE c` is
    /// `a = (b LIKE c)`), then the operators on bits and numbers.
    fn prec_value(&self, prec: Precedence) -> u8 {
        match prec {
            Precedence::Or => 5,
            Precedence::Xor => 7,
            Precedence::And => 10,
            Precedence::UnaryNot => 15,
            Precedence::Is | Precedence::Eq => 20,
            Precedence::Like | Precedence::Between => 22,
            Precedence::Pipe => 25,
            Precedence::Ampersand => 26,
            Precedence::PlusMinus => 30,
            Precedence::MulDivModOp => 40,
            Precedence::Caret => 45,
            Precedence::AtTz => 46,
            Precedence::PgOther | Precedence::Colon | Precedence::DoubleColon => 50,
            Precedence::Period => 100,
        }
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::Assignment => Some(Ok(ASSIGN)),
            Token::ShiftLeft | Token::ShiftRight => Some(Ok(27)),
            Token::StringConcat => Some(Ok(24)),
            _ => None,
        }
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if parser.parse_keyword(Keyword::BINARY) {
            return Some(parser.parse_subexpr(UNARY).map(|expr| Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(expr),
                data_type: DataType::Binary(None),
                format: None,
            }));
        }
        if is_value(parser) {
            return Some(parser.parse_value().map(Expr::Value));
        }
        if let Some(name) = plain_name(parser) {
            parser.advance_token();
            return Some(Ok(Expr::Identifier(name)));
        }
        let op = match &parser.peek_token_ref().token {
            Token::ExclamationMark => UnaryOperator::BangNot,
            Token::Tilde => UnaryOperator::BitwiseNot,
            Token::Minus => UnaryOperator::Minus,
            Token::Plus => UnaryOperator::Plus,
            _ => return None,
        };
        parser.advance_token();
        Some(parser.parse_subexpr(UNARY).map(|expr| Expr::UnaryOp { op, expr: Box::new(expr) }))
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        let binary = |op, right: Result<Expr, ParserError>| {
            right.map(|right| Expr::BinaryOp {
                left: Box::new(expr.clone()),
                op,
                right: Box::new(right),
            })
        };
        if parser.parse_keyword(Keyword::DIV) {
            let right = parser.parse_subexpr(precedence);
            return Some(binary(BinaryOperator::MyIntegerDivide, right));
        }
        if parser.consume_token(&Token::Assignment) {
            // Right-associative: `@a := @b := 1`.
            let right = parser.parse_subexpr(ASSIGN - 1);
            return Some(binary(BinaryOperator::Assignment, right));
        }
        None
    }

    fn is_table_factor_alias(&self, explicit: bool, kw: &Keyword, _parser: &mut Parser) -> bool {
        explicit
            || (!keywords::RESERVED_FOR_TABLE_ALIAS.contains(kw)
                && !RESERVED_FOR_TABLE_ALIAS.contains(kw))
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_limit_comma(&self) -> bool {
        true
    }

    fn supports_insert_set(&self) -> bool {
        true
    }

    fn supports_table_hints(&self) -> bool {
        true
    }

    fn supports_match_against(&self) -> bool {
        true
    }

    fn supports_update_order_by(&self) -> bool {
        true
    }

    fn supports_data_type_signed_suffix(&self) -> bool {
        true
    }

    fn supports_cross_join_constraint(&self) -> bool {
        true
    }

    fn supports_binary_kw_as_cast(&self) -> bool {
        true
    }

    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }
}

/// Whether a literal or parameter comes next. sqlparser would come to the same, after it
/// has tried to read a type's name and has written an error about it: a
/// fifth of what a short statement takes to parse.
fn is_value(parser: &Parser) -> bool {
    matches!(
        parser.peek_token_ref().token,
        Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_)
    )
}

/// Keywords that start no expression and name no type, and that columns are named with.
const PLAIN_KEYWORDS: &[Keyword] = &[
    Keyword::ACTION,
    Keyword::COMMENT,
    Keyword::DATA,
    Keyword::ID,
    Keyword::LEVEL,
    Keyword::NAME,
    Keyword::OWNER,
    Keyword::STATUS,
    Keyword::VALUE,
];

/// The name that comes next, when it is no keyword of expressions and neither a function's name nor an
/// introducer: sqlparser would come to the same, by way of a type's name as well.
fn plain_name(parser: &Parser) -> Option<Ident> {
    let next = parser.peek_token_ref();
    let Token::Word(word) = &next.token else { return None };
    if word.keyword != Keyword::NoKeyword && !PLAIN_KEYWORDS.contains(&word.keyword) {
        return None;
    }
    match parser.peek_nth_token_ref(1).token {
        Token::LParen | Token::SingleQuotedString(_) | Token::HexStringLiteral(_) => None,
        _ => Some(Ident {
            value: word.value.clone(),
            quote_style: word.quote_style,
            span: next.span,
        }),
    }
}
