//! Random SELECTs of the supported grammar.

use crate::{
    answer::Statement,
    expression::{Maker, Piece, Source, has_representatives},
    random::Random,
    table::{Class, Kind, Place, Table},
};

/// A SELECT being written.
struct Select<'a> {
    maker: Maker<'a>,
    text: Piece,
    from: String,
    representative: Vec<usize>,
    /// Aggregates of DISTINCT values may be written. Beside keys that are expressions, one
    /// server takes NULL for the group before it, and the columns' types are another's.
    counts_distinct: bool,
}

/// A random SELECT.
pub(crate) fn select(random: &mut Random, tables: &[Table]) -> Statement {
    let prepared = random.percent(35);
    let joined = random.percent(25);
    let (sources, from) = match joined {
        true => join(random, tables),
        false => one(random, tables),
    };
    let maker = Maker { random, sources, prepared, odd: true };
    let (text, representative) = (Piece::default(), Vec::new());
    let mut select = Select { maker, text, from, representative, counts_distinct: true };
    let ordered = match select.maker.random.below(10) {
        0..=5 => select.rows(),
        6 | 7 => select.groups(),
        8 => select.total(),
        _ => select.distinct(),
    };
    let Piece { sql, params } = select.text;
    Statement {
        sql: sql.into_bytes(),
        params: prepared.then_some(params),
        ordered,
        representative: select.representative,
        strict: false,
        own_ids: false,
    }
}

fn one<'a>(random: &mut Random, tables: &'a [Table]) -> (Vec<Source<'a>>, String) {
    let table = &tables[random.below(tables.len())];
    match random.below(4) {
        0 => (vec![Source { alias: Some("t"), table }], format!("{} t", table.name)),
        1 => (vec![Source { alias: Some("t"), table }], format!("{} AS t", table.name)),
        _ => (vec![Source { alias: None, table }], table.name.clone()),
    }
}

fn join<'a>(random: &mut Random, tables: &'a [Table]) -> (Vec<Source<'a>>, String) {
    let source = |alias, table| Source { alias: Some(alias), table };
    let sharded: Vec<&Table> = tables.iter().filter(|t| t.place == Place::Sharded).collect();
    let broadcast: Vec<&Table> = tables.iter().filter(|t| t.place == Place::Broadcast).collect();
    if random.percent(60) {
        let group = 1 + random.below(2);
        let group: Vec<&Table> = tables.iter().filter(|t| t.group == group).collect();
        let (left, right) = match random.percent(50) {
            true => (group[0], group[1]),
            false => (group[1], group[0]),
        };
        let form = random.of(&[
            "L a JOIN R b ON a.k = b.k",
            "L a INNER JOIN R b ON b.k = a.k AND a.n <= b.n",
            "L a LEFT JOIN R b ON a.k = b.k AND b.n % 2 = 0",
            "L a RIGHT JOIN R b ON a.k = b.k",
            "L a LEFT JOIN R b USING (k)",
            "L a STRAIGHT_JOIN R b ON a.k = b.k",
        ]);
        let from = form.replace('L', &left.name).replace(" R b", &format!(" {} b", right.name));
        let from = from.replacen(&format!("{}EFT", left.name), "LEFT", 2);
        return (vec![source("a", left), source("b", right)], from);
    }
    let (left, right) =
        (sharded[random.below(sharded.len())], broadcast[random.below(broadcast.len())]);
    let on = random.of(&["a.n = b.n", "a.n % 10 = b.n", "a.n = b.n + 1"]);
    let form = match random.below(3) {
        0 => format!("{} a JOIN {} b ON {on}", left.name, right.name),
        1 => format!("{} a LEFT JOIN {} b ON {on}", left.name, right.name),
        _ => format!("{} b JOIN {} a ON {on}", right.name, left.name),
    };
    (vec![source("a", left), source("b", right)], form)
}

