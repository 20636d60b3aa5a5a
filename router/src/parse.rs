//! From our tokens to sqlparser's tree. The tree is only looked at: a location's column
//! in it is the index of one of our pieces (plus one), which has the byte span.
//!
//! What sqlparser would misread is replaced or taken out before it sees it; what cannot
//! be made right is "not understood".

use crate::{dialect::ServerDialect, lexer::TokenKind, word::Marks};
use sqlparser::{
    ast::Statement,
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Location, Span as TreeSpan, Token, TokenWithSpan, Word},
};

pub(crate) use crate::pieces::Pieces;

/// Deepest nesting of parentheses.
const DEPTH_MAX: usize = 64;
/// Most operators in one expression between two commas or parentheses: sqlparser's tree
/// leans on one side, and is dropped by recursion.
const OPERATORS_MAX: usize = 2_000;
/// Most tokens that are parsed.
const TOKENS_MAX: usize = 2_000_000;

/// What a statement is not: analysed. It may still be right on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotUnderstood {
    /// What was met.
    pub(crate) reason: String,
}

/// A statement that sqlparser understood.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// In a box, since it is some kilobytes large and is handed on.
    pub(crate) statement: Box<Statement>,
}

/// Parses one statement.
pub(crate) fn parse(pieces: &Pieces<'_>) -> Result<Parsed, NotUnderstood> {
    check_size(pieces)?;
    let tokens = tree_tokens(pieces)?;
    let dialect = ServerDialect;
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(DEPTH_MAX * 4)
        .with_tokens_with_locations(tokens);
    let statement = if pieces.is_word(0, "SELECT") {
        // What parse_statement does, without the copies of a Statement from hand to hand.
        parser.parse_query().map(|query| Box::new(Statement::Query(query)))
    } else {
        parser.parse_statement().map(Box::new)
    };
    let statement = statement.map_err(|error| not_understood(pieces, &error))?;
    if parser.peek_token_ref().token != Token::EOF {
        let at = piece_of(&parser.peek_token_ref().span).unwrap_or(pieces.len());
        return Err(NotUnderstood { reason: near(pieces, at) });
    }
    Ok(Parsed { statement })
}

/// The piece at which a node of the tree starts.
pub(crate) fn piece_of(span: &TreeSpan) -> Option<usize> {
    usize::try_from(span.start.column).ok()?.checked_sub(1)
}

fn near(pieces: &Pieces<'_>, at: usize) -> String {
    let start = pieces.start_of(at);
    let end = (start + 40).min(pieces.sql.len());
    let text = String::from_utf8_lossy(pieces.sql.get(start..end).unwrap_or_default());
    format!("the statement is not understood near '{text}' at byte {start}")
}

fn not_understood(pieces: &Pieces<'_>, error: &sqlparser::parser::ParserError) -> NotUnderstood {
    // The parser writes "... at Line: 1, Column: N": N is one of our pieces.
    let text = error.to_string();
    let at = text
        .rsplit_once("Column: ")
        .and_then(|(_, number)| number.trim().parse::<usize>().ok())
        .map_or(pieces.len(), |column| column.saturating_sub(1));
    NotUnderstood { reason: near(pieces, at) }
}

fn check_size(pieces: &Pieces<'_>) -> Result<(), NotUnderstood> {
    let refuse = |what: &str| Err(NotUnderstood { reason: format!("the statement has {what}") });
    if pieces.len() > TOKENS_MAX {
        return refuse("too many tokens");
    }
    let mut operators = vec![0usize];
    for piece in pieces.iter() {
        match piece.kind {
            TokenKind::LeftParen => {
                operators.push(0);
                if operators.len() > DEPTH_MAX {
                    return refuse("too many nested parentheses");
                }
            }
            TokenKind::RightParen => {
                operators.pop();
                if operators.is_empty() {
                    return refuse("a parenthesis that nothing opens");
                }
            }
            TokenKind::Comma => {
                if let Some(count) = operators.last_mut() {
                    *count = 0;
                }
            }
            _ => {
                if let Some(count) = operators.last_mut() {
                    *count += 1;
                    // About two tokens an operator and its operand; names have more.
                    if *count > OPERATORS_MAX * 4 {
                        return refuse("too long an expression");
                    }
                }
            }
        }
    }
    Ok(())
}

