//! Random expressions and conditions over the columns of some tables.

use crate::{
    random::Random,
    table::{Class, Column, Kind, Table},
    value::Lit,
};
use mysql_async::Value;

/// A piece of SQL with the parameters in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    pub(crate) sql: String,
    pub(crate) params: Vec<Value>,
}

impl Piece {
    pub(crate) fn text(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), params: Vec::new() }
    }

    pub(crate) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    pub(crate) fn add(&mut self, other: Piece) {
        self.sql.push_str(&other.sql);
        self.params.extend(other.params);
    }
}

/// A table of a statement with its name there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// None: columns are named alone.
    pub(crate) alias: Option<&'static str>,
    pub(crate) table: &'a Table,
}

impl Source<'_> {
    pub(crate) fn name(&self, column: &str) -> String {
        match self.alias {
            Some(alias) => format!("{alias}.{column}"),
            None => column.to_owned(),
        }
    }
}

/// Makes expressions.
pub(crate) struct Maker<'a> {
    pub(crate) random: &'a mut Random,
    pub(crate) sources: Vec<Source<'a>>,
    /// Literals may become parameters.
    pub(crate) prepared: bool,
    /// Columns may be compared with values of other types and used as truth values.
    pub(crate) odd: bool,
}

/// Values beside a key that are not of its type.
const ODD_NUMBERS: &[&str] = &[
    "'7'",
    "'12abc'",
    "'  7'",
    "7.0",
    "7.5",
    "1e1",
    "1.2e1",
    "0x0C",
    "TRUE",
    "NULL",
    "-1",
    "-0",
    "'-0'",
    "'7.0'",
    "'1e1'",
    "''",
    "'abc'",
    "b'111'",
    "18446744073709551615",
    "99999999999999999999",
    "-9223372036854775808",
    "+5",
    "(5)",
    "5 + 0",
    "'5' + 0",
    "007",
    "5e0",
];
const ODD_TEXTS: &[&str] = &[
    "0",
    "10",
    "1.5",
    "x'61'",
    "_utf8mb4'a'",
    "_latin1'a'",
    "N'a'",
    "'a' COLLATE utf8mb4_bin",
    "'A '",
    "'a' 'b'",
    "NULL",
    "BINARY 'a'",
    "\"a\"",
    "'E'",
    "CONCAT('a', '')",
    "'a  '",
    "TRUE",
];
const ODD_DATES: &[&str] = &[
    "20240107",
    "'2024-1-7'",
    "'24-01-07'",
    "DATE '2024-01-07'",
    "TIMESTAMP '2024-01-07 00:00:00'",
    "'2024-01-07 10:00:00'",
    "'2024-01-07 00:00:00'",
    "'2024/01/07'",
    "'20240107'",
    "NULL",
    "'2024-01-07 '",
];
const ODD_DECIMALS: &[&str] =
    &["'1.50'", "1.5", "1.500", "150e-2", "'1.5x'", "1.505", "NULL", "'1.5'", "5", "-0.0", "'5'"];

impl<'a> Maker<'a> {
    /// A literal, perhaps as a parameter.
    pub(crate) fn literal(&mut self, lit: Lit) -> Piece {
        match lit.param {
            Some(value) if self.prepared && self.random.percent(80) => {
                Piece { sql: "?".into(), params: vec![value] }
            }
            _ => Piece::text(lit.text),
        }
    }