impl Select<'_> {
    fn source_and_filter(&mut self) {
        self.text.push(&format!(" FROM {}", self.from));
        let filter = self.maker.filter();
        self.text.add(filter);
    }

    /// A list of columns and expressions. Returns what ORDER BY can name: positions from
    /// 1 with their name.
    fn items(&mut self) -> Vec<Option<String>> {
        let mut named = Vec::new();
        for number in 0..self.maker.random.between(1, 4) {
            if number > 0 {
                self.text.push(", ");
            }
            match self.maker.random.below(10) {
                0..=4 => {
                    let (name, _) = self.maker.column();
                    self.text.push(&name);
                    named.push(None);
                }
                5 | 6 => {
                    let (name, _) = self.maker.column();
                    let word = self.maker.random.of(&[" AS ", " "]);
                    self.text.push(&format!("{name}{word}alias{number}"));
                    named.push(Some(format!("alias{number}")));
                }
                7 | 8 => {
                    let expression = self.maker.expression();
                    self.text.add(expression);
                    self.text.push(&format!(" AS alias{number}"));
                    named.push(Some(format!("alias{number}")));
                }
                _ => {
                    let expression = self.maker.expression();
                    self.text.add(expression);
                    named.push(None);
                }
            }
        }
        named
    }

    fn direction(&mut self) -> &'static str {
        ["", " ASC", " DESC", " desc"][self.maker.random.below(4)]
    }

    /// All keys of all tables: with them an order is total.
    fn total_order(&mut self, keys: &mut Vec<Piece>) {
        for source in self.maker.sources.clone() {
            for column in ["k", "n"] {
                let direction = self.direction();
                keys.push(Piece::text(format!("{}{direction}", source.name(column))));
            }
        }
    }

    fn order_by(&mut self, keys: Vec<Piece>) {
        for (number, key) in keys.into_iter().enumerate() {
            self.text.push(if number == 0 { " ORDER BY " } else { ", " });
            self.text.add(key);
        }
    }

    fn limit(&mut self) {
        let count = self.maker.random.between(0, 12);
        let offset = [0, 1, 5, 30, 1_000][self.maker.random.below(5)];
        let number = |n| crate::value::Lit::int(n);
        match self.maker.random.below(3) {
            0 => {
                self.text.push(" LIMIT ");
                let count = self.maker.literal(number(count));
                self.text.add(count);
            }
            1 => {
                self.text.push(" LIMIT ");
                let count = self.maker.literal(number(count));
                self.text.add(count);
                self.text.push(" OFFSET ");
                let offset = self.maker.literal(number(offset));
                self.text.add(offset);
            }
            _ => {
                self.text.push(" LIMIT ");
                let offset = self.maker.literal(number(offset));
                self.text.add(offset);
                self.text.push(", ");
                let count = self.maker.literal(number(count));
                self.text.add(count);
            }
        }
    }

    /// `SELECT items ... ORDER BY ... LIMIT`; whether the order is total.
    fn rows(&mut self) -> bool {
        self.text.push(self.maker.random.of(&["SELECT ", "SELECT ", "select ", "SELECT ALL "]));
        let star = self.maker.random.percent(25);
        let named = match star {
            true => {
                self.text.push("*");
                Vec::new()
            }
            false => self.items(),
        };
        self.source_and_filter();
        let locking = self.maker.random.percent(4);
        let mut keys = Vec::new();
        if self.maker.random.percent(65) {
            for _ in 0..self.maker.random.below(3) {
                let mut key = match self.maker.random.below(4) {
                    0 if !named.is_empty() => {
                        let position = self.maker.random.below(named.len());
                        match &named[position] {
                            Some(name) if self.maker.random.percent(70) => Piece::text(name),
                            _ => Piece::text((position + 1).to_string()),
                        }
                    }
                    1 => {
                        let prepared = std::mem::take(&mut self.maker.prepared);
                        let key = self.maker.expression();
                        self.maker.prepared = prepared;
                        key
                    }
                    _ => Piece::text(self.maker.column().0),
                };
                key.push(self.direction());
                keys.push(key);
            }
            let total = self.maker.random.percent(80);
            if total {
                self.total_order(&mut keys);
            }
            self.order_by(keys);
            if total && self.maker.random.percent(50) {
                self.limit();
            }
            if locking {
                self.text.push(self.maker.random.of(&[" FOR UPDATE", " LOCK IN SHARE MODE"]));
            }
            return total;
        }
        false
    }

    fn aggregate(&mut self, index: usize) -> String {
        let number = [Class::Int, Class::Wide, Class::Decimal, Class::Double];
        if self.counts_distinct && self.maker.random.percent(25) {
            return self.distinct_aggregate();
        }
        let pick = self.maker.random.below(7);
        match pick {
            0 => "COUNT(*)".into(),
            1 => format!("COUNT({})", self.maker.column().0),
            2 | 3 => match self.maker.column_of(&number) {
                Some((name, _)) => {
                    format!("{}({name})", if pick == 2 { "SUM" } else { "AVG" })
                }
                None => "COUNT(1)".into(),
            },
            4 => match self.maker.column_of(&[Class::Int]) {
                Some((name, _)) => format!("SUM({name} * 2 + 1)"),
                None => "count( * )".into(),
            },
            _ => {
                let (name, column) = self.maker.column();
                if has_representatives(column.kind) {
                    self.representative.push(index);
                }
                // Beside DISTINCT aggregates MIN and MAX of BIT are refused.
                let number = if column.kind == Kind::Bit { " + 0" } else { "" };
                format!("{}({name}{number})", if pick == 5 { "MIN" } else { "MAX" })
            }
        }
    }

    fn distinct_aggregate(&mut self) -> String {
        let exact = [Class::Int, Class::Wide, Class::Decimal];
        match self.maker.random.below(6) {
            0 => {
                let (one, other) = (self.maker.column().0, self.maker.column().0);
                format!("COUNT(DISTINCT {one}, {other})")
            }
            pick @ (1 | 2) => match self.maker.column_of(&exact) {
                Some((name, _)) => {
                    format!("{}(DISTINCT {name})", if pick == 1 { "SUM" } else { "AVG" })
                }
                None => "COUNT(DISTINCT 1)".into(),
            },
            _ => format!("COUNT(DISTINCT {})", self.maker.column().0),
        }
    }

    /// `SELECT key, aggregates ... GROUP BY`.
    fn groups(&mut self) -> bool {
        self.maker.prepared &= self.maker.random.percent(50);
        let prepared = std::mem::take(&mut self.maker.prepared);
        self.text.push("SELECT ");
        let mut keys = Vec::new();
        for number in 0..self.maker.random.between(1, 2) {
            let expression = self.maker.random.percent(25);
            self.counts_distinct &= !expression;
            let (key, text) = match expression {
                true => (self.maker.expression().sql, true),
                false => {
                    let (name, column) = self.maker.column();
                    (name, has_representatives(column.kind))
                }
            };
            if text {
                self.representative.push(keys.len());
            }
            let alias =
                (expression || self.maker.random.percent(20)).then(|| format!("key{number}"));
            match &alias {
                Some(alias) => self.text.push(&format!("{key} AS {alias}, ")),
                None => self.text.push(&format!("{key}, ")),
            }
            keys.push((key, alias));
        }
        let count = self.maker.random.between(1, 3) as usize;
        for number in 0..count {
            let aggregate = self.aggregate(keys.len() + number);
            let alias = if self.maker.random.percent(30) {
                format!(" AS total{number}")
            } else {
                String::new()
            };
            let comma = if number > 0 { ", " } else { "" };
            self.text.push(&format!("{comma}{aggregate}{alias}"));
        }
        self.maker.prepared = prepared;
        self.source_and_filter();
        let mut group = Vec::new();
        for (number, (key, alias)) in keys.iter().enumerate() {
            group.push(match (self.maker.random.below(3), alias) {
                (0, _) => (number + 1).to_string(),
                (1, Some(alias)) => alias.clone(),
                _ => key.clone(),
            });
        }
        self.text.push(&format!(" GROUP BY {}", group.join(", ")));
        if self.maker.random.percent(50) {
            let mut order = Vec::new();
            for (number, (key, alias)) in keys.iter().enumerate() {
                let key = match (self.maker.random.below(3), alias) {
                    (0, _) => (number + 1).to_string(),
                    (_, Some(alias)) => alias.clone(),
                    _ => key.clone(),
                };
                let direction = self.direction();
                order.push(Piece::text(format!("{key}{direction}")));
            }
            if self.maker.random.percent(30) {
                order.reverse();
            }
            self.order_by(order);
            if self.maker.random.percent(50) {
                self.limit();
            }
            return true;
        }
        false
    }

    /// Aggregates over all rows.
    fn total(&mut self) -> bool {
        self.text.push("SELECT ");
        for number in 0..self.maker.random.between(1, 4) as usize {
            if number > 0 {
                self.text.push(", ");
            }
            let aggregate = self.aggregate(number);
            self.text.push(&aggregate);
        }
        self.source_and_filter();
        true
    }

    fn distinct(&mut self) -> bool {
        let prepared = std::mem::take(&mut self.maker.prepared);
        self.text.push("SELECT DISTINCT ");
        let count = self.maker.random.between(1, 3) as usize;
        for number in 0..count {
            if number > 0 {
                self.text.push(", ");
            }
            if self.maker.random.percent(20) {
                let expression = self.maker.expression();
                self.text.add(expression);
                self.representative.push(number);
            } else {
                let (name, column) = self.maker.column();
                if has_representatives(column.kind) {
                    self.representative.push(number);
                }
                self.text.push(&name);
            }
        }
        self.maker.prepared = prepared;
        // A server that reads one row for each key tests only one of several equal texts:
        // what tells them apart has no defined answer.
        self.maker.odd = false;
        self.source_and_filter();
        if self.maker.random.percent(50) {
            let mut keys = Vec::new();
            for number in 1..=count {
                let direction = self.direction();
                keys.push(Piece::text(format!("{number}{direction}")));
            }
            self.order_by(keys);
            if self.maker.random.percent(50) {
                self.limit();
            }
            return true;
        }
        false
    }
}