fn tree_tokens(pieces: &Pieces<'_>) -> Result<Vec<TokenWithSpan>, NotUnderstood> {
    let mut tokens = Vec::with_capacity(pieces.len());
    let mut lists = JoinLists::new(pieces);
    let mut index = 0;
    while index < pieces.len() {
        let skipped = skipped(pieces, index);
        if skipped > 0 {
            index += skipped;
            continue;
        }
        let location = Location::new(1, index as u64 + 1);
        let mut push = |token| {
            tokens.push(TokenWithSpan::new(token, TreeSpan::new(location, location)));
        };
        if lists.joins(pieces, index) {
            push(Token::make_keyword("CROSS"));
            push(Token::make_keyword("JOIN"));
        } else {
            let token = tree_token(pieces, index);
            push(token.ok_or_else(|| NotUnderstood { reason: near(pieces, index) })?);
        }
        index += 1;
    }
    Ok(tokens)
}

/// Finds commas that join tables where sqlparser expects none: `UPDATE a, b` and
/// `a LEFT JOIN (b, c)`.
struct JoinLists {
    /// For each open parenthesis, and the statement itself, whether commas join.
    open: Vec<bool>,
}

impl JoinLists {
    fn new(pieces: &Pieces<'_>) -> Self {
        Self { open: vec![pieces.is_word(0, "UPDATE")] }
    }

    fn joins(&mut self, pieces: &Pieces<'_>, index: usize) -> bool {
        match pieces.kind(index) {
            Some(TokenKind::LeftParen) => {
                let query = pieces.is_any_word(index + 1, &["SELECT", "WITH", "VALUES", "TABLE"]);
                let joined = index > 0 && pieces.is_word(index - 1, "JOIN") && !query;
                self.open.push(joined);
            }
            Some(TokenKind::RightParen) => {
                self.open.pop();
            }
            Some(TokenKind::Word) if pieces.is_word(index, "SET") => {
                if let [statement] = self.open.as_mut_slice() {
                    *statement = false;
                }
            }
            Some(TokenKind::Comma) => return self.open.last().copied().unwrap_or_default(),
            _ => {}
        }
        false
    }
}

/// Words that sqlparser takes for the keywords of other servers.
const NOT_KEYWORDS: &[&str] = &[
    "ILIKE",
    "SIMILAR",
    "AT",
    "QUALIFY",
    "PREWHERE",
    "CONNECT",
    "OVERLAPS",
    "TOP",
    "FULL",
    "GLOB",
    "OPERATOR",
    "NOTNULL",
    "SETTINGS",
    "FORMAT",
    "FINAL",
    "SAMPLE",
    "TABLESAMPLE",
    "ANTI",
    "SEMI",
    "ASOF",
    "GLOBAL",
    "UNNEST",
    "STRUCT",
    "ARRAY",
    "MAP",
    "PIVOT",
    "UNPIVOT",
    "CLUSTER",
    "DISTRIBUTE",
    "SORT",
    "START",
    "MINUS",
    "QUALIFIED",
    "CUBE",
    "GROUPING",
    "TRY_CAST",
    "SAFE_CAST",
    "TRY_CONVERT",
    "OVERLAY",
    "ROLLUP_",
    "ISNULL",
    "APPLY",
    "EXCLUDE",
    "RENAME",
    "MATCH_RECOGNIZE",
    "OPENJSON",
    "XMLTABLE",
    "JSON_TABLE",
    "LISTAGG",
    "EMPTY",
];

/// Units of INTERVAL and EXTRACT of two parts.
const COMPOUND_UNITS: &[&str] = &[
    "YEAR_MONTH",
    "DAY_HOUR",
    "DAY_MINUTE",
    "DAY_SECOND",
    "DAY_MICROSECOND",
    "HOUR_MINUTE",
    "HOUR_SECOND",
    "HOUR_MICROSECOND",
    "MINUTE_SECOND",
    "MINUTE_MICROSECOND",
    "SECOND_MICROSECOND",
];

/// Words that sqlparser must see as others.
pub(crate) const RENAMED_WORDS: &[&[&str]] =
    &[&["MOD", "DISTINCTROW"], COMPOUND_UNITS, NOT_KEYWORDS];

