//! Random SELECTs of several levels: joins on any condition, subqueries, derived tables, set
//! operations, windows, groups with HAVING and ROLLUP. Most need rows of several shards in one
//! place.

use crate::{
    answer::Statement,
    expression::{Maker, Piece, Source},
    random::Random,
    table::{Class, Table},
};

/// A query being written.
struct Query<'a> {
    maker: Maker<'a>,
    tables: &'a [Table],
    text: Piece,
}

/// Values that are equal in one way only, so that a group or a set shows one of them.
const PLAIN: &[Class] = &[Class::Int, Class::Wide, Class::Decimal, Class::Date, Class::Time];
/// Values whose sum does not depend on their order.
const EXACT: &[Class] = &[Class::Int, Class::Decimal];

/// A random query.
pub(crate) fn query(random: &mut Random, tables: &[Table]) -> Statement {
    let prepared = random.percent(30);
    let maker = Maker { random, sources: Vec::new(), prepared, odd: false };
    let mut query = Query { maker, tables, text: Piece::default() };
    let ordered = match query.maker.random.below(10) {
        0..=2 => query.joined(),
        3 => query.filtered(),
        4 => query.looked_up(),
        5 => query.set(),
        6 => query.window(),
        7 => query.groups(),
        8 => query.derived(),
        _ => query.total(),
    };
    let Piece { sql, params } = query.text;
    Statement {
        sql: sql.into_bytes(),
        params: prepared.then_some(params),
        ordered,
        representative: Vec::new(),
        strict: false,
        own_ids: false,
    }
}

impl<'a> Query<'a> {
    fn source(&mut self, alias: &'static str) -> Source<'a> {
        let table = &self.tables[self.maker.random.below(self.tables.len())];
        Source { alias: Some(alias), table }
    }

    /// Chooses tables and writes FROM with their joins.
    fn from(&mut self, aliases: &[&'static str]) {
        self.maker.sources = Vec::new();
        for (number, alias) in aliases.iter().enumerate() {
            let source = self.source(alias);
            let table = &source.table.name;
            if number == 0 {
                self.text.push(&format!(" FROM {table} {alias}"));
                self.maker.sources.push(source);
                continue;
            }
            let before = self.maker.random.below(number);
            let on = self.maker.random.of(&[
                "L.n = R.n",
                "L.n = R.n",
                "L.n = R.n + 1",
                "L.n % 7 = R.n % 5",
                "L.n < R.n AND L.n % 9 = 1",
                "L.n = R.n AND R.n % 2 = 0",
                "L.k = R.k",
            ]);
            // A string and a number are equal or not by the way in which the server finds them:
            // '1e1' is 10 when it compares, and 1 when it looks into an index of integers.
            let class = |source: &Source<'_>| source.table.columns[0].kind.class();
            let alike = class(&self.maker.sources[before]) == class(&source);
            let on = if alike { on.to_owned() } else { on.replace(".k", ".n") };
            let before = aliases[before];
            let on = on.replace("L.", &format!("{before}.")).replace("R.", &format!("{alias}."));
            let join = self.maker.random.of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "INNER JOIN"]);
            self.text.push(&format!(" {join} {table} {alias} ON {on}"));
            self.maker.sources.push(source);
        }
    }

    fn filter(&mut self) {
        if self.maker.random.percent(70) {
            let filter = self.maker.filter();
            self.text.add(filter);
        }
    }

    fn items(&mut self) {
        for number in 0..self.maker.random.between(1, 3) {
            self.text.push(if number > 0 { ", " } else { "" });
            match self.maker.random.percent(60) {
                true => {
                    let (name, _) = self.maker.column();
                    self.text.push(&name);
                }
                false => {
                    let expression = self.maker.expression();
                    self.text.add(expression);
                    self.text.push(&format!(" AS alias{number}"));
                }
            }
        }
    }

    /// By all keys of all tables, and perhaps some of the rows.
    fn order(&mut self) {
        self.text.push(" ORDER BY ");
        let mut keys = Vec::new();
        for source in &self.maker.sources {
            keys.extend(["k", "n"].map(|column| source.name(column)));
        }
        self.text.push(&keys.join(", "));
        if self.maker.random.percent(40) {
            self.text.push(self.maker.random.of(&[
                " LIMIT 7",
                " LIMIT 20 OFFSET 3",
                " LIMIT 2, 5",
            ]));
        }
    }