    fn source(&mut self) -> Source<'a> {
        self.sources[self.random.below(self.sources.len())]
    }

    /// Any column.
    pub(crate) fn column(&mut self) -> (String, &'a Column) {
        let source = self.source();
        let column = &source.table.columns[self.random.below(source.table.columns.len())];
        (source.name(&column.name), column)
    }

    /// A column of some classes, if there is one.
    pub(crate) fn column_of(&mut self, classes: &[Class]) -> Option<(String, &'a Column)> {
        (0..12).map(|_| self.column()).find(|(_, column)| classes.contains(&column.kind.class()))
    }

    /// An expression over columns.
    pub(crate) fn expression(&mut self) -> Piece {
        let (name, column) = self.column();
        let pick = self.random.below(8);
        match column.kind.class() {
            Class::Int => self.integer(&name, pick),
            Class::Wide | Class::Choice => {
                let text = [
                    "x + 0",
                    "x",
                    "HEX(x)",
                    "x IS NULL",
                    "CAST(x AS CHAR)",
                    "x",
                    "x",
                    "IFNULL(x, 1)",
                ];
                Piece::text(in_place(text[pick], &name))
            }
            Class::Decimal => {
                let text = [
                    "x + 1",
                    "x * 2",
                    "ROUND(x)",
                    "-x",
                    "x / 4",
                    "ABS(x)",
                    "COALESCE(x, 0.5)",
                    "CAST(x AS SIGNED)",
                ];
                Piece::text(in_place(text[pick], &name))
            }
            Class::Double => {
                let text = [
                    "x * 2",
                    "x + 0.5e0",
                    "ABS(x)",
                    "-x",
                    "FLOOR(x)",
                    "x > 0",
                    "ROUND(x)",
                    "x / 2",
                ];
                Piece::text(in_place(text[pick], &name))
            }
            Class::Text => self.string(&name, pick),
            Class::Bytes => {
                let text = [
                    "HEX(x)",
                    "LENGTH(x)",
                    "x",
                    "CONCAT(x, x'00')",
                    "x IS NULL",
                    "x",
                    "LEFT(x, 1)",
                    "MD5(x)",
                ];
                Piece::text(in_place(text[pick], &name))
            }
            Class::Date => {
                let text = [
                    "YEAR(x)",
                    "MONTH(x)",
                    "x + INTERVAL 1 MONTH",
                    "DATE_FORMAT(x, '%Y-%m')",
                    "DAYNAME(x)",
                    "DATE_ADD(x, INTERVAL 1 DAY)",
                    "TO_DAYS(x)",
                    "LAST_DAY(x)",
                ];
                Piece::text(in_place(text[pick], &name))
            }
            Class::DateTime => {
                let text = [
                    "DATE(x)",
                    "HOUR(x)",
                    "x + INTERVAL 90 MINUTE",
                    "DATE_FORMAT(x, '%H:%i')",
                    "TIME(x)",
                    "x + 0",
                    "EXTRACT(YEAR_MONTH FROM x)",
                    "UNIX_TIMESTAMP(x)",
                ];
                Piece::text(in_place(text[pick], &name))
            }
            Class::Time => {
                let text = [
                    "HOUR(x)",
                    "TIME_TO_SEC(x)",
                    "x + 0",
                    "x",
                    "SECOND(x)",
                    "x IS NULL",
                    "ADDTIME(x, '00:10:00')",
                    "LEFT(x, 5)",
                ];
                Piece::text(in_place(text[pick], &name))
            }
        }
    }

    fn integer(&mut self, name: &str, pick: usize) -> Piece {
        let text =
            ["x + ", "x * ", "x DIV ", "x % ", "x / ", "x > ", "COALESCE(x, ", "IF(x > 3, x, "];
        let mut piece = Piece::text(in_place(text[pick], name));
        let number = Lit::int(self.random.between(2, 7));
        let number = self.literal(number);
        piece.add(number);
        if pick >= 6 {
            piece.push(")");
        }
        piece
    }

    fn string(&mut self, name: &str, pick: usize) -> Piece {
        if pick == 0 {
            let mut piece = Piece::text(in_place("CONCAT(x, ", name));
            let tail = self.literal(Lit::string("x"));
            piece.add(tail);
            piece.push(")");
            return piece;
        }
        let text = [
            "",
            "LOWER(x)",
            "UPPER(x)",
            "CHAR_LENGTH(x)",
            "LEFT(x, 1)",
            "TRIM(x)",
            "HEX(x)",
            "IFNULL(x, 'none')",
        ];
        Piece::text(in_place(text[pick], name))
    }

    /// A literal to compare a column with.
    fn comparand(&mut self, column: &Column) -> Piece {
        let chance = if column.name == "k" { 25 } else { 8 };
        if !self.odd || !self.random.percent(chance) {
            let lit = column.kind.value(self.random);
            return self.literal(lit);
        }
        let odd = match column.kind.class() {
            Class::Int | Class::Wide | Class::Double => ODD_NUMBERS,
            Class::Decimal => ODD_DECIMALS,
            Class::Text => ODD_TEXTS,
            Class::Date => ODD_DATES,
            _ => &["NULL"],
        };
        Piece::text(self.random.of(odd))
    }

    /// A condition that names a shard key.
    pub(crate) fn key_condition(&mut self) -> Piece {
        let source = self.source();
        let column = &source.table.columns[0];
        self.simple(&source.name("k"), column)
    }

    /// A condition on one column.
    fn simple(&mut self, name: &str, column: &Column) -> Piece {
        let mut piece = Piece::default();
        match self.random.below(12) {
            0..=4 => {
                let operator =
                    self.random.of(&["=", "=", "=", "<", "<=", ">", ">=", "<>", "<=>", "!="]);
                let value = self.comparand(column);
                if self.random.percent(85) {
                    piece.push(&format!("{name} {operator} "));
                    piece.add(value);
                } else {
                    piece.add(value);
                    piece.push(&format!(" {operator} {name}"));
                }
            }
            5..=7 => {
                let not = if self.random.percent(20) { "NOT " } else { "" };
                piece.push(&format!("{name} {not}IN ("));
                for number in 0..self.random.between(1, 5) {
                    if number > 0 {
                        piece.push(", ");
                    }
                    let value = self.comparand(column);
                    piece.add(value);
                }
                piece.push(")");
            }
            8 | 9 => {
                let not = if self.random.percent(20) { "NOT " } else { "" };
                piece.push(&format!("{name} {not}BETWEEN "));
                let (low, high) = (self.comparand(column), self.comparand(column));
                piece.add(low);
                piece.push(" AND ");
                piece.add(high);
            }
            10 => {
                let not = if self.random.percent(50) { " NOT" } else { "" };
                piece.push(&format!("{name} IS{not} NULL"));
            }
            _ if column.kind.class() == Class::Text => {
                let pattern = self.random.of(&["'a%'", "'%\\%%'", "'E%'", "''"]);
                piece.push(&format!("{name} LIKE {pattern}"));
            }
            _ if self.odd => piece.push(name),
            _ => piece.push(&format!("{name} IS NOT NULL")),
        }
        piece
    }

    /// A condition of several parts.
    pub(crate) fn condition(&mut self, depth: usize) -> Piece {
        if depth > 0 && self.random.percent(45) {
            let operator = self.random.of(&["AND", "AND", "OR", "OR", "XOR", "&&"]);
            let mut piece = Piece::text("(");
            let left = self.condition(depth - 1);
            piece.add(left);
            piece.push(&format!(" {operator} "));
            let right = self.condition(depth - 1);
            piece.add(right);
            piece.push(")");
            return piece;
        }
        if self.random.percent(8) {
            let mut piece = Piece::text("NOT (");
            let inner = self.condition(0);
            piece.add(inner);
            piece.push(")");
            return piece;
        }
        if self.odd && self.random.percent(15) {
            let mut piece = self.expression();
            piece.sql.insert(0, '(');
            piece.push(") IS NOT NULL");
            return piece;
        }
        let (name, column) = self.column();
        self.simple(&name, column)
    }

    /// ` WHERE ...`, or nothing.
    pub(crate) fn filter(&mut self) -> Piece {
        let mut piece = Piece::default();
        let key = self.random.percent(45);
        let more = self.random.percent(if key { 40 } else { 60 });
        if key || more {
            piece.push(" WHERE ");
        }
        if key {
            let condition = self.key_condition();
            piece.add(condition);
        }
        if key && more {
            piece.push(" AND ");
        }
        if more {
            let condition = self.condition(2);
            piece.add(condition);
        }
        piece
    }
}

/// Whether equal values of a kind may be shown in several ways.
pub(crate) fn has_representatives(kind: Kind) -> bool {
    matches!(kind.class(), Class::Text)
}

fn in_place(form: &str, name: &str) -> String {
    let mut text = String::new();
    let letters: Vec<char> = form.chars().collect();
    for (index, letter) in letters.iter().enumerate() {
        let word = |at: Option<&char>| {
            at.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '\''))
        };
        let alone = !word(index.checked_sub(1).and_then(|i| letters.get(i)))
            && !word(letters.get(index + 1));
        match letter {
            'x' if alone => text.push_str(name),
            other => text.push(*other),
        }
    }
    text
}