fn tree_token(pieces: &Pieces<'_>, index: usize) -> Option<Token> {
    let piece = pieces.get(index)?;
    let quoted = |text: &str| Token::make_word(text, Some('`'));
    Some(match piece.kind {
        TokenKind::Word | TokenKind::Introducer => word(pieces, index)?,
        TokenKind::QuotedIdentifier => quoted(&pieces.identifier(index)?),
        TokenKind::String | TokenKind::NationalString => Token::SingleQuotedString(String::new()),
        TokenKind::Hex | TokenKind::Bit => Token::HexStringLiteral(String::new()),
        TokenKind::Integer | TokenKind::Decimal | TokenKind::Float => {
            Token::Number(std::str::from_utf8(pieces.text(index)).ok()?.to_owned(), false)
        }
        TokenKind::UserVariable | TokenKind::SystemVariable => quoted("@"),
        TokenKind::Parameter => Token::Placeholder("?".to_owned()),
        TokenKind::BackslashN => Token::make_keyword("NULL"),
        TokenKind::Comma => Token::Comma,
        TokenKind::LeftParen => Token::LParen,
        TokenKind::RightParen => Token::RParen,
        TokenKind::Dot => Token::Period,
        TokenKind::Assign if index > 0 && pieces.is(index - 1, TokenKind::UserVariable) => {
            Token::Assignment
        }
        TokenKind::Assign => Token::Eq,
        TokenKind::Plus => Token::Plus,
        TokenKind::Minus => Token::Minus,
        TokenKind::Star => Token::Mul,
        TokenKind::Slash => Token::Div,
        TokenKind::Percent => Token::Mod,
        TokenKind::Equal => Token::Eq,
        TokenKind::NullSafeEqual => Token::Spaceship,
        TokenKind::NotEqual => Token::Neq,
        TokenKind::Less => Token::Lt,
        TokenKind::LessEqual => Token::LtEq,
        TokenKind::Greater => Token::Gt,
        TokenKind::GreaterEqual => Token::GtEq,
        TokenKind::ShiftLeft => Token::ShiftLeft,
        TokenKind::ShiftRight => Token::ShiftRight,
        TokenKind::Pipe => Token::Pipe,
        TokenKind::PipePipe if pieces.mode.pipes_as_concat => Token::StringConcat,
        TokenKind::PipePipe => Token::make_keyword("OR"),
        TokenKind::Ampersand => Token::Ampersand,
        TokenKind::AmpersandAmpersand => Token::make_keyword("AND"),
        TokenKind::Caret => Token::Caret,
        TokenKind::Tilde => Token::Tilde,
        TokenKind::Exclamation => Token::ExclamationMark,
        TokenKind::Arrow => Token::Arrow,
        TokenKind::LongArrow => Token::LongArrow,
        TokenKind::Semicolon | TokenKind::LeftBrace | TokenKind::RightBrace | TokenKind::Colon => {
            return None;
        }
    })
}

fn word(pieces: &Pieces<'_>, index: usize) -> Option<Token> {
    let text = std::str::from_utf8(pieces.text(index)).ok()?;
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if index > 0 && pieces.is(index - 1, TokenKind::Dot) {
        return Some(Token::make_word(text, Some('`')));
    }
    let piece = pieces.get(index)?;
    if !piece.marks.any(Marks::RENAMED) {
        let value = if is_reserved(piece.keyword) { String::new() } else { text.to_owned() };
        return Some(Token::Word(Word { value, quote_style: None, keyword: piece.keyword }));
    }
    if is("MOD") && ends_operand(pieces, index) {
        return Some(Token::Mod);
    }
    if is("DISTINCTROW") {
        return Some(Token::make_keyword("DISTINCT"));
    }
    if COMPOUND_UNITS.iter().any(|unit| is(unit)) {
        return Some(Token::make_keyword("DAY"));
    }
    if NOT_KEYWORDS.iter().any(|word| is(word)) {
        return Some(Token::make_word(text, Some('`')));
    }
    Some(Token::make_word(text, None))
}

/// Whether a keyword can be no name, so that sqlparser needs no text with it: the most
/// frequent ones, whose texts would be copied several times.
fn is_reserved(keyword: Keyword) -> bool {
    use Keyword::{AND, BETWEEN, BY, DELETE, FROM, GROUP, IN, INTO, LIMIT, NOT, OR, ORDER};
    use Keyword::{SELECT, UPDATE, WHERE};
    matches!(
        keyword,
        AND | BETWEEN
            | BY
            | DELETE
            | FROM
            | GROUP
            | IN
            | INTO
            | LIMIT
            | NOT
            | OR
            | ORDER
            | SELECT
            | UPDATE
            | WHERE
    )
}