    /// The text of what `write` writes, with tables of its own.
    fn inner(&mut self, write: impl FnOnce(&mut Self)) -> Piece {
        let sources = std::mem::take(&mut self.maker.sources);
        let text = std::mem::take(&mut self.text);
        write(self);
        self.maker.sources = sources;
        std::mem::replace(&mut self.text, text)
    }

    fn joined(&mut self) -> bool {
        let aliases: &[_] =
            if self.maker.random.percent(70) { &["a", "b"] } else { &["a", "b", "c"] };
        let from = {
            let text = std::mem::take(&mut self.text);
            self.from(aliases);
            std::mem::replace(&mut self.text, text)
        };
        self.text.push("SELECT ");
        match self.maker.random.percent(30) {
            true => self.text.push("*"),
            false => self.items(),
        }
        self.text.add(from);
        self.filter();
        self.order();
        true
    }

    /// Rows that another query chooses.
    fn filtered(&mut self) -> bool {
        self.one_table();
        let word =
            self.maker.random.of(&["IN", "NOT IN", "EXISTS", "NOT EXISTS", "ALL", "=", "OR"]);
        let condition = self.inner(|query| {
            let source = query.source("s");
            let table = &source.table.name;
            query.maker.sources = vec![source];
            match word {
                "EXISTS" | "NOT EXISTS" => {
                    query.text.push(&format!("{word} (SELECT 1 FROM {table} s WHERE s.n = a.n"));
                }
                "ALL" => query.text.push(&format!("a.n >= ALL (SELECT s.n FROM {table} s WHERE 1")),
                "=" => query.text.push(&format!(
                    "a.n % 10 = (SELECT COUNT(*) FROM {table} s WHERE s.n % 4 = a.n % 3"
                )),
                "OR" => query.text.push(&format!(
                    "a.n = 3 OR a.n IN (SELECT s.n + 1 FROM {table} s WHERE s.n <> a.n"
                )),
                _ => query.text.push(&format!("a.n {word} (SELECT s.n FROM {table} s WHERE 1")),
            }
            if query.maker.random.percent(60) {
                query.text.push(" AND ");
                let more = query.maker.condition(1);
                query.text.add(more);
            }
            query.text.push(")");
        });
        self.text.push(" WHERE (");
        self.text.add(condition);
        self.text.push(")");
        if self.maker.random.percent(50) {
            self.text.push(" AND ");
            let more = self.maker.condition(1);
            self.text.add(more);
        }
        self.order();
        true
    }

    fn one_table(&mut self) {
        let source = self.source("a");
        self.maker.sources = vec![source];
        self.text.push("SELECT ");
        self.items();
        self.text.push(&format!(" FROM {} a", source.table.name));
    }

    /// Values that another query gives for each row.
    fn looked_up(&mut self) -> bool {
        let source = self.source("a");
        self.maker.sources = vec![source];
        self.text.push("SELECT ");
        self.items();
        let value = self.inner(|query| {
            let source = query.source("s");
            query.maker.sources = vec![source];
            let what = match query.maker.column_of(EXACT) {
                Some((name, _)) => format!("SUM({name})"),
                None => "COUNT(*)".into(),
            };
            query.text.push(&format!(
                "(SELECT {what} FROM {} s WHERE s.n % 6 = a.n % 6 AND ",
                source.table.name
            ));
            let more = query.maker.condition(1);
            query.text.add(more);
            query.text.push(")");
        });
        self.text.push(", ");
        self.text.add(value);
        self.text.push(&format!(" AS total FROM {} a", source.table.name));
        self.filter();
        self.order();
        true
    }

    fn set(&mut self) -> bool {
        let class = [Class::Int, Class::Decimal, Class::Date][self.maker.random.below(3)];
        let parts = self.maker.random.between(2, 3);
        for number in 0..parts {
            if number > 0 {
                self.text.push(self.maker.random.of(&[
                    " UNION ",
                    " UNION ALL ",
                    " UNION DISTINCT ",
                    " EXCEPT ",
                    " INTERSECT ",
                ]));
            }
            let source = self.source("a");
            self.maker.sources = vec![source];
            let column = self.maker.column_of(&[class]).map(|(name, _)| name);
            self.text.push(&format!(
                "SELECT a.n AS x, {} AS y FROM {} a",
                column.unwrap_or_else(|| "NULL".into()),
                source.table.name
            ));
            self.filter();
        }
        self.text.push(" ORDER BY x, y");
        true
    }