/// Whether the piece before `index` ends an operand, so that MOD is an operator.
fn ends_operand(pieces: &Pieces<'_>, index: usize) -> bool {
    let Some(before) = index.checked_sub(1) else { return false };
    match pieces.kind(before) {
        Some(TokenKind::RightParen | TokenKind::QuotedIdentifier | TokenKind::Parameter) => true,
        Some(TokenKind::UserVariable | TokenKind::SystemVariable) => true,
        Some(TokenKind::Word) => !pieces.is(index + 1, TokenKind::LeftParen),
        Some(kind) => kind.is_literal(),
        None => false,
    }
}

/// Modifiers behind a statement's verb that change no rows' place.
const MODIFIERS: &[&str] = &[
    "HIGH_PRIORITY",
    "LOW_PRIORITY",
    "DELAYED",
    "QUICK",
    "IGNORE",
    "STRAIGHT_JOIN",
    "SQL_SMALL_RESULT",
    "SQL_BIG_RESULT",
    "SQL_BUFFER_RESULT",
    "SQL_CACHE",
    "SQL_NO_CACHE",
    "SQL_CALC_FOUND_ROWS",
];

/// Words with which something starts that sqlparser must not see.
pub(crate) const SKIPPED_WORDS: &[&[&str]] =
    &[MODIFIERS, &["LOCK", "FOR", "CHARACTER", "CHARSET", "INTO"]];

/// How many pieces from `index` sqlparser must not see: modifiers, locking clauses, INTO.
fn skipped(pieces: &Pieces<'_>, index: usize) -> usize {
    if !pieces.is_marked(index, Marks::SKIPPED) {
        return 0;
    }
    if pieces.is_any_word(index, MODIFIERS) {
        let verb = (0..index)
            .rev()
            .find(|&i| !pieces.is_any_word(i, MODIFIERS) && !is_quantifier(pieces, i));
        let verbs = ["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE"];
        return usize::from(verb.is_some_and(|verb| pieces.is_any_word(verb, &verbs)));
    }
    let locks = locking_clause(pieces, index);
    if locks > 0 {
        return locks;
    }
    // CAST(x AS CHAR(5) CHARACTER SET utf8mb4)
    if index > 0
        && (pieces.is_word(index - 1, "CHAR") || pieces.is(index - 1, TokenKind::RightParen))
    {
        if pieces.are_words(index, &["CHARACTER", "SET"]) {
            return 3.min(pieces.len() - index);
        }
        if pieces.is_word(index, "CHARSET") {
            return 2.min(pieces.len() - index);
        }
    }
    into_variables(pieces, index)
}

fn is_quantifier(pieces: &Pieces<'_>, index: usize) -> bool {
    pieces.is_any_word(index, &["ALL", "DISTINCT", "DISTINCTROW"])
}

/// How many pieces `LOCK IN SHARE MODE`, `FOR UPDATE` or `FOR SHARE` has from `index`.
pub(crate) fn locking_clause(pieces: &Pieces<'_>, index: usize) -> usize {
    if !pieces.is_marked(index, Marks::SKIPPED) {
        return 0;
    }
    let mut end = index;
    if pieces.are_words(index, &["LOCK", "IN", "SHARE", "MODE"]) {
        end += 4;
    } else if pieces.are_words(index, &["FOR", "UPDATE"])
        || pieces.are_words(index, &["FOR", "SHARE"])
    {
        end += 2;
    } else {
        return 0;
    }
    if pieces.is_word(end, "OF") {
        end += 2;
        while pieces.is(end, TokenKind::Comma) {
            end += 2;
        }
    }
    if pieces.is_word(end, "NOWAIT") {
        end += 1;
    } else if pieces.are_words(end, &["SKIP", "LOCKED"]) || pieces.is_word(end, "WAIT") {
        end += 2;
    }
    end.min(pieces.len()) - index
}

/// How many pieces `INTO @a, @b` has from `index`.
pub(crate) fn into_variables(pieces: &Pieces<'_>, index: usize) -> usize {
    if !pieces.is_word(index, "INTO") || !pieces.is(index + 1, TokenKind::UserVariable) {
        return 0;
    }
    let mut end = index + 2;
    while pieces.is(end, TokenKind::Comma) && pieces.is(end + 1, TokenKind::UserVariable) {
        end += 2;
    }
    end - index
}