    fn window(&mut self) -> bool {
        let source = self.source("a");
        self.maker.sources = vec![source];
        self.text.push("SELECT ");
        self.items();
        let part = self.maker.column_of(PLAIN).map(|(name, _)| name).unwrap_or("a.n".into());
        let value = self.maker.column_of(EXACT).map(|(name, _)| name).unwrap_or("a.n".into());
        let function = match self.maker.random.below(6) {
            0 => "ROW_NUMBER()".to_owned(),
            1 => "RANK()".to_owned(),
            2 => format!("SUM({value})"),
            3 => format!("LAG({value})"),
            4 => format!("FIRST_VALUE({value})"),
            _ => format!("MAX({value})"),
        };
        let partition = match self.maker.random.percent(60) {
            true => format!("PARTITION BY {part} "),
            false => String::new(),
        };
        let from = &source.table.name;
        self.text
            .push(&format!(", {function} OVER ({partition}ORDER BY a.k, a.n) AS w FROM {from} a"));
        self.filter();
        self.order();
        true
    }

    fn groups(&mut self) -> bool {
        let from = {
            let text = std::mem::take(&mut self.text);
            let aliases: &[_] = if self.maker.random.percent(60) { &["a"] } else { &["a", "b"] };
            self.from(aliases);
            std::mem::replace(&mut self.text, text)
        };
        let key = self.maker.column_of(PLAIN).map(|(name, _)| name).unwrap_or("a.n".into());
        let value = self.maker.column_of(EXACT).map(|(name, _)| name).unwrap_or("a.n".into());
        let shown = self.maker.random.of(&[
            "SUM(x) / COUNT(*)",
            "MAX(x) - MIN(x)",
            "COALESCE(SUM(x), 0) + 1",
            "GROUP_CONCAT(x ORDER BY x)",
            "BIT_XOR(x)",
            "COUNT(DISTINCT x)",
            "IF(COUNT(*) > 2, SUM(x), NULL)",
        ]);
        let shown = shown.replace('x', &value);
        self.text.push(&format!("SELECT {key} AS g, {shown} AS v"));
        self.text.add(from);
        self.filter();
        self.text.push(&format!(" GROUP BY {key}"));
        if self.maker.random.percent(20) {
            self.text.push(" WITH ROLLUP");
            return false;
        }
        if self.maker.random.percent(60) {
            let having =
                self.maker.random.of(&["COUNT(*) > 1", "v IS NOT NULL", "MAX(x) > 3", "g <> 2"]);
            self.text.push(&format!(" HAVING {}", having.replace('x', &value)));
        }
        self.text.push(" ORDER BY g");
        true
    }

    fn derived(&mut self) -> bool {
        let inner = self.inner(|query| {
            let source = query.source("s");
            query.maker.sources = vec![source];
            let value = query.maker.column_of(EXACT).map(|(name, _)| name);
            query.text.push(&format!(
                "SELECT s.n % 10 AS m, COUNT(*) AS c, MAX({}) AS x FROM {} s",
                value.unwrap_or_else(|| "s.n".into()),
                source.table.name
            ));
            query.filter();
            query.text.push(" GROUP BY m");
        });
        let source = self.source("a");
        let table = &source.table.name;
        self.maker.sources = vec![source];
        let with = self.maker.random.percent(40);
        if with {
            self.text.push("WITH d AS (");
            self.text.add(inner.clone());
            self.text.push(") ");
        }
        self.text.push("SELECT a.k, a.n, d.* FROM ");
        let join = self.maker.random.of(&["JOIN", "LEFT JOIN"]);
        self.text.push(&format!("{table} a {join} "));
        if with {
            self.text.push("d");
        } else {
            self.text.push("(");
            self.text.add(inner);
            self.text.push(") d");
        }
        self.text.push(" ON d.m = a.n % 10");
        self.filter();
        self.order();
        true
    }

    fn total(&mut self) -> bool {
        let from = {
            let text = std::mem::take(&mut self.text);
            self.from(&["a", "b"]);
            std::mem::replace(&mut self.text, text)
        };
        let value = self.maker.column_of(EXACT).map(|(name, _)| name).unwrap_or("a.n".into());
        self.text.push(&format!(
            "SELECT COUNT(*), SUM({value}), COUNT(DISTINCT {value}), MIN({value}) + MAX({value})"
        ));
        self.text.add(from);
        self.filter();
        true
    }
}
